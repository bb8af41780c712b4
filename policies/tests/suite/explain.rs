//! Explanations: they tell of the decision that was made, with the line that made it, and never of another one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;
use labhouse_policies::{
    Access, Action, Attribute, ColumnVerdict, ColumnWhy, Decision, Explanation, PolicySet, Principal, Reason,
    TableAccess, TableObject, Tags, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fixture::{load, reference};

/// Columns `a` (text), `n` (number) and `s`, which has tags of its own.
fn table(own: &[(&str, &str)], column: &[(&str, &str)]) -> TableObject {
    let tags = |pairs: &[(&str, &str)]| -> Tags { pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect() };
    let fields = vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ];
    TableObject {
        reference: reference("c", "t"),
        department: "c".to_owned(),
        tags: tags(own),
        column_tags: BTreeMap::from([("s".to_owned(), tags(column))]),
        schema: Arc::new(Schema::new(fields)),
    }
}

/// The same table with a column `b` of fields `c` and `d`, and `e` in `d`.
fn with_fields(mut table: TableObject) -> TableObject {
    let d = DataType::Struct(Fields::from(vec![Field::new("e", DataType::Int64, true)]));
    let b = Fields::from(vec![Field::new("c", DataType::Utf8, true), Field::new("d", d, true)]);
    let mut fields: Vec<_> = table.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("b", DataType::Struct(b), true)));
    table.schema = Arc::new(Schema::new(fields));
    table
}

fn rows(table: &TableObject) -> RecordBatch {
    let a = StringArray::from(vec![Some("x"), Some("y"), None, Some("x"), Some("z")]);
    let n = Int64Array::from(vec![Some(1), Some(2), Some(3), None, Some(0)]);
    let s = StringArray::from(vec!["one", "two", "three", "four", "five"]);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(a), Arc::new(n), Arc::new(s)];
    let more = table.schema.fields().iter().skip(3);
    columns.extend(more.map(|field| new_null_array(field.data_type(), 5)));
    RecordBatch::try_new(Arc::clone(&table.schema), columns).unwrap()
}

const OPEN: &str = "g, user:u, role:r, c\np, role:r, *, lab, use, allow\np, role:r, c, lab/c, use, allow\n";
const FILTERS: &str = "\
[filter.is_x]
table = \"lab/**\"
sql = \"a = 'x'\"
[filter.small]
table = \"lab/**\"
sql = \"n <= $user.level\"
[filter.mine]
table = \"lab/**\"
sql = \"a = ANY($user.letters)\"
[filter.broken]
table = \"lab/c/t\"
sql = \"missing = 1\"
[mask.none]
column = \"lab/**\"
kind = \"null\"
[mask.hidden]
column = \"lab/**\"
sql = \"'***'\"
";

fn state() -> SessionState {
    SessionContext::new().state()
}

fn set(policy: &str) -> PolicySet {
    load(policy, FILTERS).unwrap_or_else(|e| panic!("{e}\n{policy}"))
}

fn explain(policy: &str, who: &Principal, table: &TableObject) -> Explanation {
    set(policy).explain(who, table, &state(), Action::Select)
}

fn line(policy: &str, text: &str) -> usize {
    let at = policy.lines().position(|line| line == text);
    at.unwrap_or_else(|| panic!("no line {text} in\n{policy}")) + 1
}

#[test]
fn a_shown_table_names_its_grants_and_a_hidden_column_its_denial() {
    let grant = "p, role:r, c, lab/c/t/**, select, allow";
    let deny = "p, role:r, c, lab/c/t/n, select, deny";
    let policy = format!("{OPEN}{grant}\n{deny}\n");
    let told = explain(&policy, &Principal::new("u"), &table(&[], &[]));
    assert_eq!(told.roles, ["role:r"]);
    let fact = told.table_fact();
    assert_eq!(fact.verdict, Verdict::Shown);
    assert!(fact.rules.iter().any(|rule| rule.line == line(&policy, grant)));
    assert!(fact.rules.iter().all(|rule| rule.text != deny));
    let columns: Vec<_> = told.column_facts().collect();
    let seen: Vec<&str> = columns.iter().map(|fact| fact.verdict.as_str()).collect();
    assert_eq!(seen, ["shown", "hidden", "shown"]);
    assert_eq!(columns[0].rules[0].line, line(&policy, grant));
    assert_eq!(columns[1].rules[0].line, line(&policy, deny));
    assert!(columns[1].why.contains("denied"), "{}", columns[1].why);
    assert!(told.filter_facts().is_empty() && told.closed.is_none());
}

