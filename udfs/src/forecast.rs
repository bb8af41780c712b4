//! What comes next in a series: `forecast`, a table's values by time, carried on with trend, season and honest intervals.
//!
//! Rows are put on a regular grid (`grid`), several methods are tried on the series' own past (`choose`), and the one that
//! would have erred least carries it on: exponential smoothing with a trend, damped or not, and a season (`smooth`;
//! Hyndman, Koehler, Ord and Snyder, "Forecasting with Exponential Smoothing", 2008), or a plain one, which is also what a short
//! series gets. The row says which.

mod choose;
mod grid;
mod smooth;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};

use crate::error::PredictError;
use crate::feature::FeatureKind;
use crate::frame::{each_text, numbers};
use grid::{Grid, Points};

/// Periods that can be asked for, and groups and periods that are kept.
pub const HORIZON_MAX: usize = 1_000;
const GROUPS_MAX: usize = 1_000;
const POINTS_MAX: usize = 2_000_000;

/// How rows of one period are put together, and what a period without rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Together {
    /// Added up; a period without rows is 0: use, counts.
    #[default]
    Sum,
    /// Their mean; a period without rows is unknown: measurements.
    Mean,
}

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// So many microseconds, at least a second.
    Micros(i64),
    /// From one first of a month to the next.
    Month,
}

impl FromStr for Period {
    type Err = PredictError;

    /// `day`, `2 hours`, `15 minutes`, `week`, `month`.
    fn from_str(text: &str) -> Result<Self, PredictError> {
        let wrong = || {
            PredictError::Series(format!(
                "'{text}' is no period: write 'second', 'minute', 'hour', 'day' or 'week', with a number before it if it is not one, for example '15 minutes'; or 'month'"
            ))
        };
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let (count, unit) = match words.as_slice() {
            [unit] => (1, unit.as_str()),
            [count, unit] => (count.parse::<i64>().map_err(|_| wrong())?, unit.as_str()),
            _ => return Err(wrong()),
        };
        let length = match unit.strip_suffix('s').unwrap_or(unit) {
            "second" => 1,
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            "week" => 7 * 86_400,
            "month" if count == 1 => return Ok(Self::Month),
            _ => return Err(wrong()),
        };
        // Of periods of years no past is known that says what comes.
        let most = 366 * 86_400;
        match count.checked_mul(length).filter(|seconds| (1..=most).contains(seconds)) {
            Some(seconds) => Ok(Self::Micros(seconds * 1_000_000)),
            None => Err(wrong()),
        }
    }
}

/// What is to be carried on, and how far.
#[derive(Debug, Clone)]
pub struct ForecastOptions {
    pub time: String,
    pub value: String,
    /// A column whose values are series of their own.
    pub group: Option<String>,
    /// Periods after the last one.
    pub horizon: usize,
    pub together: Together,
    /// Share of coming values that the interval is to hold, above 0 and below 1.
    pub coverage: f64,
    /// How long a period is; none for what fits the moments.
    pub period: Option<Period>,
}

/// Collects the rows of a table.
#[derive(Debug)]
pub struct Forecast {
    options: ForecastOptions,
    columns: TimeSeries,
    schema: SchemaRef,
    date: bool,
    series: BTreeMap<String, Points>,
    points: usize,
}

/// Where time, value and group are in a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeSeries {
    time: usize,
    value: usize,
    group: Option<usize>,
}

