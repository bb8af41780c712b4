//! SD files: molecules as molfiles (V2000, V3000) with data items. One row a record: the molecule's name, its molfile as it
//! stands, and a column for each item, typed over all records.
//!
//! The structure stays a molfile: a SMILES made from it without perceiving stereochemistry would be another molecule.

use std::collections::{BTreeMap, HashMap};

use crate::formats::column::{self, Cells};
use crate::formats::confidence::Confidence;
use crate::formats::infer::ColumnType;
use crate::formats::molfile::{self, HEAD_LINES, shown};
use crate::formats::pinned::Notation;
use crate::formats::split::lines;
use crate::formats::text::Decoded;
use crate::formats::typed::check;
use crate::formats::{Block, Limits, Parsed, ReadError, header, named};

/// The columns that every such file has.
const OWN: [&str; 2] = ["molecule_name", "molblock"];
/// The end of a record.
const END: &str = "$$$$";

/// Reads SD files and molfiles; `None` when the text is none.
///
/// # Errors
/// `Damaged` where a record does not hold what it announces.
pub(super) fn read(file_name: &str, decoded: &Decoded, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    let counts = lines(&decoded.text)
        .nth(HEAD_LINES - 1)
        .map_or("", |(_, line)| line.trim_end());
    let is_named = named(file_name, &[".sdf", ".sd", ".mol"]);
    let is_molecule = is_counts(counts) || (is_named && decoded.text.contains("M  END"));
    if !is_molecule {
        return Ok(None);
    }
    let mut reader = Reader::new(limits);
    for (number, line) in lines(&decoded.text) {
        reader.line(number, line)?;
    }
    let (records, kinds) = reader.finish()?;
    let names = header::names(OWN.into_iter().chain(records.items.iter().map(String::as_str)));
    let mut plan = column::plan(&names, &records, Notation::plain_with(limits))?;
    for kind in plan.types.iter_mut().take(OWN.len()) {
        *kind = ColumnType::Text;
    }
    let count = records.rows.len();
    let batches = column::build(&names, &plan, &records)?;
    let plural = if count == 1 { "" } else { "s" };
    Ok(Some(Parsed {
        taken_for: format!(
            "SDF ({kinds}), {}, {count} record{plural}, {} data items",
            decoded.encoding,
            records.items.len()
        ),
        blocks: vec![Block {
            name: None,
            batches,
            first_row: 1,
        }],
        properties: BTreeMap::new(),
        confidence: Confidence::default(),
    }))
}

/// The fourth line of a molfile: counts, then the version.
fn is_counts(line: &str) -> bool {
    let versioned = line.ends_with("V2000") || line.ends_with("V3000");
    versioned
        && line
            .get(..6)
            .is_some_and(|counts| counts.bytes().all(|byte| byte == b' ' || byte.is_ascii_digit()))
}

