//! Results in parts, which readers fetch side by side.
//!
//! A statement whose rows each come from one row of one table gives the same rows as the statements that it is of each part of
//! that table's data files, together. So each part is run by itself, on the same version of the table and under the same policy
//! as the others, or refused; nothing is kept between them.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use labhouse_catalog::{LakeError, LakeTable, TableName, When};
use serde::{Deserialize, Serialize};

use super::results::Reads;
use super::write::lake_error;
use super::{QueryError, errors};
use crate::engine::Engine;
use crate::session::Governed;

/// A table that a statement reads row by row, at the version at which it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Divisible {
    schema: String,
    table: String,
    /// The id that it got when it was made.
    id: String,
    version: u64,
    /// Its data files: more parts would be empty.
    pub(crate) files: usize,
    /// Its rows, as far as they were counted.
    pub(crate) rows: Option<usize>,
}

/// One part of a statement's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    table: Divisible,
    number: usize,
    of: usize,
}

impl Divisible {
    /// What a plan, not optimised yet, reads row by row; none where rows of the result are made of several rows or of none, or need
    /// not be the same in each run.
    ///
    /// # Errors
    /// The plan cannot be walked.
    pub(super) fn of(
        governed: &Governed,
        plan: &LogicalPlan,
        reads: Option<&Arc<Reads>>,
    ) -> Result<Option<Self>, DataFusionError> {
        let Some((schema, table)) = reads.and_then(|reads| reads.only_table()) else {
            return Ok(None);
        };
        let mut row_by_row = true;
        plan.apply_with_subqueries(|node| {
            row_by_row &= matches!(
                node,
                LogicalPlan::TableScan(_)
                    | LogicalPlan::Projection(_)
                    | LogicalPlan::Filter(_)
                    | LogicalPlan::SubqueryAlias(_)
            );
            Ok(match row_by_row {
                true => TreeNodeRecursion::Continue,
                false => TreeNodeRecursion::Stop,
            })
        })?;
        let read = governed.world().catalog.table(schema, table).filter(|_| row_by_row);
        let of = |read: &Arc<LakeTable>| {
            let id = read.id().ok().filter(|_| read.is_plain() && read.files() > 1)?;
            Some(Self {
                schema: schema.to_owned(),
                table: table.to_owned(),
                id,
                version: read.version(),
                files: read.files(),
                rows: read.rows(),
            })
        };
        Ok(read.and_then(of))
    }

    /// The parts, at most one for each data file.
    pub(crate) fn parts(&self, most: usize) -> impl Iterator<Item = Part> {
        let of = most.min(self.files).max(1);
        (0..of).map(move |number| Part {
            table: self.clone(),
            number,
            of,
        })
    }
}

impl Engine {
    /// The view in which the table has the rows of one part alone.
    ///
    /// # Errors
    /// The table is not there any more, or not as it was.
    pub(super) async fn only(&self, governed: &Governed, part: &Part) -> Result<Arc<Governed>, QueryError> {
        let Divisible {
            schema,
            table,
            id,
            version,
            ..
        } = &part.table;
        let name = TableName {
            schema: schema.clone(),
            table: table.clone(),
        };
        let access = governed.access(schema, table).map_err(errors::from_datafusion)?;
        let (Some(access), Some(now)) = (access, governed.world().catalog.table(schema, table)) else {
            return Err(QueryError::no_table(&name));
        };
        let other = || {
            QueryError::Conflict(format!(
                "{name} is not what it was when this part of the result was announced; run the statement again"
            ))
        };
        // Whoever sees only some of its rows by now must not learn how they lie in its files.
        if !access.is_unrestricted() || now.id().map_err(lake_error)? != *id {
            return Err(other());
        }
        let then = labhouse_catalog::at(&self.catalog, now, When::Version(*version));
        let then = then.await.map_err(|error| match error {
            LakeError::Refused { .. } => other(),
            error => lake_error(error),
        })?;
        if then.schema() != now.schema() {
            return Err(other());
        }
        let rows = labhouse_catalog::part(self.catalog.lake(), &then, part.number, part.of).map_err(lake_error)?;
        let word = format!("part {} of {} of version {version}", part.number, part.of);
        let only = (word, rows.ok_or_else(other)?);
        let view = governed.with_rows([(name, only)].into());
        let view = view.map_err(errors::from_datafusion)?;
        view.reads_version(now, *version);
        Ok(view)
    }
}
