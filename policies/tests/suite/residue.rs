//! No byte of a hidden value travels with the permitted ones.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array,
    ListArray, MapArray, RecordBatch, StringArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::ipc::writer::StreamWriter;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use labhouse_policies::{Access, govern};

use crate::fixture::{
    FILTERS, FORBIDDEN_TEXT, HIDDEN_COLUMN_TEXT, KEPT, Lab, POLICY, RAW_MASKED_TEXT, batch, load, object,
};

fn wire(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn results_carry_no_forbidden_bytes() {
    let set = load(POLICY, FILTERS).unwrap();
    for kept in KEPT {
        let lab = Lab::new(kept, &batch(0)).await;
        let (barrier, _) = lab.sessions(&set).await;
        for sql in [
            "SELECT * FROM t",
            "SELECT tx, m FROM t",
            "SELECT tx FROM t WHERE n > 1500",
            "SELECT * FROM t LIMIT 5",
            "SELECT m FROM t WHERE id < 5",
        ] {
            let bytes = wire(&barrier.run(sql).await.unwrap());
            for text in [
                FORBIDDEN_TEXT,
                HIDDEN_COLUMN_TEXT,
                RAW_MASKED_TEXT,
                "secret-department",
                "dept=secret",
            ] {
                assert!(!holds(&bytes, text), "{kept:?} {sql}: {text}");
            }
            assert!(
                holds(&bytes, "chem") || !sql.contains('*'),
                "the search finds what is there"
            );
        }
    }
}

const SECRET_TEXT: &str = "never-to-be-seen-on-any-wire";

/// One row is shown, all the others hold the secret in some way that Arrow keeps.
fn nasty() -> RecordBatch {
    let n = 64usize;
    let texts: Vec<String> = (0..n)
        .map(|i| {
            if i == 3 {
                "a permitted text of some length".to_owned()
            } else {
                format!("{SECRET_TEXT}-{i}")
            }
        })
        .collect();
    let valid = NullBuffer::from((0..n).map(|i| i != 3).collect::<Vec<_>>());
    let dept: ArrayRef = Arc::new(
        (0..n)
            .map(|i| Some(if i == 3 { "chem" } else { "x" }))
            .collect::<StringArray>(),
    );
    let view: ArrayRef = Arc::new(texts.iter().map(|t| Some(t.as_str())).collect::<StringViewArray>());
    let keys: Int32Array = (0..n as i32).map(Some).collect();
    let dictionary: ArrayRef =
        Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from(texts.clone()))).unwrap());
    // Under nulls: the shown row is null and the secret stands below the null.
    let under: Vec<String> = (0..n).map(|_| SECRET_TEXT.to_owned()).collect();
    let plain = StringArray::from(under.clone());
    let null_text: ArrayRef = Arc::new(StringArray::new(
        plain.offsets().clone(),
        plain.values().clone(),
        Some(valid.clone()),
    ));
    let plain = under.iter().map(|t| Some(t.as_str())).collect::<StringViewArray>();
    let null_view: ArrayRef = Arc::new(StringViewArray::new(
        plain.views().clone(),
        plain.data_buffers().to_vec(),
        Some(valid.clone()),
    ));
    let plain = BinaryArray::from_iter_values(&under);
    let null_binary: ArrayRef = Arc::new(BinaryArray::new(
        plain.offsets().clone(),
        plain.values().clone(),
        Some(valid.clone()),
    ));
    let fixed = FixedSizeBinaryArray::try_from_iter(under.iter().map(String::as_bytes)).unwrap();
    let null_fixed: ArrayRef = Arc::new(FixedSizeBinaryArray::new(
        SECRET_TEXT.len() as i32,
        fixed.values().clone(),
        Some(valid.clone()),
    ));
    let number = i64::from_le_bytes(*b"SECRETno");
    let null_number: ArrayRef = Arc::new(Int64Array::new(vec![number; n].into(), Some(valid.clone())));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let items: ArrayRef = Arc::new(StringArray::from(under));
    let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(1, n));
    let null_list: ArrayRef = Arc::new(ListArray::new(item, lengths, Arc::clone(&items), Some(valid.clone())));
    let null_struct: ArrayRef = Arc::new(StructArray::new(
        vec![Field::new("inner", DataType::Utf8, true)].into(),
        vec![items],
        Some(valid),
    ));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true; n]));
    let columns = [
        ("dept", dept),
        ("view", view),
        ("dictionary", dictionary),
        ("null_text", null_text),
        ("null_view", null_view),
        ("null_binary", null_binary),
        ("null_fixed", null_fixed),
        ("null_number", null_number),
        ("null_list", null_list),
        ("null_struct", null_struct),
        ("flags", flags),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[tokio::test]
async fn what_arrow_keeps_under_nulls_in_dictionaries_and_buffers_is_gone() {
    let batch = nasty();
    let context = SessionContext::new();
    let set = load(
        &POLICY.replace("p3, role:analyst, chemistry, lab/chemistry/t/m, hash_m\n", ""),
        FILTERS,
    )
    .unwrap();
    let system = Arc::new(context.state());
    let access = match set.table(
        &labhouse_policies::Principal::new("ana"),
        &object(&batch.schema()),
        &system,
        labhouse_policies::Action::Select,
    ) {
        labhouse_policies::TableAccess::Open(access) => access,
        hidden => panic!("{hidden:?}"),
    };
    let raw = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap());
    let governed = govern(raw, &access, Arc::clone(&system)).unwrap();
    let batches = context.read_table(governed).unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let bytes = wire(&batches);
    for text in [SECRET_TEXT, "SECRETno"] {
        assert!(!holds(&bytes, text), "{text}");
    }
    assert!(holds(&bytes, "a permitted text of some length"));
    assert_eq!(
        batches[0].schema().field(2).data_type(),
        &DataType::Utf8,
        "dictionaries are hydrated"
    );
    // The same row taken by a slice carries the secret: the test can fail.
    assert!(holds(&wire(&[batch.slice(3, 1)]), SECRET_TEXT));
}

#[tokio::test]
async fn types_that_cannot_be_cleaned_are_refused_with_rows_hidden_and_read_without() {
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["k"]));
    let values: ArrayRef = Arc::new(StringArray::from(vec!["v"]));
    let entries = StructArray::from(vec![
        (Arc::new(Field::new("keys", DataType::Utf8, false)), keys),
        (Arc::new(Field::new("values", DataType::Utf8, true)), values),
    ]);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let map: ArrayRef = Arc::new(MapArray::new(
        field,
        OffsetBuffer::from_lengths([1]),
        entries,
        None,
        false,
    ));
    let dept: ArrayRef = Arc::new(StringArray::from(vec!["chem"]));
    let batch = RecordBatch::try_from_iter_with_nullable([("dept", dept, true), ("map", map, true)]).unwrap();
    let context = SessionContext::new();
    let system = Arc::new(context.state());
    let raw = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap());
    let set = load(POLICY, FILTERS).unwrap();
    let access = |who: &str| -> Access {
        match set.table(
            &labhouse_policies::Principal::new(who),
            &object(&batch.schema()),
            &system,
            labhouse_policies::Action::Select,
        ) {
            labhouse_policies::TableAccess::Open(access) => access,
            hidden => panic!("{hidden:?}"),
        }
    };
    let refused = govern(raw.clone(), &access("ana"), Arc::clone(&system))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("column map") && refused.contains("cannot be removed"),
        "{refused}"
    );
    let open = govern(raw, &access("ada"), Arc::clone(&system)).unwrap();
    assert_eq!(context.read_table(open).unwrap().count().await.unwrap(), 1);
}
