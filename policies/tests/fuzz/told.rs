//! What a person is told by one statement, in a form that can be compared.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use futures::FutureExt;
use labhouse_policies::learn;

use super::grammar::Statement;
use super::lab::Side;

/// A statement's outcome.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Column names and types, and the rows as texts.
    Rows {
        columns: String,
        rows: Vec<String>,
    },
    Error(String),
}

/// Everything one statement shows.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The physical plan with its statistics, when there is one.
    pub plan: String,
    pub answer: Answer,
}

impl Told {
    pub(crate) fn failed(&self) -> bool {
        matches!(self.answer, Answer::Error(_))
    }

    /// All of it as one text, to search for what may not be there.
    pub(crate) fn text(&self) -> String {
        match &self.answer {
            Answer::Rows { columns, rows } => format!("{}\n{columns}\n{}", self.plan, rows.join("\n")),
            Answer::Error(text) => format!("{}\n{text}", self.plan),
        }
    }
}

/// A statement that was planned, or refused.
pub(crate) struct Planned {
    pub text: String,
    plan: Result<Arc<dyn ExecutionPlan>, String>,
}

/// Plans a statement; a panic is an error like any other.
pub(crate) async fn plan(side: &Side, sql: &str) -> Planned {
    let made = async {
        let frame = side.context.sql(sql).await.map_err(|e| e.strip_backtrace())?;
        frame.create_physical_plan().await.map_err(|e| e.strip_backtrace())
    };
    let plan = AssertUnwindSafe(made)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err("panicked".to_owned()));
    let text = match &plan {
        Ok(plan) => displayable(plan.as_ref())
            .set_show_statistics(true)
            .indent(true)
            .to_string(),
        Err(_) => String::new(),
    };
    Planned { text, plan }
}

/// Runs what was planned.
pub(crate) async fn run(side: &Side, planned: Planned, statement: &Statement) -> Told {
    let answer = match planned.plan {
        Err(error) => Answer::Error(error),
        Ok(plan) => {
            let columns: Vec<String> = plan
                .schema()
                .fields()
                .iter()
                .map(|field| format!("{}: {}", field.name(), field.data_type()))
                .collect();
            match AssertUnwindSafe(collect(Arc::clone(&plan), side.context.task_ctx()))
                .catch_unwind()
                .await
            {
                Ok(Ok(batches)) => {
                    // As the server does.
                    learn(&plan);
                    Answer::Rows {
                        columns: columns.join(", "),
                        rows: rows(&batches, statement),
                    }
                }
                Ok(Err(error)) => Answer::Error(error.strip_backtrace()),
                Err(_) => Answer::Error("panicked".to_owned()),
            }
        }
    };
    Told {
        plan: planned.text,
        answer,
    }
}

/// Plans and runs a statement.
pub(crate) async fn ask(side: &Side, statement: &Statement) -> Told {
    let planned = plan(side, &statement.sql).await;
    run(side, planned, statement).await
}

fn rows(batches: &[RecordBatch], statement: &Statement) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅").with_display_error(true);
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for at in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .enumerate()
                .map(|(column, format)| {
                    let cell = format.value(at).to_string();
                    match statement.loose.get(column) {
                        Some(true) if cell != "∅" => "a number".to_owned(),
                        // The two zeros are equal: which of them stands for a group is open.
                        _ if cell == "-0.0" => "0.0".to_owned(),
                        _ => cell,
                    }
                })
                .collect();
            rows.push(cells.join(" | "));
        }
    }
    if !statement.ordered {
        rows.sort_unstable();
    }
    rows
}

/// An error without the values it names: which of several failing rows is met first is open.
pub(crate) fn kind_of_error(text: &str) -> String {
    // Of two casts that fail in two parts of a statement, which comes first is open.
    if text.contains("Cast error: Cannot cast") {
        return "Cast error".to_owned();
    }
    // Of a text that is no time the engine also tells what is wrong with it.
    if text.contains("Error parsing timestamp from") {
        return "Error parsing timestamp".to_owned();
    }
    let mut kind = String::new();
    let mut quote = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // A quote within a word belongs to the value: 'o'hara'.
        let ends_a_word = !rest.peek().is_some_and(|next| next.is_alphanumeric());
        match quote {
            Some(end) if c == end && ends_a_word => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"' | '`') => {
                quote = Some(c);
                kind.push('…');
            }
            None if c.is_ascii_digit() || c == '-' || c == '.' => {}
            None => kind.push(c),
        }
    }
    kind
}

/// The values that one side of a join has told the other, in their order: in which they came is open.
fn sets_sorted(line: &str) -> String {
    const BEGIN: &str = "IN (SET) ([";
    let mut parts = line.split(BEGIN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (set, after) = part.split_once("])").unwrap_or((part, ""));
        let mut values: Vec<&str> = set.split(", ").collect();
        values.sort_unstable();
        out.push_str(&format!("{BEGIN}{}]){after}", values.join(", ")));
    }
    out
}

/// `EXPLAIN ANALYZE` without what depends on time, and without what depends on how visible rows fell into partitions: counts
/// of operators that work on each partition by itself, and all counts where an operator may stop early.
pub(crate) fn settled(analysed: &str) -> String {
    let early = ["fetch=", "Limit", "limit="].iter().any(|word| analysed.contains(word));
    let lines = analysed.lines().map(|line| {
        // How far a sort came in one partition: a visible row, but which one is open like the order of rows.
        let line = match line.split_once("filter=[") {
            Some((before, after)) if before.contains("TopK(") => {
                format!("{before}{}", after.find("metrics=[").map_or("", |at| &after[at..]))
            }
            _ => line.to_owned(),
        };
        let line = sets_sorted(&line);
        let alone = ["mode=Partial", "RepartitionExec", "CoalescePartitions"]
            .iter()
            .any(|word| line.contains(word));
        let Some((before, after)) = line.split_once("metrics=[") else {
            return line;
        };
        let (metrics, after) = after.split_once(']').unwrap_or((after, ""));
        let rows = metrics.split(", ").find(|metric| metric.starts_with("output_rows="));
        format!(
            "{before}{}{after}",
            rows.filter(|_| !early && !alone).unwrap_or_default()
        )
    });
    let settled: String = lines.collect::<Vec<_>>().join("\n");
    // Times change the width of the printed table.
    settled
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace(['-', '+'], "")
}
