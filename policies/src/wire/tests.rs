//! What is in a message, and what may not be.

use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, col, lit};
use datafusion::physical_plan::Partitioning;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion_proto::physical_plan::DefaultPhysicalProtoConverter;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;

use super::*;
use crate::barrier::slices;

const HIDDEN_MINIMUM: &str = "the-least-hidden-text";

fn system() -> Arc<SessionState> {
    Arc::new(SessionStateBuilder::new().with_default_features().build())
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("tx", DataType::Utf8, true)]))
}

/// A scan of one file, of which everything is known.
fn scan(limit: Option<usize>) -> Arc<dyn ExecutionPlan> {
    let mut known = Statistics::new_unknown(&schema());
    known.num_rows = Precision::Exact(77_777);
    known.column_statistics = vec![ColumnStatistics {
        min_value: Precision::Exact(ScalarValue::from(HIDDEN_MINIMUM)),
        ..ColumnStatistics::new_unknown()
    }];
    let file = PartitionedFile::new("t/a.parquet", 1_000).with_statistics(Arc::new(known.clone()));
    let source = ParquetSource::new(schema()).with_metadata_size_hint(1);
    let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file_groups(vec![FileGroup::new(vec![file])])
        .with_statistics(known)
        .with_limit(limit);
    DataSourceExec::from_data_source(scan.build())
}

fn below(plan: Arc<dyn ExecutionPlan>) -> Below {
    Below {
        plan,
        system: system(),
        table: "lab.s.t".to_owned(),
        schema: schema(),
        residue: Residue::Hidden,
        rows: Rows {
            estimate: Some(77_777),
            learn: None,
        },
        rechunk: true,
        partitions: 2,
        keyed: false,
    }
}

fn bytes(below: &Below) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let codec = super::super::codec(system());
    codec.try_encode(
        Arc::new(BarrierExec::new(below.clone())),
        &mut bytes,
        &DefaultPhysicalProtoConverter {},
    )?;
    Ok(bytes)
}

fn back(bytes: &[u8]) -> Result<Arc<dyn ExecutionPlan>> {
    let codec = super::super::codec(system());
    codec.try_decode(bytes, &[], &TaskContext::default(), &DefaultPhysicalProtoConverter {})
}

/// The message after a change to what is below.
fn with(change: impl Fn(&mut Scan, &mut PhysicalPlanNode)) -> Vec<u8> {
    let mut scan_message = Scan::decode(bytes(&below(filtered(scan(None)))).unwrap().as_slice()).unwrap();
    let mut node = PhysicalPlanNode::decode(scan_message.below.as_slice()).unwrap();
    change(&mut scan_message, &mut node);
    scan_message.below = node.encode_to_vec();
    scan_message.encode_to_vec()
}

fn filtered(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(FilterExec::try_new(chain(1, false), plan).unwrap())
}