#[test]
fn what_nothing_grants_tells_the_nearest_grant_and_what_it_lacks() {
    let people =
        "g, user:u, role:r, c\ng, user:o, role:other, c\ng, user:o, role:barred, c\np, role:r, *, lab, use, allow\n";
    for (lines, says) in [
        (
            "p, role:r, c, lab/c/**, use, allow\n",
            "policy.csv:5 would, if it gave select; it gives use",
        ),
        (
            "p, role:r, d, lab/c/**, use|select, allow\n",
            "policy.csv:5 would, if it were for department c; it is for d",
        ),
        (
            "p, role:r, c, tag:kind=assay, use|select, allow\n",
            "policy.csv:5 would, if the object had tag:kind=assay",
        ),
        (
            "p, role:other, c, lab/c/**, use|select, allow\n",
            "policy.csv:5 would, if u held role:other in c",
        ),
        // Not the role that brings a denial with its grant, and not the grant to another person.
        (
            "p, user:o, c, lab/c/**, use|select, allow\np, role:barred, c, lab/c/**, select, allow\np, role:barred, c, lab/c/t, select, deny\np, role:other, c, lab/c/**, use|select, allow\n",
            "policy.csv:8 would",
        ),
        (
            "p, role:r, c, lab/d/**, use|select, allow\n",
            "a line `p, role:NAME, c, lab/c/t/**, select, allow` would",
        ),
    ] {
        let told = explain(&format!("{people}{lines}"), &Principal::new("u"), &table(&[], &[]));
        let fact = told.table_fact();
        assert_eq!(fact.verdict, Verdict::Hidden, "{lines}");
        assert!(fact.rules.is_empty(), "{lines}");
        let why = fact.why;
        assert!(
            why.starts_with("nothing grants u select of lab/c/t; ") && why.contains(says),
            "{lines}{why}"
        );
    }
    // A schema that may not be used, under a table that may be read.
    let policy = format!("{people}p, role:r, c, lab/c/t/**, select, allow\n");
    let fact = explain(&policy, &Principal::new("u"), &table(&[], &[])).table_fact();
    assert!(fact.why.contains("nothing grants u use of lab/c; "), "{}", fact.why);
    // A column that only another line would open.
    let policy = format!(
        "{people}p, role:r, c, lab/c, use, allow\np, role:r, c, lab/c/t, select, allow\np, role:r, c, lab/c/t/a, select, allow\np, role:other, c, lab/c/t/n, select, allow\n"
    );
    let told = explain(&policy, &Principal::new("u"), &table(&[], &[]));
    let n = told.columns.iter().find(|column| column.name == "n").unwrap();
    assert_eq!(n.verdict, ColumnVerdict::Hidden);
    assert!(
        n.why.contains("policy.csv:8 would, if u held role:other in c"),
        "{}",
        n.why
    );
    assert!(
        told.columns
            .iter()
            .any(|column| column.name == "s" && column.why.contains("a line `p, role:NAME, c, lab/c/t/**"))
    );
}

