//! Lists of SMILES: a structure a line, then its name, or several columns parted by tabs. Known by the file's name, because
//! a word alone may be a SMILES (`CCO`, `NO`); believed only if every line starts with one.

use std::collections::BTreeMap;

use crate::formats::column;
use crate::formats::confidence::Confidence;
use crate::formats::grid::Grid;
use crate::formats::infer::ColumnType;
use crate::formats::layout::GridCells;
use crate::formats::pinned::Notation;
use crate::formats::split::lines;
use crate::formats::text::Decoded;
use crate::formats::{Block, Limits, Parsed, ReadError, header, named};

/// Endings of such lists.
const ENDINGS: [&str; 4] = [".smi", ".smiles", ".ism", ".can"];
/// Up to this share of broken lines the file is a damaged list; beyond it, it is something else.
const BROKEN_MAX: f64 = 0.1;

/// Reads a list; `None` when the file is not called so, or its lines are something else.
///
/// # Errors
/// `NotATable` when a few lines hold no SMILES.
pub(super) fn read(file_name: &str, decoded: &Decoded, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    if !named(file_name, &ENDINGS) {
        return Ok(None);
    }
    let rows: Vec<(u64, &str)> = lines(&decoded.text)
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with("# "))
        .collect();
    let first = |line: &str| is_smiles(line.split_whitespace().next().unwrap_or_default());
    let Some(((line, head), below)) = rows.split_first() else {
        return Ok(None);
    };
    let has_header = !first(head);
    let body = if has_header { below } else { rows.as_slice() };
    let broken: Vec<u64> = body
        .iter()
        .filter(|(_, line)| !first(line))
        .map(|(line, _)| *line)
        .collect();
    if body.is_empty() || broken.len() as f64 > BROKEN_MAX * body.len() as f64 {
        return Ok(None);
    }
    if let Some(at) = broken.first() {
        return Err(ReadError::NotATable {
            seen: format!(
                "a list of SMILES in which {} of {} lines start with none, the first in line {at}",
                broken.len(),
                body.len()
            ),
        });
    }
    let tabs = |line: &str| line.matches('\t').count();
    let by_tab = tabs(head) > 0 && rows.iter().all(|(_, line)| tabs(line) == tabs(head));
    let cut = |line: &'_ str| -> Vec<String> {
        if by_tab {
            return line.split('\t').map(|cell| cell.trim().to_owned()).collect();
        }
        let (smiles, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        [smiles, rest.trim()]
            .into_iter()
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut grid = Grid::default();
    for (line, text) in body {
        cut(text)
            .iter()
            .try_for_each(|cell| grid.push_cell(cell, *line, limits))?;
        grid.end_row(*line, limits)?;
    }
    let all: Vec<usize> = (0..grid.height()).collect();
    let width = all.iter().map(|row| grid.filled_width(*row)).max().unwrap_or(1);
    let mut names = if has_header { cut(head) } else { Vec::new() };
    for name in ["smiles", "name"].into_iter().skip(names.len()) {
        names.push(name.to_owned());
    }
    names.resize(width, String::new());
    let names = header::names(names.iter().map(String::as_str));
    let cells = GridCells {
        grid: &grid,
        rows: &all,
    };
    let mut plan = column::plan(&names, &cells, Notation::plain_with(limits))?;
    if let Some(kind) = plan.types.first_mut() {
        *kind = ColumnType::Text;
    }
    let batches = column::build(&names, &plan, &cells)?;
    let head = if has_header {
        format!("header in line {line}, ")
    } else {
        String::new()
    };
    Ok(Some(Parsed {
        taken_for: format!("list of SMILES, {}, {head}{} rows", decoded.encoding, all.len()),
        blocks: vec![Block {
            name: None,
            batches,
            first_row: body.first().map_or(1, |(line, _)| *line),
        }],
        properties: BTreeMap::new(),
        confidence: Confidence::default(),
    }))
}

/// Whether a word follows the grammar of SMILES: known atoms, closed brackets and branches, rings closed in pairs. Valences
/// are not looked at.
pub(crate) fn is_smiles(word: &str) -> bool {
    let mut rest = word;
    let mut branches = 0usize;
    let mut rings: BTreeMap<String, usize> = BTreeMap::new();
    let mut atoms = 0usize;
    while let Some(next) = rest.chars().next() {
        let mut taken = next.len_utf8();
        match next {
            '[' => {
                let Some(end) = rest.find(']') else { return false };
                let inner = rest.get(1..end).unwrap_or_default();
                if !inner.contains(|inner: char| inner.is_ascii_alphabetic() || inner == '*') || inner.contains('[') {
                    return false;
                }
                atoms += 1;
                taken = end + 1;
            }
            '(' if atoms > 0 => branches += 1,
            ')' if branches > 0 => branches -= 1,
            '0'..='9' if atoms > 0 => *rings.entry(next.to_string()).or_default() += 1,
            '%' if atoms > 0 => {
                let Some(number) = rest
                    .get(1..3)
                    .filter(|two| two.bytes().all(|byte| byte.is_ascii_digit()))
                else {
                    return false;
                };
                *rings.entry(number.trim_start_matches('0').to_owned()).or_default() += 1;
                taken = 3;
            }
            '-' | '=' | '#' | '$' | ':' | '/' | '\\' | '~' if atoms > 0 => {}
            '.' | '>' => {}
            _ => {
                let two = rest.get(..2).filter(|two| matches!(*two, "Cl" | "Br"));
                if two.is_none() && !"BCNOPSFIbcnops*".contains(next) {
                    return false;
                }
                taken = two.map_or(taken, str::len);
                atoms += 1;
            }
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    atoms > 0 && branches == 0 && rings.values().all(|ends| ends % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::is_smiles;

    #[test]
    fn smiles_and_other_words() {
        for word in [
            "CCO",
            "c1ccccc1",
            "C[C@H](N)C(=O)O",
            "[Na+].[Cl-]",
            "C1CC%12CC1CC%12",
            "F/C=C/F",
            "CC(=O)Oc1ccccc1C(=O)O",
            "CCO>>CC=O",
        ] {
            assert!(is_smiles(word), "{word}");
        }
        for word in [
            "", "smiles", "C1CC", "CC(", "CC)", "[Na", "ethanol", "12", "C%1", "-C", "Hello",
        ] {
            assert!(!is_smiles(word), "{word}");
        }
    }
}
