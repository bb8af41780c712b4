//! The audit trail: what is told, to whom, that it survives, and that nobody can change it unseen.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use arrow::array::RecordBatch;
use serde_json::Value;

use crate::lab::{self, BINARY, PATIENCE, Server};

/// Rows of `system.audit` as JSON objects.
async fn events(lab: &Server, who: &str, condition: &str) -> Vec<Value> {
    let sql = format!("SELECT * FROM system.audit WHERE {condition} ORDER BY at, seq");
    let batches = lab
        .query(who, &sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    json(&batches)
}

fn json(batches: &[RecordBatch]) -> Vec<Value> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks until there is an event of that kind: how a statement ended is told a moment after it did.
async fn until_event(lab: &Server, condition: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let sql = format!("SELECT * FROM system.audit WHERE {condition} ORDER BY at, seq");
    loop {
        // A policy that comes into force between question and fetch refuses the fetch.
        let answer = lab.query("ada", &sql).await;
        if let Some(found) = answer.as_ref().ok().and_then(|batches| json(batches).pop()) {
            return found;
        }
        assert!(Instant::now() < deadline, "no event with {condition}: {answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn list(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map_or_else(Vec::new, |all| all.iter().map(|one| one.as_str().unwrap()).collect())
}

fn verify(dir: &Path, more: &[&str]) -> Output {
    Command::new(BINARY)
        .args(["audit", "verify", "--config"])
        .arg(dir.join("labhouse.toml"))
        .args(more)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn a_read_tells_who_what_and_which_lines_decided() {
    let lab = lab::own();
    let sql = "SELECT well, scaffold_smiles FROM lab.chemistry.reactions WHERE yield_pct > 50 -- why not\n LIMIT 7";
    let batches = lab.query("ana", sql).await.unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 7);

    let told = until_event(
        &lab,
        "event = 'statement' AND principal = 'ana' AND verdict = 'allowed' AND door <> 'server'",
    )
    .await;
    let version = lab
        .number(
            "ada",
            "SELECT version FROM system.commits WHERE table_name = 'reactions'",
        )
        .await;
    assert_eq!(
        told["statement"],
        "SELECT well, scaffold_smiles FROM lab.chemistry.reactions WHERE yield_pct > ? LIMIT ?"
    );
    assert_eq!(told["statement_bytes"], sql.len());
    assert!(told["statement_hash"].as_str().unwrap().starts_with("h:"));
    assert_eq!(list(&told["tables"]), [format!("lab.chemistry.reactions@{version}")]);
    let mut columns = list(&told["columns"]);
    columns.sort_unstable();
    assert_eq!(
        columns,
        [
            "lab.chemistry.reactions/scaffold_smiles",
            "lab.chemistry.reactions/well",
            "lab.chemistry.reactions/yield_pct"
        ]
    );
    assert_eq!(
        list(&told["roles"]),
        [
            "role:catalog_reader@system",
            "role:lab_analyst@chemistry",
            "role:lab_analyst@preclinical"
        ]
    );
    assert_eq!(list(&told["filters"]), ["released_only"]);
    assert!(list(&told["masks"]).contains(&"scaffold_hash"));
    let policy = std::fs::read_to_string(lab.dir.join("policies/policy.csv")).unwrap();
    let line = 1 + policy.lines().position(|line| line.starts_with("p2,")).unwrap();
    assert!(list(&told["lines"]).contains(&format!("policy.csv:{line}").as_str()));
    assert_eq!(
        (told["door"].as_str(), told["action"].as_str()),
        (Some("flight"), Some("read"))
    );
    assert!(told["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(told["agent"].as_str().unwrap().contains("tonic"));
    assert_eq!(told["policy_generation"], 1);
    assert_eq!(told["policy_fingerprint"].as_str().unwrap().len(), 64);

    let ended = until_event(&lab, "event = 'ended' AND principal = 'ana' AND door <> 'server'").await;
    assert_eq!(ended["query_id"], told["query_id"]);
    assert_eq!(
        (ended["rows"].as_i64(), ended["reason"].as_str()),
        (Some(7), Some("finished"))
    );
    assert!(ended["bytes"].as_i64().unwrap() > 0 && ended["duration_us"].as_i64().unwrap() > 0);
}

#[tokio::test]
async fn refusals_tell_the_hidden_from_the_absent_to_the_auditor_alone() {
    let lab = lab::own();
    for sql in [
        "SELECT * FROM lab.adme.clearance",
        "SELECT * FROM lab.adme.nothing_there",
        "SELECT operator FROM lab.chemistry.protocols",
        "SELECT * FROM",
    ] {
        assert!(lab.query("ana", sql).await.is_err(), "{sql}");
    }
    assert!(
        lab.update("ana", "INSERT INTO lab.chemistry.reagent_lots (lot) VALUES ('x')")
            .await
            .is_err()
    );
    let of = async |text: &str| until_event(&lab, &format!("principal = 'ana' AND statement LIKE '%{text}%'")).await;

    let hidden = of("clearance").await;
    assert_eq!(
        (hidden["verdict"].as_str(), hidden["reason"].as_str()),
        (Some("denied"), Some("not_found"))
    );
    assert_eq!(list(&hidden["refused"]), ["lab.adme.clearance"]);
    let absent = of("nothing_there").await;
    assert_eq!(
        (absent["verdict"].as_str(), absent["reason"].as_str()),
        (Some("refused"), Some("not_found"))
    );
    assert!(list(&absent["refused"]).is_empty());
    let column = of("operator").await;
    assert_eq!(column["verdict"], "denied");
    assert_eq!(list(&column["refused"]), ["lab.chemistry.protocols/operator"]);
    assert!(!list(&column["lines"]).is_empty());
    let syntax = until_event(&lab, "principal = 'ana' AND reason = 'syntax'").await;
    assert_eq!(syntax["verdict"], "refused");
    let write = of("INSERT").await;
    assert_eq!(
        (write["verdict"].as_str(), write["action"].as_str()),
        (Some("denied"), Some("insert"))
    );
    assert_eq!(list(&write["refused"]), ["insert lab/chemistry/reagent_lots"]);
    assert_eq!(list(&write["targets"]), ["lab.chemistry.reagent_lots"]);
    // None of them was run, so none of them ended.
    assert!(
        events(
            &lab,
            "ada",
            "event = 'ended' AND principal = 'ana' AND door <> 'server'"
        )
        .await
        .is_empty()
    );
}

#[tokio::test]
async fn changes_logins_tags_models_and_policies_are_told() {
    let lab = lab::own();
    let made =
        "CREATE TABLE lab.chemistry.kept AS SELECT plate_id, yield_pct FROM lab.chemistry.plate_readings LIMIT 50";
    lab.update("ada", made).await.unwrap();
    lab.update(
        "ada",
        "ALTER TABLE lab.chemistry.kept SET TAGS (sensitivity = 'public')",
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        "UPDATE lab.chemistry.kept SET yield_pct = 0 WHERE yield_pct > 1000",
    )
    .await
    .unwrap();
    lab.update("ada", "CREATE MODEL lab.chemistry.small OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_small') AS SELECT scaffold, yield_pct FROM lab.chemistry.reactions LIMIT 500").await.unwrap();
    lab.query("ada", "SELECT predict_small('x')").await.unwrap();
    let _ = lab.login("sam", "wrong-password").await.err().unwrap();
    let _ = lab.login("hunter2-typed-as-a-name", "x").await.err().unwrap();

    let created = until_event(&lab, "action = 'create_table' AND event = 'statement'").await;
    assert!(list(&created["tables"])[0].starts_with("lab.chemistry.plate_readings@"));
    assert!(list(&created["columns"]).contains(&"lab.chemistry.plate_readings/yield_pct"));
    let ended = until_event(&lab, "action = 'create_table' AND event = 'ended'").await;
    assert_eq!(list(&ended["targets"]), ["lab.chemistry.kept@0"]);
    assert_eq!(ended["query_id"], created["query_id"]);
    let tagged = until_event(&lab, "action = 'set_tags' AND event = 'statement'").await;
    let detail: Value = serde_json::from_str(tagged["detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["new"]["sensitivity"], "public");
    // A change of no row is told as well.
    until_event(
        &lab,
        "action = 'update' AND event = 'statement' AND verdict = 'allowed'",
    )
    .await;
    let trained = until_event(&lab, "action = 'create_model' AND event = 'ended'").await;
    assert_eq!(list(&trained["targets"]), ["lab.chemistry.small@1"]);
    let asked = until_event(&lab, "statement LIKE '%predict_small(?)%' AND event = 'statement'").await;
    assert_eq!(list(&asked["models"]), ["lab.chemistry.small@1"]);

    lab.land("chemistry/fresh/a.csv", "t,v\n1,2\n3,4\n");
    let crawled = until_event(&lab, "event = 'crawl'").await;
    assert_eq!(
        (crawled["rows"].as_i64(), list(&crawled["targets"])),
        (Some(2), vec!["lab.chemistry.fresh"])
    );

    let failed = until_event(&lab, "event = 'login' AND verdict = 'refused' AND principal = 'sam'").await;
    assert!(failed["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let unknown = until_event(&lab, "event = 'login' AND principal LIKE 'unknown:%'").await;
    assert!(!unknown["principal"].as_str().unwrap().contains("hunter2"));
    until_event(&lab, "event = 'login' AND verdict = 'allowed' AND principal = 'ada'").await;

    // Who may log in, and as what, is decided by the users file, too.
    let path = lab.dir.join("users.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("{text}\n[users.dee.attributes]\nclearance = \"SECRET-7\"\n"),
    )
    .unwrap();
    let edited = until_event(&lab, "event = 'users' AND verdict = 'allowed'").await;
    assert_eq!(edited["detail"], r#"{"changed":{"dee":["attributes"]}}"#);
    std::fs::write(&path, "users = 7").unwrap();
    let refused = until_event(&lab, "event = 'users' AND verdict = 'refused'").await;
    assert_eq!(refused["detail"], Value::Null);
    std::fs::write(&path, text).unwrap();

    let path = lab.dir.join("policies/policy.csv");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}\n# reviewed\n")).unwrap();
    let swapped = until_event(&lab, "event = 'policy' AND verdict = 'allowed'").await;
    let detail: Value = serde_json::from_str(swapped["detail"].as_str().unwrap()).unwrap();
    assert_eq!(
        (
            detail["old"]["generation"].as_i64(),
            detail["new"]["generation"].as_i64()
        ),
        (Some(1), Some(2))
    );
    assert_ne!(detail["old"]["fingerprint"], detail["new"]["fingerprint"]);
    std::fs::write(&path, format!("{good}\np, role:x, chemistry, lab/**, select, Deny\n")).unwrap();
    let refused = until_event(&lab, "event = 'policy' AND verdict = 'refused'").await;
    assert!(list(&refused["lines"])[0].starts_with("policy.csv:"));
}

#[tokio::test]
async fn questions_about_the_catalog_are_counted_not_listed() {
    let lab = lab::own();
    let mut sam = lab.client("sam").await;
    let info = sam
        .get_tables(arrow_flight::sql::CommandGetTables::default())
        .await
        .unwrap();
    let told = lab::fetch(&mut sam, info).await.unwrap();
    let shown: usize = told.iter().map(RecordBatch::num_rows).sum();
    lab.query("sam", "SHOW TABLES").await.unwrap();

    let metadata = until_event(&lab, "event = 'metadata' AND principal = 'sam'").await;
    assert_eq!(metadata["rows"], shown);
    assert!(list(&metadata["tables"]).is_empty());
    let listed = until_event(&lab, "event = 'statement' AND principal = 'sam' AND door <> 'server'").await;
    assert_eq!(list(&listed["tables"]), ["lab.information_schema.tables"]);
}

#[tokio::test]
async fn what_was_announced_and_not_fetched_is_told_once_and_what_was_fetched_not_twice() {
    let lab = lab::own();
    let mut sam = lab.client("sam").await;
    sam.execute("SELECT lot FROM lab.chemistry.reagent_lots".to_owned(), None)
        .await
        .unwrap();
    lab.query("sam", "SELECT count(*) AS n FROM lab.chemistry.reagent_lots")
        .await
        .unwrap();
    let unfetched = {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Each question makes the server look at the plans that were never fetched.
            lab.query("sam", "SELECT 1").await.unwrap();
            let found = events(&lab, "ada", "statement LIKE '%lot FROM%' OR reason = 'not_fetched'").await;
            if found.len() > 1 {
                break found;
            }
            assert!(Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    assert_eq!(unfetched.len(), 2, "{unfetched:?}");
    assert_eq!(list(&unfetched[0]["columns"]), ["lab.chemistry.reagent_lots/lot"]);
    assert_eq!(
        (&unfetched[1]["query_id"], unfetched[1]["rows"].as_i64()),
        (&unfetched[0]["query_id"], Some(0))
    );
    let fetched = events(&lab, "ada", "statement LIKE '%AS n FROM lab.chemistry.reagent_lots%'").await;
    assert_eq!(fetched.len(), 1, "{fetched:?}");
    let log = "SELECT count(*) FROM system.queries WHERE id = ";
    let id = fetched[0]["query_id"].as_str().unwrap();
    assert_eq!(
        lab.number("ada", &format!("{log}'{id}'")).await,
        1,
        "one number in both"
    );
}

#[tokio::test]
async fn own_events_for_a_person_and_all_for_an_auditor() {
    let lab = lab::own();
    let path = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let grants = "
g, user:ana, role:reader, system
g, user:guest, role:auditor, system
p, role:reader,  system, lab, use, allow
p, role:reader,  system, lab/system, use, allow
p, role:reader,  system, lab/system/audit/**, use|select, allow
p, role:auditor, system, lab, use, allow
p, role:auditor, system, lab/system, use, allow
p, role:auditor, system, lab/system/audit/**, use|select|admin, allow
";
    std::fs::write(&path, format!("{text}{grants}")).unwrap();
    lab.until("ana", "SELECT count(*) FROM system.audit", Result::is_ok)
        .await;
    assert!(lab.query("sam", "SELECT * FROM system.audit").await.is_err());
    lab.query("sam", "SELECT 11 AS of_sam").await.unwrap();
    for sql in [
        "SELECT * FROM lab.adme.clearance",
        "SELECT * FROM lab.adme.nothing_there",
    ] {
        assert!(lab.query("ana", sql).await.is_err());
    }
    lab.query("ana", "SELECT count(*) FROM lab.chemistry.reactions")
        .await
        .unwrap();

    let own = events(&lab, "ana", "true").await;
    assert!(own.iter().all(|event| event["principal"] == "ana"));
    assert!(
        own.iter()
            .any(|event| event["tables"].to_string().contains("lab.chemistry.reactions"))
    );
    for column in ["lines", "filters", "masks", "refused", "roles"] {
        assert!(own.iter().all(|event| list(&event[column]).is_empty()), "{column}");
    }
    // Her own rows do not tell a hidden table from one that is not there, nor a version that hidden rows raise.
    let of = |table: &str| {
        let mut event = own
            .iter()
            .find(|event| event["statement"].to_string().contains(table))
            .unwrap()
            .clone();
        for differs in [
            "at",
            "query_id",
            "statement",
            "statement_bytes",
            "statement_hash",
            "duration_us",
            "peer",
        ] {
            event[differs] = Value::Null;
        }
        event
    };
    assert_eq!(of("clearance"), of("nothing_there"));
    assert!(own.iter().all(|event| !event["tables"].to_string().contains('@')));
    for probe in [
        "verdict = 'denied'",
        "hash <> ''",
        "seq > 0",
        "cardinality(lines) > 0",
        "policy_generation > 0",
    ] {
        assert!(events(&lab, "ana", probe).await.is_empty(), "{probe}");
    }
    // A condition of hers is never evaluated on another's event.
    let other = "CAST(CASE WHEN principal = 'sam' THEN 'x' ELSE '1' END AS INT) = 1";
    assert!(!events(&lab, "ana", other).await.is_empty());

    let all = events(&lab, "guest", "true").await;
    for who in ["ana", "sam", "guest"] {
        assert!(all.iter().any(|event| event["principal"] == who), "{who}");
    }
    assert!(all.iter().any(|event| event["verdict"] == "denied"));
    assert!(lab.query("guest", "SELECT * FROM system.queries").await.is_err());
    // Reading the trail is in the trail.
    let reading = events(&lab, "ada", "principal = 'ana' AND event = 'statement'").await;
    assert!(
        reading
            .iter()
            .any(|event| list(&event["tables"]) == ["lab.system.audit"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_literal_password_or_token_is_in_any_file() {
    const SECRETS: [&str; 6] = [
        "zqliteral",
        "zqcomment",
        "zqbound",
        "zqpassword",
        "labhouse_zqtoken",
        "zqdouble",
    ];
    let mut lab = lab::empty(|config| format!("{config}[audit]\nfold_interval_s = 1\n"));
    let mut ada = lab.client("ada").await;
    lab.query("ada", "SELECT 'zqliteral' AS zq_visible /* zqcomment */")
        .await
        .unwrap();
    for sql in [
        "SELECT CAST('zqliteral' AS INT)",
        "SELECT 'zqliteral",
        "CREATE TABLE lab.chemistry.t AS SELECT N'zqliteral' AS a, X'7a716c69746572616c' AS b, $$zqliteral$$ AS c",
        "CREATE MODEL lab.chemistry.m OPTIONS (target = \"zqdouble\") AS SELECT 1",
    ] {
        let _ = lab.query("ada", sql).await;
    }
    let mut prepared = ada.prepare("SELECT $1 AS a".to_owned(), None).await.unwrap();
    let bound = RecordBatch::try_from_iter([(
        "$1",
        std::sync::Arc::new(arrow::array::StringArray::from(vec!["zqbound"])) as arrow::array::ArrayRef,
    )]);
    prepared.set_parameters(bound.unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    lab::fetch(&mut ada, info).await.unwrap();
    for (user, password) in [("ada", "zqpassword"), ("zqpassword", "x"), ("ada", "labhouse_zqtoken")] {
        assert!(lab.login(user, password).await.is_err());
    }
    let token = ada.token().unwrap().clone();
    // Both places: what a killed server left in its segments, and what a stopped one folded.
    let log = lab.dir.join(lab::TRAIL);
    let seen = words(&log);
    for secret in SECRETS.iter().copied().chain([token.as_str(), "ada-demo"]) {
        assert!(!seen.contains(secret), "{secret} is in the segments");
    }
    assert!(seen.contains("zq_visible"), "the search itself works");
    lab.terminate();
    assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
    let seen = words(&log);
    for secret in SECRETS.iter().copied().chain([token.as_str(), "ada-demo"]) {
        assert!(!seen.contains(secret), "{secret} is in the table");
    }
    assert!(seen.contains("zq_visible"));
    assert!(
        !lab.dir.join(lab::TRAIL).join("wal").read_dir().unwrap().any(|_| true),
        "all is folded"
    );
}

/// All bytes of all files, and the unpacked contents of Parquet files.
fn words(folder: &Path) -> String {
    let mut all = String::new();
    for file in files(folder) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        all.push_str(&String::from_utf8_lossy(&bytes));
        if file.extension().is_some_and(|extension| extension == "parquet") {
            for batch in read_parquet(&file) {
                all.push_str(&format!("{:?}", json(&[batch])));
            }
        }
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn read_parquet(file: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(file).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader.build().unwrap().collect::<Result<_, _>>().unwrap()
}

fn write_parquet(file: &Path, batch: &RecordBatch) {
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    std::fs::write(file, bytes).unwrap();
}

fn serve(dir: &Path) -> Server {
    lab::start(
        Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(dir.join("labhouse.toml")),
        dir,
        None,
    )
}

#[tokio::test]
async fn killed_right_after_a_result_the_event_is_there_once() {
    const KILLS: usize = 20;
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    for n in 0..KILLS {
        let mut lab = serve(own.path());
        let rows = lab.query("ada", &format!("SELECT 1 AS kill_{n}_x")).await.unwrap();
        assert_eq!(rows[0].num_rows(), 1);
        lab.child.kill().unwrap();
        lab.child.wait().unwrap();
    }
    let lab = serve(own.path());
    for n in 0..KILLS {
        let found = events(
            &lab,
            "ada",
            &format!("event = 'statement' AND statement LIKE '%kill_{n}_x'"),
        )
        .await;
        assert_eq!(found.len(), 1, "kill {n}: {found:?}");
    }
    let twice = "SELECT count(*) FROM (SELECT chain, seq FROM system.audit GROUP BY 1, 2 HAVING count(*) > 1)";
    assert_eq!(lab.number("ada", twice).await, 0);
    // Each chain but ours was taken over by the next server, which says so.
    assert_eq!(events(&lab, "ada", "event = 'recovered'").await.len(), KILLS);
    let checked = verify(own.path(), &[]);
    assert!(checked.status.success(), "{}", out(&checked));
}

#[tokio::test]
async fn two_servers_on_one_lake_write_two_chains_into_one_table() {
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let config = own.path().join("labhouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[audit]\nfold_interval_s = 1\n")).unwrap();
    let (mut one, mut other) = (serve(own.path()), serve(own.path()));
    for n in 0..20 {
        one.query("ada", &format!("SELECT {n} AS of_one")).await.unwrap();
        other.query("ada", &format!("SELECT {n} AS of_other")).await.unwrap();
    }
    for server in [&mut one, &mut other] {
        server.terminate();
        assert!(server.child.wait().unwrap().success(), "{}", server.log());
    }
    let checked = verify(own.path(), &[]);
    assert!(
        checked.status.success() && out(&checked).contains("in 2 chains"),
        "{}",
        out(&checked)
    );
    let lab = serve(own.path());
    for word in ["of_one", "of_other"] {
        let condition = format!("event = 'statement' AND statement LIKE 'SELECT ? AS {word}'");
        assert_eq!(events(&lab, "ada", &condition).await.len(), 20);
    }
}

/// A lab whose server wrote some events and stopped; `folded` says whether they are in the table or still in segments.
async fn written(folded: bool) -> tempfile::TempDir {
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let config = own.path().join("labhouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[audit]\nfold_interval_s = 3600\n")).unwrap();
    let mut lab = serve(own.path());
    for n in 0..8 {
        lab.query("sam", &format!("SELECT {n} AS number_{n}")).await.unwrap();
    }
    if folded {
        lab.terminate();
        assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
    } else {
        lab.child.kill().unwrap();
        lab.child.wait().unwrap();
    }
    let checked = verify(own.path(), &[]);
    assert!(checked.status.success(), "{}", out(&checked));
    own
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    let done = Command::new("cp")
        .arg("-a")
        .arg(from.join("."))
        .arg(to.path())
        .status()
        .unwrap();
    assert!(done.success());
    to
}

/// The one data file of the trail's table.
fn data_file(dir: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = files(&dir.join(lab::TRAIL).join("events"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    assert_eq!(found.len(), 1);
    found.pop().unwrap()
}

/// What `audit verify` says first, after an attack; it must not be content.
fn found(dir: &Path) -> String {
    let checked = verify(dir, &[]);
    let said = out(&checked);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    let first = said.lines().next().unwrap().to_owned();
    assert!(first.starts_with("bad: "), "{said}");
    first
}

/// The batch with one row changed by `edit`, as whoever can write Parquet may.
fn edited(batch: &RecordBatch, column: &str, edit: impl Fn(usize, &str) -> String) -> RecordBatch {
    let at = batch.schema().index_of(column).unwrap();
    let old = arrow::compute::cast(batch.column(at), &arrow::datatypes::DataType::Utf8).unwrap();
    let old = arrow::array::AsArray::as_string::<i32>(&old).clone();
    let new: arrow::array::StringArray = old
        .iter()
        .enumerate()
        .map(|(row, text)| text.map(|text| edit(row, text)))
        .collect();
    let mut columns = batch.columns().to_vec();
    columns[at] = std::sync::Arc::new(new);
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[tokio::test]
async fn an_attack_on_the_table_is_found_and_its_place_named() {
    let good = written(true).await;
    let whole = read_parquet(&data_file(good.path())).remove(0);
    let rows = whole.num_rows();
    let row_of_event = |seq: usize| seq - 1;

    // Altered: somebody else did it.
    let attacked = copied(good.path());
    let altered = edited(&whole, "principal", |row, old| {
        if row == row_of_event(5) {
            "ana".to_owned()
        } else {
            old.to_owned()
        }
    });
    write_parquet(&data_file(attacked.path()), &altered);
    assert!(
        found(attacked.path()).contains("event 5: it was altered"),
        "{}",
        found(attacked.path())
    );

    // Removed: it never happened.
    let attacked = copied(good.path());
    let (before, after) = (whole.slice(0, 6), whole.slice(7, rows - 7));
    let removed = arrow::compute::concat_batches(&whole.schema(), [&before, &after]).unwrap();
    write_parquet(&data_file(attacked.path()), &removed);
    assert!(found(attacked.path()).contains("event 7: the event is missing"));

    // Reordered: events 4 and 5 take each other's number and hashes' places.
    let attacked = copied(good.path());
    let order: Vec<u64> = (0..rows as u64)
        .map(|row| match row {
            3 => 4,
            4 => 3,
            other => other,
        })
        .collect();
    let swapped = arrow::compute::take_record_batch(&whole, &arrow::array::UInt64Array::from(order)).unwrap();
    let schema = whole.schema();
    let columns = swapped
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(new, field)| match field.name().as_str() {
            "seq" => whole.column_by_name("seq").unwrap().clone(),
            _ => new.clone(),
        });
    let reordered = RecordBatch::try_new(whole.schema(), columns.collect()).unwrap();
    write_parquet(&data_file(attacked.path()), &reordered);
    assert!(found(attacked.path()).contains("event 4"), "{}", found(attacked.path()));

    // Put in: an event that is another's copy.
    let attacked = copied(good.path());
    let added = arrow::compute::concat_batches(&whole.schema(), [&whole, &whole.slice(3, 1)]).unwrap();
    let added = edited(&added, "principal", |row, old| {
        if row == rows { "ana".to_owned() } else { old.to_owned() }
    });
    write_parquet(&data_file(attacked.path()), &added);
    assert!(found(attacked.path()).contains("event 4"), "{}", found(attacked.path()));

    // Cut off: the end never happened.
    let attacked = copied(good.path());
    write_parquet(&data_file(attacked.path()), &whole.slice(0, rows - 3));
    let first = found(attacked.path());
    assert!(
        first.contains(&format!("event {}: the chain ends before", rows - 2)),
        "{first}"
    );

    // The whole trail is gone; the file outside the lake remembers.
    let attacked = copied(good.path());
    std::fs::remove_dir_all(attacked.path().join(lab::TRAIL)).unwrap();
    assert!(found(attacked.path()).contains("all events of the chain are missing"));
    // Whoever takes that file as well is not found: this is what it is for.
    std::fs::remove_file(attacked.path().join("audit-anchors.jsonl")).unwrap();
    assert!(verify(attacked.path(), &[]).status.success());
    // Unless it was kept elsewhere.
    let elsewhere = good.path().join("audit-anchors.jsonl");
    let checked = verify(attacked.path(), &["--anchor", elsewhere.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
}

#[tokio::test]
async fn an_attack_on_a_segment_is_found_and_never_folded_over() {
    let good = written(false).await;
    let segment = |dir: &Path| {
        let found = files(&dir.join(lab::TRAIL).join("wal"));
        found
            .into_iter()
            .find(|file| file.extension().is_some_and(|extension| extension == "jsonl"))
            .unwrap()
    };
    let lines: Vec<String> = std::fs::read_to_string(segment(good.path()))
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let attack = |lines: &[String]| {
        let attacked = copied(good.path());
        std::fs::write(segment(attacked.path()), lines.join("\n") + "\n").unwrap();
        attacked
    };

    let mut altered = lines.clone();
    altered[4] = altered[4].replace("\"sam\"", "\"ana\"");
    assert_ne!(altered[4], lines[4]);
    assert!(found(attack(&altered).path()).contains("event 5: it was altered"));

    let mut removed = lines.clone();
    removed.remove(4);
    let attacked = attack(&removed);
    assert!(found(attacked.path()).contains("event 5: the event is missing"));

    let mut damaged = lines.clone();
    damaged[3] = "nonsense".to_owned();
    assert!(found(attack(&damaged).path()).contains("line 4 is no event"));

    // A server that finds the hole folds what comes before it and leaves the evidence; the hole stays a hole.
    let mut lab = serve(attacked.path());
    assert!(lab.log().contains("was altered"), "{}", lab.log());
    lab.query("ada", "SELECT 1").await.unwrap();
    lab.terminate();
    assert!(lab.child.wait().unwrap().success());
    assert!(segment(attacked.path()).exists());
    assert!(found(attacked.path()).contains("event 5: the event is missing"));

    // Half a line at the end is what a loss of power leaves: told, and no attack.
    let torn = attack(&lines);
    let text = std::fs::read_to_string(segment(torn.path())).unwrap();
    std::fs::write(segment(torn.path()), format!("{text}{{\"chain\":\"x")).unwrap();
    let checked = verify(torn.path(), &[]);
    assert!(
        checked.status.success() && out(&checked).contains("being written"),
        "{}",
        out(&checked)
    );
}

#[tokio::test]
async fn a_chain_needs_its_key_to_be_verified() {
    let good = written(true).await;
    std::fs::write(good.path().join("policies/secret"), "another-secret-than-before").unwrap();
    let first = found(good.path());
    assert!(
        first.contains("not at hand") && first.contains("LABHOUSE_AUDIT_KEY"),
        "{first}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_statements_and_room_lets_them_run_again() {
    for (on_failure, goes_on) in [("refuse", false), ("continue", true)] {
        let own = tempfile::tempdir().unwrap();
        lab::lay_out_empty(own.path());
        let config = own.path().join("labhouse.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let audit = format!("[audit]\nfold_interval_s = 3600\non_failure = \"{on_failure}\"\n");
        std::fs::write(&config, format!("{text}{audit}")).unwrap();
        // No file may grow beyond 64 KiB, which the segment soon would; a new segment has room again.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" serve --config \"$1\""])
            .arg(BINARY)
            .arg(&config);
        let mut lab = lab::start(&mut command, own.path(), None);
        let mut client = lab.client("ada").await;
        let mut refused = None;
        for n in 0..300 {
            if let Err(error) = lab::rows(&mut client, &format!("SELECT {n} AS n")).await {
                refused = Some(error);
                break;
            }
            if goes_on && lab.log().contains("cannot be written") {
                break;
            }
        }
        assert!(lab.log().contains("audit trail cannot be written"), "{}", lab.log());
        match refused {
            Some(error) => assert!(!goes_on && error.contains("audit trail"), "{error}"),
            None => assert!(goes_on, "nothing was refused"),
        }
        lab.until("ada", "SELECT 1 AS again", Result::is_ok).await;
        lab.terminate();
        lab.child.wait().unwrap();
        let checked = verify(own.path(), &[]);
        assert!(checked.status.success(), "{}", out(&checked));
    }
}

#[test]
fn without_a_trail_no_server_starts_unless_it_may() {
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    std::fs::create_dir_all(own.path().join("_labhouse")).unwrap();
    std::fs::write(own.path().join(lab::TRAIL), "in the way").unwrap();
    let config = own.path().join("labhouse.toml");
    let output = Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let said = out(&output);
    assert!(
        !output.status.success() && said.contains("audit trail") && said.contains("on_failure"),
        "{said}"
    );
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[audit]\non_failure = \"continue\"\n")).unwrap();
    let lab = serve(own.path());
    assert!(lab.log().contains("audit trail"), "{}", lab.log());
}

#[test]
fn other_readers_open_the_trail_and_check_its_hashes() {
    let mut lab = lab::own();
    lab.pytest("test_audit_before.py", &std::collections::HashMap::new());
    lab.terminate();
    assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
    lab.pytest("test_audit.py", &std::collections::HashMap::new());
}
