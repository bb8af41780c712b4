//! Columns as models read them: numbers with NaN for NULL, categories as codes. Here Arrow ends.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, TimeUnit};
use arrow::error::ArrowError;

use crate::chem::Chem;
use crate::error::PredictError;
use crate::feature::{FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL, UNSEEN_LEVEL};

/// One column: as long as its frame, or of length one and then the same for every row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Col {
    /// NaN is NULL; never infinite.
    Number(Vec<f64>),
    /// Codes of a feature's levels.
    Level(Vec<u32>),
    /// The same for molecules, with the levels as molecules. Codes past the levels are those that training did not see.
    Molecule {
        codes: Vec<u32>,
        known: Arc<Vec<Option<Chem>>>,
        fresh: Arc<Vec<Arc<Chem>>>,
    },
}

impl Col {
    /// A column of one level for every row.
    pub(crate) fn constant_level(feature: &Feature, code: u32) -> Self {
        Self::levels(feature, vec![code])
    }

    /// A column of known levels.
    pub(crate) fn levels(feature: &Feature, codes: Vec<u32>) -> Self {
        if feature.has_structures() {
            Self::Molecule {
                codes,
                known: Arc::clone(feature.molecules()),
                fresh: Arc::default(),
            }
        } else {
            Self::Level(codes)
        }
    }

    /// The number in `row`; NaN when there is none.
    pub(crate) fn number(&self, row: usize) -> f64 {
        match self {
            Self::Number(values) => values.get(row).or(values.first()).copied().unwrap_or(f64::NAN),
            Self::Level(_) | Self::Molecule { .. } => f64::NAN,
        }
    }

    /// The level's code in `row`, new molecules told apart.
    pub(crate) fn entry(&self, row: usize) -> u32 {
        match self {
            Self::Level(codes) | Self::Molecule { codes, .. } => {
                codes.get(row).or(codes.first()).copied().unwrap_or(UNSEEN_LEVEL)
            }
            Self::Number(_) => UNSEEN_LEVEL,
        }
    }

    /// The level's code in `row`.
    pub(crate) fn code(&self, row: usize) -> u32 {
        match (self.entry(row), self) {
            (entry, Self::Molecule { known, .. }) if entry >= FIRST_LEVEL + known.len() as u32 => UNSEEN_LEVEL,
            (entry, _) => entry,
        }
    }

    /// The molecule of an entry.
    pub(crate) fn molecule(&self, entry: u32) -> Option<&Chem> {
        let Self::Molecule { known, fresh, .. } = self else {
            return None;
        };
        let at = entry.checked_sub(FIRST_LEVEL)? as usize;
        match known.get(at) {
            Some(chem) => chem.as_ref(),
            None => fresh.get(at - known.len()).map(AsRef::as_ref),
        }
    }

    /// A numbered part of the row's molecule; NaN without one.
    pub(crate) fn part(&self, row: usize, number: u32) -> f64 {
        self.molecule(self.entry(row))
            .map_or(f64::NAN, |chem| chem.part(number))
    }

    /// Entries of a column of molecules: the two special ones, the known, the new.
    pub(crate) fn molecules(&self) -> usize {
        match self {
            Self::Molecule { known, fresh, .. } => FIRST_LEVEL as usize + known.len() + fresh.len(),
            Self::Number(_) | Self::Level(_) => 0,
        }
    }

    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Number(_) => Self::Number(rows.iter().map(|row| self.number(*row)).collect()),
            Self::Level(_) => Self::Level(rows.iter().map(|row| self.entry(*row)).collect()),
            Self::Molecule { known, fresh, .. } => Self::Molecule {
                codes: rows.iter().map(|row| self.entry(*row)).collect(),
                known: Arc::clone(known),
                fresh: Arc::clone(fresh),
            },
        }
    }
}

/// Some rows of all features, in the model's order.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) rows: usize,
    pub(crate) cols: Vec<Col>,
}

impl Frame {
    /// Reads `columns`, one per feature and each `rows` long or one long.
    pub(crate) fn read(features: &[Feature], columns: &[ArrayRef], rows: usize) -> Result<Self, PredictError> {
        Self::read_as(features, columns, rows, read_column)
    }

    /// The same with categories as names, which are compared as molecules are, and with the levels that training did not see told apart.
    /// Only a process for the choice of experiments reads such a frame.
    pub(crate) fn read_named(features: &[Feature], columns: &[ArrayRef], rows: usize) -> Result<Self, PredictError> {
        Self::read_as(features, columns, rows, |feature, column| match feature.kind {
            FeatureKind::Category if is_readable(column.data_type()) => Ok(named(feature, column)?),
            _ => read_column(feature, column),
        })
    }

