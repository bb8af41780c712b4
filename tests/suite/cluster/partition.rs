//! Networks that break: nodes in network namespaces of their own, with certificates, and links that are cut between them.
//!
//! It needs to be root on Linux, and says so where it is not.

use std::process::Command;
use std::time::Duration;

use super::trust::Authority;
use super::{Network, Worker, cluster, laid_out, lines, loaded, ready, serve_in};

/// Namespaces on one bridge: `server`, `a` and `b`, and this process at the bridge itself.
struct Wires {
    tag: String,
}

const NODES: [(&str, &str); 3] = [("server", "10.77.99.1"), ("a", "10.77.99.2"), ("b", "10.77.99.3")];
const HERE: &str = "10.77.99.254/24";

impl Wires {
    /// None where namespaces or bridges cannot be made.
    fn lay() -> Option<Self> {
        let wires = Self {
            tag: format!("lh{}", std::process::id()),
        };
        let bridge = wires.bridge();
        let mut steps = vec![
            format!("link add {bridge} type bridge"),
            format!("addr add {HERE} dev {bridge}"),
            format!("link set {bridge} up"),
        ];
        for (name, address) in NODES {
            let (space, outer) = (wires.space(name), wires.outer(name));
            steps.extend([
                format!("netns add {space}"),
                format!("link add {outer} type veth peer name eth0 netns {space}"),
                format!("link set {outer} master {bridge}"),
                format!("link set {outer} up"),
                format!("-n {space} addr add {address}/24 dev eth0"),
                format!("-n {space} link set eth0 up"),
                format!("-n {space} link set lo up"),
            ]);
        }
        steps.iter().all(|step| ip(step)).then_some(wires)
    }

    fn space(&self, name: &str) -> String {
        format!("{}{name}", self.tag)
    }

    fn outer(&self, name: &str) -> String {
        let first = name.chars().next().unwrap();
        format!("{}{first}", self.tag)
    }

    fn bridge(&self) -> String {
        format!("{}br", self.tag)
    }

    /// Nothing comes through between two nodes, in either direction and without a word.
    fn cut(&self, one: &str, other: &str) {
        must(&format!(
            "-n {} route add blackhole {}/32",
            self.space(one),
            address(other)
        ));
        must(&format!(
            "-n {} route add blackhole {}/32",
            self.space(other),
            address(one)
        ));
    }

    fn mend(&self, one: &str, other: &str) {
        must(&format!(
            "-n {} route del blackhole {}/32",
            self.space(one),
            address(other)
        ));
        must(&format!(
            "-n {} route del blackhole {}/32",
            self.space(other),
            address(one)
        ));
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        for (name, _) in NODES {
            ip(&format!("link del {}", self.outer(name)));
            ip(&format!("netns del {}", self.space(name)));
        }
        ip(&format!("link del {}", self.bridge()));
    }
}

fn address(node: &str) -> &'static str {
    NODES.iter().find(|(name, _)| *name == node).unwrap().1
}

fn ip(arguments: &str) -> bool {
    let run = Command::new("ip").args(arguments.split(' ')).output();
    run.is_ok_and(|run| run.status.success())
}

fn must(arguments: &str) {
    assert!(ip(arguments), "ip {arguments}");
}

const SHUFFLED: &str = "SELECT l_suppkey, count(*) AS n, sum(o_totalprice) AS v, count(DISTINCT l_partkey) AS p
   FROM lab.tpch.lineitem JOIN lab.tpch.orders ON l_orderkey = o_orderkey GROUP BY l_suppkey";

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_any_two_nodes_costs_time_and_never_a_row() {
    let Some(wires) = Wires::lay() else {
        eprintln!("not tried: network namespaces need root and `ip`");
        return;
    };
    let own = tempfile::tempdir().unwrap();
    let dir = laid_out(&own);
    let node = Authority::new(dir.join("nodes")).sign("labhouse-node");
    let start = |name: &str| {
        let listen = format!("listen = \"{}:50060\"\nsilent_s = 2\n{node}", address(name));
        Worker::start_in(&Network::Space(wires.space(name)), &dir, name, &listen)
    };
    let workers = vec![start("a"), start("b")];
    let server = Network::Space(wires.space("server"));
    let listen = |text: String| text.replace("127.0.0.1:0", "10.77.99.1:0");
    let more = format!(
        "[tls]\nallow_plaintext = true\n{}connect_s = 1\n{node}",
        cluster(&workers)
    );
    let server = serve_in(&server, &dir, "server", &more, listen);
    loaded(&server).await;
    ready(&server, 2).await;
    let right = lines(&server, "ada", SHUFFLED).await.unwrap();
    assert!(workers.iter().all(|worker| worker.parts() > 0), "{}", server.log());

    // The server cannot reach one worker; the workers can reach each other.
    wires.cut("server", "b");
    assert_eq!(lines(&server, "ada", SHUFFLED).await.unwrap(), right);
    ready(&server, 1).await;
    wires.mend("server", "b");
    ready(&server, 2).await;

    // The workers cannot reach each other; the server reaches both, so it goes on to take both for ready.
    wires.cut("a", "b");
    for _ in 0..2 {
        assert_eq!(lines(&server, "ada", SHUFFLED).await.unwrap(), right);
    }
    wires.mend("a", "b");

    // Cut at other moments of a statement.
    for nth in 0..4_u64 {
        let asking = lines(&server, "ada", SHUFFLED);
        let cutting = async {
            tokio::time::sleep(Duration::from_millis(30 + nth * 60)).await;
            wires.cut("server", "a");
        };
        let (answer, ()) = tokio::join!(asking, cutting);
        match answer {
            Ok(answer) => assert_eq!(answer, right, "{nth}"),
            Err(error) => assert!(error.contains("was lost while rows were on their way"), "{error}"),
        }
        wires.mend("server", "a");
        ready(&server, 2).await;
    }
    assert_eq!(lines(&server, "ada", SHUFFLED).await.unwrap(), right);

    // Nothing is left of what was cut off: a worker waits for its parts before it ends.
    for mut worker in workers {
        worker.signal("TERM");
        assert!(worker.ended().success());
        assert!(worker.log().contains("drained"), "{}", worker.log());
    }
}
