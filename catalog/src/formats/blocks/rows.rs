//! Rows of a table of readings: a row is one well of one plate at one place of the axes, with a value for each thing
//! read.

use std::collections::{HashMap, HashSet};

use crate::formats::blocks::plates::Group;
use crate::formats::blocks::well::Well;

/// Up to this share of blank wells a plate was meant to be read whole and some wells failed; beyond it, the blank wells
/// were not part of the run and get no rows.
pub(super) const BLANK_WELLS_MAX: f64 = 0.1;

/// One row of the table.
pub(super) struct Row<'a> {
    pub(super) section: usize,
    /// Place in the list of distinct axis values.
    pub(super) axis: usize,
    pub(super) beside: Option<String>,
    pub(super) well: Well,
    pub(super) values: Vec<&'a str>,
}

/// All rows of a table.
pub(super) struct Rows<'a> {
    pub(super) rows: Vec<Row<'a>>,
    pub(super) axes: Vec<Vec<String>>,
    /// Some readings differ in nothing but their place in the file.
    pub(super) beside: bool,
    /// Blank wells without a row.
    pub(super) left_out: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn of(group: &Group<'_, 'a>, columns: &[Option<String>]) -> Self {
        let mut rows: Vec<Row<'a>> = Vec::new();
        // A row is one well of one plate in one state at one place of the axes.
        type Key = (usize, Option<String>, Option<String>, usize, Option<String>);
        let mut axes: Vec<Vec<String>> = Vec::new();
        let mut places_of_axes: HashMap<Vec<String>, usize> = HashMap::new();
        let mut known: HashMap<Key, HashMap<Well, usize>> = HashMap::new();
        let mut reads: HashMap<(Key, usize), Vec<Reach>> = HashMap::new();
        let mut beside = false;
        let mut framed = false;
        for (at, section) in group.sections.iter().enumerate() {
            for layer in &section.layers {
                framed |= layer.framed;
                let column = group.column_of(section, layer);
                let column = columns.iter().position(|known| *known == column).unwrap_or(0);
                let values: Vec<String> = layer.axis.iter().map(|(_, value)| value.clone()).collect();
                let axis = *places_of_axes.entry(values.clone()).or_insert_with(|| {
                    axes.push(values);
                    axes.len() - 1
                });
                let title = section.title.clone().filter(|_| group.long);
                let mut key: Key = (section.state, section.plate.clone(), title, axis, layer.beside.clone());
                // The same reading again: another read, or what the columns before have left out of one plate.
                let reach = Reach::of(&layer.wells);
                let known_reads = reads.entry((key.clone(), column)).or_default();
                let again = match known_reads.iter().position(|known| known.goes_on_in(&reach)) {
                    Some(at) => {
                        if let Some(known) = known_reads.get_mut(at) {
                            known.columns.extend(&reach.columns);
                        }
                        at + 1
                    }
                    None => {
                        known_reads.push(reach);
                        known_reads.len()
                    }
                };
                if again > 1 {
                    key.4 = Some(match &layer.beside {
                        Some(beside) => format!("{beside} ({again})"),
                        None => again.to_string(),
                    });
                }
                beside |= key.4.is_some();
                let places = known.entry(key.clone()).or_default();
                for (well, value) in &layer.wells {
                    let row = *places.entry(*well).or_insert_with(|| {
                        rows.push(Row {
                            section: at,
                            axis,
                            beside: key.4.clone(),
                            well: *well,
                            values: vec![""; columns.len()],
                        });
                        rows.len() - 1
                    });
                    if let Some(place) = rows.get_mut(row).and_then(|row| row.values.get_mut(column)) {
                        *place = value;
                    }
                }
            }
        }
        let before = rows.len();
        if !framed {
            let is_series = axes.iter().any(|axis| !axis.is_empty());
            rows = without_blank(group, rows, is_series);
        }
        if beside {
            for row in &mut rows {
                row.beside.get_or_insert_with(|| "1".to_owned());
            }
        }
        Self {
            left_out: before - rows.len(),
            rows,
            axes,
            beside,
        }
    }
}

/// Rows and columns of the wells that were read.
struct Reach {
    rows: HashSet<usize>,
    columns: HashSet<usize>,
}

impl Reach {
    fn of(wells: &[(Well, &str)]) -> Self {
        Self {
            rows: wells.iter().map(|(well, _)| well.row).collect(),
            columns: wells.iter().map(|(well, _)| well.column).collect(),
        }
    }

    /// Whether the other holds the same rows of other columns: a plate printed in halves.
    fn goes_on_in(&self, other: &Self) -> bool {
        self.rows == other.rows && self.columns.is_disjoint(&other.columns)
    }
}

/// Leaves out the wells of a plate that never have a value, unless they are few. Lines of a row that are blank
/// throughout are no reading at all.
fn without_blank<'a>(group: &Group<'_, 'a>, rows: Vec<Row<'a>>, is_series: bool) -> Vec<Row<'a>> {
    let has_value = |row: &Row<'_>| row.values.iter().any(|value| !value.is_empty());
    let plate = |row: &Row<'_>| {
        let section = group.sections.get(row.section);
        (
            section.map_or(0, |section| section.state),
            section.and_then(|section| section.plate.clone()),
        )
    };
    let mut wells: HashMap<(usize, Option<String>), HashMap<Well, bool>> = HashMap::new();
    let mut lines: HashMap<(usize, usize), bool> = HashMap::new();
    for row in &rows {
        let filled = has_value(row);
        *wells.entry(plate(row)).or_default().entry(row.well).or_default() |= filled;
        *lines.entry((row.section, row.axis)).or_default() |= filled;
    }
    let keep_blank: HashSet<(usize, Option<String>)> = wells
        .iter()
        .filter(|_| !is_series)
        .filter(|(_, wells)| {
            let blank = wells.values().filter(|filled| !**filled).count();
            blank as f64 <= BLANK_WELLS_MAX * wells.len() as f64
        })
        .map(|(plate, _)| plate.clone())
        .collect();
    rows.into_iter()
        .filter(|row| {
            let plate = plate(row);
            let line = lines.get(&(row.section, row.axis)) == Some(&true);
            let read = wells.get(&plate).and_then(|wells| wells.get(&row.well)) == Some(&true);
            line && (read || keep_blank.contains(&plate))
        })
        .collect()
}
