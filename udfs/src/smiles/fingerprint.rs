//! Circular fingerprints: which surroundings of up to two bonds a molecule has, hashed into a fixed width.
//!
//! After D. Rogers and M. Hahn, J. Chem. Inf. Model. 50 (2010) 742. For a reaction the counts of products minus reactants, after the idea of
//! D. Probst et al., Digital Discovery 1 (2022) 91: what changes, not what is there.
#![expect(
    clippy::indexing_slicing,
    reason = "atom numbers belong to the molecule; bits are taken modulo the width"
)]

use smallvec::SmallVec;

use super::graph::{Molecule, Order};
use super::{mix, parse};

/// Width of a fingerprint.
pub(crate) const BITS: usize = 1_024;
const RADIUS: usize = 2;

/// How often each hashed surrounding occurs.
pub(crate) fn fingerprint(molecule: &Molecule) -> Vec<i16> {
    let mut counts = vec![0_i16; BITS];
    add(molecule, 1, &mut counts);
    counts
}

/// Products minus reactants of `reactants>agents>products`; `None` if it is no reaction. Agents count as reactants, as they must be absent from
/// the product to matter.
pub(crate) fn reaction_fingerprint(text: &str) -> Option<Vec<i16>> {
    let mut sides = text.split('>');
    let (reactants, agents, products) = (sides.next()?, sides.next()?, sides.next()?);
    if sides.next().is_some() {
        return None;
    }
    let mut counts = vec![0_i16; BITS];
    for (side, sign) in [(reactants, -1), (agents, -1), (products, 1)] {
        if !side.is_empty() {
            add(&parse(side)?, sign, &mut counts);
        }
    }
    Some(counts)
}

fn add(molecule: &Molecule, sign: i16, counts: &mut [i16]) {
    let mut hashes: Vec<u64> = (0..molecule.atoms.len())
        .map(|atom| invariant(molecule, atom))
        .collect();
    for round in 0..=RADIUS {
        for hash in &hashes {
            let slot = &mut counts[(mix(*hash) % BITS as u64) as usize];
            *slot = slot.saturating_add(sign);
        }
        if round == RADIUS {
            break;
        }
        hashes = (0..molecule.atoms.len())
            .map(|atom| {
                let mut around: SmallVec<[u64; 4]> = molecule
                    .around(atom)
                    .map(|(other, _, order)| mix(hashes[other] ^ bond_code(order)))
                    .collect();
                around.sort_unstable();
                around.iter().fold(mix(hashes[atom] ^ round as u64), |all, one| {
                    mix(all.rotate_left(7) ^ one)
                })
            })
            .collect();
    }
}

fn invariant(molecule: &Molecule, atom: usize) -> u64 {
    let this = &molecule.atoms[atom];
    let parts = [
        u64::from(this.element),
        molecule.degree(atom) as u64,
        molecule.hydrogens(atom) as u64,
        i64::from(this.charge).cast_unsigned(),
        u64::from(this.in_ring),
        u64::from(this.aromatic),
    ];
    parts.iter().fold(0x5EED, |all, part| mix(all ^ mix(*part)))
}

const fn bond_code(order: Order) -> u64 {
    match order {
        Order::Single => 0x11 << 32,
        Order::Double => 0x22 << 32,
        Order::Triple => 0x33 << 32,
        Order::Aromatic => 0x44 << 32,
        Order::Other => 0x55 << 32,
    }
}
