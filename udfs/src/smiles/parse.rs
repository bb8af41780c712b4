//! The language: text to graph. Anything outside the grammar is `None`.
#![expect(clippy::indexing_slicing, reason = "atom numbers come from the molecule being built")]

use std::collections::BTreeMap;

use super::element;
use super::graph::{Atom, Molecule, Order};

/// Branches within branches; deeper ones are not chemistry.
const DEPTH_MAX: usize = 200;

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    molecule: Molecule,
    /// Atoms that take the hydrogens their valence leaves.
    implicit: Vec<bool>,
    open_rings: BTreeMap<u32, (usize, Option<Order>)>,
}

/// The graph with its hydrogens counted; rings are not known yet.
pub(crate) fn parse(text: &str) -> Option<Molecule> {
    let mut parser = Parser {
        bytes: text.as_bytes(),
        at: 0,
        molecule: Molecule::default(),
        implicit: Vec::new(),
        open_rings: BTreeMap::new(),
    };
    parser.chain()?;
    if !parser.open_rings.is_empty() || parser.molecule.atoms.is_empty() {
        return None;
    }
    parser.finish()
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn chain(&mut self) -> Option<()> {
        let mut stack: Vec<usize> = Vec::new();
        let mut last: Option<usize> = None;
        let mut order: Option<Order> = None;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => {
                    stack.push(last?);
                    if stack.len() > DEPTH_MAX || order.is_some() {
                        return None;
                    }
                    self.at += 1;
                }
                b')' => {
                    if order.is_some() {
                        return None;
                    }
                    last = Some(stack.pop()?);
                    self.at += 1;
                }
                b'.' => {
                    if order.is_some() || last.is_none() {
                        return None;
                    }
                    last = None;
                    self.at += 1;
                }
                b'-' | b'=' | b'#' | b':' | b'$' | b'~' | b'/' | b'\\' => {
                    if order.replace(bond_order(byte)).is_some() || last.is_none() {
                        return None;
                    }
                    self.at += 1;
                }
                b'0'..=b'9' | b'%' => {
                    let ring = self.ring_number()?;
                    self.ring(ring, last?, order.take())?;
                }
                _ => {
                    let (atom, implicit) = self.atom()?;
                    let number = self.molecule.add_atom(atom);
                    self.implicit.push(implicit);
                    if let Some(last) = last {
                        let order = order.take().unwrap_or_else(|| self.usual(last, number));
                        self.molecule.add_bond(last, number, order);
                    } else if order.is_some() {
                        return None;
                    }
                    last = Some(number);
                }
            }
        }
        (stack.is_empty() && order.is_none() && last.is_some()).then_some(())
    }

    /// The order of a bond that is not written.
    fn usual(&self, a: usize, b: usize) -> Order {
        if self.molecule.atoms[a].aromatic && self.molecule.atoms[b].aromatic {
            Order::Aromatic
        } else {
            Order::Single
        }
    }

    fn ring_number(&mut self) -> Option<u32> {
        let digit = |byte: Option<u8>| byte.filter(u8::is_ascii_digit).map(|b| u32::from(b - b'0'));
        if !self.take(b'%') {
            let number = digit(self.peek())?;
            self.at += 1;
            return Some(number);
        }
        if self.take(b'(') {
            let mut number = 0;
            while let Some(next) = digit(self.peek()) {
                number = number * 10 + next;
                self.at += 1;
                if number > 99_999 {
                    return None;
                }
            }
            return self.take(b')').then_some(number);
        }
        let (tens, ones) = (digit(self.peek())?, digit(self.bytes.get(self.at + 1).copied())?);
        self.at += 2;
        Some(10 * tens + ones)
    }

    fn ring(&mut self, ring: u32, here: usize, order: Option<Order>) -> Option<()> {
        let Some((there, opened)) = self.open_rings.remove(&ring) else {
            self.open_rings.insert(ring, (here, order));
            return Some(());
        };
        let twice = self.molecule.joined[here].iter().any(|(other, _)| *other == there);
        if there == here || twice {
            return None;
        }
        let order = order.or(opened).unwrap_or_else(|| self.usual(there, here));
        self.molecule.add_bond(there, here, order);
        Some(())
    }

    /// An atom, and whether its hydrogens are implied.
    fn atom(&mut self) -> Option<(Atom, bool)> {
        if self.take(b'[') {
            return Some((self.bracket()?, false));
        }
        let rest = self.bytes.get(self.at..)?;
        let plain = |element: u8, aromatic: bool| Atom {
            element,
            aromatic,
            ..Atom::default()
        };
        let (atom, length) = match rest {
            [b'C', b'l', ..] => (plain(17, false), 2),
            [b'B', b'r', ..] => (plain(35, false), 2),
            [b'B', ..] => (plain(5, false), 1),
            [b'C', ..] => (plain(6, false), 1),
            [b'N', ..] => (plain(7, false), 1),
            [b'O', ..] => (plain(8, false), 1),
            [b'P', ..] => (plain(15, false), 1),
            [b'S', ..] => (plain(16, false), 1),
            [b'F', ..] => (plain(9, false), 1),
            [b'I', ..] => (plain(53, false), 1),
            [b'b', ..] => (plain(5, true), 1),
            [b'c', ..] => (plain(6, true), 1),
            [b'n', ..] => (plain(7, true), 1),
            [b'o', ..] => (plain(8, true), 1),
            [b'p', ..] => (plain(15, true), 1),
            [b's', ..] => (plain(16, true), 1),
            [b'*', ..] => (plain(0, false), 1),
            _ => return None,
        };
        self.at += length;
        Some((atom, atom.element != 0))
    }

    /// `[isotope symbol chirality hydrogens charge :class]`
    fn bracket(&mut self) -> Option<Atom> {
        let mut atom = Atom {
            isotope: u16::try_from(self.number(3)?.unwrap_or(0)).ok()?,
            ..Atom::default()
        };
        let rest = self.bytes.get(self.at..)?;
        if rest.first() == Some(&b'*') {
            self.at += 1;
        } else {
            let (element, aromatic, length) = symbol(rest)?;
            (atom.element, atom.aromatic) = (element, aromatic);
            self.at += length;
        }
        while self.take(b'@') {
            let letters = self.bytes.get(self.at..self.at + 2).unwrap_or_default();
            if [b"TH", b"AL", b"SP", b"TB", b"OH"].iter().any(|kind| *kind == letters) {
                self.at += 2;
                self.number(2)?;
            }
        }
        if self.take(b'H') {
            atom.hydrogens = u8::try_from(self.number(2)?.unwrap_or(1)).ok()?;
        }
        let sign = match self.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => 0,
        };
        if sign != 0 {
            let byte = self.peek()?;
            let mut count = 0_i8;
            while self.take(byte) {
                count = count.checked_add(1)?;
            }
            let size = match self.number(2)? {
                Some(number) if count == 1 => i8::try_from(number).ok()?,
                Some(_) => return None,
                None => count,
            };
            atom.charge = sign * size;
        }
        if self.take(b':') {
            self.number(6)??;
        }
        self.take(b']').then_some(atom)
    }

    /// A whole number of at most `digits` digits, if one stands here.
    fn number(&mut self, digits: usize) -> Option<Option<u32>> {
        let mut value: Option<u32> = None;
        let begun = self.at;
        while let Some(byte) = self.peek().filter(u8::is_ascii_digit) {
            value = Some(value.unwrap_or(0) * 10 + u32::from(byte - b'0'));
            self.at += 1;
            if self.at - begun > digits {
                return None;
            }
        }
        Some(value)
    }

    /// Fills implied hydrogens, writes nitro groups with charges, and folds plain hydrogen atoms into their neighbours.
    fn finish(mut self) -> Option<Molecule> {
        let count = self.molecule.atoms.len();
        for atom in 0..count {
            self.separate_charges(atom);
        }
        for atom in 0..count {
            if self.implicit[atom] {
                let bonds = self.molecule.twice_bonds(atom).div_ceil(2);
                let element = self.molecule.atoms[atom].element;
                // An aromatic atom never reaches for its higher valence.
                let valences = element::valences(element);
                let valence = if self.molecule.atoms[atom].aromatic {
                    valences.first().copied().unwrap_or(0)
                } else {
                    valences.iter().copied().find(|v| *v >= bonds).unwrap_or(bonds)
                };
                self.molecule.atoms[atom].hydrogens = u8::try_from(valence.saturating_sub(bonds)).ok()?;
            }
        }
        if self.molecule.atoms.iter().any(|atom| atom.element == 1) {
            return Some(fold_hydrogens(&self.molecule));
        }
        Some(self.molecule)
    }

    /// `N(=O)=O` with a five-fold nitrogen is written `[N+](=O)[O-]`.
    fn separate_charges(&mut self, atom: usize) {
        let molecule = &mut self.molecule;
        if molecule.atoms[atom].element != 7 || molecule.atoms[atom].charge != 0 || molecule.twice_bonds(atom) != 10 {
            return;
        }
        let oxygen = molecule.joined[atom].iter().copied().find(|(other, bond)| {
            molecule.atoms[*other].element == 8
                && molecule.atoms[*other].charge == 0
                && molecule.degree(*other) == 1
                && molecule.bonds[*bond].order == Order::Double
        });
        if let Some((oxygen, bond)) = oxygen {
            molecule.bonds[bond].order = Order::Single;
            molecule.atoms[atom].charge = 1;
            molecule.atoms[oxygen].charge = -1;
            self.implicit[oxygen] = false;
        }
    }
}

