//! From a rule to the SQL that asks it, and from the rows to what they say.
//!
//! The SQL is a statement like any other: whoever it is asked as, it is planned over what that person may see.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::sql::sqlparser::ast::Ident;

use super::definition::{Rule, Series, Watch};
use super::series::{Verdict, judge};
use super::state::{Judged, Outcome, Reading};
use crate::query::statement::CATALOG;

/// Labels that may hold at the same time; more is a rule that says nothing.
pub(super) const LABELS_MAX: usize = 1_000;
/// Rows of the history of all labels together.
pub(super) const HISTORY_MAX: usize = 100_000;
/// Characters of a label's value that are kept.
const LABEL_CHARS_MAX: usize = 120;

/// Names that no column of a table has.
const VALUE: &str = "_alert_value";
const PERIOD: &str = "_alert_period";

/// How a rule is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// Each row is a label that holds.
    Labels(String),
    /// Each row is a period of a label, newest first.
    History(String),
    /// One row: how many there are.
    Count(String),
}

/// The statement that asks a rule.
pub(super) fn question(watch: &Watch) -> Question {
    let labels = labels(watch);
    let comma = if labels.is_empty() { "" } else { ", " };
    let from = format!("FROM {CATALOG}.{}", watch.table);
    let group = |more: usize| {
        let places: Vec<String> = (1..=watch.labels.len() + more).map(|n| n.to_string()).collect();
        if places.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", places.join(", "))
        }
    };
    let history = |value: &str, series: &Series| {
        let period = format!(
            "date_trunc('{}', CAST({} AS TIMESTAMP))",
            series.unit,
            name(&series.time)
        );
        Question::History(format!(
            "SELECT {labels}{comma}{period} AS {PERIOD}, CAST({value} AS DOUBLE) AS {VALUE} {from} WHERE {} IS NOT NULL{}{} ORDER BY {PERIOD} DESC LIMIT {HISTORY_MAX}",
            name(&series.time),
            conditions(watch, " AND ", &[]),
            group(1),
        ))
    };
    match &watch.rule {
        Rule::Rows { condition } => Question::Labels(format!(
            "SELECT {labels}{comma}CAST(count(*) AS DOUBLE) AS {VALUE} {from}{}{} HAVING count(*) > 0 ORDER BY {VALUE} DESC LIMIT {}",
            conditions(watch, " WHERE ", &[condition]),
            group(0),
            LABELS_MAX + 1,
        )),
        Rule::Aggregate { condition, value } => {
            let value = value.as_deref().map_or("CAST(NULL AS DOUBLE)".to_owned(), |value| {
                format!("CAST({value} AS DOUBLE)")
            });
            Question::Labels(format!(
                "SELECT {labels}{comma}{value} AS {VALUE} {from}{}{} HAVING {condition} ORDER BY {VALUE} LIMIT {}",
                conditions(watch, " WHERE ", &[]),
                group(0),
                LABELS_MAX + 1,
            ))
        }
        Rule::Moves { value, series, .. } | Rule::Deviates { value, series, .. } => history(value, series),
        Rule::NoNewRows { .. } => {
            Question::Count(format!("SELECT count(*) {from}{}", conditions(watch, " WHERE ", &[])))
        }
    }
}

/// The statement that tells whether there is anything to judge by: it gives a row if so.
pub(super) fn anything(watch: &Watch) -> String {
    let from = format!("FROM {CATALOG}.{}", watch.table);
    match &watch.rule {
        // A condition that is neither true nor false has nothing to judge by.
        Rule::Aggregate { condition, .. } => {
            let filter = conditions(watch, " WHERE ", &[]);
            let columns: Vec<String> = watch.labels.iter().map(|label| name(label)).collect();
            let group = if columns.is_empty() {
                String::new()
            } else {
                format!(" GROUP BY {}", columns.join(", "))
            };
            format!("SELECT 1 {from}{filter}{group} HAVING ({condition}) IS NOT NULL LIMIT 1")
        }
        _ => format!("SELECT 1 {from}{} LIMIT 1", conditions(watch, " WHERE ", &[])),
    }
}

