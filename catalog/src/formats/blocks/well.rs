//! Names of wells and the plates they lie on.

/// Rows of the largest plate (1536 wells): A to AF.
const ROWS_MAX: usize = 32;
/// Columns of the largest plate.
const COLUMNS_MAX: usize = 48;
/// Columns and rows of the plates that are made (ANSI/SLAS 4-2004, the smaller culture plates, and 1536 wells).
const FORMATS: [(usize, usize); 7] = [(3, 2), (4, 3), (6, 4), (8, 6), (12, 8), (24, 16), (48, 32)];

/// Columns of the smallest plate whose shape alone is evidence; numbers over letters are other tables as often.
pub(super) const SURE_COLUMNS: usize = 12;

/// A place on a plate; both from 0. Ordered as a plate is read: row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Well {
    pub(super) row: usize,
    pub(super) column: usize,
}

impl Well {
    /// Reads `A1`, `A01`, `AF48`.
    pub(super) fn parse(cell: &str) -> Option<Self> {
        let cell = cell.trim();
        let letters = cell.bytes().take_while(u8::is_ascii_uppercase).count();
        let (row, column) = cell.split_at_checked(letters)?;
        if !(1..=2).contains(&column.len()) || !column.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let column = column.parse::<usize>().ok()?.checked_sub(1)?;
        Some(Self {
            row: plate_row(row)?,
            column: (column < COLUMNS_MAX).then_some(column)?,
        })
    }

    /// `A1`, never `A01`, so that one well has one name in all tables.
    pub(super) fn name(self) -> String {
        format!("{}{}", letters(self.row), self.column + 1)
    }
}

/// The row that letters name, from 0: A, … Z, AA, … AF.
pub(super) fn plate_row(text: &str) -> Option<usize> {
    let offset = |byte: u8| byte.is_ascii_uppercase().then(|| usize::from(byte - b'A'));
    let row = match text.as_bytes() {
        [only] => offset(*only)?,
        [b'A', second] => 26 + offset(*second)?,
        _ => return None,
    };
    (row < ROWS_MAX).then_some(row)
}

/// The same beside a matrix, where small letters are as sure as far as plates of 384 wells go, and where a row may be called
/// `Row A` or `A:`.
pub(super) fn plate_letter(text: &str) -> Option<usize> {
    let text = text.strip_suffix([':', '.']).unwrap_or(text);
    let text = without(text, &["row"]).unwrap_or(text);
    match text.as_bytes() {
        [small] if (b'a'..=b'p').contains(small) => plate_row(&text.to_ascii_uppercase()),
        _ => plate_row(text),
    }
}

/// What stands behind the word that a text starts with, in any case, and a space or a point or none: `Row A`, `Col. 1`, `Col1`.
pub(super) fn without<'t>(text: &'t str, words: &[&str]) -> Option<&'t str> {
    let rest = words.iter().find_map(|word| {
        let start = text.get(..word.len())?;
        start
            .eq_ignore_ascii_case(word)
            .then(|| text.get(word.len()..))
            .flatten()
    })?;
    let bare = rest.trim_start_matches(['.', ' ', '_']);
    // `Rowa` is a name.
    let is_apart = bare.len() < rest.len() || bare.starts_with(|first: char| !first.is_ascii_lowercase());
    (!bare.is_empty() && is_apart).then_some(bare)
}

/// Row 0 is A, 25 is Z, 26 is AA.
pub(super) fn letters(row: usize) -> String {
    let single = |at: usize| char::from(b'A' + u8::try_from(at % 26).unwrap_or(0));
    match row.checked_sub(26) {
        None => single(row).to_string(),
        Some(rest) => format!("A{}", single(rest)),
    }
}

/// The rows of the plate with so many columns; `None` where no such plate is made.
pub(super) fn rows_of(columns: usize) -> Option<usize> {
    FORMATS
        .into_iter()
        .find(|(wide, _)| *wide == columns)
        .map(|(_, rows)| rows)
}
