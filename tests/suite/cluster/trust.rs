//! Who may be a node, and what is told of nodes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Worker, cluster, grid, laid_out, lines, ready, serve};
use crate::lab::{self, BINARY};

/// An authority and what it signs, made by OpenSSL.
pub(super) struct Authority {
    dir: PathBuf,
}

impl Authority {
    pub(super) fn new(dir: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let authority = Self { dir };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .current_dir(&self.dir)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate for a DNS name, as lines of `[cluster]`.
    pub(super) fn sign(&self, name: &str) -> String {
        let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            &format!("subjectAltName=DNS:{name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "1",
            "-copy_extensions",
            "copy",
            "-out",
            &cert,
        ]);
        let path = |file: &str| self.dir.join(file).display().to_string();
        format!(
            "cert = {:?}\nkey = {:?}\nca = {:?}\n",
            path(&cert),
            path(&key),
            path("ca.pem")
        )
    }
}

#[tokio::test]
async fn nodes_show_each_other_certificates_of_one_authority_and_of_one_name() {
    let own = tempfile::tempdir().unwrap();
    let dir = laid_out(&own);
    let (ours, theirs) = (Authority::new(dir.join("ours")), Authority::new(dir.join("theirs")));
    let node = ours.sign("labhouse-node");
    let worker = Worker::start(&dir, "worker", &format!("silent_s = 2\n{node}"));
    let workers = std::slice::from_ref(&worker);
    let sql = "SELECT count(*), sum(o_totalprice) FROM lab.tpch.orders";

    let good = serve(&dir, "good", &format!("{}{node}", cluster(workers)));
    ready(&good, 1).await;
    let count = "SELECT count(*) FROM lab.tpch.orders";
    good.until("ada", count, lab::shows(15_000)).await;
    let right = lines(&good, "ada", sql).await.unwrap();
    assert!(worker.parts() > 0);

    // Another authority, another name, and nobody at all: the server works alone, and no work gets there.
    let parts = worker.parts();
    for (name, shown, state) in [
        ("foreign", theirs.sign("labhouse-node"), "away"),
        ("named", ours.sign("somebody-else"), "refused"),
    ] {
        let server = serve(&dir, name, &format!("{}{shown}", cluster(workers)));
        server
            .until("ada", "SELECT state FROM lab.system.nodes", lab::shows(state))
            .await;
        server.until("ada", count, lab::shows(15_000)).await;
        assert_eq!(lines(&server, "ada", sql).await.unwrap(), right, "{name}");
    }
    let plain = serve(&dir, "plain", &cluster(workers));
    plain
        .until("ada", "SELECT state FROM lab.system.nodes", lab::shows("away"))
        .await;
    assert_eq!(worker.parts(), parts);
    // And the good one still gets through.
    assert_eq!(lines(&good, "ada", sql).await.unwrap(), right);
    assert!(worker.parts() > parts);
}

#[tokio::test]
async fn a_worker_of_another_lake_gets_no_work() {
    let grid = grid(1, |config| config).await;
    let other = tempfile::tempdir().unwrap();
    let secret = "_labhouse/cluster/secret";
    std::fs::create_dir_all(other.path().join("_labhouse/cluster")).unwrap();
    std::fs::copy(grid.shared.dir.join(secret), other.path().join(secret)).unwrap();
    let stranger = Worker::start(other.path(), "stranger", "");
    let server = serve(&grid.shared.dir, "one", &cluster(std::slice::from_ref(&stranger)));
    let sql = "SELECT state FROM lab.system.nodes";
    server.until("ada", sql, lab::shows("other_version")).await;
    let count = "SELECT count(*) FROM lab.tpch.orders";
    server.until("ada", count, lab::shows(15_000)).await;
    assert_eq!(stranger.parts(), 0);
}

#[tokio::test]
async fn only_who_can_read_the_lake_is_a_node() {
    let grid = grid(1, |config| config).await;
    let secret = grid.shared.dir.join("_labhouse/cluster/secret");
    let good = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(good.len(), 64);
    // A server of the same lake by name that does not know what lies there.
    std::fs::write(&secret, "0".repeat(64)).unwrap();
    let stranger = serve(&grid.shared.dir, "stranger", &cluster(&grid.workers));
    std::fs::write(&secret, &good).unwrap();
    stranger
        .until("ada", "SELECT state FROM lab.system.nodes", lab::shows("refused"))
        .await;
    let knows = serve(&grid.shared.dir, "knows", &cluster(&grid.workers));
    ready(&knows, 1).await;
}

#[tokio::test]
async fn nodes_are_the_administrators_business() {
    let grid = grid(1, |config| config).await;
    let sql = "SELECT node, state, version FROM lab.system.nodes";
    let told = grid.shared.text("ada", sql).await;
    assert!(
        told.contains(&grid.workers[0].address) && told.contains("ready") && told.contains("engine 55"),
        "{told}"
    );
    assert_eq!(
        grid.alone.number("ada", "SELECT count(*) FROM lab.system.nodes").await,
        0
    );
    let refused = grid.shared.query("ana", sql).await.unwrap_err();
    assert!(refused.contains("not found"), "{refused}");
}

#[test]
fn a_worker_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = |cluster: &str| {
        let config = dir.path().join("labhouse.toml");
        std::fs::write(&config, format!("[lake]\nurl = \".\"\n[cluster]\n{cluster}\n")).unwrap();
        worker(&config)
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (cluster, says) in [
        (format!("listen = \"{address}\""), "another program may use it"),
        ("listen = \"0.0.0.0:0\"".to_owned(), "plain text"),
        ("listen = \"\"".to_owned(), "cluster.listen"),
        (
            "listen = \"127.0.0.1:0\"\ncert = \"a.pem\"\nkey = \"a.key\"\nca = \"ca.pem\"".to_owned(),
            "a.pem",
        ),
        ("workers = [\"10.1.2.3:50060\"]".to_owned(), "plain text"),
        ("workers = [\"nonsense\"]".to_owned(), "HOST:PORT"),
    ] {
        let said = outcome(&cluster);
        assert!(said.contains(says), "{cluster}: {said}");
    }
}

fn worker(config: &Path) -> String {
    let output = Command::new(BINARY)
        .args(["worker", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
