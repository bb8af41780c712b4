//! One governed scan as one message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{Constraints, Statistics, not_impl_err, plan_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{self, PhysicalPlanNode};
use prost::Message;

use super::closed;
use crate::barrier::under::{Leaf, leaf, on_leaf};
use crate::barrier::{BarrierExec, Below, Residue, Rows, below_context, can_sanitise, redact};

/// The first bytes of a message, so that another codec's is told apart. It changes with the message.
const MARK: u32 = u32::from_le_bytes(*b"LHg1");
/// Bytes from a Parquet file's end to fetch at once, as the catalog's scans do. The engine's message leaves the number out.
const FOOTER_BYTES_HINT: u32 = 512 * 1024;
/// The largest such number that is taken from a message.
const FOOTER_BYTES_HINT_MAX: u32 = 16 << 20;
/// Units that old times of Parquet files may be read in; the engine panics over another word.
const INT96_UNITS: [&str; 4] = ["ns", "us", "ms", "s"];

/// What is not there stands for the careful choice.
#[derive(Clone, PartialEq, Message)]
struct Scan {
    #[prost(fixed32, tag = "1")]
    mark: u32,
    #[prost(string, tag = "2")]
    table: String,
    /// The public schema.
    #[prost(message, optional, tag = "3")]
    schema: Option<protobuf::Schema>,
    /// Every row and value is shown as it is: arrays need not be rebuilt.
    #[prost(bool, tag = "4")]
    nothing_hidden: bool,
    /// No row is left out: batches need not be cut anew.
    #[prost(bool, tag = "5")]
    sizes_shown: bool,
    #[prost(uint64, tag = "6")]
    partitions: u64,
    #[prost(uint32, tag = "7")]
    footer_bytes_hint: u32,
    /// What is below, as the engine's message.
    #[prost(bytes = "vec", tag = "8")]
    below: Vec<u8>,
}

