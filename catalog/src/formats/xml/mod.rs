//! XML of instruments: records found by what repeats, without knowing any vendor's schema.

mod records;
mod sheet;
mod tree;

use std::collections::BTreeMap;

use crate::formats::grid::Grid;
use crate::formats::pinned::Notation;
use crate::formats::text::Decoded;
use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, column, header, workbook};

/// Names of repeated elements listed in `taken_for`.
const LEFT_SHOWN: usize = 8;

/// Reads XML; `None` when the text is none.
///
/// # Errors
/// `Damaged`, `TooLarge`, `Unsupported`; `NotATable` when nothing repeats.
pub(super) fn read(decoded: &Decoded, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    let text = decoded.text.trim_start();
    if !text.starts_with("<?xml") && !looks_like_xml(text) {
        return Ok(None);
    }
    let tree = tree::Tree::parse(text, limits)?;
    let root = tree.elements.first().map_or("", |root| tree.name(root.path)).to_owned();
    if let Some(sheets) = sheet::sheets(&tree, limits)? {
        let sheets = sheets.into_iter().map(|sheet| (sheet.name, sheet.grid)).collect();
        return workbook::of_grids("Excel (XML)", sheets, limits).map(Some);
    }
    let told: BTreeMap<String, String> = records::once(&tree)
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    if let Some((name, rows)) = records::cells(&tree) {
        let mut parsed = workbook::of_grids(
            &format!("XML of <{root}>"),
            vec![(name, grid_of(&rows, limits)?)],
            limits,
        )?;
        parsed.properties.extend(told);
        parsed.confidence.doubt(0.9, "its rows are elements of unnamed cells");
        return Ok(Some(parsed));
    }
    let (mut records, left) = records::of(&tree, limits.columns_max);
    if records.is_empty() {
        records.extend(records::one(&tree, limits.columns_max));
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut notes = vec![format!("XML of <{root}>"), decoded.encoding.clone()];
    for records in &records {
        let names = header::names(records.columns.iter().map(String::as_str));
        let notation = Notation {
            comma_cells: true,
            pinned: Some(&limits.pinned),
            ..Notation::plain()
        };
        let batches = column::table(&names, records, notation)?;
        let rows: usize = batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum();
        notes.push(format!("{rows} records <{}>", records.name));
        blocks.push(Block {
            name: (!blocks.is_empty()).then(|| records.name.clone()),
            batches,
            first_row: 1,
        });
    }
    if blocks.is_empty() {
        return Err(ReadError::NotATable {
            seen: format!("an XML document of <{root}> in which no element with values repeats"),
        });
    }
    let mut confidence = Confidence::default();
    confidence.doubt(0.9, "its records are the elements that repeat");
    if !left.is_empty() {
        let shown: Vec<&str> = left.iter().take(LEFT_SHOWN).map(String::as_str).collect();
        notes.push(format!(
            "{} other repeated elements not read: {}",
            left.len(),
            shown.join(", ")
        ));
    }
    Ok(Some(Parsed {
        taken_for: notes.join(", "),
        blocks,
        properties: told,
        confidence,
    }))
}

fn grid_of(rows: &[Vec<&str>], limits: &Limits) -> Result<Grid, ReadError> {
    let mut grid = Grid::default();
    for (line, row) in (1..).zip(rows) {
        row.iter().try_for_each(|cell| grid.push_cell(cell, line, limits))?;
        grid.end_row(line, limits)?;
    }
    Ok(grid)
}

/// An element at the start, and not one of a page.
fn looks_like_xml(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('<') else {
        return false;
    };
    let name: String = rest
        .chars()
        .take_while(|character| character.is_alphanumeric() || matches!(character, '_' | ':' | '-' | '.'))
        .collect();
    let page = ["html", "head", "body", "table", "div", "meta", "style"];
    let closed = text.trim_end().ends_with('>');
    closed && name.starts_with(char::is_alphabetic) && !page.contains(&name.to_lowercase().as_str())
}
