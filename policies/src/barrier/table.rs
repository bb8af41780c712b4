//! The governed table: what a session may hold in place of a raw one.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use chrono::Utc;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Statistics, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning, repartition::RepartitionExec};

use super::counts::{self, Learn, Rows};
use super::exec::{BarrierExec, Below};
use super::keeps::keeps_every_row;
use super::leakproof::is_leak_proof;
use super::redact::redact;
use super::sanitise::{Residue, can_sanitise};
use super::schema::public_schema;
use super::source::Raw;
use crate::access::Access;
use crate::compile::pin_clock;
use crate::nested::Shape;

/// Name of the scan in plans below the barrier; nobody sees it.
const BELOW: &str = "raw";

/// A table as one principal sees it.
pub(crate) struct GovernedTable {
    inner: Arc<dyn TableProvider>,
    access: Access,
    system: Arc<SessionState>,
    public: SchemaRef,
    /// The columns on which a user's conditions may be evaluated inside.
    open: SchemaRef,
    /// The access's filter, unless it is proven to hide nothing. Whatever shows outside goes by the access's own: that
    /// nothing is hidden is not to be seen either.
    row_filter: Option<Expr>,
    residue: Residue,
    /// What the user's planner was told. Once: all of a statement is planned on the same numbers.
    told: OnceLock<Option<Statistics>>,
}

impl fmt::Debug for GovernedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedTable")
            .field("table", &self.access.table.to_string())
            .finish_non_exhaustive()
    }
}

impl GovernedTable {
    pub(crate) fn try_new(inner: Arc<dyn TableProvider>, access: &Access, system: Arc<SessionState>) -> Result<Self> {
        let table = &access.table;
        let now = inner.schema();
        let same = now.fields().len() == access.schema.fields().len()
            && now
                .fields()
                .iter()
                .zip(access.schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !same {
            return plan_err!("the schema of {table} changed while the statement was planned; run it again");
        }
        let public = public_schema(access);
        let restricted = access.row_filter.is_some() || !access.masks.is_empty();
        if restricted && let Some(field) = public.fields().iter().find(|f| !can_sanitise(f.data_type())) {
            return plan_err!(
                "column {} of {table} has type {}, from which hidden values cannot be removed; ask an administrator to hide the column or give the table without row filters and masks",
                field.name(),
                field.data_type()
            );
        }
        let statistics = access.row_filter.as_ref().and_then(|_| inner.statistics());
        let row_filter = access.row_filter.clone().filter(|filter| {
            !statistics.is_some_and(|statistics| keeps_every_row(filter, &statistics, &access.schema))
        });
        let residue = if row_filter.is_some() || !access.masks.is_empty() {
            Residue::Hidden
        } else {
            Residue::Nothing
        };
        let open = public.fields().iter().filter(|field| {
            let raw = access.schema.field_with_name(field.name());
            !access.masks.contains_key(field.name()) && raw.is_ok_and(|raw| raw.data_type() == field.data_type())
        });
        let open = Arc::new(Schema::new(open.cloned().collect::<Vec<_>>()));
        Ok(Self {
            inner,
            access: access.clone(),
            system,
            public,
            open,
            row_filter,
            residue,
            told: OnceLock::new(),
        })
    }

    /// What happens below: scan, the user's leak-proof conditions, row filter, masks, limit.
    fn plan_below(&self, output: &SchemaRef, filters: &[Expr], limit: Option<usize>) -> Result<LogicalPlan> {
        let now = Utc::now();
        let mut plan =
            LogicalPlanBuilder::scan(BELOW, provider_as_source(Arc::new(Raw(Arc::clone(&self.inner)))), None)?;
        let row_filter = self
            .row_filter
            .clone()
            .map(|filter| unskippable(pin_clock(filter, now)?, &self.access.schema))
            .transpose()?;
        let mut filters = filters.iter().map(unqualified).collect::<Result<Vec<_>>>()?;
        // All are total, so it does not matter in which order they meet a row; masks come strictly after. Numbers and times
        // first: they cost little, and the engine asks the rest of the few rows that are left.
        filters.sort_by_key(|filter| reads_text(filter, &self.access.schema));
        if let Some(condition) = filters.into_iter().chain(row_filter).reduce(Expr::and) {
            plan = plan.filter(condition)?;
        }
        let columns = output
            .fields()
            .iter()
            .map(|field| match self.access.masks.get(field.name()) {
                Some(mask) => Ok(pin_clock(mask.clone(), now)?.alias(field.name())),
                None => Ok(Expr::Column(Column::new(Some(BELOW), field.name()))),
            });
        plan = plan.project(columns.collect::<Result<Vec<_>>>()?)?;
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        plan.build()
    }

    /// The number of partitions above must not depend on the data: how many files were skipped is an oracle.
    fn spread(&self, plan: Arc<dyn ExecutionPlan>, limited: bool) -> Result<Arc<dyn ExecutionPlan>> {
        let fixed = self.partitions();
        let mut plan = plan;
        if plan.output_partitioning().partition_count() < fixed
            && !limited
            && let Some(split) = plan.repartitioned(fixed, self.system.config_options())?
        {
            plan = split;
        }
        match plan.output_partitioning().partition_count() {
            n if n > fixed || (n < fixed && !limited) => Ok(Arc::new(RepartitionExec::try_new(
                plan,
                Partitioning::RoundRobinBatch(fixed),
            )?)),
            _ => Ok(plan),
        }
    }

    /// The raw table's columns behind the public ones of a projection.
    fn raw_columns(&self, projection: Option<&Vec<usize>>) -> Result<Vec<usize>> {
        let Some(wanted) = projection else {
            return Ok(self.access.columns.clone());
        };
        let raw = wanted.iter().map(|at| self.access.columns.get(*at).copied());
        raw.collect::<Option<Vec<_>>>()
            .ok_or_else(|| DataFusionError::Plan(format!("{} has no such column", self.access.table)))
    }

    /// What the user's planner may know about the number of rows: see [`super::counts`].
    fn rows(&self, below: &Arc<dyn ExecutionPlan>, unconditional: bool, limit: Option<usize>) -> Rows {
        let estimate = match &self.access.row_filter {
            None => counts::below(below),
            Some(_) => counts::remembered(&self.access.fingerprint, unconditional),
        };
        let learn = self.access.row_filter.is_some() && limit.is_none();
        Rows {
            estimate: estimate.map(|rows| limit.map_or(rows, |limit| rows.min(limit))),
            learn: learn.then(|| {
                let fingerprint = self.access.fingerprint.clone();
                Arc::new(Learn::new(fingerprint, unconditional, self.partitions()))
            }),
        }
    }

    fn partitions(&self) -> usize {
        self.system.config().target_partitions().max(1)
    }

    async fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let output = match projection {
            Some(columns) => Arc::new(self.public.project(columns)?),
            None => Arc::clone(&self.public),
        };
        if let Some(filter) = filters.iter().find(|f| !is_leak_proof(f, &self.open)) {
            return plan_err!("the condition {filter} may not be evaluated inside a governed table");
        }
        let table = self.access.table.to_string();
        let below = async {
            let physical = if self.residue == Residue::Nothing && filters.is_empty() {
                // Nothing happens below but reading: no plan to optimise.
                self.inner
                    .scan(self.system.as_ref(), Some(&self.raw_columns(projection)?), &[], limit)
                    .await?
            } else {
                let logical = self.plan_below(&output, filters, limit)?;
                self.system.create_physical_plan(&logical).await?
            };
            self.spread(physical, limit.is_some())
        };
        let below = below.await.map_err(|e| redact(&e, &table))?;
        let rows = self.rows(&below, filters.is_empty(), limit);
        Ok(Arc::new(BarrierExec::new(Below {
            plan: below,
            rows,
            system: Arc::clone(&self.system),
            table,
            schema: output,
            residue: self.residue,
            rechunk: self.access.row_filter.is_some(),
            partitions: self.partitions(),
            keyed: self.access.keyed,
        })))
    }
}

