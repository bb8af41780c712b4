//! External steps: those of the administrator's list, and no others.

use super::{RUNS, modes, runs_with};
use crate::http_end;
use crate::lab::shows;
use crate::python;

const DOUBLE: &str = "import os, sys
import pyarrow as pa
table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
values = [None if value is None else 2 * value for value in table.column('yield').to_pylist()]
table = table.append_column('twice', pa.array(values, pa.int64())).append_column('home', pa.array(['HOME' in os.environ] * len(values), pa.bool_()))
print('at work', file=sys.stderr)
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as out:
    out.write_table(table)
";

/// All rows, and no end of the stream: the program forgot to close it, and says that all is well.
const TORN: &str = "import os, sys
import pyarrow as pa
table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
out = pa.ipc.new_stream(sys.stdout.buffer, table.schema)
out.write_table(table)
sys.stdout.buffer.flush()
os._exit(0)
";

#[tokio::test]
async fn rows_go_through_steps_of_the_administrators_list_only() {
    let own = tempfile::tempdir().unwrap();
    let script = own.path().join("double.py");
    std::fs::write(&script, DOUBLE).unwrap();
    let child = own.path().join("child");
    let parent = format!("sleep 600 & echo $! > {}; wait", child.display());
    let echo = http_end::serve(|_, body| body.to_vec());
    let steps = format!(
        "[pipelines.steps.twice]\ncommand = [{:?}, {:?}]\n[pipelines.steps.echo]\nurl = \"http://127.0.0.1:{}/rows\"\n[pipelines.steps.broken]\ncommand = [\"/bin/false\"]\n[pipelines.steps.absent]\ncommand = [\"/no/such/program\"]\n[pipelines.steps.text]\ncommand = [\"/bin/echo\", \"rows\"]\n[pipelines.steps.endless]\ncommand = [\"/usr/bin/yes\"]\noutput_mib = 1\n[pipelines.steps.torn]\ncommand = [{:?}, \"-c\", {TORN:?}]\n[pipelines.steps.slow]\ncommand = [\"/bin/sleep\", \"600\"]\ntimeout_s = 1\n[pipelines.steps.family]\ncommand = [\"/bin/sh\", \"-c\", {parent:?}]\ntimeout_s = 2\n[pipelines.steps.silent]\nurl = \"http://127.0.0.1:1/\"\n",
        python::interpreter().display().to_string(),
        script.display().to_string(),
        echo.port(),
        python::interpreter().display().to_string(),
    );
    let lab = runs_with(|config| config + steps.as_str(), "run,kind,yield\n1,x,10\n2,y,20\n").await;
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
    // A step is nobody's by default: that a scientist may call every function is no grant to run programs.
    let refused = lab.update("sam", &view("doubled", "twice")).await.unwrap_err();
    assert!(refused.contains("sam may not execute step/twice"), "{refused}");
    lab.policy("p, role:lab_scientist, chemistry, fn/twice, execute, allow");
    lab.policy("p, role:lab_scientist, chemistry, step/twice, execute, allow");
    lab.until_updated("sam", &view("doubled", "twice")).await;
    let other = lab.update("sam", &view("echoed", "echo")).await.unwrap_err();
    assert!(other.contains("sam may not execute step/echo"), "{other}");
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
        ("torn", "has no end mark"),
        ("slow", "took longer than 1 s"),
        ("family", "took longer than 2 s"),
        ("silent", "does not answer"),
        ("nothing", "'nothing' not found"),
    ] {
        let error = lab.update("ada", &view("failing", step)).await.unwrap_err();
        assert!(error.contains(says), "{step}: {error}");
    }
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.failing").await.is_err());
    // What a program started dies with it.
    let child = std::fs::read_to_string(child).unwrap();
    let runs = || {
        let line = std::fs::read(format!("/proc/{}/cmdline", child.trim()));
        // Nobody may have taken note of its end yet: then it has no command line any more.
        line.is_ok_and(|line| !line.is_empty())
    };
    lab.until("ada", "SELECT 1 AS n", |_| !runs()).await;
    // Who may not is told the same of a step that there is and of one that there is not.
    lab.policy("p, role:lab_analyst, chemistry, lab/chemistry/hers/**, create|drop|select, allow");
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
    assert!(there.contains("may not execute step/S"), "{there}");
    assert_eq!(there, refused("nothing").await);
}
