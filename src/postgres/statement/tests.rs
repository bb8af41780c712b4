//! Tests of what a text is.

use super::*;

fn of(sql: &str) -> Kind {
    read(sql, &Words::new("sam", None))
}

#[test]
fn words_about_the_session_are_answered_here() {
    assert_eq!(of("BEGIN"), Kind::Begin);
    assert_eq!(of("START TRANSACTION READ ONLY"), Kind::Begin);
    assert_eq!(of("commit"), Kind::Commit);
    assert_eq!(of("ROLLBACK"), Kind::Rollback);
    assert_eq!(of("ABORT"), Kind::Rollback);
    assert_eq!(of("SAVEPOINT a"), Kind::Savepoint("a".into()));
    assert_eq!(of("ROLLBACK TO SAVEPOINT a"), Kind::RollbackTo("a".into()));
    let set = |name: &str, value: Option<&str>| Kind::Set {
        name: name.into(),
        value: value.map(Into::into),
    };
    assert_eq!(
        of("SET search_path TO chemistry, public"),
        set("search_path", Some("chemistry, public"))
    );
    assert_eq!(
        of("SET SESSION extra_float_digits = 3"),
        set("extra_float_digits", Some("3"))
    );
    assert_eq!(of("SET TIME ZONE 'UTC'"), set("TimeZone", Some("UTC")));
    assert_eq!(of("RESET statement_timeout"), set("statement_timeout", None));
    assert_eq!(of("RESET ALL"), Kind::ResetAll);
    assert_eq!(of("DISCARD ALL"), Kind::DiscardAll);
    assert_eq!(of("DEALLOCATE \"S_1\""), Kind::Deallocate(Some("S_1".into())));
    assert_eq!(of("DEALLOCATE ALL"), Kind::Deallocate(None));
    assert_eq!(of("CLOSE ALL"), Kind::CloseCursor(None));
    assert_eq!(
        of("show standard_conforming_strings"),
        Kind::Show("standard_conforming_strings".into())
    );
    assert_eq!(
        of("SHOW TRANSACTION ISOLATION LEVEL"),
        Kind::Show("transaction_isolation".into())
    );
    assert!(matches!(of("SET ROLE lake_admin"), Kind::Refuse(_)));
    assert!(matches!(of("SET SESSION AUTHORIZATION ada"), Kind::Refuse(_)));
    assert!(matches!(of("SHOW TABLES"), Kind::Run { .. }));
    assert!(matches!(of("SELECT polname FROM pg_policy"), Kind::NoRow(_)));
}

#[test]
fn cursors_go_forward() {
    let declared = of("DECLARE \"C\" CURSOR FOR SELECT 1");
    assert!(matches!(declared, Kind::Declare { name, is_held: false, sql } if name == "C" && sql == "SELECT 1"));
    assert!(matches!(
        of("DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
        Kind::Declare { is_held: true, .. }
    ));
    let fetch = |rows_max| Kind::Fetch {
        name: "c".into(),
        rows_max,
    };
    assert_eq!(of("FETCH FORWARD 10 FROM c"), fetch(10));
    assert_eq!(of("FETCH ALL FROM c"), fetch(0));
    assert_eq!(of("FETCH NEXT FROM C"), fetch(1));
    assert!(matches!(of("FETCH BACKWARD 1 FROM c"), Kind::Refuse(_)));
}

#[test]
fn statements_go_on_as_they_came_unless_they_need_other_words() {
    let odd = "SELECT  1 -- why";
    let as_it_is = Kind::Run {
        sql: odd.into(),
        tag: "SELECT".into(),
    };
    assert_eq!(of(odd), as_it_is);
    let model = "CREATE MODEL lab.chemistry.m OPTIONS (target = 'y') AS SELECT 1";
    assert!(matches!(of(model), Kind::Run { sql, tag } if sql == model && tag == "CREATE MODEL"));
    assert!(matches!(of("SELECT current_user AS u"), Kind::Run { sql, .. } if sql == "SELECT 'sam' AS u"));
    assert!(matches!(of("SELECT * FROM pg_index"), Kind::Run { .. }));
    assert!(matches!(of("/* x */ INSERT INTO t VALUES (1)"), Kind::Run { tag, .. } if tag == "INSERT 0"));
    assert!(matches!(of("WITH a AS (SELECT 1) SELECT * FROM a"), Kind::Run { tag, .. } if tag == "SELECT"));
}

#[test]
fn several_statements_are_split_outside_of_quotes() {
    assert_eq!(
        split("SELECT ';'; SELECT \"a;b\" -- x;\n ;;"),
        ["SELECT ';'", " SELECT \"a;b\" -- x;\n "]
    );
    assert_eq!(split("SELECT 1"), ["SELECT 1"]);
    assert!(split(" ; -- nothing\n ;").is_empty());
    assert_eq!(numbered("SELECT $2 || '$7'"), 2);
}

#[test]
fn what_a_statement_casts_its_parameters_to_is_their_type() {
    let found = casts("SELECT $1::bigint + 1, CAST($2 AS DECIMAL(10, 2)), $3, $4::int[] FROM t WHERE x = $5::date");
    assert_eq!(found, [(1, 20), (2, 1700), (4, 1007), (5, 1082)].into());
}
