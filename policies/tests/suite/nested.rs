//! Fields inside columns: granted, denied and masked one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::common::ResolvedTableReference;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use labhouse_policies::{Access, Action, PolicySet, Principal, TableAccess, TableObject, Tags, govern};

use crate::fixture::files;

const SECRET_NAME: &str = "operator-with-a-long-name";

/// `id`, `run {operator, temp, device {serial, room}}` (null once) and `steps [{name, by}]`.
fn rows() -> RecordBatch {
    let texts =
        |prefix: &str| Arc::new(StringArray::from_iter_values((0..3).map(|n| format!("{prefix}-{n}")))) as ArrayRef;
    let device = Fields::from(vec![
        Field::new("serial", DataType::Utf8, true),
        Field::new("room", DataType::Utf8, true),
    ]);
    let device_rows = StructArray::new(device.clone(), vec![texts("serial"), texts("room")], None);
    let run = Fields::from(vec![
        Field::new("operator", DataType::Utf8, true),
        Field::new("temp", DataType::Int64, true),
        Field::new("device", DataType::Struct(device), true),
    ]);
    let run_rows = StructArray::new(
        run.clone(),
        vec![
            texts(SECRET_NAME),
            Arc::new(Int64Array::from(vec![20, 30, 40])),
            Arc::new(device_rows),
        ],
        Some(NullBuffer::from(vec![true, true, false])),
    );
    let step = Fields::from(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("by", DataType::Utf8, true),
    ]);
    let step_rows = StructArray::new(step.clone(), vec![texts("wash"), texts(SECRET_NAME)], None);
    let item = Arc::new(Field::new("item", DataType::Struct(step), true));
    let steps = ListArray::new(
        Arc::clone(&item),
        OffsetBuffer::from_lengths([2, 0, 1]),
        Arc::new(step_rows),
        None,
    );
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("run", DataType::Struct(run), true),
        Field::new("steps", DataType::List(item), true),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(run_rows),
            Arc::new(steps),
        ],
    )
    .unwrap()
}

fn object() -> TableObject {
    TableObject {
        reference: ResolvedTableReference {
            catalog: "lab".into(),
            schema: "chem".into(),
            table: "t".into(),
        },
        department: "chem".into(),
        tags: Tags::new(),
        column_tags: BTreeMap::new(),
        schema: rows().schema(),
    }
}

/// The grants that a case adds to, and what makes the table itself readable.
const BASE: &str = "g, user:ana, role:x, chem\np, role:x, chem, lab, use, allow\np, role:x, chem, lab/chem, use, allow\np, role:x, chem, lab/chem/t, select|insert, allow\n";

fn access(rules: &str, filters: &str, action: Action) -> Option<Access> {
    let set = PolicySet::from_files(&files(&format!("{BASE}{rules}"), filters), 1).unwrap_or_else(|e| panic!("{e}"));
    match set.table(
        &Principal::new("ana"),
        &object(),
        &SessionContext::new().state(),
        action,
    ) {
        TableAccess::Open(access) => Some(access),
        TableAccess::Hidden(_) => None,
    }
}

async fn told(rules: &str, filters: &str, sql: &str) -> String {
    let access = access(rules, filters, Action::Select).unwrap();
    let rows = rows();
    let raw = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap());
    let system = SessionContext::new();
    let context = SessionContext::new();
    context
        .register_table("t", govern(raw, &access, Arc::new(system.state())).unwrap())
        .unwrap();
    match context.sql(sql).await {
        Err(error) => format!("error: {error}"),
        Ok(frame) => match frame.collect().await {
            Err(error) => format!("error: {error}"),
            Ok(batches) => {
                for batch in &batches {
                    check_bytes(batch, rules);
                }
                arrow::util::pretty::pretty_format_batches(&batches)
                    .unwrap()
                    .to_string()
            }
        },
    }
}

/// What the rules of a case hide is in no buffer.
fn check_bytes(batch: &RecordBatch, rules: &str) {
    fn bytes(data: &arrow::array::ArrayData, out: &mut Vec<u8>) {
        data.buffers()
            .iter()
            .for_each(|buffer| out.extend_from_slice(buffer.as_slice()));
        data.child_data().iter().for_each(|child| bytes(child, out));
    }
    let mut all = Vec::new();
    batch
        .columns()
        .iter()
        .for_each(|column| bytes(&column.to_data(), &mut all));
    if rules.contains("deny") || rules.contains("p3") {
        assert!(
            !all.windows(SECRET_NAME.len())
                .any(|window| window == SECRET_NAME.as_bytes()),
            "{rules}"
        );
    }
}

