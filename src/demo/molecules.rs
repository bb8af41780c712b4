//! Simple molecules made of an aromatic core and two substituents, with the descriptors ChEMBL names.
//!
//! Weights are exact sums of atoms; counts and polar surface are sums of fragments (Ertl's contributions); `alogp` is a
//! sum of fragment constants, good enough for a demo and not meant for more. Against RDKit, over the 2,048 molecules the
//! demo uses: every structure is valid, weight, `rtb`, `psa` and `hbd` agree, `alogp` is within 0.62 (mean 0.1).

/// How many atoms of each element a fragment brings.
#[derive(Clone, Copy)]
struct Atoms {
    c: u8,
    h: u8,
    n: u8,
    o: u8,
    f: u8,
    s: u8,
    cl: u8,
}

/// Shorthand for the tables below: carbon, hydrogen, nitrogen, oxygen, fluorine, sulphur, chlorine.
const fn atoms(c: u8, h: u8, n: u8, o: u8, f: u8, s: u8, cl: u8) -> Atoms {
    Atoms { c, h, n, o, f, s, cl }
}

impl Atoms {
    fn weight(self) -> f64 {
        12.011 * f64::from(self.c)
            + HYDROGEN * f64::from(self.h)
            + 14.007 * f64::from(self.n)
            + 15.999 * f64::from(self.o)
            + 18.998 * f64::from(self.f)
            + 32.06 * f64::from(self.s)
            + 35.45 * f64::from(self.cl)
    }

    fn heavy(self) -> u32 {
        [self.c, self.n, self.o, self.f, self.s, self.cl]
            .into_iter()
            .map(u32::from)
            .sum()
    }
}

const HYDROGEN: f64 = 1.008;
const BROMINE: f64 = 79.904;
/// What a bromine in place of a hydrogen adds to `alogp`.
const BROMINE_ALOGP: f64 = 0.76;

/// What the ring of a bromide is: the catalysts differ in which they like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Carbocycle,
    Azine,
    FiveRing,
}

struct Core {
    name: &'static str,
    /// `<h>` is where the bromine goes, `<a>` and `<b>` are the substituents' places.
    smiles: &'static str,
    places: (u8, u8),
    /// Whether swapping the two substituents gives the same molecule.
    symmetric: bool,
    class: Class,
    atoms: Atoms,
    alogp: f64,
    psa: f64,
    hba: u32,
    rtb: u32,
    rings: u32,
}

struct Group {
    name: &'static str,
    /// Empty for hydrogen. Rings in substituents use the digit 8, which no core uses.
    smiles: &'static str,
    /// The group itself, without the hydrogen it replaces.
    atoms: Atoms,
    alogp: f64,
    psa: f64,
    hba: u32,
    hbd: u32,
    rtb: u32,
    rings: u32,
}

/// A molecule with its descriptors; `psa` in Å², `full_mwt` in g/mol.
#[derive(Clone, Debug)]
pub(super) struct Molecule {
    pub(super) name: String,
    pub(super) smiles: String,
    pub(super) class: Class,
    pub(super) full_mwt: f64,
    pub(super) alogp: f64,
    pub(super) rtb: u32,
    pub(super) psa: f64,
    pub(super) hba: u32,
    pub(super) hbd: u32,
    pub(super) aromatic_rings: u32,
    pub(super) heavy_atoms: u32,
}

/// Every molecule of two substituents on a core, each once, with a bromine at the core's third place if `bromide`.
pub(super) fn all(bromide: bool) -> Vec<Molecule> {
    let mut molecules = Vec::new();
    for core in &CORES {
        for (i, a) in GROUPS.iter().enumerate() {
            for (j, b) in GROUPS.iter().enumerate() {
                if !core.symmetric || i <= j {
                    molecules.push(assemble(core, a, b, bromide));
                }
            }
        }
    }
    molecules
}

