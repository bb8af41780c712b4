//! The octanol–water partition after Wildman and Crippen: each atom adds what its type was found to add.
//!
//! Types are tried in the order of the published table; the first that fits counts. "Plain" below means neither aromatic nor hydrogen.
#![expect(
    clippy::indexing_slicing,
    reason = "atom numbers belong to the molecule they are used on"
)]

use super::graph::{Atom, Molecule, Order};

/// alogp of the whole molecule.
pub(crate) fn alogp(molecule: &Molecule) -> f64 {
    (0..molecule.atoms.len())
        .map(|atom| {
            let around = Around::of(molecule, atom);
            let hydrogens = f64::from(molecule.atoms[atom].hydrogens);
            heavy(molecule, atom, &around) + hydrogens * hydrogen_on(molecule, atom, &around)
        })
        .sum()
}

/// What surrounds an atom, counted once.
#[derive(Default)]
struct Around {
    hydrogens: usize,
    connections: usize,
    /// Single bonds to plain carbon, to plain N, O, P, S or halogen, to any plain atom, to aromatic atoms.
    carbons: usize,
    hetero: usize,
    plain: usize,
    aromatic: usize,
    aromatic_carbons: usize,
    /// Aromatic bonds.
    ring_bonds: usize,
    double: usize,
    double_plain_carbon: usize,
    double_plain_other: usize,
    double_aromatic: usize,
    triple_plain: usize,
}

impl Around {
    fn of(molecule: &Molecule, atom: usize) -> Self {
        let mut found = Self {
            hydrogens: molecule.hydrogens(atom),
            connections: molecule.connections(atom),
            ..Self::default()
        };
        for (_, other, order) in molecule.around(atom).filter(|(_, other, _)| other.element != 1) {
            let carbon = other.element == 6;
            match (order, other.aromatic) {
                (Order::Single, true) => {
                    found.aromatic += 1;
                    found.aromatic_carbons += usize::from(carbon);
                }
                (Order::Single, false) => {
                    found.plain += 1;
                    found.carbons += usize::from(carbon);
                    found.hetero += usize::from(is_hetero(other.element));
                }
                (Order::Aromatic, _) => found.ring_bonds += 1,
                (Order::Double, true) => {
                    found.double += 1;
                    found.double_aromatic += usize::from(carbon);
                }
                (Order::Double, false) => {
                    found.double += 1;
                    found.double_plain_carbon += usize::from(carbon);
                    found.double_plain_other += usize::from(!carbon);
                }
                (Order::Triple, false) => found.triple_plain += 1,
                (Order::Triple, true) | (Order::Other, _) => {}
            }
        }
        found
    }

    fn heavy(&self) -> usize {
        self.plain + self.aromatic + self.ring_bonds
    }
}

fn is_hetero(element: u8) -> bool {
    matches!(element, 7 | 8 | 9 | 15 | 16 | 17 | 35 | 53)
}

fn heavy(molecule: &Molecule, atom: usize, around: &Around) -> f64 {
    let this = &molecule.atoms[atom];
    match (this.element, this.aromatic) {
        (6, false) => plain_carbon(around),
        (6, true) => aromatic_carbon(molecule, atom, around),
        (7, false) => plain_nitrogen(molecule, atom, this, around),
        (7, true) if this.charge > 0 => -1.119,
        (7, true) if this.charge == 0 => -0.3239,
        (7, true) => -0.4806,
        (8, false) => plain_oxygen(molecule, atom, this, around),
        (8, true) => 0.1552,
        (9 | 17 | 35 | 53, _) => halogen(this),
        (15, _) => 0.8612,
        (16, true) => 0.6237,
        (16, false) if this.charge != 0 || around.double_plain_other >= 1 => -0.0024,
        (16, false) => 0.6482,
        (1, _) => molecule.around(atom).next().map_or(0.123, |(other, _, _)| {
            hydrogen_on(molecule, other, &Around::of(molecule, other))
        }),
        (3 | 11 | 19 | 37 | 55, _) if this.charge == 1 => -2.996,
        (3 | 4 | 5 | 11..=14 | 19 | 20 | 31..=34 | 37 | 38 | 49..=52 | 55 | 56 | 81..=84, _) => -0.3808,
        (21..=30 | 39..=48 | 72..=80, _) => -0.0025,
        _ => 0.0,
    }
}

fn halogen(atom: &Atom) -> f64 {
    match (atom.element, atom.charge) {
        (9, 0) => 0.4202,
        (17, 0) => 0.6895,
        (35, 0) => 0.8456,
        (53, 0) => 0.8857,
        (_, -1) | (53, _) => -2.996,
        _ => 0.0,
    }
}