/// `tx = 'a' OR tx = 'a' OR …`, leaning to the left, or to the right.
fn chain(count: usize, right: bool) -> Arc<dyn PhysicalExpr> {
    let one = || -> Arc<dyn PhysicalExpr> {
        let tx = col("tx", schema().as_ref()).unwrap();
        Arc::new(BinaryExpr::new(tx, Operator::Eq, lit("a")))
    };
    (1..count).fold(one(), |so_far, _| {
        let (left, right) = if right { (one(), so_far) } else { (so_far, one()) };
        Arc::new(BinaryExpr::new(left, Operator::Or, right))
    })
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn below_of(plan: &Arc<dyn ExecutionPlan>) -> &Below {
    plan.downcast_ref::<BarrierExec>().unwrap().below()
}

#[test]
fn nothing_known_of_the_files_is_in_the_message_and_footers_are_read_at_once() {
    let below = below(filtered(scan(None)));
    let told = bytes(&below).unwrap();
    assert!(!holds(&told, HIDDEN_MINIMUM));
    // The engine's own message has it.
    let raw = DefaultPhysicalProtoConverter {}
        .execution_plan_to_proto(&below.plan, &super::super::codec(system()))
        .unwrap();
    assert!(holds(&raw.encode_to_vec(), HIDDEN_MINIMUM));

    let read = back(&told).unwrap();
    let Some(Leaf::Files(config, source)) = leaf(&below_of(&read).plan) else {
        panic!("a scan of files went out");
    };
    assert_eq!(config.statistics(), Statistics::new_unknown(&schema()));
    assert!(
        format!("{source:?}").contains("metadata_size_hint: Some(524288), projection"),
        "{source:?}"
    );
    assert!(below_of(&read).rows.estimate.is_none() && below_of(&read).rows.learn.is_none());
    assert!(below_of(&read).rechunk && below_of(&read).residue == Residue::Hidden);
    assert_eq!(
        (below_of(&read).partitions, below_of(&read).schema.as_ref()),
        (2, schema().as_ref())
    );

    // What is not there stands for the careful choice.
    let open = Below {
        residue: Residue::Nothing,
        rechunk: false,
        ..below
    };
    let open = back(&bytes(&open).unwrap()).unwrap();
    assert!(!below_of(&open).rechunk && below_of(&open).residue == Residue::Nothing);
}

#[test]
fn limits_beyond_32_bits_do_not_wrap() {
    let limit_of = |plan: &Arc<dyn ExecutionPlan>| match leaf(&below_of(plan).plan) {
        Some(Leaf::Files(config, _)) => config.limit,
        _ => panic!("a scan of files went out"),
    };
    for (limit, read) in [
        (Some(5), Some(5)),
        (Some(1 << 32), None),
        (Some((1 << 32) + 5), None),
        (None, None),
    ] {
        let told = bytes(&below(scan(limit))).unwrap();
        assert_eq!(limit_of(&back(&told).unwrap()), read, "{limit:?}");
    }
    for above in [5, (1 << 32) + 5] {
        let limits: [Arc<dyn ExecutionPlan>; 4] = [
            Arc::new(datafusion::physical_plan::limit::LocalLimitExec::new(scan(None), above)),
            Arc::new(GlobalLimitExec::new(scan(None), above, None)),
            Arc::new(CoalescePartitionsExec::new(scan(None)).with_fetch(Some(above))),
            filtered(scan(None)).with_fetch(Some(above)).unwrap(),
        ];
        for limit in limits {
            assert_eq!(bytes(&below(limit)).is_ok(), above == 5);
        }
    }
}

#[test]
fn what_has_to_stay_is_refused() {
    let keyed = Below {
        keyed: true,
        ..below(scan(None))
    };
    let sorted =
        datafusion::physical_expr::LexOrdering::new([datafusion::physical_expr::PhysicalSortExpr::new_default(
            col("tx", schema().as_ref()).unwrap(),
        )]);
    let sorted = Arc::new(SortExec::new(sorted.unwrap(), scan(None)));
    let hash = Partitioning::Hash(vec![col("tx", schema().as_ref()).unwrap()], 2);
    let dealt = Arc::new(RepartitionExec::try_new(scan(None), hash).unwrap());
    for refused in [keyed, below(sorted), below(dealt)] {
        let error = bytes(&refused).unwrap_err().to_string();
        assert!(!error.contains("parquet") && !error.contains("tx"), "{error}");
        assert!(
            slices(&(Arc::new(BarrierExec::new(refused)) as Arc<dyn ExecutionPlan>), 2)
                .unwrap()
                .is_none()
        );
    }
}

#[test]
fn what_is_sent_is_read_however_long_it_is() {
    let with = |condition| below(Arc::new(FilterExec::try_new(condition, scan(None)).unwrap()));
    for (count, right, goes) in [
        (40, true, true),
        (90, true, false),
        (1_000, false, true),
        (2_000, false, false),
    ] {
        let told = bytes(&with(chain(count, right)));
        assert_eq!(told.is_ok(), goes, "{count} {right}");
        assert!(told.is_err() || back(&told.unwrap()).is_ok());
    }
}

#[test]
fn hostile_messages_are_errors() {
    assert!(back(&with(|_, _| ())).is_ok());
    let refused = |change: &dyn Fn(&mut Scan, &mut PhysicalPlanNode)| {
        let error = back(&with(change)).unwrap_err().to_string();
        assert!(!error.contains(".parquet") && !error.contains("tx"), "{error}");
        error
    };
    let scan_of = |node: &mut PhysicalPlanNode, change: &dyn Fn(&mut protobuf::ParquetScanExecNode)| {
        let Some(PhysicalPlanType::Filter(filter)) = &mut node.physical_plan_type else {
            panic!("a filter went out");
        };
        match &mut filter.input.as_mut().unwrap().physical_plan_type {
            Some(PhysicalPlanType::ParquetScan(scan)) => change(scan),
            _ => panic!("a scan went out"),
        }
    };
    refused(&|scan, _| scan.mark += 1);
    for partitions in [0, 4_097, u64::MAX] {
        assert!(refused(&|scan, _| scan.partitions = partitions).contains("1 to 4096 partitions"));
    }
    refused(&|scan, _| scan.schema = None);
    refused(&|_, node| node.physical_plan_type = None);
    refused(&|_, node| {
        let inner = Box::new(node.clone());
        let write = protobuf::JsonSinkExecNode {
            input: Some(inner),
            ..Default::default()
        };
        node.physical_plan_type = Some(PhysicalPlanType::JsonSink(Box::new(write)));
    });
    refused(&|_, node| {
        let empty = protobuf::EmptyExecNode {
            schema: None,
            partitions: u32::MAX,
        };
        node.physical_plan_type = Some(PhysicalPlanType::Empty(empty));
    });
    refused(&|_, node| {
        let Some(PhysicalPlanType::Filter(filter)) = &mut node.physical_plan_type else {
            return;
        };
        filter.batch_size = 0;
    });
    let changes: [&dyn Fn(&mut protobuf::ParquetScanExecNode); 9] = [
        &|scan| scan.base_conf = None,
        &|scan| scan.parquet_options = None,
        // The engine unwraps this one.
        &|scan| scan.parquet_options.as_mut().unwrap().global = None,
        &|scan| scan.base_conf.as_mut().unwrap().projection = vec![9],
        &|scan| scan.base_conf.as_mut().unwrap().statistics = None,
        &|scan| scan.base_conf.as_mut().unwrap().file_groups.clear(),
        &|scan| scan.base_conf.as_mut().unwrap().object_store_url = "labhouse-lake://unknown/".to_owned(),
        &|scan| {
            let file = &mut scan.base_conf.as_mut().unwrap().file_groups[0].files[0];
            file.range = Some(protobuf::FileRange { start: 9, end: 3 });
        },
        &|scan| {
            let file = &mut scan.base_conf.as_mut().unwrap().file_groups[0].files[0];
            file.path = "a//../b".to_owned();
        },
    ];
    for change in changes {
        refused(&|_, node| scan_of(node, change));
    }
    // A panic inside the engine's reader comes out as an error: a column that is not there has no type.
    let other = back(&with(|_, node| {
        scan_of(node, &|scan| {
            let exprs = scan.base_conf.as_mut().unwrap().projection_exprs.as_mut().unwrap();
            let column = protobuf::PhysicalColumn {
                name: "tx".to_owned(),
                index: 99,
            };
            exprs.projections[0].expr.as_mut().unwrap().expr_type =
                Some(protobuf::physical_expr_node::ExprType::Column(column));
        })
    }));
    assert!(other.is_err());
}
