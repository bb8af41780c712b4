//! The molecular graph.
#![expect(
    clippy::indexing_slicing,
    reason = "atom and bond numbers are made by the parser and never leave their molecule"
)]

use smallvec::SmallVec;

/// How two atoms are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Single,
    Double,
    Triple,
    Aromatic,
    /// Quadruple, dative or unknown: joined, but counted in no valence.
    Other,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Atom {
    /// 0 stands for `*`.
    pub(crate) element: u8,
    /// 0 means the natural mixture.
    pub(crate) isotope: u16,
    pub(crate) charge: i8,
    /// Hydrogens that are no atoms of the graph.
    pub(crate) hydrogens: u8,
    pub(crate) aromatic: bool,
    pub(crate) in_ring: bool,
    pub(crate) in_three_ring: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bond {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) order: Order,
    pub(crate) in_ring: bool,
}

/// Atoms and bonds, hydrogens counted at their atoms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Molecule {
    pub(crate) atoms: Vec<Atom>,
    pub(crate) bonds: Vec<Bond>,
    /// For each atom: neighbour and bond. Few atoms have more than four.
    pub(crate) joined: Vec<SmallVec<[(usize, usize); 4]>>,
    /// Bonds of each ring of a smallest set of smallest rings.
    pub(crate) rings: Vec<Vec<usize>>,
}

impl Molecule {
    pub(crate) fn add_atom(&mut self, atom: Atom) -> usize {
        self.atoms.push(atom);
        self.joined.push(SmallVec::new());
        self.atoms.len() - 1
    }

    pub(crate) fn add_bond(&mut self, from: usize, to: usize, order: Order) {
        let bond = self.bonds.len();
        self.bonds.push(Bond {
            from,
            to,
            order,
            in_ring: false,
        });
        self.joined[from].push((to, bond));
        self.joined[to].push((from, bond));
    }

    /// Neighbours with the order of their bond.
    pub(crate) fn around(&self, atom: usize) -> impl Iterator<Item = (usize, &Atom, Order)> + '_ {
        self.joined[atom]
            .iter()
            .map(|(other, bond)| (*other, &self.atoms[*other], self.bonds[*bond].order))
    }

    /// Joined atoms, hydrogens of the graph included.
    pub(crate) fn degree(&self, atom: usize) -> usize {
        self.joined[atom].len()
    }

    /// All hydrogens of an atom, be they atoms of the graph or not.
    pub(crate) fn hydrogens(&self, atom: usize) -> usize {
        self.around(atom).filter(|(_, other, _)| other.element == 1).count() + usize::from(self.atoms[atom].hydrogens)
    }

    /// All connections of an atom, hydrogens included.
    pub(crate) fn connections(&self, atom: usize) -> usize {
        self.degree(atom) + usize::from(self.atoms[atom].hydrogens)
    }

    /// Twice the sum of the bond orders, hydrogens left out: an aromatic bond counts one and a half.
    pub(crate) fn twice_bonds(&self, atom: usize) -> usize {
        self.around(atom)
            .map(|(_, _, order)| match order {
                Order::Single => 2,
                Order::Double => 4,
                Order::Triple => 6,
                Order::Aromatic => 3,
                Order::Other => 0,
            })
            .sum()
    }

    /// The valence with hydrogens.
    pub(crate) fn valence(&self, atom: usize) -> usize {
        self.twice_bonds(atom) / 2 + usize::from(self.atoms[atom].hydrogens)
    }
}
