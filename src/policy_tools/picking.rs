//! Rows picked by a condition, and why a principal sees each or does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use labhouse_policies::{Explanation, Fact};

use super::counting::TABLE;

/// Rows explained at most: an explanation is read by a person.
pub(crate) const PICKED_MAX: usize = 20;
/// Values that name a row, and characters of each: a line, not a page.
const VALUES_MAX: usize = 8;
const VALUE_CHARS_MAX: usize = 60;

/// A picked row with what became of it.
pub(crate) struct Picked {
    /// The row in words: its first column and those it was picked by or judged by, with their values.
    pub(crate) row: String,
    pub(crate) shown: bool,
    pub(crate) facts: Vec<Fact>,
}

/// A plan for at most [`PICKED_MAX`] rows of a table, whole, for which `condition` is true.
pub(crate) fn picking_plan(table: Arc<dyn TableProvider>, condition: Expr) -> Result<LogicalPlan, DataFusionError> {
    LogicalPlanBuilder::scan(TABLE, provider_as_source(table), None)?
        .filter(condition)?
        .limit(0, Some(PICKED_MAX))?
        .build()
}

/// Judges picked rows; `by` are the columns they were picked by.
pub(crate) fn judge(
    explanation: &Explanation,
    rows: &[RecordBatch],
    by: &BTreeSet<String>,
    system: &SessionState,
) -> Result<Vec<Picked>, DataFusionError> {
    let mut columns = by.clone();
    columns.extend(explanation.judged_by());
    let mut picked = Vec::new();
    for batch in rows {
        let verdicts = explanation.judge(batch, system)?;
        for (at, verdict) in verdicts.iter().enumerate() {
            let row = in_words(batch, at, &columns)?;
            picked.push(Picked {
                facts: explanation.row_facts(&row, verdict),
                shown: verdict.shown,
                row,
            });
        }
    }
    Ok(picked)
}

fn in_words(rows: &RecordBatch, at: usize, columns: &BTreeSet<String>) -> Result<String, DataFusionError> {
    let schema = rows.schema();
    let shown = schema.fields().iter().zip(rows.columns()).enumerate();
    // The first column is most often the row's own name.
    let shown = shown.filter(|(at, (field, _))| *at == 0 || columns.contains(field.name()));
    let options = FormatOptions::default().with_null("NULL");
    let mut words = Vec::new();
    for (_, (field, column)) in shown.take(VALUES_MAX) {
        let value = ArrayFormatter::try_new(column.as_ref(), &options)?
            .value(at)
            .to_string();
        let short: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let rest = if short.len() < value.len() { "…" } else { "" };
        words.push(format!("{} = {short}{rest}", field.name()));
    }
    Ok(words.join(", "))
}
