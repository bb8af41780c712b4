//! Rings: which bonds lie in one, and a smallest set of smallest rings.
//!
//! J. D. Horton, SIAM J. Comput. 16 (1987) 358: every ring of a minimal basis is an edge and the shortest ways from some atom to its ends.
//! Candidates are taken by size while they are independent.
#![expect(
    clippy::indexing_slicing,
    reason = "atom and bond numbers belong to the molecule they are used on"
)]

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::graph::Molecule;

/// Marks ring bonds and ring atoms and lists the rings.
pub(crate) fn find(molecule: &mut Molecule) {
    mark_ring_bonds(molecule);
    let bonds: Vec<usize> = (0..molecule.bonds.len())
        .filter(|bond| molecule.bonds[*bond].in_ring)
        .collect();
    if bonds.is_empty() {
        return;
    }
    for bond in &bonds {
        let (a, b) = (molecule.bonds[*bond].from, molecule.bonds[*bond].to);
        (molecule.atoms[a].in_ring, molecule.atoms[b].in_ring) = (true, true);
    }
    let wanted = rank(molecule, &bonds);
    let rings = independent(&candidates(molecule, &bonds), wanted);
    molecule.rings = rings
        .iter()
        .map(|ring| ring.places().map(|place| bonds[place]).collect())
        .collect();
    for bond in molecule.rings.iter().filter(|ring| ring.len() == 3).flatten() {
        let (a, b) = (molecule.bonds[*bond].from, molecule.bonds[*bond].to);
        (molecule.atoms[a].in_three_ring, molecule.atoms[b].in_three_ring) = (true, true);
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
fn rank(molecule: &Molecule, ring_bonds: &[usize]) -> usize {
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
    ring_bonds.len() - merged
}

/// A set of ring bonds by their places among them; two words are enough for nearly all molecules.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bonds(SmallVec<[u64; 2]>);

impl Bonds {
    fn none(words: usize) -> Self {
        Self(SmallVec::from_elem(0, words))
    }

    fn with(mut self, place: usize) -> Self {
        self.0[place / 64] |= 1 << (place % 64);
        self
    }

    /// All of both, if they have none in common.
    fn joined(&self, other: &Self) -> Option<Self> {
        let pairs = || self.0.iter().zip(&other.0);
        pairs()
            .all(|(a, b)| a & b == 0)
            .then(|| Self(pairs().map(|(a, b)| a | b).collect()))
    }

    fn toggle(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a ^= b);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != 0)?;
        Some(word * 64 + self.0[word].trailing_zeros() as usize)
    }

    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 64).filter(|place| self.has(*place))
    }

    /// As their places in ascending order compare, one after the other, if both have as many.
    fn order(&self, other: &Self) -> Ordering {
        let turned = |set: &Self| {
            set.0
                .iter()
                .map(|word| word.reverse_bits())
                .collect::<SmallVec<[u64; 2]>>()
        };
        turned(other).cmp(&turned(self))
    }
}

/// Rings that may belong to a smallest set, the smallest first: a bond and the shortest ways from its ends to an atom.
fn candidates(molecule: &Molecule, bonds: &[usize]) -> Vec<Bonds> {
    let mut place = vec![usize::MAX; molecule.bonds.len()];
    for (at, bond) in bonds.iter().enumerate() {
        place[*bond] = at;
    }
    let words = bonds.len().div_ceil(64);
    let mut found: Vec<(u32, Bonds)> = Vec::new();
    // The way to each reached atom.
    let mut ways: Vec<Option<Bonds>> = vec![None; molecule.atoms.len()];
    let mut queue: Vec<usize> = Vec::new();
    for root in (0..molecule.atoms.len()).filter(|atom| molecule.atoms[*atom].in_ring) {
        ways.fill(None);
        queue.clear();
        ways[root] = Some(Bonds::none(words));
        queue.push(root);
        let mut next = 0;
        while let Some(atom) = queue.get(next).copied() {
            next += 1;
            for (other, bond) in &molecule.joined[atom] {
                if molecule.bonds[*bond].in_ring && ways[*other].is_none() {
                    ways[*other] = ways[atom].clone().map(|way| way.with(place[*bond]));
                    queue.push(*other);
                }
            }
        }
        for (at, bond) in bonds.iter().enumerate() {
            let (from, to) = (molecule.bonds[*bond].from, molecule.bonds[*bond].to);
            let (Some(a), Some(b)) = (&ways[from], &ways[to]) else {
                continue;
            };
            // Two ways of one tree that meet in an atom share the bonds from there on.
            if a.has(at) || b.has(at) || a.count().abs_diff(b.count()) > 1 {
                continue;
            }
            if let Some(ring) = a.joined(b) {
                let ring = ring.with(at);
                found.push((ring.count(), ring));
            }
        }
    }
    found.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.order(right)));
    found.dedup();
    found.into_iter().map(|(_, ring)| ring).collect()
}

/// The first `wanted` candidates that are independent over the field of two elements.
fn independent(candidates: &[Bonds], wanted: usize) -> Vec<Bonds> {
    // Reduced rings with their leading place.
    let mut basis: Vec<(usize, Bonds)> = Vec::new();
    let mut rings = Vec::new();
    for ring in candidates {
        if rings.len() == wanted {
            break;
        }
        let mut rest = ring.clone();
        for (lead, other) in &basis {
            if rest.has(*lead) {
                rest.toggle(other);
            }
        }
        if let Some(lead) = rest.first() {
            basis.push((lead, rest));
            rings.push(ring.clone());
        }
    }
    rings
}
