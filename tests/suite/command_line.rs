//! The command line as a person or a script uses it.

use std::process::{Command, Output, Stdio};

use crate::lab::{self, BINARY, Server};

fn sql(lab: &Server, user: &str, password: &str, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(["sql", "--uri", &lab.flight, "--user", user])
        .args(arguments)
        .env("LABHOUSE_PASSWORD", password)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sql_prints_tables_csv_and_json() {
    let lab = lab::shared();
    let query = "SELECT 1 AS a, 'x,y' AS b";
    assert!(out(&sql(&lab, "sam", "sam-demo", &[query])).contains("x,y"));
    assert_eq!(
        out(&sql(&lab, "sam", "sam-demo", &[query, "--format", "csv"])),
        "a,b\n1,\"x,y\"\n"
    );
    let json = out(&sql(&lab, "sam", "sam-demo", &[query, "--format", "json"]));
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((first["a"].as_i64(), first["b"].as_str()), (Some(1), Some("x,y")));
}

#[test]
fn sql_says_what_is_wrong_and_fails() {
    let lab = lab::shared();
    let wrong = sql(&lab, "sam", "wrong", &["SELECT 1"]);
    assert!(
        !wrong.status.success() && err(&wrong).contains("login refused"),
        "{}",
        err(&wrong)
    );
    let bad = sql(&lab, "sam", "sam-demo", &["SELECT nothing FROM nowhere"]);
    assert!(
        !bad.status.success() && err(&bad).contains("not found"),
        "{}",
        err(&bad)
    );
    let gone = Command::new(BINARY)
        .args(["sql", "SELECT 1", "--user", "sam", "--uri", "grpc://127.0.0.1:1"])
        .env("LABHOUSE_PASSWORD", "x")
        .output()
        .unwrap();
    assert!(
        !gone.status.success() && err(&gone).contains("127.0.0.1:1"),
        "{}",
        err(&gone)
    );
}

#[test]
fn users_are_added_listed_given_tokens_and_removed_while_the_server_runs() {
    let lab = lab::own();
    let config = lab.dir.join("labhouse.toml");
    let user = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command
            .arg("user")
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .env("LABHOUSE_PASSWORD", "a-new-secret");
        command.stdin(Stdio::null()).output().unwrap()
    };
    assert!(user(&["add", "zoe", "--attribute", "projects=a,b"]).status.success());
    assert!(out(&sql(&lab, "zoe", "a-new-secret", &["SELECT 41 + 1 AS n"])).contains("42"));
    let token = out(&user(&["token", "zoe", "--label", "notebook", "--days", "1"]));
    assert!(sql(&lab, "zoe", token.trim(), &["SELECT 1"]).status.success());
    assert!(out(&user(&["list"])).contains("zoe\tnotebook"));
    assert!(
        !std::fs::read_to_string(lab.dir.join("users.toml"))
            .unwrap()
            .contains("a-new-secret")
    );
    assert!(user(&["remove", "zoe"]).status.success());
    assert!(!sql(&lab, "zoe", "a-new-secret", &["SELECT 1"]).status.success());
    for bad in [
        &["add", "role:lake_admin"][..],
        &["remove", "nobody"],
        &["token", "nobody"],
        &["add", "Zoe"],
    ] {
        let refused = user(bad);
        assert!(!refused.status.success() && !err(&refused).is_empty(), "{bad:?}");
    }
}

#[test]
fn policy_check_accepts_the_shipped_files_and_names_file_and_line_of_an_error() {
    let lab = lab::own();
    let check = || {
        Command::new(BINARY)
            .args(["policy", "check", "--config"])
            .arg(lab.dir.join("labhouse.toml"))
            .output()
            .unwrap()
    };
    let good = check();
    assert!(good.status.success(), "{}", err(&good));
    let path = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().count() + 1;
    std::fs::write(
        &path,
        format!("{text}\np, role:x, chemistry, lab/**, select, DENY\n").replace("\n\np, role:x", "\np, role:x"),
    )
    .unwrap();
    let bad = check();
    assert!(!bad.status.success());
    assert!(err(&bad).contains(&format!("policy.csv:{line}")), "{}", err(&bad));
}

#[test]
fn a_worker_without_a_config_says_which_file_it_wants() {
    let output = Command::new(BINARY)
        .arg("worker")
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    assert!(
        !output.status.success() && err(&output).contains("--config"),
        "{}",
        err(&output)
    );
}
