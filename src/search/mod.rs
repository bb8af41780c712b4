//! `search_catalog('yield solvent' [, 20])`: tables, columns and models by keyword, the best first.
//!
//! The index that somebody searches is made of what he sees and of nothing else: the tables, columns and models of his governed
//! view, and values as that view gives them. What is hidden from him makes no hit and changes no score. It says what is there; so
//! what it finds cannot be written into a table, where the tags of what it was found in would be lost.

mod cache;
mod documents;
mod samples;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use labhouse_catalog::search::{Match, SearchQuery};

use cache::Searchable;
pub(crate) use cache::Searches;

use crate::models::functions::{text, whole};
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::session::Governed;

pub(crate) const NAME: &str = "search_catalog";
/// Rows of an answer when nothing else is asked for, and at most.
const ROWS_DEFAULT: usize = 50;
const ROWS_MAX: usize = 1_000;

/// The table function in one statement.
pub(crate) fn table_function(governed: &Arc<Governed>, searches: &Arc<Searches>) -> Arc<dyn TableFunctionImpl> {
    Arc::new(SearchFunction {
        governed: Arc::clone(governed),
        searches: Arc::clone(searches),
    })
}

struct SearchFunction {
    governed: Arc<Governed>,
    searches: Arc<Searches>,
}

impl TableFunctionImpl for SearchFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let (query, rows) = arguments(args.exprs()).map_err(QueryError::into_datafusion)?;
        self.governed
            .notes()
            .detail(&serde_json::json!({ "searched": "catalog" }));
        let search = Search {
            schema: schema(),
            governed: Arc::clone(&self.governed),
            searches: Arc::clone(&self.searches),
            query,
            rows,
        };
        let table = StreamingTable::try_new(Arc::clone(&search.schema), vec![Arc::new(search)])?;
        Ok(Arc::new(table))
    }
}

impl fmt::Debug for SearchFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

/// The words and the number of rows.
fn arguments(arguments: &[Expr]) -> Result<(SearchQuery, usize), QueryError> {
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
    let query = SearchQuery::parse(text(words).ok_or_else(usage)?);
    let query =
        query.map_err(|problem| QueryError::Invalid(format!("{NAME}: the text cannot be searched for: {problem}")))?;
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
    query: SearchQuery,
    rows: usize,
}

impl PartitionStream for Search {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (governed, searches) = (Arc::clone(&self.governed), Arc::clone(&self.searches));
        let (query, rows) = (self.query.clone(), self.rows);
        let answer = async move {
            let searchable = searches
                .of(&governed, context)
                .await
                .map_err(QueryError::into_datafusion)?;
            // Each word is compared with the whole vocabulary: other answers must not wait for it.
            match tokio::task::spawn_blocking(move || answer(&searchable, &query, rows)).await {
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
        write!(f, "Search(rows={})", self.rows)
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

fn answer(searchable: &Searchable, query: &SearchQuery, rows: usize) -> Result<RecordBatch, QueryError> {
    let hits = searchable.index.search(query, rows);
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
        assert!(
            golden.contains(&format!("\ntable function | {NAME} |")),
            "bless tests/suite/golden.rs"
        );
    }
}
