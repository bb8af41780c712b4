//! The leak suite (SECURITY.md): each attack is safe through the barrier, and those with a star are seen to succeed against
//! a plain view with the same filter, columns and mask. A test that no view can fail proves nothing.

use std::pin::Pin;

use crate::fixture::{
    ABSENT_NUMBER, FILTERS, FORBIDDEN_NUMBER, FORBIDDEN_TEXT, HIDDEN_COLUMN_TEXT, KEPT, Kept, Lab, POLICY,
    RAW_MASKED_TEXT, User, batch, load,
};

type Answer<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

struct Attack {
    /// Row of SECURITY.md.
    row: &'static str,
    /// Whether a plain view over Parquet is known to leak here.
    star: bool,
    /// Whether the user learnt nothing.
    safe: for<'a> fn(&'a User) -> Answer<'a>,
}

/// What a user reads must not depend on whether a hidden row holds the number: `{}` is replaced by one that a hidden row
/// holds, and by one that no row holds.
async fn same(user: &User, sql: &str) -> bool {
    let with = |n: i64| sql.replace("{}", &n.to_string());
    let held = user
        .told(&with(FORBIDDEN_NUMBER))
        .await
        .replace(&FORBIDDEN_NUMBER.to_string(), "N");
    let absent = user
        .told(&with(ABSENT_NUMBER))
        .await
        .replace(&ABSENT_NUMBER.to_string(), "N");
    held == absent
}

/// Nothing hidden stands in the answer.
async fn silent(user: &User, sql: &str) -> bool {
    let told = user.told(sql).await;
    let secrets = [
        FORBIDDEN_TEXT,
        HIDDEN_COLUMN_TEXT,
        RAW_MASKED_TEXT,
        "secret-department",
        "dept=secret",
        ".parquet",
        "Min=",
        "Max=",
        "row_groups_pruned",
        "sha256",
    ];
    secrets.iter().all(|secret| !told.contains(secret))
}

/// As [`silent`] of a plan, which also may not tell how many rows the table really has.
async fn mute(user: &User, sql: &str) -> bool {
    let told = user.told(sql).await;
    !told.contains("1000") && !told.contains("1.00 K") && silent(user, sql).await
}

async fn refused(user: &User, sql: &str) -> bool {
    user.run(sql).await.is_err()
}

async fn zero(user: &User, sql: &str) -> bool {
    user.number(sql).await == 0
}

macro_rules! attack {
    ($row:literal, $star:literal, $check:ident, $($sql:literal),+) => {
        Attack { row: $row, star: $star, safe: |user| Box::pin(async move { true $(&& $check(user, $sql).await)+ }) }
    };
}

