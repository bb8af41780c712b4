//! Table functions over models: recommendations, explanations and what is known of a model.
//!
//! `top_recommendations` and `warning_list` read the model's candidates through the caller's governed table, so each
//! sees the experiments that he may see. A model that the caller may not ask and one that does not exist answer alike.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
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
use labhouse_catalog::TableName;
use labhouse_udfs::{COVERAGE, Model, PredictError, RECOMMENDATIONS_MAX, Recommender, Runs, Sight, Strategy};

use super::LoadedModel;
use super::reading::{self, Question};
use super::runs::{self, Known};
use crate::query::QueryError;
use crate::query::statement::lake_name_from_text;
use crate::session::Governed;

/// The table functions.
pub(crate) const NAMES: [&str; 13] = [
    "top_recommendations",
    "warning_list",
    "recommend_plate",
    "model_leaderboard",
    "feature_importance",
    "model_card",
    "predict_interval",
    "explain_prediction",
    "partial_dependence",
    "model_drift",
    "plate_effects",
    "forecast",
    "anomaly_score",
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
        let made = self.answer(args.exprs()).map_err(QueryError::into_datafusion)?;
        self.governed.made(self.name, &made);
        Ok(made)
    }
}

impl ModelFunction {
    fn answer(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>, QueryError> {
        if self.name == "plate_effects" {
            let (table, value) = match arguments {
                [table] => (table, None),
                [table, value] => (table, Some(text(value).ok_or_else(|| self.not_literal())?)),
                _ => {
                    return Err(QueryError::Invalid(
                        "plate_effects takes the table's name and, unless there is only one number, the measured column's name".into(),
                    ));
                }
            };
            let table = text(table).ok_or_else(|| self.not_literal())?;
            return reading::ask(&self.governed, table, Question::Plates(value.map(str::to_owned)));
        }
        if let Some((table, question)) = super::series::question(self.name, arguments)? {
            return reading::ask(&self.governed, &table, question);
        }
        let (model, rest) = self.model(arguments)?;
        let (asked, sight) = (self.governed.asked(&model), self.governed.sight(&model));
        match (self.name, rest) {
            ("top_recommendations" | "warning_list", rest) => self.recommend(&model, rest),
            ("recommend_plate", rest) => super::plate::recommend(&self.governed, &model, rest),
            ("model_leaderboard", []) => table(asked.leaderboard_with(&model.record().timings)),
            ("feature_importance", []) => table(asked.importance_to(&sight).map_err(invalid)?),
            ("feature_importance", [method]) => match text(method) {
                Some("shap") => {
                    let schema = asked.importance().schema();
                    super::worked::when_run(schema, move || asked.importance_by_shares_to(&sight))
                }
                Some("permutation") => table(asked.importance_to(&sight).map_err(invalid)?),
                _ => Err(QueryError::Invalid(
                    "feature_importance takes the model's name and 'permutation' or 'shap'".into(),
                )),
            },
            ("model_card", []) => table(card(&self.governed, &model)?),
            ("predict_interval", rest) => self.interval(&model, rest),
            ("explain_prediction", rest) => {
                // What follows the features is the class that is asked about.
                let of_class = rest.split_last().filter(|_| rest.len() > asked.features().len());
                let (rest, class) = match of_class.and_then(|(last, rest)| Some((rest, class(last)?))) {
                    Some((rest, class)) => (rest, Some(class)),
                    None => (rest, None),
                };
                let columns = literals(rest).ok_or_else(|| self.not_literal())?;
                table(asked.explanation_of(&columns, class, &sight).map_err(invalid)?)
            }
            ("model_drift", [name]) => {
                let name = text(name).ok_or_else(|| self.not_literal())?;
                reading::ask(&self.governed, name, Question::Drift(asked, sight))
            }
            ("model_drift", _) => Err(QueryError::Invalid(
                "model_drift takes the model's name and the name of the table to compare with its training rows".into(),
            )),
            ("partial_dependence", [feature]) => {
                let feature = text(feature).ok_or_else(|| self.not_literal())?;
                table(asked.partial_dependence_to(feature, &sight).map_err(invalid)?)
            }
            ("partial_dependence", [feature, of]) if class(of).is_some() => {
                let feature = text(feature).ok_or_else(|| self.not_literal())?;
                table(
                    asked
                        .partial_dependence_of(feature, class(of), &sight)
                        .map_err(invalid)?,
                )
            }
            ("partial_dependence", _) => Err(QueryError::Invalid(
                "partial_dependence takes the model's name, a feature's name and, of a model of classes, 'class=<one of them>'".into(),
            )),
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

    /// One row for literal features, and after them, if wanted, the coverage.
    fn interval(&self, model: &LoadedModel, rest: &[Expr]) -> Result<Arc<dyn TableProvider>, QueryError> {
        let mut columns = literals(rest).ok_or_else(|| self.not_literal())?;
        let mut coverage = COVERAGE;
        if columns.len() == model.model().features().len() + 1 {
            let last = columns
                .pop()
                .and_then(|last| ScalarValue::try_from_array(&last, 0).ok());
            let number = last.and_then(|last| last.cast_to(&DataType::Float64).ok());
            let Some(ScalarValue::Float64(Some(given))) = number else {
                return Err(QueryError::Invalid(
                    "predict_interval: the coverage after the features is a number such as 0.9".into(),
                ));
            };
            coverage = given;
        }
        let (asked, sight) = (self.governed.asked(model), self.governed.sight(model));
        table(
            asked
                .interval_to(&columns, 1, coverage, &sight)
                .map_err(invalid)?
                .into(),
        )
    }

    fn not_literal(&self) -> QueryError {
        QueryError::Invalid(format!(
            "{} in FROM takes literals; for columns write it in SELECT, or join the table first",
            self.name
        ))
    }

    fn recommend(&self, model: &Arc<LoadedModel>, rest: &[Expr]) -> Result<Arc<dyn TableProvider>, QueryError> {
        let (count, options) = match rest {
            [] => (None, rest),
            [first, others @ ..] if text(first).is_none() => (Some(first), others),
            options => (None, options),
        };
        let mut wish = Wish {
            k: match count {
                None => TOP_DEFAULT,
                Some(count) => whole(count)
                    .filter(|k| (1..=RECOMMENDATIONS_MAX).contains(k))
                    .ok_or_else(|| {
                        QueryError::Invalid(format!(
                            "{}: the number of rows must be 1 to {RECOMMENDATIONS_MAX}",
                            self.name
                        ))
                    })?,
            },
            lowest: self.name == "warning_list",
            strategy: Strategy::Exploit,
            class: None,
        };
        for option in options {
            let option = text(option).ok_or_else(|| self.not_literal())?;
            match option.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, class)) if key.eq_ignore_ascii_case("class") => wish.class = Some(class.to_owned()),
                Some((key, strategy)) if key.eq_ignore_ascii_case("strategy") => {
                    wish.strategy = strategy.parse().map_err(invalid)?;
                }
                Some((key, _)) => {
                    return Err(QueryError::Invalid(format!(
                        "{}: {key} is no option; it takes the model, a number of rows, a strategy ('exploit', 'bayes' or 'thompson') and, of a model of classes, 'class=<the wanted one>'",
                        self.name
                    )));
                }
                None => wish.strategy = option.parse().map_err(invalid)?,
            }
        }
        let candidates = candidates(&self.governed, model)?;
        let (asked, sight) = (self.governed.asked(model), self.governed.sight(model));
        wish.recommender(&asked, &sight, candidates.schema()).map_err(invalid)?;
        let partition = Recommend {
            schema: labhouse_udfs::recommend_schema(&candidates.schema()),
            name: model.name().clone(),
            model: asked,
            sight,
            candidates: Arc::clone(&candidates),
            runs: if wish.only_new() {
                runs::known(&self.governed, model)?
            } else {
                Known::Fixed(Runs::None)
            },
            governed: Arc::clone(&self.governed),
            wish,
        };
        let table = StreamingTable::try_new(Arc::clone(&partition.schema), vec![Arc::new(partition)])
            .map_err(crate::query::errors::from_datafusion)?;
        Ok(Arc::new(table))
    }
}

