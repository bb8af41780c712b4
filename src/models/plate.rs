//! `recommend_plate`: a batch of next experiments, well by well, with controls.
//!
//! Candidates are read as the caller, like those of `top_recommendations`. So is the table of known experiments that the
//! controls come from: the one that the statement names, else the table that the model was trained on, if that is one
//! table and the caller sees the model's features and its target there.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use futures::{StreamExt, TryStreamExt};
use labhouse_catalog::TableName;
use labhouse_udfs::{KnownExperiments, Layout, Model, Recommender, Sight, Strategy};

use super::LoadedModel;
use super::functions::{Wish, candidates, invalid, refused, text, whole};
use super::runs::{self, Known};
use crate::query::QueryError;
use crate::query::statement::lake_name_from_text;
use crate::session::Governed;

const USAGE: &str = "recommend_plate takes the model, the plate's rows and columns, and then any of 'strategy=bayes', 'strategy=thompson' or 'strategy=exploit', 'class=<the wanted one>', 'controls=8', 'seed=7', 'edge=empty', 'known=lab.<schema>.<table>'";

/// What the options say.
#[derive(Debug, Default)]
struct Options {
    strategy: Option<Strategy>,
    class: Option<String>,
    controls: Option<usize>,
    seed: u64,
    edge_empty: bool,
    known: Option<TableName>,
}

/// The table that answers.
pub(super) fn recommend(
    governed: &Arc<Governed>,
    model: &Arc<LoadedModel>,
    arguments: &[Expr],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let [rows, columns, rest @ ..] = arguments else {
        return Err(QueryError::Invalid(USAGE.into()));
    };
    let (Some(rows), Some(columns)) = (whole(rows), whole(columns)) else {
        return Err(QueryError::Invalid(USAGE.into()));
    };
    let options = Options::read(rest)?;
    let mut layout = Layout::new(rows, columns).map_err(invalid)?.with_seed(options.seed);
    if options.edge_empty {
        layout = layout.without_edge().map_err(invalid)?;
    }
    if let Some(controls) = options.controls {
        layout = layout.with_controls(controls).map_err(invalid)?;
    }
    let candidates = candidates(governed, model)?;
    let mut wish = Wish {
        k: layout.samples(),
        lowest: false,
        strategy: options.strategy.unwrap_or(Strategy::Bayes),
        class: options.class,
    };
    let (asked, sight) = (governed.asked(model), governed.sight(model));
    if options.strategy.is_none() && wish.recommender(&asked, &sight, candidates.schema()).is_err() {
        // A model that cannot tell how unsure it is has its best predictions.
        wish.strategy = Strategy::Exploit;
    }
    wish.recommender(&asked, &sight, candidates.schema()).map_err(invalid)?;
    let known = if layout.controls() == 0 {
        None
    } else {
        known(governed, model, &candidates, options.known)?
    };
    let partition = Plate {
        schema: Layout::schema(&candidates.schema()),
        name: model.name().clone(),
        runs: runs::known(governed, model)?,
        model: asked,
        sight,
        candidates,
        known,
        governed: Arc::clone(governed),
        layout,
        wish,
    };
    let table = StreamingTable::try_new(Arc::clone(&partition.schema), vec![Arc::new(partition)])
        .map_err(crate::query::errors::from_datafusion)?;
    Ok(Arc::new(table))
}

/// Where the controls come from: the table named, or the one table of the training if the caller sees enough of it.
fn known(
    governed: &Governed,
    model: &LoadedModel,
    candidates: &Arc<dyn TableProvider>,
    named: Option<TableName>,
) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
    let is_named = named.is_some();
    let trained_on = || {
        let mut tables = model.record().data.keys();
        let only = tables.next().filter(|_| tables.next().is_none())?;
        lake_name_from_text(only).ok()
    };
    let Some(name) = named.or_else(trained_on) else {
        return Ok(None);
    };
    let found = governed
        .table(&name.schema, &name.table)
        .map_err(crate::query::errors::from_datafusion)?;
    let Some(table) = found else {
        return match is_named {
            true => Err(QueryError::NotFound(format!("table 'lab.{name}' not found"))),
            false => Ok(None),
        };
    };
    let asked = governed.asked(model);
    let found = KnownExperiments::new(Arc::clone(&asked), candidates.schema(), &table.schema());
    match found {
        Ok(_) => {
            governed.give(&name.schema, &name.table);
            Ok(Some(table))
        }
        Err(error) if is_named => Err(invalid(governed.sight(model).error(&asked, error))),
        Err(_) => Ok(None),
    }
}

