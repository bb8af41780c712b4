//! Tests of how EXPLAIN POLICY is read.

use datafusion::sql::sqlparser::dialect::GenericDialect;

use super::*;

fn parse(sql: &str) -> Result<Option<ExplainPolicy>, QueryError> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(sql).unwrap();
    assert!(parser.parse_keyword(Keyword::EXPLAIN));
    ExplainPolicy::parse(&mut parser)
}

fn read(sql: &str) -> Result<Option<About>, QueryError> {
    Ok(parse(sql)?.map(|explain| match explain {
        ExplainPolicy::Table(about) => about,
        ExplainPolicy::Changes(draft) => panic!("{draft:?}"),
    }))
}

#[test]
fn an_edit_is_read_and_half_of_one_is_not() {
    for sql in [
        "EXPLAIN POLICY CHANGES POLICY 'p, a' FILTERS 'x'",
        "explain policy changes filters 'x' policy 'p, it''s'",
        "EXPLAIN POLICY CHANGES POLICY ''",
    ] {
        assert!(matches!(parse(sql), Ok(Some(ExplainPolicy::Changes(_)))), "{sql}");
    }
    for sql in [
        "EXPLAIN POLICY CHANGES",
        "EXPLAIN POLICY CHANGES POLICY",
        "EXPLAIN POLICY CHANGES POLICY 7",
        "EXPLAIN POLICY CHANGES POLICY 'a' POLICY 'b'",
    ] {
        let error = parse(sql).unwrap_err().to_string();
        assert!(error.contains("the text of policy.csv"), "{sql}: {error}");
    }
}

#[test]
fn the_three_forms_are_read_and_other_explains_left_alone() {
    let full = read("EXPLAIN POLICY FOR Ana ON lab.c.t WHERE a = 'x' OR b")
        .unwrap()
        .unwrap();
    assert_eq!(
        (full.whose, full.table.to_string().as_str()),
        (Whose::Of("ana".into()), "c.t")
    );
    assert_eq!(full.condition.unwrap().to_string(), "a = 'x' OR b");
    let quoted = read("explain policy for 'ana.b-2@lab' on c.t").unwrap().unwrap();
    assert_eq!(quoted.whose, Whose::Of("ana.b-2@lab".into()));
    let all = |sql| read(sql).unwrap().unwrap().whose;
    assert_eq!(all("EXPLAIN POLICY FOR ALL ON c.t"), Whose::All);
    // A login of that name is quoted.
    assert_eq!(all("EXPLAIN POLICY FOR 'all' ON c.t"), Whose::Of("all".into()));
    let own = read("EXPLAIN POLICY ON c.t").unwrap().unwrap();
    assert!(own.whose == Whose::Own && own.condition.is_none());
    for other in ["EXPLAIN SELECT 1", "EXPLAIN policy", "EXPLAIN policies"] {
        assert!(read(other).unwrap().is_none(), "{other}");
    }
}

#[test]
fn half_sentences_say_what_is_missing() {
    for (sql, says) in [
        ("EXPLAIN POLICY FOR ana", "names no table"),
        ("EXPLAIN POLICY FOR ALL", "names no table"),
        ("EXPLAIN POLICY FOR ALL ON c.t WHERE a", "name one person"),
        ("EXPLAIN POLICY FOR 7 ON c.t", "takes a login"),
        ("EXPLAIN POLICY FOR ana ON t", "not a full name"),
        ("EXPLAIN POLICY ON c.t WHERE", "cannot be read"),
    ] {
        let error = read(sql).unwrap_err().to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
}
