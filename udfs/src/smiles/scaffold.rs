//! A molecule's scaffold: its rings and what joins them, side chains left away.
//!
//! G. Bemis and M. Murcko, J. Med. Chem. 39 (1996) 2887. Atoms with a double bond to the scaffold stay, as in RDKit's. Molecules of one scaffold are a
//! series: a model that has seen one of them knows more of the others than of what chemists try next.
#![expect(clippy::indexing_slicing, reason = "atom numbers belong to the molecule")]

use super::graph::{Molecule, Order};
use super::mix;

/// Rounds in which atoms learn what is around them.
const ROUNDS: usize = 12;

/// A number that molecules of one scaffold share; `None` for one without rings.
pub(crate) fn scaffold(molecule: &Molecule) -> Option<u64> {
    let count = molecule.atoms.len();
    let mut kept = vec![true; count];
    let mut left: Vec<usize> = (0..count).collect();
    let degree = |kept: &[bool], atom: usize| molecule.around(atom).filter(|(other, _, _)| kept[*other]).count();
    while let Some(atom) = left.pop() {
        if kept[atom] && !molecule.atoms[atom].in_ring && degree(&kept, atom) <= 1 {
            kept[atom] = false;
            left.extend(molecule.around(atom).map(|(other, _, _)| other));
        }
    }
    if !kept.contains(&true) {
        return None;
    }
    let core = kept.clone();
    for (atom, kept) in kept.iter_mut().enumerate() {
        let double = |(other, _, order): (usize, _, Order)| core[other] && order == Order::Double;
        *kept |= molecule.around(atom).any(double);
    }
    let of = |atom: usize| {
        let this = &molecule.atoms[atom];
        let parts = [
            u64::from(this.element),
            degree(&kept, atom) as u64,
            u64::from(this.aromatic),
            u64::from(this.in_ring),
        ];
        parts.iter().fold(0x5CAF, |all, part| mix(all ^ mix(*part)))
    };
    let atoms: Vec<usize> = (0..count).filter(|atom| kept[*atom]).collect();
    let mut hashes: Vec<u64> = (0..count).map(|atom| if kept[atom] { of(atom) } else { 0 }).collect();
    for _ in 0..ROUNDS.min(atoms.len()) {
        let before = hashes.clone();
        for atom in &atoms {
            let around = molecule.around(*atom).filter(|(other, _, _)| kept[*other]);
            let mut around: Vec<u64> = around
                .map(|(other, _, order)| mix(before[other] ^ mix(order as u64)))
                .collect();
            around.sort_unstable();
            hashes[*atom] = around
                .iter()
                .fold(mix(before[*atom]), |all, one| mix(all.rotate_left(7) ^ one));
        }
    }
    let mut all: Vec<u64> = atoms.iter().map(|atom| hashes[*atom]).collect();
    all.sort_unstable();
    Some(all.iter().fold(0, |sum, one| mix(sum ^ one)))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn of(smiles: &str) -> Option<u64> {
        scaffold(&parse(smiles).unwrap())
    }

    #[test]
    fn side_chains_do_not_matter_and_rings_and_what_joins_them_do() {
        for (one, other) in [
            ("c1ccccc1", "Cc1ccc(O)cc1"),
            ("C1=CC=CC=C1", "CCc1ccccc1C(=O)O"),
            ("c1ccc(CCc2ccccc2)cc1", "Fc1ccc(CC(CC)c2ccccc2)cc1"),
            ("O=C(c1ccccc1)c1ccccc1", "O=C(c1ccccc1)c1ccc(Cl)cc1"),
            ("C1CCCCC1", "CC1CCCCC1.Cl"),
        ] {
            assert!(of(one).is_some());
            assert_eq!(of(one), of(other), "{one} {other}");
        }
        let different = [
            "c1ccccc1",
            "C1CCCCC1",
            "c1ccncc1",
            "c1ccc(-c2ccccc2)cc1",
            "c1ccc(Cc2ccccc2)cc1",
            "O=C(c1ccccc1)c1ccccc1",
            "c1ccc2ccccc2c1",
        ];
        for (place, one) in different.iter().enumerate() {
            for other in &different[..place] {
                assert_ne!(of(one), of(other), "{one} {other}");
            }
        }
        assert_eq!(of("CCO"), None);
    }
}
