//! How far a word is from another, in typing errors: a letter too many, too few, wrong, or two swapped.

/// Bits of a letter set; letters share them.
const BITS: u32 = u64::BITS;

/// What is known of a word before it is compared letter by letter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    letters: u64,
    length: usize,
    has_digit: bool,
}

impl Shape {
    pub(super) fn of(word: &str) -> Self {
        let mut shape = Self {
            letters: 0,
            length: 0,
            has_digit: false,
        };
        for ch in word.chars() {
            shape.letters |= 1 << (u32::from(ch) % BITS);
            shape.length += 1;
            shape.has_digit |= ch.is_numeric();
        }
        shape
    }

    /// Letters of the word.
    pub(super) fn length(self) -> usize {
        self.length
    }

    /// Errors that are forgiven in this word. Short words are each near another, and a number is not misspelt but another one.
    pub(super) fn forgiven(self) -> usize {
        match self.length {
            _ if self.has_digit => 0,
            0..=3 => 0,
            4..=7 => 1,
            _ => 2,
        }
    }

    /// Whether the words may be so near. An error changes at most two letters of the set, and the length by one.
    pub(super) fn may_be_within(self, other: Self, errors: usize) -> bool {
        let differing = (self.letters ^ other.letters).count_ones() as usize;
        differing <= 2 * errors && self.length.abs_diff(other.length) <= errors
    }
}

/// The errors between two words if they are at most so many.
pub(super) fn within(a: (&str, Shape), b: (&str, Shape), errors: usize) -> Option<usize> {
    if b.1.has_digit || !a.1.may_be_within(b.1, errors) {
        return None;
    }
    Some(strsim::osa_distance(a.0, b.0)).filter(|found| *found <= errors)
}
