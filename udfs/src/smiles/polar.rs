//! Topological polar surface after Ertl: nitrogen and oxygen by their bonds.
#![expect(
    clippy::indexing_slicing,
    reason = "atom numbers belong to the molecule they are used on"
)]

use super::graph::{Molecule, Order};

/// Square ångström.
pub(crate) fn surface(molecule: &Molecule) -> f64 {
    (0..molecule.atoms.len())
        .map(|atom| match molecule.atoms[atom].element {
            7 => nitrogen(&Kind::of(molecule, atom)),
            8 => oxygen(&Kind::of(molecule, atom)),
            _ => 0.0,
        })
        .sum()
}

/// Heavy neighbours, hydrogens, charge, and bonds by order.
struct Kind {
    heavy: usize,
    hydrogens: usize,
    charge: i8,
    single: usize,
    double: usize,
    triple: usize,
    aromatic: usize,
    three_ring: bool,
}

impl Kind {
    fn of(molecule: &Molecule, atom: usize) -> Self {
        let count = |wanted: Order| {
            molecule
                .around(atom)
                .filter(|(_, other, order)| other.element != 1 && *order == wanted)
                .count()
        };
        Self {
            heavy: molecule.around(atom).filter(|(_, other, _)| other.element != 1).count(),
            hydrogens: molecule.hydrogens(atom),
            charge: molecule.atoms[atom].charge,
            single: count(Order::Single),
            double: count(Order::Double),
            triple: count(Order::Triple),
            aromatic: count(Order::Aromatic),
            three_ring: molecule.atoms[atom].in_three_ring,
        }
    }
}

fn nitrogen(k: &Kind) -> f64 {
    let bonds = (k.single, k.double, k.triple, k.aromatic);
    match (k.heavy, k.hydrogens, k.charge, bonds) {
        (1, 0, 0, (_, _, 1, _)) => 23.79,
        (1, 1, 0, (_, 1, _, _)) => 23.85,
        (1, 2, 0, (1, _, _, _)) => 26.02,
        (1, 2, 1, (_, 1, _, _)) => 25.59,
        (1, 3, 1, (1, _, _, _)) => 27.64,
        (2, 0, 0, (1, 1, _, _)) => 12.36,
        (2, 0, 0, (_, 1, 1, _)) => 13.60,
        (2, 1, 0, (2, _, _, _)) if k.three_ring => 21.94,
        (2, 1, 0, (2, _, _, _)) => 12.03,
        (2, 0, 1, (1, _, 1, _)) => 4.36,
        (2, 1, 1, (1, 1, _, _)) => 13.97,
        (2, 2, 1, (2, _, _, _)) => 16.61,
        (2, 0, 0, (_, _, _, 2)) => 12.89,
        (2, 1, 0, (_, _, _, 2)) => 15.79,
        (2, 1, 1, (_, _, _, 2)) => 14.14,
        (3, 0, 0, (3, _, _, _)) if k.three_ring => 3.01,
        (3, 0, 0, (3, _, _, _)) => 3.24,
        (3, 0, 0, (1, 2, _, _)) => 11.68,
        (3, 0, 1, (2, 1, _, _)) => 3.01,
        (3, 1, 1, (3, _, _, _)) => 4.44,
        (3, 0, 0, (_, _, _, 3)) => 4.41,
        (3, 0, 0, (1, _, _, 2)) => 4.93,
        (3, 0, 0, (_, 1, _, 2)) => 8.39,
        (3, 0, 1, (_, _, _, 3)) => 4.10,
        (3, 0, 1, (1, _, _, 2)) => 3.88,
        (4, 0, 1, (4, _, _, _)) => 0.0,
        _ => (30.5 - 8.2 * k.heavy as f64 + 1.5 * k.hydrogens as f64).max(0.0),
    }
}

fn oxygen(k: &Kind) -> f64 {
    match (k.heavy, k.hydrogens, k.charge) {
        (1, 0, 0) if k.double == 1 => 17.07,
        (1, 1, 0) if k.single == 1 => 20.23,
        (1, 0, -1) if k.single == 1 => 23.06,
        (2, 0, 0) if k.single == 2 && k.three_ring => 12.53,
        (2, 0, 0) if k.single == 2 => 9.23,
        (2, 0, 0) if k.aromatic == 2 => 13.14,
        _ => (28.5 - 8.6 * k.heavy as f64 + 1.5 * k.hydrogens as f64).max(0.0),
    }
}