fn attacks() -> Vec<Attack> {
    vec![
        attack!("1 division", true, same, "SELECT count(*) FROM t WHERE 1/(n-{})<>99"),
        attack!(
            "1 modulo, CASE, HAVING",
            false,
            same,
            "SELECT count(*) FROM t WHERE 7 % (n-{}) <> 99",
            "SELECT count(*) FROM t WHERE CASE WHEN n={} THEN 1/(n-n) ELSE 1 END = 1",
            "SELECT dept FROM t GROUP BY dept, n HAVING 1/(n-{}) = 99",
            "SELECT count(*) FROM t WHERE 1/nullif(n-{},5)<>99"
        ),
        attack!(
            "2 casts",
            true,
            silent,
            "SELECT count(*) FROM t WHERE CAST(tx AS INT) = 12"
        ),
        attack!(
            "2 functions",
            false,
            silent,
            "SELECT count(*) FROM t WHERE to_timestamp(tx) < now()",
            "SELECT count(*) FROM t WHERE arrow_cast(tx, 'Int64') = 1",
            "SELECT max(CAST(tx AS INT)) FROM t",
            "SELECT count(*) FROM t WHERE make_date(CAST(tx AS INT) + 1, 1, 1) IS NULL"
        ),
        attack!("3 statistics", true, mute, "EXPLAIN VERBOSE SELECT n FROM t"),
        attack!(
            "4 metrics",
            true,
            mute,
            "EXPLAIN ANALYZE SELECT n FROM t",
            "EXPLAIN ANALYZE VERBOSE SELECT n FROM t WHERE n = 5"
        ),
        attack!(
            "4 tree",
            false,
            mute,
            "EXPLAIN FORMAT TREE SELECT n FROM t WHERE n = 5",
            "EXPLAIN SELECT * FROM t"
        ),
        attack!(
            "5 plans",
            false,
            same,
            "EXPLAIN SELECT n FROM t WHERE n = {}",
            "EXPLAIN VERBOSE SELECT n FROM t WHERE n = {}"
        ),
        attack!(
            "6 counts",
            false,
            same,
            "SELECT count(*), count(1), count(id), sum(1) FROM t WHERE n = {}"
        ),
        attack!(
            "7 extremes",
            false,
            zero,
            "SELECT count(*) FROM (SELECT max(n) AS x, min(n) AS y FROM t) WHERE x > 50000 OR y < 1000"
        ),
        attack!(
            "8, 9 the hidden column",
            false,
            refused,
            "SELECT h FROM t",
            "SELECT \"H\" FROM t",
            "SELECT q.h FROM t q",
            "SELECT h AS ok FROM t",
            "SELECT * EXCLUDE (h) FROM t"
        ),
        attack!(
            "10 in clauses",
            false,
            refused,
            "SELECT id FROM t WHERE h LIKE 'h%'",
            "SELECT id FROM t ORDER BY h",
            "SELECT count(*) FROM t GROUP BY h",
            "SELECT count(*) FROM t HAVING max(h) > ''",
            "SELECT count(*) FILTER (WHERE h > '') FROM t",
            "SELECT row_number() OVER (ORDER BY h) FROM t"
        ),
        attack!(
            "11, 12 joins and subqueries",
            false,
            refused,
            "SELECT 1 FROM t a JOIN t b USING (h)",
            "SELECT 1 FROM t a JOIN t b ON a.h = b.tx",
            "SELECT 1 FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.h = a.tx)",
            "WITH c AS (SELECT h FROM t) SELECT * FROM c",
            "SELECT tx FROM t UNION SELECT h FROM t",
            "SELECT (SELECT max(h) FROM t)",
            "SELECT 1 LIMIT (SELECT length(max(h)) FROM t)"
        ),
        attack!("11 natural", false, silent, "SELECT a.* FROM t a NATURAL JOIN t b"),
        attack!(
            "13 whole rows",
            false,
            silent,
            "SELECT t.* FROM t",
            "SELECT struct(tx, m) FROM t",
            "TABLE t"
        ),
        attack!(
            "15 mask probing",
            false,
            zero,
            "SELECT count(*) FROM t WHERE m LIKE 'raw-%'",
            "SELECT count(*) FROM t WHERE m = 'raw-structure-CCOC-1-0'",
            "SELECT count(*) FROM t WHERE m ~ 'CCOC'",
            "SELECT count(*) FROM t WHERE substr(m, 1, 3) = 'raw'",
            "SELECT count(*) FROM t a JOIN (SELECT 'raw-structure-CCOC-1-0' AS g) b ON a.m = b.g"
        ),
        attack!(
            "16 mask oracle",
            false,
            silent,
            "SELECT CASE WHEN m LIKE 'raw%' THEN 1/0 ELSE 1 END FROM t"
        ),
        attack!(
            "17 dictionary of hashes",
            true,
            zero,
            "SELECT count(*) FROM t WHERE m = encode(sha256(concat('salt', 'raw-structure-CCOC-1-0')), 'hex')"
        ),
        attack!(
            "17 key",
            false,
            refused,
            "SELECT labhouse_mask('x')",
            "SELECT hmac('x', 'y')"
        ),
        attack!(
            "18 three values",
            false,
            zero,
            "SELECT count(*) FROM t WHERE NOT (dept = 'chem')",
            "SELECT count(*) FROM t WHERE dept IS NULL",
            "SELECT count(*) FROM t WHERE (dept = 'chem') IS NOT TRUE"
        ),
        attack!(
            "19 anti joins",
            false,
            same,
            "SELECT count(*) FROM (VALUES ({})) v(x) WHERE x NOT IN (SELECT n FROM t WHERE n IS NOT NULL)",
            "SELECT count(*) FROM (VALUES ({})) v(x) LEFT JOIN t ON t.n = x WHERE t.id IS NULL",
            "SELECT EXISTS (SELECT 1 FROM t WHERE n = {})",
            "SELECT count(*) FROM (VALUES ({})) v(x) FULL JOIN t ON t.n = x"
        ),
        attack!(
            "20 dynamic filters",
            false,
            same,
            "SELECT count(*) FROM t JOIN (VALUES ({})) v(x) ON t.n = v.x",
            "SELECT n FROM t WHERE n < {} + 1 ORDER BY n DESC LIMIT 1"
        ),
        attack!(
            "22 samples and aggregates",
            false,
            silent,
            "SELECT string_agg(tx, ',') FROM t",
            "SELECT array_agg(m) FROM t",
            "SELECT first_value(tx ORDER BY id), approx_distinct(tx) FROM t"
        ),
        attack!(
            "23 windows",
            false,
            silent,
            "SELECT lag(tx) OVER (ORDER BY id), lead(m) OVER (ORDER BY id) FROM t LIMIT 20"
        ),
        attack!(
            "30 pseudo columns",
            false,
            refused,
            "SELECT _metadata FROM t",
            "SELECT __delta_rs_path FROM t",
            "SELECT rowid FROM t",
            "SELECT file_path FROM t"
        ),
        attack!(
            "26, 29 versions and side tables",
            false,
            refused,
            "SELECT * FROM \"t@v0\"",
            "SELECT * FROM \"t$files\"",
            "SELECT * FROM table_changes('t', 0)"
        ),
        attack!(
            "50 typos",
            false,
            silent,
            "SELECT hh FROM t",
            "SELECT h FROM t",
            "SELECT t.nope FROM t"
        ),
        attack!(
            "61, 62 side effects",
            false,
            silent,
            "SELECT count(*) FROM t WHERE length(repeat('x', CAST(tx AS INT))) > 1"
        ),
    ]
}

