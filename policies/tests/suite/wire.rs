//! Governed scans that travel to another node: the same rows, the same looks, and nothing that was hidden.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use labhouse_policies::{PolicySet, Principal, is_governed_scan, scan_bytes, slices, wire};

use crate::attacks::leaks;
use crate::fixture::{
    ABSENT_NUMBER, FILTERS, FORBIDDEN_NUMBER, FORBIDDEN_TEXT, HIDDEN_COLUMN_TEXT, Kept, Lab, POLICY, RAW_MASKED_TEXT,
    SECRET, User, batch, load,
};
use crate::lake::{CONVERTER, Lake, STORE, ana, holds, policies};

/// How many of the cases are there for their masks.
const MASKS: usize = 9;

/// Masks and row filters of each kind that travels.
fn cases() -> Vec<PolicySet> {
    let mut cases: Vec<PolicySet> = [
        ("m", "kind = \"null\""),
        ("m", "kind = \"constant\"\nvalue = \"covered\""),
        ("m", "kind = \"partial\"\nkeep = 5"),
        ("n", "kind = \"bucket\"\nwidth = 10"),
        ("f", "kind = \"bucket\"\nwidth = 0.5"),
        ("m", "sql = \"concat(left(m, 4), '-', upper(dept))\""),
        (
            "m",
            "sql = \"CASE WHEN n > 1200 THEN m WHEN flag THEN 'flagged' ELSE NULL END\"",
        ),
    ]
    .map(|(column, mask)| policies("dept = 'chem'", column, mask))
    .into();
    let units = ["quarter", "week"];
    cases.extend(units.map(|unit| {
        let mask = format!("kind = \"date_trunc\"\nunit = \"{unit}\"");
        policies("dept = 'chem'", "d", &mask)
    }));
    cases.extend(
        [
            "dept IN ($user.projects)",
            "array_has($user.projects, dept)",
            "f >= 0.5 OR f IS NULL",
            "NOT (tx LIKE 'forbidden%') AND n BETWEEN 1000 AND 1900",
            "starts_with(dept, 'ch') AND d <= current_date() AND site = 's1'",
            "flag IS NOT TRUE AND try_cast(tx AS INT) < 40",
            "coalesce(dept, 'chem') = 'chem' AND nullif(tx, '3') IS NOT NULL",
        ]
        .map(|filter| policies(filter, "m", "kind = \"partial\"\nkeep = 3")),
    );
    cases
}

fn looks(plan: &Arc<dyn ExecutionPlan>) -> String {
    let text = displayable(plan.as_ref());
    format!("{}{}{plan:?}", text.indent(true), text.tree_render())
}

/// A scan, and the same after it travelled: equal rows, equal looks. Gives the number of lines.
async fn comes_back_equal(lake: &Lake, plan: &Arc<dyn ExecutionPlan>) -> usize {
    let bytes = lake.here.write(plan).unwrap();
    let back = lake.there.read(&bytes).unwrap();
    let rows = lake.here.rows(std::slice::from_ref(plan)).await;
    assert_eq!(lake.there.rows(std::slice::from_ref(&back)).await, rows);
    assert_eq!(looks(&back), looks(plan));
    assert_eq!(back.schema(), plan.schema());
    assert_eq!(back.output_partitioning().partition_count(), 3);
    assert!(back.children().is_empty() && back.metrics().is_none() && is_governed_scan(&back));
    rows.len()
}

/// The same in parts, more than there are files.
async fn parts_come_back_equal(lake: &Lake, plan: &Arc<dyn ExecutionPlan>) {
    let send = |part| lake.there.read(&lake.here.write(&part).unwrap()).unwrap();
    let parts: Vec<_> = slices(plan, 6).unwrap().unwrap().into_iter().map(send).collect();
    let whole = Arc::clone(plan).reset_state().unwrap();
    assert_eq!(lake.there.rows(&parts).await, lake.here.rows(&[whole]).await);
}