fn assemble(core: &Core, a: &Group, b: &Group, bromide: bool) -> Molecule {
    let branch = |group: &Group| {
        if group.smiles.is_empty() {
            String::new()
        } else {
            format!("({})", group.smiles)
        }
    };
    let smiles = core
        .smiles
        .replace("<h>", if bromide { "Br" } else { "" })
        .replace("<a>", &branch(a))
        .replace("<b>", &branch(b));
    let part = |group: &Group, place: u8| {
        if group.smiles.is_empty() {
            String::new()
        } else {
            format!("{place}-{}-", group.name)
        }
    };
    let kind = if bromide { " bromide" } else { "" };
    let name = format!(
        "{}{}{}{kind}",
        part(a, core.places.0),
        part(b, core.places.1),
        core.name
    );

    let mut molecule = Molecule {
        name,
        smiles,
        class: core.class,
        full_mwt: core.atoms.weight(),
        alogp: core.alogp,
        rtb: core.rtb,
        psa: core.psa,
        hba: core.hba,
        hbd: 0,
        aromatic_rings: core.rings,
        heavy_atoms: core.atoms.heavy(),
    };
    for group in [a, b].into_iter().filter(|group| !group.smiles.is_empty()) {
        molecule.full_mwt += group.atoms.weight() - HYDROGEN;
        molecule.alogp += group.alogp;
        molecule.rtb += group.rtb;
        molecule.psa += group.psa;
        molecule.hba += group.hba;
        molecule.hbd += group.hbd;
        molecule.aromatic_rings += group.rings;
        molecule.heavy_atoms += group.atoms.heavy();
    }
    if bromide {
        molecule.full_mwt += BROMINE - HYDROGEN;
        molecule.alogp += BROMINE_ALOGP;
        molecule.heavy_atoms += 1;
    }
    molecule
}

#[rustfmt::skip]
const CORES: [Core; 12] = [
    core("phenyl",       "<h>c1cc<a>cc<b>c1",              (3, 5), true,  Class::Carbocycle, atoms(6, 6, 0, 0, 0, 0, 0),   1.69, 0.0,   0, 0, 1),
    core("naphthyl",     "<h>c1ccc2cc<a>cc<b>c2c1",        (6, 8), false, Class::Carbocycle, atoms(10, 8, 0, 0, 0, 0, 0),  2.84, 0.0,   0, 0, 2),
    core("biphenyl",     "<h>c1ccc(cc1)-c1cc<a>cc<b>c1",   (3, 5), true,  Class::Carbocycle, atoms(12, 10, 0, 0, 0, 0, 0), 3.35, 0.0,   0, 1, 2),
    core("2-pyridyl",    "<h>c1nc<a>cc<b>c1",              (6, 4), false, Class::Azine,      atoms(5, 5, 1, 0, 0, 0, 0),   1.08, 12.89, 1, 0, 1),
    core("3-pyridyl",    "<h>c1cnc<a>c<b>c1",              (6, 5), false, Class::Azine,      atoms(5, 5, 1, 0, 0, 0, 0),   1.08, 12.89, 1, 0, 1),
    core("2-pyrimidinyl","<h>c1nc<a>cc<b>n1",              (4, 6), true,  Class::Azine,      atoms(4, 4, 2, 0, 0, 0, 0),   0.48, 25.78, 2, 0, 1),
    core("2-pyrazinyl",  "<h>c1nc<a>c<b>nc1",              (6, 5), false, Class::Azine,      atoms(4, 4, 2, 0, 0, 0, 0),   0.48, 25.78, 2, 0, 1),
    core("3-quinolyl",   "<h>c1cnc2cc<a>cc<b>c2c1",        (7, 5), false, Class::Azine,      atoms(9, 7, 1, 0, 0, 0, 0),   2.23, 12.89, 1, 0, 2),
    core("2-thienyl",    "<h>c1sc<a>c<b>c1",               (5, 4), false, Class::FiveRing,   atoms(4, 4, 0, 0, 0, 1, 0),   1.75, 0.0,   1, 0, 1),
    core("2-furyl",      "<h>c1oc<a>c<b>c1",               (5, 4), false, Class::FiveRing,   atoms(4, 4, 0, 1, 0, 0, 0),   1.28, 13.14, 1, 0, 1),
    core("5-thiazolyl",  "<h>c1nc<a>c<b>s1",               (4, 5), false, Class::FiveRing,   atoms(3, 3, 1, 0, 0, 1, 0),   1.14, 12.89, 2, 0, 1),
    core("N-methylindol-5-yl", "<h>c1ccc2c(c1)c<a>c<b>n2C", (3, 2), false, Class::FiveRing,  atoms(9, 9, 1, 0, 0, 0, 0),   2.18, 4.93,  1, 0, 2),
];

