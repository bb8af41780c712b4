//! A statement answers the same however many nodes share it, and whoever asks.

use std::path::Path;

use super::{Grid, grid, lines};

/// The 22 queries of TPC-H, by name.
fn queries() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/tpch");
    let mut all: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "sql"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    assert_eq!(all.len(), 22);
    all
}

/// Those whose scalar subqueries keep them on the server.
const ALONE: [&str; 3] = ["q11", "q15", "q22"];

#[tokio::test]
async fn all_of_tpch_answers_the_same_on_two_workers() {
    let grid = grid(2, |config| config).await;
    for (name, sql) in queries() {
        let (before, parts) = (grid.counts(), parts(&grid));
        let here = lines(&grid.alone, "ada", &sql).await.unwrap();
        let there = lines(&grid.shared, "ada", &sql).await.unwrap();
        assert_eq!(here, there, "{name}");
        let (after, now) = (grid.counts(), self::parts(&grid));
        let is_shared = !ALONE.contains(&name.as_str());
        assert_eq!(
            after.0 - before.0,
            u64::from(is_shared),
            "{name}\n{}",
            grid.shared.log()
        );
        assert_eq!(after.1, 0, "{name}: a worker was lost");
        if is_shared {
            assert!(
                now.iter().zip(&parts).all(|(now, before)| now > before),
                "{name}: {parts:?} {now:?}"
            );
        } else {
            assert_eq!(now, parts, "{name}");
        }
    }
}

fn parts(grid: &Grid) -> Vec<usize> {
    grid.workers.iter().map(super::Worker::parts).collect()
}

/// What people ask of tables that they see in part.
const GOVERNED: [&str; 9] = [
    "SELECT count(*), sum(l_quantity), min(l_extendedprice), max(l_shipdate) FROM lab.tpch.lineitem",
    "SELECT l_returnflag, l_linestatus, count(*), sum(l_extendedprice) FROM lab.tpch.lineitem GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT * FROM lab.tpch.customer WHERE c_custkey < 40",
    "SELECT c_mktsegment, count(DISTINCT c_name), min(c_phone), max(c_acctbal) FROM lab.tpch.customer GROUP BY c_mktsegment",
    "SELECT c_name, sum(l_quantity) AS q FROM lab.tpch.customer JOIN lab.tpch.orders ON c_custkey = o_custkey
       JOIN lab.tpch.lineitem ON o_orderkey = l_orderkey GROUP BY c_name ORDER BY q DESC, c_name LIMIT 20",
    "SELECT o_orderpriority, count(*) FROM lab.tpch.orders WHERE NOT EXISTS
       (SELECT 1 FROM lab.tpch.lineitem WHERE l_orderkey = o_orderkey) GROUP BY 1",
    "SELECT l_orderkey, row_number() OVER (PARTITION BY l_suppkey ORDER BY l_orderkey, l_linenumber) AS n
       FROM lab.tpch.lineitem WHERE l_suppkey < 5",
    "SELECT n_name, count(*) FROM lab.tpch.nation LEFT JOIN lab.tpch.customer ON n_nationkey = c_nationkey GROUP BY ROLLUP (n_name)",
    "SELECT l_shipmode FROM lab.tpch.lineitem UNION SELECT o_orderpriority FROM lab.tpch.orders UNION ALL SELECT upper(left(c_name, 3)) FROM lab.tpch.customer",
];

