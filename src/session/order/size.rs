//! How many rows to expect of a plan.
//!
//! A table tells its rows and the bounds of its columns as far as policy allows ([`labhouse_policies`] decides what a governed
//! table tells); all else is reckoned from that. `None` is an honest answer, and leaves the written order alone.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ColumnStatistics, JoinType};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, FetchType, Join, LogicalPlan, Projection, TableScan};

use super::group::{has_sets, is_one_value};
use super::passing::{Columns, Values, column_of, number, passing};

/// Levels of a plan that are looked into, as each is a stack frame.
const DEPTH_MAX: usize = 256;

/// What to expect of a plan's rows.
#[derive(Debug, Clone)]
pub(super) struct Size {
    pub(super) rows: f64,
    /// Rows of what was read, before conditions: how many values a key may have.
    pub(super) base: f64,
    pub(super) columns: Columns,
}

/// The size of a plan, if all that it reads has one.
pub(super) fn size(plan: &LogicalPlan) -> Option<Size> {
    at(plan, 0)
}

/// Rows of all the tables that a plan reads.
pub(super) fn scanned(plan: &LogicalPlan) -> Option<f64> {
    let mut rows = Some(0.0);
    let walked = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            rows = rows.zip(table(scan)).map(|(rows, size)| rows + size.base);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok().and(rows)
}

fn at(plan: &LogicalPlan, depth: usize) -> Option<Size> {
    if depth > DEPTH_MAX {
        return None;
    }
    let below = |plan| at(plan, depth + 1);
    match plan {
        LogicalPlan::TableScan(scan) => table(scan),
        LogicalPlan::Filter(filter) => {
            let mut size = below(&filter.input)?;
            size.rows *= passing([&filter.predicate], &size.columns);
            Some(size)
        }
        LogicalPlan::Projection(projection) => Some(projected(projection, below(&projection.input)?)),
        LogicalPlan::SubqueryAlias(alias) => {
            let size = below(&alias.input)?;
            Some(renamed(plan, &alias.input, size))
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate, below(&aggregate.input)?),
        LogicalPlan::Distinct(Distinct::All(input)) => below(input),
        LogicalPlan::Distinct(Distinct::On(on)) => below(&on.input),
        LogicalPlan::Sort(sort) => Some(limited(below(&sort.input)?, sort.fetch)),
        LogicalPlan::Limit(limit) => match limit.get_fetch_type() {
            Ok(FetchType::Literal(fetch)) => Some(limited(below(&limit.input)?, fetch)),
            _ => below(&limit.input),
        },
        LogicalPlan::Repartition(node) => below(&node.input),
        LogicalPlan::Window(node) => below(&node.input),
        LogicalPlan::Join(join) => Some(paired(join, below(&join.left)?, below(&join.right)?)),
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| Some(below(input)?.rows));
            Some(plain(inputs.sum::<Option<f64>>()?))
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        LogicalPlan::Values(values) => Some(plain(values.values.len() as f64)),
        LogicalPlan::EmptyRelation(empty) => Some(plain(if empty.produce_one_row { 1.0 } else { 0.0 })),
        // What these give hangs on more than their input, or on rows of elsewhere.
        LogicalPlan::Unnest(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::RecursiveQuery(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_) => None,
    }
}

fn plain(rows: f64) -> Size {
    Size {
        rows,
        base: rows,
        columns: Columns::default(),
    }
}

