//! Views that grow with their sources: read in part where that is right, in full otherwise, and always the same rows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use crate::lab::{self, Server};
use crate::python;

const RUNS: &str = "lab.chemistry.runs";

/// Name, query, and where it is made in full after rows were added to `runs`, the words of the reason.
const VIEWS: [(&str, &str, Option<&str>); 21] = [
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
        Some("both sides of a join grew"),
    ),
];

/// How each view was made last, and why.
async fn modes(lab: &Server) -> BTreeMap<String, String> {
    let sql = "SELECT view_name || '|' || mode || ' because ' || mode_reason AS told FROM system.pipelines";
    let told = lab.text("ada", sql).await;
    let lines = told
        .lines()
        .filter_map(|line| line.trim_matches(['|', ' ']).split_once('|'));
    lines
        .map(|(name, told)| (name.to_owned(), told.trim().to_owned()))
        .collect()
}

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
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/a.csv", "run,kind,yield\n1,x,10\n2,y,20\n3,x,3\n");
    let counted = |rows: i64| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(&format!("| {rows} ")))
    };
    let count = format!("SELECT count(*) FROM {RUNS}");
    lab.until("ada", &count, counted(3)).await;
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
    lab.until("ada", &count, counted(6)).await;
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
    lab.until("ada", &count, counted(7)).await;
    lab.update("ada", "INSERT INTO lab.chemistry.kinds VALUES ('w', 'double')")
        .await
        .unwrap();
    let told = refreshed(&lab).await;
    assert!(
        told["joined"].contains("both sides of a join grew"),
        "{}",
        told["joined"]
    );
    assert!(told["doubled"].starts_with("incremental"), "{}", told["doubled"]);

    // Rows changed or went: all of it.
    lab.update("ada", "DELETE FROM lab.chemistry.kinds WHERE label = 'also'")
        .await
        .unwrap();
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n4,y,8\n");
    lab.until("ada", &count, counted(5)).await;
    let told = refreshed(&lab).await;
    for name in ["doubled", "groups", "joined", "united"] {
        assert!(
            told[name].contains("rows of it were changed, removed"),
            "{name}: {}",
            told[name]
        );
    }

    // Other files with the same rows: nothing can be told of what is new, so all of it.
    lab.update("ada", &format!("OPTIMIZE {RUNS}")).await.unwrap();
    let told = refreshed(&lab).await;
    assert!(
        told["doubled"].starts_with("full because chemistry.runs: rows of it"),
        "{}",
        told["doubled"]
    );

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
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(
        &policy,
        format!("{text}\np, role:lab_analyst, chemistry, lab/chemistry/doubled/**, select, deny\n"),
    )
    .unwrap();
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
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(
        &policy,
        format!("{text}\np, role:lab_analyst, chemistry, lab/chemistry/hers/**, create|drop|select, allow\n"),
    )
    .unwrap();
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

