//! Keys of a file's head as columns: each holds for all rows of the file.

use crate::formats::column::Cells;
use crate::formats::infer::{ColumnType, Commas, Evidence};
use crate::formats::moment::Order;

/// A longer head is a protocol, and stays in the properties.
const KEYS_MAX: usize = 40;
/// A longer value is a remark.
const VALUE_CHARS_MAX: usize = 200;

/// The pairs that become columns beside those that a table has already; of a repeated key the first.
pub(super) fn beside(pairs: &[(String, String)], names: &[String]) -> Vec<(String, String)> {
    let mut taken: Vec<String> = names.iter().map(|name| folded(name)).collect();
    let mut kept = Vec::new();
    if pairs.len() > KEYS_MAX {
        return kept;
    }
    for (key, value) in pairs {
        let name = folded(key);
        if !value.is_empty() && value.chars().count() <= VALUE_CHARS_MAX && !taken.contains(&name) {
            taken.push(name);
            kept.push((key.clone(), value.clone()));
        }
    }
    kept
}

/// The type of a constant: a date that can be read in one way only, else text. A batch is called 12 in one file and 12b
/// in the next, and one date such as 03/04/2026 does not say where its day stands.
pub(super) fn kind(value: &str) -> ColumnType {
    let mut evidence = Evidence::default();
    evidence.see(value);
    sure(evidence.decide(Commas::None))
}

/// Whether the value is a date such as 15.02.2026.
pub(super) fn is_dotted_date(value: &str) -> bool {
    let mut evidence = Evidence::default();
    evidence.see(value);
    evidence.has_dotted_dates()
}

/// A constant's type where it says enough alone; see [`kind`].
pub(super) fn sure(kind: ColumnType) -> ColumnType {
    match kind {
        ColumnType::Null => ColumnType::Null,
        ColumnType::Date(Order::YearFirst | Order::MonthName)
        | ColumnType::Timestamp {
            order: Order::YearFirst | Order::MonthName,
            ..
        } => kind,
        ColumnType::Date(Order::DayFirst | Order::MonthFirst)
        | ColumnType::Timestamp {
            order: Order::DayFirst | Order::MonthFirst,
            ..
        }
        | ColumnType::Boolean
        | ColumnType::Int64
        | ColumnType::Float64(_)
        | ColumnType::Text => ColumnType::Text,
    }
}

/// Cells with constants behind their `width` columns.
pub(super) struct WithConstants<'c> {
    pub(super) cells: &'c dyn Cells,
    pub(super) width: usize,
    pub(super) constants: &'c [(String, String)],
}

impl Cells for WithConstants<'_> {
    fn height(&self) -> usize {
        self.cells.height()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        match column.checked_sub(self.width) {
            None => self.cells.cell(row, column),
            Some(at) => self.constants.get(at).map_or("", |(_, value)| value.as_str()),
        }
    }

    fn line(&self, row: usize) -> Option<u64> {
        self.cells.line(row)
    }
}

/// `Plate ID` and `plate_id` are one name.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
