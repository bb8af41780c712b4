//! What the entries of a SMILES column, or of one of prose, are to the learners: numbered parts, eight descriptors first, then hashed surroundings or
//! words.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::smiles::{self, BITS, Descriptors};

/// The first part that is a fingerprint's count.
pub(crate) const FIRST_BIT: u32 = Descriptors::NAMES.len() as u32;
/// All parts of a molecule.
pub(crate) const PARTS: u32 = FIRST_BIT + BITS as u32;
/// Molecules remembered by one model beside those it was trained on: some megabytes.
const REMEMBERED_MAX: usize = 20_000;
/// Words of one text that are read: with their pairs four kilobytes.
const WORDS_MAX: usize = 512;
/// Distinct texts looked at to decide whether a column holds molecules.
const LOOKED_AT_MAX: usize = 200;

/// A molecule, or a reaction, as its parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chem {
    descriptors: [f64; Descriptors::NAMES.len()],
    /// Fingerprint counts that are not zero, by bit.
    counts: Vec<(u16, i16)>,
}

impl Chem {
    /// `None` for a text that is neither a molecule nor a reaction.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let sparse = |counts: &[i16]| {
            counts
                .iter()
                .zip(0..)
                .filter(|(count, _)| **count != 0)
                .map(|(count, bit)| (bit, *count))
                .collect()
        };
        if text.contains('>') {
            // A reaction: products minus reactants, in its descriptors too.
            let counts = smiles::reaction_fingerprint(text)?;
            let mut sides = text.split('>');
            let (from, _, to) = (sides.next()?, sides.next()?, sides.next()?);
            let (from, to) = (smiles::describe(from)?.values(), smiles::describe(to)?.values());
            let mut descriptors = to;
            descriptors.iter_mut().zip(from).for_each(|(to, from)| *to -= from);
            return Some(Self {
                descriptors,
                counts: sparse(&counts),
            });
        }
        let molecule = smiles::parse(text)?;
        Some(Self {
            descriptors: smiles::descriptors(&molecule).values(),
            counts: sparse(&smiles::fingerprint(&molecule)),
        })
    }

    /// A name as the groups of two and three letters in it, so that names which share words are alike: labs call what is alike alike.
    pub(crate) fn of_name(text: &str) -> Self {
        // A name's ends are letters, too.
        let letters: Vec<char> = [' ']
            .into_iter()
            .chain(text.trim().chars().flat_map(char::to_lowercase))
            .chain([' '])
            .collect();
        let mut groups: Vec<u16> = [2, 3]
            .into_iter()
            .flat_map(|length| letters.windows(length))
            .map(|group| {
                let mixed = group.iter().fold(0xcbf2_9ce4_8422_2325_u64, |all, letter| {
                    (all ^ u64::from(*letter)).wrapping_mul(0x100_0000_01b3)
                });
                (mixed ^ (mixed >> 32)) as u16
            })
            .collect();
        groups.sort_unstable();
        Self {
            descriptors: [0.0; Descriptors::NAMES.len()],
            counts: groups
                .chunk_by(|a, b| a == b)
                .filter_map(|same| Some((*same.first()?, same.len().min(1_000) as i16)))
                .collect(),
        }
    }

    /// Prose as its words: eight numbers of how it is written, then how often each word, and each pair of neighbours, is there, by hashed places
    /// (Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009).
    pub(crate) fn of_text(text: &str) -> Self {
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .take(WORDS_MAX)
            .map(str::to_lowercase)
            .collect();
        let place = |words: &[String]| {
            let mixed = words
                .iter()
                .flat_map(|word| word.bytes().chain([b' ']))
                .fold(0xcbf2_9ce4_8422_2325_u64, |all, byte| {
                    (all ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
                });
            ((mixed ^ (mixed >> 32)) % BITS as u64) as u16
        };
        let mut places: Vec<u16> = [1, 2]
            .into_iter()
            .flat_map(|length| words.windows(length))
            .map(place)
            .collect();
        places.sort_unstable();
        let letters = text.chars().filter(|c| !c.is_whitespace()).count() as f64;
        let share = |of: fn(&char) -> bool| text.chars().filter(of).count() as f64 / letters.max(1.0);
        let different = words.iter().collect::<HashSet<_>>().len() as f64;
        let longest = words.iter().map(|word| word.chars().count()).max().unwrap_or(0);
        let count = words.len() as f64;
        Self {
            descriptors: [
                count,
                letters,
                letters / count.max(1.0),
                different / count.max(1.0),
                longest as f64,
                share(|c| c.is_numeric()),
                share(|c| c.is_uppercase()),
                text.chars()
                    .filter(|c| matches!(c, '.' | '!' | '?' | ';' | '\n'))
                    .count() as f64,
            ],
            counts: places
                .chunk_by(|a, b| a == b)
                .filter_map(|same| Some((*same.first()?, same.len().min(1_000) as i16)))
                .collect(),
        }
    }

    /// The value of a numbered part.
    pub(crate) fn part(&self, number: u32) -> f64 {
        if let Some(value) = self.descriptors.get(number as usize) {
            return *value;
        }
        let bit = number - FIRST_BIT;
        let found = self.counts.binary_search_by_key(&bit, |(bit, _)| u32::from(*bit));
        found
            .ok()
            .and_then(|at| self.counts.get(at))
            .map_or(0.0, |(_, count)| f64::from(*count))
    }

    pub(crate) fn counts(&self) -> &[(u16, i16)] {
        &self.counts
    }

    /// Shared surroundings over all surroundings, 0 to 1 (Tanimoto on counts).
    pub(crate) fn likeness(&self, other: &Self) -> f64 {
        let (mut shared, mut all) = (0_i32, 0_i32);
        let (mut left, mut right) = (self.counts.iter().peekable(), other.counts.iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some((a, x)), Some((b, y))) if a == b => {
                    let (x, y) = (i32::from(*x), i32::from(*y));
                    // Differences of reactions have signs: opposite ones share nothing.
                    let same = x.signum() == y.signum();
                    shared += if same { x.abs().min(y.abs()) } else { 0 };
                    all += if same { x.abs().max(y.abs()) } else { x.abs() + y.abs() };
                    left.next();
                    right.next();
                }
                (Some((a, x)), Some((b, _))) if a < b => {
                    all += i32::from(x.unsigned_abs());
                    left.next();
                }
                (Some((_, x)), None) => {
                    all += i32::from(x.unsigned_abs());
                    left.next();
                }
                (_, Some((_, y))) => {
                    all += i32::from(y.unsigned_abs());
                    right.next();
                }
                (None, None) => break,
            }
        }
        if all == 0 {
            1.0
        } else {
            f64::from(shared) / f64::from(all)
        }
    }
}

