//! Table functions over models: recommendations and what is known of a model.
//!
//! `top_recommendations` and `warning_list` read the model's candidates through the caller's governed table, so each
//! sees the experiments that he may see. A model that the caller may not ask and one that does not exist answer alike.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt};
use labhouse_udfs::{RECOMMENDATIONS_MAX, Recommender};

use super::LoadedModel;
use crate::query::QueryError;
use crate::query::statement::lake_name_from_text;
use crate::session::Governed;

/// The table functions, in the order of `Kind`.
pub(crate) const NAMES: [&str; 5] = [
    "top_recommendations",
    "warning_list",
    "model_leaderboard",
    "feature_importance",
    "model_card",
];
const TOP_DEFAULT: usize = 20;

/// The table functions of one statement.
pub(crate) fn table_functions(governed: &Arc<Governed>) -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    let function = |name| {
        Arc::new(ModelFunction {
            name,
            governed: Arc::clone(governed),
        }) as Arc<dyn TableFunctionImpl>
    };
    NAMES.into_iter().map(|name| (name, function(name))).collect()
}

#[derive(Debug)]
struct ModelFunction {
    name: &'static str,
    governed: Arc<Governed>,
}

impl TableFunctionImpl for ModelFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        self.answer(args.exprs()).map_err(QueryError::into_datafusion)
    }
}

impl ModelFunction {
    fn answer(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>, QueryError> {
        let (model, rest) = self.model(arguments)?;
        match (self.name, rest) {
            ("top_recommendations" | "warning_list", rest) => self.recommend(&model, rest),
            ("model_leaderboard", []) => table(model.model().leaderboard()),
            ("feature_importance", []) => table(model.model().importance()),
            ("model_card", []) => table(card(&model)?),
            (name, _) => Err(QueryError::Invalid(format!(
                "{name} takes one argument, the model's name"
            ))),
        }
    }

    fn model<'a>(&self, arguments: &'a [Expr]) -> Result<(Arc<LoadedModel>, &'a [Expr]), QueryError> {
        let Some((first, rest)) = arguments.split_first() else {
            return Err(QueryError::Invalid(format!(
                "{}('lab.<schema>.<model>') needs the model's name",
                self.name
            )));
        };
        let Some(text) = text(first) else {
            return Err(QueryError::Invalid(format!(
                "{}: the model's name must be a text literal",
                self.name
            )));
        };
        let name = lake_name_from_text(text)?;
        let model = self.governed.model(&name, self.name);
        model
            .map(|model| (model, rest))
            .ok_or_else(|| QueryError::NotFound(format!("model 'lab.{name}' not found")))
    }

    fn recommend(&self, model: &Arc<LoadedModel>, rest: &[Expr]) -> Result<Arc<dyn TableProvider>, QueryError> {
        let k = match rest {
            [] => TOP_DEFAULT,
            [count] => whole(count)
                .filter(|k| (1..=RECOMMENDATIONS_MAX).contains(k))
                .ok_or_else(|| {
                    QueryError::Invalid(format!(
                        "{}: the number of rows must be 1 to {RECOMMENDATIONS_MAX}",
                        self.name
                    ))
                })?,
            _ => {
                return Err(QueryError::Unsupported(format!(
                    "{} takes the model and a number of rows; strategies are not there yet",
                    self.name
                )));
            }
        };
        let Some(candidates) = &model.record().candidates else {
            return Err(QueryError::Invalid(format!(
                "the model lab.{} was made without candidates; create it with OPTIONS (candidates = 'lab.<schema>.<table>', …)",
                model.name()
            )));
        };
        let name = lake_name_from_text(candidates)?;
        let found = self
            .governed
            .table(&name.schema, &name.table)
            .map_err(crate::query::errors::from_datafusion)?;
        let Some(candidates) = found else {
            return Err(QueryError::NotFound(format!(
                "the model's candidates: table 'lab.{name}' not found"
            )));
        };
        let recommender = || {
            Recommender::new(
                Arc::clone(model.model()),
                candidates.schema(),
                k,
                self.name == "warning_list",
            )
            .map_err(|error| QueryError::Invalid(error.to_string()))
        };
        recommender()?;
        let partition = Recommend {
            schema: labhouse_udfs::recommend_schema(&candidates.schema()),
            model: Arc::clone(model),
            candidates: Arc::clone(&candidates),
            governed: Arc::clone(&self.governed),
            k,
            lowest: self.name == "warning_list",
        };
        let table = StreamingTable::try_new(Arc::clone(&partition.schema), vec![Arc::new(partition)])
            .map_err(crate::query::errors::from_datafusion)?;
        Ok(Arc::new(table))
    }
}