impl Forecast {
    /// # Errors
    /// A column that is not there or is no time or number, a horizon or coverage out of bounds.
    pub fn new(table: &Schema, options: ForecastOptions) -> Result<Self, PredictError> {
        if !(1..=HORIZON_MAX).contains(&options.horizon) {
            return Err(PredictError::Series(format!(
                "the number of periods must be 1 to {HORIZON_MAX}; it was {}",
                options.horizon
            )));
        }
        if !(options.coverage > 0.0 && options.coverage < 1.0) {
            return Err(PredictError::BadCoverage(options.coverage));
        }
        let columns = TimeSeries::find(table, &options.time, &options.value, options.group.as_deref())?;
        own_names(
            &["forecast", "lower", "upper", "method", "period"],
            [Some(&options.time), options.group.as_ref()],
        )?;
        let date = matches!(table.field(columns.time).data_type(), DataType::Date32);
        Ok(Self {
            schema: schema(&options, date),
            date,
            columns,
            options,
            series: BTreeMap::new(),
            points: 0,
        })
    }

    /// Takes rows in; those without a time or a value are passed over.
    ///
    /// # Errors
    /// Too many groups or moments; columns that cannot be read.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let (series, points) = (&mut self.series, &mut self.points);
        self.columns.each(batch, |group, micros, value| {
            if !series.contains_key(group) && series.len() >= GROUPS_MAX {
                return Err(PredictError::Series(format!(
                    "there are more than {GROUPS_MAX} groups: choose some"
                )));
            }
            let known = series.entry(group.to_owned()).or_default();
            if known.add(micros, value) {
                *points += 1;
            }
            match *points > POINTS_MAX {
                true => Err(PredictError::Series(format!(
                    "there are more than {POINTS_MAX} moments: aggregate to hours or days first"
                ))),
                false => Ok(()),
            }
        })
    }

    /// The schema of [`Forecast::finish`]: the group's column if there is one, the time's (Date32, or Timestamp in
    /// microseconds), forecast, lower and upper in the value's unit (the bounds NULL where a series is too short to tell), method, which says too how many
    /// moments were taken for mistyped and left out, and period, the length of one.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Group by group, the periods that come.
    ///
    /// # Errors
    /// There is not one value.
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let grid = Grid::of(self.series.values(), self.options.period).ok_or_else(|| {
            PredictError::Series(format!(
                "there is no row with both {} and {}: nothing can be carried on",
                self.options.time, self.options.value
            ))
        })?;
        let mut rows = Rows::default();
        for (group, points) in &self.series {
            let values = grid.values(points, self.options.together);
            let made = choose::carry_on(&values, grid.season(), self.options.horizon, self.options.coverage);
            // What was never negative is none to come: grams, counts, yields.
            let floor = if values.iter().flatten().all(|value| *value >= 0.0) {
                0.0
            } else {
                f64::NEG_INFINITY
            };
            let method = match grid.mistyped(points) {
                0 => made.method.to_owned(),
                1 => format!("{}; 1 moment far from all others left out", made.method),
                some => format!("{}; {some} moments far from all others left out", made.method),
            };
            for (step, point) in made.points.iter().enumerate() {
                rows.groups.push(group.clone());
                rows.times.push(grid.after_end(step + 1));
                rows.forecast.push(point.mean.max(floor));
                rows.lower.push(point.bounds.map(|bounds| bounds.0.max(floor)));
                rows.upper.push(point.bounds.map(|bounds| bounds.1.max(floor)));
                rows.methods.push(method.clone());
            }
        }
        if self.date && !grid.has_whole_days() {
            return Err(PredictError::Series(format!(
                "{} holds days: a period of {} is shorter than one, or no number of them",
                self.options.time,
                grid.period()
            )));
        }
        rows.batch(self.schema, self.options.group.is_some(), self.date, &grid.period())
    }
}

