//! The administrator's tools through the real binary: `policy explain`, `policy diff`, `policy test`.

mod assertions;
mod diff;
mod explain;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{self, BINARY};

/// A copy of the demo lab's folder, without a server.
struct Folder {
    dir: PathBuf,
    _own: TempDir,
}

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Folder {
    fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let dir = own.path().join("lab");
        lab::copy(&lab::built(), &dir);
        Self { dir, _own: own }
    }

    fn policy(&self, arguments: &[&str]) -> Said {
        run(&self.dir, "policy", arguments)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).unwrap();
    }

    /// A second policy directory with some texts replaced in `policy.csv` and `filters.toml`; each must be there.
    fn edited(&self, edits: &[(&str, &str)]) -> String {
        let new = self.dir.join("edited");
        lab::copy(&self.dir.join("policies"), &new);
        let mut texts: Vec<(&str, String)> = ["policy.csv", "filters.toml"]
            .map(|file| (file, std::fs::read_to_string(new.join(file)).unwrap()))
            .into();
        for (from, to) in edits {
            let mut found = false;
            for (_, text) in &mut texts {
                found |= text.contains(from);
                *text = text.replace(from, to);
            }
            assert!(found, "no {from}");
        }
        for (file, text) in texts {
            std::fs::write(new.join(file), text).unwrap();
        }
        new.to_str().unwrap().to_owned()
    }

    fn line(&self, start: &str) -> usize {
        let text = self.read("policies/policy.csv");
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().position(|line| squeezed(line).starts_with(start)).unwrap() + 1
    }
}

fn run(dir: &Path, command: &str, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = Command::new(BINARY)
        .arg(command)
        .args(arguments)
        .arg("--config")
        .arg(dir.join("labhouse.toml"))
        .env("LABHOUSE_PASSWORD", "a-new-secret")
        .output()
        .unwrap();
    Said {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

fn json(said: &Said) -> Vec<Value> {
    said.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The line of the shipped policy that hides operators from analysts.
const OPERATOR_DENIED: &str = "p, role:lab_analyst, chemistry, lab/chemistry/*/operator, select, deny";