fn plain_carbon(a: &Around) -> f64 {
    let four = a.connections == 4;
    // Other plain atoms than carbon, N, O, P, S and the halogens: boron, silicon, metals.
    let strange = a.plain > a.carbons + a.hetero;
    match a.hydrogens {
        4 => 0.1441,
        3 if a.carbons >= 1 => 0.1441,
        2 if a.carbons >= 2 => 0.1441,
        1 if a.carbons >= 3 => 0.0,
        _ if a.carbons >= 4 => 0.0,
        3 if a.aromatic_carbons >= 1 => 0.08452,
        3 if a.aromatic >= 1 => -0.1444,
        2 if four && a.aromatic >= 1 => -0.0516,
        1 if four && a.aromatic >= 1 => 0.1193,
        0 if four && a.aromatic >= 1 => -0.0967,
        3 if a.hetero >= 1 => -0.2035,
        2 if four && a.hetero >= 1 => -0.2035,
        0 | 1 if four && a.hetero >= 1 => -0.2051,
        _ if a.double_plain_other >= 1 => -0.2783,
        _ if a.double_plain_carbon >= 1 && a.aromatic >= 1 => 0.264,
        _ if a.double_plain_carbon >= 1 => 0.1551,
        _ if a.connections == 2 && a.triple_plain >= 1 => 0.0017,
        _ if a.double_aromatic >= 1 => 0.264,
        _ if four && strange => 0.2148,
        _ => 0.08129,
    }
}

fn aromatic_carbon(molecule: &Molecule, atom: usize, a: &Around) -> f64 {
    let joined = |element: u8| molecule.around(atom).any(|(_, other, _)| other.element == element);
    let single = |element: u8| {
        molecule
            .around(atom)
            .any(|(_, other, order)| order == Order::Single && !other.aromatic && other.element == element)
    };
    let strange = molecule.around(atom).any(|(number, other, order)| {
        order == Order::Single
            && !other.aromatic
            && (!is_hetero(other.element) || other.element == 15)
            && other.element != 6
            && molecule.hydrogens(number) != 1
    });
    let double = molecule
        .around(atom)
        .any(|(_, other, order)| order == Order::Double && !other.aromatic && matches!(other.element, 6..=8));
    match () {
        () if a.hydrogens == 0 && strange => -0.5443,
        () if joined(9) => 0.0,
        () if joined(17) => 0.245,
        () if joined(35) => 0.198,
        () if joined(53) => 0.0,
        () if a.hydrogens == 1 => 0.1581,
        () if a.ring_bonds >= 3 => 0.2955,
        () if a.ring_bonds >= 2 && a.aromatic >= 1 => 0.2713,
        () if a.ring_bonds >= 2 && single(6) => 0.136,
        () if a.ring_bonds >= 2 && single(7) => 0.4619,
        () if a.ring_bonds >= 2 && single(8) => 0.5437,
        () if a.ring_bonds >= 2 && single(16) => 0.1893,
        () if a.ring_bonds >= 2 && double => -0.8186,
        () => 0.08129,
    }
}

fn plain_nitrogen(molecule: &Molecule, atom: usize, this: &Atom, a: &Around) -> f64 {
    let neutral = this.charge == 0;
    let positive = this.charge > 0;
    let double_to = |test: &dyn Fn(&Atom) -> bool| {
        molecule
            .around(atom)
            .filter(|(_, other, order)| *order == Order::Double && test(other))
            .count()
    };
    match a.hydrogens {
        2 if neutral && a.plain >= 1 => -1.019,
        1 if neutral && a.plain >= 2 => -0.7096,
        2 if neutral && a.aromatic >= 1 => -1.027,
        1 if neutral && a.aromatic >= 1 && a.heavy() >= 2 => -0.5188,
        1 if neutral && a.double >= 1 => 0.08387,
        _ if neutral && a.double >= 1 && a.heavy() >= 1 => 0.1836,
        _ if neutral && a.plain >= 3 => -0.3187,
        _ if neutral && a.aromatic >= 1 && a.plain >= 1 && a.heavy() >= 3 => -0.4458,
        _ if neutral && a.aromatic >= 3 => -0.4458,
        _ if neutral && a.triple_plain >= 1 => 0.01508,
        1..=3 if positive => -1.95,
        0 if positive && a.plain >= 4 => -0.3396,
        0 if positive && a.double > a.double_aromatic && a.plain >= 1 && a.plain + a.aromatic >= 2 => -0.3396,
        0 if positive && double_to(&|o| o.element == 6) >= 1 && double_to(&|o| o.element == 7) >= 1 => -0.3396,
        _ if positive && a.triple_plain >= 1 => 0.2887,
        _ if this.charge < 0 => 0.2887,
        _ if positive
            && double_to(&|o| o.element == 7 && o.charge < 0) >= 1
            && double_to(&|o| o.element == 7 && !o.aromatic) >= 2 =>
        {
            0.2887
        }
        _ => -0.4806,
    }
}

