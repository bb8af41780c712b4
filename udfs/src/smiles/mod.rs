//! Molecules from SMILES text: what a chemist's column says about itself.
//!
//! A text is parsed within bounds into a graph ([`Molecule`]), rings and aromaticity are found, and from those come the eight descriptors
//! that ChEMBL publishes ([`Descriptors`]) and a circular fingerprint. What cannot be parsed is no molecule: the caller gets NULL, never a panic.
//!
//! Sources: D. Weininger, J. Chem. Inf. Comput. Sci. 28 (1988) 31 for the language; S. Wildman and G. Crippen, ibid. 39 (1999) 868 for alogp;
//! P. Ertl, J. Med. Chem. 43 (2000) 3714 for the polar surface; donors, acceptors and rotatable bonds as ChEMBL defines them.
//! Measured on ChEMBL's own values in `tests/suite/molecules.rs`.

mod aromatic;
mod counts;
mod crippen;
mod element;
mod fingerprint;
mod graph;
mod parse;
mod polar;
mod ring;
mod scaffold;

pub(crate) use counts::of as descriptors;
pub use counts::{Descriptors, describe};
pub(crate) use fingerprint::{BITS, fingerprint, reaction_fingerprint};
pub(crate) use graph::Molecule;
pub(crate) use scaffold::scaffold;

/// The finaliser of SplitMix64: the same on every machine and in every version.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Longer texts are no molecules of a laboratory's table.
const BYTES_MAX: usize = 4_000;
/// Atoms of one molecule. Ring search is cubic in ring atoms, so this bounds its time to some milliseconds.
const ATOMS_MAX: usize = 999;

/// The graph of a SMILES text; `None` if it is not one.
pub(crate) fn parse(text: &str) -> Option<Molecule> {
    let text = text.trim();
    if text.is_empty() || text.len() > BYTES_MAX {
        return None;
    }
    let mut molecule = parse::parse(text)?;
    if molecule.atoms.len() > ATOMS_MAX {
        return None;
    }
    ring::find(&mut molecule);
    aromatic::perceive(&mut molecule);
    Some(molecule)
}