fn limited(mut size: Size, fetch: Option<usize>) -> Size {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    if let Some(fetch) = fetch {
        size.rows = size.rows.min(fetch as f64);
        size.base = size.base.min(fetch as f64);
    }
    size
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn table(scan: &TableScan) -> Option<Size> {
    let provider = source_as_provider(&scan.source).ok()?;
    let told = provider.statistics()?;
    let rows = *told.num_rows.get_value()? as f64;
    let schema = provider.schema();
    // Conditions inside a scan may be on columns that do not leave it.
    let columns: Columns = schema
        .fields()
        .iter()
        .zip(&told.column_statistics)
        .map(|(field, known)| {
            let column = Column::new(Some(scan.table_name.clone()), field.name());
            (column, values(known, field.data_type(), rows))
        })
        .collect();
    let size = Size {
        rows: rows * passing(&scan.filters, &columns),
        base: rows,
        columns,
    };
    Some(limited(size, scan.fetch))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn values(known: &ColumnStatistics, data_type: &DataType, rows: f64) -> Values {
    let bound = |value: &Precision<_>| value.get_value().and_then(number);
    let bounds = bound(&known.min_value).zip(bound(&known.max_value));
    let counted = known.distinct_count.get_value().map(|count| *count as f64);
    let is_whole = data_type.is_integer() || matches!(data_type, DataType::Date32);
    let possible = bounds.filter(|_| is_whole).map(|(min, max)| max - min + 1.0);
    Values {
        distinct: counted.or(possible).map(|distinct| distinct.clamp(1.0, rows.max(1.0))),
        bounds,
        nulls: known.null_count.get_value().map(|nulls| *nulls as f64 / rows.max(1.0)),
        is_key: false,
    }
}

/// The columns that an expression chooses, under their names in the result.
fn projected(projection: &Projection, size: Size) -> Size {
    let mut columns = HashMap::new();
    for (expr, name) in projection.expr.iter().zip(projection.schema.columns()) {
        if let Some(known) = column_of(expr).and_then(|column| size.columns.get(column)) {
            columns.insert(name, *known);
        }
    }
    Size { columns, ..size }
}

fn renamed(plan: &LogicalPlan, input: &LogicalPlan, size: Size) -> Size {
    let names = input.schema().columns().into_iter().zip(plan.schema().columns());
    let columns = names.filter_map(|(old, new)| Some((new, *size.columns.get(&old)?)));
    Size {
        columns: columns.collect(),
        ..size
    }
}

/// One row for each group: as many as its columns have values together.
fn grouped(aggregate: &Aggregate, size: Size) -> Option<Size> {
    if aggregate.group_expr.is_empty() {
        return Some(plain(1.0));
    }
    if has_sets(aggregate) {
        return None;
    }
    let mut groups = 1.0_f64;
    // The engine groups by a constant beside the keys, to tell no group from an empty one.
    let varies = |expr: &&Expr| !is_one_value(expr);
    for expr in aggregate.group_expr.iter().filter(varies) {
        let known = column_of(expr).and_then(|column| size.columns.get(column));
        groups *= known.and_then(|known| known.distinct).unwrap_or(size.base);
    }
    let rows = groups.min(size.rows).max(1.0);
    let names = aggregate.group_expr.iter().zip(aggregate.schema.columns());
    let columns = names.map(|(expr, name)| {
        let known = column_of(expr).and_then(|column| size.columns.get(column));
        let mut known = known.copied().unwrap_or_default();
        known.distinct = known.distinct.map(|distinct| distinct.min(rows));
        known.is_key = aggregate.group_expr.iter().filter(varies).count() == 1;
        (name, known)
    });
    Some(Size {
        rows,
        base: rows,
        columns: columns.collect(),
    })
}

/// A join that is an input as a whole.
fn paired(join: &Join, left: Size, right: Size) -> Size {
    let mut matching = 1.0_f64;
    for (l, r) in &join.on {
        let distinct = |expr: &Expr, side: &Size| {
            let known = column_of(expr).and_then(|column| side.columns.get(column));
            known.and_then(|known| known.distinct)
        };
        let different = match (distinct(l, &left), distinct(r, &right)) {
            (Some(l), Some(r)) => l.max(r),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => left.base.min(right.base),
        };
        matching *= different.max(1.0);
    }
    matching = matching.min(left.base.min(right.base).max(1.0)).max(1.0);
    let mut columns = left.columns;
    columns.extend(right.columns);
    columns.values_mut().for_each(|known| known.is_key = false);
    let inner = left.rows * right.rows / matching * passing(&join.filter, &columns);
    let met = |rows: f64, other: f64| rows * (other / matching).min(1.0);
    let rows = match join.join_type {
        JoinType::Inner => inner,
        JoinType::Left => inner.max(left.rows),
        JoinType::Right => inner.max(right.rows),
        JoinType::Full => inner.max(left.rows + right.rows),
        JoinType::LeftSemi => met(left.rows, right.rows),
        JoinType::RightSemi => met(right.rows, left.rows),
        JoinType::LeftAnti => left.rows - met(left.rows, right.rows) * 0.9,
        JoinType::RightAnti => right.rows - met(right.rows, left.rows) * 0.9,
        JoinType::LeftMark => left.rows,
        JoinType::RightMark => right.rows,
    };
    let base = match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.base,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.base,
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => rows,
    };
    Size {
        rows: rows.max(0.0),
        base,
        columns,
    }
}
