//! What the cells of a column say of commas and points: decimal signs, or what parts thousands.

use crate::formats::infer::Evidence;

/// Fewer numbers such as 1,234 in a file of semicolons prove nothing.
const LOCAL_COMMAS_MIN: usize = 8;
/// A single `0,7` may be a list of two numbers.
const UNLISTED_MIN: usize = 2;

impl Evidence {
    /// Whether points part the thousands of some of its numbers.
    pub(in crate::formats) fn has_thousands_by_point(&self) -> bool {
        let [_, by_point] = self.grouped;
        self.points_part > 0 && !self.is_text && self.comma_numbers + by_point == self.values
    }

    /// Whether all of its fractions may be thousands, as `1.250`.
    pub(in crate::formats) fn may_be_thousands(&self) -> bool {
        self.maybe_thousands > 0 && !self.is_text && self.maybe_thousands == self.floats
    }

    /// Whether a point in some of its numbers can only be a decimal one.
    pub(in crate::formats) fn has_sure_point(&self) -> bool {
        self.floats > self.maybe_thousands && !self.is_text
    }

    /// Whether some cell is a number that may have a decimal comma.
    pub(in crate::formats) fn has_comma(&self) -> bool {
        self.comma_floats > 0
    }

    /// Whether some cell can only be a decimal comma.
    pub(in crate::formats) fn has_sure_comma(&self) -> bool {
        self.sure_commas > 0 && self.is_of_comma_numbers()
    }

    /// Whether all cells are numbers with decimal commas, and some are no lists of two numbers either.
    pub(in crate::formats) fn has_unlisted_commas(&self) -> bool {
        self.has_sure_comma() && self.are_comma_numbers() && self.unlisted_commas >= UNLISTED_MIN
    }

    /// Whether the cells are numbers with commas, all of them, that may be decimal ones.
    pub(in crate::formats) fn are_comma_numbers(&self) -> bool {
        !self.is_text && self.comma_numbers == self.values
    }

    /// Whether some cells have thousands that commas may part, and the others are numbers without commas.
    pub(in crate::formats) fn are_thousands(&self) -> bool {
        let [by_comma, _] = self.grouped;
        let plain = self.ints + self.floats;
        !self.is_text && by_comma > 0 && self.inexact == 0 && plain + by_comma == self.values
    }

    /// Whether the cells are numbers that may have decimal commas, and some have.
    pub(in crate::formats) fn may_have_commas(&self) -> bool {
        self.comma_floats > 0 && self.is_of_comma_numbers()
    }

    /// The same in so many cells that the way the file is written decides.
    pub(in crate::formats) fn has_many_commas(&self) -> bool {
        self.may_have_commas() && self.comma_floats >= LOCAL_COMMAS_MIN
    }

    /// All of the cells; or most of them, where the others are words.
    fn is_of_comma_numbers(&self) -> bool {
        self.comma_numbers == self.values || (self.is_text && self.comma_numbers * 10 >= self.values * 8)
    }
}
