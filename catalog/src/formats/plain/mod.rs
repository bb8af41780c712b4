//! Large plain tables: delimited text that is one rectangle from its first line to its last, read as a stream.
//!
//! The general road holds a whole file in memory, because any line may change what the lines before it mean. Most large
//! files need nothing of that: a header, then rows of one width. Here a file's start is put through the general road;
//! where it shows a plain table, the rest is read piece by piece, and every cell is held against what the start showed. A
//! file that turns out otherwise is [`Odd`]: nothing was decided, and it goes the general road. So both roads give the same
//! table, or this one gives none.

pub(super) mod parse;

mod build;
mod scan;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::{concat, max, min};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};

use crate::formats::area::Area;
use crate::formats::column::{self, field};
use crate::formats::infer::{ColumnType, Evidence};
use crate::formats::layout::{GridCells, Source};
use crate::formats::shapes::Shape;
use crate::formats::split::{Delimiter, split};
use crate::formats::{
    Block, Confidence, Limits, Parsed, Pinned, blocks, dialect, header, infer, named, rescue, text_file,
};

pub(crate) use scan::{Odd, Piece, Pieces};

use build::{Rule, Seen};
use scan::Cells;

/// Rows at the start that the general reader sees. It looks for plates among so many.
const START_ROWS: usize = blocks::PLATE_ROWS + 500;
/// Bytes at the start that it sees in any case, and those it sees at most.
const START_BYTES_MIN: usize = 1 << 20;
const START_BYTES_MAX: usize = 16 << 20;
/// Endings of names whose files are read by readers of their own.
const OTHER_ENDINGS: [&str; 11] = [
    ".json", ".ndjson", ".jsonl", ".smi", ".smiles", ".ism", ".can", ".sdf", ".sd", ".mol", ".xml",
];
/// Rows at the start that show whether a column holds wells.
const WELL_ROWS: usize = 100;
/// Rows of the start whose values stand for those of the file in messages.
const SHOWN_ROWS: usize = 8;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How a plain table is read.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    delimiter: u8,
    marked: bool,
    /// Bytes before the first row of data.
    head_bytes: usize,
    names: Vec<String>,
    rules: Vec<Rule>,
    /// The evidence of the start does not settle all types: the whole file is looked at first.
    needs_survey: bool,
    /// A column that is no place and holds many values: where it is full, no row of wells can be unused.
    witnesses: Vec<usize>,
    source: Source,
    confidence: Confidence,
    start: RecordBatch,
}

/// What was seen of a part of the file. Of several parts in any order: see [`Findings::merge`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    pub(crate) rows: u64,
    not_ascii: bool,
    columns: Vec<Seen>,
    /// Least and greatest of each column of whole numbers.
    bounds: Vec<Option<(i64, i64)>>,
    /// Of the last piece seen: how many rows stand before it, and whether its last row sums up others.
    end: (u64, bool),
}

/// What a part of the file says of its columns' types.
#[derive(Debug, Default)]
pub(crate) struct Survey(Vec<Evidence>);

/// Reads pieces, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    cells: Cells,
    pub(crate) findings: Findings,
}

impl Plain {
    /// How many bytes of a file's start [`Plain::of`] wants to see, judged by those that are there; `None` once they are
    /// enough.
    pub(crate) fn wants(start: &[u8]) -> Option<usize> {
        if start.len() < START_BYTES_MIN {
            return Some(START_BYTES_MIN);
        }
        let rows = memchr::memchr_iter(b'\n', start).count();
        (rows < START_ROWS && start.len() < START_BYTES_MAX).then_some(start.len() * 2)
    }