impl Options {
    fn read(arguments: &[Expr]) -> Result<Self, QueryError> {
        let mut options = Self::default();
        for argument in arguments {
            let given = text(argument).and_then(|text| text.split_once('='));
            let Some((key, value)) = given.map(|(key, value)| (key.trim().to_lowercase(), value.trim())) else {
                return Err(QueryError::Invalid(USAGE.into()));
            };
            let number = || -> Result<u64, QueryError> {
                let number = value.parse();
                number.map_err(|_| QueryError::Invalid(format!("{key}={value}: give a whole number")))
            };
            match key.as_str() {
                "strategy" => options.strategy = Some(value.parse().map_err(invalid)?),
                "class" => options.class = Some(value.to_owned()),
                "controls" => options.controls = Some(usize::try_from(number()?).map_err(QueryError::internal)?),
                "seed" => options.seed = number()?,
                "edge" => {
                    options.edge_empty = match value {
                        "empty" => true,
                        "use" => false,
                        _ => {
                            return Err(QueryError::Invalid(format!(
                                "edge={value}: write edge=use or edge=empty"
                            )));
                        }
                    }
                }
                "known" => options.known = Some(lake_name_from_text(value)?),
                _ => return Err(QueryError::Invalid(format!("{key} is no option of a plate: {USAGE}"))),
            }
        }
        Ok(options)
    }
}

/// Fills the plate when the plan runs.
struct Plate {
    schema: SchemaRef,
    name: TableName,
    model: Arc<Model>,
    sight: Arc<Sight>,
    candidates: Arc<dyn TableProvider>,
    runs: Known,
    known: Option<Arc<dyn TableProvider>>,
    governed: Arc<Governed>,
    layout: Layout,
    wish: Wish,
}

impl PartitionStream for Plate {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (model, sight, runs) = (Arc::clone(&self.model), Arc::clone(&self.sight), self.runs.clone());
        let (candidates, known, governed) = (
            Arc::clone(&self.candidates),
            self.known.clone(),
            Arc::clone(&self.governed),
        );
        let (wish, layout) = (self.wish.clone(), self.layout);
        let filled = async move {
            let of = candidates.schema();
            let runs = runs.read(Arc::clone(&model), &governed, &context).await?;
            let best: Recommender = wish.recommender(&model, &sight, Arc::clone(&of)).map_err(refused)?;
            let mut best = best.without(runs);
            let mut rows = read(&candidates, &governed, &context).await?;
            while let Some(batch) = rows.next().await {
                best.push(&batch?).map_err(refused)?;
                tokio::task::yield_now().await;
            }
            let mut controls = Vec::new();
            if let Some(known) = known {
                let found = KnownExperiments::new(Arc::clone(&model), Arc::clone(&of), &known.schema());
                let mut found = found.map_err(|error| refused(sight.error(&model, error)))?.to(sight);
                let mut rows = read(&known, &governed, &context).await?;
                while let Some(batch) = rows.next().await {
                    found.push(&batch?).map_err(refused)?;
                    tokio::task::yield_now().await;
                }
                controls = found.finish().map_err(refused)?;
            }
            // Picking takes the processor: other answers must not wait for it.
            let picked = tokio::task::spawn_blocking(move || layout.fill(&of, &best.finish()?, controls)).await;
            match picked {
                Ok(plate) => plate.map_err(refused),
                Err(error) => Err(QueryError::internal(error).into_datafusion()),
            }
        };
        let stream = futures::stream::once(filled).try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

async fn read(
    table: &Arc<dyn TableProvider>,
    governed: &Governed,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let plan = table.scan(governed.system().as_ref(), None, &[], None).await?;
    execute_stream(plan, Arc::clone(context))
}

impl fmt::Debug for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plate(model=lab.{})", self.name)
    }
}
