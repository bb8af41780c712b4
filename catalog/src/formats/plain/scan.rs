//! Bytes of delimited text to rows and cells, piece by piece.
//!
//! A piece is some whole rows. Rows end where a line ends outside quotes; a file that quotes in a way that leaves this open
//! is [`Odd`], and so is one whose rows differ in width.

use memchr::{memchr, memchr_iter, memchr2_iter, memchr3, memrchr};

/// Why a file is not as plain as its start, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Odd(pub(crate) String);

impl Odd {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Some whole rows of a file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Rows of data before this piece.
    pub(crate) rows_before: u64,
}

/// Parts a stream of bytes into pieces.
#[derive(Debug)]
pub(crate) struct Pieces {
    delimiter: u8,
    /// Bytes read that are in no piece yet.
    open: Vec<u8>,
    /// Bytes still to be passed over: a byte order mark and the header.
    skip: usize,
    rows: u64,
}

impl Pieces {
    pub(super) fn new(delimiter: u8, skip: usize) -> Self {
        Self {
            delimiter,
            open: Vec::new(),
            skip,
            rows: 0,
        }
    }

    /// Takes bytes in and gives the rows that are whole. At the end of the file `last` gives what is left.
    ///
    /// # Errors
    /// [`Odd`] where quotes do not say where rows end, or a row is longer than `row_bytes_max`.
    pub(crate) fn push(&mut self, bytes: &[u8], last: bool, row_bytes_max: usize) -> Result<Option<Piece>, Odd> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.open.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
        if last {
            // Blank lines at the very end are no rows.
            let end = self.open.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
            self.open.truncate(end.map_or(0, |at| at + 1));
            let bytes = std::mem::take(&mut self.open);
            return Ok((!bytes.is_empty()).then_some(Piece {
                rows_before: self.rows,
                bytes,
            }));
        }
        let (rows, mut end) = whole_rows(&self.open, self.delimiter)?;
        // Line ends may be followed by nothing but line ends: they wait for what comes.
        let mut ends = 0;
        while let Some((before, [b'\n'])) = self.open.get(..end).and_then(|text| text.split_last_chunk::<1>()) {
            let line = before.strip_suffix(b"\r").unwrap_or(before);
            if !line.is_empty() && line.last() != Some(&b'\n') {
                break;
            }
            end = line.len();
            ends += 1;
        }
        if end == 0 {
            return if self.open.len() > row_bytes_max {
                Err(Odd::new(format!("a row of more than {row_bytes_max} bytes")))
            } else {
                Ok(None)
            };
        }
        let rest = self.open.split_off(end);
        let bytes = std::mem::replace(&mut self.open, rest);
        let rows_before = self.rows;
        self.rows += rows.saturating_sub(ends);
        Ok(Some(Piece { bytes, rows_before }))
    }
}

/// The number of rows that end in the text, and where the last of them ends.
fn whole_rows(text: &[u8], delimiter: u8) -> Result<(u64, usize), Odd> {
    if memchr(b'"', text).is_none() {
        let end = memrchr(b'\n', text).map_or(0, |at| at + 1);
        let rows = memchr_iter(b'\n', text.get(..end).unwrap_or_default()).count();
        return Ok((rows as u64, end));
    }
    let (mut rows, mut end, mut at) = (0, 0, 0);
    while let Some(cell) = next_cell(text, at, delimiter)? {
        at = cell.next;
        if cell.ends_row {
            rows += 1;
            end = at;
        }
    }
    Ok((rows, end))
}

