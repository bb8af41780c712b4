//! What was run, as far as the caller may know it: what is left out of a list of next experiments tells him that it was run.
//!
//! Who sees the features of all training rows is not recommended any of them. Who sees some of the rows is not recommended those: the training table is
//! read as him. Where features come from several tables nothing is left out for him, nor for somebody who may not see one of the features as it is.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use labhouse_udfs::{Model, Runs, SeenRuns};

use super::LoadedModel;
use super::functions::refused;
use crate::query::QueryError;
use crate::session::Governed;

/// Where what was run is known from.
#[derive(Clone)]
pub(super) enum Known {
    Fixed(Runs),
    /// A table as the caller sees it, and its column of each feature.
    Table(Arc<dyn TableProvider>, Vec<String>),
}

/// How the caller may know what the model was trained on.
pub(super) fn known(governed: &Governed, model: &LoadedModel) -> Result<Known, QueryError> {
    let (record, sight) = (model.record(), governed.sight(model));
    let features = model.model().features();
    if record.data.is_empty() || (features.iter().all(|f| sight.tells(&f.name)) && governed.sees_all_rows(model)) {
        return Ok(Known::Fixed(Runs::All));
    }
    if !features.iter().all(|feature| sight.tells(&feature.name)) {
        return Ok(Known::Fixed(Runs::None));
    }
    for (table, _) in governed.told_sources(model) {
        let column = |feature: &labhouse_udfs::Feature| {
            let mut origins = record.columns.get(&feature.name)?.iter();
            let only = origins.next().filter(|_| origins.next().is_none())?;
            let column = only.strip_prefix(&table)?.strip_prefix('.')?;
            Some(column.to_owned())
        };
        let columns: Option<Vec<String>> = features.iter().map(column).collect();
        let (Some(columns), Some((schema, name))) = (columns, table.split_once('.')) else {
            continue;
        };
        let found = governed
            .table(schema, name)
            .map_err(crate::query::errors::from_datafusion)?;
        if let Some(found) = found {
            governed.give(schema, name);
            return Ok(Known::Table(found, columns));
        }
    }
    Ok(Known::Fixed(Runs::None))
}

impl Known {
    pub(super) async fn read(
        self,
        model: Arc<Model>,
        governed: &Governed,
        context: &Arc<TaskContext>,
    ) -> Result<Runs, DataFusionError> {
        let (table, columns) = match self {
            Self::Fixed(runs) => return Ok(runs),
            Self::Table(table, columns) => (table, columns),
        };
        let Some(mut seen) = SeenRuns::new(model, &table.schema(), &columns) else {
            return Ok(Runs::None);
        };
        let plan = table.scan(governed.system().as_ref(), None, &[], None).await?;
        let mut rows = execute_stream(plan, Arc::clone(context))?;
        while let Some(batch) = rows.next().await {
            seen.push(&batch?).map_err(refused)?;
            tokio::task::yield_now().await;
        }
        Ok(seen.finish())
    }
}