#[test]
fn a_closed_table_tells_what_closed_it() {
    let open = format!("{OPEN}p, role:r, c, lab/c/t/**, select, allow\n");
    let denied = explain(
        &format!("{open}p, role:r, c, lab/c, use, deny\n"),
        &Principal::new("u"),
        &table(&[], &[]),
    );
    let closed = denied.closed.as_ref().unwrap();
    assert_eq!((closed.object.as_str(), closed.action), ("lab/c", Action::Use));
    assert_eq!(closed.decision.reason, Reason::Denied);
    assert!(denied.table_fact().why.contains("use of lab/c is denied"));
    assert!(denied.columns.is_empty());

    let bare = format!("{OPEN}p, role:r, c, lab/c/t, select, allow\n");
    let no_column = explain(&bare, &Principal::new("u"), &table(&[], &[]));
    assert!(no_column.table_fact().why.contains("none of its columns"));
    assert_eq!(no_column.columns.len(), 3);

    let broken = explain(
        &format!("{open}p2, role:r, c, lab/c/t, permissive, broken\n"),
        &Principal::new("u"),
        &table(&[], &[]),
    );
    let fact = broken.table_fact();
    assert!(
        fact.why.contains("filter broken (policy.csv:5)") && fact.why.contains("missing"),
        "{}",
        fact.why
    );
    assert_eq!(fact.rules[0].line, 5);
    assert!(broken.columns.is_empty() && broken.filters.is_empty());
}

#[test]
fn a_row_tells_which_filter_kept_it_back_and_with_what_values() {
    let policy = format!(
        "{OPEN}p, role:r, c, lab/c/t/**, select, allow\np2, role:r, c, lab/c/t, restrictive, small\np2, role:r, c, lab/c/t, permissive, is_x\np2, role:r, c, lab/c/t, permissive, mine\n"
    );
    let table = table(&[], &[]);
    let who = Principal::new("u")
        .with("level", Attribute::Integer(2))
        .with("letters", Attribute::List(vec!["y".into()]));
    let told = explain(&policy, &who, &table);
    let sql: Vec<&str> = told.filters.iter().map(|filter| filter.sql.as_str()).collect();
    assert_eq!(sql, ["n <= 2", "a = 'x'", "a IN ('y')"]);
    let verdicts = told.judge(&rows(&table), &state()).unwrap();
    let shown: Vec<bool> = verdicts.iter().map(|verdict| verdict.shown).collect();
    assert_eq!(shown, [true, true, false, false, false]);
    // n is NULL: the restrictive filter knows nothing of the row, and a permissive one that is true does not help.
    assert_eq!(verdicts[3].says, [None, Some(true), Some(false)]);
    let facts = told.row_facts("row 3", &verdicts[3]);
    let guilty: Vec<(&str, &str)> = facts
        .iter()
        .map(|fact| (fact.by.as_deref().unwrap(), fact.why.as_str()))
        .collect();
    assert!(
        guilty[0].0 == "small" && guilty[0].1.contains("NULL") && guilty[0].1.contains("n <= 2"),
        "{guilty:?}"
    );
    assert!(!guilty.iter().any(|(name, _)| *name == "is_x"), "{guilty:?}");
    assert_eq!(facts[0].rules[0].file, "filters.toml");
    assert_eq!(facts[0].rules[0].line, line(FILTERS, "[filter.small]"));
    assert_eq!(facts[0].rules[1].line, 5);
    assert_eq!(told.row_facts("row 0", &verdicts[0])[0].verdict, Verdict::Shown);
    // Without attributes nothing is known of any row.
    let bare = explain(&policy, &Principal::new("u"), &table);
    assert_eq!(bare.filters[0].sql, "n <= NULL");
    assert!(
        bare.judge(&rows(&table), &state())
            .unwrap()
            .iter()
            .all(|verdict| !verdict.shown)
    );
    // Hidden tables have hidden rows.
    let hidden = explain("g, user:u, role:r, c\n", &who, &table);
    let verdicts = hidden.judge(&rows(&table), &state()).unwrap();
    assert!(verdicts.iter().all(|verdict| !verdict.shown));
    assert!(
        hidden.row_facts("row", &verdicts[0])[0]
            .why
            .contains("the table is hidden")
    );
}

#[test]
fn a_role_without_a_filter_is_named_as_the_reason_for_all_rows() {
    let free = "p, role:free, c, lab/c/t/**, select, allow";
    let policy = format!(
        "{OPEN}g, user:u, role:free, c\np, role:r, c, lab/c/t/**, select, allow\n{free}\np2, role:r, c, lab/c/t, permissive, is_x\n"
    );
    let told = explain(&policy, &Principal::new("u"), &table(&[], &[]));
    assert!(told.filters.is_empty());
    let facts = told.filter_facts();
    assert_eq!(facts[0].rules[0].line, line(&policy, free));
    assert_eq!(facts[0].verdict, Verdict::Shown);
}

