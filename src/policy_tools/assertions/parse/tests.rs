//! Tests of the file above.

use super::*;

fn name(text: &str) -> TableName {
    lake_name_from_text(text).unwrap()
}

fn claim(line: &str) -> Claim {
    let mut all = parse(line).unwrap_or_else(|faults| panic!("{line}: {faults:?}"));
    assert_eq!(all.len(), 1, "{line}");
    all.remove(0).claim
}

fn rows(count: Count, condition: Option<&str>) -> Claim {
    Claim::Rows {
        table: name("lab.c.t"),
        count,
        condition: condition.map(str::to_owned),
    }
}

fn columns(columns: &[&str], look: Look) -> Claim {
    Claim::Columns {
        table: name("c.t"),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        look,
    }
}

#[test]
fn rows_are_counted_in_five_ways() {
    for (line, wanted) in [
        ("ana sees 1200 rows of lab.c.t", rows(Count::Exactly(1200), None)),
        ("ana sees 1_200 rows of lab.c.t", rows(Count::Exactly(1200), None)),
        ("ana sees 1 row of c.t", rows(Count::Exactly(1), None)),
        ("ana sees no rows of lab.c.t", rows(Count::Exactly(0), None)),
        ("ana sees all rows of lab.c.t", rows(Count::All, None)),
        ("ana sees at least 3 rows of lab.c.t", rows(Count::AtLeast(3), None)),
        ("ana sees at most 3 rows of lab.c.t", rows(Count::AtMost(3), None)),
        ("ana does not see any row of lab.c.t", rows(Count::Exactly(0), None)),
        (
            "ana sees no row of lab.c.t where status <> 'released, of course'",
            rows(Count::Exactly(0), Some("status <> 'released, of course'")),
        ),
    ] {
        assert_eq!(claim(line), wanted, "{line}");
    }
}

#[test]
fn columns_are_shown_hidden_masked_or_clear() {
    for (line, wanted) in [
        ("ana sees columns a, b of lab.c.t", columns(&["a", "b"], Look::Shown)),
        (
            "ana sees columns a ,b,c of lab.c.t",
            columns(&["a", "b", "c"], Look::Shown),
        ),
        ("ana sees only column a of lab.c.t", columns(&["a"], Look::Only)),
        (
            "ana sees column a of lab.c.t masked",
            columns(&["a"], Look::Masked(None)),
        ),
        (
            "ana sees column a of lab.c.t masked by hash_a",
            columns(&["a"], Look::Masked(Some("hash_a".into()))),
        ),
        ("ana sees column a of lab.c.t in clear", columns(&["a"], Look::Clear)),
        ("ana does not see column a of lab.c.t", columns(&["a"], Look::Hidden)),
    ] {
        assert_eq!(claim(line), wanted, "{line}");
    }
}

#[test]
fn rights_are_claimed_of_tables_functions_and_models() {
    let may = |action, object, allowed| Claim::May {
        action,
        object,
        allowed,
    };
    let function = |name: &str, model: Option<&str>| Object::Function {
        name: name.to_owned(),
        model: model.map(name_of),
    };
    fn name_of(text: &str) -> TableName {
        lake_name_from_text(text).unwrap()
    }
    for (line, wanted) in [
        (
            "sam may insert into lab.c.t",
            may(Action::Insert, Object::Table(name("c.t")), true),
        ),
        (
            "sam may not delete from c.t",
            may(Action::Delete, Object::Table(name("c.t")), false),
        ),
        (
            "ana may not execute fn/predict_yield",
            may(Action::Execute, function("predict_yield", None), false),
        ),
        (
            "ana may execute fn/top of lab.c.m",
            may(Action::Execute, function("top", Some("lab.c.m")), true),
        ),
        (
            "ana may drop model/lab/c/m",
            may(Action::Drop, Object::Model(name("c.m")), true),
        ),
    ] {
        assert_eq!(claim(line), wanted, "{line}");
    }
    assert_eq!(claim("guest sees nothing"), Claim::Nothing);
    assert_eq!(claim("guest does not see anything"), Claim::Nothing);
}

#[test]
fn what_is_not_understood_is_refused_with_its_line_and_a_remedy() {
    let text = "# who sees what\n\nana sees 3 rows of lab.c.t\nana sees 3 rows\nana looks at lab.c.t\n";
    let faults = parse(text).unwrap_err();
    let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [4, 5]);
    for (line, says) in [
        ("role:x sees nothing", "is not a login"),
        ("ana", "the line ends"),
        ("ana watches lab.c.t", "`watches`"),
        ("ana sees", "the line ends"),
        ("ana sees tabel lab.c.t", "`tabel`"),
        ("ana sees -3 rows of lab.c.t", "`-3`"),
        ("ana sees + 3 rows of lab.c.t", "`+`"),
        ("ana sees _ rows of lab.c.t", "`_`"),
        ("ana sees 99999999999999999999 rows of lab.c.t", "99999999999999999999"),
        ("ana sees at 3 rows of lab.c.t", "`least` or `most`"),
        ("ana sees 3 cows of lab.c.t", "`cows`"),
        ("ana sees 3 rows in lab.c.t", "`of`"),
        ("ana sees 3 rows of t", "not a full name"),
        ("ana sees 3 rows of other.c.t", "not a full name"),
        ("ana sees 3 rows of lab.c.t wher a = 1", "`wher`"),
        ("ana sees 3 rows of lab.c.t where ", "a condition"),
        ("ana sees columns of lab.c.t", "the name of a column"),
        ("ana sees columns a, of lab.c.t", "the name of a column"),
        ("ana sees columns a b of lab.c.t", "a comma or `of`"),
        ("ana sees column a of lab.c.t hidden", "`hidden`"),
        ("ana sees column a of lab.c.t masked by", "the name of a mask"),
        ("ana sees nothing at all", "`at`"),
        ("ana does see lab.c.t", "`not`"),
        ("ana does not see lab.c.t", "lab.c.t"),
        ("ana may read lab.c.t", "unknown action"),
        ("ana may Insert into lab.c.t", "unknown action"),
        ("ana may insert into", "an object"),
        ("ana may execute lab.c.t", "nothing one does"),
        ("ana may insert into fn/f", "nothing one does"),
        ("ana may insert into lab.c.t and lab.c.u", "`and`"),
    ] {
        let faults = parse(line).expect_err(line);
        assert!(faults[0].what.contains(says), "{line}: {}", faults[0].what);
        assert!(!faults[0].remedy.is_empty(), "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_read_or_refused(text in "(ana |sees |does not see |may (not )?|rows? of |lab\\.c\\.t|columns? |, |where |3 |µ|,|\\PC){0,8}") {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).count();
        match parse(&text) {
            Ok(read) => proptest::prop_assert_eq!(read.len(), lines),
            Err(faults) => proptest::prop_assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.what.is_empty())),
        }
    }
}
