//! Nothing that a step's program started outlives the step.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{RUNS, runs_with};
use crate::lab::PATIENCE;

/// Shell words that start a process which leaves its group, its session, its parent and its environment, and notes its number.
fn away(note: &Path) -> String {
    let note = note.display();
    format!(
        "(setsid env -i /bin/sh -c 'echo $$ > {note}.part; mv {note}.part {note}; exec sleep 600' &); until [ -e {note} ]; do sleep 0.05; done;"
    )
}

fn number(note: &Path) -> Option<String> {
    let number = std::fs::read_to_string(note).ok()?;
    Some(number.trim().to_owned())
}

/// Waits until the process that noted its number is there, or is gone.
async fn until(note: &Path, is_there: bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let runs = number(note).is_some_and(|number| {
            let line = std::fs::read(format!("/proc/{number}/cmdline"));
            // Nobody may have taken note of its end yet: then it has no command line any more.
            line.is_ok_and(|line| !line.is_empty())
        });
        if runs == is_there {
            return;
        }
        assert!(Instant::now() < deadline, "{} stays {runs}", note.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_left_everything_behind_ends_with_its_step() {
    let own = tempfile::tempdir().unwrap();
    let note = |name: &str| -> PathBuf { own.path().join(name) };
    let step = |name: &str, script: &str, timeout_s: u64| {
        let script = format!("{} {script}", away(&note(name)));
        format!("[pipelines.steps.{name}]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\ntimeout_s = {timeout_s}\n")
    };
    let steps = [
        step("late", "sleep 600", 3),
        // It holds on to the pipes, too, and no signal is kept from the program.
        step(
            "left",
            "grep -q 'SigBlk:.0000000000000000' /proc/self/status && cat",
            600,
        ),
        step("orphan", "sleep 600", 600),
    ];
    let mut lab = runs_with(
        |config| config + steps.concat().as_str(),
        "run,kind,yield\n1,x,10\n2,y,20\n",
    )
    .await;
    let view =
        |name: &str| format!("CREATE MATERIALIZED VIEW lab.chemistry.{name} VIA {name} AS SELECT run FROM {RUNS}");
    // It ends with the deadline,
    let error = lab.update("ada", &view("late")).await.unwrap_err();
    assert!(error.contains("took longer than 3 s"), "{error}");
    assert!(number(&note("late")).is_some());
    until(&note("late"), false).await;
    // with its program,
    lab.update("ada", &view("left")).await.unwrap();
    assert_eq!(lab.number("ada", "SELECT sum(run) FROM lab.chemistry.left").await, 3);
    assert!(number(&note("left")).is_some());
    until(&note("left"), false).await;
    // and with the server, however that ends.
    let mut client = lab.client("ada").await;
    let making = tokio::spawn(async move { client.execute_update(view("orphan"), None).await.map(drop) });
    until(&note("orphan"), true).await;
    lab.child.kill().unwrap();
    lab.child.wait().unwrap();
    until(&note("orphan"), false).await;
    assert!(making.await.unwrap().is_err());
}

#[tokio::test]
async fn a_name_cut_amid_a_letter_hides_nothing() {
    let own = tempfile::tempdir().unwrap();
    let note = own.path().join("odd");
    // The kernel keeps 15 bytes of it.
    let odd = own.path().join("aaaaaaaaaaaaaa\u{e9}");
    std::os::unix::fs::symlink("/bin/sh", &odd).unwrap();
    let (shown, odd) = (note.display(), odd.display());
    let script = format!(
        "(setsid {odd} -c 'echo $$ > {shown}.part; mv {shown}.part {shown}; while :; do sleep 1; done' &); until [ -e {shown} ]; do sleep 0.05; done; cat"
    );
    let step = format!("[pipelines.steps.odd]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n");
    let lab = runs_with(|config| config + step.as_str(), "run,kind,yield\n1,x,10\n2,y,20\n").await;
    let view = format!("CREATE MATERIALIZED VIEW lab.chemistry.odd VIA odd AS SELECT run FROM {RUNS}");
    lab.update("ada", &view).await.unwrap();
    assert!(number(&note).is_some());
    until(&note, false).await;
}

#[tokio::test]
async fn signals_to_its_group_or_its_parent_do_not_free_a_program() {
    let own = tempfile::tempdir().unwrap();
    let note = own.path().join("rash");
    let shown = note.display();
    let steps = [
        ("loud", "trap '' TERM; kill -TERM 0; cat".to_owned()),
        (
            "rash",
            format!("echo $$ > {shown}.part; mv {shown}.part {shown}; kill -KILL $PPID; exec sleep 600"),
        ),
    ];
    let steps = steps.map(|(name, script)| {
        format!("[pipelines.steps.{name}]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\ntimeout_s = 60\n")
    });
    let lab = runs_with(
        |config| config + steps.concat().as_str(),
        "run,kind,yield\n1,x,10\n2,y,20\n",
    )
    .await;
    let view =
        |name: &str| format!("CREATE MATERIALIZED VIEW lab.chemistry.{name} VIA {name} AS SELECT run FROM {RUNS}");
    lab.update("ada", &view("loud")).await.unwrap();
    assert_eq!(lab.number("ada", "SELECT sum(run) FROM lab.chemistry.loud").await, 3);
    let error = lab.update("ada", &view("rash")).await.unwrap_err();
    assert!(error.contains("the external step rash failed"), "{error}");
    assert!(number(&note).is_some());
    until(&note, false).await;
}
