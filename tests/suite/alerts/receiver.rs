//! The other end: a mail server and a webhook receiver that write down what they get.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{PATIENCE, Server};
use crate::python;

pub(super) const SECRET: &str = "hook-secret";

pub(super) struct Receiver {
    child: Child,
    dir: TempDir,
    smtp: u64,
    http: u64,
    https: u64,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/receiver.py");
        let mut child = Command::new(python::interpreter())
            .arg(script)
            .arg(dir.path())
            .arg(SECRET)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ports: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("no receiver: {error}: {line}"));
        let port = |name: &str| ports[name].as_u64().unwrap();
        Self {
            child,
            smtp: port("smtp"),
            http: port("http"),
            https: port("https"),
            dir,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The `[alerts]` of a lab that sends here, with quick retries.
    pub(super) fn config(&self, ca: &str) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        std::fs::write(self.path("password"), "smtp-secret\n").unwrap();
        std::fs::write(self.path("secret"), format!("{SECRET}\n")).unwrap();
        format!(
            "[alerts]\nsend_timeout_s = 1\nretry_s = 1\n[alerts.smtp]\nhost = \"127.0.0.1\"\nport = {}\nfrom = \"labhouse@lab.example\"\nuser = \"labhouse\"\npassword_file = \"{}\"\nca = \"{}\"\n\
             [alerts.channels.hook]\nkind = \"webhook\"\nurl = \"https://127.0.0.1:{}/hook\"\nsecret_file = \"{}\"\nca = \"{}\"\n\
             [alerts.channels.plain_hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/hook\"\nsecret_file = \"{}\"\n\
             [alerts.channels.elsewhere]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/redirect\"\nsecret_file = \"{}\"\n\
             [alerts.channels.team]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{}/slack\"\n\
             [alerts.channels.outbox]\nkind = \"file\"\ndir = \"outbox\"\n",
            self.smtp,
            path("password"),
            path(ca),
            self.https,
            path("secret"),
            path(ca),
            self.http,
            path("secret"),
            self.http,
            path("secret"),
            self.http,
        )
    }

    /// Sets or clears one of the receiver's moods.
    pub(super) fn set(&self, mood: &str, on: bool) {
        match on {
            true => std::fs::write(self.path(mood), "").unwrap(),
            false => std::fs::remove_file(self.path(mood)).unwrap(),
        }
    }

    /// Everything received until now.
    pub(super) fn received(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("received.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until so many messages came.
    pub(super) async fn until(&self, count: usize, lab: &Server) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count}: {received:#?}\n{}",
                received.len(),
                lab.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
