//! Table functions that read a whole table as the caller and answer with a few rows: `model_drift`,
//! `plate_effects`, `forecast`, `anomaly_score`.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use labhouse_udfs::{AnomalyScore, Drift, Forecast, ForecastOptions, Model, PlateEffects, PredictError, Sight};

use crate::query::QueryError;
use crate::query::statement::lake_name_from_text;
use crate::session::Governed;

/// What is to be known of the table.
#[derive(Clone)]
pub(super) enum Question {
    /// Has it moved away from a model's training rows?
    Drift(Arc<Model>, Arc<Sight>),
    /// What do its plates add to a measured column, the only one if none is named?
    Plates(Option<String>),
    /// What comes next in it?
    Forecast(ForecastOptions),
    /// How unusual is each of its values?
    Anomaly {
        time: String,
        value: String,
        group: Option<String>,
    },
}

/// An answer in the making.
enum Answer {
    Drift(Drift),
    Plates(PlateEffects),
    Forecast(Forecast),
    Anomaly(AnomalyScore),
}

/// The answer about the table of that name, read through the caller's governed view when the plan runs.
pub(super) fn ask(
    governed: &Arc<Governed>,
    table: &str,
    question: Question,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let name = lake_name_from_text(table)?;
    let found = governed
        .table(&name.schema, &name.table)
        .map_err(crate::query::errors::from_datafusion)?;
    let source = found.ok_or_else(|| QueryError::NotFound(format!("table 'lab.{name}' not found")))?;
    governed.give(&name.schema, &name.table);
    // Said now, not when the plan runs: which column is missing.
    let schema = question.begin(&source.schema()).map_err(invalid)?.schema();
    let partition = Reading {
        schema,
        source,
        governed: Arc::clone(governed),
        question,
    };
    let table = StreamingTable::try_new(Arc::clone(&partition.schema), vec![Arc::new(partition)])
        .map_err(crate::query::errors::from_datafusion)?;
    Ok(Arc::new(table))
}

impl Question {
    fn begin(&self, table: &Schema) -> Result<Answer, PredictError> {
        Ok(match self {
            Self::Drift(model, sight) => {
                let drift = Drift::new(Arc::clone(model), table).map_err(|error| sight.error(model, error))?;
                Answer::Drift(drift.to(sight))
            }
            Self::Plates(value) => Answer::Plates(PlateEffects::of(table, value.as_deref())?),
            Self::Forecast(options) => Answer::Forecast(Forecast::new(table, options.clone())?),
            Self::Anomaly { time, value, group } => {
                Answer::Anomaly(AnomalyScore::new(table, time, value, group.as_deref())?)
            }
        })
    }
}

impl Answer {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Drift(_) => Drift::schema(),
            Self::Plates(_) => PlateEffects::schema(),
            Self::Forecast(forecast) => forecast.schema(),
            Self::Anomaly(scores) => scores.schema(),
        }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        match self {
            Self::Drift(drift) => drift.push(batch),
            Self::Plates(plates) => plates.push(batch),
            Self::Forecast(forecast) => forecast.push(batch),
            Self::Anomaly(scores) => scores.push(batch),
        }
    }

    fn finish(self) -> Result<RecordBatch, PredictError> {
        match self {
            Self::Drift(drift) => drift.finish(),
            Self::Plates(plates) => plates.finish(),
            Self::Forecast(forecast) => forecast.finish(),
            Self::Anomaly(scores) => scores.finish(),
        }
    }
}

struct Reading {
    schema: SchemaRef,
    source: Arc<dyn TableProvider>,
    governed: Arc<Governed>,
    question: Question,
}

impl PartitionStream for Reading {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (source, governed) = (Arc::clone(&self.source), Arc::clone(&self.governed));
        let question = self.question.clone();
        let read = async move {
            let mut answer = question.begin(&source.schema()).map_err(refused)?;
            let plan = source.scan(governed.system().as_ref(), None, &[], None).await?;
            let mut rows = execute_stream(plan, context)?;
            while let Some(batch) = rows.next().await {
                answer.push(&batch?).map_err(refused)?;
                tokio::task::yield_now().await;
            }
            // Choosing among methods takes the processor: other answers must not wait for it.
            match tokio::task::spawn_blocking(move || answer.finish()).await {
                Ok(finished) => finished.map_err(refused),
                Err(error) => Err(QueryError::internal(error).into_datafusion()),
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::once(read),
        ))
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.question {
            Question::Drift(..) => "Reading(drift)",
            Question::Plates(_) => "Reading(plates)",
            Question::Forecast(_) => "Reading(forecast)",
            Question::Anomaly { .. } => "Reading(anomalies)",
        })
    }
}

fn invalid(error: PredictError) -> QueryError {
    QueryError::Invalid(error.to_string())
}

fn refused(error: PredictError) -> DataFusionError {
    invalid(error).into_datafusion()
}
