//! Views that grow with their sources: read in part where that is right, in full otherwise, and always the same rows.

use std::collections::BTreeMap;

use super::{COUNT, RUNS, modes, with_runs};
use crate::lab::{self, Server, shows};

/// Name, query, and where it is made in full after rows were added to `runs`, the words of the reason.
const VIEWS: [(&str, &str, Option<&str>); 22] = [
    (
        "exact",
        "SELECT kind, sum(CAST(yield AS DECIMAL(9, 2))) AS exact FROM lab.chemistry.runs GROUP BY kind",
        None,
    ),
    (
        "doubled",
        "SELECT run, yield * 2 AS twice FROM lab.chemistry.runs WHERE yield > 5",
        None,
    ),
    (
        "in_order",
        "SELECT run, kind FROM lab.chemistry.runs ORDER BY run DESC",
        None,
    ),
    (
        "united",
        "SELECT run FROM lab.chemistry.runs UNION ALL SELECT run FROM lab.chemistry.archive",
        None,
    ),
    (
        "itself",
        "SELECT run, 'a' AS part FROM lab.chemistry.runs UNION ALL SELECT run, 'b' FROM lab.chemistry.runs WHERE yield > 5",
        None,
    ),
    (
        "groups",
        "SELECT kind, count(*) AS n, sum(yield) AS total, min(yield) AS low, max(yield) AS high FROM lab.chemistry.runs GROUP BY kind",
        None,
    ),
    (
        "by_part",
        "SELECT yield % 3 AS rest, count(yield) AS n FROM lab.chemistry.runs WHERE run > 1 GROUP BY 1",
        None,
    ),
    (
        "all_of_it",
        "SELECT count(*) AS n, max(run) AS last FROM lab.chemistry.runs",
        None,
    ),
    (
        "joined",
        "SELECT r.run, k.label FROM lab.chemistry.runs r JOIN lab.chemistry.kinds k ON k.kind = r.kind",
        None,
    ),
    (
        "outer",
        "SELECT r.run, k.label FROM lab.chemistry.runs r LEFT JOIN lab.chemistry.kinds k ON k.kind = r.kind",
        None,
    ),
    (
        "joined_groups",
        "SELECT k.label, sum(r.yield) AS total FROM lab.chemistry.runs r JOIN lab.chemistry.kinds k ON k.kind = r.kind GROUP BY k.label",
        None,
    ),
    (
        "mean",
        "SELECT kind, avg(yield) AS mean FROM lab.chemistry.runs GROUP BY kind",
        Some("avg cannot be merged"),
    ),
    (
        "floats",
        "SELECT kind, sum(CAST(yield AS DOUBLE)) AS s FROM lab.chemistry.runs GROUP BY kind",
        Some("floating point"),
    ),
    (
        "kinds_seen",
        "SELECT DISTINCT kind FROM lab.chemistry.runs",
        Some("DISTINCT looks at all rows"),
    ),
    (
        "numbered",
        "SELECT run, row_number() OVER (ORDER BY run) AS n FROM lab.chemistry.runs",
        Some("window function"),
    ),
    (
        "first_two",
        "SELECT run FROM lab.chemistry.runs ORDER BY run LIMIT 2",
        Some("LIMIT chooses"),
    ),
    (
        "by_clock",
        "SELECT run, now() > TIMESTAMP '2020-01-01' AS late FROM lab.chemistry.runs",
        Some("reads the clock"),
    ),
    (
        "above",
        "SELECT run FROM lab.chemistry.runs WHERE yield >= (SELECT max(yield) FROM lab.chemistry.runs)",
        Some("subquery looks at all rows"),
    ),
    (
        "with_having",
        "SELECT kind, count(*) AS n FROM lab.chemistry.runs GROUP BY kind HAVING count(*) > 1",
        Some("groups within the query"),
    ),
    (
        "keyless",
        "SELECT sum(yield) AS s FROM lab.chemistry.runs GROUP BY kind",
        Some("GROUP BY is not in the view"),
    ),
    (
        "pairs",
        "SELECT a.run, b.run AS other FROM lab.chemistry.runs a JOIN lab.chemistry.runs b ON b.kind = a.kind",
        Some("chemistry.runs, which grew, is joined with itself"),
    ),
    (
        "joined_twice",
        "SELECT r.run, k.label FROM lab.chemistry.runs r LEFT JOIN lab.chemistry.archive a ON a.run = r.run JOIN lab.chemistry.kinds k ON k.kind = r.kind WHERE a.run IS NULL",
        None,
    ),
];