/// The statement that gives the labels that are there and for which the condition is never true and never false, and perhaps
/// those for which it holds; none where the answer to the rule itself tells.
pub(super) fn without_values(watch: &Watch) -> Option<String> {
    let labels = labels(watch);
    let comma = if labels.is_empty() { "" } else { ", " };
    let select = format!(
        "SELECT {labels}{comma}CAST(0 AS DOUBLE) AS {VALUE} FROM {CATALOG}.{}",
        watch.table
    );
    let all = conditions(watch, " WHERE ", &[]);
    match &watch.rule {
        Rule::Rows { condition } => {
            let is_false = format!("NOT ({condition})");
            let is_false = conditions(watch, " WHERE ", &[&is_false]);
            Some(format!("{select}{all} EXCEPT {select}{is_false} LIMIT {HISTORY_MAX}"))
        }
        Rule::Aggregate { condition, .. } if !watch.labels.is_empty() => {
            let places: Vec<String> = (1..=watch.labels.len()).map(|n| n.to_string()).collect();
            Some(format!(
                "{select}{all} GROUP BY {} HAVING ({condition}) IS NULL LIMIT {HISTORY_MAX}",
                places.join(", ")
            ))
        }
        Rule::Aggregate { .. } | Rule::Moves { .. } | Rule::Deviates { .. } | Rule::NoNewRows { .. } => None,
    }
}

/// The statement that gives the labels that are there, whatever the rule says of them; none of a rule without labels.
pub(super) fn there(watch: &Watch) -> Option<String> {
    (!watch.labels.is_empty()).then(|| {
        format!(
            "SELECT DISTINCT {}, CAST(0 AS DOUBLE) AS {VALUE} FROM {CATALOG}.{}{} LIMIT {HISTORY_MAX}",
            labels(watch),
            watch.table,
            conditions(watch, " WHERE ", &[])
        )
    })
}

/// The statement that gives a row if rows that the rule is about came into its table between two of its versions.
pub(super) fn came(watch: &Watch, from: u64, to: u64) -> String {
    let alias = watch.table.split_once('.').map_or("came", |(_, table)| table);
    format!(
        "SELECT 1 FROM table_changes('{CATALOG}.{}', {from}, {to}) AS {} WHERE _change_type = 'insert'{} LIMIT 1",
        watch.table,
        name(alias),
        conditions(watch, " AND ", &[])
    )
}

/// The labels of an answer to [`without_values`] or to [`there`].
pub(super) fn read_names(batches: &[RecordBatch]) -> Result<BTreeSet<String>, String> {
    let (mut labels, mut rows) = (BTreeSet::new(), 0);
    for_each(batches, |label, _| {
        rows += 1;
        labels.insert(label);
    })?;
    if rows >= HISTORY_MAX {
        return Err(format!(
            "there are {HISTORY_MAX} labels or more: group by fewer columns, or narrow it with WHERE or WITHIN"
        ));
    }
    Ok(labels)
}

/// The statement that shows some of the rows; none where a rule is not about rows.
pub(super) fn sample(watch: &Watch, rows: usize) -> Option<String> {
    match &watch.rule {
        Rule::Rows { condition } => Some(format!(
            "SELECT * FROM {CATALOG}.{}{} LIMIT {rows}",
            watch.table,
            conditions(watch, " WHERE ", &[condition])
        )),
        Rule::Aggregate { .. } | Rule::Moves { .. } | Rule::Deviates { .. } | Rule::NoNewRows { .. } => None,
    }
}

fn labels(watch: &Watch) -> String {
    let cast = |label: &String| format!("CAST({0} AS VARCHAR) AS {0}", name(label));
    watch.labels.iter().map(cast).collect::<Vec<_>>().join(", ")
}

