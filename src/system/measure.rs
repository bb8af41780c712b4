//! The measures of a table's columns: one aggregation over a governed view, a second one for how numbers and times are distributed
//! between their ends, and the answers as rows.

use std::sync::Arc;

use arrow::array::builder::{Int64Builder, ListBuilder};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::functions_aggregate::expr_fn::{approx_distinct, avg, count, max, min, stddev};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit};
use datafusion::physical_plan::execute_stream;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;

use super::histogram::{self, histogram};
use crate::session::Shown;

/// Columns of a profile that need no look at the data: the names and the type.
pub(super) const NAMES: usize = 4;
/// Columns that one reading measures: each has up to six running numbers.
const COLUMNS_AT_ONCE: usize = 64;
/// Bytes of a smallest or largest value that are told.
const VALUE_BYTES_MAX: usize = 100;

/// What is known of one column.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ColumnProfile {
    rows: Option<i64>,
    nulls: Option<i64>,
    distinct: Option<i64>,
    minimum: Option<String>,
    maximum: Option<String>,
    mean: Option<f64>,
    deviation: Option<f64>,
    /// How many values lie in each of equal ranges from the smallest to the largest.
    histogram: Option<Vec<i64>>,
}

pub(super) fn schema() -> SchemaRef {
    let columns = [
        ("table_schema", DataType::Utf8),
        ("table_name", DataType::Utf8),
        ("column_name", DataType::Utf8),
        ("data_type", DataType::Utf8),
        ("rows", DataType::Int64),
        ("nulls", DataType::Int64),
        ("distinct_about", DataType::Int64),
        ("minimum", DataType::Utf8),
        ("maximum", DataType::Utf8),
        ("mean", DataType::Float64),
        ("deviation", DataType::Float64),
        ("histogram", histogram::data_type()),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Measures all columns that `shown` has.
pub(super) async fn measure(
    system: &Arc<SessionState>,
    shown: &Shown,
    context: &Arc<TaskContext>,
) -> Result<Vec<ColumnProfile>, DataFusionError> {
    let schema = shown.provider.schema();
    let mut profiles = Vec::with_capacity(schema.fields().len());
    for fields in schema.fields().chunks(COLUMNS_AT_ONCE) {
        let measures: Vec<Measures> = fields.iter().map(|field| Measures::of(field)).collect();
        let mut expressions = vec![count(lit(1_i64))];
        expressions.extend(measures.iter().flat_map(Measures::expressions));
        let mut values = answers(system, shown, context, expressions).await?.into_iter();
        let rows = values.next().as_ref().and_then(whole);
        let mut ends = Vec::new();
        for measures in &measures {
            let (profile, found) = measures.profile(rows, &mut values);
            ends.extend(found.map(|ends| (profiles.len(), measures, ends)));
            profiles.push(profile);
        }
        let ranges = ends
            .iter()
            .map(|(_, measures, [least, most])| histogram(measures.as_number(), *least, *most));
        let found = answers(system, shown, context, ranges.collect()).await?;
        for ((at, ..), counts) in ends.iter().zip(&found) {
            if let Some(profile) = profiles.get_mut(*at) {
                profile.histogram = histogram::counts(counts);
            }
        }
    }
    Ok(profiles)
}

/// The values of some aggregates over the whole of a view.
async fn answers(
    system: &Arc<SessionState>,
    shown: &Shown,
    context: &Arc<TaskContext>,
    expressions: Vec<Expr>,
) -> Result<Vec<ScalarValue>, DataFusionError> {
    if expressions.is_empty() {
        return Ok(Vec::new());
    }
    let named = expressions.into_iter().enumerate();
    let named: Vec<Expr> = named
        .map(|(at, expression)| expression.alias(format!("m{at}")))
        .collect();
    let source = provider_as_source(Arc::clone(&shown.provider));
    let plan = LogicalPlanBuilder::scan("t", source, None)?.aggregate(Vec::<Expr>::new(), named)?;
    let plan = system.create_physical_plan(&plan.build()?).await?;
    let batches: Vec<RecordBatch> = execute_stream(plan, Arc::clone(context))?.try_collect().await?;
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    let values = row.into_iter().flat_map(|batch| batch.columns().iter());
    values.map(|array| ScalarValue::try_from_array(array, 0)).collect()
}

/// What can be measured of a column.
struct Measures {
    column: Expr,
    is_ordered: bool,
    is_number: bool,
    is_time: bool,
    /// The engine estimates how many different values there are, but not of floating point numbers.
    is_countable: bool,
}

impl Measures {
    fn of(field: &Field) -> Self {
        let data_type = field.data_type();
        let is_number = data_type.is_numeric();
        let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let is_ordered = is_number || is_text || data_type.is_temporal() || *data_type == DataType::Boolean;
        Self {
            column: Expr::Column(Column::from_name(field.name())),
            is_ordered,
            is_number,
            is_time: matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _)),
            is_countable: is_ordered && !data_type.is_floating(),
        }
    }

    fn expressions(&self) -> Vec<Expr> {
        let column = || self.column.clone();
        let number = || self.as_number();
        let mut wanted = vec![count(column())];
        if self.is_countable {
            wanted.push(approx_distinct(column()));
        }
        if self.is_ordered {
            wanted.extend([min(column()), max(column())]);
        }
        if self.is_number {
            wanted.extend([avg(number()), stddev(number())]);
        }
        wanted
    }

    /// A number or a time as a number.
    fn as_number(&self) -> Expr {
        let own = match self.is_time {
            true => cast(self.column.clone(), DataType::Int64),
            false => self.column.clone(),
        };
        cast(own, DataType::Float64)
    }

    /// Takes the answers to its expressions. Beside the profile: the ends between which values are distributed, as numbers.
    fn profile(
        &self,
        rows: Option<i64>,
        answers: &mut impl Iterator<Item = ScalarValue>,
    ) -> (ColumnProfile, Option<[f64; 2]>) {
        let mut next = |wanted: bool| if wanted { answers.next() } else { None };
        let present = next(true).as_ref().and_then(whole);
        let estimate = next(self.is_countable).as_ref().and_then(whole);
        let (minimum, maximum) = (next(self.is_ordered), next(self.is_ordered));
        let (mean, deviation) = (next(self.is_number), next(self.is_number));
        let end = |value: &Option<ScalarValue>| {
            let value = value.as_ref().filter(|_| self.is_number || self.is_time)?;
            match self.is_time {
                true => number(&value.cast_to(&DataType::Int64).ok()?),
                false => number(value),
            }
        };
        let ends = end(&minimum).zip(end(&maximum)).map(|(least, most)| [least, most]);
        let profile = ColumnProfile {
            rows,
            nulls: rows.zip(present).map(|(rows, present)| rows - present),
            // An estimate may be above what there is.
            distinct: estimate.zip(present).map(|(about, present)| about.min(present)),
            minimum: minimum.as_ref().and_then(text),
            maximum: maximum.as_ref().and_then(text),
            mean: mean.as_ref().and_then(number),
            deviation: deviation.as_ref().and_then(number),
            histogram: None,
        };
        (profile, ends)
    }
}