#[tokio::test]
async fn what_comes_back_gives_the_same_and_looks_the_same() {
    let all = || col("n").gt(lit(1_500i64));
    for pushdown in [false, true] {
        let lake = Lake::new(&batch(0), pushdown).await;
        let mut rows = 0;
        // How a mask is made does not depend on where the filter runs.
        for set in cases().split_off(if pushdown { MASKS } else { 0 }) {
            for (columns, filters) in [
                (None, vec![]),
                (Some(vec![]), vec![]),
                (Some(vec![4, 0, 5, 7, 8]), vec![col("id").gt(lit(300i64))]),
                (None, vec![col("id").eq(lit(7i64)), col("site").eq(lit("s0"))]),
            ] {
                let plan = lake.scan(&set, columns, &filters).await;
                rows += comes_back_equal(&lake, &plan).await;
                if filters.is_empty() {
                    parts_come_back_equal(&lake, &plan).await;
                }
            }
        }
        let set = policies("dept = 'chem'", "m", "kind = \"partial\"\nkeep = 3");
        for filters in [
            vec![all()],
            vec![
                all(),
                col("tx").not_eq(lit(ScalarValue::Utf8View(Some("7".to_owned())))),
            ],
            vec![col("n").eq(lit(FORBIDDEN_NUMBER))],
            vec![col("n").eq(lit(ABSENT_NUMBER))],
            vec![col("d").is_not_null(), col("flag").is_null()],
            vec![col("n").in_list(vec![lit(1_000i64), lit(1_001i64), lit(1_002i64)], false)],
        ] {
            rows += comes_back_equal(&lake, &lake.scan(&set, None, &filters).await).await;
        }
        assert!(rows > 5_000, "{rows}");
    }
}

/// `id`, `dept`, `run {operator, temp}` and `steps [{name, by}]`.
fn nested_rows() -> RecordBatch {
    let texts =
        |what: &str| Arc::new(StringArray::from_iter_values((0..60).map(|n| format!("{what}-{n}")))) as ArrayRef;
    let numbers = || Arc::new(Int64Array::from_iter_values(0..60)) as ArrayRef;
    let field = |name: &str, of: DataType| Arc::new(Field::new(name, of, true));
    let run: Fields = vec![field("operator", DataType::Utf8), field("temp", DataType::Int64)].into();
    let step: Fields = vec![field("name", DataType::Utf8), field("by", DataType::Utf8)].into();
    let runs = StructArray::new(run, vec![texts(HIDDEN_COLUMN_TEXT), numbers()], None);
    let steps = StructArray::new(step.clone(), vec![texts("wash"), texts(HIDDEN_COLUMN_TEXT)], None);
    let item = field("item", DataType::Struct(step));
    let steps = ListArray::new(item, OffsetBuffer::from_lengths([2; 30]), Arc::new(steps), None);
    let dept = StringArray::from_iter_values((0..30).map(|n| if n % 3 == 0 { "secret" } else { "chem" }));
    RecordBatch::try_from_iter_with_nullable([
        ("id", numbers().slice(0, 30), true),
        ("dept", Arc::new(dept) as ArrayRef, true),
        ("run", Arc::new(runs.slice(0, 30)) as ArrayRef, true),
        ("steps", Arc::new(steps) as ArrayRef, true),
    ])
    .unwrap()
}