/// A model's candidates as the caller sees them; nothing is told of a table that he does not see.
pub(super) fn candidates(governed: &Governed, model: &LoadedModel) -> Result<Arc<dyn TableProvider>, QueryError> {
    let Some(candidates) = &model.record().candidates else {
        return Err(QueryError::Invalid(format!(
            "the model lab.{} was made without candidates; create it with OPTIONS (candidates = 'lab.<schema>.<table>', …)",
            model.name()
        )));
    };
    let name = lake_name_from_text(candidates)?;
    let found = governed
        .table(&name.schema, &name.table)
        .map_err(crate::query::errors::from_datafusion)?;
    let Some(table) = found else {
        // Its name is of a table that the caller may not know.
        return Err(QueryError::NotFound(format!(
            "the candidates of the model lab.{} were not found; let somebody who sees them ask, or make it again with other candidates",
            model.name()
        )));
    };
    governed.give(&name.schema, &name.table);
    Ok(table)
}

/// Scores the candidates when the plan runs.
struct Recommend {
    schema: SchemaRef,
    name: TableName,
    model: Arc<Model>,
    sight: Arc<Sight>,
    candidates: Arc<dyn TableProvider>,
    runs: Known,
    governed: Arc<Governed>,
    wish: Wish,
}

/// Which candidates are wanted.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) k: usize,
    pub(super) lowest: bool,
    pub(super) strategy: Strategy,
    /// Of a model of classes.
    pub(super) class: Option<String>,
}

