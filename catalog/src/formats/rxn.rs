//! Reactions: RXN files (V2000, V3000) and RD files. One row a reaction: its name, the RXN file as it stands, how many reactants,
//! products and agents it has, and a column for each kind of data an RD file gives, typed over all records. Molecules of an
//! RD file are a table of their own.
//!
//! Structures stay as they are, as in [`super::sdf`].

use std::collections::BTreeMap;

use crate::formats::column::{self, Cells};
use crate::formats::confidence::Confidence;
use crate::formats::infer::ColumnType;
use crate::formats::molfile::{check_v3000, complete, shown};
use crate::formats::pinned::Notation;
use crate::formats::split::lines;
use crate::formats::text::Decoded;
use crate::formats::typed::check;
use crate::formats::{Block, Limits, Parsed, ReadError, header};

/// The columns of a reaction; the first two are texts.
const OF_REACTION: [&str; 5] = ["reaction_name", "rxnblock", "reactants", "products", "agents"];
/// Those of a molecule.
const OF_MOLECULE: [&str; 2] = ["molecule_name", "molblock"];
/// The column of the number under which a registry knows the record.
const REGISTRY: &str = "registry_number";
/// Lines of an RXN file before its first molecule: `$RXN`, name, program, remark, counts.
const HEAD_LINES: usize = 5;
/// A longer line of a datum goes on in the next one, and says so by a `+` at its end.
const DATUM_CHARS: usize = 80;

/// One record.
#[derive(Default)]
struct Record {
    is_molecule: bool,
    /// As many as there are own columns of its kind.
    own: Vec<String>,
    registry: String,
    items: Vec<(String, String)>,
}

/// Reads RXN and RD files; `None` when the text is none.
///
/// # Errors
/// `Damaged` where a record does not hold what it announces.
pub(super) fn read(decoded: &Decoded, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    let is_rd = decoded.text.starts_with("$RDFILE");
    if !is_rd && !decoded.text.starts_with("$RXN") {
        return Ok(None);
    }
    let all: Vec<(u64, &str)> = lines(&decoded.text).collect();
    let mut reader = Reader {
        lines: &all,
        at: 0,
        format: if is_rd { "RD file" } else { "RXN file" },
        records: Vec::new(),
        properties: BTreeMap::new(),
    };
    if is_rd {
        reader.records_of_rd(limits)?;
    } else {
        while reader.skip_blank() {
            let reaction = reader.reaction()?;
            reader.records.push(reaction);
        }
    }
    let (format, properties) = (reader.format, reader.properties);
    let (molecules, reactions): (Vec<Record>, Vec<Record>) =
        reader.records.into_iter().partition(|record| record.is_molecule);
    let (reaction_count, molecule_count) = (reactions.len(), molecules.len());
    let mut blocks = Vec::new();
    for (records, own) in [(reactions, OF_REACTION.as_slice()), (molecules, OF_MOLECULE.as_slice())] {
        if records.is_empty() {
            continue;
        }
        let name = (!blocks.is_empty()).then(|| "molecules".to_owned());
        blocks.push(block(name, records, own, limits)?);
    }
    if blocks.is_empty() {
        return Err(ReadError::Empty {
            bytes: decoded.text.len() as u64,
        });
    }
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        more => Some(format!("{more} {what}s")),
    };
    let held: Vec<String> = [counted(reaction_count, "reaction"), counted(molecule_count, "molecule")]
        .into_iter()
        .flatten()
        .collect();
    Ok(Some(Parsed {
        taken_for: format!("{format}, {}, {}", decoded.encoding, held.join(", ")),
        blocks,
        properties,
        confidence: Confidence::default(),
    }))
}

fn block(name: Option<String>, records: Vec<Record>, own: &[&str], limits: &Limits) -> Result<Block, ReadError> {
    let mut columns: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
    let has_registry = records.iter().any(|record| !record.registry.is_empty());
    if has_registry {
        columns.push(REGISTRY.to_owned());
    }
    let fixed = columns.len();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut table = Table { rows: Vec::new() };
    for record in records {
        let mut row = record.own;
        row.resize(own.len(), String::new());
        if has_registry {
            row.push(record.registry);
        }
        for (name, value) in record.items {
            let next = columns.len();
            let place = *places.entry(name.clone()).or_insert(next);
            if place == next {
                columns.push(name);
                check("the number of columns", columns.len() as u64, limits.columns_max as u64)?;
            }
            if row.len() <= place {
                row.resize(place + 1, String::new());
            }
            // What is said twice of one record is kept twice.
            if let Some(cell) = row.get_mut(place) {
                if !cell.is_empty() {
                    cell.push('\n');
                }
                cell.push_str(&value);
                check("a datum in bytes", cell.len() as u64, limits.cell_bytes_max as u64)?;
            }
        }
        table.rows.push(row);
        check("the number of rows", table.rows.len() as u64, limits.rows_max as u64)?;
    }
    let names = header::names(columns.iter().map(String::as_str));
    let mut plan = column::plan(&names, &table, Notation::plain_with(limits))?;
    for (at, kind) in plan.types.iter_mut().enumerate().take(fixed) {
        // Names, structures and numbers of a registry are texts, whatever they look like; the counts between them are not.
        if at < OF_MOLECULE.len() || at >= own.len() {
            *kind = ColumnType::Text;
        }
    }
    Ok(Block {
        name,
        batches: column::build(&names, &plan, &table)?,
        first_row: 1,
    })
}

