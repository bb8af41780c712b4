//! Landed files are loaded by workers: once each, whoever dies, and the server sees them.

use std::path::{Path, PathBuf};

use super::{Network, Worker, cluster, eventually, ready, serve_in};
use crate::lab::{self, Server};

/// What nodes are told who crawl, or leave it to workers: nothing comes by the clock.
const CRAWL: &str = "settle_ms = 50\nsweep_interval_s = 3600\non = \"workers\"";

fn crawling_worker(dir: &Path, name: &str) -> Worker {
    let config = dir.join(format!("{name}.toml"));
    let text = format!(
        "[lake]\nurl = \".\"\n[crawl]\n{CRAWL}\n[limits]\npartitions = 2\n[cluster]\nlisten = \"127.0.0.1:0\"\nsilent_s = 2\n"
    );
    std::fs::write(&config, text).unwrap();
    Worker::of(&Network::Here, config)
}

fn server(dir: &Path, workers: &[Worker]) -> Server {
    let edit = |config: String| config.replace("settle_ms = 50", CRAWL);
    serve_in(&Network::Here, dir, "server", &cluster(workers), edit)
}

fn lab_dir(own: &tempfile::TempDir) -> PathBuf {
    let dir = own.path().join("lab");
    lab::lay_out_empty(&dir);
    dir
}

/// So many rows with numbers from `from` on.
fn file(from: u32, rows: u32) -> String {
    let lines = (from..from + rows).map(|n| format!("{n},{}\n", n % 7));
    std::iter::once("run_id,value\n".to_owned()).chain(lines).collect()
}

#[tokio::test]
async fn a_worker_loads_what_lands_and_the_server_sees_it() {
    let own = tempfile::tempdir().unwrap();
    let dir = lab_dir(&own);
    let workers = [crawling_worker(&dir, "worker")];
    let server = server(&dir, &workers);
    ready(&server, 1).await;
    let followed = "SELECT count(*) AS n FROM lab.system.nodes WHERE swept_at IS NOT NULL";
    eventually("a server that follows", || {
        server.log().contains("the crawler of a worker is followed")
    })
    .await;
    server.land("chemistry/runs/a.csv", file(0, 100));
    server
        .until("ada", "SELECT count(*) FROM lab.chemistry.runs", lab::shows(100))
        .await;
    server.until("ada", followed, lab::shows(1)).await;
    server.land("chemistry/runs/b.csv", file(100, 50));
    server.land("chemistry/odd/x.csv", [0_u8, 1, 2, 255, 254, 0, 7]);
    let once = "SELECT count(*) * 1000 + count(DISTINCT run_id) AS n FROM lab.chemistry.runs";
    server.until("ada", once, lab::shows(150 * 1000 + 150)).await;
    // What became of each file is told here, and so is what the worker left alone.
    let loaded = "SELECT count(*) AS n FROM lab.system.files WHERE status IN ('loaded', 'unchanged') AND path LIKE 'chemistry/runs/%'";
    server.until("ada", loaded, lab::shows(2)).await;
    let odd = "SELECT count(*) AS n FROM lab.system.quarantine WHERE path = 'chemistry/odd/x.csv'";
    server.until("ada", odd, lab::shows(1)).await;
    // Each sweep that loaded something is in the trail, once.
    let trail = "SELECT sum(rows) AS n FROM lab.system.audit WHERE event = 'crawl'";
    server.until("ada", trail, lab::shows(150)).await;
    // A word that files have landed goes on to who crawls.
    let http = server.http.clone().unwrap();
    let status = std::process::Command::new("curl")
        .args(["-sf", "-X", "POST", "-u", "ada:ada-demo", &format!("{http}/api/landed")])
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    eventually("the word", || {
        workers[0].log().contains("a server says that files have landed")
    })
    .await;
    // Without it nobody does.
    let [mut worker] = workers;
    worker.kill();
    ready(&server, 0).await;
    server.land("chemistry/runs/c.csv", file(150, 50));
    let server_alone = serve_in(&Network::Here, &dir, "alone", "", |config| config);
    server_alone.until("ada", once, lab::shows(200 * 1000 + 200)).await;
}

#[tokio::test]
async fn a_crawler_that_dies_leaves_each_row_once() {
    let own = tempfile::tempdir().unwrap();
    let dir = lab_dir(&own);
    let (files, rows) = (60_u32, 400_u32);
    let mut workers = vec![crawling_worker(&dir, "one"), crawling_worker(&dir, "two")];
    let server = server(&dir, &workers);
    ready(&server, 2).await;
    for n in 0..files {
        server.land(&format!("chemistry/table_{}/file_{n}.csv", n % 6), file(n * rows, rows));
        if n % 12 == 5 {
            // Each in its turn is killed in the midst of it, and comes back.
            let killed = workers.remove(0);
            workers.push(killed.again());
        }
    }
    let parts: Vec<String> = (0..6)
        .map(|n| format!("SELECT run_id FROM lab.chemistry.table_{n}"))
        .collect();
    let all = format!(
        "SELECT count(*) || ' ' || count(DISTINCT run_id) AS n FROM ({})",
        parts.join(" UNION ALL ")
    );
    let wanted = format!("{} {}", files * rows, files * rows);
    server.until("ada", &all, lab::shows(&wanted)).await;
    let loaded = "SELECT count(*) AS n FROM lab.system.files WHERE status IN ('loaded', 'unchanged')";
    server.until("ada", loaded, lab::shows(files)).await;
    // A last look by somebody who begins anew finds nothing left to do.
    drop(workers);
    let last = crawling_worker(&dir, "three");
    server.land("chemistry/table_0/last.csv", file(files * rows, 1));
    let alone = serve_in(&Network::Here, &dir, "alone", "", |config| config);
    let wanted = format!("{} {}", files * rows + 1, files * rows + 1);
    alone.until("ada", &all, lab::shows(&wanted)).await;
    drop(last);
}