/// The rows of one table; measures are NULL where `profiles` has none.
pub(super) fn batch(shown: &Shown, profiles: &[ColumnProfile]) -> Result<RecordBatch, DataFusionError> {
    let told = shown.provider.schema();
    let fields = told.fields();
    let none = ColumnProfile::default();
    let all: Vec<&ColumnProfile> = (0..fields.len()).map(|at| profiles.get(at).unwrap_or(&none)).collect();
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; fields.len()])) };
    let whole = |of: fn(&ColumnProfile) -> Option<i64>| -> ArrayRef {
        Arc::new(all.iter().copied().map(of).collect::<Int64Array>())
    };
    let float = |of: fn(&ColumnProfile) -> Option<f64>| -> ArrayRef {
        Arc::new(all.iter().copied().map(of).collect::<Float64Array>())
    };
    let text = |of: fn(&ColumnProfile) -> Option<&str>| -> ArrayRef {
        Arc::new(all.iter().copied().map(of).collect::<StringArray>())
    };
    let types = crate::query::narrow::narrow_schema(&told);
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let types: Vec<String> = types
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    let columns: Vec<ArrayRef> = vec![
        same(&shown.schema),
        same(&shown.table),
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(types)),
        whole(|one| one.rows),
        whole(|one| one.nulls),
        whole(|one| one.distinct),
        text(|one| one.minimum.as_deref()),
        text(|one| one.maximum.as_deref()),
        float(|one| one.mean),
        float(|one| one.deviation),
        counts(&all),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn counts(profiles: &[&ColumnProfile]) -> ArrayRef {
    let mut lists = ListBuilder::new(Int64Builder::new());
    for profile in profiles {
        match &profile.histogram {
            Some(counts) => {
                lists.values().append_slice(counts);
                lists.append(true);
            }
            None => lists.append_null(),
        }
    }
    Arc::new(lists.finish())
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(number) => number,
        _ => None,
    }
}

fn number(value: &ScalarValue) -> Option<f64> {
    match value.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(number) => number.filter(|number| number.is_finite()),
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    let ScalarValue::Utf8(text) = value.cast_to(&DataType::Utf8).ok()? else {
        return None;
    };
    let text = text?;
    let beginning = text.get(..text.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or(&text);
    Some(if beginning.len() == text.len() {
        text
    } else {
        format!("{beginning}…")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_in_whole_letters() {
        let long = text(&ScalarValue::from("é".repeat(80))).unwrap();
        assert!(long.ends_with("é…") && long.len() <= VALUE_BYTES_MAX + 3, "{long}");
        assert_eq!(text(&ScalarValue::Date32(Some(0))).as_deref(), Some("1970-01-01"));
        assert_eq!(
            (text(&ScalarValue::Utf8(None)), whole(&ScalarValue::UInt64(Some(7)))),
            (None, Some(7))
        );
        assert_eq!(number(&ScalarValue::Float64(Some(f64::NAN))), None);
    }
}