#[tokio::test]
async fn columns_in_part_travel_and_masks_inside_them_do_not() {
    let lake = Lake::new(&nested_rows(), false).await;
    let of = |rules: &str, filters: &str| load(&format!("{POLICY}{rules}"), &format!("{FILTERS}{filters}")).unwrap();
    let deny = |path: &str| format!("p, role:analyst, chemistry, lab/chemistry/t/{path}, select, deny\n");
    for rules in [
        deny("run/operator"),
        deny("steps/by"),
        deny("run/temp") + deny("steps/by").as_str(),
    ] {
        let plan = lake.scan(&of(&rules, ""), None, &[]).await;
        assert_eq!(comes_back_equal(&lake, &plan).await, 21);
        parts_come_back_equal(&lake, &plan).await;
        let names = format!("{:?}", plan.schema());
        for (path, name) in [("run/operator", "operator"), ("run/temp", "temp"), ("steps/by", "by")] {
            assert_ne!(names.contains(&format!("{name:?}")), rules.contains(path), "{names}");
        }
        assert!(!holds(&lake.here.write(&plan).unwrap(), HIDDEN_COLUMN_TEXT));
    }
    let rule = "p3, role:analyst, chemistry, lab/chemistry/t/run/operator, inner\n";
    for (how, keyed) in [("kind = \"partial\"\nkeep = 1", false), ("kind = \"hash\"", true)] {
        let filter = format!("[mask.inner]\ncolumn = \"lab/chemistry/t/run/operator\"\n{how}\n");
        let set = of(rule, &filter);
        assert_eq!(lake.access(&set, &ana()).keyed, keyed);
        let error = lake.here.write(&lake.scan(&set, None, &[]).await).unwrap_err();
        assert!(
            !error.contains("Partial") && !error.contains("operator") && !error.contains("FilterExec"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn whole_statements_travel_with_their_scans() {
    let lake = Lake::new(&batch(0), false).await;
    for set in [
        policies("dept = 'chem'", "m", "kind = \"partial\"\nkeep = 3"),
        load(POLICY, FILTERS).unwrap(),
    ] {
        let open = !lake.access(&set, &ana()).keyed;
        let user = SessionContext::new_with_config_rt(
            SessionConfig::new().with_target_partitions(3),
            lake.here.context.runtime_env(),
        );
        user.register_table("t", lake.governed(&set, &ana())).unwrap();
        for sql in [
            "SELECT dept, count(*), sum(n), min(m) FROM t GROUP BY dept",
            "SELECT a.id, b.m FROM t a JOIN t b ON a.id = b.n - 1000 WHERE a.n < 1100 ORDER BY a.id LIMIT 30",
        ] {
            let plan = user.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            let here = wire::codec(Arc::clone(&lake.here.system));
            let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &here);
            assert_eq!(bytes.is_ok(), open, "{sql}");
            let Ok(bytes) = bytes else {
                continue;
            };
            let there = wire::codec(Arc::clone(&lake.there.system));
            let back = physical_plan_from_bytes_with_extension_codec(&bytes, &lake.there.task(), &there).unwrap();
            assert_eq!(lake.there.rows(&[back]).await, lake.here.rows(&[plan]).await, "{sql}");
        }
    }
}

#[tokio::test]
async fn the_message_holds_no_secret_no_statistic_and_no_place() {
    let lake = Lake::new(&batch(0), true).await;
    // What could leak is there: the raw scan's message has it.
    let state = lake.here.context.state();
    let raw = lake.raw.scan(&state, None, &[], None).await.unwrap();
    let here = wire::codec(Arc::clone(&lake.here.system));
    let raw = physical_plan_to_bytes_with_extension_codec(raw, &here).unwrap();
    assert!(holds(&raw, FORBIDDEN_TEXT) && holds(&raw, HIDDEN_COLUMN_TEXT) && holds(&raw, RAW_MASKED_TEXT));
    let place = lake.dir.path().file_name().unwrap().to_str().unwrap().to_owned();
    for set in cases() {
        let plan = lake.scan(&set, None, &[col("id").lt(lit(900i64))]).await;
        let bytes = lake.here.write(&plan).unwrap();
        for hidden in [
            FORBIDDEN_TEXT,
            HIDDEN_COLUMN_TEXT,
            RAW_MASKED_TEXT,
            SECRET,
            place.as_str(),
            "secret-department",
        ] {
            assert!(!holds(&bytes, hidden), "{hidden}");
        }
        assert!(holds(&bytes, STORE), "the store goes by its name");
    }
}

#[tokio::test]
async fn what_holds_the_secret_stays() {
    let lake = Lake::new(&batch(0), false).await;
    let salted = "sql = \"encode(sha256(concat($secret.salt, m)), 'hex')\"";
    let partial = "kind = \"partial\"\nkeep = 3";
    for (set, keyed) in [
        (load(POLICY, FILTERS).unwrap(), true),
        (policies("dept = 'chem'", "m", salted), true),
        (
            policies("encode(sha256(concat($secret.salt, tx)), 'hex') > '8'", "m", partial),
            true,
        ),
        (policies("dept = 'chem'", "m", partial), false),
    ] {
        let access = lake.access(&set, &ana());
        assert_eq!(access.keyed, keyed);
        assert!(!format!("{access:?}").contains("keyed"));
        assert!(
            !lake.access(&set, &Principal::new("ada")).keyed,
            "nothing is put on for ada"
        );
        let plan = lake.scan(&set, None, &[]).await;
        assert_eq!(slices(&plan, 2).unwrap().is_none(), keyed);
        assert_eq!(scan_bytes(&plan).is_none(), keyed);
        match lake.here.write(&plan) {
            Ok(bytes) => assert!(!keyed && !holds(&bytes, SECRET)),
            Err(error) => {
                assert!(keyed && error.contains("the policy secret stays"), "{error}");
                assert!(!error.contains(SECRET) && !error.contains("sha256"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn errors_on_either_side_tell_nothing_of_what_is_below() {
    let lake = Lake::new(&batch(0), false).await;
    let set = policies("upper(dept) = 'CHEM'", "m", "kind = \"partial\"\nkeep = 3");
    let plan = lake.scan(&set, None, &[]).await;
    let clean = |error: &str| {
        for told in [
            "upper",
            "dept",
            "CHEM",
            ".parquet",
            "labhouse-lake",
            "/tmp",
            "No such file",
        ] {
            assert!(!error.contains(told), "{error}");
        }
        assert!(error.contains("the table could not be read (incident "), "{error}");
    };
    // A session without the filter's function does not send it, and does not read it.
    let bare = Arc::new(SessionStateBuilder::new().build());
    let poor = wire::codec(Arc::clone(&bare));
    clean(
        &poor
            .try_encode(Arc::clone(&plan), &mut Vec::new(), &CONVERTER)
            .unwrap_err()
            .to_string(),
    );
    let bytes = lake.here.write(&plan).unwrap();
    clean(
        &poor
            .try_decode(&bytes, &[], &lake.there.task(), &CONVERTER)
            .unwrap_err()
            .to_string(),
    );
    // A node of another lake has no such store.
    let other = SessionContext::new();
    let codec = wire::codec(Arc::new(other.state()));
    clean(
        &codec
            .try_decode(&bytes, &[], &other.task_ctx(), &CONVERTER)
            .unwrap_err()
            .to_string(),
    );
    // The files go away.
    let back = lake.there.read(&bytes).unwrap();
    assert_eq!(
        collect(Arc::clone(&back), lake.there.task())
            .await
            .unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        700
    );
    std::fs::remove_dir_all(lake.dir.path().join("t")).unwrap();
    let back = back.reset_state().unwrap();
    clean(&collect(back, lake.there.task()).await.unwrap_err().to_string());
    // Inputs, and plans of others.
    let inputs = [Arc::clone(&plan)];
    assert!(
        poor.try_decode(&bytes, &inputs, &lake.there.task(), &CONVERTER)
            .is_err()
    );
    let raw = lake.raw.scan(&lake.here.context.state(), None, &[], None).await;
    assert!(raw.is_err() || lake.here.write(&raw.unwrap()).is_err());
}

#[tokio::test]
async fn damaged_messages_are_errors_and_never_panics() {
    let lake = Lake::new(&batch(0), false).await;
    let set = policies(
        "dept IN ($user.projects) AND f > 0.5",
        "m",
        "kind = \"partial\"\nkeep = 3",
    );
    let plan = lake.scan(&set, None, &[col("n").gt(lit(3i64))]).await;
    let bytes = lake.here.write(&plan).unwrap();
    for end in 0..bytes.len() {
        assert!(
            lake.there.read(&bytes[..end]).is_err(),
            "cut off at {end} of {}",
            bytes.len()
        );
    }
    let mut read = 0;
    for at in 0..bytes.len() {
        for flip in [1u8 << (at % 8), 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            read += usize::from(lake.there.read(&damaged).is_ok());
        }
    }
    assert!(
        read < bytes.len() * 3,
        "{read} of {} messages were read",
        bytes.len() * 3
    );
    for noise in [&b""[..], b"\0", b"LHg1", &[0xff; 64], &[0x0d; 300]] {
        assert!(lake.there.read(noise).is_err());
    }
    // The settings of the reading node hold, and a scan that is run twice gives all rows twice.
    let back = lake.there.read(&bytes).unwrap();
    assert_eq!(lake.there.rows(&[back]).await, lake.here.rows(&[plan]).await);
}

/// A governed table of which each scan has been on the wire, whole or in slices.
#[derive(Debug)]
struct Travelled {
    governed: Arc<dyn TableProvider>,
    system: Arc<SessionState>,
}

#[async_trait::async_trait]
impl TableProvider for Travelled {
    fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.governed.schema()
    }

    fn table_type(&self) -> TableType {
        self.governed.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        self.governed.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let plan = self.governed.scan(state, projection, filters, limit).await?;
        let codec = wire::codec(Arc::clone(&self.system));
        let mut bytes = Vec::new();
        codec.try_encode(plan, &mut bytes, &CONVERTER)?;
        let task = TaskContext::from(self.system.as_ref());
        codec.try_decode(&bytes, &[], &task, &CONVERTER)
    }
}

#[tokio::test]
async fn every_attack_on_a_scan_that_travelled_is_safe() {
    let filters = FILTERS.replace("kind = \"hash\"", "kind = \"partial\"\nkeep = 2");
    let set = load(POLICY, &filters).unwrap();
    for kept in [Kept::Parquet, Kept::ParquetPushdown] {
        let lab = Lab::new(kept, &batch(0)).await;
        let user = User::new();
        let travelled = Travelled {
            governed: lab.governed(&set, "ana"),
            system: Arc::clone(&lab.system),
        };
        user.context.register_table("t", Arc::new(travelled)).unwrap();
        user.run("SET datafusion.explain.show_statistics = true").await.unwrap();
        assert_eq!(user.number("SELECT count(*) FROM t WHERE m = 'ra***'").await, 650);
        assert_eq!(leaks(&user).await, [""; 0], "{kept:?}");
    }
}