#[test]
fn fields_inside_a_column_have_reasons_of_their_own() {
    let deny = "p, role:r, c, lab/c/t/b/d, select, deny";
    let policy = format!("{OPEN}p, role:r, c, lab/c/t/**, select, allow\n{deny}\np3, role:r, c, lab/c/t/b/c, hidden\n");
    let told = explain(&policy, &Principal::new("u"), &with_fields(table(&[], &[])));
    let b = &told.columns[3];
    assert_eq!(b.verdict, ColumnVerdict::Partly);
    let fields: Vec<(&str, &ColumnVerdict)> = b
        .fields
        .iter()
        .map(|field| (field.name.as_str(), &field.verdict))
        .collect();
    let masked = ColumnVerdict::Masked("hidden".into());
    assert_eq!(fields, [("b/c", &masked), ("b/d", &ColumnVerdict::Hidden)]);
    assert_eq!(b.fields[1].rules[0].line, line(&policy, deny));
    assert_eq!(b.fields[0].rules[0].line, 6);
    let objects: Vec<String> = told
        .column_facts()
        .map(|fact| format!("{} {}", fact.object, fact.verdict.as_str()))
        .collect();
    assert!(
        objects.contains(&"lab.c.t.b partly".to_owned()) && objects.contains(&"lab.c.t.b/d hidden".to_owned()),
        "{objects:?}"
    );
    for (path, verdict) in [
        ("b", Some(&ColumnVerdict::Partly)),
        ("b/c", Some(&masked)),
        ("b/d/e", Some(&ColumnVerdict::Hidden)),
        ("b/x", None),
    ] {
        assert_eq!(told.verdict(path), verdict, "{path}");
    }
    // One that only a field's grant opens.
    let policy = format!("{OPEN}p, role:r, c, lab/c/t, select, allow\np, role:r, c, lab/c/t/b/d/e, select, allow\n");
    let told = explain(&policy, &Principal::new("u"), &with_fields(table(&[], &[])));
    assert_eq!(told.verdict("b/d/e"), Some(&ColumnVerdict::Shown));
    assert_eq!(
        told.verdict("b/d"),
        Some(&ColumnVerdict::Shown),
        "all that is in it is shown"
    );
    assert_eq!(told.verdict("b/c"), Some(&ColumnVerdict::Hidden));
    let e = told.columns[3].fields.iter().find(|field| field.name == "b/c").unwrap();
    assert!(e.why.contains("nothing grants"), "{}", e.why);
}

#[test]
fn a_grant_whose_time_is_over_is_told_as_the_reason() {
    let over = "p, role:r, c, lab/c/t/**, select, allow, valid_until=2020-01-31";
    let fact = explain(&format!("{OPEN}{over}\n"), &Principal::new("u"), &table(&[], &[])).table_fact();
    assert!(
        fact.why.ends_with("policy.csv:4 would, if its time were not over"),
        "{}",
        fact.why
    );
    let holds = explain(
        &format!("{OPEN}{}\n", over.replace("2020", "2999")),
        &Principal::new("u"),
        &table(&[], &[]),
    );
    let fact = holds.table_fact();
    assert_eq!(fact.verdict, Verdict::Shown);
    assert!(
        fact.rules
            .iter()
            .any(|rule| rule.text.ends_with("valid_until=2999-01-31")),
        "{:?}",
        fact.rules
    );
}

