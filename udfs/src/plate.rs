//! What a plate adds to its wells: row, column and edge effects by median polish (Tukey, "Exploratory Data Analysis", 1977).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::anomaly::median;
use crate::error::PredictError;
use crate::feature::FeatureKind;
use crate::frame::{each_text, numbers};

/// Wells of all plates together: a thousand plates of 1,536.
const WELLS_MAX: usize = 1_600_000;
/// Sweeps over rows and columns; the polish settles in three or four.
const SWEEPS: usize = 10;
/// Rows and columns of the largest plate, with room.
const SIDE_MAX: u32 = 128;

/// Names of the columns that say where a well is: its row, its column, or both.
const ROWS: [&str; 2] = ["row", "well_row"];
const COLUMNS: [&str; 3] = ["column", "col", "well_column"];
const WELLS: [&str; 2] = ["well", "well_id"];
/// Rows and columns of the plates that there are, the smallest first.
const FORMATS: [(u32, u32); 6] = [(2, 3), (3, 4), (4, 6), (8, 12), (16, 24), (32, 48)];

/// Collects the wells of a table.
#[derive(Debug)]
pub struct PlateEffects {
    plate: Option<usize>,
    place: Place,
    value: usize,
    wells: BTreeMap<String, BTreeMap<(u32, u32), f64>>,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// One column such as `B07`.
    Well(usize),
    /// A row (letters or a number) and a column.
    RowColumn(usize, usize),
}

impl PlateEffects {
    /// Wells are found by the columns `well`, or `row` and `column` (or `col`); plates by `plate_id`, `plate` or `plate_barcode`, without which
    /// all wells are one plate. `value` names the measured column.
    ///
    /// # Errors
    /// [`PredictError::NoPlate`] says which column is missing.
    pub fn new(table: &Schema, value: &str) -> Result<Self, PredictError> {
        Self::of(table, Some(value))
    }

    /// The same, where the measured column may be left to be found: it is the only number that is no place.
    ///
    /// # Errors
    /// As [`PlateEffects::new`], [`PredictError::ManyValues`] names the columns that could be meant.
    pub fn of(table: &Schema, value: Option<&str>) -> Result<Self, PredictError> {
        let find = |names: &[&str]| names.iter().find_map(|name| table.index_of(name).ok());
        let missing = |missing: &str| PredictError::NoPlate {
            missing: missing.to_owned(),
            columns: table
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect::<Vec<_>>()
                .join(", "),
        };
        let place = match (find(&ROWS), find(&COLUMNS), find(&WELLS)) {
            (Some(row), Some(column), _) => Place::RowColumn(row, column),
            (_, _, Some(well)) => Place::Well(well),
            _ => return Err(missing("well, or row and column")),
        };
        let plate = find(&["plate_id", "plate", "plate_barcode"]);
        let value = match value {
            Some(value) => table.index_of(value).map_err(|_| missing(value))?,
            None => {
                let fields = table.fields().iter().enumerate();
                let measured = fields.filter(|(index, field)| {
                    let named = [&ROWS[..], &COLUMNS, &WELLS].concat().contains(&field.name().as_str());
                    let is_place = plate == Some(*index) || named;
                    field.data_type().is_numeric() && !field.name().starts_with('_') && !is_place
                });
                let measured: Vec<(usize, &str)> =
                    measured.map(|(index, field)| (index, field.name().as_str())).collect();
                match measured.as_slice() {
                    [(index, _)] => *index,
                    [] => return Err(missing("a measured number")),
                    [(_, first), ..] => {
                        let names: Vec<&str> = measured.iter().map(|(_, name)| *name).collect();
                        return Err(PredictError::ManyValues(
                            names.len(),
                            (*first).to_owned(),
                            names.join(", "),
                        ));
                    }
                }
            }
        };
        Ok(Self {
            plate,
            place,
            value,
            wells: BTreeMap::new(),
            count: 0,
        })
    }