#[tokio::test]
async fn a_batch_that_is_not_as_expected_is_stopped_and_the_rows_before_it_stay() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/a.csv", "run,kind,yield\n1,x,10\n2,y,20\n");
    let shows = |number: i64| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(&format!("| {number} ")))
    };
    lab.until("ada", &format!("SELECT count(*) FROM {RUNS}"), shows(2))
        .await;
    let expected = "EXPECT (NOT NULL kind, yield BETWEEN 0 AND 100)";
    lab.update(
        "ada",
        &format!("CREATE MATERIALIZED VIEW lab.chemistry.good {expected} AS SELECT run, kind, yield FROM {RUNS}"),
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        &format!("CREATE MATERIALIZED VIEW lab.chemistry.single EXPECT (UNIQUE (run)) AS SELECT run FROM {RUNS}"),
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        "CREATE MATERIALIZED VIEW lab.chemistry.after AS SELECT count(*) AS n FROM lab.chemistry.good",
    )
    .await
    .unwrap();
    // One that is not fulfilled from the start is not made at all.
    let refused = lab
        .update(
            "ada",
            &format!(
                "CREATE MATERIALIZED VIEW lab.chemistry.bad EXPECT (yield BETWEEN 0 AND 15) AS SELECT yield FROM {RUNS}"
            ),
        )
        .await
        .unwrap_err();
    assert!(
        refused.contains("1 of 2 rows do not fulfil yield BETWEEN 0 AND 15"),
        "{refused}"
    );
    let refused = lab
        .update(
            "ada",
            &format!("CREATE MATERIALIZED VIEW lab.chemistry.bad EXPECT (NOT NULL day) AS SELECT yield FROM {RUNS}"),
        )
        .await
        .unwrap_err();
    assert!(
        refused.contains("day, which the view has not; it has yield"),
        "{refused}"
    );
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.bad").await.is_err());

    // A batch that is too large a yield and a run twice: neither is shown, nor what is made of them.
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n2,x,900\n");
    let failed = "SELECT count(*) FROM system.pipelines WHERE state = 'failed' AND (reason LIKE '%1 of % rows do not fulfil yield BETWEEN 0 AND 100%' OR reason LIKE '%1 of 3 rows do not fulfil UNIQUE (run)%')";
    lab.until("ada", failed, shows(2)).await;
    for (view, rows) in [("good", 2), ("single", 2)] {
        assert_eq!(
            lab.number("ada", &format!("SELECT count(*) FROM lab.chemistry.{view}"))
                .await,
            rows,
            "{view}"
        );
    }
    assert_eq!(lab.number("ada", "SELECT n FROM lab.chemistry.after").await, 2);

    // The instrument sends the file again, mended.
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,90\n");
    lab.until("ada", "SELECT n FROM lab.chemistry.after", shows(3)).await;
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.single", shows(3))
        .await;
    lab.until(
        "ada",
        "SELECT count(*) FROM system.pipelines WHERE state = 'fresh'",
        shows(3),
    )
    .await;
}