fn bond_order(byte: u8) -> Order {
    match byte {
        b'=' => Order::Double,
        b'#' => Order::Triple,
        b':' => Order::Aromatic,
        b'$' | b'~' => Order::Other,
        _ => Order::Single,
    }
}

/// Element, aromaticity and length of the symbol at the start of `rest`.
fn symbol(rest: &[u8]) -> Option<(u8, bool, usize)> {
    let first = *rest.first()?;
    if first.is_ascii_lowercase() {
        return match rest {
            [b's', b'e', ..] => Some((34, true, 2)),
            [b'a', b's', ..] => Some((33, true, 2)),
            [b't', b'e', ..] => Some((52, true, 2)),
            [b's', b'i', ..] => Some((14, true, 2)),
            [b'b', ..] => Some((5, true, 1)),
            [b'c', ..] => Some((6, true, 1)),
            [b'n', ..] => Some((7, true, 1)),
            [b'o', ..] => Some((8, true, 1)),
            [b'p', ..] => Some((15, true, 1)),
            [b's', ..] => Some((16, true, 1)),
            _ => None,
        };
    }
    let of = |length: usize| {
        let text = std::str::from_utf8(rest.get(..length)?).ok()?;
        element::number(text).map(|number| (number, false, length))
    };
    of(2).or_else(|| of(1))
}

/// Plain hydrogen atoms with one heavy neighbour become counts; isotopes and bridging ones stay atoms.
fn fold_hydrogens(molecule: &Molecule) -> Molecule {
    let folded = |atom: usize| {
        let this = &molecule.atoms[atom];
        this.element == 1
            && this.isotope == 0
            && this.charge == 0
            && molecule.degree(atom) == 1
            && molecule.around(atom).all(|(_, other, _)| other.element != 1)
    };
    let mut whole = Molecule::default();
    let mut place = vec![usize::MAX; molecule.atoms.len()];
    for (atom, this) in molecule.atoms.iter().enumerate() {
        if !folded(atom) {
            let gone = molecule.around(atom).filter(|(other, _, _)| folded(*other)).count();
            place[atom] = whole.add_atom(Atom {
                hydrogens: this.hydrogens.saturating_add(u8::try_from(gone).unwrap_or(u8::MAX)),
                ..*this
            });
        }
    }
    for bond in &molecule.bonds {
        let (from, to) = (place[bond.from], place[bond.to]);
        if from != usize::MAX && to != usize::MAX {
            whole.add_bond(from, to, bond.order);
        }
    }
    whole
}
