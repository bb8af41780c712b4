//! The page in a real headless Chromium: `tests/page/*.mjs`, driven by playwright-core, looked over by axe-core.
//!
//! The browser is Debian's (`apt-get install chromium`); the two packages come from npm by the lock beside the tests, once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{self, BINARY, Server};
use crate::python::run_or_panic;

/// The folder with `node_modules`, made on first use by whichever test process comes first.
fn modules() -> PathBuf {
    let folder = std::env::var_os("LABHOUSE_TEST_VENV").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page"),
        |venv| PathBuf::from(venv).with_file_name("page"),
    );
    std::fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = std::fs::read_to_string(tests().join("package-lock.json")).unwrap();
    let mark = folder.join("installed.json");
    if std::fs::read_to_string(&mark).ok().as_ref() != Some(&wanted) {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(tests().join(file), folder.join(file)).unwrap();
        }
        run_or_panic(
            Command::new("npm")
                .args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(&folder),
        );
        std::fs::write(&mark, wanted).unwrap();
    }
    folder
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page")
}

/// Runs one of the scripts against a lab.
pub(crate) fn browse(lab: &Server, script: &str) {
    run_or_panic(
        Command::new("node")
            .arg(tests().join(script))
            .env("LABHOUSE_NODE", modules())
            .env("LABHOUSE_HTTP", lab.http.as_deref().unwrap())
            .env("LABHOUSE_DIR", &lab.dir)
            .env("LABHOUSE_BINARY", BINARY)
            .env("LABHOUSE_PID", lab.child.id().to_string()),
    );
}

#[test]
fn the_charts_say_what_the_tables_say() {
    browse(&lab::shared(), "charts.mjs");
}

#[test]
fn charts_hold_at_their_edges() {
    browse(&lab::shared(), "edges.mjs");
}

#[test]
fn people_find_their_way() {
    browse(&lab::shared(), "use.mjs");
}

#[test]
fn a_table_is_told_with_profile_lineage_and_who_sees_it() {
    browse(&lab::own(), "data.mjs");
}

#[test]
fn an_administrator_sees_who_sees_what_and_acts() {
    browse(&lab::own(), "admin.mjs");
}

#[test]
fn each_chart_looks_as_it_did() {
    browse(&lab::shared(), "snapshots.mjs");
}

#[test]
fn the_page_follows_the_lab() {
    // The server is stopped and started by the test; the lab is this test's own.
    browse(&lab::own(), "live.mjs");
}