impl Wish {
    /// Next experiments are new ones; a warning may be of something run before.
    pub(super) fn only_new(&self) -> bool {
        !self.lowest
    }

    /// The list in the making, nothing left out of it yet.
    pub(super) fn recommender(
        &self,
        model: &Arc<Model>,
        sight: &Arc<Sight>,
        candidates: SchemaRef,
    ) -> Result<Recommender, PredictError> {
        let class = self.class.as_deref();
        let recommender = Recommender::wanting(Arc::clone(model), candidates, self.k, self.lowest, class);
        let recommender = recommender.and_then(|recommender| recommender.by(self.strategy));
        let recommender = recommender.map_err(|error| sight.error(model, error))?;
        Ok(recommender.to(Arc::clone(sight)))
    }
}

impl PartitionStream for Recommend {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (model, sight, runs) = (Arc::clone(&self.model), Arc::clone(&self.sight), self.runs.clone());
        let (candidates, governed) = (Arc::clone(&self.candidates), Arc::clone(&self.governed));
        let wish = self.wish.clone();
        let scored = async move {
            let runs = runs.read(Arc::clone(&model), &governed, &context).await?;
            let best = wish.recommender(&model, &sight, candidates.schema()).map_err(refused)?;
            let mut best = best.without(runs);
            let plan = candidates.scan(governed.system().as_ref(), None, &[], None).await?;
            let mut rows = execute_stream(plan, context)?;
            while let Some(batch) = rows.next().await {
                best.push(&batch?).map_err(refused)?;
                tokio::task::yield_now().await;
            }
            // Picking takes the processor: other answers must not wait for it.
            match tokio::task::spawn_blocking(move || best.finish()).await {
                Ok(list) => list.map_err(refused),
                Err(error) => Err(QueryError::internal(error).into_datafusion()),
            }
        };
        let stream = futures::stream::once(scored).try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

impl fmt::Debug for Recommend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recommend(model=lab.{}, k={})", self.name, self.wish.k)
    }
}

/// What is known of a model and the caller's to know, as (property, value).
fn card(governed: &Governed, model: &LoadedModel) -> Result<RecordBatch, QueryError> {
    let record = model.record();
    let data = governed.told_sources(model).into_iter();
    let data = data.map(|(table, version)| match version {
        Some(version) => format!("lab.{table} version {version}"),
        None => format!("lab.{table}"),
    });
    let data: Vec<String> = data.collect();
    let mut card: Vec<(String, String)> = vec![
        ("model".into(), format!("lab.{}", model.name())),
        ("version".into(), record.version.to_string()),
        (
            "function".into(),
            governed
                .world()
                .models
                .function_of(model)
                .unwrap_or_default()
                .to_owned(),
        ),
        ("author".into(), record.author.clone()),
        ("created_at".into(), record.created_at.to_rfc3339()),
        ("training_data".into(), data.join(", ")),
        ("policy_generation".into(), record.policy_generation.to_string()),
    ];
    card.extend(
        governed
            .author_sees(model)
            .map(|sees| ("author_sees_rows".into(), sees.to_string())),
    );
    card.extend(model.model().card_to(&governed.sight(model)));
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

pub(super) fn invalid(error: PredictError) -> QueryError {
    QueryError::Invalid(error.to_string())
}

pub(super) fn refused(error: PredictError) -> DataFusionError {
    invalid(error).into_datafusion()
}

/// Literals, cast ones too, as arrays of one row each.
fn literals(arguments: &[Expr]) -> Option<Vec<ArrayRef>> {
    fn value(argument: &Expr) -> Option<ScalarValue> {
        match argument {
            Expr::Literal(value, _) => Some(value.clone()),
            Expr::Cast(cast) => value(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
            Expr::Negative(inner) => value(inner)?.arithmetic_negate().ok(),
            _ => None,
        }
    }
    arguments
        .iter()
        .map(|argument| value(argument)?.to_array().ok())
        .collect()
}

/// The class in `'class=good'`.
fn class(argument: &Expr) -> Option<&str> {
    text(argument)?.strip_prefix("class=")
}

pub(crate) fn text(argument: &Expr) -> Option<&str> {
    let Expr::Literal(value, _) = argument else { return None };
    value.try_as_str().flatten()
}

pub(crate) fn whole(argument: &Expr) -> Option<usize> {
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
