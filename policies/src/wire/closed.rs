//! What may be in a message, checked on both sides: what is sent here is read there. The list is closed. It keeps a damaged
//! or hostile message from anything but an error: plans that write, numbers that reserve memory, fields whose absence the
//! engine's decoder takes for a mistake of its own, and expressions so high that walking them ends the process.

use datafusion::common::{not_impl_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion_proto::protobuf::partitioning::PartitionMethod;
use datafusion_proto::protobuf::physical_expr_node::ExprType;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use datafusion_proto::protobuf::{
    FileScanExecConf, ParquetScanExecNode, PartitionedFile, PhysicalExprNode, PhysicalPlanNode,
};

/// Partitions of a scan at most. They follow the cores of a node.
pub(super) const PARTITIONS_MAX: u64 = 4_096;
/// Rows in a batch at most.
const BATCH_ROWS_MAX: u64 = 1 << 20;
/// Height of an expression at most. A policy's SQL has at most 1,000 words, and a few are joined; chains of a user's
/// conditions may be longer and then stay where they were planned.
const HEIGHT_MAX: usize = 1_024;

/// Accepts a plan of nothing but the steps and leaves that may stand below a barrier.
///
/// # Errors
/// Something else is in it, or a number is out of bounds. The text holds nothing of the plan.
pub(super) fn check(plan: &PhysicalPlanNode) -> Result<()> {
    let mut at = plan;
    loop {
        let below = match &at.physical_plan_type {
            Some(PhysicalPlanType::Filter(filter)) => {
                condition(filter.expr.as_ref())?;
                rows_in_batch(u64::from(filter.batch_size))?;
                &filter.input
            }
            Some(PhysicalPlanType::Projection(projection)) => {
                projection.expr.iter().try_for_each(expression)?;
                &projection.input
            }
            Some(PhysicalPlanType::Repartition(repartition)) => {
                match repartition
                    .partitioning
                    .as_ref()
                    .and_then(|p| p.partition_method.as_ref())
                {
                    Some(PartitionMethod::RoundRobin(count)) if !repartition.preserve_order => partitions(*count)?,
                    _ => return not_impl_err!("below a barrier rows are only dealt out in turn"),
                }
                &repartition.input
            }
            Some(PhysicalPlanType::Cooperative(cooperative)) => &cooperative.input,
            Some(PhysicalPlanType::GlobalLimit(limit)) if limit.required_ordering.is_empty() => &limit.input,
            Some(PhysicalPlanType::LocalLimit(limit)) if limit.required_ordering.is_empty() => &limit.input,
            Some(PhysicalPlanType::Merge(merge)) => &merge.input,
            Some(PhysicalPlanType::Empty(empty)) => return partitions(u64::from(empty.partitions)),
            Some(PhysicalPlanType::ParquetScan(scan)) => return files(scan),
            _ => return not_impl_err!("a step of this kind does not travel below a barrier"),
        };
        at = below.as_deref().ok_or_else(missing)?;
    }
}

/// Whether a number of partitions is one of a real scan.
///
/// # Errors
/// None, or more than [`PARTITIONS_MAX`].
pub(super) fn partitions(count: u64) -> Result<()> {
    match count {
        1..=PARTITIONS_MAX => Ok(()),
        _ => plan_err!("a governed scan that travels has 1 to {PARTITIONS_MAX} partitions, not {count}"),
    }
}

fn rows_in_batch(rows: u64) -> Result<()> {
    match rows {
        1..=BATCH_ROWS_MAX => Ok(()),
        _ => plan_err!("a batch below a barrier that travels has 1 to {BATCH_ROWS_MAX} rows, not {rows}"),
    }
}

fn missing() -> DataFusionError {
    DataFusionError::Plan("the message of a governed scan is damaged: a part is missing".to_owned())
}

fn files(scan: &ParquetScanExecNode) -> Result<()> {
    let conf = scan.base_conf.as_ref().ok_or_else(missing)?;
    scan.predicate.iter().try_for_each(expression)?;
    let options = scan.parquet_options.as_ref().ok_or_else(missing)?;
    if options.global.is_none() || conf.schema.is_none() || conf.statistics.is_none() {
        return Err(missing());
    }
    let mut projected = conf.projection_exprs.iter().flat_map(|exprs| &exprs.projections);
    projected.try_for_each(|projected| condition(projected.expr.as_ref()))?;
    conf.batch_size.map_or(Ok(()), rows_in_batch)?;
    partitions(conf.file_groups.len() as u64)?;
    let unordered = conf.output_ordering.is_empty() && conf.output_partitioning.is_none();
    let unconstrained = conf
        .constraints
        .as_ref()
        .is_some_and(|known| known.constraints.is_empty());
    if !unordered || !unconstrained || !conf.projection.is_empty() {
        return not_impl_err!("what a scan promises of its rows does not travel");
    }
    let mut each = conf.file_groups.iter().flat_map(|group| &group.files);
    match each.all(|file| is_sound(file, conf)) {
        true => Ok(()),
        false => plan_err!("the message of a governed scan is damaged: a file is described wrongly"),
    }
}

/// A file with a value for each partition column, a range that is one, and no statistics.
fn is_sound(file: &PartitionedFile, conf: &FileScanExecConf) -> bool {
    let range = file.range.as_ref();
    file.partition_values.len() == conf.table_partition_cols.len()
        && file.statistics.is_none()
        && range.is_none_or(|range| 0 <= range.start && range.start <= range.end)
}

fn condition(expr: Option<&PhysicalExprNode>) -> Result<()> {
    expression(expr.ok_or_else(missing)?)
}

fn expression(expr: &PhysicalExprNode) -> Result<()> {
    match height(expr)? {
        0..=HEIGHT_MAX => Ok(()),
        _ => not_impl_err!("an expression higher than {HEIGHT_MAX} does not travel"),
    }
}

/// Steps from the root to the deepest part, at most. Operands of one operator are a chain when they are read.
fn height(expr: &PhysicalExprNode) -> Result<usize> {
    fn one(part: &Option<Box<PhysicalExprNode>>) -> Vec<&PhysicalExprNode> {
        part.as_deref().into_iter().collect()
    }
    let mut chain = 1;
    let parts: Vec<&PhysicalExprNode> = match &expr.expr_type {
        Some(ExprType::Column(_) | ExprType::Literal(_)) => Vec::new(),
        Some(ExprType::BinaryExpr(e)) => {
            chain = e.operands.len().max(1);
            let two = e.l.as_deref().into_iter().chain(e.r.as_deref());
            two.chain(&e.operands).collect()
        }
        Some(ExprType::IsNullExpr(e)) => one(&e.expr),
        Some(ExprType::IsNotNullExpr(e)) => one(&e.expr),
        Some(ExprType::NotExpr(e)) => one(&e.expr),
        Some(ExprType::Negative(e)) => one(&e.expr),
        Some(ExprType::Cast(e)) => one(&e.expr),
        Some(ExprType::TryCast(e)) => one(&e.expr),
        Some(ExprType::LikeExpr(e)) => e.expr.as_deref().into_iter().chain(e.pattern.as_deref()).collect(),
        Some(ExprType::InList(e)) => e.expr.as_deref().into_iter().chain(&e.list).collect(),
        Some(ExprType::Case(e)) => {
            let ends = e.expr.as_deref().into_iter().chain(e.else_expr.as_deref());
            let arms = e.when_then_expr.iter();
            let arms = arms.flat_map(|arm| arm.when_expr.iter().chain(&arm.then_expr));
            ends.chain(arms).collect()
        }
        Some(ExprType::ScalarUdf(e)) => e.args.iter().collect(),
        _ => return not_impl_err!("an expression of this kind does not travel below a barrier"),
    };
    let mut deepest = 0;
    for part in parts {
        deepest = deepest.max(height(part)?);
    }
    Ok(deepest + chain)
}