#[rustfmt::skip]
const GROUPS: [Group; 20] = [
    group("H",          "",                 atoms(0, 0, 0, 0, 0, 0, 0),  0.0,   0.0,   0, 0, 0, 0),
    group("F",          "F",                atoms(0, 0, 0, 0, 1, 0, 0),  0.14,  0.0,   0, 0, 0, 0),
    group("Cl",         "Cl",               atoms(0, 0, 0, 0, 0, 0, 1),  0.65,  0.0,   0, 0, 0, 0),
    group("Me",         "C",                atoms(1, 3, 0, 0, 0, 0, 0),  0.31,  0.0,   0, 0, 0, 0),
    group("Et",         "CC",               atoms(2, 5, 0, 0, 0, 0, 0),  0.87,  0.0,   0, 0, 1, 0),
    group("iPr",        "C(C)C",            atoms(3, 7, 0, 0, 0, 0, 0),  1.43,  0.0,   0, 0, 1, 0),
    group("nBu",        "CCCC",             atoms(4, 9, 0, 0, 0, 0, 0),  1.65,  0.0,   0, 0, 3, 0),
    group("CF3",        "C(F)(F)F",         atoms(1, 0, 0, 0, 3, 0, 0),  1.02,  0.0,   0, 0, 0, 0),
    group("OH",         "O",                atoms(0, 1, 0, 1, 0, 0, 0), -0.29,  20.23, 1, 1, 0, 0),
    group("OMe",        "OC",               atoms(1, 3, 0, 1, 0, 0, 0),  0.01,  9.23,  1, 0, 1, 0),
    group("OEt",        "OCC",              atoms(2, 5, 0, 1, 0, 0, 0),  0.4,   9.23,  1, 0, 2, 0),
    group("OnBu",       "OCCCC",            atoms(4, 9, 0, 1, 0, 0, 0),  1.18,  9.23,  1, 0, 4, 0),
    group("OBn",        "OCc8ccccc8",       atoms(7, 7, 0, 1, 0, 0, 0),  1.58,  9.23,  1, 0, 3, 1),
    group("CN",         "C#N",              atoms(1, 0, 1, 0, 0, 0, 0), -0.13,  23.79, 1, 0, 0, 0),
    group("NMe2",       "N(C)C",            atoms(2, 6, 1, 0, 0, 0, 0),  0.07,  3.24,  1, 0, 1, 0),
    group("NHAc",       "NC(C)=O",          atoms(2, 4, 1, 1, 0, 0, 0), -0.04,  29.1,  1, 1, 1, 0),
    group("CO2Me",      "C(=O)OC",          atoms(2, 3, 0, 2, 0, 0, 0), -0.21,  26.3,  2, 0, 1, 0),
    group("CONH2",      "C(N)=O",           atoms(1, 2, 1, 1, 0, 0, 0), -0.9,   43.09, 1, 1, 1, 0),
    group("SO2Me",      "S(C)(=O)=O",       atoms(1, 3, 0, 2, 0, 1, 0), -0.6,   34.14, 2, 0, 1, 0),
    group("morpholino", "N8CCOCC8",         atoms(4, 8, 1, 1, 0, 0, 0), -0.17,  12.47, 2, 0, 1, 0),
];

#[expect(clippy::too_many_arguments, reason = "one line of a table")]
const fn core(
    name: &'static str,
    smiles: &'static str,
    places: (u8, u8),
    symmetric: bool,
    class: Class,
    atoms: Atoms,
    alogp: f64,
    psa: f64,
    hba: u32,
    rtb: u32,
    rings: u32,
) -> Core {
    Core {
        name,
        smiles,
        places,
        symmetric,
        class,
        atoms,
        alogp,
        psa,
        hba,
        rtb,
        rings,
    }
}

#[expect(clippy::too_many_arguments, reason = "one line of a table")]
const fn group(
    name: &'static str,
    smiles: &'static str,
    atoms: Atoms,
    alogp: f64,
    psa: f64,
    hba: u32,
    hbd: u32,
    rtb: u32,
    rings: u32,
) -> Group {
    Group {
        name,
        smiles,
        atoms,
        alogp,
        psa,
        hba,
        hbd,
        rtb,
        rings,
    }
}