/// The rule's own condition, the filter and the window.
fn conditions(watch: &Watch, first: &str, own: &[&String]) -> String {
    let mut all: Vec<String> = own
        .iter()
        .chain(watch.filter.as_ref().iter())
        .map(|c| format!("({c})"))
        .collect();
    if let Some(within) = &watch.within {
        let time = name(&within.time);
        let filter = watch
            .filter
            .as_ref()
            .map_or(String::new(), |filter| format!(" WHERE ({filter})"));
        all.push(format!(
            "CAST({time} AS TIMESTAMP) > (SELECT CAST(max({time}) AS TIMESTAMP) FROM {CATALOG}.{}{filter}) - INTERVAL '{} seconds'",
            watch.table, within.seconds
        ));
    }
    if all.is_empty() {
        return String::new();
    }
    format!("{first}{}", all.join(" AND "))
}

/// A column's name as SQL.
fn name(column: &str) -> String {
    Ident::with_quote('"', column).to_string()
}

/// What the answer to [`Question::Labels`] says.
pub(super) fn read_labels(batches: &[RecordBatch]) -> Result<BTreeMap<String, Reading>, String> {
    let mut labels = BTreeMap::new();
    for_each(batches, |label, value| {
        let reading = Reading { value, against: None };
        labels.insert(label, reading);
    })?;
    if labels.len() > LABELS_MAX {
        return Err(format!(
            "the rule holds for more than {LABELS_MAX} labels: group by fewer columns, or narrow it with WHERE or WITHIN"
        ));
    }
    Ok(labels)
}

/// What the answer to [`Question::History`] says.
pub(super) fn read_history(rule: &Rule, batches: &[RecordBatch]) -> Result<Outcome, String> {
    let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut rows = 0;
    for_each(batches, |label, value| {
        rows += 1;
        series
            .entry(label)
            .or_default()
            .extend(value.filter(|value| value.is_finite()));
    })?;
    if rows >= HISTORY_MAX {
        return Err(format!(
            "the history has {HISTORY_MAX} periods and labels or more: take longer periods, fewer labels, or WITHIN"
        ));
    }
    let mut judged = Judged::default();
    let mut is_judged = false;
    for (label, values) in series {
        match judge(rule, &values) {
            Verdict::Holds(reading) => {
                is_judged = true;
                judged.holds.insert(label, reading);
            }
            Verdict::Fine => is_judged = true,
            Verdict::Unknown => {
                judged.unknown.insert(label);
            }
        }
    }
    Ok(match is_judged {
        true => Outcome::Judged(judged),
        false => Outcome::NoData,
    })
}

/// Runs `each` on every row's label and value; columns that are neither are the periods.
fn for_each(batches: &[RecordBatch], mut each: impl FnMut(String, Option<f64>)) -> Result<(), String> {
    for batch in batches {
        let schema = batch.schema();
        let value = schema.index_of(VALUE).map_err(|error| error.to_string())?;
        let values =
            arrow::compute::cast(batch.column(value), &DataType::Float64).map_err(|error| error.to_string())?;
        let values = values.as_primitive::<Float64Type>();
        let texts: Vec<(&String, StringArray)> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .filter(|(field, column)| field.name() != VALUE && column.data_type() == &DataType::Utf8)
            .map(|(field, column)| (field.name(), column.as_string::<i32>().clone()))
            .collect();
        for row in 0..batch.num_rows() {
            let label = texts.iter().map(|(name, column)| {
                let value = column.is_valid(row).then(|| column.value(row));
                format!("{name}={}", value.map_or("NULL".to_owned(), plain))
            });
            let value = values.is_valid(row).then(|| values.value(row));
            each(label.collect::<Vec<_>>().join(", "), value);
        }
    }
    Ok(())
}

/// A label's value on one line, short, and not to be taken for two labels.
fn plain(value: &str) -> String {
    let mut short: String = value
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LABEL_CHARS_MAX)
        .collect();
    if value.chars().nth(LABEL_CHARS_MAX).is_some() {
        short.push('…');
    }
    match short.contains(", ") || short.starts_with('"') {
        true => format!("{short:?}"),
        false => short,
    }
}