/// The length of the text's first row with its end; `None` when it does not end.
pub(super) fn first_row(text: &[u8], delimiter: u8) -> Result<Option<usize>, Odd> {
    let mut at = 0;
    while let Some(cell) = next_cell(text, at, delimiter)? {
        at = cell.next;
        if cell.ends_row {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Where a cell lies, without its quotes.
struct Found {
    start: usize,
    end: usize,
    quoted: bool,
    /// It holds doubled quotes.
    doubled: bool,
    /// Behind the delimiter or line end.
    next: usize,
    ends_row: bool,
}

/// The cell that starts at `at`; `None` when the text ends before it does.
fn next_cell(text: &[u8], at: usize, delimiter: u8) -> Result<Option<Found>, Odd> {
    let rest = text.get(at..).unwrap_or_default();
    if rest.first() == Some(&b'"') {
        return quoted_cell(text, at, delimiter);
    }
    if rest.first() == Some(&b' ') && delimiter != b' ' {
        let after = rest.iter().position(|byte| *byte != b' ');
        if after.and_then(|after| rest.get(after)) == Some(&b'"') {
            return Err(Odd::new("a quote behind spaces"));
        }
    }
    let Some(length) = memchr3(delimiter, b'\n', b'\r', rest) else {
        return Ok(None);
    };
    let end = at + length;
    Ok(ended(text, end, delimiter)?.map(|(next, ends_row)| Found {
        start: at,
        end,
        quoted: false,
        doubled: false,
        next,
        ends_row,
    }))
}

fn quoted_cell(text: &[u8], at: usize, delimiter: u8) -> Result<Option<Found>, Odd> {
    let (start, mut from, mut doubled) = (at + 1, at + 1, false);
    loop {
        let Some(length) = memchr(b'"', text.get(from..).unwrap_or_default()) else {
            return Ok(None);
        };
        let quote = from + length;
        match text.get(quote + 1) {
            Some(b'"') => {
                doubled = true;
                from = quote + 2;
            }
            // Only more text tells whether this quote closes the cell.
            None => return Ok(None),
            Some(_) => {
                return Ok(ended(text, quote + 1, delimiter)?.map(|(next, ends_row)| Found {
                    start,
                    end: quote,
                    quoted: true,
                    doubled,
                    next,
                    ends_row,
                }));
            }
        }
    }
}

/// What ends the cell whose content ends at `end`: the place behind it, and whether the row ends, too.
fn ended(text: &[u8], end: usize, delimiter: u8) -> Result<Option<(usize, bool)>, Odd> {
    match text.get(end) {
        None => Ok(None),
        Some(byte) if *byte == delimiter => Ok(Some((end + 1, false))),
        Some(b'\n') => Ok(Some((end + 1, true))),
        Some(b'\r') => match text.get(end + 1) {
            Some(b'\n') => Ok(Some((end + 2, true))),
            None => Ok(None),
            Some(_) => Err(Odd::new("a line that ends with a carriage return alone")),
        },
        Some(_) => Err(Odd::new("text behind a closing quote")),
    }
}

/// Where each cell of a piece lies, row by row.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Start and length; the length's top bit says that quotes in it are doubled.
    spans: Vec<(u32, u32)>,
    width: usize,
}

const DOUBLED: u32 = 1 << 31;

impl Cells {
    /// Parts a piece into cells; every row must have `width` of them and hold something.
    ///
    /// # Errors
    /// [`Odd`] where it does not.
    pub(super) fn part(&mut self, text: &[u8], delimiter: u8, width: usize) -> Result<(), Odd> {
        self.spans.clear();
        self.width = width;
        if u32::try_from(text.len()).is_ok_and(|length| length < DOUBLED) {
            if memchr(b'"', text).is_none() {
                self.part_unquoted(text, delimiter)
            } else {
                self.part_quoted(text, delimiter)
            }
        } else {
            Err(Odd::new("a row of gigabytes"))
        }
    }

    pub(super) fn height(&self) -> usize {
        self.spans.len() / self.width.max(1)
    }

    /// The cells of one column, as written but without quotes; doubled quotes are still doubled where the flag is set.
    pub(super) fn column<'t>(&self, text: &'t [u8], column: usize) -> impl Iterator<Item = (&'t [u8], bool)> {
        self.spans
            .iter()
            .skip(column)
            .step_by(self.width.max(1))
            .map(|(start, length)| {
                let (start, size) = (*start as usize, (*length & !DOUBLED) as usize);
                (text.get(start..start + size).unwrap_or_default(), length & DOUBLED != 0)
            })
    }

    /// The rows, each with all of its cells.
    pub(super) fn rows<'s, 't: 's>(
        &'s self,
        text: &'t [u8],
    ) -> impl Iterator<Item = impl Iterator<Item = &'t [u8]> + Clone> {
        self.spans.chunks_exact(self.width.max(1)).map(move |row| {
            row.iter().map(move |(start, length)| {
                let (start, size) = (*start as usize, (*length & !DOUBLED) as usize);
                text.get(start..start + size).unwrap_or_default()
            })
        })
    }

    fn part_unquoted(&mut self, text: &[u8], delimiter: u8) -> Result<(), Odd> {
        let (mut start, mut row, mut returns) = (0usize, 0usize, 0usize);
        let mut filled = false;
        for at in memchr2_iter(delimiter, b'\n', text) {
            let mut end = at;
            let ends_row = text.get(at) == Some(&b'\n');
            if ends_row && at > start && text.get(at - 1) == Some(&b'\r') {
                end -= 1;
                returns += 1;
            }
            filled |= text
                .get(start)
                .is_some_and(|byte| end > start && byte.is_ascii_graphic());
            self.push_plain(text, start, end);
            start = at + 1;
            if ends_row {
                self.end_row(text, row, filled)?;
                row = self.spans.len();
                filled = false;
            }
        }
        if start < text.len() || self.spans.len() > row {
            // The last line of a file may have no end.
            let end = text.len() - usize::from(text.len() > start && text.last() == Some(&b'\r'));
            returns += text.len() - end;
            filled |= text
                .get(start)
                .is_some_and(|byte| end > start && byte.is_ascii_graphic());
            self.push_plain(text, start, end);
            self.end_row(text, row, filled)?;
        }
        if memchr_iter(b'\r', text).count() == returns {
            Ok(())
        } else {
            Err(Odd::new("a line that ends with a carriage return alone"))
        }
    }

    fn part_quoted(&mut self, text: &[u8], delimiter: u8) -> Result<(), Odd> {
        let (mut at, mut row) = (0, 0);
        let mut filled = false;
        while let Some(cell) = next_cell(text, at, delimiter)? {
            filled |= cell.end > cell.start && text.get(cell.start).is_some_and(u8::is_ascii_graphic);
            match cell.quoted {
                true => self.push(cell.start, cell.end, cell.doubled),
                false => self.push_plain(text, cell.start, cell.end),
            }
            at = cell.next;
            if cell.ends_row {
                self.end_row(text, row, filled)?;
                row = self.spans.len();
                filled = false;
            }
        }
        if at < text.len() || self.spans.len() > row {
            // The last line of a file may have no end.
            let rest = text.get(at..).unwrap_or_default();
            let mut closed = rest.to_vec();
            closed.push(b'\n');
            let Some(cell) = next_cell(&closed, 0, delimiter)?.filter(|cell| cell.next == closed.len()) else {
                return Err(Odd::new("a quoted cell that is never closed"));
            };
            filled |= cell.end > cell.start;
            match cell.quoted {
                true => self.push(at + cell.start, at + cell.end, cell.doubled),
                false => self.push_plain(text, at + cell.start, at + cell.end),
            }
            self.end_row(text, row, filled)?;
        }
        Ok(())
    }

    /// A cell without quotes, without the spaces around it.
    fn push_plain(&mut self, text: &[u8], mut start: usize, mut end: usize) {
        while start < end && text.get(start) == Some(&b' ') {
            start += 1;
        }
        while start < end && text.get(end - 1) == Some(&b' ') {
            end -= 1;
        }
        self.push(start, end, false);
    }

    fn push(&mut self, start: usize, end: usize, doubled: bool) {
        // The text is shorter than 2 GiB: see `part`.
        let length = u32::try_from(end - start).unwrap_or_default();
        let flag = if doubled { DOUBLED } else { 0 };
        self.spans
            .push((u32::try_from(start).unwrap_or_default(), length | flag));
    }

    /// Closes the row whose first cell is the span `row`.
    fn end_row(&self, text: &[u8], row: usize, filled: bool) -> Result<(), Odd> {
        let width = self.spans.len() - row;
        if width != self.width {
            return Err(Odd::new(format!("a row of {width} cells among rows of {}", self.width)));
        }
        let is_blank = |(start, length): &(u32, u32)| {
            let (start, size) = (*start as usize, (*length & !DOUBLED) as usize);
            let cell = text.get(start..start + size).unwrap_or_default();
            std::str::from_utf8(cell).is_ok_and(|cell| cell.trim().is_empty())
        };
        if !filled && self.spans.get(row..).is_some_and(|cells| cells.iter().all(is_blank)) {
            return Err(Odd::new("a row without any value"));
        }
        Ok(())
    }
}

/// Whether there are bytes that the general reader looks at more closely: control characters, among them the zeros of
/// UTF-16 and binary files.
pub(super) fn has_controls(text: &[u8]) -> bool {
    let controls = |part: &[u8]| {
        part.iter().fold(0u8, |found, byte| {
            let control = (*byte < 0x20 && *byte != b'\n' && *byte != b'\r' && *byte != b'\t') || *byte == 0x7f;
            found | u8::from(control)
        }) > 0
    };
    text.chunks(4096).any(controls)
}