fn schema(options: &ForecastOptions, date: bool) -> SchemaRef {
    let time = match date {
        true => DataType::Date32,
        false => DataType::Timestamp(TimeUnit::Microsecond, None),
    };
    let mut fields: Vec<Field> = options
        .group
        .iter()
        .map(|group| Field::new(group, DataType::Utf8, true))
        .collect();
    fields.push(Field::new(&options.time, time, false));
    for name in ["forecast", "lower", "upper"] {
        fields.push(Field::new(name, DataType::Float64, name != "forecast"));
    }
    fields.push(Field::new("method", DataType::Utf8, false));
    fields.push(Field::new("period", DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

/// The answer's own columns stand beside the table's, so none of these may be called so.
pub(crate) fn own_names(own: &[&str], given: [Option<&String>; 2]) -> Result<(), PredictError> {
    match given.into_iter().flatten().find(|name| own.contains(&name.as_str())) {
        Some(name) => Err(PredictError::Series(format!(
            "the answer has a column {name} of its own: make a view in which yours is called otherwise"
        ))),
        None => Ok(()),
    }
}

#[derive(Default)]
struct Rows {
    groups: Vec<String>,
    times: Vec<i64>,
    forecast: Vec<f64>,
    lower: Vec<Option<f64>>,
    upper: Vec<Option<f64>>,
    methods: Vec<String>,
}

impl Rows {
    fn batch(self, schema: SchemaRef, grouped: bool, date: bool, period: &str) -> Result<RecordBatch, PredictError> {
        let rows = self.methods.len();
        let time: ArrayRef = match date {
            true => {
                let days = self
                    .times
                    .iter()
                    .map(|micros| i32::try_from(micros.div_euclid(grid::DAY)).unwrap_or(i32::MAX));
                Arc::new(Date32Array::from_iter_values(days))
            }
            false => Arc::new(TimestampMicrosecondArray::from(self.times)),
        };
        let mut columns: Vec<ArrayRef> = Vec::new();
        if grouped {
            let named = self
                .groups
                .into_iter()
                .map(|group| (!group.is_empty()).then_some(group));
            columns.push(Arc::new(named.collect::<StringArray>()));
        }
        columns.extend([
            time,
            Arc::new(Float64Array::from(self.forecast)) as ArrayRef,
            Arc::new(Float64Array::from(self.lower)),
            Arc::new(Float64Array::from(self.upper)),
            Arc::new(StringArray::from(self.methods)),
            Arc::new(StringArray::from(vec![period; rows])),
        ]);
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

impl TimeSeries {
    pub(crate) fn find(table: &Schema, time: &str, value: &str, group: Option<&str>) -> Result<Self, PredictError> {
        let find = |name: &str| {
            table.index_of(name).map_err(|_| {
                let columns: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
                PredictError::Series(format!(
                    "there is no column {name}; the table's columns are: {}",
                    columns.join(", ")
                ))
            })
        };
        let columns = Self {
            time: find(time)?,
            value: find(value)?,
            group: group.map(find).transpose()?,
        };
        let is_time = |data_type: &DataType| {
            matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)) || is_text(data_type)
        };
        if !is_time(table.field(columns.time).data_type()) {
            return Err(PredictError::Series(format!(
                "column {time} is of type {}, which is no time: name a date or timestamp",
                table.field(columns.time).data_type()
            )));
        }
        if !table.field(columns.value).data_type().is_numeric() {
            return Err(PredictError::Series(format!(
                "column {value} is of type {}, which is no number",
                table.field(columns.value).data_type()
            )));
        }
        Ok(columns)
    }

    /// Runs `each` on every row with a time, in microseconds, and a finite value.
    pub(crate) fn each(
        self,
        batch: &RecordBatch,
        mut each: impl FnMut(&str, i64, f64) -> Result<(), PredictError>,
    ) -> Result<(), PredictError> {
        let (Some(times), Some(values)) = (batch.columns().get(self.time), batch.columns().get(self.value)) else {
            return Ok(());
        };
        let times = cast(times, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let values = numbers(values, FeatureKind::Number)?;
        let mut groups = Vec::new();
        if let Some(column) = self.group.and_then(|group| batch.columns().get(group)) {
            each_text(column, |text| groups.push(text.unwrap_or_default().to_owned()))?;
        }
        for (row, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            if times.is_valid(row) {
                each(groups.get(row).map_or("", String::as_str), times.value(row), *value)?;
            }
        }
        Ok(())
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