fn plain_oxygen(molecule: &Molecule, atom: usize, this: &Atom, a: &Around) -> f64 {
    let lone = a.connections == 1 && this.charge < 0;
    let any = |test: &dyn Fn(usize, &Atom, Order) -> bool| molecule.around(atom).any(|(n, o, order)| test(n, o, order));
    let double_to = molecule
        .around(atom)
        .find(|(_, _, order)| *order == Order::Double)
        .map(|(number, other, _)| (number, *other));
    match () {
        () if matches!(a.hydrogens, 1 | 2) => -0.2893,
        () if a.plain >= 2 => -0.0684,
        () if a.aromatic >= 1 && a.heavy() >= 2 => -0.4195,
        () if double_to.is_some_and(|(_, other)| matches!(other.element, 7 | 8)) => 0.0335,
        () if lone && any(&|_, other, _| other.element == 7) => 0.0335,
        () if lone && any(&|_, other, _| other.element == 16) => -0.3339,
        () if double_to.is_some_and(|(_, other)| other.element == 16) => -0.3339,
        () if this.charge == -1
            && any(&|n, other, _| other.element == 6 && !other.aromatic && has_oxo(molecule, n)) =>
        {
            -1.326
        }
        () if lone
            && any(&|_, other, _| other.element != 1 && (other.aromatic || !matches!(other.element, 7 | 16))) =>
        {
            -1.189
        }
        () => match double_to {
            Some((_, other)) if other.element == 6 && other.aromatic => 0.1788,
            Some((carbon, other)) if other.element == 6 => carbonyl_oxygen(molecule, carbon, atom),
            _ => -0.1188,
        },
    }
}

/// A plain oxygen at a double bond.
fn has_oxo(molecule: &Molecule, carbon: usize) -> bool {
    molecule
        .around(carbon)
        .any(|(_, other, order)| order == Order::Double && other.element == 8 && !other.aromatic)
}

/// The oxygen of a plain C=O, by what else the carbon holds.
fn carbonyl_oxygen(molecule: &Molecule, carbon: usize, oxygen: usize) -> f64 {
    let a = Around::of(molecule, carbon);
    let other_oxygen = molecule.around(carbon).any(|(number, other, order)| {
        number != oxygen && order == Order::Double && other.element == 8 && !other.aromatic
    });
    let nitrogen_or_oxygen = molecule
        .around(carbon)
        .any(|(_, other, order)| order == Order::Single && !other.aromatic && matches!(other.element, 7 | 8));
    let others = a.plain + a.aromatic - a.carbons - a.aromatic_carbons;
    match () {
        () if a.hydrogens == 1 && a.carbons >= 1 => -0.1526,
        () if a.carbons >= 1 && a.plain >= 2 => -0.1526,
        () if a.hydrogens == 1 && nitrogen_or_oxygen => -0.1526,
        () if a.hydrogens == 2 => -0.1526,
        () if a.connections == 2 && other_oxygen => -0.1526,
        () if a.hydrogens == 1 && a.aromatic_carbons >= 1 => 0.1129,
        () if a.aromatic >= 1 && a.carbons + a.aromatic_carbons >= 1 && a.carbons + a.aromatic >= 2 => 0.1129,
        () if a.aromatic_carbons >= 1 && a.plain >= 1 => 0.1129,
        () if others >= 2 => 0.4833,
        () => -0.1188,
    }
}

/// A hydrogen on `atom`.
fn hydrogen_on(molecule: &Molecule, atom: usize, around: &Around) -> f64 {
    let this = &molecule.atoms[atom];
    match (this.element, this.aromatic) {
        (6 | 1, _) => 0.123,
        (7, _) => 0.2142,
        (8, false) => hydroxyl(molecule, atom, around),
        _ => -0.2677,
    }
}

fn hydroxyl(molecule: &Molecule, oxygen: usize, around: &Around) -> f64 {
    if around.hydrogens >= 2 {
        return -0.2677;
    }
    let others = || {
        molecule
            .around(oxygen)
            .filter(|(_, _, order)| matches!(order, Order::Single | Order::Aromatic))
    };
    let acidic = |carbon: usize| {
        molecule.around(carbon).any(|(_, other, order)| {
            order == Order::Double
                && (matches!(other.element, 6 | 7) || (!other.aromatic && matches!(other.element, 8 | 16)))
        })
    };
    let mut kind = 0.1125;
    for (number, other, _) in others() {
        let found = match other.element {
            6 if other.aromatic || molecule.connections(number) == 4 => -0.2677,
            6 if acidic(number) => 0.298,
            6 => 0.1125,
            7 => 0.2142,
            8 | 16 => 0.298,
            _ => -0.2677,
        };
        // The published order: the first rule that any neighbour fits.
        kind = match (kind, found) {
            (k, f) if f == -0.2677 || k == -0.2677 => -0.2677,
            (k, f) if f == 0.2142 || k == 0.2142 => 0.2142,
            (k, f) if f == 0.298 || k == 0.298 => 0.298,
            _ => 0.1125,
        };
    }
    kind
}
