//! Many nodes: a server and its workers, real processes on one lake, beside a server that has none.

mod answers;
mod crawling;
mod lost;
mod partition;
mod stages;
mod training;
mod trust;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arrow::record_batch::RecordBatchReader;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use crate::lab::{self, BINARY, PATIENCE, Server};

/// Scale of the TPC-H tables: 60,000 rows of lineitem.
const SCALE: f64 = 0.01;
/// Files of each large table, so that there is something to share.
const FILES: i32 = 6;

/// Where a process runs.
#[derive(Clone)]
pub(super) enum Network {
    Here,
    /// A network namespace.
    Space(String),
}

impl Network {
    /// A command of the binary there.
    fn command(&self) -> Command {
        match self {
            Self::Here => Command::new(BINARY),
            Self::Space(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, BINARY]);
                command
            }
        }
    }
}

/// A worker process; killed when dropped.
pub(super) struct Worker {
    child: Child,
    /// `ADDRESS:PORT`
    pub(super) address: String,
    config: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Worker {
    /// Starts a worker on a lake, with what is to stand in its `[cluster]`.
    pub(super) fn start(lake: &Path, name: &str, cluster: &str) -> Self {
        Self::start_in(&Network::Here, lake, name, cluster)
    }

    pub(super) fn start_in(network: &Network, lake: &Path, name: &str, cluster: &str) -> Self {
        let config = lake.join(format!("{name}.toml"));
        let listen = match cluster.contains("listen") {
            true => "",
            false => "listen = \"127.0.0.1:0\"\n",
        };
        let text = format!("[lake]\nurl = \".\"\n[limits]\npartitions = 2\n[cluster]\n{listen}{cluster}\n");
        fs::write(&config, text).unwrap();
        Self::of(network, config)
    }

    fn of(network: &Network, config: PathBuf) -> Self {
        let mut command = network.command();
        command.args(["worker", "--config"]).arg(&config);
        command.env("LABHOUSE_LOG", "info,labhouse::cluster=debug");
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
        let url = ready["cluster"].as_str().unwrap();
        let address = url.rsplit('/').next().unwrap().to_owned();
        Self {
            child,
            address,
            config,
            log,
        }
    }

    /// The same worker at the same address, after it ended.
    pub(super) fn again(mut self) -> Self {
        self.kill();
        let text = fs::read_to_string(&self.config).unwrap();
        let text = text.replace("127.0.0.1:0", &self.address);
        fs::write(&self.config, text).unwrap();
        Self::of(&Network::Here, self.config.clone())
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    pub(super) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Parts of statements that it took so far.
    pub(super) fn parts(&self) -> usize {
        self.log().matches("a part of a statement").count()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server with workers, and one without on the same lake.
pub(super) struct Grid {
    pub(super) workers: Vec<Worker>,
    pub(super) shared: Server,
    pub(super) alone: Server,
}

/// TPC-H in a lake, `count` workers, and both servers. `edit` may add to the config of the server with workers.
pub(super) async fn grid(count: usize, edit: impl FnOnce(String) -> String) -> Grid {
    let own = tempfile::tempdir().unwrap();
    let dir = laid_out(&own);
    let started = (0..count).map(|nth| Worker::start(&dir, &format!("worker-{nth}"), "silent_s = 2"));
    let workers: Vec<Worker> = started.collect();
    let shared = serve(&dir, "shared", &edit(cluster(&workers)));
    let alone = serve(&dir, "alone", "");
    let mut grid = Grid { workers, shared, alone };
    grid.shared.keep(Some(own));
    loaded(&grid.alone).await;
    loaded(&grid.shared).await;
    grid.all_ready().await;
    grid
}

/// `[cluster]` of a server with these workers: everything is shared, whatever its size.
pub(super) fn cluster(workers: &[Worker]) -> String {
    let addresses: Vec<&str> = workers.iter().map(|worker| worker.address.as_str()).collect();
    format!("[cluster]\nworkers = {addresses:?}\nstatement_mib_min = 0\nlook_s = 1\nsilent_s = 2\n")
}

/// A lab of which the TPC-H tables have landed, in several files each.
pub(super) fn laid_out(own: &TempDir) -> PathBuf {
    let dir = own.path().join("lab");
    lab::lay_out_empty(&dir);
    let landing = dir.join("landing/tpch");
    let sf = SCALE;
    land(&landing, "region", 1, |part, of| {
        RegionArrow::new(RegionGenerator::new(sf, part, of))
    });
    land(&landing, "nation", 1, |part, of| {
        NationArrow::new(NationGenerator::new(sf, part, of))
    });
    land(&landing, "supplier", FILES, |part, of| {
        SupplierArrow::new(SupplierGenerator::new(sf, part, of))
    });
    land(&landing, "customer", FILES, |part, of| {
        CustomerArrow::new(CustomerGenerator::new(sf, part, of))
    });
    land(&landing, "part", FILES, |part, of| {
        PartArrow::new(PartGenerator::new(sf, part, of))
    });
    land(&landing, "partsupp", FILES, |part, of| {
        PartSuppArrow::new(PartSuppGenerator::new(sf, part, of))
    });
    land(&landing, "orders", FILES, |part, of| {
        OrderArrow::new(OrderGenerator::new(sf, part, of))
    });
    land(&landing, "lineitem", FILES, |part, of| {
        LineItemArrow::new(LineItemGenerator::new(sf, part, of))
    });
    dir
}

fn land<R: RecordBatchReader>(landing: &Path, table: &str, files: i32, rows: impl Fn(i32, i32) -> R) {
    let folder = landing.join(table);
    fs::create_dir_all(&folder).unwrap();
    for part in 1..=files {
        let batches = rows(part, files);
        let file = File::create(folder.join(format!("{table}_{part}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batches.schema(), None).unwrap();
        for batch in batches {
            writer.write(&batch.unwrap()).unwrap();
        }
        writer.close().unwrap();
    }
}

/// A server with a config of its own on a lab's lake.
pub(super) fn serve(dir: &Path, name: &str, more: &str) -> Server {
    serve_in(&Network::Here, dir, name, more, |config| config)
}

pub(super) fn serve_in(
    network: &Network,
    dir: &Path,
    name: &str,
    more: &str,
    edit: impl FnOnce(String) -> String,
) -> Server {
    let config = dir.join(format!("{name}.toml"));
    let text = edit(fs::read_to_string(dir.join("labhouse.toml")).unwrap());
    let limits = "[limits]\npartitions = 2\nresult_cache_mib = 0\n";
    fs::write(&config, format!("{text}{limits}{more}")).unwrap();
    let mut command = network.command();
    command.env("LABHOUSE_LOG", "info,labhouse=debug");
    lab::start(command.args(["serve", "--config"]).arg(&config), dir, None)
}

/// Waits until all eight tables have all their files.
pub(super) async fn loaded(server: &Server) {
    let sql = "SELECT count(*) FROM lab.system.files WHERE status IN ('loaded', 'unchanged')";
    server.until("ada", sql, lab::shows(2 + 6 * FILES)).await;
    let sql = "SELECT sum(rows) FROM lab.system.commits WHERE table_schema = 'tpch'";
    let all = server.number("ada", "SELECT sum(rows) FROM lab.system.files").await;
    server.until("ada", sql, lab::shows(all)).await;
}

impl Grid {
    /// Waits until the server takes each worker for ready.
    pub(super) async fn all_ready(&self) {
        ready(&self.shared, self.workers.len()).await;
    }

    /// Statements that were shared so far, and those that a lost node broke.
    pub(super) fn counts(&self) -> (u64, u64) {
        let page = crate::operations::metrics(&self.shared);
        let of = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().trim().parse::<f64>().unwrap() as u64
        };
        (of("labhouse_shared_total"), of("labhouse_shared_lost_total"))
    }
}

/// Waits until a server has so many ready workers.
pub(super) async fn ready(server: &Server, count: usize) {
    let sql = "SELECT count(*) FROM lab.system.nodes WHERE state = 'ready'";
    server.until("ada", sql, lab::shows(count)).await;
}

/// Rows as lines of text, in no order.
pub(super) async fn lines(server: &Server, user: &str, sql: &str) -> Result<Vec<String>, String> {
    let batches = server.query(user, sql).await?;
    let text = arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// Panics when `until` is never true.
pub(super) async fn eventually(what: &str, until: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !until() {
        assert!(Instant::now() < deadline, "{what} never comes");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
