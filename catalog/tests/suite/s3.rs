//! The cases on a real S3 server, and the probe against one that must not be trusted.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use labhouse_catalog::{Lake, LakeError};

use crate::cases;
use crate::venv::venv;

/// The one account of s3rver, and the name of ours on SeaweedFS.
const KEY: &str = "S3RVER";

/// A server process that ends with the test.
struct Server {
    process: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    async fn lake(&self, prefix: &str) -> Arc<Lake> {
        let options: BTreeMap<String, String> = [
            ("endpoint", format!("http://127.0.0.1:{}", self.port)),
            ("region", "us-east-1".to_owned()),
            ("access_key_id", KEY.to_owned()),
            ("secret_access_key", KEY.to_owned()),
            ("allow_http", "true".to_owned()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
        Lake::open(&format!("s3://lab/{prefix}"), &options).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_s3_keeps_every_promise() {
    let server = seaweed().await;
    server.lake("probe").await.probe().await.unwrap();
    macro_rules! on_s3 {
        ($($case:ident)*) => { $( {
            eprintln!("s3: {}", stringify!($case));
            cases::$case(&server.lake(stringify!($case)).await).await;
        } )* };
    }
    on_s3! {
        loads_each_file_once
        a_changed_file_replaces_its_own_rows
        a_gone_file_is_recorded
        a_renamed_file_has_its_rows_once
    a_restored_table_has_each_file_once
        a_rename_that_a_sweep_saw_half_done
        a_renamed_file_keeps_what_statements_did
        a_file_that_was_renamed_and_written_to
        tables_evolve_without_loss
        what_does_not_fit_is_quarantined
        a_lost_ledger_copy_is_healed
        servers_share_a_lake
        writers_append_side_by_side
        large_tables_come_in_pieces
        a_large_file_that_its_table_cannot_take
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_refused() {
    let server = careless().await;
    let lake = server.lake("x").await;
    let refused = lake.probe().await.unwrap_err();
    assert!(matches!(refused, LakeError::NoConditionalPut { .. }), "{refused}");
    assert!(refused.to_string().contains("refuses to write"), "{refused}");
}

async fn seaweed() -> Server {
    let data = tempfile::tempdir().unwrap();
    let ports: Vec<String> = free_ports(8).iter().map(ToString::to_string).collect();
    let names = ["master.port", "volume.port", "filer.port", "s3.port"];
    let mut command = Command::new(venv().join("bin/weed"));
    command
        .arg("server")
        .arg(format!("-dir={}", data.path().display()))
        .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]);
    for (name, pair) in names.iter().zip(ports.chunks(2)) {
        command
            .arg(format!("-{name}={}", pair[0]))
            .arg(format!("-{name}.grpc={}", pair[1]));
    }
    command.args(["-master.volumeSizeLimitMB=64", "-volume.max=50"]);
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", KEY);
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server {
        process,
        port: ports[6].parse().unwrap(),
        _data: data,
    };
    ready(server).await
}

/// s3rver answers as S3 does, but takes every conditional PUT for a plain one.
async fn careless() -> Server {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3rver");
    std::fs::create_dir_all(&home).unwrap();
    let lock = std::fs::File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let program = home.join("node_modules/.bin/s3rver");
    if !program.exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&home)
            .arg("s3rver@3.7.1");
        let output = npm.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let data = tempfile::tempdir().unwrap();
    let port = free_ports(1)[0];
    let process = Command::new(program)
        .args([
            "--address",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--configure-bucket",
            "lab",
            "--directory",
        ])
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    ready(Server {
        process,
        port,
        _data: data,
    })
    .await
}

/// Waits until the server takes and gives an object; its bucket is made on the way.
async fn ready(server: Server) -> Server {
    let until = Instant::now() + Duration::from_secs(120);
    let lake = server.lake("ready").await;
    loop {
        let made = make_bucket(server.port);
        let written = lake.put("x", "x".into(), labhouse_catalog::Put::Overwrite);
        match tokio::time::timeout(Duration::from_secs(5), written).await {
            Ok(Ok(())) => return server,
            Ok(Err(error)) => assert!(Instant::now() < until, "bucket: {made}, object: {error}"),
            Err(_) => assert!(Instant::now() < until, "the server does not answer"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The one call object_store lacks: PUT /lab, signed.
fn make_bucket(port: u16) -> String {
    const PROGRAM: &str = "
import sys, datetime, hashlib, hmac, urllib.request, urllib.error
port, key = sys.argv[1], sys.argv[2]
now = datetime.datetime.now(datetime.timezone.utc)
stamp, day = now.strftime('%Y%m%dT%H%M%SZ'), now.strftime('%Y%m%d')
empty = hashlib.sha256(b'').hexdigest()
host = '127.0.0.1:' + port
headers = 'host;x-amz-content-sha256;x-amz-date'
canonical = '\\n'.join(['PUT', '/lab', '', 'host:' + host, 'x-amz-content-sha256:' + empty, 'x-amz-date:' + stamp, '', headers, empty])
scope = day + '/us-east-1/s3/aws4_request'
text = '\\n'.join(['AWS4-HMAC-SHA256', stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
secret = ('AWS4' + key).encode()
for part in [day, 'us-east-1', 's3', 'aws4_request']:
    secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
request = urllib.request.Request('http://' + host + '/lab', method='PUT', data=b'')
request.add_header('x-amz-date', stamp)
request.add_header('x-amz-content-sha256', empty)
request.add_header('Authorization', 'AWS4-HMAC-SHA256 Credential=' + key + '/' + scope + ', SignedHeaders=' + headers + ', Signature=' + signature)
try:
    print(urllib.request.urlopen(request, timeout=5).status)
except Exception as error:
    print(error)
";
    let output = Command::new("python3")
        .args(["-c", PROGRAM, &port.to_string(), KEY])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Ports nobody listens on, below the range the system hands out by itself. No two calls give the same ones.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + u16::try_from(std::process::id() % 200).unwrap() * 100;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed))
        .filter(free)
        .take(count)
        .collect()
}