/// What `ana` sees: fewer rows, and masks of each kind that may travel. `sam` has a keyed one.
const FILTERS: &str = r#"
[filter.small]
table = "lab/tpch/lineitem"
sql = "l_quantity < 25 AND l_shipdate < DATE '1997-01-01'"
[filter.near]
table = "lab/tpch/customer"
sql = "c_nationkey = 1 OR c_nationkey = 2 OR c_mktsegment LIKE 'B%'"
[mask.phone]
column = "lab/tpch/customer/c_phone"
kind = "partial"
keep = 3
[mask.part]
column = "lab/tpch/lineitem/l_partkey"
kind = "bucket"
width = 100
[mask.commit]
column = "lab/tpch/lineitem/l_commitdate"
kind = "date_trunc"
unit = "month"
[mask.address]
column = "lab/tpch/customer/c_address"
sql = "upper(c_address)"
[mask.comment]
column = "lab/tpch/customer/c_comment"
kind = "null"
[mask.token]
column = "lab/tpch/customer/c_name"
kind = "hash"
"#;
const RULES: &str = "
g, user:ana, role:grid_part, tpch
g, user:sam, role:grid_keyed, tpch
p, role:grid_part, tpch, lab, use, allow
p, role:grid_keyed, tpch, lab, use, allow
p, role:grid_part, tpch, lab/tpch/**, use|select, allow
p, role:grid_keyed, tpch, lab/tpch/**, use|select, allow
p2, role:grid_part, tpch, lab/tpch/lineitem, permissive, small
p2, role:grid_part, tpch, lab/tpch/customer, permissive, near
p3, role:grid_part, tpch, lab/tpch/customer/c_phone, phone
p3, role:grid_part, tpch, lab/tpch/lineitem/l_partkey, part
p3, role:grid_part, tpch, lab/tpch/lineitem/l_commitdate, commit
p3, role:grid_part, tpch, lab/tpch/customer/c_address, address
p3, role:grid_part, tpch, lab/tpch/customer/c_comment, comment
p3, role:grid_keyed, tpch, lab/tpch/customer/c_name, token
";

#[tokio::test]
async fn whoever_asks_sees_the_same_on_two_workers() {
    let grid = grid(2, |config| config).await;
    govern(&grid).await;
    for user in ["ada", "ana", "sam"] {
        for sql in GOVERNED {
            let (here, there) = (
                lines(&grid.alone, user, sql).await,
                lines(&grid.shared, user, sql).await,
            );
            assert_eq!(here, there, "{user}: {sql}");
            // Each of them may ask each of these, or the test would compare refusals.
            here.unwrap_or_else(|error| panic!("{user}: {sql}: {error}"));
        }
    }
    let (shared, lost) = grid.counts();
    assert_eq!(lost, 0, "{}", grid.shared.log());
    assert!(shared >= 20, "{shared} were shared");
    // A plan with the policies' secret is not among them.
    let before = grid.counts();
    lines(&grid.shared, "sam", "SELECT c_name FROM lab.tpch.customer")
        .await
        .unwrap();
    assert_eq!(grid.counts(), before);
    lines(&grid.shared, "ana", "SELECT c_name FROM lab.tpch.customer")
        .await
        .unwrap();
    assert_eq!(grid.counts().0, before.0 + 1);
    for worker in &grid.workers {
        let log = worker.log();
        // The date whole: its year alone stands in a moment or a number now and then.
        for word in ["ana", "sam", "lab_analyst", "1997-"] {
            assert!(!log.contains(word), "a worker's log says {word}:\n{log}");
        }
    }
}

/// Gives `ana` and `sam` their views of the tables, and waits until both servers act on it.
async fn govern(grid: &Grid) {
    let dir = grid.shared.dir.join("policies");
    // The filters first: a rule that names one that is not there would be refused.
    for (file, text) in [("filters.toml", FILTERS), ("policy.csv", RULES)] {
        let path = dir.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{before}\n{text}\n")).unwrap();
    }
    for server in [&grid.alone, &grid.shared] {
        let sql = "SELECT max(l_quantity) < 25 FROM lab.tpch.lineitem";
        server.until("ana", sql, crate::lab::shows("true")).await;
    }
}

/// What the engine's messages between nodes leave out, or would do otherwise in several parts.
const HARD: [&str; 14] = [
    "SELECT l_orderkey, l_linenumber, count(*) FILTER (WHERE l_quantity > 25) OVER (PARTITION BY l_suppkey) AS c FROM lab.tpch.lineitem",
    "SELECT l_orderkey, l_linenumber, sum(l_quantity) FILTER (WHERE l_tax > 0.04) OVER (PARTITION BY l_suppkey ORDER BY l_orderkey, l_linenumber
       ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM lab.tpch.lineitem",
    "SELECT l_orderkey, l_linenumber, lag(nullif(l_linenumber, 2)) IGNORE NULLS OVER (PARTITION BY l_suppkey ORDER BY l_orderkey, l_linenumber) AS p
       FROM lab.tpch.lineitem",
    "SELECT l_orderkey, l_linenumber, first_value(nullif(l_linenumber, 1)) IGNORE NULLS OVER (PARTITION BY l_suppkey ORDER BY l_orderkey, l_linenumber) AS f
       FROM lab.tpch.lineitem",
    "SELECT l_orderkey, l_linenumber, lag(l_partkey) OVER (PARTITION BY l_suppkey ORDER BY l_orderkey, l_linenumber) AS a,
       lag(l_partkey) OVER (PARTITION BY l_suppkey ORDER BY l_orderkey DESC, l_linenumber DESC) AS b,
       lead(l_partkey) OVER (PARTITION BY l_suppkey ORDER BY l_orderkey DESC, l_linenumber DESC) AS c FROM lab.tpch.lineitem",
    "SELECT count(DISTINCT o_orderkey) FROM lab.tpch.lineitem CROSS JOIN (SELECT o_orderkey FROM lab.tpch.orders WHERE o_orderkey % 2 < 5 LIMIT 10) o",
    "SELECT count(DISTINCT l_orderkey) FROM lab.tpch.lineitem JOIN
       (SELECT o_orderkey FROM lab.tpch.orders WHERE o_orderkey % 2 < 5 LIMIT 10) o ON l_orderkey = o_orderkey",
    "SELECT count(DISTINCT l_orderkey) FROM lab.tpch.lineitem WHERE l_orderkey IN
       (SELECT o_orderkey FROM lab.tpch.orders JOIN lab.tpch.customer ON o_custkey = c_custkey LIMIT 10)",
    "SELECT count(*) FROM (SELECT l_orderkey, count(*) FROM lab.tpch.lineitem GROUP BY l_orderkey LIMIT 4294967296)",
    "SELECT count(*) FROM (SELECT o_orderkey FROM lab.tpch.orders WHERE o_orderkey % 2 < 5 LIMIT 4294967296)",
    "SELECT count(*) FROM lab.tpch.lineitem JOIN (SELECT o_orderkey FROM lab.tpch.orders WHERE o_orderkey % 2 < 5 OFFSET 4294967296) o ON l_orderkey = o_orderkey",
    "SELECT l_orderkey AS k, row_number() OVER (PARTITION BY l_orderkey ORDER BY l_linenumber) AS n
       FROM (SELECT l_orderkey, l_linenumber FROM lab.tpch.lineitem ORDER BY l_orderkey, l_linenumber LIMIT 20000) t
     UNION ALL SELECT o_orderkey, o_custkey FROM lab.tpch.orders",
    "SELECT count(*) FROM lab.tpch.lineitem GROUP BY GROUPING SETS ((), ())",
    "SELECT * FROM lab.tpch.lineitem ORDER BY l_orderkey, l_linenumber",
];

#[tokio::test]
async fn what_does_not_survive_the_way_to_other_nodes_stays_here() {
    let grid = grid(2, |config| config).await;
    let deep = format!(
        "SELECT max(l_partkey{}) FROM lab.tpch.lineitem",
        " + l_suppkey - l_linenumber".repeat(60)
    );
    let star: String = (0..26)
        .map(|nth| format!(" JOIN lab.tpch.nation n{nth} ON l_linenumber = n{nth}.n_nationkey"))
        .collect();
    let star = format!("SELECT count(*) FROM lab.tpch.lineitem{star}");
    for sql in HARD.into_iter().chain([deep.as_str(), star.as_str()]) {
        let here = lines(&grid.alone, "ada", sql).await;
        let there = lines(&grid.shared, "ada", sql).await;
        assert!(here == there, "{sql}\n{:?}\n{:?}", few(&here), few(&there));
        here.unwrap();
    }
    assert_eq!(grid.counts().1, 0, "{}", grid.shared.log());
    // In its order, too, and not by staying here.
    let before = grid.counts().0;
    let sql = "SELECT l_orderkey, l_linenumber FROM lab.tpch.lineitem ORDER BY l_orderkey DESC, l_linenumber";
    let (here, there) = (grid.alone.text("ada", sql).await, grid.shared.text("ada", sql).await);
    assert!(here == there);
    assert_eq!(grid.counts().0, before + 1);
}

fn few(answer: &Result<Vec<String>, String>) -> Result<Vec<String>, String> {
    answer.clone().map(|lines| lines.into_iter().take(6).collect())
}

#[tokio::test]
async fn errors_are_those_of_one_node() {
    // A third worker that is not there: what fails is not its fault.
    let mut dead = None;
    let grid = grid(2, |config| {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        dead = Some(free);
        config.replace("workers = [", &format!("workers = [\"{free}\", "))
    })
    .await;
    let dead = dead.unwrap().to_string();
    let sql = format!("SELECT state FROM lab.system.nodes WHERE node = '{dead}'");
    grid.shared.until("ada", &sql, crate::lab::shows("away")).await;
    for sql in [
        "SELECT CAST(c_name AS INT) FROM lab.tpch.customer",
        "SELECT 1 / (c_custkey - c_custkey) FROM lab.tpch.customer",
        "SELECT repeat(c_comment, 100000000) FROM lab.tpch.customer",
        "SELECT c_custkey, 1 / (c_custkey - 1499) FROM lab.tpch.customer",
    ] {
        let here = lines(&grid.alone, "ada", sql).await.unwrap_err();
        let there = lines(&grid.shared, "ada", sql).await.unwrap_err();
        assert_eq!(here, there, "{sql}");
    }
    let (shared, lost) = grid.counts();
    assert_eq!(
        (shared, lost),
        (4, 0),
        "an error is not the loss of a node:\n{}",
        grid.shared.log()
    );
}

#[tokio::test]
async fn what_only_the_server_has_stays_there_and_reads_of_writes_are_shared() {
    let grid = grid(2, |config| config).await;
    let before = grid.counts().0;
    for sql in [
        "SELECT count(*) FROM lab.system.files",
        "EXPLAIN SELECT count(*) FROM lab.tpch.lineitem",
        "SELECT count(*) FROM lab.tpch.lineitem, lab.system.nodes",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT count(*) FROM n, lab.tpch.region",
        "SELECT 1",
    ] {
        let here = lines(&grid.alone, "ada", sql).await;
        if !sql.contains("nodes") {
            assert_eq!(here, lines(&grid.shared, "ada", sql).await, "{sql}");
        } else {
            lines(&grid.shared, "ada", sql).await.unwrap();
        }
        assert_eq!(grid.counts().0, before, "{sql}");
    }
    let made =
        "CREATE TABLE lab.tpch.per_mode AS SELECT l_shipmode, count(*) AS n FROM lab.tpch.lineitem GROUP BY l_shipmode";
    grid.shared.update("ada", made).await.unwrap();
    assert_eq!(grid.counts().0, before + 1);
    let sum = "SELECT sum(n) FROM lab.tpch.per_mode";
    let all = grid
        .shared
        .number("ada", "SELECT count(*) FROM lab.tpch.lineitem")
        .await;
    assert_eq!(grid.shared.number("ada", sum).await, all);
    // A plan tells nothing of nodes.
    let plan = grid
        .shared
        .text("ada", "EXPLAIN ANALYZE SELECT count(*) FROM lab.tpch.lineitem")
        .await;
    assert!(!plan.contains("Network") && !plan.contains("Distributed"), "{plan}");
}

#[tokio::test]
async fn models_answer_on_workers_as_they_do_here_whichever_version_is_asked() {
    let grid = grid(2, |config| config).await;
    let make = |columns: &str| {
        format!(
            "CREATE OR REPLACE MODEL lab.tpch.price OPTIONS (target = 'o_totalprice', kind = 'regression', time_budget_s = 2, function = 'predict_price')
             AS SELECT {columns}, o_totalprice FROM lab.tpch.orders"
        )
    };
    let asked =
        "SELECT o_orderkey, predict_price(o_custkey, o_orderkey) AS price FROM lab.tpch.orders WHERE o_orderkey < 4000";
    let mut answers = Vec::new();
    for columns in ["o_custkey, o_orderkey", "o_orderkey, o_custkey"] {
        grid.shared.update("ada", &make(columns)).await.unwrap();
        let there = lines(&grid.shared, "ada", asked).await.unwrap();
        // The other server meets the new version at its next look.
        let deadline = std::time::Instant::now() + crate::lab::PATIENCE;
        while lines(&grid.alone, "ada", asked).await.ok().as_ref() != Some(&there) {
            assert!(std::time::Instant::now() < deadline, "they never answer the same");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        answers.push(there);
    }
    assert_ne!(
        answers[0], answers[1],
        "the columns changed places, the answers did not"
    );
    // Both statements were shared, and each worker answered some of it.
    let before = (grid.counts(), parts(&grid));
    lines(&grid.shared, "ada", asked).await.unwrap();
    assert_eq!(grid.counts(), (before.0.0 + 1, 0), "{}", grid.shared.log());
    assert!(parts(&grid).iter().zip(&before.1).all(|(now, before)| now > before));
    // What a model refuses it refuses there, in its own words.
    let wrong = "SELECT predict_price(o_custkey) FROM lab.tpch.orders";
    assert_eq!(
        lines(&grid.alone, "ada", wrong).await.unwrap_err(),
        lines(&grid.shared, "ada", wrong).await.unwrap_err()
    );
    // A model asked by its name rests on the server's own view of models and stays there.
    let by_name = "SELECT sum(predict('lab.tpch.price', o_orderkey, o_custkey)) FROM lab.tpch.orders";
    let shared = grid.counts().0;
    lines(&grid.shared, "ada", by_name).await.unwrap();
    assert_eq!(grid.counts().0, shared);
}
