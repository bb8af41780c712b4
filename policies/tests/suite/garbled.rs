//! Policy files as no careful hand writes them: mutated at random, they are refused or mean what Casbin says they mean, and
//! nothing that is accepted can fail on a row.
//!
//! cargo-fuzz wants a nightly compiler; these are bounded slices of the same idea, with a fixed seed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::prelude::SessionContext;
use labhouse_policies::{Action, PolicySet, Principal, TableAccess, TableObject, Tags, default_files};

use crate::fixture::{FILTERS, Kept, Lab, POLICY, batch, load, object, reference};
use crate::fuzz::rng::Rng;

const PEOPLE: [&str; 5] = ["ada", "ana", "sam", "dee", "guest"];
const OBJECTS: [&str; 8] = [
    "lab",
    "lab/chemistry",
    "lab/chemistry/t",
    "lab/chemistry/t/h",
    "lab/chemistry/t/m",
    "lab/assay/ic50",
    "fn/predict_yield",
    "model/lab/chemistry/yield_model",
];
const ACTIONS: [Action; 4] = [Action::Use, Action::Select, Action::Insert, Action::Execute];

fn shipped(name: &str) -> &'static str {
    default_files().iter().find(|(n, _)| *n == name).unwrap().1
}

/// Everything the set decides about the questions above.
fn decisions(set: &PolicySet) -> Vec<bool> {
    let mut all = Vec::new();
    for who in PEOPLE {
        for object in OBJECTS {
            for action in ACTIONS {
                all.push(
                    set.decide(&Principal::new(who), "chemistry", object, &Tags::new(), action)
                        .allowed,
                );
            }
        }
    }
    all
}

