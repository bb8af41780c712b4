//! Rows that are held out together: of one plate, campaign or scaffold. Random folds flatter a model.

use std::collections::{HashMap, HashSet};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::error::TrainError;
use crate::frame::{each_text, is_readable};
use crate::options::TrainOptions;
use crate::table::{self, whole_column};

/// Columns that name what rows are measured together in, the widest first.
const GROUP_NAMES: [&str; 11] = [
    "campaign",
    "campaign_id",
    "batch",
    "batch_id",
    "plate",
    "plate_id",
    "plate_barcode",
    "run",
    "run_id",
    "experiment",
    "experiment_id",
];
/// With fewer groups than this, holding one out leaves too little to learn from.
const NAMED_GROUPS_MIN: usize = 5;
/// Asks for random folds whatever columns are named.
const NO_GROUP: &str = "none";
/// How the scaffolds of a column are asked for.
const SCAFFOLD: &str = "scaffold(";

/// What is held out together.
pub(crate) enum Grouping {
    None,
    Column(usize),
    /// Columns that are named as what rows are measured together in, the widest first.
    Named(Vec<usize>),
    /// The scaffolds of a column of molecules, which stays a feature.
    Scaffold(usize),
}

/// A group number per row, and where it is from.
pub(crate) struct Grouped {
    pub(crate) groups: Vec<usize>,
    /// The column, or its scaffolds.
    pub(crate) name: String,
    /// Nobody asked for it: the column's name says what it is.
    pub(crate) by_rule: bool,
    /// The column that is no feature.
    pub(crate) reserved: Option<usize>,
}

impl Grouping {
    /// The group that is asked for, or else one that a column is named as.
    pub(crate) fn find(schema: &Schema, options: &TrainOptions, target: usize) -> Result<Self, TrainError> {
        let Some(name) = &options.group_by else {
            let index = |name: &&str| table::find(schema, name).filter(|index| *index != target);
            let readable = |index: &usize| is_readable(schema.field(*index).data_type());
            let named = GROUP_NAMES.iter().filter_map(|name| index(name).filter(readable));
            return Ok(Self::Named(named.collect()));
        };
        let (column, is_scaffold) = match scaffold_of(name) {
            Some(column) => (column, true),
            None => (name.as_str(), false),
        };
        match table::find(schema, column) {
            None if name.eq_ignore_ascii_case(NO_GROUP) => Ok(Self::None),
            Some(index) if index == target => Err(TrainError::GroupIsTarget(name.clone())),
            Some(index) if is_scaffold && is_readable(schema.field(index).data_type()) => Ok(Self::Scaffold(index)),
            Some(index) if is_readable(schema.field(index).data_type()) => Ok(Self::Column(index)),
            _ => Err(TrainError::NoGroupColumn {
                group_by: name.clone(),
                columns: table::names(schema),
            }),
        }
    }

    /// The groups of some rows; none if nothing is grouped by.
    pub(crate) fn read(
        self,
        batches: &[RecordBatch],
        schema: &Schema,
        rows: &[usize],
    ) -> Result<Option<Grouped>, TrainError> {
        let name = |index: usize| schema.field(index).name().clone();
        match self {
            Self::None => Ok(None),
            Self::Column(index) => {
                let (groups, name) = (read_groups(batches, index, &name(index), rows, itself)?, name(index));
                Ok(Some(Grouped {
                    groups,
                    name,
                    by_rule: false,
                    reserved: Some(index),
                }))
            }
            Self::Scaffold(index) => {
                let name = format!("{SCAFFOLD}{})", name(index));
                Ok(Some(Grouped {
                    groups: read_groups(batches, index, &name, rows, scaffold)?,
                    name,
                    by_rule: false,
                    reserved: None,
                }))
            }
            // A name is a guess: what it does not fit is not grouped by.
            Self::Named(columns) => Ok(columns.into_iter().find_map(|index| {
                let groups = read_groups(batches, index, &name(index), rows, itself).ok()?;
                let fits = (NAMED_GROUPS_MIN..=rows.len() / 2).contains(&distinct(&groups));
                fits.then(|| Grouped {
                    groups,
                    name: name(index),
                    by_rule: true,
                    reserved: Some(index),
                })
            })),
        }
    }
}

/// The column whose scaffolds are the groups.
pub(crate) fn scaffold_of(group_by: &str) -> Option<&str> {
    let inside = group_by.trim().strip_prefix(SCAFFOLD)?;
    inside.strip_suffix(')').map(str::trim)
}

/// What stands for all molecules of one scaffold; a text that is no molecule stands for itself, as one without rings does not.
fn scaffold(text: String) -> String {
    match crate::smiles::parse(&text) {
        Some(molecule) => match crate::smiles::scaffold(&molecule) {
            Some(scaffold) => format!("scaffold {scaffold:x}"),
            None => "no ring".to_owned(),
        },
        None => text,
    }
}

fn itself(text: String) -> String {
    text
}

fn distinct(groups: &[usize]) -> usize {
    groups.iter().collect::<HashSet<_>>().len()
}

fn read_groups(
    batches: &[RecordBatch],
    index: usize,
    name: &str,
    rows: &[usize],
    group: fn(String) -> String,
) -> Result<Vec<usize>, TrainError> {
    let column = whole_column(batches, index, name)?;
    let mut numbers: HashMap<Option<String>, usize> = HashMap::new();
    let mut of_row = Vec::with_capacity(column.len());
    let mut known: HashMap<String, String> = HashMap::new();
    each_text(&column, |text| {
        let next = numbers.len();
        let group = text.map(|text| match known.get(text) {
            Some(group) => group.clone(),
            None => {
                let group = group(text.to_owned());
                known.insert(text.to_owned(), group.clone());
                group
            }
        });
        of_row.push(*numbers.entry(group).or_insert(next));
    })
    .map_err(|source| TrainError::Column {
        column: name.to_owned(),
        source,
    })?;
    // Numbered as the rows are ordered, not as they arrived.
    let mut renumbered: HashMap<usize, usize> = HashMap::new();
    let mut number = |group: usize| {
        let next = renumbered.len();
        *renumbered.entry(group).or_insert(next)
    };
    let groups: Vec<usize> = rows
        .iter()
        .filter_map(|row| of_row.get(*row))
        .map(|group| number(*group))
        .collect();
    if distinct(&groups) < 2 {
        return Err(TrainError::OneGroup(name.to_owned()));
    }
    Ok(groups)
}