#[tokio::test]
async fn a_folder_of_files_makes_views_and_copies_them_for_another_lab() {
    let lab = lab::empty(|config| config);
    let dir = lab.dir.join("pipelines");
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    let state = |file: &str| {
        format!("SELECT state || ' ' || coalesce(reason, '') AS told FROM system.pipelines WHERE file = '{file}'")
    };
    let says = |words: &'static str| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(words))
    };
    let shows = |number: i64| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(&format!("| {number} ")))
    };
    let daily = "-- What each lab makes\n-- view: lab.{{site}}.totals\n-- owner: ada\n-- refresh: on change\n-- parameter: site = chemistry\n-- parameter: least = 5\n-- expect: NOT NULL kind\n-- expect: UNIQUE (kind)\nSELECT kind, sum(yield) AS total FROM lab.{{site}}.runs WHERE yield >= {{least}} GROUP BY kind;\n";
    write("totals.sql", daily);
    // Its source is not there yet; when it is, the file acts.
    lab.until("ada", &state("totals.sql"), says("not found")).await;
    lab.land("chemistry/runs/a.csv", "run,kind,yield\n1,x,10\n2,y,20\n3,x,3\n");
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals",
        shows(30),
    )
    .await;
    lab.until("ada", &state("totals.sql"), says("fresh")).await;
    let of = "SELECT count(*) FROM system.pipelines WHERE view_schema = 'chemistry' AND view_name = 'totals' AND owner = 'ada' AND expectations = 'NOT NULL kind, UNIQUE (kind)' AND refresh = 'on change'";
    assert_eq!(lab.number("ada", of).await, 1);
    let version = "SELECT version FROM system.commits WHERE table_name = 'totals' AND table_schema = 'chemistry'";
    let made = lab.number("ada", version).await;

    // Another lab: three lines.
    lab.land("south/runs/a.csv", "run,kind,yield\n1,x,100\n2,y,1\n");
    write(
        "totals_south.sql",
        "-- like: totals\n-- parameter: site = south\n-- parameter: least = 1\n",
    );
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.south.totals",
        shows(101),
    )
    .await;
    // And it follows, in part.
    lab.land("south/runs/b.csv", "run,kind,yield\n3,z,9\n");
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.south.totals",
        shows(110),
    )
    .await;
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM system.pipelines WHERE view_schema = 'south' AND mode = 'incremental'"
        )
        .await,
        1
    );
    // Files that say what there is do nothing.
    assert_eq!(lab.number("ada", version).await, made);

    // An edit makes the view anew; a wrong one leaves it as it was and says why.
    write("totals.sql", &daily.replace("least = 5", "least = 0"));
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals",
        shows(33),
    )
    .await;
    write("totals.sql", &daily.replace("sum(yield)", "sum(yeild)"));
    lab.until("ada", &state("totals.sql"), says("failed")).await;
    assert_eq!(
        lab.number("ada", "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals")
            .await,
        33
    );
    write(
        "totals.sql",
        &daily.replace("-- owner: ada", "-- speed: 9\n-- owner: ada"),
    );
    lab.until("ada", &state("totals.sql"), says("unknown here")).await;

    // What a file's owner may not do, no file does for him; and nobody else's table or view is replaced.
    write(
        "guests.sql",
        "-- view: lab.chemistry.guests\n-- owner: guest\nSELECT run FROM lab.chemistry.runs\n",
    );
    lab.until("ada", &state("guests.sql"), says("failed")).await;
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.guests").await.is_err());
    write(
        "nobody.sql",
        "-- view: lab.chemistry.nobodys\n-- owner: nobody_here\nSELECT run FROM lab.chemistry.runs\n",
    );
    lab.until("ada", &state("nobody.sql"), says("not in the users file"))
        .await;
    write(
        "taken.sql",
        "-- view: lab.chemistry.runs\n-- owner: ada\nSELECT 1 AS a\n",
    );
    lab.until("ada", &state("taken.sql"), says("is a table already")).await;
    write(
        "other.sql",
        "-- view: lab.chemistry.totals\n-- owner: sam\nSELECT 1 AS a\n",
    );
    lab.until("ada", &state("other.sql"), says("view chemistry.totals is ada"))
        .await;
    assert_eq!(lab.number("ada", &format!("SELECT count(*) FROM {RUNS}")).await, 3);

    // A file that is taken away leaves its view.
    for name in [
        "totals.sql",
        "totals_south.sql",
        "guests.sql",
        "nobody.sql",
        "taken.sql",
        "other.sql",
    ] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    lab.until(
        "ada",
        "SELECT count(*) FROM system.pipelines WHERE file IS NOT NULL",
        shows(0),
    )
    .await;
    assert_eq!(
        lab.number("ada", "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals")
            .await,
        33
    );
}

/// A server that gives back what is posted to it, as often as it is asked; its port.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    port
}

const DOUBLE: &str = "import os, sys
import pyarrow as pa
table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
values = [None if value is None else 2 * value for value in table.column('yield').to_pylist()]
table = table.append_column('twice', pa.array(values, pa.int64())).append_column('home', pa.array(['HOME' in os.environ] * len(values), pa.bool_()))
print('at work', file=sys.stderr)
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as out:
    out.write_table(table)
";