#[async_trait]
impl TableProvider for GovernedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.public)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Estimates for ordering joins, of nothing that is hidden: see [`super::counts`].
    fn statistics(&self) -> Option<Statistics> {
        let told = || counts::told(self.inner.as_ref(), &self.access, &self.public, &self.open);
        self.told.get_or_init(told).clone()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match is_leak_proof(filter, &self.open) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan(projection, filters, limit).await
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.read_only("INSERT")
    }

    async fn delete_from(&self, _: &dyn Session, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        self.read_only("DELETE")
    }

    async fn update(&self, _: &dyn Session, _: Vec<(String, Expr)>, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        self.read_only("UPDATE")
    }

    async fn truncate(&self, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        self.read_only("TRUNCATE")
    }

    async fn merge_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: datafusion::common::DFSchemaRef,
        _: Expr,
        _: Vec<datafusion::logical_expr::dml::MergeIntoClause>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.read_only("MERGE")
    }
}

impl GovernedTable {
    fn read_only<T>(&self, what: &str) -> Result<T> {
        Err(DataFusionError::NotImplemented(format!(
            "{what} into {} does not go through a governed scan",
            self.access.table
        )))
    }
}

/// The filter with its floating-point columns out of sight of whatever skips data by bounds. Bounds leave NaN out: a group
/// of rows may be skipped, or be taken for one where every row passes, by its other values, and those may be hidden.
fn unskippable(filter: Expr, schema: &SchemaRef) -> Result<Expr> {
    let is_floating = |column: &Column| {
        let field = schema.field_with_name(&column.name);
        field.is_ok_and(|field| field.data_type().is_floating())
    };
    let covered = filter.transform(|part| {
        Ok(match part {
            Expr::Column(column) if is_floating(&column) => Transformed::yes(Shape::Whole.over(Expr::Column(column))),
            other => Transformed::no(other),
        })
    })?;
    Ok(covered.data)
}

/// Whether a condition is on a column whose values have no fixed width.
fn reads_text(filter: &Expr, schema: &SchemaRef) -> bool {
    let columns = filter.column_refs();
    let mut fields = columns
        .iter()
        .filter_map(|column| schema.field_with_name(&column.name).ok());
    fields.any(|field| field.data_type().primitive_width().is_none())
}

/// The user's condition over the raw scan: same column names, another qualifier.
fn unqualified(filter: &Expr) -> Result<Expr> {
    let moved = filter.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new(Some(BELOW), column.name))),
            other => Transformed::no(other),
        })
    })?;
    Ok(moved.data)
}
