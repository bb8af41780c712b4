//! The clients people use, from PyPI, in a venv made once.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab;

/// The interpreter of the venv, made on first use by whichever test process comes first.
pub(crate) fn interpreter() -> PathBuf {
    let venv = std::env::var_os("LABHOUSE_TEST_VENV").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("venv"),
        PathBuf::from,
    );
    let python = venv.join("bin/python");
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/requirements.txt");
    std::fs::create_dir_all(venv.parent().unwrap()).unwrap();
    let lock = File::create(venv.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let installed = venv.join("requirements.txt");
    let legacy = requirements.with_file_name("requirements-sqlalchemy14.txt");
    let wanted = [&requirements, &legacy]
        .map(|file| std::fs::read_to_string(file).unwrap())
        .concat();
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        run_or_panic(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run_or_panic(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "-r"])
                .arg(&requirements),
        );
        // An older SQLAlchemy and what needs it, beside the newer one: tests choose by their path.
        run_or_panic(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target"])
                .arg(venv.join("sqlalchemy14"))
                .arg("-r")
                .arg(&legacy),
        );
        std::fs::write(&installed, &wanted).unwrap();
    }
    python
}

/// Runs one pytest file of `tests/python` against a server; its output is shown when it fails.
pub(crate) fn run(file: &str, flight: &str, dir: &Path, extra: &HashMap<&str, String>) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let mut command = Command::new(interpreter());
    command
        .args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"])
        .arg(tests.join(file))
        .current_dir(&tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LABHOUSE_FLIGHT", flight)
        .env("LABHOUSE_DIR", dir)
        .env("LABHOUSE_LANDING", dir.join("landing"))
        .envs(extra);
    if shared.exists() {
        command.env("LABHOUSE_SHARED", shared);
    }
    run_or_panic(&mut command);
}

/// Runs a program to its good end; what it said is shown when it has another.
pub(crate) fn run_or_panic(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}

#[test]
fn adbc_does_what_people_do() {
    // It ingests, so it gets a lab of its own.
    lab::own().pytest("test_adbc.py", &HashMap::new());
}

/// The dialect's folder, and the older SQLAlchemy's before it when that is asked for.
fn python_path(older: bool) -> String {
    let dialect = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sqlalchemy");
    match older {
        true => {
            let venv = interpreter().parent().unwrap().parent().unwrap().to_owned();
            format!("{}:{}", venv.join("sqlalchemy14").display(), dialect.display())
        }
        false => dialect.display().to_string(),
    }
}

#[test]
fn the_sqlalchemy_dialect_works_with_both_versions() {
    for (version, older) in [("2.", false), ("1.4", true)] {
        let extra = HashMap::from([
            ("PYTHONPATH", python_path(older)),
            ("LABHOUSE_SQLALCHEMY", version.to_owned()),
        ]);
        lab::own().pytest("test_sqlalchemy.py", &extra);
    }
}

#[test]
fn flightsql_dbapi_reads_and_lists() {
    let extra = HashMap::from([("PYTHONPATH", python_path(true))]);
    lab::shared().pytest("test_flightsql_dbapi.py", &extra);
}

#[test]
fn pyarrow_flight_is_served_and_refused_as_it_should() {
    lab::shared().pytest("test_pyarrow.py", &HashMap::new());
}

#[test]
fn three_people_see_three_truths_that_an_independent_reader_confirms() {
    lab::shared().pytest("test_three_truths.py", &HashMap::new());
}

#[test]
fn other_readers_open_every_table() {
    lab::shared().pytest("test_lake_open.py", &HashMap::new());
}

#[test]
fn the_real_yields_are_read_typed_and_learned_from() {
    lab::own().pytest("test_real_yields.py", &HashMap::new());
}