/// The attacks that tell the user something.
pub(crate) async fn leaks(user: &User) -> Vec<&'static str> {
    let mut leaks = Vec::new();
    for attack in attacks() {
        if !(attack.safe)(user).await {
            leaks.push(attack.row);
        }
    }
    leaks
}

#[tokio::test]
async fn every_attack_is_safe_and_a_plain_view_is_not() {
    let set = load(POLICY, FILTERS).unwrap();
    let mut failed = Vec::new();
    for kept in KEPT {
        let lab = Lab::new(kept, &batch(0)).await;
        let (barrier, plain) = lab.sessions(&set).await;
        for user in [&barrier, &plain] {
            user.context
                .sql("SET datafusion.explain.show_statistics = true")
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
        }
        for row in leaks(&barrier).await {
            failed.push(format!("{kept:?}: {row} succeeds through the barrier"));
        }
        for attack in attacks() {
            if attack.star && kept == Kept::Parquet && (attack.safe)(&plain).await {
                failed.push(format!("{kept:?}: {} does not even succeed against a view", attack.row));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn a_hidden_column_and_one_that_never_was_give_the_same_error() {
    let set = load(POLICY, FILTERS).unwrap();
    let lab = Lab::new(Kept::Parquet, &batch(0)).await;
    let (barrier, _) = lab.sessions(&set).await;
    for sql in [
        "SELECT @ FROM t",
        "SELECT id FROM t WHERE @ = 'x'",
        "SELECT id FROM t ORDER BY @",
        "SELECT q.@ FROM t q",
        "SELECT max(@) OVER () FROM t",
        "SELECT 1 FROM t a JOIN t b USING (@)",
    ] {
        let hidden = barrier.run(&sql.replace('@', "h")).await.unwrap_err();
        let absent = barrier.run(&sql.replace('@', "w")).await.unwrap_err();
        assert_eq!(
            hidden.replace(" h", " @").replace(".h", ".@").replace("\"h\"", "@"),
            absent.replace(" w", " @").replace(".w", ".@").replace("\"w\"", "@"),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_function_that_records_hears_no_hidden_or_unmasked_value() {
    let set = load(POLICY, FILTERS).unwrap();
    let mut plain_heard = false;
    for kept in KEPT {
        let lab = Lab::new(kept, &batch(0)).await;
        let (barrier, plain) = lab.sessions(&set).await;
        for sql in [
            "SELECT count(*) FROM t WHERE f_leak(tx)",
            "SELECT count(*) FROM t WHERE f_leak(tx) AND id > 10",
            "SELECT count(*) FROM t WHERE f_leak(m)",
            "SELECT count(*) FROM t WHERE f_leak_n(n) OR f_leak(dept)",
            "SELECT id FROM t WHERE f_leak(tx) LIMIT 5",
            "SELECT id FROM t WHERE f_leak(tx) ORDER BY n DESC LIMIT 5",
            "SELECT count(*) FROM t a JOIN t b ON a.id = b.id AND f_leak(a.tx) AND f_leak(b.m)",
            "SELECT CASE WHEN f_leak(tx) THEN 1 ELSE 0 END FROM t",
            // Every operator that could call it early, on either side.
            "SELECT count(*) FROM t WHERE NOT f_leak(tx) OR id = 3",
            "SELECT count(*) FROM t WHERE CASE WHEN f_leak(tx) THEN n > 5 ELSE f_leak(m) END",
            "SELECT count(*) FROM t WHERE coalesce(f_leak(tx), f_leak(m))",
            "SELECT count(*) FROM t WHERE f_leak(tx) IN (true, NULL)",
            "SELECT count(*) FROM t WHERE f_leak(concat(tx, m))",
            "SELECT count(*) FROM t WHERE n = 42 AND f_leak(tx) OR f_leak(tx) AND n > 0",
            "SELECT count(*) FILTER (WHERE f_leak(tx)), max(CASE WHEN f_leak(m) THEN 1 END) FROM t",
            "SELECT f_leak(tx) AS k, count(*) FROM t GROUP BY f_leak(tx) HAVING bool_or(f_leak(tx))",
            "SELECT dept FROM t GROUP BY dept, tx HAVING f_leak(tx)",
            "SELECT DISTINCT f_leak(tx), f_leak(m) FROM t",
            "SELECT id FROM t ORDER BY f_leak(tx), f_leak(m), id LIMIT 3",
            "SELECT count(*) OVER (PARTITION BY f_leak(tx) ORDER BY f_leak(m)) FROM t",
            "SELECT lag(f_leak(tx)) OVER (ORDER BY id) FROM t",
            "SELECT count(*) FROM t a LEFT JOIN t b ON a.id = b.id AND f_leak(b.tx)",
            "SELECT count(*) FROM t a RIGHT JOIN t b ON a.id = b.id AND f_leak(a.tx) WHERE f_leak(b.m)",
            "SELECT count(*) FROM t a FULL JOIN t b ON a.id = b.id AND f_leak(concat(a.tx, b.m))",
            "SELECT count(*) FROM t a LEFT SEMI JOIN t b ON a.id = b.id AND f_leak(b.tx)",
            "SELECT count(*) FROM t a LEFT ANTI JOIN t b ON a.id = b.id AND f_leak(b.tx) AND f_leak(a.m)",
            "SELECT count(*) FROM t a CROSS JOIN (VALUES (1)) v(x) WHERE f_leak(a.tx) OR v.x = 2",
            "SELECT count(*) FROM (SELECT tx FROM t WHERE f_leak(m) UNION ALL SELECT m FROM t WHERE f_leak(tx)) u WHERE f_leak(u.tx)",
            "SELECT count(*) FROM (SELECT tx FROM t INTERSECT SELECT tx FROM t WHERE f_leak(tx)) u",
            "SELECT count(*) FROM (SELECT tx FROM t EXCEPT SELECT m FROM t WHERE f_leak(m)) u",
            "SELECT count(*) FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.id = a.id AND f_leak(b.tx))",
            "SELECT count(*) FROM t a WHERE a.id IN (SELECT b.id FROM t b WHERE f_leak(b.m))",
            "SELECT count(*) FROM t a WHERE a.n > (SELECT min(b.n) FROM t b WHERE f_leak(b.tx)) AND f_leak(a.tx)",
            "WITH c AS (SELECT tx, n FROM t WHERE f_leak(tx)) SELECT count(*) FROM c x JOIN c y ON x.n = y.n",
            "WITH RECURSIVE r AS (SELECT 0 AS i UNION ALL SELECT r.i + 1 FROM r JOIN t ON t.id = r.i WHERE r.i < 3 AND f_leak(t.tx)) SELECT count(*) FROM r",
            "SELECT count(*) FROM (SELECT unnest(make_array(tx, m)) AS u FROM t) WHERE f_leak(u)",
            "SELECT count(*) FROM (SELECT tx FROM t LIMIT 1000) WHERE f_leak(tx)",
            "EXPLAIN ANALYZE SELECT count(*) FROM t WHERE f_leak(tx)",
        ] {
            for (user, is_plain) in [(&barrier, false), (&plain, true)] {
                user.run(sql).await.unwrap();
                let heard = user.heard();
                assert!(!heard.is_empty(), "{sql}: the ear works");
                let leaked = heard.iter().any(|value| {
                    [FORBIDDEN_TEXT, RAW_MASKED_TEXT, "secret-department"]
                        .iter()
                        .any(|s| value.contains(s))
                        || value
                            .parse::<i64>()
                            .is_ok_and(|n| n == FORBIDDEN_NUMBER && sql.contains("f_leak_n") || n >= 100_000)
                });
                match is_plain {
                    true => plain_heard |= leaked,
                    false => assert!(!leaked, "{kept:?} {sql}"),
                }
            }
        }
    }
    assert!(plain_heard, "a plain view leaks: the test can fail");
}