/// Scores the candidates when the plan runs.
struct Recommend {
    schema: SchemaRef,
    model: Arc<LoadedModel>,
    candidates: Arc<dyn TableProvider>,
    governed: Arc<Governed>,
    k: usize,
    lowest: bool,
}

impl PartitionStream for Recommend {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let model = Arc::clone(self.model.model());
        let (candidates, governed) = (Arc::clone(&self.candidates), Arc::clone(&self.governed));
        let (k, lowest) = (self.k, self.lowest);
        let scored = async move {
            let mut best = Recommender::new(model, candidates.schema(), k, lowest).map_err(refused)?;
            let plan = candidates.scan(governed.system().as_ref(), None, &[], None).await?;
            let mut rows = execute_stream(plan, context)?;
            while let Some(batch) = rows.next().await {
                best.push(&batch?).map_err(refused)?;
                tokio::task::yield_now().await;
            }
            best.finish().map_err(refused)
        };
        let stream = futures::stream::once(scored).try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

impl fmt::Debug for Recommend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recommend(model=lab.{}, k={})", self.model.name(), self.k)
    }
}

/// What is known of a model, as (property, value).
fn card(model: &LoadedModel) -> Result<RecordBatch, QueryError> {
    let record = model.record();
    let data: Vec<String> = record
        .data
        .iter()
        .map(|(table, version)| format!("lab.{table} version {version}"))
        .collect();
    let mut card: Vec<(String, String)> = vec![
        ("model".into(), format!("lab.{}", model.name())),
        ("version".into(), record.version.to_string()),
        ("function".into(), record.function.clone().unwrap_or_default()),
        ("author".into(), record.author.clone()),
        ("created_at".into(), record.created_at.to_rfc3339()),
        ("training_data".into(), data.join(", ")),
        ("policy_generation".into(), record.policy_generation.to_string()),
    ];
    card.extend(model.model().card());
    let (names, values): (Vec<String>, Vec<String>) = card.into_iter().unzip();
    let columns: [(&str, ArrayRef); 2] = [
        ("property", Arc::new(StringArray::from(names))),
        ("value", Arc::new(StringArray::from(values))),
    ];
    RecordBatch::try_from_iter(columns).map_err(QueryError::internal)
}

fn table(batch: RecordBatch) -> Result<Arc<dyn TableProvider>, QueryError> {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(crate::query::errors::from_datafusion)?;
    Ok(Arc::new(table))
}

fn refused(error: labhouse_udfs::PredictError) -> DataFusionError {
    QueryError::Invalid(error.to_string()).into_datafusion()
}

fn text(argument: &Expr) -> Option<&str> {
    let Expr::Literal(value, _) = argument else { return None };
    value.try_as_str().flatten()
}

fn whole(argument: &Expr) -> Option<usize> {
    let Expr::Literal(value, _) = argument else { return None };
    match value {
        ScalarValue::Int64(Some(number)) => usize::try_from(*number).ok(),
        ScalarValue::UInt64(Some(number)) => usize::try_from(*number).ok(),
        ScalarValue::Int32(Some(number)) => usize::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_function_has_a_row_in_the_golden_matrix() {
        for name in NAMES {
            assert!(
                include_str!("../../tests/suite/golden.txt").contains(&format!("\ntable function | {name} |")),
                "add {name} to tests/suite/golden.rs and bless it"
            );
        }
    }
}
