//! The client kit: what `examples/clients` shows is what runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{self, BINARY, Server, copy};
use crate::python::{interpreter, run_or_panic};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients")
}

/// A command that reaches a lab as `user`.
fn as_user<'a>(command: &'a mut Command, lab: &Server, user: &str) -> &'a mut Command {
    command
        .env("LABHOUSE_URI", &lab.flight)
        .env("LABHOUSE_USER", user)
        .env("LABHOUSE_PASSWORD", format!("{user}-demo"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

/// What a command prints.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn the_python_snippet_reads_binds_and_lists() {
    let lab = lab::shared();
    let said = printed(as_user(
        Command::new(interpreter()).arg(clients().join("python/read.py")),
        &lab,
        "sam",
    ));
    for line in ["P0001 ", "wells 192", "rows 36864", "tables "] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn the_rust_snippet_reads_and_binds() {
    let lab = lab::shared();
    // Examples are built with the tests, beside the binary.
    let example = Path::new(BINARY).with_file_name("examples").join("flight_query");
    let said = printed(as_user(&mut Command::new(example), &lab, "sam"));
    assert!(said.contains("P0001") && said.contains("192"), "{said}");
}

#[test]
fn the_node_snippet_reads_and_lists() {
    let lab = lab::shared();
    let said = printed(as_user(
        Command::new("node")
            .arg(clients().join("node/query.mjs"))
            .env("LABHOUSE_NODE", node_modules()),
        &lab,
        "sam",
    ));
    assert!(said.contains("P0001 384") && said.contains("tables "), "{said}");
}

/// The folder with `node_modules`, made on first use by whichever test process comes first.
fn node_modules() -> PathBuf {
    let folder = std::env::var_os("LABHOUSE_TEST_VENV").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("node-client"),
        |venv| PathBuf::from(venv).with_file_name("node-client"),
    );
    std::fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = std::fs::read_to_string(clients().join("node/package.json")).unwrap();
    let mark = folder.join("installed.json");
    if std::fs::read_to_string(&mark).ok().as_ref() != Some(&wanted) {
        std::fs::write(folder.join("package.json"), &wanted).unwrap();
        // The client names builds for systems that it does not publish, which a lock could not hold.
        run_or_panic(
            Command::new("npm")
                .args([
                    "install",
                    "--silent",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--no-package-lock",
                ])
                .current_dir(&folder),
        );
        std::fs::write(&mark, wanted).unwrap();
    }
    folder
}

/// The folder with dbt, which is kept apart from the other Python packages.
fn dbt() -> PathBuf {
    let venv = interpreter().parent().unwrap().parent().unwrap().to_owned();
    let (folder, lock) = (venv.with_file_name("dbt"), venv.with_file_name("dbt.lock"));
    let lock = File::create(lock).unwrap();
    lock.lock().unwrap();
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/requirements-dbt.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let mark = folder.join("installed.txt");
    if std::fs::read_to_string(&mark).ok().as_ref() != Some(&wanted) {
        let mut pip = Command::new(interpreter());
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]);
        run_or_panic(pip.arg(&folder).arg("-r").arg(&requirements));
        std::fs::write(&mark, wanted).unwrap();
    }
    folder
}

#[test]
fn dbt_builds_a_project_twice_and_tests_it() {
    let lab = lab::own();
    let project = tempfile::tempdir().unwrap();
    copy(&clients().join("dbt/demo"), project.path());
    let path = format!("{}:{}", dbt().display(), clients().join("dbt").display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/build_dbt.py");
    let mut command = Command::new(interpreter());
    command
        .arg(script)
        .arg(project.path())
        .env("PYTHONPATH", path)
        .env("DO_NOT_TRACK", "1");
    let said = printed(as_user(&mut command, &lab, "ada"));
    assert!(said.ends_with("built\n"), "{said}");
}