    /// The table a file's start shows, if it is plain. The start may end within a row.
    pub(crate) fn of(file_name: &str, start: &[u8], limits: &Limits) -> Option<Self> {
        let marked = start.starts_with(BOM);
        let body = start.strip_prefix(BOM).unwrap_or(start);
        let body = whole_lines(body)?;
        let other = named(file_name, &OTHER_ENDINGS) || body.starts_with(b"$") || limits.pinned != Pinned::default();
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
        if other || matches!(first, b'{' | b'[' | b'<' | b'#') || scan::has_controls(body) {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let chosen = dialect::choose(file_name, text, limits);
        let Delimiter::Char(character) = chosen.dialect.delimiter else {
            return None;
        };
        let delimiter = u8::try_from(character).ok().filter(u8::is_ascii)?;
        let parts = split(text, chosen.dialect, limits).ok()?;
        if chosen.dialect.backslash || chosen.dialect.quote != '"' || parts.literal_quotes > 0 {
            return None;
        }
        let grid = parts.grid;
        let shape = Shape::of(&grid);
        let source = text_file::source(file_name, chosen.dialect, limits);
        let area = Area::find(&grid, &shape, &source).ok()?;
        let width = grid.width(0);
        let is_rectangle = width >= 2
            && (0..grid.height()).all(|row| grid.width(row) == width && shape.filled_width(row) > 0)
            && grid.cells(0).all(|name| !infer::is_empty(name));
        let has_rest = area.first > 0 || !area.before.is_empty() || !area.after.is_empty() || area.commented_header;
        if !is_rectangle || has_rest || !area.repeated.is_empty() || area.blank_lines > 0 || blocks::has_plates(&grid) {
            return None;
        }
        let names: Vec<&str> = grid.cells(0).collect();
        let cells = GridCells {
            grid: &grid,
            rows: &area.body,
        };
        let (first, rest) = area.body.split_first()?;
        if !header::is_header(&names, &cells) || blocks::starts_with_numbering(&grid, &area.body) {
            return None;
        }
        let evidence = |rows: &[usize], column: usize| {
            let mut evidence = Evidence::default();
            rows.iter().for_each(|row| evidence.see(grid.cell(*row, column)));
            evidence
        };
        // A second header is one where columns have a type without it, or would have one but for a word.
        let typed_below = |column: &usize| {
            let below = evidence(rest, *column);
            let kind = below.decide(infer::Commas::Decimal);
            kind == ColumnType::Null || !below.is_settled(ColumnType::Text)
        };
        if header::is_all_labels(&grid.filled(*first)) && (0..width).any(|column| typed_below(&column)) {
            return None;
        }

        let evidence: Vec<Evidence> = (0..width).map(|column| evidence(&area.body, column)).collect();
        let named = header::names(names.iter().copied());
        let (_, types) = column::types(&named, &evidence, source.notation(usize::MAX));
        let commas = (source.comma_cells || source.quoted_commas) && evidence.iter().any(Evidence::has_comma);
        // That later cells may show what the points are is no reason to look at all of them before: where it matters, in a table of
        // decimal commas, the file is read on the general road.
        let settled = evidence
            .iter()
            .zip(&types)
            .all(|(evidence, kind)| evidence.is_settled(*kind));
        let wells = |column: usize| {
            let rows = area.body.iter().take(WELL_ROWS);
            blocks::is_of_wells(rows.map(|row| grid.cell(*row, column).trim()))
        };
        let rules: Vec<Rule> = evidence
            .iter()
            .zip(&types)
            .enumerate()
            .map(|(column, (evidence, kind))| Rule {
                kind: *kind,
                is_guess: true,
                yes_no: evidence.is_yes_no(),
                watched: *kind == ColumnType::Text && (source.comma_cells || !rescue::is_of_words(&cells, column)),
                wells: *kind == ColumnType::Text && wells(column),
                decimal: column::decimal_of(*kind, evidence, None),
            })
            .collect();
        let varies = |column: usize| {
            let first = grid.cell(*first, column).trim();
            rest.iter().any(|row| grid.cell(*row, column).trim() != first)
        };
        let is_witness = |(column, rule): (usize, &Rule)| {
            let is_place = names
                .get(column)
                .is_some_and(|name| name.to_lowercase().starts_with("well"));
            let is_value = !matches!(rule.kind, ColumnType::Text | ColumnType::Null);
            (is_value && !is_place && varies(column)).then_some(column)
        };
        let witnesses = rules.iter().enumerate().filter_map(is_witness).collect();
        let mut confidence = text_file::doubts_of(&chosen);
        confidence.extend(area.doubts_of_header(&names, &cells, true));
        let names = named;
        let head_bytes = scan::first_row(body, delimiter).ok()?? + if marked { BOM.len() } else { 0 };
        let plan = column::Plan {
            types,
            decimals: rules.iter().map(|rule| rule.decimal).collect(),
            rescued: Vec::new(),
            told: Vec::new(),
            undecided: Vec::new(),
            odd: Vec::new(),
        };
        let start = column::build(&names, &plan, &cells).ok()?.into_iter().next()?;
        Some(Self {
            delimiter,
            marked,
            head_bytes,
            names,
            rules,
            needs_survey: !settled || commas,
            witnesses,
            source,
            confidence,
            start,
        })
    }

    /// The first rows as a table, for what has to be known before the rest is read.
    pub(crate) fn start(&self) -> Block {
        block(self.start.clone())
    }

    /// Whether [`Plain::survey`] has to see the whole file before its types are known.
    pub(crate) fn needs_survey(&self) -> bool {
        self.needs_survey
    }

    pub(crate) fn pieces(&self) -> Pieces {
        Pieces::new(self.delimiter, self.head_bytes)
    }

    /// Takes in what a piece says of the types.
    ///
    /// # Errors
    /// [`Odd`] where the piece is not part of a plain table.
    pub(crate) fn survey(&self, reader: &mut Reader, piece: &Piece, survey: &mut Survey) -> Result<(), Odd> {
        survey.0.resize_with(self.names.len(), Evidence::default);
        reader.part(self, piece)?;
        for (column, evidence) in survey.0.iter_mut().enumerate() {
            for (cell, doubled) in reader.cells.column(&piece.bytes, column) {
                let cell = std::str::from_utf8(cell).map_err(|_| Odd::new("bytes that are not UTF-8"))?;
                if doubled {
                    evidence.see(&cell.replace("\"\"", "\""));
                } else {
                    evidence.see(cell);
                }
            }
        }
        Ok(())
    }

    /// The same table with the types that all of its cells have.
    ///
    /// # Errors
    /// [`Odd`] where only the general road has an answer.
    pub(crate) fn surveyed(mut self, survey: &Survey) -> Result<Self, Odd> {
        let evidence = &survey.0;
        let notation = self.source.notation(usize::MAX);
        let (commas, types) = column::types(&self.names, evidence, notation);
        if !column::undecided(evidence, &types, commas, notation).is_empty() {
            return Err(Odd::new("a column that two readings fit"));
        }
        for ((rule, kind), evidence) in self.rules.iter_mut().zip(types).zip(evidence) {
            rule.decimal = column::decimal_of(kind, evidence, None);
            rule.watched |= kind == ColumnType::Text && rule.kind != kind;
            rule.kind = kind;
            rule.is_guess = false;
        }
        let schema = self.schema();
        let columns = self.start.columns().iter().zip(schema.fields());
        // Only its types are asked for from here on.
        let columns = columns.map(|(array, field)| {
            if array.data_type() == field.data_type() {
                Arc::clone(array)
            } else {
                new_null_array(field.data_type(), array.len())
            }
        });
        self.start = RecordBatch::try_new(Arc::clone(&schema), columns.collect())
            .map_err(|error| Odd::new(error.to_string()))?;
        self.needs_survey = false;
        Ok(self)
    }

    /// What the file is taken for, once all of it was seen: without the rows, but for a few that show what it holds.
    ///
    /// # Errors
    /// [`Odd`] where the file as a whole is not plain.
    pub(crate) fn conclude(&self, findings: &Findings) -> Result<Parsed, Odd> {
        let seen = |column: usize| findings.columns.get(column).copied().unwrap_or_default();
        for (column, rule) in self.rules.iter().enumerate() {
            if rule.watched && seen(column).watch.may_be_numbers() {
                return Err(Odd::new("a column of text that is mostly numbers"));
            }
            if rule.kind != ColumnType::Text && seen(column).nothings.tell() {
                return Err(Odd::new("words for no value that say different things"));
            }
        }
        if findings.end.1 {
            return Err(Odd::new("a last row that may sum up the others"));
        }
        let has_wells = self.rules.iter().any(|rule| rule.wells);
        if has_wells && self.witnesses.iter().all(|column| seen(*column).blank) {
            return Err(Odd::new("wells of which some may be unused"));
        }
        let encoding = match (self.marked, findings.not_ascii) {
            (true, _) => "UTF-8 with BOM",
            (false, true) => "UTF-8",
            (false, false) => "ASCII",
        };
        let delimiter = Delimiter::Char(char::from(self.delimiter));
        let taken_for = [
            text_file::called(delimiter),
            encoding.to_owned(),
            "header in line 1".to_owned(),
            format!("{} columns, {} rows", self.names.len(), findings.rows),
        ];
        Ok(Parsed {
            taken_for: taken_for.join(", "),
            blocks: vec![block(
                self.digest(findings).map_err(|error| Odd::new(error.to_string()))?,
            )],
            properties: std::collections::BTreeMap::new(),
            confidence: self.confidence.clone(),
        })
    }

    /// A few rows, and the least and the greatest whole numbers: what decides whether a table can take the file's values.
    fn digest(&self, findings: &Findings) -> Result<RecordBatch, arrow::error::ArrowError> {
        let shown = self.start.slice(0, self.start.num_rows().min(SHOWN_ROWS));
        let columns = shown.columns().iter().enumerate().map(|(column, array)| {
            let bounds = findings.bounds.get(column).copied().flatten();
            let more: ArrayRef = match bounds.filter(|_| *array.data_type() == DataType::Int64) {
                Some((low, high)) => Arc::new(Int64Array::from(vec![low, high])),
                None => new_null_array(array.data_type(), 2),
            };
            concat(&[array.as_ref(), more.as_ref()])
        });
        RecordBatch::try_new(shown.schema(), columns.collect::<Result<Vec<_>, _>>()?)
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.names.iter().zip(&self.rules);
        let fields = fields.map(|(name, rule)| {
            let mut field = field(name, rule.kind);
            column::keep(&mut field, rule.decimal);
            field
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl Reader {
    /// The arrays of a piece's columns, in their order, and its number of rows.
    ///
    /// # Errors
    /// [`Odd`] where the piece is not part of the table that the file's start showed.
    pub(crate) fn read(&mut self, plain: &Plain, piece: &Piece) -> Result<(Vec<ArrayRef>, usize), Odd> {
        self.part(plain, piece)?;
        let rows = self.cells.height();
        self.findings.rows += rows as u64;
        self.findings.columns.resize_with(plain.rules.len(), Seen::default);
        self.findings.bounds.resize(plain.rules.len(), None);
        let mut arrays = Vec::with_capacity(plain.rules.len());
        let found = self.findings.columns.iter_mut().zip(&mut self.findings.bounds);
        for (at, (rule, (seen, bounds))) in plain.rules.iter().zip(found).enumerate() {
            let cells = self.cells.column(&piece.bytes, at);
            let array = build::column(*rule, rows, cells, seen).map_err(|odd| {
                let name = plain.names.get(at).map_or("", String::as_str);
                Odd::new(format!("column {name:?} holds {}", odd.0))
            })?;
            if rule.kind == ColumnType::Int64 {
                let ints = array.as_primitive::<Int64Type>();
                *bounds = join(*bounds, min(ints).zip(max(ints)));
            }
            arrays.push(array);
        }
        Ok((arrays, rows))
    }

    fn part(&mut self, plain: &Plain, piece: &Piece) -> Result<(), Odd> {
        if scan::has_controls(&piece.bytes) {
            return Err(Odd::new("control characters"));
        }
        self.findings.not_ascii |= !piece.bytes.is_ascii();
        self.cells.part(&piece.bytes, plain.delimiter, plain.names.len())?;
        let looked_at = (blocks::PLATE_ROWS as u64).saturating_sub(piece.rows_before + 1);
        let looked_at = usize::try_from(looked_at).unwrap_or(usize::MAX);
        // The general reader has seen the rows of the start, and found no plate there.
        let known = plain.start.num_rows();
        let before = usize::try_from(piece.rows_before).unwrap_or(usize::MAX);
        for row in self
            .cells
            .rows(&piece.bytes)
            .take(looked_at)
            .skip(known.saturating_sub(before))
        {
            if blocks::could_head_plate(row.map(|cell| std::str::from_utf8(cell).unwrap_or_default())) {
                return Err(Odd::new("a row that could head a plate"));
            }
        }
        let last = self.cells.rows(&piece.bytes).last();
        let filled = last.and_then(|mut row| row.find(|cell| !cell.trim_ascii().is_empty()));
        let sums_up = filled.is_some_and(|cell| std::str::from_utf8(cell).is_ok_and(blocks::may_sum_up));
        self.findings.end = self.findings.end.max((piece.rows_before, sums_up));
        let first_name = plain.names.first().map_or("", String::as_str);
        let mut first_cells = self.cells.column(&piece.bytes, 0);
        if first_cells.any(|(cell, _)| cell.len() >= first_name.len() && text_is(cell, first_name)) {
            return Err(Odd::new("a row that may be the header again"));
        }
        Ok(())
    }
}

impl Findings {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.end = self.end.max(other.end);
        self.not_ascii |= other.not_ascii;
        let width = self.columns.len().max(other.columns.len());
        self.columns.resize_with(width, Seen::default);
        self.bounds.resize(width, None);
        for (seen, more) in self.columns.iter_mut().zip(&other.columns) {
            seen.blank |= more.blank;
            seen.nothings.merge(&more.nothings);
            seen.watch.merge(&more.watch);
        }
        for (bounds, more) in self.bounds.iter_mut().zip(&other.bounds) {
            *bounds = join(*bounds, *more);
        }
    }
}

impl Survey {
    /// Takes in what another part of the file says.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.resize_with(self.0.len().max(other.0.len()), Evidence::default);
        for (one, more) in self.0.iter_mut().zip(&other.0) {
            one.merge(more);
        }
    }
}

/// The text up to the last line end that is in no quoted cell.
fn whole_lines(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let end = memchr::memrchr(b'\n', rest)?;
        let lines = text.get(..=end)?;
        if memchr::memchr_iter(b'"', lines).count().is_multiple_of(2) {
            return Some(lines);
        }
        rest = text.get(..end)?;
    }
}

fn join(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    }
}

fn text_is(cell: &[u8], name: &str) -> bool {
    let starts = cell.first() == name.as_bytes().first() || cell.first().is_some_and(|byte| !byte.is_ascii_graphic());
    starts && std::str::from_utf8(cell).is_ok_and(|cell| cell.trim() == name)
}

fn block(batch: RecordBatch) -> Block {
    Block {
        name: None,
        batches: vec![batch],
        first_row: 2,
    }
}