    fn read_as(
        features: &[Feature],
        columns: &[ArrayRef],
        rows: usize,
        read: impl Fn(&Feature, &ArrayRef) -> Result<Col, PredictError>,
    ) -> Result<Self, PredictError> {
        check_count(features, columns.len())?;
        let mut cols = Vec::with_capacity(features.len());
        for (feature, column) in features.iter().zip(columns) {
            if column.len() != rows && column.len() != 1 {
                return Err(PredictError::Length {
                    feature: feature.name.clone(),
                    expected: rows,
                    got: column.len(),
                });
            }
            cols.push(read(feature, column)?);
        }
        Ok(Self { rows, cols })
    }

    /// As [`Frame::read_named`] would have read it.
    pub(crate) fn named(mut self, features: &[Feature]) -> Self {
        for (feature, col) in features.iter().zip(&mut self.cols) {
            if let Col::Level(codes) = col {
                *col = Col::Molecule {
                    codes: std::mem::take(codes),
                    known: Arc::clone(feature.names()),
                    fresh: Arc::default(),
                };
            }
        }
        self
    }

    /// A number made of all features of a row, levels by their codes; `None` if one of them has a value that training did not see. So older programs
    /// numbered the rows that were run.
    pub(crate) fn fingerprint(&self, row: usize) -> Option<u64> {
        let mut all = 0x5EED_u64;
        for col in &self.cols {
            let one = match col {
                Col::Number(_) => match col.number(row) {
                    value if value.is_nan() => u64::MAX,
                    // Zero has one sign only.
                    value => (value + 0.0).to_bits(),
                },
                Col::Level(_) | Col::Molecule { .. } => match col.code(row) {
                    UNSEEN_LEVEL => return None,
                    code => u64::from(code),
                },
            };
            all = (all ^ one).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            all ^= all >> 29;
        }
        Some(all)
    }

    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        Self {
            rows: rows.len(),
            cols: self.cols.iter().map(|col| col.take(rows)).collect(),
        }
    }
}

/// Says which features are missing when the count is wrong.
pub(crate) fn check_count(features: &[Feature], got: usize) -> Result<(), PredictError> {
    if features.len() == got {
        return Ok(());
    }
    let names = |features: &[Feature]| features.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    let problem = match features.get(got..) {
        Some(missing) => format!("missing: {}", names(missing)),
        None => format!("{} too many", got - features.len()),
    };
    Err(PredictError::WrongCount {
        expected: features.len(),
        got,
        features: names(features),
        problem,
    })
}

/// True if a model can read the type: nested and binary types are out.
pub(crate) fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_readable(value),
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => true,
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => true,
        other => other.is_numeric(),
    }
}

fn read_column(feature: &Feature, column: &ArrayRef) -> Result<Col, PredictError> {
    if !is_readable(column.data_type()) {
        return Err(PredictError::Unreadable {
            feature: feature.name.clone(),
            found: column.data_type().clone(),
        });
    }
    Ok(match feature.kind {
        FeatureKind::Category => Col::Level(codes(column, &mut feature.lookup(column.len()))?),
        FeatureKind::Smiles | FeatureKind::Text => molecules(feature, column)?,
        FeatureKind::Number | FeatureKind::Time => Col::Number(numbers(column, feature.kind)?),
        FeatureKind::Boolean => Col::Number(booleans(column)?),
    })
}

/// Levels with their names, each unknown one with a code of its own.
fn named(feature: &Feature, column: &ArrayRef) -> Result<Col, ArrowError> {
    with_fresh(feature, column, feature.names(), |text| {
        Some(Arc::new(Chem::of_name(text)))
    })
}

/// Known molecules by their text, new ones and all prose by what they are; what is no molecule is an unseen level.
fn molecules(feature: &Feature, column: &ArrayRef) -> Result<Col, ArrowError> {
    with_fresh(feature, column, feature.molecules(), |text| feature.met(text))
}

