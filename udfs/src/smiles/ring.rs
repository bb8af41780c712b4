//! Rings: which bonds lie in one, and a smallest set of smallest rings.
//!
//! J. D. Horton, SIAM J. Comput. 16 (1987) 358: every ring of a minimal basis is an edge and the shortest ways from some atom to its ends.
//! Candidates are taken by size while they are independent.
#![expect(
    clippy::indexing_slicing,
    reason = "atom and bond numbers belong to the molecule they are used on"
)]

use std::collections::VecDeque;

use super::graph::Molecule;

/// Marks ring bonds and ring atoms and lists the rings.
pub(crate) fn find(molecule: &mut Molecule) {
    mark_ring_bonds(molecule);
    let ring_bonds: Vec<usize> = (0..molecule.bonds.len())
        .filter(|b| molecule.bonds[*b].in_ring)
        .collect();
    let ring_atoms: Vec<usize> = (0..molecule.atoms.len())
        .filter(|atom| {
            molecule.joined[*atom]
                .iter()
                .any(|(_, bond)| molecule.bonds[*bond].in_ring)
        })
        .collect();
    for atom in &ring_atoms {
        molecule.atoms[*atom].in_ring = true;
    }
    let wanted = rank(molecule, &ring_bonds, ring_atoms.len());
    if wanted == 0 {
        return;
    }
    let mut candidates: Vec<Vec<usize>> = Vec::new();
    for root in &ring_atoms {
        let (before, distance) = shortest(molecule, *root);
        for bond in &ring_bonds {
            let (a, b) = (molecule.bonds[*bond].from, molecule.bonds[*bond].to);
            // Each ring is found from each of its atoms; from its lowest one is enough to keep a ring of odd or even size once or twice.
            if distance[a] == usize::MAX
                || distance[a].abs_diff(distance[b]) > 1
                || before[a] == *bond
                || before[b] == *bond
            {
                continue;
            }
            if let Some(ring) = close(molecule, &before, *root, *bond) {
                candidates.push(ring);
            }
        }
    }
    candidates.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    candidates.dedup();
    molecule.rings = independent(candidates, &ring_bonds, molecule.bonds.len(), wanted);
    for ring in molecule.rings.clone() {
        if ring.len() == 3 {
            for bond in ring {
                let (a, b) = (molecule.bonds[bond].from, molecule.bonds[bond].to);
                molecule.atoms[a].in_three_ring = true;
                molecule.atoms[b].in_three_ring = true;
            }
        }
    }
}

/// A bond lies in a ring if its ends stay connected without it: no bridge in a depth-first walk.
fn mark_ring_bonds(molecule: &mut Molecule) {
    let count = molecule.atoms.len();
    let (mut entered, mut low) = (vec![0_usize; count], vec![0_usize; count]);
    let mut clock = 0;
    for start in 0..count {
        if entered[start] != 0 {
            continue;
        }
        clock += 1;
        (entered[start], low[start]) = (clock, clock);
        // Atom, the bond it was entered by, and the neighbour to look at next.
        let mut stack: Vec<(usize, usize, usize)> = vec![(start, usize::MAX, 0)];
        while let Some((atom, by, next)) = stack.pop() {
            if let Some((other, bond)) = molecule.joined[atom].get(next).copied() {
                stack.push((atom, by, next + 1));
                if bond == by {
                    continue;
                }
                if entered[other] == 0 {
                    clock += 1;
                    (entered[other], low[other]) = (clock, clock);
                    stack.push((other, bond, 0));
                } else {
                    low[atom] = low[atom].min(entered[other]);
                    molecule.bonds[bond].in_ring = true;
                }
            } else if by != usize::MAX {
                let bond = molecule.bonds[by];
                let parent = if bond.from == atom { bond.to } else { bond.from };
                low[parent] = low[parent].min(low[atom]);
                molecule.bonds[by].in_ring = low[atom] <= entered[parent];
            }
        }
    }
}

/// The number of independent rings: bonds − atoms + parts.
fn rank(molecule: &Molecule, ring_bonds: &[usize], ring_atoms: usize) -> usize {
    let mut part: Vec<usize> = (0..molecule.atoms.len()).collect();
    fn root(part: &mut [usize], mut of: usize) -> usize {
        while part[of] != of {
            part[of] = part[part[of]];
            of = part[of];
        }
        of
    }
    let mut merged = 0;
    for bond in ring_bonds {
        let (a, b) = (
            root(&mut part, molecule.bonds[*bond].from),
            root(&mut part, molecule.bonds[*bond].to),
        );
        if a != b {
            part[a] = b;
            merged += 1;
        }
    }
    debug_assert!(merged <= ring_atoms);
    ring_bonds.len() - merged
}

/// Breadth first over ring bonds: the bond each atom is reached by, and its distance.
fn shortest(molecule: &Molecule, root: usize) -> (Vec<usize>, Vec<usize>) {
    let count = molecule.atoms.len();
    let (mut before, mut distance) = (vec![usize::MAX; count], vec![usize::MAX; count]);
    distance[root] = 0;
    let mut queue = VecDeque::from([root]);
    while let Some(atom) = queue.pop_front() {
        for (other, bond) in &molecule.joined[atom] {
            if molecule.bonds[*bond].in_ring && distance[*other] == usize::MAX {
                (distance[*other], before[*other]) = (distance[atom] + 1, *bond);
                queue.push_back(*other);
            }
        }
    }
    (before, distance)
}

/// The ring over `bond` and the shortest ways from its ends to `root`, if they meet only there.
fn close(molecule: &Molecule, before: &[usize], root: usize, bond: usize) -> Option<Vec<usize>> {
    let way = |mut atom: usize| {
        let (mut bonds, mut atoms) = (Vec::new(), Vec::new());
        while atom != root {
            atoms.push(atom);
            let by = *before.get(atom)?;
            let step = molecule.bonds.get(by)?;
            bonds.push(by);
            atom = if step.from == atom { step.to } else { step.from };
        }
        Some((bonds, atoms))
    };
    let (mut ring, left) = way(molecule.bonds[bond].from)?;
    let (right, other) = way(molecule.bonds[bond].to)?;
    if left.iter().any(|atom| other.contains(atom)) {
        return None;
    }
    ring.extend(right);
    ring.push(bond);
    ring.sort_unstable();
    Some(ring)
}

/// The first `wanted` candidates that are independent over the field of two elements.
fn independent(candidates: Vec<Vec<usize>>, ring_bonds: &[usize], bonds: usize, wanted: usize) -> Vec<Vec<usize>> {
    let mut place = vec![0; bonds];
    for (at, bond) in ring_bonds.iter().enumerate() {
        place[*bond] = at;
    }
    let words = ring_bonds.len().div_ceil(64);
    // Reduced rows with their leading bit.
    let mut basis: Vec<(usize, Vec<u64>)> = Vec::new();
    let mut rings = Vec::new();
    for ring in candidates {
        let mut row = vec![0_u64; words];
        for bond in &ring {
            row[place[*bond] / 64] ^= 1 << (place[*bond] % 64);
        }
        for (lead, other) in &basis {
            if row[lead / 64] >> (lead % 64) & 1 == 1 {
                row.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
            }
        }
        let lead = row
            .iter()
            .enumerate()
            .find(|(_, word)| **word != 0)
            .map(|(at, word)| at * 64 + word.trailing_zeros() as usize);
        if let Some(lead) = lead {
            basis.push((lead, row));
            rings.push(ring);
            if rings.len() == wanted {
                break;
            }
        }
    }
    rings
}