#[test]
fn rules_in_force_are_listed_with_file_line_and_kind() {
    let policy = format!(
        "# head\n{OPEN}p, role:r, c, lab/c/t/n, select, deny\np2, role:r, c, lab/c/t, permissive, is_x\np3, role:r, c, lab/c/t/a, none\n"
    );
    let set = set(&policy);
    let rules = set.rules();
    let listed: Vec<(&str, &str, usize)> = rules
        .iter()
        .map(|line| (line.kind, line.rule.file, line.rule.line))
        .collect();
    assert_eq!(
        listed[..6],
        [
            ("role", "policy.csv", 2),
            ("grant", "policy.csv", 3),
            ("grant", "policy.csv", 4),
            ("deny", "policy.csv", 5),
            ("row filter", "policy.csv", 6),
            ("mask", "policy.csv", 7),
        ]
    );
    // Every rule of the file is there as it stands.
    for (at, text) in policy.lines().enumerate().skip(1) {
        assert!(
            rules
                .iter()
                .any(|line| line.rule.line == at + 1 && line.rule.text == text),
            "{text}"
        );
    }
    assert_eq!(
        listed.iter().filter(|(kind, ..)| kind.ends_with("definition")).count(),
        6
    );
    assert!(rules.iter().any(|line| line.rule.text == "small: n <= $user.level"));
    assert_eq!(set.people(), ["u"]);
}