/// Codes of known levels, and codes past them for new texts that `meet` makes something of, the same for the same text.
fn with_fresh(
    feature: &Feature,
    column: &ArrayRef,
    known: &Arc<Vec<Option<Chem>>>,
    meet: impl Fn(&str) -> Option<Arc<Chem>>,
) -> Result<Col, ArrowError> {
    let (lookup, first) = (feature.lookup(column.len()), FIRST_LEVEL + known.len() as u32);
    let mut fresh: Vec<Arc<Chem>> = Vec::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut code = |text: &str| {
        let code = lookup(text);
        if code != UNSEEN_LEVEL {
            return code;
        }
        if let Some(code) = numbers.get(text) {
            return *code;
        }
        let code = meet(text).map_or(UNSEEN_LEVEL, |chem| {
            fresh.push(chem);
            first + fresh.len() as u32 - 1
        });
        numbers.insert(text.to_owned(), code);
        code
    };
    let codes = codes(column, &mut code)?;
    Ok(Col::Molecule {
        codes,
        known: Arc::clone(known),
        fresh: Arc::new(fresh),
    })
}

/// Numbers of any readable column; what cannot be read as one is NaN.
pub(crate) fn numbers(column: &ArrayRef, kind: FeatureKind) -> Result<Vec<f64>, ArrowError> {
    let column = unpacked(column)?;
    let days_of_text = kind == FeatureKind::Time && is_text(column.data_type());
    let column = if days_of_text {
        cast(&column, &DataType::Timestamp(TimeUnit::Millisecond, None))?
    } else {
        column
    };
    let (column, per_day) = match column.data_type() {
        DataType::Date32 => (cast(&column, &DataType::Int32)?, 1.0),
        DataType::Date64 => (cast(&column, &DataType::Int64)?, 86_400_000.0),
        DataType::Timestamp(unit, _) => (cast(&column, &DataType::Int64)?, 86_400.0 * per_second(unit)),
        DataType::Time32(unit) => (cast(&column, &DataType::Int32)?, 86_400.0 * per_second(unit)),
        DataType::Time64(unit) | DataType::Duration(unit) => {
            (cast(&column, &DataType::Int64)?, 86_400.0 * per_second(unit))
        }
        _ => (column, 1.0),
    };
    let column = cast(&column, &DataType::Float64)?;
    Ok(values(column.as_primitive::<arrow::datatypes::Float64Type>(), per_day))
}

pub(crate) fn booleans(column: &ArrayRef) -> Result<Vec<f64>, ArrowError> {
    let column = unpacked(column)?;
    let column = if is_text(column.data_type()) {
        cast(&column, &DataType::Boolean)?
    } else {
        column
    };
    numbers(&column, FeatureKind::Number)
}

fn values(array: &Float64Array, per_unit: f64) -> Vec<f64> {
    array
        .iter()
        .map(|value| value.filter(|v| v.is_finite()).map_or(f64::NAN, |v| v / per_unit))
        .collect()
}

fn per_second(unit: &TimeUnit) -> f64 {
    match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e3,
        TimeUnit::Microsecond => 1e6,
        TimeUnit::Nanosecond => 1e9,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The column without its dictionary.
fn unpacked(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value),
        _ => Ok(column.clone()),
    }
}

/// Level codes. A dictionary's values are looked up once each, not once a row.
fn codes(column: &ArrayRef, lookup: &mut dyn FnMut(&str) -> u32) -> Result<Vec<u32>, ArrowError> {
    if let DataType::Dictionary(_, value) = column.data_type() {
        let narrow = cast(column, &DataType::Dictionary(Box::new(DataType::Int32), value.clone()))?;
        let dictionary = narrow.as_dictionary::<Int32Type>();
        let known = codes(dictionary.values(), lookup)?;
        let key = |key: Option<i32>| {
            key.and_then(|k| known.get(usize::try_from(k).ok()?))
                .copied()
                .unwrap_or(NULL_LEVEL)
        };
        return Ok(dictionary.keys().iter().map(key).collect());
    }
    let mut result = Vec::with_capacity(column.len());
    each_text(column, |text| {
        result.push(text.map_or(NULL_LEVEL, &mut *lookup));
    })?;
    Ok(result)
}

/// Calls `each` with the text of every row; NULL and the empty text are both `None`, since files seldom tell them apart.
pub(crate) fn each_text(column: &ArrayRef, mut each: impl FnMut(Option<&str>)) -> Result<(), ArrowError> {
    let column = unpacked(column)?;
    let column = if is_text(column.data_type()) {
        column
    } else {
        cast(&column, &DataType::Utf8)?
    };
    let mut visit = |text: Option<&str>| each(text.filter(|t| !t.is_empty()));
    match column.data_type() {
        DataType::LargeUtf8 => column.as_string::<i64>().iter().for_each(&mut visit),
        DataType::Utf8View => column.as_string_view().iter().for_each(&mut visit),
        _ => column.as_string::<i32>().iter().for_each(&mut visit),
    }
    Ok(())
}