#[tokio::test]
async fn a_denied_field_is_not_in_the_column() {
    let rules = "p, role:x, chem, lab/chem/t/*, select, allow\np, role:x, chem, lab/chem/t/run/operator, select, deny\np, role:x, chem, lab/chem/t/steps/by, select, deny\n";
    let all = told(rules, "", "SELECT * FROM t ORDER BY id").await;
    assert!(
        all.contains("temp: 20") && all.contains("serial-1") && all.contains("wash-1"),
        "{all}"
    );
    assert!(!all.contains("operator") && !all.contains("by:"), "{all}");
    let hidden = told(rules, "", "SELECT run['operator'] FROM t").await;
    let absent = told(rules, "", "SELECT run['operatox'] FROM t").await;
    assert!(hidden.starts_with("error"), "{hidden}");
    assert_eq!(hidden.replace("operator", "X"), absent.replace("operatox", "X"));
    assert_eq!(
        told(rules, "", "SELECT run['temp'] AS t FROM t WHERE run IS NULL")
            .await
            .matches("| ")
            .count(),
        2
    );
    let both = told(
        "p, role:x, chem, lab/chem/t/*, select, allow\n",
        "",
        "SELECT run['operator'] FROM t",
    )
    .await;
    assert!(both.contains(SECRET_NAME), "without the denial it is there: {both}");
}

#[tokio::test]
async fn a_granted_field_opens_only_itself() {
    let rules = "p, role:x, chem, lab/chem/t/id, select, allow\np, role:x, chem, lab/chem/t/run/device/room, select, allow\np, role:x, chem, lab/chem/t/run/operator, select, deny\n";
    let all = told(rules, "", "SELECT * FROM t ORDER BY id").await;
    assert!(
        all.contains("{device: {room: room-0}}") && !all.contains("steps") && !all.contains("temp"),
        "{all}"
    );
    // A denial of the column wins over the grant inside.
    let denied = format!("{rules}p, role:x, chem, lab/chem/t/run, select, deny\n");
    assert!(!told(&denied, "", "SELECT * FROM t").await.contains("room"));
    // And a denial in the middle over the grant below it.
    let denied = format!("{rules}p, role:x, chem, lab/chem/t/run/device/**, select, deny\n");
    assert!(!told(&denied, "", "SELECT * FROM t").await.contains("room"));
}

#[tokio::test]
async fn a_field_is_masked_where_it_lies() {
    let rules = "p, role:x, chem, lab/chem/t/*, select, allow\np3, role:x, chem, lab/chem/t/run/operator, initials\np3, role:x, chem, lab/chem/t/steps/by, hashed\np3, role:x, chem, lab/chem/t/run/temp, rounded\n";
    let filters = "[mask.initials]\ncolumn = \"lab/chem/t/run/operator\"\nsql = \"left(operator, 2)\"\n[mask.hashed]\ncolumn = \"lab/chem/*/*/by\"\nkind = \"hash\"\n[mask.rounded]\ncolumn = \"lab/chem/t/run/temp\"\nkind = \"bucket\"\nwidth = 25\n";
    let all = told(rules, filters, "SELECT * FROM t ORDER BY id").await;
    assert!(
        all.contains("operator: op,") && all.contains("temp: 0,") && all.contains("temp: 25,"),
        "{all}"
    );
    assert!(!all.contains(SECRET_NAME) && all.contains("wash-1"), "{all}");
    // A condition meets the masked value only, and is not evaluated on the raw one.
    assert!(
        told(
            rules,
            filters,
            "SELECT count(*) AS n FROM t WHERE 1 / (run['temp'] - 30) = 7"
        )
        .await
        .contains("| 0 ")
    );
    // A mask that needs more than its field closes the table.
    let wide = filters.replace("left(operator, 2)", "concat(operator, id)");
    assert!(access(rules, &wide, Action::Select).is_none());
    let odd = filters
        .replace("width = 25", "width = 25\n")
        .replace("run/temp", "run/device");
    let odd_rules = rules.replace("run/temp", "run/device");
    assert!(
        access(&odd_rules, &odd, Action::Select).is_none(),
        "a struct cannot be rounded"
    );
}

#[test]
fn what_is_not_whole_is_not_written_and_what_leads_nowhere_is_told() {
    let rules =
        "p, role:x, chem, lab/chem/t/*, select|insert, allow\np, role:x, chem, lab/chem/t/run/operator, select, deny\n";
    let access = access(rules, "", Action::Insert).unwrap();
    assert!(access.masks.contains_key("run") && !access.masks.contains_key("steps"));

    let rules = "p, role:x, chem, lab/chem/t/*, select, allow\np, role:x, chem, lab/chem/t/run/operatr, select, deny\np, role:x, chem, lab/chem/t/id/x, select, deny\np, role:x, chem, lab/chem/t/run/device/room, select, deny\n";
    let set = PolicySet::from_files(&files(&format!("{BASE}{rules}"), ""), 1).unwrap();
    let told = set.verify(&SessionContext::new().state(), &[object()]).to_string();
    assert!(
        told.contains("`run/operatr`") && told.contains("`id/x`") && !told.contains("room"),
        "{told}"
    );
}
