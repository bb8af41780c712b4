//! Delimited text into a grid. Written here and not with the `csv` crate because blank lines, the line of each row and
//! stray quotes in a preamble carry meaning for the layout, and that crate drops or hides them.

use crate::formats::grid::Grid;
use crate::formats::{Limits, ReadError};

/// How a file separates its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    Char(char),
    /// Runs of at least this many spaces or tabs; leading and trailing ones do not count.
    Spaces(usize),
    /// One cell a line.
    None,
}

impl Delimiter {
    /// For messages: `','`, `tab`, `spaces`.
    pub(super) fn name(self) -> String {
        match self {
            Self::Char('\t') => "tab".to_owned(),
            Self::Char(character) => format!("'{character}'"),
            Self::Spaces(_) => "spaces".to_owned(),
            Self::None => "none".to_owned(),
        }
    }
}

/// Delimiter and quoting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: Delimiter,
    /// `\"` stands for a quote inside a quoted cell (beside the usual `""`).
    pub(super) backslash: bool,
    /// What cells are quoted with.
    pub(super) quote: char,
}

/// What splitting noticed beside the cells.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) grid: Grid,
    /// Cells that start with a quote but are not quoted, kept as written.
    pub(super) literal_quotes: usize,
    /// Cells that are quoted.
    pub(super) quoted: usize,
}

/// Splits `text` whole. A blank line is a row without content.
///
/// # Errors
/// `UnclosedQuote`, `StrayQuote`, `TooLarge`.
pub(super) fn split(text: &str, dialect: Dialect, limits: &Limits) -> Result<Split, ReadError> {
    match dialect.delimiter {
        Delimiter::Char(delimiter) => Splitter::new(text, delimiter, dialect).run(limits),
        Delimiter::Spaces(run) => {
            let mut split = Split::default();
            for (line, row) in lines(text) {
                for cell in by_spaces(row, run) {
                    split.grid.push_cell(cell, line, limits)?;
                }
                split.grid.end_row(line, limits)?;
            }
            Ok(split)
        }
        Delimiter::None => {
            let mut split = Split::default();
            for (line, row) in lines(text) {
                split.grid.push_cell(row, line, limits)?;
                split.grid.end_row(line, limits)?;
            }
            Ok(split)
        }
    }
}

/// Lines ended by CRLF, LF or CR, numbered from 1, without their ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let mut rest = (!text.is_empty()).then_some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        number += 1;
        let (line, after) = match text.find(['\n', '\r']) {
            None => (text, None),
            Some(at) => {
                let (line, end) = text.split_at(at);
                let after = end.strip_prefix("\r\n").or_else(|| end.get(1..)).unwrap_or_default();
                (line, Some(after))
            }
        };
        rest = after.filter(|after| !after.is_empty());
        Some((number, line))
    })
}

/// The cells of a line separated by runs of at least `run` white-space characters (a tab counts as a run).
pub(super) fn by_spaces(line: &str, run: usize) -> Vec<&str> {
    let line = line.trim();
    let mut cells = Vec::new();
    let mut start = 0;
    let mut gap: Option<(usize, usize, bool)> = None;
    for (at, character) in line.char_indices() {
        if character == ' ' || character == '\t' {
            let (from, length, tab) = gap.unwrap_or((at, 0, false));
            gap = Some((from, length + 1, tab || character == '\t'));
        } else if let Some((from, length, tab)) = gap.take()
            && (length >= run || tab)
        {
            cells.push(line.get(start..from).unwrap_or_default());
            start = at;
        }
    }
    if !line.is_empty() {
        cells.push(line.get(start..).unwrap_or_default());
    }
    cells
}

/// Cells of the last row with content.
fn width_before(grid: &Grid) -> Option<usize> {
    let mut rows = (0..grid.height()).rev();
    rows.find(|row| grid.filled_width(*row) > 0).map(|row| grid.width(row))
}

struct Splitter<'a> {
    text: &'a str,
    delimiter: char,
    quote: char,
    backslash: bool,
    at: usize,
    line: u64,
}

