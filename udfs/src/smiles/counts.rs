//! The eight numbers that ChEMBL gives for a compound.
#![expect(
    clippy::indexing_slicing,
    reason = "atom and bond numbers belong to the molecule they are used on"
)]

use super::graph::{Molecule, Order};
use super::{crippen, element, parse, polar};

/// What ChEMBL's `compound_properties` says, by its names. Counts are whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Descriptors {
    /// Octanol–water partition after Wildman and Crippen.
    pub alogp: f64,
    /// Grams per mole, salts included.
    pub full_mwt: f64,
    /// Rotatable bonds.
    pub rtb: f64,
    /// Polar surface in square ångström.
    pub psa: f64,
    /// Hydrogen-bond acceptors.
    pub hba: f64,
    /// Hydrogen-bond donors.
    pub hbd: f64,
    pub aromatic_rings: f64,
    pub heavy_atoms: f64,
}

impl Descriptors {
    /// The names, in the order of [`Descriptors::values`].
    pub const NAMES: [&'static str; 8] = [
        "alogp",
        "full_mwt",
        "rtb",
        "psa",
        "hba",
        "hbd",
        "aromatic_rings",
        "heavy_atoms",
    ];

    pub fn values(&self) -> [f64; 8] {
        [
            self.alogp,
            self.full_mwt,
            self.rtb,
            self.psa,
            self.hba,
            self.hbd,
            self.aromatic_rings,
            self.heavy_atoms,
        ]
    }
}

/// The descriptors of a SMILES text; `None` if it is no molecule.
pub fn describe(smiles: &str) -> Option<Descriptors> {
    parse(smiles).map(|molecule| of(&molecule))
}

pub(crate) fn of(molecule: &Molecule) -> Descriptors {
    let atoms = 0..molecule.atoms.len();
    let weight = |atom: usize| {
        let this = &molecule.atoms[atom];
        element::weight(this.element, this.isotope) + f64::from(this.hydrogens) * element::weight(1, 0)
    };
    let aromatic = |ring: &&Vec<usize>| ring.iter().all(|bond| molecule.bonds[*bond].order == Order::Aromatic);
    Descriptors {
        alogp: crippen::alogp(molecule),
        full_mwt: atoms.clone().map(weight).sum(),
        rtb: rotatable(molecule) as f64,
        psa: polar::surface(molecule),
        hba: atoms.clone().filter(|atom| accepts(molecule, *atom)).count() as f64,
        hbd: atoms.clone().filter(|atom| donates(molecule, *atom)).count() as f64,
        aromatic_rings: molecule.rings.iter().filter(aromatic).count() as f64,
        heavy_atoms: molecule.atoms.iter().filter(|atom| atom.element != 1).count() as f64,
    }
}

fn donates(molecule: &Molecule, atom: usize) -> bool {
    let this = &molecule.atoms[atom];
    let hydrogens = molecule.hydrogens(atom);
    match (this.element, this.aromatic) {
        (7, false) => {
            let valence = molecule.valence(atom);
            hydrogens > 0 && (valence == 3 || (this.charge == 1 && valence == 4))
        }
        (8 | 16, false) => hydrogens == 1 && this.charge == 0,
        (7, true) => hydrogens == 1 && this.charge == 0,
        _ => false,
    }
}

fn accepts(molecule: &Molecule, atom: usize) -> bool {
    let this = &molecule.atoms[atom];
    let hydrogens = molecule.hydrogens(atom);
    let drawn = |of: usize, outside_ring: bool| {
        molecule.joined[of].iter().any(|(other, bond)| {
            let other = &molecule.atoms[*other];
            molecule.bonds[*bond].order == Order::Double
                && !(outside_ring && molecule.bonds[*bond].in_ring)
                && !other.aromatic
                && matches!(other.element, 7 | 8 | 15 | 16)
        })
    };
    let singles = || molecule.around(atom).filter(|(_, _, order)| *order == Order::Single);
    match (this.element, this.aromatic) {
        (8 | 16, false) => {
            let two = molecule.valence(atom) == 2;
            (hydrogens == 1 && two && singles().any(|(other, _, _)| !drawn(other, false)))
                || (hydrogens == 0 && two)
                || this.charge == -1
        }
        (7, false) => molecule.valence(atom) == 3 && !singles().any(|(other, _, _)| drawn(other, true)),
        (7, true) => hydrogens == 0 && this.charge == 0 && molecule.degree(atom) == 2,
        (8 | 16, true) => this.charge == 0,
        _ => false,
    }
}

/// Single bonds outside rings between atoms that have more neighbours, less amides and symmetric ends.
fn rotatable(molecule: &Molecule) -> usize {
    molecule
        .bonds
        .iter()
        .filter(|bond| bond.order == Order::Single && !bond.in_ring)
        .filter(|bond| {
            let (a, b) = (bond.from, bond.to);
            turns(molecule, a) && turns(molecule, b) && !(stiff(molecule, a) && stiff(molecule, b))
        })
        .count()
}

fn turns(molecule: &Molecule, atom: usize) -> bool {
    let this = &molecule.atoms[atom];
    let triple = molecule.around(atom).any(|(_, _, order)| order == Order::Triple);
    let symmetric = this.element == 6 && !this.aromatic && {
        let same = |element: u8| {
            molecule
                .around(atom)
                .filter(|(_, other, order)| *order == Order::Single && other.element == element)
                .count()
                >= 3
        };
        let methyls = molecule
            .around(atom)
            .filter(|(number, other, order)| {
                *order == Order::Single && other.element == 6 && !other.aromatic && molecule.hydrogens(*number) == 3
            })
            .count();
        same(9) || same(17) || same(35) || methyls >= 3
    };
    !triple && molecule.degree(atom) != 1 && !symmetric
}

/// Part of an amide-like bond: the carbon of C(=X)–Y or the Y at such a carbon.
fn stiff(molecule: &Molecule, atom: usize) -> bool {
    let outside = |of: usize| {
        molecule.joined[of]
            .iter()
            .filter(|(_, bond)| molecule.bonds[*bond].order == Order::Single && !molecule.bonds[*bond].in_ring)
            .map(|(other, _)| *other)
    };
    let carbonyl = |of: usize| {
        let this = &molecule.atoms[of];
        this.element == 6
            && !this.aromatic
            && molecule.degree(of) == 3
            && molecule
                .around(of)
                .any(|(_, o, order)| order == Order::Double && !o.aromatic && matches!(o.element, 7 | 8 | 16))
    };
    let partner = |of: usize| {
        let this = &molecule.atoms[of];
        match this.element {
            7 => true,
            8 => !this.aromatic,
            16 => !this.aromatic && molecule.degree(of) != 1,
            _ => false,
        }
    };
    (carbonyl(atom) && outside(atom).any(partner)) || (partner(atom) && outside(atom).any(carbonyl))
}
