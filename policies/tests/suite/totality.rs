//! What is accepted as a row filter can fail on no row: every function of the engine, random expressions, and columns with
//! the worst values of their kind. A filter that fails would tell of rows that nobody may see.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::prelude::SessionContext;
use labhouse_policies::{Action, Principal, TableAccess, TableObject};

use crate::fixture::{load, object, reference};
use crate::fuzz::rng::Rng;

/// Every column kind with its worst values.
fn nasty() -> RecordBatch {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(i64::MAX), None]),
        None,
        Some(vec![]),
        Some(vec![Some(0)]),
        Some(vec![Some(i64::MIN); 3]),
        Some(vec![None]),
    ]);
    let item = Arc::new(Field::new("a", DataType::Int64, true));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "flag",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
                None,
                Some(false),
            ])),
        ),
        (
            "small",
            Arc::new(Int32Array::from(vec![
                Some(i32::MIN),
                Some(i32::MAX),
                Some(0),
                None,
                Some(-1),
                Some(7),
            ])),
        ),
        (
            "n",
            Arc::new(Int64Array::from(vec![
                Some(i64::MIN),
                Some(i64::MAX),
                Some(0),
                None,
                Some(-1),
                Some(7),
            ])),
        ),
        (
            "single",
            Arc::new(Float32Array::from(vec![
                Some(f32::NAN),
                Some(f32::MAX),
                Some(-0.0),
                None,
                Some(f32::NEG_INFINITY),
                Some(0.5),
            ])),
        ),
        (
            "f",
            Arc::new(Float64Array::from(vec![
                Some(f64::NAN),
                Some(f64::MAX),
                Some(-0.0),
                None,
                Some(f64::NEG_INFINITY),
                Some(0.5),
            ])),
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![
                    Some(10_i128.pow(38) - 1),
                    Some(-(10_i128.pow(38) - 1)),
                    Some(0),
                    None,
                    Some(1),
                    Some(-50),
                ])
                .with_precision_and_scale(38, 2)
                .unwrap(),
            ),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some(""),
                Some("a"),
                Some("\u{0}µ\u{1f4a9}%_\\([{*+?"),
                None,
                Some("99999999999999999999"),
                Some("2024-02-30T25:61:61Z"),
            ])),
        ),
        (
            "view",
            Arc::new(StringViewArray::from(vec![
                Some("x".repeat(5_000)),
                Some("-1".to_owned()),
                Some(" 7 ".to_owned()),
                None,
                Some("NaN".to_owned()),
                Some("true".to_owned()),
            ])),
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(b"\xff\xfe"),
                Some(b""),
                None,
                Some(b"a"),
                Some(b"\0"),
                Some(b"\xc3\x28"),
            ])),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![
                Some(i32::MAX),
                Some(i32::MIN),
                Some(0),
                None,
                Some(-719_163),
                Some(20_000),
            ])),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(i64::MAX),
                Some(i64::MIN),
                Some(0),
                None,
                Some(-1),
                Some(1_700_000_000_000_000),
            ])),
        ),
        (
            "zoned",
            Arc::new(
                TimestampMicrosecondArray::from(vec![
                    Some(i64::MAX),
                    Some(i64::MIN),
                    Some(0),
                    None,
                    Some(-1),
                    Some(1_700_000_000_000_000),
                ])
                .with_timezone("UTC"),
            ),
        ),
        (
            "nanos",
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(i64::MAX),
                Some(i64::MIN),
                Some(0),
                None,
                Some(-1),
                Some(1),
            ])),
        ),
        ("list", Arc::new(list)),
        (
            "pair",
            Arc::new(StructArray::from(vec![(
                item,
                Arc::new(Int64Array::from(vec![
                    Some(1),
                    None,
                    Some(i64::MIN),
                    Some(0),
                    None,
                    Some(2),
                ])) as ArrayRef,
            )])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

/// A random expression, mostly of the right shape and often of the wrong types.
fn expression(rng: &mut Rng, functions: &[String], depth: usize) -> String {
    if depth == 0 || rng.chance(15) {
        return (*rng.pick(&[
            "flag",
            "small",
            "n",
            "single",
            "f",
            "price",
            "text",
            "view",
            "bytes",
            "day",
            "at",
            "zoned",
            "nanos",
            "list",
            "pair",
            "pair['a']",
            "list[1]",
            "5",
            "-1",
            "0",
            "1.5",
            "'a'",
            "''",
            "'%'",
            "'(['",
            "'year'",
            "'hex'",
            "'sha256'",
            "'nope'",
            "'\\'",
            "NULL",
            "true",
            "DATE '2024-01-01'",
            "INTERVAL '1 day'",
            "$user.name",
            "$user.nothing",
            "now()",
        ]))
        .to_owned();
    }
    let sub = |rng: &mut Rng| expression(rng, functions, depth - 1);
    match rng.below(12) {
        0..=4 => {
            let arguments: Vec<String> = (0..rng.below(4)).map(|_| sub(rng)).collect();
            format!("\"{}\"({})", rng.pick(functions), arguments.join(", "))
        }
        5 => {
            let op = *rng.pick(&[
                "+",
                "-",
                "*",
                "/",
                "%",
                "||",
                "&",
                "|",
                "^",
                "<<",
                ">>",
                "=",
                "<>",
                "<",
                ">=",
                "IS DISTINCT FROM",
                "AND",
                "OR",
            ]);
            format!("({} {op} {})", sub(rng), sub(rng))
        }
        6 => {
            let kind = *rng.pick(&[
                "BIGINT",
                "INT",
                "TINYINT",
                "DOUBLE",
                "VARCHAR",
                "DATE",
                "TIMESTAMP",
                "BOOLEAN",
                "DECIMAL(10, 2)",
                "TIME",
                "BYTEA",
            ]);
            format!(
                "{}({} AS {kind})",
                rng.pick(&["CAST", "try_cast", "try_cast"]),
                sub(rng)
            )
        }
        7 => format!("CASE WHEN {} IS NULL THEN {} ELSE {} END", sub(rng), sub(rng), sub(rng)),
        8 => format!(
            "({} {} {})",
            sub(rng),
            rng.pick(&["LIKE", "ILIKE", "NOT LIKE", "SIMILAR TO", "~", "!~*"]),
            sub(rng)
        ),
        9 => format!("({} BETWEEN {} AND {})", sub(rng), sub(rng), sub(rng)),
        10 => format!("({} IN ({}, {}))", sub(rng), sub(rng), sub(rng)),
        _ => format!("({} {})", rng.pick(&["NOT", "-", "+"]), sub(rng)),
    }
}

const A_SET: usize = 30;

#[test]
fn what_is_accepted_as_a_filter_fails_on_no_row() {
    let rows = nasty();
    let state = SessionContext::new().state();
    let mut functions: Vec<String> = state.scalar_functions().keys().cloned().collect();
    functions.sort();
    assert!(functions.len() > 150, "the engine's own functions are all tried");
    // Each function alone on each column and pair of columns would be long: random calls, and one of each with two constants.
    let mut rng = Rng::new(13);
    let mut candidates: Vec<String> = Vec::new();
    for function in &functions {
        let column = *rng.pick(&["n", "f", "text", "view", "day", "at", "price", "list", "bytes", "small"]);
        let constant = *rng.pick(&["-1", "'nope'", "'a'", "0", "'('"]);
        candidates.push(format!("\"{function}\"({column})"));
        candidates.push(format!("\"{function}\"({column}, {constant})"));
    }
    let columns: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    for column in &columns {
        for kind in [
            "BIGINT",
            "TINYINT",
            "DOUBLE",
            "VARCHAR",
            "DATE",
            "TIMESTAMP",
            "BOOLEAN",
            "DECIMAL(10, 2)",
            "TIME",
            "BYTEA",
        ] {
            candidates.push(format!("try_cast({column} AS {kind})"));
        }
        candidates.push(format!("concat({column}, 'x')"));
        candidates.push(format!("coalesce({column}, {column})"));
    }
    let rounds = std::env::var("LABHOUSE_FUZZ_STATEMENTS").map_or(700, |text| text.parse().unwrap());
    candidates.extend((0..rounds).map(|_| expression(&mut rng, &functions, 2)));
    let ana = Principal::new("ana");
    let (mut accepted, mut failed) = (0, Vec::new());
    for group in candidates.chunks(A_SET) {
        let set = |filters: &[&String]| {
            let mut policy = "g, user:ana, role:r, *\np, role:r, *, **, use|select, allow\n".to_owned();
            let mut toml = String::new();
            for (at, filter) in filters.iter().enumerate() {
                policy.push_str(&format!("p2, role:r, *, lab/chem/t{at}, restrictive, f{at}\n"));
                toml.push_str(&format!(
                    "[filter.f{at}]\ntable = \"lab/chem/t{at}\"\nsql = '''({filter}) IS NOT NULL'''\n"
                ));
            }
            load(&policy, &toml)
        };
        // One that cannot even be parsed refuses the whole set.
        let parsed: Vec<&String> = group.iter().filter(|filter| set(&[filter]).is_ok()).collect();
        let set = set(&parsed).unwrap();
        for (at, filter) in parsed.iter().enumerate() {
            let table = TableObject {
                reference: reference("chem", &format!("t{at}")),
                ..object(&rows.schema())
            };
            let tried = catch_unwind(AssertUnwindSafe(|| {
                match set.table(&ana, &table, &state, Action::Select) {
                    TableAccess::Hidden(_) => None,
                    TableAccess::Open(access) => Some(access.shows(&rows, &state)),
                }
            }));
            match tried {
                Ok(None) => {}
                Ok(Some(Ok(_))) => accepted += 1,
                Ok(Some(Err(error))) => failed.push(format!("{filter}: {error}")),
                Err(_) => failed.push(format!("{filter}: it panicked")),
            }
        }
    }
    assert!(accepted > 50, "enough is accepted to prove something: {accepted}");
    assert!(
        failed.is_empty(),
        "{} of {accepted} accepted filters fail on a row:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