/// All records as text: name, molfile, then the items.
struct Records {
    items: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cells for Records {
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

/// Where in a record the reader is.
enum At {
    Molecule,
    /// Behind the molfile, or behind an item.
    Between,
    /// In the item of this column; `true` after the empty line that ends it.
    Item(usize, bool),
}

struct Reader<'l> {
    limits: &'l Limits,
    at: At,
    records: Records,
    columns: HashMap<String, usize>,
    /// The molfile so far.
    molecule: Vec<String>,
    open: Vec<String>,
    first_line: u64,
    closed: usize,
    v2000: bool,
    v3000: bool,
}

impl<'l> Reader<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            at: At::Molecule,
            records: Records {
                items: Vec::new(),
                rows: Vec::new(),
            },
            columns: HashMap::new(),
            molecule: Vec::new(),
            open: Vec::new(),
            first_line: 1,
            closed: 0,
            v2000: false,
            v3000: false,
        }
    }

    fn line(&mut self, number: u64, line: &str) -> Result<(), ReadError> {
        if line.starts_with(END) {
            if matches!(self.at, At::Molecule) {
                self.molecule_ends(number)?;
            }
            self.closed += 1;
            return self.record_ends();
        }
        let header = item_name(line);
        match self.at {
            At::Molecule => {
                if self.molecule.is_empty() {
                    self.first_line = number;
                }
                // Old writers leave `M  END` out.
                if header.is_some() && self.molecule.len() >= HEAD_LINES {
                    self.molecule_ends(number)?;
                    return self.line(number, line);
                }
                self.molecule.push(line.to_owned());
                if line.trim_end() == "M  END" {
                    self.molecule_ends(number)?;
                }
            }
            At::Between | At::Item(_, true) if header.is_some() => self.item(header.unwrap_or_default())?,
            // An item without a value and without the empty line behind it.
            At::Item(_, false) if header.as_ref().is_some_and(|_| line.contains('<')) => {
                self.item(header.unwrap_or_default())?;
            }
            At::Between if line.trim().is_empty() => {}
            At::Between => {
                return Err(self.damaged(
                    number,
                    &format!("{:?} stands between its molfile and its items", shown(line)),
                ));
            }
            At::Item(column, _) if line.trim().is_empty() => self.at = At::Item(column, true),
            At::Item(column, ended) => self.value(column, line, ended)?,
        }
        Ok(())
    }

    /// An item begins; one that comes again in a record goes on with its value.
    fn item(&mut self, name: String) -> Result<(), ReadError> {
        let next = self.records.items.len();
        let column = *self.columns.entry(name.clone()).or_insert(next);
        if column == next {
            self.records.items.push(name);
            check(
                "the number of columns",
                (next + OWN.len()) as u64,
                self.limits.columns_max as u64,
            )?;
        }
        self.at = At::Item(column, false);
        Ok(())
    }

    /// A further line of an item's value; `ended`: after an empty line, which then belongs to the value.
    fn value(&mut self, column: usize, line: &str, ended: bool) -> Result<(), ReadError> {
        let at = column + OWN.len();
        if self.open.len() <= at {
            self.open.resize(at + 1, String::new());
        }
        let Some(value) = self.open.get_mut(at) else {
            return Ok(());
        };
        if ended && !value.is_empty() {
            value.push_str("\n\n");
        } else if !value.is_empty() {
            value.push('\n');
        }
        value.push_str(line);
        self.at = At::Item(column, false);
        let size = value.len() as u64;
        check("the value of an item in bytes", size, self.limits.cell_bytes_max as u64)
    }

    fn molecule_ends(&mut self, number: u64) -> Result<(), ReadError> {
        let v3000 = molfile::complete(&self.molecule).map_err(|why| self.damaged(number, &why))?;
        self.v3000 |= v3000;
        self.v2000 |= !v3000;
        let name = self.molecule.first().map_or("", |line| line.trim()).to_owned();
        let block = std::mem::take(&mut self.molecule).join("\n");
        check(
            "a molfile in bytes",
            block.len() as u64,
            self.limits.cell_bytes_max as u64,
        )?;
        self.open = vec![name, block];
        self.at = At::Between;
        Ok(())
    }

    fn record_ends(&mut self) -> Result<(), ReadError> {
        self.records.rows.push(std::mem::take(&mut self.open));
        self.at = At::Molecule;
        check(
            "the number of rows",
            self.records.rows.len() as u64,
            self.limits.rows_max as u64,
        )
    }

    fn finish(mut self) -> Result<(Records, &'static str), ReadError> {
        let line = self.first_line;
        match self.at {
            At::Molecule if self.molecule.iter().all(|line| line.trim().is_empty()) => {}
            At::Molecule => return Err(self.damaged(line, "the file ends within its molfile")),
            At::Between | At::Item(..) if self.closed > 0 => {
                return Err(self.damaged(line, "the file ends before its $$$$"));
            }
            // A molfile alone has no end of a record.
            At::Between | At::Item(..) => self.record_ends()?,
        }
        let kinds = match (self.v2000, self.v3000) {
            (true, true) => "V2000 and V3000",
            (false, true) => "V3000",
            (true | false, false) => "V2000",
        };
        Ok((self.records, kinds))
    }

    fn damaged(&self, line: u64, why: &str) -> ReadError {
        ReadError::Damaged {
            format: "SDF",
            why: format!("record {} (line {line}): {why}", self.records.rows.len() + 1),
        }
    }
}

/// The name in the head of an item: `> <NAME>`, `>  25 <MELTING.POINT> (MD-08974)`, `> DT12`.
fn item_name(line: &str) -> Option<String> {
    let rest = line.strip_prefix('>')?;
    if let Some((_, after)) = rest.split_once('<') {
        let name = after.rsplit_once('>').map(|(name, _)| name.trim())?;
        return (!name.is_empty()).then(|| name.to_owned());
    }
    let field = rest.trim();
    (field.len() > 2 && field.starts_with("DT") && field.bytes().skip(2).all(|byte| byte.is_ascii_digit()))
        .then(|| field.to_owned())
}