struct Table {
    rows: Vec<Vec<String>>,
}

impl Cells for Table {
    fn height(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows
            .get(row)
            .and_then(|row| row.get(column))
            .map_or("", String::as_str)
    }
}

struct Reader<'t> {
    lines: &'t [(u64, &'t str)],
    at: usize,
    format: &'static str,
    records: Vec<Record>,
    properties: BTreeMap<String, String>,
}

impl<'t> Reader<'t> {
    fn line(&self) -> Option<&'t str> {
        self.lines.get(self.at).map(|(_, line)| *line)
    }

    fn skip_blank(&mut self) -> bool {
        while self.line().is_some_and(|line| line.trim().is_empty()) {
            self.at += 1;
        }
        self.line().is_some()
    }

    fn damaged(&self, why: &str) -> ReadError {
        let line = self
            .lines
            .get(self.at)
            .or(self.lines.last())
            .map_or(0, |(number, _)| *number);
        ReadError::Damaged {
            format: self.format,
            why: format!("record {} (line {line}): {why}", self.records.len() + 1),
        }
    }

    fn records_of_rd(&mut self, limits: &Limits) -> Result<(), ReadError> {
        self.at += 1;
        let mut open: Option<Record> = None;
        while self.skip_blank() {
            let line = self.line().unwrap_or_default();
            let (word, rest) = line
                .trim_end()
                .split_once(char::is_whitespace)
                .unwrap_or((line.trim_end(), ""));
            let rest = rest.trim();
            match word {
                "$DATM" => {
                    self.properties.insert("date".to_owned(), rest.to_owned());
                    self.at += 1;
                }
                "$RFMT" | "$MFMT" | "$RIREG" | "$REREG" | "$MIREG" | "$MEREG" => {
                    self.records.extend(open.take());
                    check("the number of rows", self.records.len() as u64, limits.rows_max as u64)?;
                    let has_structure = word.ends_with("FMT");
                    // A format's line may end in the number of a registry: `$RFMT $RIREG 25`.
                    let registry = if has_structure {
                        rest.split_whitespace().last().unwrap_or_default()
                    } else {
                        rest
                    };
                    self.at += 1;
                    let mut record = match word {
                        "$RFMT" => self.reaction()?,
                        "$MFMT" => self.molecule_record()?,
                        other => Record {
                            is_molecule: other.starts_with("$M"),
                            ..Record::default()
                        },
                    };
                    record.registry = registry.to_owned();
                    open = Some(record);
                }
                "$DTYPE" => {
                    let name = rest.to_owned();
                    self.at += 1;
                    let value = self.datum(&name)?;
                    match open.as_mut() {
                        Some(record) => record.items.push((name, value)),
                        None => return Err(self.damaged("data stand before the first record")),
                    }
                }
                _ => return Err(self.damaged(&format!("{:?} is no line of an RD file here", shown(line)))),
            }
        }
        self.records.extend(open);
        Ok(())
    }

    /// `$DATUM` and all lines of its value; a structure among the data is its molfile.
    fn datum(&mut self, name: &str) -> Result<String, ReadError> {
        let line = self.line().unwrap_or_default();
        let Some(first) = line.strip_prefix("$DATUM") else {
            return Err(self.damaged(&format!("{name} has no $DATUM")));
        };
        if first.trim().starts_with("$MFMT") {
            self.at += 1;
            return Ok(self.molfile()?.join("\n"));
        }
        if first.trim().starts_with("$RFMT") {
            self.at += 1;
            let block = self.reaction()?.own.into_iter().nth(1);
            return Ok(block.unwrap_or_default());
        }
        let mut value = String::new();
        let mut goes_on = true;
        let mut part = first.strip_prefix(' ').unwrap_or(first);
        let mut length = line.chars().count();
        loop {
            if !goes_on {
                value.push('\n');
            }
            let trimmed = part.trim_end();
            goes_on = length > DATUM_CHARS && trimmed.ends_with('+');
            value.push_str(if goes_on {
                trimmed.strip_suffix('+').unwrap_or(trimmed)
            } else {
                trimmed
            });
            self.at += 1;
            match self.line() {
                Some(next) if !next.starts_with('$') => {
                    part = next;
                    length = next.chars().count();
                }
                _ => return Ok(value.trim().to_owned()),
            }
        }
    }

    fn molecule_record(&mut self) -> Result<Record, ReadError> {
        let lines = self.molfile()?;
        let name = lines.first().map_or("", |line| line.trim()).to_owned();
        Ok(Record {
            is_molecule: true,
            own: vec![name, lines.join("\n")],
            ..Record::default()
        })
    }

    /// The molfile that begins here.
    fn molfile(&mut self) -> Result<Vec<&'t str>, ReadError> {
        let mut found = Vec::new();
        while let Some(line) = self.line() {
            self.at += 1;
            found.push(line);
            if line.trim_end() == "M  END" {
                complete(&found).map_err(|why| self.damaged(&why))?;
                return Ok(found);
            }
        }
        Err(self.damaged("the file ends within a molfile"))
    }

    /// The RXN file that begins here.
    fn reaction(&mut self) -> Result<Record, ReadError> {
        let begin = self.at;
        let first = self.line().unwrap_or_default();
        if !first.starts_with("$RXN") {
            return Err(self.damaged(&format!("{:?} stands where $RXN should", shown(first))));
        }
        let name = self.lines.get(begin + 1).map_or("", |(_, line)| line.trim()).to_owned();
        let counts = if first.contains("V3000") {
            self.sections_of_v3000()?
        } else {
            self.molecules_of_v2000()?
        };
        let lines: Vec<&str> = self
            .lines
            .get(begin..self.at)
            .unwrap_or_default()
            .iter()
            .map(|(_, line)| *line)
            .collect();
        let mut own = vec![name, lines.join("\n")];
        own.extend(counts.map(|count| count.to_string()));
        Ok(Record {
            own,
            ..Record::default()
        })
    }

    /// Reactants, products and agents, each a molfile behind `$MOL`.
    fn molecules_of_v2000(&mut self) -> Result<[usize; 3], ReadError> {
        let line = self.lines.get(self.at + HEAD_LINES - 1).map_or("", |(_, line)| *line);
        let field = |at: usize| line.get(at * 3..(line.len().min(at * 3 + 3))).map_or("", str::trim);
        let fixed: Option<Vec<usize>> = (0..3)
            .map(|at| match field(at) {
                "" if at == 2 => Some(0),
                text => text.parse().ok(),
            })
            .collect();
        let Some([reactants, products, agents]) =
            fixed.as_deref().and_then(|counts| counts.first_chunk::<3>()).copied()
        else {
            return Err(self.damaged(&format!("its fifth line is no line of counts: {:?}", shown(line))));
        };
        self.at += HEAD_LINES;
        let wanted = reactants + products + agents;
        let mut held = 0;
        while self.line().is_some_and(|line| line.trim_end() == "$MOL") {
            self.at += 1;
            self.molfile()?;
            held += 1;
        }
        if held != wanted {
            return Err(self.damaged(&format!("it announces {wanted} molecules and holds {held}")));
        }
        Ok([reactants, products, agents])
    }

    /// The same in sections of one file.
    fn sections_of_v3000(&mut self) -> Result<[usize; 3], ReadError> {
        let mut announced: Option<Vec<usize>> = None;
        let mut held = [0usize; 3];
        let mut section: Option<usize> = None;
        let mut table: Vec<&str> = Vec::new();
        let mut in_table = false;
        loop {
            let Some(line) = self.line() else {
                return Err(self.damaged("the file ends within a reaction"));
            };
            self.at += 1;
            let body = line.strip_prefix("M  V30 ").map_or("", str::trim);
            let words: Vec<&str> = body.split_whitespace().collect();
            match words.as_slice() {
                _ if line.trim_end() == "M  END" => break,
                ["BEGIN", "CTAB", ..] => {
                    in_table = true;
                    table.clear();
                }
                ["END", "CTAB"] => {
                    check_v3000(&table).map_err(|why| self.damaged(&why))?;
                    in_table = false;
                    if let Some(count) = section.and_then(|section| held.get_mut(section)) {
                        *count += 1;
                    }
                }
                _ if in_table => table.push(line),
                ["COUNTS", counts @ ..] if announced.is_none() => {
                    announced = Some(counts.iter().map_while(|count| count.parse().ok()).collect());
                }
                ["BEGIN", what] => section = ["REACTANT", "PRODUCT", "AGENT"].iter().position(|name| name == what),
                ["END", _] => section = None,
                _ => {}
            }
        }
        let announced = announced.unwrap_or_default();
        let said = |at: usize| announced.get(at).copied().unwrap_or_default();
        let wanted = [said(0), said(1), said(2)];
        if wanted != held {
            return Err(self.damaged(&format!(
                "it announces {wanted:?} reactants, products and agents, and holds {held:?}"
            )));
        }
        Ok(held)
    }
}
