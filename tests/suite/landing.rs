//! Files that come over the line: `labhouse sync`, `PUT /api/landing/…`, and who may not.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::lab::{self, BINARY, Server};
use crate::logins::{Papers, user, with_token};
use crate::page_client::{Answer, basic, call};
use crate::raw::query;
use crate::s3::seaweed;

const PART: usize = 4 << 20;

fn sync(dir: &Path, to: &str, password: &str, more: &[&str]) -> Output {
    Command::new(BINARY)
        .arg("sync")
        .arg(dir)
        .args(["--to", to, "--settle-ms", "0"])
        .args(more)
        .env("LABHOUSE_PASSWORD", password)
        .env_remove("LABHOUSE_USER")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn to(lab: &Server, folder: &str) -> String {
    format!("{}/{folder}", lab.http.as_deref().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A part of `whole` as somebody sends it.
fn part(lab: &Server, who: &str, path: &str, whole: &[u8], at: usize) -> Answer {
    let end = whole.len().min(at + PART);
    let url = format!(
        "/api/landing/{path}?bytes={}&sha256={}&at={at}",
        whole.len(),
        hex(whole)
    );
    let (name, value) = basic(who);
    call(lab, "PUT", &url, &[(name, &value)], &whole[at..end])
}

/// The whole file in one call.
fn put(lab: &Server, who: &str, path: &str, bytes: &[u8]) -> Answer {
    let (name, value) = basic(who);
    call(lab, "PUT", &format!("/api/landing/{path}"), &[(name, &value)], bytes)
}

async fn generation(lab: &Server) -> i64 {
    lab.number("ada", "SELECT max(generation) FROM system.policies WHERE in_force")
        .await
}

/// Other policies are in force than those of before.
async fn newer(lab: &Server, before: i64) {
    let sql = format!("SELECT count(*) FROM system.policies WHERE in_force AND generation > {before}");
    lab.until("ada", &sql, |answer| {
        answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
    })
    .await;
}

/// A CSV of about `mib` MiB.
fn large(mib: usize) -> (String, i64) {
    let mut text = String::from("run,note\n");
    let mut rows = 0;
    while text.len() < mib << 20 {
        text.push_str(&format!("{rows},{}\n", "x".repeat(90 + rows % 7)));
        rows += 1;
    }
    (text, i64::try_from(rows).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_instrument_arrive_once_and_again_when_they_change() {
    let lab = lab::own();
    let token = user(
        &lab,
        &["token", "sam", "--label", "reader3", "--land", "chemistry/uploads"],
    );
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let place = folder.path().join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    };
    file("a.csv", "run,yield\n1,10\n2,20\n");
    file("2026 spring/b #1.csv", "run,yield\n3,30\n");
    file(".hidden.csv", "run,yield\n9,90\n");
    file("half.csv.part", "run,yield\n9,90\n");
    let here = to(&lab, "chemistry/uploads");
    let first = sync(folder.path(), &here, &token, &["--json"]);
    assert!(first.status.success(), "{}", said(&first));
    let lines: Vec<Value> = said(&first)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let with = |word: &str| lines.iter().filter(|line| line["status"] == word).count();
    assert_eq!((with("sent"), with("skipped"), lines.len()), (2, 2, 4), "{lines:?}");
    let sum = "SELECT count(*), sum(yield) FROM lab.chemistry.uploads";
    let is = |rows: &'static str, sum: &'static str| {
        move |answer: &Result<String, String>| {
            answer
                .as_ref()
                .is_ok_and(|text| text.contains(rows) && text.contains(sum))
        }
    };
    lab.until("ada", sum, is("| 3 ", "| 60 ")).await;

    // Nothing is sent twice, also when the agent has forgotten what it sent.
    let again = sync(folder.path(), &here, &token, &[]);
    assert!(
        again.status.success() && !said(&again).contains("sent"),
        "{}",
        said(&again)
    );
    std::fs::remove_file(folder.path().join(".labhouse-sync.jsonl")).unwrap();
    let again = sync(folder.path(), &here, &token, &[]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(said(&again).matches("there").count(), 2, "{}", said(&again));

    file("a.csv", "run,yield\n1,11\n2,20\n4,40\n");
    let changed = sync(folder.path(), &here, &token, &[]);
    assert!(changed.status.success(), "{}", said(&changed));
    assert_eq!(said(&changed).matches("sent").count(), 1, "{}", said(&changed));
    lab.until("ada", sum, is("| 4 ", "| 101 ")).await;

    // The trail says who landed what; an upload that the server refuses is told and costs the code.
    let landed = "SELECT count(*) FROM system.audit WHERE principal = 'sam' AND action = 'land' AND verdict = 'allowed' AND detail LIKE '%uploads/a.csv%'";
    lab.until("ada", landed, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 2 "))
    })
    .await;
    user(&lab, &["token", "sam", "--label", "reader3", "--revoke"]);
    file("c.csv", "run,yield\n5,50\n");
    let refused = sync(folder.path(), &here, &token, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("login refused"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_is_taken_up_where_it_broke() {
    let lab = lab::own();
    let (text, rows) = large(9);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("big.csv"), &text).unwrap();
    let path = "chemistry/big_uploads/big.csv";
    let first = part(&lab, "sam", path, text.as_bytes(), 0);
    assert_eq!(
        (first.status, first.json()["received"].as_u64()),
        (202, Some(PART as u64))
    );
    // The same again is no harm; a gap is refused and says where to go on.
    let twice = part(&lab, "sam", path, text.as_bytes(), 0);
    assert_eq!(
        (twice.status, twice.json()["received"].as_u64()),
        (202, Some(PART as u64))
    );
    let gap = part(&lab, "sam", path, text.as_bytes(), 2 * PART);
    assert_eq!(gap.status, 409);
    assert!(gap.text().contains(&PART.to_string()), "{}", gap.text());
    // Somebody else's upload of the same file is another one.
    let (name, value) = basic("ada");
    let url = format!(
        "/api/landing/{path}?bytes={}&sha256={}",
        text.len(),
        hex(text.as_bytes())
    );
    let others = call(&lab, "GET", &url, &[(name, &value)], b"");
    assert_eq!(others.json()["received"], 0, "{}", others.text());

    let done = Command::new(BINARY)
        .arg("sync")
        .arg(folder.path())
        .args([
            "--to",
            &to(&lab, "chemistry/big_uploads"),
            "--settle-ms",
            "0",
            "--user",
            "sam",
        ])
        .env("LABHOUSE_PASSWORD", "sam-demo")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let count = "SELECT count(*) FROM lab.chemistry.big_uploads";
    let wanted = format!("| {rows} ");
    lab.until("ada", count, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains(&wanted))
    })
    .await;
    let landed = call(&lab, "GET", &url, &[(name, &value)], b"");
    assert_eq!(landed.json()["landed"], true, "{}", landed.text());
    // What was kept of it meanwhile is gone.
    let kept = lab.dir.join("_labhouse/uploads");
    assert!(std::fs::read_dir(&kept).map_or(0, Iterator::count) == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_cannot_be_landed() {
    let lab = lab::own();
    let bytes = b"run,yield\n1,10\n";
    // sam may insert in chemistry, ana and dee nowhere, guest sees nothing.
    assert_eq!(put(&lab, "sam", "chemistry/fresh/a.csv", bytes).status, 201);
    for who in ["ana", "dee", "guest"] {
        let absent = put(&lab, who, "chemistry/no_such/a.csv", bytes);
        let there = put(&lab, who, "chemistry/reagent_lots/a.csv", bytes);
        assert_eq!((absent.status, there.status), (403, 403), "{who}");
        // Nobody learns by it which tables there are.
        let blur = |answer: Answer| answer.text().replace("no_such", "T").replace("reagent_lots", "T");
        assert_eq!(blur(absent), blur(there), "{who}");
    }
    assert_eq!(put(&lab, "sam", "assay/fresh/a.csv", bytes).status, 403);
    let own = put(&lab, "ada", "system/audit/a.csv", bytes);
    assert!(
        own.status == 400 && own.text().contains("server's own"),
        "{}",
        own.text()
    );
    let stranger = call(&lab, "PUT", "/api/landing/chemistry/fresh/b.csv", &[], bytes);
    assert_eq!(stranger.status, 401);

    // No path leaves its folder, and none is hidden from the crawler.
    for path in [
        "chemistry/../assay/fresh/a.csv",
        "chemistry/fresh/..%2F..%2F..%2Fusers.toml",
        "%2e%2e/users.toml",
        "chemistry/fresh/.hidden.csv",
        "chemistry/fresh/_labhouse.toml",
        "_labhouse/users.csv",
        "chemistry//a.csv",
        "chemistry/fresh/a%00.csv",
        "chemistry/fresh/a%5Cb.csv",
        "a.csv",
    ] {
        let refused = put(&lab, "ada", path, bytes);
        assert!([400, 404].contains(&refused.status), "{path}: {refused:?}");
    }

    // Tokens: for one folder and nothing else, or for reading and then not for landing.
    let narrow = user(&lab, &["token", "ada", "--label", "n", "--land", "chemistry/fresh"]);
    let reading = user(&lab, &["token", "ada", "--label", "r", "--read-only"]);
    let with = |token: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        call(
            &lab,
            "PUT",
            &format!("/api/landing/{path}"),
            &[("authorization", &bearer)],
            bytes,
        )
        .status
    };
    assert_eq!(with(&narrow, "chemistry/fresh/c.csv"), 201);
    assert_eq!(with(&narrow, "chemistry/fresh_2/c.csv"), 403);
    assert_eq!(with(&narrow, "chemistry/reagent_lots/c.csv"), 403);
    assert_eq!(with(&reading, "chemistry/fresh/d.csv"), 403);
    let mut raw = with_token(&lab, &narrow).await;
    for sql in [
        "SELECT count(*) FROM lab.chemistry.fresh",
        "SELECT * FROM lab.system.files",
    ] {
        assert!(raw.ask(&query(sql)).await.is_err(), "{sql}");
    }

    // Where a folder's settings name another table, that one's grants count.
    let elsewhere = "chemistry/drop/a.csv";
    assert_eq!(put(&lab, "sam", elsewhere, bytes).status, 201);
    let settings = lab.dir.join("landing/chemistry/drop/_labhouse.toml");
    std::fs::write(&settings, "table = \"reactions\"\n").unwrap();
    let refused = put(&lab, "sam", "chemistry/drop/b.csv", bytes);
    assert!(
        refused.status == 400 && refused.text().contains("view"),
        "{}",
        refused.text()
    );
    std::fs::write(&settings, "table = 7\n").unwrap();
    let refused = put(&lab, "sam", "chemistry/drop/b.csv", bytes);
    assert!(
        refused.status == 400 && refused.text().contains("_labhouse.toml"),
        "{}",
        refused.text()
    );

    // What a file holds beside may go to a table beside, so that one's grants count, and its name is not told.
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    let sections = b"[Results]\nWell\tPosition\tCT\n1\tA1\t16.5\n2\tA2\t17.25\n\n[Raw Data]\nWell\tCycle\tx1\n1\t1\t1.5\n1\t2\t2.5\n";
    assert_eq!(put(&lab, "sam", "chemistry/qpcr/a.txt", sections).status, 201);
    lab.until(
        "ada",
        "SELECT count(*) FROM lab.chemistry.qpcr__raw_data",
        lab::shows(2),
    )
    .await;
    assert_eq!(put(&lab, "sam", "chemistry/qpcr/b.txt", sections).status, 201);
    let before = generation(&lab).await;
    let denied = "p, role:lab_scientist, chemistry, lab/chemistry/qpcr__raw_data, use|select|insert, deny";
    std::fs::write(&policy, format!("{text}\n{denied}\n")).unwrap();
    newer(&lab, before).await;
    let refused = put(&lab, "sam", "chemistry/qpcr/c.txt", sections);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("beside") && !refused.text().contains("raw_data"),
        "{}",
        refused.text()
    );
    let before = generation(&lab).await;
    std::fs::write(&policy, &text).unwrap();
    newer(&lab, before).await;

    // A replaced file's rows go, so that takes the right to delete; a filter on the writer closes the door.
    let without = text.replace("use|select|insert|update|delete|create", "use|select|insert|create");
    assert_ne!(text, without);
    let before = generation(&lab).await;
    std::fs::write(&policy, &without).unwrap();
    newer(&lab, before).await;
    let refused = put(&lab, "sam", "chemistry/fresh/a.csv", b"run,yield\n1,11\n");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("delete"), "{}", refused.text());
    assert_eq!(
        put(&lab, "sam", "chemistry/fresh/a.csv", bytes).status,
        201,
        "the same file is no other"
    );
    let refused = put(&lab, "sam", "chemistry/reactions/a.csv", bytes);
    assert!(
        refused.status == 400 && refused.text().contains("view"),
        "{}",
        refused.text()
    );
    let filters = lab.dir.join("policies/filters.toml");
    let few = "\n[filter.few]\ntable = \"lab/chemistry/fresh\"\nsql = \"run < 100\"\n";
    let before = generation(&lab).await;
    std::fs::write(&filters, std::fs::read_to_string(&filters).unwrap() + few).unwrap();
    newer(&lab, before).await;
    let filtered = format!("{without}\np2, role:lab_scientist, chemistry, lab/chemistry/fresh, restrictive, few\n");
    let before = generation(&lab).await;
    std::fs::write(&policy, &filtered).unwrap();
    newer(&lab, before).await;
    let refused = put(&lab, "sam", "chemistry/fresh/e.csv", bytes);
    assert!(
        refused.status == 403 && refused.text().contains("row filter"),
        "{}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_damaged_or_too_long_is_thrown_away() {
    let lab = lab::own();
    let (text, _) = large(5);
    let path = "chemistry/damaged/a.csv";
    assert_eq!(part(&lab, "sam", path, text.as_bytes(), 0).status, 202);
    // The second part is not what the digest says.
    let url = format!(
        "/api/landing/{path}?bytes={}&sha256={}&at={PART}",
        text.len(),
        hex(text.as_bytes())
    );
    let (name, value) = basic("sam");
    let wrong = text.as_bytes()[PART..].to_ascii_uppercase();
    let damaged = call(&lab, "PUT", &url, &[(name, &value)], &wrong);
    assert_eq!(damaged.status, 409);
    assert!(damaged.text().contains("SHA-256"), "{}", damaged.text());
    let look = url.split("&at").next().unwrap();
    let state = call(&lab, "GET", look, &[(name, &value)], b"").json();
    assert_eq!(
        (state["received"].as_u64(), &state["landed"]),
        (Some(0), &Value::Bool(false))
    );
    assert!(!lab.dir.join("landing/chemistry/damaged/a.csv").exists());

    // What is read piece by piece may be of any size, the rest may not.
    let of_size = |path: &str| {
        let url = format!("/api/landing/{path}?bytes=5000000000&sha256={}", hex(b"any"));
        call(&lab, "GET", &url, &[(name, &value)], b"")
    };
    assert_eq!(of_size("chemistry/damaged/large.csv").status, 200);
    let refused = of_size("chemistry/damaged/large.xlsx");
    assert!(
        refused.status == 400 && refused.text().contains("file_bytes_max"),
        "{}",
        refused.text()
    );

    let long = [text.as_bytes(), b"more"].concat();
    let too_long = call(&lab, "PUT", look, &[(name, &value)], &long[..PART]);
    assert_eq!(too_long.status, 202);
    let over = call(&lab, "PUT", &url, &[(name, &value)], &long[PART..]);
    assert_eq!(over.status, 409, "{}", over.text());
    for bad in [
        "?bytes=5",
        "?sha256=00&bytes=5",
        "?bytes=99999999999999&sha256=00",
        "?at=x",
        "?other=1",
    ] {
        let refused = call(
            &lab,
            "PUT",
            &format!("/api/landing/{path}{bad}"),
            &[(name, &value)],
            b"12345",
        );
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text());
    }
    let huge = call(
        &lab,
        "PUT",
        &format!("/api/landing/{path}"),
        &[(name, &value)],
        &vec![b'x'; PART + 1],
    );
    assert_eq!(huge.status, 413, "{}", huge.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_door_encrypts_and_the_agent_checks_whom_it_talks_to() {
    let papers = Papers::new();
    let (cert, key) = (papers.path("server.pem"), papers.path("server.key"));
    let lab = lab::empty(|config| format!("{config}\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n"));
    let http = lab.http.clone().unwrap();
    assert!(http.starts_with("https://"), "{http}");
    let here = format!("{}/chemistry/runs", http.replace("127.0.0.1", "localhost"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "run,yield\n1,10\n2,20\n").unwrap();
    let ca = papers.path("ca.pem");
    let agent = |more: &[&str]| {
        let user = [&["--user", "sam"], more].concat();
        sync(folder.path(), &here, "sam-demo", &user)
    };
    papers.authority("foreign");
    let foreign = papers.path("foreign.pem");
    let deceived = Command::new("timeout")
        .arg("240")
        .arg(BINARY)
        .arg("sync")
        .arg(folder.path())
        .args(["--to", &here, "--settle-ms", "0", "--user", "sam", "--tls-ca", &foreign])
        .env("LABHOUSE_PASSWORD", "sam-demo")
        .output()
        .unwrap();
    assert_eq!(deceived.status.code(), Some(1));
    assert!(said(&deceived).contains("certificate"), "{}", said(&deceived));
    let sent = agent(&["--tls-ca", &ca]);
    assert!(sent.status.success(), "{}", said(&sent));
    assert!(lab.dir.join("landing/chemistry/runs/a.csv").exists());

    // The page comes encrypted too, and nothing comes in plain text.
    let curl = |url: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "60", "--cacert", &ca, url])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let secure = http.replace("127.0.0.1", "localhost");
    assert_eq!(curl(&format!("{secure}/healthz")), "ok\n");
    assert!(curl(&format!("{secure}/")).contains("<html"));
    assert!(!curl(&secure.replace("https", "http")).contains("<html"));
    // One that opens a connection and says nothing holds up nobody.
    let address = http.trim_start_matches("https://").to_owned();
    let _silent: Vec<_> = (0..8)
        .map(|_| std::net::TcpStream::connect(&address).unwrap())
        .collect();
    assert_eq!(curl(&format!("{secure}/healthz")), "ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_puts_files_straight_into_a_folder_or_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let (text, rows) = large(9);
    std::fs::write(folder.path().join("big.csv"), &text).unwrap();
    std::fs::write(folder.path().join("small.csv"), "run,note\n1,a\n").unwrap();
    let count = "SELECT count(*) FROM lab.chemistry.direct";
    let wanted = format!("| {} ", rows + 1);

    let lab = lab::empty(|config| config);
    let here = format!("file://{}/landing/chemistry/direct", lab.dir.display());
    let sent = sync(folder.path(), &here, "", &[]);
    assert!(sent.status.success(), "{}", said(&sent));
    lab.until("ada", count, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains(&wanted))
    })
    .await;

    let store = seaweed();
    let bucket = crate::bucket::Bucket::at(&store.endpoint, "direct");
    bucket.make();
    let lab = lab::on_bucket(bucket.clone(), |config| config);
    let mut agent = Command::new(BINARY);
    let agent = bucket.keys(&mut agent);
    let sent = agent
        .arg("sync")
        .arg(folder.path())
        .args(["--to", "s3://lake/direct/landing/chemistry/direct", "--settle-ms", "0"])
        .envs([
            ("AWS_ENDPOINT", store.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
        ])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", said(&sent));
    lab.until("ada", count, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains(&wanted))
    })
    .await;
    // Over the server's door into the bucket, in parts.
    let path = "chemistry/through/big.csv";
    for at in [0, PART, 2 * PART] {
        assert!(part(&lab, "sam", path, text.as_bytes(), at).status < 300);
    }
    let wanted = format!("| {rows} ");
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.through", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains(&wanted))
    })
    .await;
}

#[test]
fn an_agent_that_cannot_work_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |to: &str, password: &str, says: &str| {
        let output = sync(folder.path(), to, password, &[]);
        assert!(!output.status.success(), "{to}");
        assert!(said(&output).contains(says), "{to}: {}", said(&output));
    };
    refused("http://example.org/chemistry/x", "labhouse_1", "https only");
    refused(
        "ftp://127.0.0.1/chemistry",
        "labhouse_1",
        "http://, https://, file:// or s3://",
    );
    refused("http://127.0.0.1:1/", "labhouse_1", "SCHEMA");
    refused("http://127.0.0.1:1/chemistry/x", "word", "--user");
    refused("file:///tmp/x", "", "landing/SCHEMA/TABLE");
    let absent = sync(
        &folder.path().join("none"),
        "http://127.0.0.1:1/chemistry/x",
        "labhouse_1",
        &[],
    );
    assert!(
        !absent.status.success() && said(&absent).contains("none"),
        "{}",
        said(&absent)
    );
}
