//! Servers for tests: start the real binary, wait for its ready line, ask it over Flight SQL.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_flight::FlightInfo;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::bucket::Bucket;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_labhouse");
/// How long anything may take that is awaited by event; only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) flight: String,
    pub(crate) http: Option<String>,
    /// `postgresql://host:port/lab`, when the door is on.
    pub(crate) postgres: Option<String>,
    pub(crate) dir: PathBuf,
    bucket: Option<Bucket>,
    log: Arc<Mutex<String>>,
    _own: Option<TempDir>,
}

/// Where the suite on a bucket keeps the demo lab that tests read or copy.
pub(crate) const DEMO_PREFIX: &str = "demo";

/// The demo lab that all reading tests share, served by a process of this test's own.
pub(crate) fn shared() -> Server {
    if let Some(bucket) = Bucket::asked(DEMO_PREFIX) {
        return on_bucket(bucket, |config| config);
    }
    let dir = built();
    start(Command::new(BINARY).args(["demo", "--dir"]).arg(&dir), &dir, None)
}

/// A copy of the demo lab that this test may change.
pub(crate) fn own() -> Server {
    if let Some(bucket) = Bucket::asked(&unique()) {
        bucket.copy_from(DEMO_PREFIX);
        return on_bucket(bucket, |config| config);
    }
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().join("lab");
    copy(&built(), &dir);
    start(Command::new(BINARY).args(["demo", "--dir"]).arg(&dir), &dir, Some(own))
}

/// A copy of the demo lab that this test may change, served with a config that `edit` may change.
pub(crate) fn own_with(edit: impl FnOnce(String) -> String) -> Server {
    if let Some(bucket) = Bucket::asked(&unique()) {
        bucket.copy_from(DEMO_PREFIX);
        return on_bucket(bucket, edit);
    }
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().join("lab");
    copy(&built(), &dir);
    let config = dir.join("labhouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text
        .replace("127.0.0.1:50051", "127.0.0.1:0")
        .replace("127.0.0.1:8080", "127.0.0.1:0");
    std::fs::write(&config, edit(text)).unwrap();
    let mut command = Command::new(BINARY);
    start(command.args(["serve", "--config"]).arg(&config), &dir, Some(own))
}

/// An empty lab with the demo's users and policies, and a config that `edit` may change.
pub(crate) fn empty(edit: impl FnOnce(String) -> String) -> Server {
    if let Some(bucket) = Bucket::asked(&unique()) {
        return on_bucket(bucket, edit);
    }
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().join("lab");
    lay_out_empty(&dir);
    let config = dir.join("labhouse.toml");
    let text = edit(std::fs::read_to_string(&config).unwrap());
    std::fs::write(&config, text).unwrap();
    start(
        Command::new(BINARY).args(["serve", "--config"]).arg(&config),
        &dir,
        Some(own),
    )
}

/// Serves a lake in a bucket; config, users and policies stay in a folder.
pub(crate) fn on_bucket(bucket: Bucket, edit: impl FnOnce(String) -> String) -> Server {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().join("lab");
    lay_out_empty(&dir);
    let config = dir.join("labhouse.toml");
    let text = edit(std::fs::read_to_string(&config).unwrap());
    // A bucket tells nobody of new files: the sweep finds them.
    let text = text
        .replace("url = \".\"", &bucket.config())
        .replace("settle_ms = 50", "settle_ms = 50\nsweep_interval_s = 1");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(BINARY);
    let command = bucket.keys(command.args(["serve", "--config"]).arg(&config));
    let mut server = start(command, &dir, Some(own));
    server.bucket = Some(bucket);
    server
}

/// A name that no other test has.
pub(crate) fn unique() -> String {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("lab-{}-{next}", std::process::id())
}

/// Config, users and policies of the demo without its data; ports are free ones.
pub(crate) fn lay_out_empty(dir: &Path) {
    let from = built();
    std::fs::create_dir_all(dir.join("landing")).unwrap();
    copy(&from.join("policies"), &dir.join("policies"));
    std::fs::copy(from.join("users.toml"), dir.join("users.toml")).unwrap();
    let text =
        "[lake]\nurl = \".\"\n[listen]\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n[crawl]\nsettle_ms = 50\n";
    std::fs::write(dir.join("labhouse.toml"), text).unwrap();
}

/// Builds the demo lab once for this build of the binary, however many test processes ask.
pub(crate) fn built() -> PathBuf {
    let modified = std::fs::metadata(BINARY).unwrap().modified().unwrap();
    let stamp = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let dir = root.join(format!("demo-{stamp}"));
    std::fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("demo.lock")).unwrap();
    lock.lock().unwrap();
    if !dir.join("_labhouse/demo.json").exists() {
        for old in std::fs::read_dir(&root).unwrap().flatten() {
            if old.file_name().to_string_lossy().starts_with("demo-") {
                let _ = std::fs::remove_dir_all(old.path());
            }
        }
        let server = start(Command::new(BINARY).args(["demo", "--dir"]).arg(&dir), &dir, None);
        drop(server);
    }
    dir
}