#[tokio::test]
async fn rows_go_through_steps_of_the_administrators_list_only() {
    let own = tempfile::tempdir().unwrap();
    let script = own.path().join("double.py");
    std::fs::write(&script, DOUBLE).unwrap();
    let steps = format!(
        "[pipelines.steps.twice]\ncommand = [{:?}, {:?}]\n[pipelines.steps.echo]\nurl = \"http://127.0.0.1:{}/rows\"\n[pipelines.steps.broken]\ncommand = [\"/bin/false\"]\n[pipelines.steps.absent]\ncommand = [\"/no/such/program\"]\n[pipelines.steps.text]\ncommand = [\"/bin/echo\", \"rows\"]\n[pipelines.steps.endless]\ncommand = [\"/usr/bin/yes\"]\noutput_mib = 1\n[pipelines.steps.slow]\ncommand = [\"/bin/sleep\", \"600\"]\ntimeout_s = 1\n[pipelines.steps.silent]\nurl = \"http://127.0.0.1:1/\"\n",
        python::interpreter().display().to_string(),
        script.display().to_string(),
        echo()
    );
    let lab = lab::empty(|config| config + steps.as_str());
    lab.land("chemistry/runs/a.csv", "run,kind,yield\n1,x,10\n2,y,20\n");
    let shows = |number: i64| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(&format!("| {number} ")))
    };
    lab.until("ada", &format!("SELECT count(*) FROM {RUNS}"), shows(2))
        .await;
    lab.update(
        "ada",
        &format!("ALTER TABLE {RUNS} ALTER COLUMN kind SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    let view = |name: &str, step: &str| {
        format!(
            "CREATE MATERIALIZED VIEW lab.chemistry.{name} VIA {step} EXPECT (NOT NULL run) AS SELECT run, kind, yield FROM {RUNS}"
        )
    };
    lab.update("sam", &view("doubled", "twice"))
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", lab.log()));
    assert_eq!(
        lab.number("sam", "SELECT sum(twice) FROM lab.chemistry.doubled WHERE NOT home")
            .await,
        60
    );
    lab.update("ada", &view("echoed", "echo")).await.unwrap();
    assert_eq!(
        lab.number("ada", "SELECT sum(yield) FROM lab.chemistry.echoed").await,
        30
    );
    // It follows, always in full, and its tags are those of all that went in.
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,5\n");
    lab.until("sam", "SELECT sum(twice) FROM lab.chemistry.doubled", shows(70))
        .await;
    let told = modes(&lab).await;
    assert!(
        told["doubled"].starts_with("full because what the external step twice"),
        "{}",
        told["doubled"]
    );
    assert!(lab.query("dee", &format!("SELECT yield FROM {RUNS}")).await.is_ok());
    assert!(
        lab.query("dee", "SELECT twice FROM lab.chemistry.doubled")
            .await
            .is_err()
    );
    let origins = "SELECT count(DISTINCT source_column) FROM system.lineage WHERE target_name = 'chemistry.doubled' AND target_column = 'twice'";
    assert_eq!(lab.number("ada", origins).await, 3);

    for (step, says) in [
        ("broken", "external step broken failed (exit status: 1)"),
        ("absent", "cannot be run"),
        ("text", "gave no Arrow stream"),
        ("endless", "more than 1 MiB"),
        ("slow", "took longer than 1 s"),
        ("silent", "does not answer"),
        ("nothing", "'nothing' not found"),
    ] {
        let error = lab.update("ada", &view("failing", step)).await.unwrap_err();
        assert!(error.contains(says), "{step}: {error}");
    }
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.failing").await.is_err());
    // Who may not is told the same of a step that there is and of one that there is not.
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(
        &policy,
        format!("{text}\np, role:lab_analyst, chemistry, lab/chemistry/hers/**, create|drop|select, allow\n"),
    )
    .unwrap();
    lab.until_updated(
        "ana",
        &format!("CREATE MATERIALIZED VIEW lab.chemistry.hers AS SELECT run FROM {RUNS}"),
    )
    .await;
    let refused = |step: &'static str| {
        let lab = &lab;
        async move {
            let sql =
                format!("CREATE OR REPLACE MATERIALIZED VIEW lab.chemistry.hers VIA {step} AS SELECT run FROM {RUNS}");
            lab.update("ana", &sql).await.unwrap_err().replace(step, "S")
        }
    };
    let there = refused("twice").await;
    assert!(there.contains("may not execute fn/S"), "{there}");
    assert_eq!(there, refused("nothing").await);
}
