//! `search_catalog('yield solvent' [, 20])`: tables, columns and models by keyword, the best first; `search_facets('yield')`: how
//! many of them are of which kind, schema, table, tag and unit.
//!
//! The index that somebody searches is made of what he sees and of nothing else: the tables, columns and models of his governed
//! view, and values as that view gives them. What is hidden from him makes no hit and changes no score. It says what is there; so
//! what it finds cannot be written into a table, where the tags of what it was found in would be lost.

mod cache;
mod documents;
mod facets;
mod samples;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use labhouse_catalog::search::Match;

use cache::Searchable;
pub(crate) use cache::Searches;
use facets::Asked;

use crate::models::functions::{text, whole};
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::session::Governed;

pub(crate) const NAME: &str = "search_catalog";
pub(crate) const FACETS: &str = "search_facets";
/// Rows of an answer when nothing else is asked for, and at most.
const ROWS_DEFAULT: usize = 50;
const ROWS_MAX: usize = 1_000;

/// The table function in one statement.
pub(crate) fn table_functions(
    governed: &Arc<Governed>,
    searches: &Arc<Searches>,
) -> [(&'static str, Arc<dyn TableFunctionImpl>); 2] {
    [NAME, FACETS].map(|name| {
        let function = SearchFunction {
            name,
            governed: Arc::clone(governed),
            searches: Arc::clone(searches),
        };
        (name, Arc::new(function) as Arc<dyn TableFunctionImpl>)
    })
}

struct SearchFunction {
    name: &'static str,
    governed: Arc<Governed>,
    searches: Arc<Searches>,
}

impl TableFunctionImpl for SearchFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let answer = Answer::of(self.name, args.exprs()).map_err(QueryError::into_datafusion)?;
        self.governed
            .notes()
            .detail(&serde_json::json!({ "searched": "catalog" }));
        let search = Search {
            schema: answer.schema(),
            governed: Arc::clone(&self.governed),
            searches: Arc::clone(&self.searches),
            answer: Arc::new(answer),
        };
        let table = StreamingTable::try_new(Arc::clone(&search.schema), vec![Arc::new(search)])?;
        Ok(Arc::new(table))
    }
}

impl fmt::Debug for SearchFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is to be answered.
enum Answer {
    Hits(Asked, usize),
    Facets(Asked),
}

impl Answer {
    fn of(name: &str, given: &[Expr]) -> Result<Self, QueryError> {
        if name == NAME {
            return arguments(given).map(|(asked, rows)| Self::Hits(asked, rows));
        }
        let [words] = given else {
            return Err(QueryError::Invalid(format!(
                "{FACETS}('words') takes a text, a literal"
            )));
        };
        asked(FACETS, words).map(Self::Facets)
    }

    fn schema(&self) -> SchemaRef {
        match self {
            Self::Hits(..) => schema(),
            Self::Facets(_) => facets_schema(),
        }
    }

    fn rows(&self, searchable: &Searchable) -> Result<RecordBatch, QueryError> {
        match self {
            Self::Hits(asked, rows) => answer(searchable, asked, *rows),
            Self::Facets(asked) => counted(searchable, asked),
        }
    }
}

fn asked(name: &str, words: &Expr) -> Result<Asked, QueryError> {
    let words = text(words).ok_or_else(|| QueryError::Invalid(format!("{name} takes a text, a literal")))?;
    Asked::parse(words)
        .map_err(|problem| QueryError::Invalid(format!("{name}: the text cannot be searched for: {problem}")))
}

/// The words and the number of rows.
fn arguments(arguments: &[Expr]) -> Result<(Asked, usize), QueryError> {
    let usage = || {
        QueryError::Invalid(format!(
            "{NAME}('words' [, rows]) takes a text and a number, both literals"
        ))
    };
    let (words, rows) = match arguments {
        [words] => (words, None),
        [words, rows] => (words, Some(rows)),
        _ => return Err(usage()),
    };
    text(words).ok_or_else(usage)?;
    let query = asked(NAME, words)?;
    let rows = match rows {
        None => ROWS_DEFAULT,
        Some(rows) => whole(rows)
            .filter(|rows| (1..=ROWS_MAX).contains(rows))
            .ok_or_else(|| QueryError::Invalid(format!("{NAME}: the number of rows must be 1 to {ROWS_MAX}")))?,
    };
    Ok((query, rows))
}

/// Finds when the plan runs.
struct Search {
    schema: SchemaRef,
    governed: Arc<Governed>,
    searches: Arc<Searches>,
    answer: Arc<Answer>,
}