/// What ended a cell.
enum Ended {
    Delimiter,
    Line,
    File,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a str, delimiter: char, dialect: Dialect) -> Self {
        Self {
            text,
            delimiter,
            quote: dialect.quote,
            backslash: dialect.backslash,
            at: 0,
            line: 1,
        }
    }

    fn run(mut self, limits: &Limits) -> Result<Split, ReadError> {
        let mut split = Split::default();
        let mut buffer = String::new();
        while self.at < self.text.len() {
            let row_line = self.line;
            let mut cells = 0;
            loop {
                let opened = self.line;
                let (plain, ended) = self.cell(&mut buffer, cells, &mut split, limits)?;
                split.grid.push_cell(plain.unwrap_or(&buffer), opened, limits)?;
                cells += 1;
                match ended {
                    Ended::Delimiter => {}
                    Ended::Line | Ended::File => break,
                }
            }
            split.grid.end_row(row_line, limits)?;
        }
        Ok(split)
    }

    /// Reads the cell behind `cells` others of its row: as it is written, or without its quotes into `buffer`.
    fn cell(
        &mut self,
        buffer: &mut String,
        cells: usize,
        split: &mut Split,
        limits: &Limits,
    ) -> Result<(Option<&'a str>, Ended), ReadError> {
        let spaces = self.spaces_before_quote();
        if spaces > 0 {
            if let Some(ended) = self.spaced(buffer, spaces) {
                return Ok((None, ended));
            }
        } else if self.rest().starts_with(self.quote) {
            let (start, opened) = (self.at, self.line);
            buffer.clear();
            if let Some(ended) = self.quoted(buffer, opened)? {
                split.quoted += 1;
                return Ok((None, ended));
            }
            let crossed = self.line != opened;
            (self.at, self.line) = (start, opened);
            split.literal_quotes += 1;
            let wanted = width_before(&split.grid).and_then(|width| width.checked_sub(cells));
            if crossed && !wanted.is_some_and(|wanted| self.is_row_of(wanted, wanted + cells, limits)) {
                return Err(ReadError::StrayQuote { line: opened });
            }
            let doubled = wanted.filter(|wanted| !crossed && self.plain_cells(limits) != Some(*wanted));
            if let Some(ended) = doubled.and_then(|wanted| self.quoted_behind_a_quote(buffer, wanted, limits)) {
                return Ok((None, ended));
            }
            // The quotes are part of the cell, such as `"5" plate`.
        }
        let (cell, ended) = self.plain();
        Ok((Some(cell), ended))
    }

    /// Whether the rest of the line has `wanted` cells when the quote at the cursor is part of its text, and the next line
    /// by itself as many as a row, `width`: then the quote was opened by mistake and its cell ends with the line.
    fn is_row_of(&self, wanted: usize, width: usize, limits: &Limits) -> bool {
        let (_, after) = self.line_end();
        let next = lines(after).next().map(|(_, line)| line);
        self.plain_cells(limits) == Some(wanted)
            && next.is_none_or(|next| next.is_empty() || self.cells_of(next, limits) == Some(width))
    }

    /// How many cells the rest of the line has when the first of them is taken as it is written.
    fn plain_cells(&self, limits: &Limits) -> Option<usize> {
        let (line, _) = self.line_end();
        match line.split_once(self.delimiter) {
            None => Some(1),
            Some((_, rest)) => Some(1 + self.cells_of(rest, limits)?),
        }
    }

    /// Reads `""text, more"` as a quoted cell whose text begins with a quote, if the line has `wanted` cells then; `None`, and
    /// nothing read, else.
    fn quoted_behind_a_quote(&mut self, cell: &mut String, wanted: usize, limits: &Limits) -> Option<Ended> {
        let before = (self.at, self.line);
        self.at += self.quote.len_utf8();
        cell.clear();
        cell.push(self.quote);
        let ended = match self.rest().starts_with(self.quote) {
            true => self.quoted(cell, self.line).ok().flatten(),
            false => None,
        };
        let fits = match ended {
            Some(Ended::Delimiter) => {
                let (rest, _) = self.line_end();
                self.line == before.1 && self.cells_of(rest, limits).is_some_and(|more| more + 1 == wanted)
            }
            Some(Ended::Line | Ended::File) => self.line <= before.1 + 1 && wanted == 1,
            None => false,
        };
        if !fits {
            (self.at, self.line) = before;
        }
        ended.filter(|_| fits)
    }

    /// The rest of the line, and what follows it.
    fn line_end(&self) -> (&'a str, &'a str) {
        let rest = self.rest();
        let (line, end) = rest.split_at(rest.find(['\n', '\r']).unwrap_or(rest.len()));
        let after = end.strip_prefix("\r\n").or_else(|| end.get(1..)).unwrap_or_default();
        (line, after)
    }

    /// How many cells a line by itself has.
    fn cells_of(&self, line: &str, limits: &Limits) -> Option<usize> {
        if line.is_empty() {
            return Some(1);
        }
        let dialect = Dialect {
            delimiter: Delimiter::Char(self.delimiter),
            backslash: self.backslash,
            quote: self.quote,
        };
        let split = Splitter::new(line, self.delimiter, dialect).run(limits).ok()?;
        (split.grid.height() == 1).then(|| split.grid.width(0))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Spaces between a delimiter and a quote: `1, "a, b"`.
    fn spaces_before_quote(&self) -> usize {
        let rest = self.rest();
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let quote = self.delimiter != ' ' && rest.get(spaces..).is_some_and(|after| after.starts_with(self.quote));
        if quote { spaces } else { 0 }
    }

    /// A quoted cell behind spaces; `None`, and nothing read, when the quotes are part of the text after all.
    fn spaced(&mut self, cell: &mut String, spaces: usize) -> Option<Ended> {
        let before = (self.at, self.line);
        self.at += spaces;
        cell.clear();
        match self.quoted(cell, self.line) {
            Ok(Some(ended)) => Some(ended),
            Ok(None) | Err(_) => {
                (self.at, self.line) = before;
                None
            }
        }
    }

    fn plain(&mut self) -> (&'a str, Ended) {
        let rest = self.rest();
        let delimiter = self.delimiter;
        let length = rest.find([delimiter, '\n', '\r']).unwrap_or(rest.len());
        self.at += length;
        // Spaces around a cell that is not quoted part it from its neighbours, or fill its column.
        let cell = rest.get(..length).unwrap_or_default().trim_matches(' ');
        (cell, self.end())
    }

    /// Steps over the delimiter or line end that stands at the cursor.
    fn end(&mut self) -> Ended {
        let rest = self.rest();
        if rest.starts_with("\r\n") {
            self.at += 2;
            self.line += 1;
            Ended::Line
        } else if rest.starts_with(['\n', '\r']) {
            self.at += 1;
            self.line += 1;
            Ended::Line
        } else if rest.starts_with(self.delimiter) {
            self.at += self.delimiter.len_utf8();
            Ended::Delimiter
        } else {
            Ended::File
        }
    }

    /// Reads a quoted cell into `cell`. `None` when text follows the closing quote, with the cursor anywhere.
    fn quoted(&mut self, cell: &mut String, opened: u64) -> Result<Option<Ended>, ReadError> {
        self.at += 1;
        loop {
            let rest = self.rest();
            let Some(length) = rest.find([self.quote, '\\', '\n', '\r']) else {
                return Err(ReadError::UnclosedQuote { line: opened });
            };
            cell.push_str(rest.get(..length).unwrap_or_default());
            self.at += length;
            let rest = self.rest();
            let doubled = rest
                .strip_prefix(self.quote)
                .is_some_and(|rest| rest.starts_with(self.quote));
            if doubled {
                cell.push(self.quote);
                self.at += 2;
            } else if rest.starts_with(self.quote) {
                self.at += 1;
                let after = self.rest();
                let spaces = after.len() - after.trim_start_matches(' ').len();
                let next = after.get(spaces..).unwrap_or_default();
                let closes = next.is_empty() || next.starts_with(['\n', '\r']) || next.starts_with(self.delimiter);
                if !closes {
                    return Ok(None);
                }
                self.at += spaces;
                return Ok(Some(self.end()));
            } else if rest.starts_with('\\') {
                let escaped = if self.backslash {
                    rest.get(1..2).filter(|next| matches!(*next, "\"" | "\\"))
                } else {
                    None
                };
                cell.push_str(escaped.unwrap_or("\\"));
                self.at += 1 + escaped.map_or(0, str::len);
            } else {
                let end = if rest.starts_with("\r\n") {
                    "\r\n"
                } else {
                    rest.get(..1).unwrap_or_default()
                };
                cell.push_str(end);
                self.at += end.len();
                self.line += 1;
            }
        }
    }
}