    /// Takes wells in; the last value of a well measured twice counts. Wells without a place or a value are passed over.
    ///
    /// # Errors
    /// [`PredictError::TooManyWells`], and columns that cannot be read.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let texts = |index: usize| -> Result<Vec<Option<String>>, PredictError> {
            let mut all = Vec::with_capacity(batch.num_rows());
            if let Some(column) = batch.columns().get(index) {
                each_text(column, |text| all.push(text.map(str::to_owned)))?;
            }
            Ok(all)
        };
        let plates = self.plate.map(texts).transpose()?;
        let places: Vec<Option<(u32, u32)>> = match self.place {
            Place::Well(well) => texts(well)?.iter().map(|well| place(well.as_deref()?)).collect(),
            Place::RowColumn(row, column) => {
                let (rows, columns) = (texts(row)?, texts(column)?);
                let pairs = rows.iter().zip(&columns);
                pairs
                    .map(|(row, column)| Some((side(row.as_deref()?)?, side(column.as_deref()?)?)))
                    .collect()
            }
        };
        let values = match batch.columns().get(self.value) {
            Some(column) => numbers(column, FeatureKind::Number)?,
            None => Vec::new(),
        };
        for (row, (place, value)) in places.iter().zip(&values).enumerate() {
            let (Some(place), false) = (place, value.is_nan()) else {
                continue;
            };
            let plate = plates
                .as_ref()
                .and_then(|plates| plates.get(row).cloned().flatten())
                .unwrap_or_default();
            if self.wells.entry(plate).or_default().insert(*place, *value).is_none() {
                self.count += 1;
            }
            if self.count > WELLS_MAX {
                return Err(PredictError::TooManyWells { most: WELLS_MAX });
            }
        }
        Ok(())
    }

    /// The schema of [`PlateEffects::finish`]: plate Utf8, part Utf8 (overall, row, column, edge or noise), place Int64 (the row's or column's
    /// number, else NULL), effect Float64 (the measured unit; for noise the median absolute residual), wells Int64.
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("plate", DataType::Utf8, false),
            Field::new("part", DataType::Utf8, false),
            Field::new("place", DataType::Int64, true),
            Field::new("effect", DataType::Float64, false),
            Field::new("wells", DataType::Int64, false),
        ]))
    }

    /// Plate by plate: the overall level, each row, each column, the edge against the inside (of the smallest usual plate that has all the wells; no
    /// line if no well in use lies at its edge), the noise.
    ///
    /// # Errors
    /// Arrow's, which do not occur.
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let mut lines: Vec<(&str, &str, Option<i64>, f64, i64)> = Vec::new();
        for (plate, wells) in &self.wells {
            polish(plate, wells, &mut lines);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(lines.iter().map(|line| Some(line.0)).collect::<StringArray>()),
            Arc::new(lines.iter().map(|line| Some(line.1)).collect::<StringArray>()),
            Arc::new(lines.iter().map(|line| line.2).collect::<Int64Array>()),
            Arc::new(lines.iter().map(|line| Some(line.3)).collect::<Float64Array>()),
            Arc::new(lines.iter().map(|line| Some(line.4)).collect::<Int64Array>()),
        ];
        Ok(RecordBatch::try_new(Self::schema(), columns)?)
    }
}

type Line<'a> = (&'a str, &'a str, Option<i64>, f64, i64);

fn polish<'a>(plate: &'a str, wells: &BTreeMap<(u32, u32), f64>, lines: &mut Vec<Line<'a>>) {
    let mut left = wells.clone();
    let (mut rows, mut columns): (BTreeMap<u32, f64>, BTreeMap<u32, f64>) = Default::default();
    let mut overall = 0.0;
    for _ in 0..SWEEPS {
        for (effects, by_row) in [(&mut rows, true), (&mut columns, false)] {
            let side = |place: &(u32, u32)| if by_row { place.0 } else { place.1 };
            let mut grouped: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
            for (place, value) in &left {
                grouped.entry(side(place)).or_default().push(*value);
            }
            let medians: BTreeMap<u32, f64> = grouped
                .into_iter()
                .map(|(side, values)| (side, median(values)))
                .collect();
            for (place, value) in &mut left {
                *value -= medians.get(&side(place)).copied().unwrap_or(0.0);
            }
            for (side, median) in &medians {
                *effects.entry(*side).or_default() += median;
            }
            let middle = median(effects.values().copied().collect());
            effects.values_mut().for_each(|effect| *effect -= middle);
            overall += middle;
        }
    }
    let count = |test: &dyn Fn(&(u32, u32)) -> bool| wells.keys().filter(|place| test(place)).count() as i64;
    let all = wells.len() as i64;
    lines.push((plate, "overall", None, overall, all));
    lines.extend(
        rows.iter()
            .map(|(row, effect)| (plate, "row", Some(i64::from(*row)), *effect, count(&|p| p.0 == *row))),
    );
    let column = |(column, effect): (&u32, &f64)| {
        (
            plate,
            "column",
            Some(i64::from(*column)),
            *effect,
            count(&|p| p.1 == *column),
        )
    };
    lines.extend(columns.iter().map(column));
    // The plate's edge, not that of the wells in use: where the outer ones are left empty nothing lies at the edge.
    let last = |sides: &BTreeMap<u32, f64>| sides.keys().next_back().copied().unwrap_or(1);
    let (row, column) = (last(&rows), last(&columns));
    let format = FORMATS.iter().find(|format| row <= format.0 && column <= format.1);
    let (last_row, last_column) = format.copied().unwrap_or((row, column));
    let at_end = |side: u32, last: u32| side == 1 || side == last;
    let edge = |place: &(u32, u32)| at_end(place.0, last_row) || at_end(place.1, last_column);
    let of = |outer: bool| {
        wells
            .iter()
            .filter(|(place, _)| edge(place) == outer)
            .map(|(_, value)| *value)
            .collect::<Vec<_>>()
    };
    if !of(false).is_empty() && !of(true).is_empty() {
        lines.push((plate, "edge", None, median(of(true)) - median(of(false)), count(&edge)));
    }
    lines.push((
        plate,
        "noise",
        None,
        median(left.values().map(|value| value.abs()).collect()),
        all,
    ));
}

/// `B07`, `aa12`: row and column from 1.
fn place(well: &str) -> Option<(u32, u32)> {
    let well = well.trim();
    let digits = well.find(|c: char| c.is_ascii_digit())?;
    let (row, column) = well.split_at(digits);
    Some((
        letters(row)?,
        column.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side))?,
    ))
}

/// A row or column as letters or as a number.
fn side(text: &str) -> Option<u32> {
    let text = text.trim();
    let number = text.parse::<f64>().ok().map(|number| number as u32);
    number.or_else(|| letters(text)).filter(|side| *side <= SIDE_MAX)
}

fn letters(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > 2 {
        return None;
    }
    text.chars().try_fold(0, |sum, c| {
        let letter = c.to_ascii_uppercase();
        letter
            .is_ascii_uppercase()
            .then(|| sum * 26 + (u32::from(letter) - u32::from('A') + 1))
    })
}
