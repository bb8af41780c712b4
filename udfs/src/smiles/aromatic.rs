//! Aromaticity: what lower-case letters claim is kept where a ring bears it out, and Kekulé forms are recognised by Hückel's rule.
#![expect(
    clippy::indexing_slicing,
    reason = "atom and bond numbers belong to the molecule they are used on"
)]

use std::collections::BTreeSet;

use super::element::draws;
use super::graph::{Molecule, Order};

/// Rings joined into one path of electrons: naphthalene takes 2, azulene and larger ones seldom more than 3.
const FUSED_MAX: usize = 4;
/// Larger rings are not aromatic in a laboratory's sense.
const RING_ATOMS_MAX: usize = 24;

/// Sets the aromatic flags of atoms and the order of aromatic bonds.
pub(crate) fn perceive(molecule: &mut Molecule) {
    // "c1ccccc1c1ccccc1": the bond between the rings is in no ring and therefore single.
    for bond in 0..molecule.bonds.len() {
        let this = molecule.bonds[bond];
        if this.order == Order::Aromatic && !this.in_ring {
            molecule.bonds[bond].order = Order::Single;
        }
    }
    let kekule: Vec<usize> = (0..molecule.rings.len())
        .filter(|ring| is_kekule(molecule, *ring))
        .collect();
    if kekule.is_empty() {
        return;
    }
    let electrons: Vec<Option<usize>> = (0..molecule.atoms.len())
        .map(|atom| electrons(molecule, atom))
        .collect();
    let candidates: Vec<usize> = kekule
        .into_iter()
        .filter(|ring| {
            ends(molecule, &molecule.rings[*ring])
                .iter()
                .all(|atom| electrons[*atom].is_some())
        })
        .collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut groups: Vec<Vec<usize>> = candidates.iter().map(|ring| vec![*ring]).collect();
    let mut done = vec![false; molecule.rings.len()];
    for size in 1..=FUSED_MAX {
        for group in &groups {
            if group.iter().all(|ring| done[*ring]) {
                continue;
            }
            let outline = outline(molecule, group);
            let atoms = ends(molecule, &outline);
            let sum: usize = atoms.iter().filter_map(|atom| electrons[*atom]).sum();
            if atoms.len() <= RING_ATOMS_MAX && sum % 4 == 2 {
                group.iter().for_each(|ring| done[*ring] = true);
                found.push(outline);
            }
        }
        if size == FUSED_MAX || groups.len() > 500 || candidates.iter().all(|ring| done[*ring]) {
            break;
        }
        groups = grown(molecule, &groups, &candidates);
    }
    for outline in found {
        for atom in ends(molecule, &outline) {
            molecule.atoms[atom].aromatic = true;
        }
        for bond in outline {
            molecule.bonds[bond].order = Order::Aromatic;
        }
    }
}

/// Written with alternating bonds, none of them aromatic yet.
fn is_kekule(molecule: &Molecule, ring: usize) -> bool {
    molecule.rings[ring].len() <= RING_ATOMS_MAX
        && molecule.rings[ring]
            .iter()
            .any(|bond| molecule.bonds[*bond].order != Order::Aromatic)
}

/// The atoms that some bonds join, each once.
fn ends(molecule: &Molecule, bonds: &[usize]) -> Vec<usize> {
    let mut atoms: Vec<usize> = bonds
        .iter()
        .flat_map(|bond| [molecule.bonds[*bond].from, molecule.bonds[*bond].to])
        .collect();
    atoms.sort_unstable();
    atoms.dedup();
    atoms
}

/// The bonds that lie in an odd number of the group's rings, which is one for all but cages.
fn outline(molecule: &Molecule, group: &[usize]) -> Vec<usize> {
    let mut bonds: Vec<usize> = group.iter().flat_map(|ring| &molecule.rings[*ring]).copied().collect();
    bonds.sort_unstable();
    bonds
        .chunk_by(|a, b| a == b)
        .filter(|same| same.len() % 2 == 1)
        .filter_map(|same| same.first().copied())
        .collect()
}

/// Each group with one more ring that shares exactly one bond with one of its rings.
fn grown(molecule: &Molecule, groups: &[Vec<usize>], candidates: &[usize]) -> Vec<Vec<usize>> {
    let shares = |a: usize, b: usize| {
        molecule.rings[a]
            .iter()
            .filter(|bond| molecule.rings[b].contains(bond))
            .count()
            == 1
    };
    let mut larger: BTreeSet<Vec<usize>> = BTreeSet::new();
    for group in groups {
        for ring in candidates.iter().filter(|ring| !group.contains(ring)) {
            if group.iter().any(|member| shares(*member, *ring)) {
                let mut next = group.clone();
                next.push(*ring);
                next.sort_unstable();
                larger.insert(next);
            }
        }
    }
    larger.into_iter().collect()
}

/// The electrons that an atom gives to a ring; `None` if it cannot take part.
fn electrons(molecule: &Molecule, atom: usize) -> Option<usize> {
    let this = &molecule.atoms[atom];
    if !this.in_ring
        || !matches!(this.element, 5 | 6 | 7 | 8 | 15 | 16 | 33 | 34 | 52)
        || molecule.connections(atom) > 3
    {
        return None;
    }
    let (mut inside, mut outside, mut drawn, mut aromatic) = (0, 0, false, 0);
    for (other, bond) in &molecule.joined[atom] {
        let bond = &molecule.bonds[*bond];
        match bond.order {
            Order::Double if bond.in_ring => inside += 1,
            Order::Double => {
                outside += 1;
                drawn = draws(molecule.atoms[*other].element) > draws(this.element);
            }
            Order::Triple | Order::Other => return None,
            Order::Aromatic => aromatic += 1,
            Order::Single => {}
        }
    }
    if aromatic > 0 {
        // Already told by the text: a pyrrole-like atom gives two, every other one.
        let gives_two = match this.element {
            8 | 16 | 34 | 52 => outside == 0,
            7 | 15 | 33 => this.charge == 0 && molecule.connections(atom) == 3,
            _ => this.charge < 0,
        };
        return Some(if outside > 0 && drawn {
            0
        } else {
            1 + usize::from(gives_two)
        });
    }
    match (inside, outside) {
        (1, 0) => Some(1),
        (0, 1) if drawn => Some(0),
        (0, 0) => match (this.element, this.charge) {
            (7 | 15 | 33, 0) | (8 | 16 | 34 | 52, 0) | (6, -1) | (7, -1) => Some(2),
            (5, 0) | (6, 1) => Some(0),
            _ => None,
        },
        _ => None,
    }
}