/// Starts a server command on free ports and waits for its ready line.
pub(crate) fn start(command: &mut Command, dir: &Path, own: Option<TempDir>) -> Server {
    if command.get_args().any(|argument| argument == "demo") {
        command.args(["--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--postgres", "127.0.0.1:0"]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let mut errors = child.stderr.take().unwrap();
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut chunk = [0_u8; 4096];
        while let Ok(read @ 1..) = errors.read(&mut chunk) {
            kept.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    });
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let Some(ready) = first.strip_prefix("ready ") else {
        let status = child.wait().unwrap();
        panic!("not ready ({status}): {first}\n{}", log.lock().unwrap());
    };
    let ready: serde_json::Value = serde_json::from_str(ready).unwrap();
    assert_eq!(ready["pid"], child.id());
    Server {
        child,
        flight: ready["flight"].as_str().unwrap().to_owned(),
        http: ready["http"].as_str().map(str::to_owned),
        postgres: ready["postgres"].as_str().map(str::to_owned),
        dir: dir.to_owned(),
        bucket: None,
        log,
        _own: own,
    }
}

impl Server {
    /// The folder that vanishes with this server, to outlive it.
    pub(crate) fn into_dir(mut self) -> Option<TempDir> {
        self._own.take()
    }

    /// Keeps a folder as long as this server.
    pub(crate) fn keep(&mut self, dir: Option<TempDir>) {
        self._own = dir;
    }

    /// What the server wrote to standard error until now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A client logged in as a demo user.
    pub(crate) async fn client(&self, user: &str) -> FlightSqlServiceClient<Channel> {
        self.login(user, &format!("{user}-demo")).await.unwrap()
    }

    pub(crate) async fn login(
        &self,
        user: &str,
        password: &str,
    ) -> Result<FlightSqlServiceClient<Channel>, arrow_flight::error::FlightError> {
        let address = self.flight.replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake(user, password).await?;
        Ok(client)
    }

    /// Rows of a query, or the error's text.
    pub(crate) async fn query(&self, user: &str, sql: &str) -> Result<Vec<RecordBatch>, String> {
        rows(&mut self.client(user).await, sql).await
    }

    /// The one number a query gives.
    pub(crate) async fn number(&self, user: &str, sql: &str) -> i64 {
        let batches = self
            .query(user, sql)
            .await
            .unwrap_or_else(|error| panic!("{user}: {sql}: {error}"));
        let column = arrow::compute::cast(batches[0].column(0), &arrow::datatypes::DataType::Int64).unwrap();
        column
            .as_any()
            .downcast_ref::<arrow::array::Int64Array>()
            .unwrap()
            .value(0)
    }

    /// Rows as text, one string a row, for small answers.
    pub(crate) async fn text(&self, user: &str, sql: &str) -> String {
        let batches = self
            .query(user, sql)
            .await
            .unwrap_or_else(|error| panic!("{user}: {sql}: {error}"));
        arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string()
    }

    pub(crate) async fn update(&self, user: &str, sql: &str) -> Result<i64, String> {
        let mut client = self.client(user).await;
        client
            .execute_update(sql.to_owned(), None)
            .await
            .map_err(|error| error.to_string())
    }

    /// Runs a statement until it is allowed: a policy edit acts within moments.
    pub(crate) async fn until_updated(&self, user: &str, sql: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.update(user, sql).await {
            assert!(Instant::now() < deadline, "{sql} stays {error}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks until the answer is as wanted; panics with the last answer when it never is.
    pub(crate) async fn until(&self, user: &str, sql: &str, wanted: impl Fn(&Result<String, String>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.query(user, sql).await.map(|batches| {
                arrow::util::pretty::pretty_format_batches(&batches)
                    .unwrap()
                    .to_string()
            });
            if wanted(&answer) {
                return;
            }
            assert!(Instant::now() < deadline, "{sql} stays {answer:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Adds a line to the policies.
    pub(crate) fn policy(&self, line: &str) {
        let path = self.dir.join("policies/policy.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}\n{line}\n")).unwrap();
    }

    /// Puts a file into the landing zone.
    pub(crate) fn land(&self, path: &str, bytes: impl AsRef<[u8]>) {
        if let Some(bucket) = &self.bucket {
            return bucket.put(&format!("landing/{path}"), bytes);
        }
        let target = self.dir.join("landing").join(path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        // As a careful instrument does: written aside, then renamed.
        let aside = target.with_file_name(".being-written");
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, target).unwrap();
    }

    /// Takes a file out of the landing zone.
    pub(crate) fn take_away(&self, path: &str) {
        match &self.bucket {
            Some(bucket) => bucket.remove(&format!("landing/{path}")),
            None => std::fs::remove_file(self.dir.join("landing").join(path)).unwrap(),
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Runs a pytest file against this server.
    pub(crate) fn pytest(&self, file: &str, extra: &HashMap<&str, String>) {
        if let Some(bucket) = &self.bucket {
            bucket.download("tables", &self.dir.join("tables"));
            // The demo's files did not go to the bucket, and the rows that came from them name them.
            copy(&built().join("landing"), &self.dir.join("landing"));
        }
        crate::python::run(file, &self.flight, &self.dir, extra);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows of a query on a client, or the error's text.
/// Whether an answer has a cell that begins so; for [`Server::until`].
pub(crate) fn shows(text: impl std::fmt::Display) -> impl Fn(&Result<String, String>) -> bool {
    let wanted = format!("| {text} ");
    move |answer| answer.as_ref().is_ok_and(|answer| answer.contains(&wanted))
}

pub(crate) async fn rows(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let info = client
        .execute(sql.to_owned(), None)
        .await
        .map_err(|error| error.to_string())?;
    fetch(client, info).await
}

/// Rows of the one endpoint that an announcement names, or the error's text.
pub(crate) async fn fetch(
    client: &mut FlightSqlServiceClient<Channel>,
    info: FlightInfo,
) -> Result<Vec<RecordBatch>, String> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.map_err(|error| error.to_string())?;
    stream.try_collect().await.map_err(|error| error.to_string())
}

/// The audit trail below a lake. Servers that share a lake write and remove files there all the time, so a copy of a lab
/// begins without it.
pub(crate) const TRAIL: &str = "_labhouse/audit";

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().ends_with(TRAIL) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let modified = entry.metadata().unwrap().modified().unwrap();
            std::fs::copy(entry.path(), &target).unwrap();
            File::options()
                .write(true)
                .open(&target)
                .unwrap()
                .set_modified(modified)
                .unwrap();
        }
    }
}