/// One small damage: bytes lost, doubled, changed or put in; lines swapped; the end cut off.
fn damage(rng: &mut Rng, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len());
        match rng.below(8) {
            0 => bytes[at] = *rng.pick(b",|*/\"'#=:.[]{}\\\r\n\t pgdenyallow\0\x7f"),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *rng.pick(b",|*/\"'#=:.&[]\n \t\0")),
            3 => {
                let more = *rng.pick(&[
                    "\u{feff}", "é", "\u{a0}", "**", "deny", ", ", "role:", "\r\n", "--", "/*", "$user.", "'''",
                ]);
                bytes.splice(at..at, more.bytes());
            }
            4 => bytes.truncate(at),
            5 => {
                let to = (at + 1 + rng.below(40)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let (a, b) = (rng.below(lines.len()), rng.below(lines.len()));
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn damaged_rules_are_refused_or_mean_what_casbin_says() {
    let mut rng = Rng::new(11);
    let (mut refused, mut loaded) = (0, 0);
    for case in 0..160 {
        let (policy, filters) = match case % 2 {
            0 => (shipped("policy.csv"), shipped("filters.toml")),
            _ => (POLICY, FILTERS),
        };
        let (policy, filters) = match rng.chance(75) {
            true => (damage(&mut rng, policy), filters.to_owned()),
            false => (policy.to_owned(), damage(&mut rng, filters)),
        };
        let set = match catch_unwind(|| load(&policy, &filters))
            .unwrap_or_else(|_| panic!("it panicked on\n{policy}\n{filters}"))
        {
            Ok(set) => set,
            Err(problems) => {
                assert!(problems.errors().next().is_some(), "a refusal says why");
                refused += 1;
                continue;
            }
        };
        loaded += 1;
        let (who, object, action) = (*rng.pick(&PEOPLE), *rng.pick(&OBJECTS), *rng.pick(&ACTIONS));
        let ours = set
            .decide(&Principal::new(who), "chemistry", object, &Tags::new(), action)
            .allowed;
        let theirs = set
            .ask_casbin(&Principal::new(who), "chemistry", object, &Tags::new(), action)
            .unwrap();
        assert_eq!(ours, theirs, "{who} {action} {object} under\n{policy}");
    }
    assert!(refused > 30 && loaded > 30, "both are tried: {refused} {loaded}");
}

/// Slips that do not change which names a denial is about. Each is refused, or the set decides as before.
#[test]
fn a_slip_in_a_denial_never_opens_anything() {
    let good = decisions(&load(POLICY, FILTERS).unwrap());
    let denial = "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny";
    assert!(POLICY.contains(denial));
    let slips = [
        "P, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, Deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, DENY",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny # sure",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny,",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, \"deny\"",
        "p, role:analyst, chemistry, lab/chemistry/t/h, Select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select|, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\0",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\u{a0}",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, d\u{435}ny",
        "\u{feff}p, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p , role:analyst\t,chemistry,lab/chemistry/t/h ,select,  deny  \t",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\r",
        "p; role:analyst; chemistry; lab/chemistry/t/h; select; deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select deny",
        "p,, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p2, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p, analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, /lab/chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h/, select, deny",
        "p, role:analyst, chemistry, lab//chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/{h}, select, deny",
        "p, role:analyst, chemistry, lab\\chemistry\\t\\h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\u{2028}",
    ];
    for slip in slips {
        if let Ok(set) = load(&POLICY.replace(denial, slip), FILTERS) {
            assert_eq!(decisions(&set), good, "{slip:?}");
        }
    }
}

/// `filters.toml` can hide rows and values; however damaged, it opens no column and no table.
#[tokio::test]
async fn damaged_filters_close_or_are_refused_and_never_fail_on_a_row() {
    let lab = Lab::new(Kept::Memory, &batch(0)).await;
    let open = lab.access(&load(POLICY, FILTERS).unwrap(), "ana").columns;
    let mut rng = Rng::new(12);
    let (mut refused, mut closed, mut opened) = (0, 0, 0);
    for _ in 0..160 {
        let filters = damage(&mut rng, FILTERS);
        let Ok(set) = load(POLICY, &filters) else {
            refused += 1;
            continue;
        };
        match set.table(&Principal::new("ana"), &lab.object(), &lab.system, Action::Select) {
            TableAccess::Hidden(_) => closed += 1,
            TableAccess::Open(access) => {
                opened += 1;
                assert_eq!(access.columns, open, "{filters}");
                assert!(
                    access.row_filter.is_some() && access.masks.contains_key("m"),
                    "{filters}"
                );
                access
                    .shows(&batch(0), &lab.system)
                    .unwrap_or_else(|e| panic!("{e}\n{filters}"));
                let user = crate::fixture::User::new();
                let governed =
                    labhouse_policies::govern(Arc::clone(&lab.raw), &access, Arc::clone(&lab.system)).unwrap();
                user.context.register_table("t", governed).unwrap();
                user.run("SELECT * FROM t")
                    .await
                    .unwrap_or_else(|e| panic!("{e}\n{filters}"));
            }
        }
    }
    assert!(refused > 0 && opened > 0, "{refused} {closed} {opened}");
}

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

#[test]
fn names_of_tables_and_people_that_are_no_names_open_nothing() {
    let set = load(POLICY, FILTERS).unwrap();
    let state = SessionContext::new().state();
    let rows = batch(0);
    for who in [
        "",
        "role:admin",
        "user:ada",
        "ada ",
        "ADA",
        "*",
        "ada\0",
        "role:analyst",
        "ada, role:admin",
    ] {
        for (schema, name) in [
            ("chemistry", "t"),
            ("", ""),
            ("*", "*"),
            ("chemistry", "**"),
            ("chemistry/t", "h"),
            ("..", "t"),
        ] {
            let table = TableObject {
                reference: reference(schema, name),
                department: schema.to_owned(),
                tags: Tags::new(),
                column_tags: BTreeMap::new(),
                schema: rows.schema(),
            };
            let found = set.table(&Principal::new(who), &table, &state, Action::Select);
            assert!(matches!(found, TableAccess::Hidden(_)), "{who:?} {schema:?} {name:?}");
        }
    }
}