impl PartitionStream for Search {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (governed, searches) = (Arc::clone(&self.governed), Arc::clone(&self.searches));
        let wanted = Arc::clone(&self.answer);
        let answer = async move {
            let searchable = searches
                .of(&governed, context)
                .await
                .map_err(QueryError::into_datafusion)?;
            // Each word is compared with the whole vocabulary: other answers must not wait for it.
            match tokio::task::spawn_blocking(move || wanted.rows(&searchable)).await {
                Ok(batch) => batch.map_err(QueryError::into_datafusion),
                Err(error) => Err(QueryError::internal(error).into_datafusion()),
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::once(answer),
        ))
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer.as_ref() {
            Answer::Hits(_, rows) => write!(f, "Search(rows={rows})"),
            Answer::Facets(_) => f.write_str("Search(facets)"),
        }
    }
}

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("kind"),
        text("table_schema"),
        text("table_name"),
        text("column_name"),
        Field::new("score", DataType::Float64, true),
        text("matched"),
        text("comment"),
    ]))
}

fn facets_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("facet", DataType::Utf8, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("hits", DataType::Int64, true),
    ]))
}

fn counted(searchable: &Searchable, asked: &Asked) -> Result<RecordBatch, QueryError> {
    let counts = asked.counts(searchable).map_err(QueryError::internal)?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            counts
                .iter()
                .map(|(facet, ..)| Some(facet.word()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            counts
                .iter()
                .map(|(_, value, _)| Some(value.as_str()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            counts
                .iter()
                .map(|(.., hits)| Some(i64::try_from(*hits).unwrap_or(i64::MAX)))
                .collect::<Int64Array>(),
        ),
    ];
    RecordBatch::try_new(facets_schema(), columns).map_err(|error| from_datafusion(error.into()))
}

fn answer(searchable: &Searchable, asked: &Asked, rows: usize) -> Result<RecordBatch, QueryError> {
    let mut hits = asked.hits(searchable).map_err(QueryError::internal)?;
    hits.truncate(rows);
    let found: Vec<_> = hits
        .iter()
        .filter_map(|hit| Some((hit, searchable.entries.get(hit.document)?)))
        .collect();
    let matched = |matched: &[Match]| {
        let told = matched.iter().map(|one| format!("{} {}", one.field.word(), one.text));
        told.collect::<Vec<_>>().join("; ")
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(found.iter().map(|(_, entry)| Some(entry.kind)).collect::<StringArray>()),
        Arc::new(
            found
                .iter()
                .map(|(_, entry)| entry.schema.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(
            found
                .iter()
                .map(|(_, entry)| Some(entry.name.as_str()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            found
                .iter()
                .map(|(_, entry)| entry.column.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(found.iter().map(|(hit, _)| Some(hit.score)).collect::<Float64Array>()),
        Arc::new(
            found
                .iter()
                .map(|(hit, _)| Some(matched(&hit.matched)))
                .collect::<StringArray>(),
        ),
        Arc::new(
            found
                .iter()
                .map(|(_, entry)| entry.comment.as_deref())
                .collect::<StringArray>(),
        ),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| from_datafusion(error.into()))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;
    use datafusion::scalar::ScalarValue;

    use super::*;

    #[test]
    fn arguments_are_a_text_and_a_number_within_bounds() {
        let (_, rows) = arguments(&[lit("yield solvent")]).unwrap();
        assert_eq!(rows, ROWS_DEFAULT);
        assert_eq!(arguments(&[lit("yield"), lit(7_i64)]).unwrap().1, 7);
        for (wrong, says) in [
            (vec![], "takes a text"),
            (vec![lit(7_i64)], "takes a text"),
            (vec![lit(ScalarValue::Utf8(None))], "takes a text"),
            (vec![lit("a"), lit(1_i64), lit(2_i64)], "takes a text"),
            (vec![lit("")], "no word"),
            (vec![lit("!?")], "no word"),
            (vec![lit("x".repeat(2_000))], "2000 bytes"),
            (vec![lit("a"), lit(0_i64)], "1 to 1000"),
            (vec![lit("a"), lit(1_001_i64)], "1 to 1000"),
            (vec![lit("a"), lit("b")], "1 to 1000"),
        ] {
            let error = arguments(&wrong).unwrap_err();
            assert!(
                matches!(error, QueryError::Invalid(_)) && error.to_string().contains(says),
                "{error}"
            );
        }
    }

    #[test]
    fn the_function_has_a_row_in_the_golden_matrix() {
        let golden = include_str!("../../tests/suite/golden.txt");
        for name in [NAME, FACETS] {
            assert!(
                golden.contains(&format!("\ntable function | {name} |")),
                "bless tests/suite/golden.rs"
            );
        }
    }
}