/// Molecules met at prediction, so that each is parsed once.
#[derive(Debug, Default, Clone)]
pub(crate) struct Remembered(Arc<Mutex<HashMap<String, Option<Arc<Chem>>>>>);

impl Remembered {
    pub(crate) fn get(&self, text: &str) -> Option<Arc<Chem>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chem) = known.get(text) {
            return chem.clone();
        }
        let chem = Chem::of(text).map(Arc::new);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(text.to_owned(), chem.clone());
        chem
    }
}

/// What the distinct texts of a column are, by some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    /// How many were looked at.
    pub(crate) seen: usize,
    /// Those of them that are molecules or reactions.
    pub(crate) parsed: usize,
    /// Those of these that are written with bonds, rings or branches, as names and codes are not (`CO`, `NO` and `OFF` are molecules too).
    structured: usize,
}

impl Looked {
    /// Looks at texts evenly spaced among all: sorted ones begin with what is alike, as `(pending 3)` or CAS numbers before SMILES.
    pub(crate) fn at(texts: &[String]) -> Self {
        let mut looked = Self {
            seen: 0,
            parsed: 0,
            structured: 0,
        };
        let count = LOOKED_AT_MAX.min(texts.len());
        let spaced = (0..count).filter_map(|step| texts.get((2 * step + 1) * texts.len() / (2 * count)));
        for text in spaced {
            looked.seen += 1;
            if Chem::of(text).is_some() {
                looked.parsed += 1;
                let drawn = text.contains(['=', '#', '(', '[']) || text.contains(|c: char| c.is_ascii_digit());
                looked.structured += usize::from(drawn);
            }
        }
        looked
    }

    /// Whether they are molecules: where the column's name says so, if more than half are; else if three in four are and half of those look it.
    pub(crate) fn are_molecules(self, name: &str) -> bool {
        if says_molecules(name) {
            return self.parsed * 2 > self.seen;
        }
        self.parsed > 0 && self.parsed * 4 >= self.seen * 3 && self.structured * 2 >= self.parsed
    }
}

/// Whether a column's name says that it holds molecules.
pub(crate) fn says_molecules(name: &str) -> bool {
    name.to_ascii_lowercase().contains("smiles")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_molecules(name: &str, good: &[&str], bad: &[&str]) -> bool {
        let mut texts: Vec<String> = good.iter().chain(bad).map(|text| (*text).to_owned()).collect();
        texts.sort();
        Looked::at(&texts).are_molecules(name)
    }

    #[test]
    fn most_texts_decide_and_not_the_first_ones() {
        let chains: Vec<String> = (1..=4_000)
            .map(|n| format!("{}(=O)N{}", "C".repeat(n % 60 + 1), "C".repeat(n / 60 + 1)))
            .collect();
        let chains: Vec<&str> = chains.iter().map(String::as_str).collect();
        // They sort before all molecules.
        let pending: Vec<String> = (0..250).map(|n| format!("(pending {n})")).collect();
        let pending: Vec<&str> = pending.iter().map(String::as_str).collect();
        assert!(are_molecules("structure", &chains, &pending));
        assert!(are_molecules("smiles", &chains[..400], &pending));
        // By name more than half is enough, without it not; and a name alone is nothing.
        assert!(!are_molecules("structure", &chains[..400], &pending));
        assert!(!are_molecules("smiles", &chains[..250], &pending));
        assert!(!are_molecules("smiles", &[], &pending));
        assert!(!are_molecules("smiles", &[], &[]));
        // Codes that happen to be molecules are none, unless the name says so.
        let codes = ["CO", "NO", "CC", "ON", "OC"];
        assert!(!are_molecules("state", &codes, &[]));
        assert!(are_molecules("SMILES", &codes, &[]));
    }
}
