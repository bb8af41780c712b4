//! One reading of one plate.

use crate::formats::blocks::well::Well;

/// Values of wells that belong together: one matrix, one line of each row of a matrix, one row of a list with a column
/// per well.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// What the matrix itself calls the values.
    pub(super) label: Option<String>,
    /// What else was read with it: a time, a wavelength, a temperature. Names and values, the same names for all layers
    /// of one block.
    pub(super) axis: Vec<(String, String)>,
    /// Which of several side by side or below one another.
    pub(super) beside: Option<String>,
    /// The cells' places follow from counting alone (no row letters, or a column for each well without an axis), so
    /// blank ones stay.
    pub(super) framed: bool,
    /// Trimmed values, blank ones included.
    pub(super) wells: Vec<(Well, &'a str)>,
}

impl Layer<'_> {
    /// Whether lines of the two belong to one layer.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.label == other.label && self.axis == other.axis && self.beside == other.beside
    }
}
