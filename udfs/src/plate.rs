//! What a plate adds to its wells: row, column and edge effects by median polish (Tukey, "Exploratory Data Analysis", 1977).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use smallvec::SmallVec;

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

/// What was measured of the wells of one plate, by row and column.
type Wells = BTreeMap<(u32, u32), SmallVec<[f64; 1]>>;

/// Collects the wells of a table.
#[derive(Debug)]
pub struct PlateEffects {
    plate: Option<usize>,
    place: Place,
    value: usize,
    wells: BTreeMap<String, Wells>,
    numbering: Numbering,
    count: usize,
}

/// A well's row or column as the table writes it.
#[derive(Debug, Clone, Copy)]
enum Side {
    Letters(u32),
    Number(u32),
}

impl Side {
    fn number(self) -> u32 {
        match self {
            Self::Letters(side) | Self::Number(side) => side,
        }
    }
}

/// How a table numbers rows and columns: letters begin with A, which is 1; numbers begin with 1, or with 0 where a 0 is among them.
#[derive(Debug, Clone, Copy, Default)]
struct Numbering {
    letters: [bool; 2],
    zero: bool,
}

impl Numbering {
    fn met(&mut self, place: &(Side, Side)) {
        for (side, letters) in [place.0, place.1].into_iter().zip(&mut self.letters) {
            match side {
                Side::Letters(_) => *letters = true,
                Side::Number(number) => self.zero |= number == 0,
            }
        }
    }

    /// What is to be added to rows and columns so that both begin with 1.
    fn shift(self) -> [u32; 2] {
        self.letters.map(|letters| u32::from(self.zero && !letters))
    }

    /// With a 0 on one plate a plate without one may be numbered either way, which matters if that makes it another plate.
    fn check(self, plate: &str, wells: impl Iterator<Item = (u32, u32)> + Clone) -> Result<(), PredictError> {
        let shift = self.shift();
        let is_zero = |(row, column): (u32, u32)| (shift[0] > 0 && row == 0) || (shift[1] > 0 && column == 0);
        if shift == [0, 0] || wells.clone().any(is_zero) {
            return Ok(());
        }
        let (row, column) = wells.fold((0, 0), |(r, c), (row, column)| (r.max(row), c.max(column)));
        if format(row, column) == format(row + shift[0], column + shift[1]) {
            return Ok(());
        }
        Err(PredictError::BadPlate(format!(
            "some wells are in a row or column 0, and plate '{plate}' looks as if it were numbered from 1: number all plates alike"
        )))
    }
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
            numbering: Numbering::default(),
            count: 0,
        })
    }

    /// Takes wells in; of a well measured more than once the median counts. Wells without a place or a value are passed over.
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
        let places: Vec<Option<(Side, Side)>> = match self.place {
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
            self.numbering.met(place);
            let well = self.wells.entry(plate).or_default();
            well.entry((place.0.number(), place.1.number()))
                .or_default()
                .push(*value);
            self.count += 1;
            if self.count > WELLS_MAX {
                return Err(PredictError::TooManyWells { most: WELLS_MAX });
            }
        }
        Ok(())
    }

    /// The schema of [`PlateEffects::finish`]: plate Utf8, part Utf8 (overall, row, column, edge or noise), place Int64 (the row's or column's
    /// number as the table has it, else NULL), effect Float64 (the measured unit; for noise the median absolute residual), wells Int64.
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
    /// Rows and columns are numbered from 1, or from 0 if a 0 is among them.
    ///
    /// # Errors
    /// [`PredictError::BadPlate`] if one plate is numbered from 0 and another one from 1.
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let mut lines: Vec<(&str, &str, Option<i64>, f64, i64)> = Vec::new();
        for (plate, measured) in &self.wells {
            self.numbering.check(plate, measured.keys().copied())?;
            let wells = measured.iter().map(|(place, values)| (*place, median(values.to_vec())));
            polish(plate, &wells.collect(), self.numbering.shift(), &mut lines);
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

/// The smallest usual plate that has a well in this row and this column, counted from 1.
fn format(row: u32, column: u32) -> Option<(u32, u32)> {
    let fits = |format: &&(u32, u32)| row <= format.0 && column <= format.1;
    FORMATS.iter().find(fits).copied()
}

fn polish<'a>(plate: &'a str, wells: &BTreeMap<(u32, u32), f64>, shift: [u32; 2], lines: &mut Vec<Line<'a>>) {
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
    let (row, column) = (last(&rows) + shift[0], last(&columns) + shift[1]);
    let (last_row, last_column) = format(row, column).unwrap_or((row, column));
    let at_end = |side: u32, last: u32| side == 1 || side == last;
    let edge = |place: &(u32, u32)| at_end(place.0 + shift[0], last_row) || at_end(place.1 + shift[1], last_column);
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

/// `B07`, `aa12`: letters for the row, a number for the column.
fn place(well: &str) -> Option<(Side, Side)> {
    let well = well.trim();
    let digits = well.find(|c: char| c.is_ascii_digit())?;
    let (row, column) = well.split_at(digits);
    let column = column.parse().ok().filter(|side| *side <= SIDE_MAX)?;
    Some((Side::Letters(letters(row)?), Side::Number(column)))
}

/// A row or column as letters or as a whole number.
fn side(text: &str) -> Option<Side> {
    let text = text.trim();
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(SIDE_MAX)).contains(number);
    match text.parse::<f64>() {
        Ok(number) => Some(number).filter(whole).map(|number| Side::Number(number as u32)),
        Err(_) => letters(text).filter(|side| *side <= SIDE_MAX).map(Side::Letters),
    }
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
