//! `labhouse sync --every` over days: the share that it looks into goes away and comes back, and clocks differ.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::lab::BINARY;

/// An agent at work; killed when dropped.
struct Agent {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    fn start(dir: &Path, to: &str, more: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .arg("sync")
            .arg(dir)
            .args(["--to", to, "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The path of the next line, which says this.
    fn next(&mut self, status: &str) -> String {
        let line: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["status"], status, "{line}");
        line["path"].as_str().unwrap().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dated(place: &Path, text: &str, at: SystemTime) {
    std::fs::write(place, text).unwrap();
    let file = std::fs::File::options().write(true).open(place).unwrap();
    file.set_modified(at).unwrap();
}

#[test]
fn a_share_that_goes_away_and_comes_back_ends_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let (share, elsewhere) = (dir.path().join("share"), dir.path().join("elsewhere"));
    for folder in ["share", "lake"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(share.join("a.csv"), "run,yield\n1,10\n").unwrap();
    let to = format!("file://{}/lake/landing/chemistry/runs", dir.path().display());
    let mut agent = Agent::start(&share, &to, &["--every", "1", "--settle-ms", "0"]);
    assert_eq!(agent.next("sent"), "a.csv");
    std::fs::rename(&share, &elsewhere).unwrap();
    // Once, however long it is away: the next line is of the next file.
    agent.next("away");
    std::fs::write(elsewhere.join("b.csv"), "run,yield\n2,20\n").unwrap();
    std::fs::rename(&elsewhere, &share).unwrap();
    assert_eq!(agent.next("sent"), "b.csv", "and a.csv not again");
    assert!(dir.path().join("lake/landing/chemistry/runs/b.csv").exists());
}

#[test]
fn a_file_whose_clock_is_ahead_is_sent_once_it_rests() {
    let (dir, lake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    dated(&dir.path().join("ahead.csv"), "run,yield\n1,10\n", tomorrow);
    let to = format!("file://{}/landing/chemistry/runs", lake.path().display());
    let mut agent = Agent::start(dir.path(), &to, &["--settle-ms", "300"]);
    agent.next("waiting");
    assert_eq!(agent.next("sent"), "ahead.csv");
    assert!(agent.child.wait().unwrap().success());
    drop(agent);
    dated(
        &dir.path().join("ahead.csv"),
        "run,yield\n1,11\n",
        tomorrow + Duration::from_secs(1),
    );
    let mut agent = Agent::start(dir.path(), &to, &["--every", "1", "--settle-ms", "300"]);
    assert_eq!(agent.next("sent"), "ahead.csv");
}