/// Writes a scan to the end of `buf`, or nothing.
///
/// # Errors
/// The scan has to stay here; or the engine's, redacted: it prints the plan.
pub(super) fn encode(
    below: &Below,
    buf: &mut Vec<u8>,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<()> {
    if below.keyed {
        return not_impl_err!("a scan with the policy secret stays on the node that has it");
    }
    if leaf(&below.plan).is_none() {
        return not_impl_err!("only scans of plain Parquet files travel");
    }
    closed::partitions(below.partitions as u64)?;
    let hidden = |error: DataFusionError| redact(&error, &below.table);
    let plan = on_leaf(&below.plan, &bare).map_err(hidden)?;
    if !counts_fit(&plan) {
        return not_impl_err!("a limit of more than {} rows does not travel", u32::MAX);
    }
    let node = converter.execution_plan_to_proto(&plan, codec).map_err(hidden)?;
    closed::check(&node)?;
    let bytes = node.encode_to_vec();
    if PhysicalPlanNode::decode(bytes.as_slice()).is_err() {
        return not_impl_err!("a condition or mask nested so deep does not travel");
    }
    let schema = protobuf::Schema::try_from(below.schema.as_ref()).map_err(|e| hidden(e.into()))?;
    let scan = Scan {
        mark: MARK,
        table: below.table.clone(),
        schema: Some(schema),
        nothing_hidden: below.residue == Residue::Nothing,
        sizes_shown: !below.rechunk,
        partitions: below.partitions as u64,
        footer_bytes_hint: FOOTER_BYTES_HINT,
        below: bytes,
    };
    buf.extend(scan.encode_to_vec());
    Ok(())
}

/// Reads a scan that [`encode`] wrote. It runs with the settings and functions of `system`, expects no number of rows and
/// learns none.
///
/// # Errors
/// The message is of something else or damaged; its store, a function or a type is not known here; or it is out of bounds.
pub(super) fn decode(
    buf: &[u8],
    system: &Arc<SessionState>,
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let scan = match Scan::decode(buf) {
        Ok(scan) if scan.mark == MARK => scan,
        _ => return not_impl_err!("the message is no governed scan of this version"),
    };
    let context = below_context(system, context);
    // The engine's reader unwraps what its writer always writes.
    let read = catch_unwind(AssertUnwindSafe(|| read(&scan, &context, codec, converter)));
    let (plan, schema) = read.unwrap_or_else(|_| plan_err!("the message of a governed scan is damaged"))?;
    Ok(Arc::new(BarrierExec::new(Below {
        plan,
        system: Arc::clone(system),
        table: scan.table,
        schema: Arc::new(schema),
        residue: match scan.nothing_hidden {
            true => Residue::Nothing,
            false => Residue::Hidden,
        },
        rows: Rows::default(),
        rechunk: !scan.sizes_shown,
        partitions: usize::try_from(scan.partitions).unwrap_or(usize::MAX),
        keyed: false,
    })))
}

/// The plan below and the public schema.
fn read(
    scan: &Scan,
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<(Arc<dyn ExecutionPlan>, Schema)> {
    let hidden = |error: DataFusionError| redact(&error, &scan.table);
    closed::partitions(scan.partitions)?;
    let (Some(schema), Ok(node)) = (&scan.schema, PhysicalPlanNode::decode(scan.below.as_slice())) else {
        return plan_err!("the message of a governed scan is damaged: a part is missing");
    };
    closed::check(&node)?;
    let schema = Schema::try_from(schema).map_err(|e| hidden(e.into()))?;
    if !scan.nothing_hidden && !schema.fields().iter().all(|field| can_sanitise(field.data_type())) {
        return plan_err!("a column has a type from which hidden values cannot be removed");
    }
    let context = PhysicalPlanDecodeContext::new(context, codec);
    let plan = converter.proto_to_execution_plan(&node, &context).map_err(hidden)?;
    let hint = scan.footer_bytes_hint.min(FOOTER_BYTES_HINT_MAX);
    let plan = on_leaf(&plan, &|leaf| hinted(leaf, hint as usize))?;
    if plan.output_partitioning().partition_count() as u64 > scan.partitions {
        return plan_err!("a governed scan has more partitions below than above");
    }
    if plan.schema().fields().len() != schema.fields().len() {
        return plan_err!("a governed scan has other columns below than above");
    }
    Ok((plan, schema))
}

/// The scan without what need not be known to read its files. A limit that the engine's message has no room for is left
/// out: more rows come, and what stands above the barrier counts them in any case.
fn bare(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(Leaf::Files(config, _)) = leaf(plan) else {
        return Ok(Arc::clone(plan));
    };
    let bare = |file: &PartitionedFile| PartitionedFile {
        statistics: None,
        ordering: None,
        ..file.clone()
    };
    let groups = config.file_groups.iter();
    let groups = groups.map(|group| FileGroup::new(group.files().iter().map(bare).collect()));
    let limit = config.limit.filter(|limit| u32::try_from(*limit).is_ok());
    let unknown = Statistics::new_unknown(config.file_source().table_schema().table_schema());
    let scan = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(groups.collect())
        .with_statistics(unknown)
        .with_constraints(Constraints::default())
        .with_output_ordering(Vec::new())
        .with_output_partitioning(None)
        .with_limit(limit);
    Ok(DataSourceExec::from_data_source(scan.build()))
}

/// Whether the engine's message has room for all limits: it cuts off what is above 32 bits.
fn counts_fit(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let fits = |rows: usize| u32::try_from(rows).is_ok();
    let skips = plan.downcast_ref::<GlobalLimitExec>().map(GlobalLimitExec::skip);
    plan.fetch().is_none_or(fits) && skips.is_none_or(fits) && plan.children().into_iter().all(counts_fit)
}

/// The scan with footers fetched as the catalog does.
fn hinted(plan: &Arc<dyn ExecutionPlan>, footer_bytes_hint: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(Leaf::Files(config, source)) = leaf(plan) else {
        return Ok(Arc::clone(plan));
    };
    let unit = source.table_parquet_options().global.coerce_int96.as_deref();
    if unit.is_some_and(|unit| !INT96_UNITS.iter().any(|known| known.eq_ignore_ascii_case(unit))) {
        return plan_err!("the message of a governed scan is damaged: no unit of time");
    }
    let source = source.clone().with_metadata_size_hint(footer_bytes_hint);
    let scan = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source));
    Ok(DataSourceExec::from_data_source(scan.build()))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests build the session that the server builds in src/session"
)]
#[path = "tests.rs"]
mod tests;
