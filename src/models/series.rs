//! `forecast` and `anomaly_score`: what their arguments mean.
//!
//! ```sql
//! SELECT * FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 30 [, 'reagent' [, 'sum' | 'mean' [, 0.9 [, 'week']]]]);
//! SELECT * FROM anomaly_score('lab.chemistry.qc', 'run_at', 'area' [, 'instrument']);
//! ```

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use labhouse_udfs::{ForecastOptions, Period, Together};

use super::functions::{text, whole};
use super::reading::Question;
use crate::query::QueryError;

const COVERAGE: f64 = 0.9;

/// The table and what is asked of it; none for another function.
pub(super) fn question(function: &str, arguments: &[Expr]) -> Result<Option<(String, Question)>, QueryError> {
    match function {
        "forecast" => forecast(arguments).map(Some),
        "anomaly_score" => anomaly(arguments).map(Some),
        _ => Ok(None),
    }
}

fn forecast(arguments: &[Expr]) -> Result<(String, Question), QueryError> {
    let usage = || {
        QueryError::Invalid(
            "forecast('lab.<schema>.<table>', 'time column', 'value column', periods [, 'group column' or NULL [, 'sum' or 'mean' [, coverage [, 'period']]]]) takes literals"
                .into(),
        )
    };
    let [table, time, value, horizon, rest @ ..] = arguments else {
        return Err(usage());
    };
    if rest.len() > 4 {
        return Err(usage());
    }
    let (group, together, coverage, period) = (rest.first(), rest.get(1), rest.get(2), rest.get(3));
    let period = match period
        .map(|period| optional(period).ok_or_else(usage))
        .transpose()?
        .flatten()
    {
        Some(period) => Some(period.parse::<Period>().map_err(super::functions::invalid)?),
        None => None,
    };
    let together = match together.map(|word| text(word).ok_or_else(usage)).transpose()? {
        None | Some("sum") => Together::Sum,
        Some("mean") => Together::Mean,
        Some(other) => {
            return Err(QueryError::Invalid(format!(
                "forecast: rows of one period are put together by 'sum' or 'mean', not by '{other}'"
            )));
        }
    };
    let owned = |argument| text(argument).map(str::to_owned).ok_or_else(usage);
    let options = ForecastOptions {
        time: owned(time)?,
        value: owned(value)?,
        group: group
            .map(|group| optional(group).ok_or_else(usage))
            .transpose()?
            .flatten(),
        horizon: whole(horizon).ok_or_else(usage)?,
        together,
        coverage: coverage.map_or(Some(COVERAGE), number).ok_or_else(usage)?,
        period,
    };
    Ok((owned(table)?, Question::Forecast(options)))
}

fn anomaly(arguments: &[Expr]) -> Result<(String, Question), QueryError> {
    let texts: Option<Vec<String>> = arguments
        .iter()
        .map(|argument| text(argument).map(str::to_owned))
        .collect();
    let (table, time, value, group) = match texts.as_deref() {
        Some([table, time, value]) => (table, time, value, None),
        Some([table, time, value, group]) => (table, time, value, Some(group)),
        _ => {
            return Err(QueryError::Invalid(
                "anomaly_score('lab.<schema>.<table>', 'time column', 'value column' [, 'group column']) takes texts"
                    .into(),
            ));
        }
    };
    let question = Question::Anomaly {
        time: time.clone(),
        value: value.clone(),
        group: group.cloned(),
    };
    Ok((table.clone(), question))
}

/// A text, or NULL for none.
fn optional(argument: &Expr) -> Option<Option<String>> {
    match argument {
        Expr::Literal(value, _) if value.is_null() => Some(None),
        argument => text(argument).map(|text| Some(text.to_owned())),
    }
}

fn number(argument: &Expr) -> Option<f64> {
    let Expr::Literal(value, _) = argument else { return None };
    match value.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(number) => number,
        _ => None,
    }
}