/// The rows of a query, in an order of their own.
async fn rows(lab: &Server, sql: &str) -> Vec<String> {
    let told = lab.text("ada", sql).await;
    let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Refreshes all views, and finds in each just what its query gives.
async fn refreshed(lab: &Server) -> BTreeMap<String, String> {
    for (name, sql, _) in VIEWS {
        let view = format!("lab.chemistry.{name}");
        lab.update("ada", &format!("REFRESH MATERIALIZED VIEW {view}"))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}\n{}", lab.log()));
        let (kept, given) = (rows(lab, &format!("SELECT * FROM {view}")).await, rows(lab, sql).await);
        assert_eq!(kept, given, "{name}");
    }
    modes(lab).await
}

#[tokio::test]
async fn a_view_reads_new_rows_alone_where_they_suffice_and_tells_why_not_elsewhere() {
    let lab = with_runs("run,kind,yield\n1,x,10\n2,y,20\n3,x,3\n").await;
    for sql in [
        "CREATE TABLE lab.chemistry.kinds AS SELECT * FROM (VALUES ('x', 'cross'), ('z', 'zed')) AS t (kind, label)",
        "CREATE TABLE lab.chemistry.archive AS SELECT CAST(100 AS BIGINT) AS run",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    for (name, sql, _) in VIEWS {
        let made = format!("CREATE MATERIALIZED VIEW lab.chemistry.{name} REFRESH ON DEMAND AS {sql}");
        lab.update("ada", &made)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (name, told) in modes(&lab).await {
        assert!(
            told.starts_with("full because it was made for the first time"),
            "{name}: {told}"
        );
    }

    // Rows were added, with a new group among them.
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n4,y,7\n5,w,4\n6,z,\n");
    lab.until("ada", COUNT, shows(6)).await;
    let told = refreshed(&lab).await;
    for (name, _, full) in VIEWS {
        let wanted = match full {
            None => "incremental because only rows were added to chemistry.runs",
            Some(_) => "full because ",
        };
        assert!(told[name].starts_with(wanted), "{name}: {}", told[name]);
        assert!(told[name].contains(full.unwrap_or_default()), "{name}: {}", told[name]);
    }

    // The table that is joined grows: an inner join follows, an outer one must look its rows up again.
    lab.update(
        "ada",
        "INSERT INTO lab.chemistry.kinds VALUES ('y', 'why'), ('x', 'also')",
    )
    .await
    .unwrap();
    let told = refreshed(&lab).await;
    for (name, wanted) in [
        ("joined", "incremental because only rows were added to chemistry.kinds"),
        (
            "joined_groups",
            "incremental because only rows were added to chemistry.kinds",
        ),
        (
            "outer",
            "full because the side of an outer, semi or anti join that is looked up grew",
        ),
        ("doubled", "incremental because no source changed"),
        ("groups", "incremental because no source changed"),
    ] {
        assert!(told[name].starts_with(wanted), "{name}: {}", told[name]);
    }

    // Both grow at once.
    lab.land("chemistry/runs/c.csv", "run,kind,yield\n7,y,1\n");
    lab.until("ada", COUNT, shows(7)).await;
    lab.update("ada", "INSERT INTO lab.chemistry.kinds VALUES ('w', 'double')")
        .await
        .unwrap();
    let told = refreshed(&lab).await;
    for name in ["joined", "joined_groups", "joined_twice"] {
        let wanted = "incremental because only rows were added to chemistry.kinds, chemistry.runs";
        assert!(told[name].starts_with(wanted), "{name}: {}", told[name]);
    }
    for (name, wanted) in [
        ("doubled", "incremental"),
        ("outer", "full because the side of an outer"),
    ] {
        assert!(told[name].starts_with(wanted), "{name}: {}", told[name]);
    }

    // Rows changed or went: all of it.
    lab.update("ada", "DELETE FROM lab.chemistry.kinds WHERE label = 'also'")
        .await
        .unwrap();
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n4,y,8\n");
    lab.until("ada", COUNT, shows(5)).await;
    let told = refreshed(&lab).await;
    for name in ["doubled", "groups", "joined", "united"] {
        assert!(
            told[name].contains("rows of it were changed, removed"),
            "{name}: {}",
            told[name]
        );
    }

    // Other files with the same rows, and then new ones beside them.
    lab.update("ada", &format!("OPTIMIZE {RUNS}")).await.unwrap();
    let told = refreshed(&lab).await;
    let wanted = "incremental because no rows were added to its sources";
    for name in ["doubled", "groups", "joined"] {
        assert!(told[name].starts_with(wanted), "{name}: {}", told[name]);
    }
    for (file, rows) in [("d", 6), ("e", 7)] {
        lab.land(
            &format!("chemistry/runs/{file}.csv"),
            format!("run,kind,yield\n2{rows},y,11\n"),
        );
        lab.until("ada", COUNT, shows(rows)).await;
        match file {
            "d" => {
                let told = refreshed(&lab).await;
                assert!(told["doubled"].contains("only rows were added to chemistry.runs"));
                lab.update("ada", &format!("OPTIMIZE {RUNS}")).await.unwrap();
                lab.update("ada", "INSERT INTO lab.chemistry.kinds VALUES ('x', 'again')")
                    .await
                    .unwrap();
            }
            _ => {
                // After a merge both sides of the join grew.
                let told = refreshed(&lab).await;
                let wanted = "incremental because only rows were added to chemistry.kinds, chemistry.runs";
                assert!(told["joined"].starts_with(wanted), "{}", told["joined"]);
            }
        }
    }
    // New rows that were merged with old ones cannot be told from them.
    lab.land("chemistry/runs/f.csv", "run,kind,yield\n30,y,12\n");
    lab.until("ada", COUNT, shows(8)).await;
    lab.update("ada", &format!("OPTIMIZE {RUNS}")).await.unwrap();
    let told = refreshed(&lab).await;
    let wanted = "full because chemistry.runs: new rows of it were put into files of old ones";
    assert!(told["doubled"].starts_with(wanted), "{}", told["doubled"]);

    // A tag arrives although no row does, and nothing is freer than it was.
    lab.update(
        "ada",
        &format!("ALTER TABLE {RUNS} ALTER COLUMN run SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    let told = refreshed(&lab).await;
    assert!(told["doubled"].starts_with("full"), "{}", told["doubled"]);
    assert!(lab.query("dee", "SELECT run FROM lab.chemistry.doubled").await.is_err());
    assert!(
        lab.query("dee", "SELECT twice FROM lab.chemistry.doubled")
            .await
            .is_ok()
    );

    // Other policies: what the owner sees may be something else.
    lab.policy("p, role:lab_analyst, chemistry, lab/chemistry/doubled/**, select, deny");
    lab.until("ana", "SELECT twice FROM lab.chemistry.doubled", Result::is_err)
        .await;
    let told = refreshed(&lab).await;
    assert!(
        told["doubled"].contains("policies or tables are others"),
        "{}",
        told["doubled"]
    );

    // Filled back by hand.
    lab.update("ada", "REFRESH MATERIALIZED VIEW lab.chemistry.doubled FULL")
        .await
        .unwrap();
    assert!(modes(&lab).await["doubled"].contains("FULL was asked for"));
    // sam sees the view and is not its owner.
    let refused = lab
        .update("sam", "REFRESH MATERIALIZED VIEW lab.chemistry.doubled FULL")
        .await
        .unwrap_err();
    assert!(refused.contains("may not"), "{refused}");
}

/// Whoever sees a source in part has his views made in full: what is new to him cannot be told from what is new.
#[tokio::test]
async fn an_owner_under_a_row_filter_has_his_view_made_in_full() {
    let lab = lab::empty(|config| config);
    for sql in [
        "CREATE TABLE lab.chemistry.reactions (well VARCHAR, status VARCHAR)",
        "INSERT INTO lab.chemistry.reactions VALUES ('A1', 'released'), ('A2', 'draft')",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    lab.policy("p, role:lab_analyst, chemistry, lab/chemistry/hers/**, create|drop|select, allow");
    lab.until_updated(
        "ana",
        "CREATE MATERIALIZED VIEW lab.chemistry.hers REFRESH ON DEMAND AS SELECT well FROM lab.chemistry.reactions",
    )
    .await;
    lab.update(
        "ada",
        "INSERT INTO lab.chemistry.reactions VALUES ('A3', 'released'), ('A4', 'draft')",
    )
    .await
    .unwrap();
    assert_eq!(
        lab.update("ana", "REFRESH MATERIALIZED VIEW lab.chemistry.hers")
            .await
            .unwrap(),
        2
    );
    let told = modes(&lab).await;
    assert!(told["hers"].contains("sees in part"), "{}", told["hers"]);
}

/// Three tables grow, one, two or all of them at a time, and are merged now and then: the views stay what their queries give.
#[tokio::test]
async fn joins_that_grow_on_all_sides_stay_right() {
    const JOINED: [(&str, &str); 4] = [
        (
            "all_three",
            "SELECT a.x, b.y, c.z FROM lab.chemistry.a JOIN lab.chemistry.b ON a.k = b.k JOIN lab.chemistry.c ON b.k = c.k",
        ),
        (
            "both_ways",
            "SELECT a.x, b.y FROM lab.chemistry.a JOIN lab.chemistry.b ON a.k = b.k UNION ALL SELECT a.x, b.y FROM lab.chemistry.a JOIN lab.chemistry.b ON a.k < b.k",
        ),
        (
            "summed",
            "SELECT a.k, count(*) AS n, sum(b.y) AS y, max(c.z) AS z FROM lab.chemistry.a, lab.chemistry.b, lab.chemistry.c WHERE a.k = b.k AND c.k <= a.k GROUP BY a.k",
        ),
        (
            "piled",
            "SELECT p.k, c.z FROM (SELECT k FROM lab.chemistry.a UNION ALL SELECT k FROM lab.chemistry.b) p JOIN lab.chemistry.c ON c.k = p.k",
        ),
    ];
    let lab = lab::empty(|config| config);
    let ada = async |sql: String| {
        lab.update("ada", &sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    };
    for (table, value) in [("a", "x"), ("b", "y"), ("c", "z")] {
        ada(format!("CREATE TABLE lab.chemistry.{table} AS SELECT CAST(value % 3 AS BIGINT) AS k, CAST(value AS BIGINT) AS {value} FROM generate_series(1, 5)")).await;
    }
    for (view, sql) in JOINED {
        ada(format!(
            "CREATE MATERIALIZED VIEW lab.chemistry.{view} REFRESH ON DEMAND AS {sql}"
        ))
        .await;
    }
    let mut in_part = 0;
    for round in 1..=8_i64 {
        for (at, table) in ["a", "b", "c"].into_iter().enumerate() {
            if (round >> at) & 1 == 1 {
                ada(format!(
                    "INSERT INTO lab.chemistry.{table} VALUES ({}, {round}), ({}, NULL)",
                    round % 4,
                    round % 3
                ))
                .await;
            }
        }
        for (view, sql) in JOINED {
            ada(format!("REFRESH MATERIALIZED VIEW lab.chemistry.{view}")).await;
            let kept = rows(&lab, &format!("SELECT * FROM lab.chemistry.{view}")).await;
            assert_eq!(kept, rows(&lab, sql).await, "{view} in round {round}");
        }
        let told = modes(&lab).await;
        in_part += told.values().filter(|mode| mode.starts_with("incremental")).count();
        if round % 3 == 0 {
            ada("OPTIMIZE lab.chemistry.b".into()).await;
        }
    }
    // Where one part of the pile grew and the other did not, with a join above it, all of it is read.
    assert!(in_part >= 26, "{in_part} of 32: {:#?}", modes(&lab).await);
}