/// Random policies. Most open something: the path may be used by most roles, and grants are wider than denials.
fn policies() -> impl Strategy<Value = String> {
    let domain = || prop::sample::select(vec!["c", "c", "c", "d", "*"]);
    let role = || (0..4usize).prop_map(|r| format!("role:r{r}"));
    let object = |objects: &[&'static str]| prop::sample::select(objects.to_vec());
    let actions = || prop::sample::select(vec!["*", "use|select|insert", "select", "select|insert", "insert"]);
    let held = (0..3usize, role(), domain()).prop_map(|(u, r, d)| format!("g, user:u{u}, {r}, {d}\n"));
    let inherits = (0..3usize, 1..4usize, domain())
        .prop_map(|(a, b, d)| format!("g, role:r{a}, role:r{}, {d}\n", (a + b).min(3).max(a + 1)));
    let link = prop_oneof![3 => held, 1 => inherits];
    let wide = object(&[
        "**",
        "lab/**",
        "lab/c/**",
        "lab/c/t/**",
        "lab/c/t/**",
        "tag:k=x",
        "tag:k=x|y",
    ]);
    let narrow = object(&[
        "lab/c/t",
        "lab/c/t/a",
        "lab/c/t/n",
        "lab/c/*/s",
        "lab/*/t/*",
        "tag:k=y",
        "tag:p=q",
        "lab/c/t/b/**",
        "lab/c/t/b/c",
        "lab/c/t/b/d/e",
    ]);
    let grant = (role(), domain(), prop_oneof![2 => wide, 1 => narrow.clone()], actions())
        .prop_map(|(s, d, o, a)| format!("p, {s}, {d}, {o}, {a}, allow\n"));
    let denial =
        (role(), domain(), narrow, actions()).prop_map(|(s, d, o, a)| format!("p, {s}, {d}, {o}, {a}, deny\n"));
    let path =
        (role(), domain()).prop_map(|(s, d)| format!("p, {s}, {d}, lab, use, allow\np, {s}, {d}, lab/c, use, allow\n"));
    let subject = || prop_oneof![3 => role(), 1 => Just("*".to_owned())];
    let mode = prop::sample::select(vec!["permissive", "restrictive"]);
    let filter = prop::sample::select(vec!["is_x", "small", "mine", "is_x", "small", "mine", "broken"]);
    let filtered = (
        subject(),
        domain(),
        object(&["lab/c/t", "lab/*/t", "tag:k=x"]),
        mode,
        filter,
    )
        .prop_map(|(s, d, o, m, f)| format!("p2, {s}, {d}, {o}, {m}, {f}\n"));
    let mask = prop::sample::select(vec!["none", "hidden"]);
    let masked = (
        subject(),
        domain(),
        object(&["lab/c/t/a", "lab/c/t/n", "lab/c/*/s", "tag:p=q", "lab/c/t/b/c"]),
        mask,
    )
        .prop_map(|(s, d, o, m)| format!("p3, {s}, {d}, {o}, {m}\n"));
    (
        prop::collection::vec(link, 3..8),
        prop::collection::vec(path, 2..6),
        prop::collection::vec(grant, 2..8),
        prop::collection::vec(denial, 0..3),
        prop::collection::vec(filtered, 0..4),
        prop::collection::vec(masked, 0..3),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat().concat())
}

/// What the random policies led to; a test that meets only closed tables proves nothing.
#[derive(Debug, Default)]
struct Met {
    open: Cell<usize>,
    filtered: Cell<usize>,
    masked: Cell<usize>,
    hidden_columns: Cell<usize>,
    parts: Cell<usize>,
    closed: Cell<usize>,
    advised: Cell<usize>,
}

fn one(met: &Cell<usize>, yes: bool) {
    met.set(met.get() + usize::from(yes));
}

#[test]
fn an_explanation_is_of_the_decision() {
    let (state, met) = (state(), Met::default());
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(
        &(policies(), any::<bool>(), any::<bool>()),
        |(policy, attributes, insert)| {
            // Objects of other names than the entries' are refused at load; nothing else is.
            let Ok(set) = load(&policy, FILTERS) else { return Ok(()) };
            let action = if insert { Action::Insert } else { Action::Select };
            let tagged = [
                (&[][..], &[][..]),
                (&[("k", "x")], &[("p", "q")]),
                (&[("k", "x"), ("p", "z")], &[("k", "y")]),
            ];
            for (own, column) in tagged {
                let table = with_fields(table(own, column));
                for name in ["u0", "u1", "u2"] {
                    let mut who = Principal::new(name);
                    if attributes {
                        who = who
                            .with("level", Attribute::Integer(2))
                            .with("letters", Attribute::List(vec!["y".into(), "z".into()]));
                    }
                    let told = set.explain(&who, &table, &state, action);
                    match (set.table(&who, &table, &state, action), &told.access) {
                        (TableAccess::Hidden(decided), TableAccess::Hidden(explained)) => {
                            prop_assert_eq!(&decided, explained);
                            closed_as(&told, &decided)?;
                            one(&met.closed, true);
                            one(&met.advised, advice_helps(&policy, &who, &told, &table)?);
                        }
                        (TableAccess::Open(decided), TableAccess::Open(explained)) => {
                            prop_assert_eq!(&decided.fingerprint, &explained.fingerprint);
                            columns_as(&told, &decided)?;
                            rows_as(&told, &decided, &rows(&table), &state)?;
                            one(&met.open, true);
                            one(&met.filtered, !told.filters.is_empty());
                            one(&met.masked, !decided.masks.is_empty());
                            one(&met.hidden_columns, decided.columns.len() < 4);
                            one(&met.parts, !decided.types.is_empty());
                        }
                        (decided, explained) => prop_assert!(false, "{decided:?} explained as {explained:?}"),
                    }
                }
            }
            Ok(())
        },
    );
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let Met {
        open,
        filtered,
        masked,
        hidden_columns,
        parts,
        closed,
        advised,
    } = &met;
    for often in [open, filtered, masked, hidden_columns, parts, closed, advised] {
        assert!(often.get() > 10, "{met:?}");
    }
}

fn closed_as(told: &Explanation, decided: &Decision) -> Result<(), TestCaseError> {
    let fact = told.table_fact();
    prop_assert_eq!(fact.verdict, Verdict::Hidden);
    prop_assert_eq!(&fact.rules, &decided.determined_by);
    prop_assert!(!fact.why.is_empty());
    prop_assert!(told.filters.is_empty() && told.unfiltered.is_none());
    let hidden = |column: &ColumnWhy| column.verdict == ColumnVerdict::Hidden;
    prop_assert!(told.columns.iter().all(hidden), "{:?}", told.columns);
    prop_assert_eq!(told.columns.is_empty(), decided.reason != Reason::NoColumn);
    Ok(())
}

fn columns_as(told: &Explanation, decided: &Access) -> Result<(), TestCaseError> {
    prop_assert_eq!(told.columns.len(), 4);
    for (at, column) in told.columns.iter().enumerate() {
        let seen = match &column.verdict {
            ColumnVerdict::Shown => (true, false),
            ColumnVerdict::Masked(_) | ColumnVerdict::Partly => (true, true),
            ColumnVerdict::Hidden => (false, false),
        };
        let masked = decided.masks.contains_key(&column.name);
        prop_assert_eq!(seen, (decided.columns.contains(&at), masked), "{:?}", column);
        let effect = if seen.0 { "allow" } else { "deny" };
        for rule in &column.rules {
            prop_assert!(decided.determined_by.contains(rule), "{:?}", rule);
            prop_assert!(rule.text.ends_with(effect) || masked, "{:?}", rule);
        }
        prop_assert!(!column.why.is_empty());
    }
    fields_as(told, decided)
}

/// The fields of `b` as the type that is shown has them.
fn fields_as(told: &Explanation, decided: &Access) -> Result<(), TestCaseError> {
    let raw = told.schema.field_with_name("b").unwrap().data_type();
    let shown = decided
        .columns
        .contains(&3)
        .then(|| decided.types.get("b").unwrap_or(raw));
    let has = |path: &[&str]| {
        let inner = |of: Option<&DataType>, name: &&str| match of {
            Some(DataType::Struct(fields)) => fields
                .iter()
                .find(|field| field.name() == name)
                .map(|f| f.data_type().clone()),
            _ => None,
        };
        path.iter()
            .fold(shown.cloned(), |of, name| inner(of.as_ref(), name))
            .is_some()
    };
    for path in [&["c"][..], &["d"], &["d", "e"]] {
        let name = format!("b/{}", path.join("/"));
        let verdict = told.verdict(&name).unwrap();
        prop_assert_eq!(
            *verdict != ColumnVerdict::Hidden,
            has(path),
            "{} is {:?} in {:?}",
            name,
            verdict,
            told.columns[3]
        );
    }
    prop_assert!(told.verdict("b/x").is_none() && told.verdict("a/c").is_none());
    for field in told.columns.iter().flat_map(|column| &column.fields) {
        prop_assert!(!field.why.is_empty());
        for rule in &field.rules {
            prop_assert!(decided.determined_by.contains(rule), "{:?}", rule);
        }
    }
    Ok(())
}

fn rows_as(
    told: &Explanation,
    decided: &Access,
    rows: &RecordBatch,
    state: &SessionState,
) -> Result<(), TestCaseError> {
    let shows = decided.shows(rows, state).unwrap();
    for (at, verdict) in told.judge(rows, state).unwrap().iter().enumerate() {
        prop_assert_eq!(verdict.shown, shows.value(at));
        let said = |restrictive: bool| {
            let said = told.filters.iter().zip(&verdict.says);
            said.filter(move |(filter, _)| filter.restrictive == restrictive)
        };
        let all = said(true).all(|(_, says)| *says == Some(true));
        let any = said(false).count() == 0 || said(false).any(|(_, says)| *says == Some(true));
        prop_assert_eq!(verdict.shown, all && any);
        let facts = told.row_facts("row", verdict);
        prop_assert!(!facts.is_empty());
        prop_assert!(
            facts
                .iter()
                .all(|fact| (fact.verdict == Verdict::Shown) == verdict.shown)
        );
    }
    Ok(())
}

/// A role that is said to be all that is missing is all that is missing.
fn advice_helps(policy: &str, who: &Principal, told: &Explanation, table: &TableObject) -> Result<bool, TestCaseError> {
    let Some(closed) = &told.closed else { return Ok(false) };
    let Some(nearest) = &closed.nearest else {
        return Ok(false);
    };
    if !nearest.missing.contains(" held ") {
        return Ok(false);
    }
    let role = nearest.rule.text.split(", ").nth(1).unwrap();
    let better = set(&format!("{policy}g, user:{}, {role}, c\n", who.name));
    let tags = if closed.object.matches('/').count() > 1 {
        table.tags.clone()
    } else {
        Tags::new()
    };
    let decision = better.decide(who, "c", &closed.object, &tags, closed.action);
    prop_assert!(
        decision.allowed,
        "{nearest} did not help with {}: {decision:?}",
        closed.object
    );
    Ok(true)
}
