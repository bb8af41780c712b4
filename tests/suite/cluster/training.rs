//! Models are trained on workers: the same bytes as here, once, and nothing is left there.

use std::path::Path;

use http::Request;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower_service::Service;

use super::{Worker, cluster, eventually, lines, ready, serve};
use crate::lab::{self, Server};
use crate::operations::{metric, metrics};

/// A lab with one table of experiments, its workers, and a server that trains on them.
struct Bench {
    workers: Vec<Worker>,
    server: Server,
}

async fn bench(count: usize) -> Bench {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().join("lab");
    lab::lay_out_empty(&dir);
    let mut text = "run_id,catalyst,rtb,alogp,yield_pct\n".to_owned();
    for n in 0..1_500_u32 {
        let (rtb, alogp) = (n * 7 % 11, f64::from(n * 31 % 97) / 20.0);
        let catalyst = ["Pd", "Ni", "Cu", "Fe"][n as usize % 4];
        let noise = f64::from(n * 7_919 % 101) / 25.0;
        let yield_pct = 40.0 + f64::from(rtb) * 2.5 - alogp * alogp + f64::from(n % 4) * 3.0 + noise;
        text += &format!("{n},{catalyst},{rtb},{alogp},{yield_pct:.3}\n");
    }
    let folder = dir.join("landing/chemistry/trials");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("trials.csv"), text).unwrap();
    let started = (0..count).map(|nth| Worker::start(&dir, &format!("worker-{nth}"), "silent_s = 2"));
    let workers: Vec<Worker> = started.collect();
    let mut server = serve(&dir, "server", &cluster(&workers));
    server.keep(Some(own));
    let all = "SELECT count(*) FROM lab.chemistry.trials";
    server.until("ada", all, lab::shows(1_500)).await;
    ready(&server, count).await;
    Bench { workers, server }
}

fn train(name: &str, budget_s: u32, rows: u32) -> String {
    format!(
        "CREATE OR REPLACE MODEL lab.chemistry.{name} OPTIONS (target = 'yield_pct', time_budget_s = {budget_s}, function = 'predict_{name}') AS SELECT catalyst, rtb, alogp, yield_pct FROM lab.chemistry.trials ORDER BY run_id LIMIT {rows}"
    )
}

/// What is stored of a version: the model's bytes without the record before them.
fn bytes(dir: &Path, name: &str, version: u64) -> Vec<u8> {
    let path = dir.join(format!("_labhouse/models/chemistry/{name}/{version:020}.json"));
    let object = std::fs::read(path).unwrap();
    let line = object.iter().position(|byte| *byte == b'\n').unwrap();
    object[line..].to_vec()
}

/// Threads of a worker that train.
fn threads(worker: &Worker) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", worker.pid())).unwrap();
    let named = tasks.flatten().filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.trim() == "training"
    });
    named.count()
}

fn begun(worker: &Worker) -> usize {
    worker.log().matches("a training begins").count()
}

fn ended(worker: &Worker) -> usize {
    worker.log().matches("a training has ended").count()
}

async fn node(server: &Server, name: &str) -> String {
    let sql = format!(
        "SELECT state, coalesce(node, 'here') AS node FROM lab.system.training WHERE model_name = '{name}' ORDER BY started_at DESC LIMIT 1"
    );
    server.text("ada", &sql).await
}

#[tokio::test]
async fn a_model_trained_on_a_worker_is_the_one_trained_here_byte_for_byte() {
    let bench = bench(1).await;
    let (server, dir) = (&bench.server, bench.server.dir.clone());
    let alone = serve(&dir, "alone", "");
    let all = "SELECT count(*) FROM lab.chemistry.trials";
    alone.until("ada", all, lab::shows(1_500)).await;
    // There, then here; then what a hurried training had the time for there is done again here, and the other way round.
    server.update("ada", &train("m", 900, 120)).await.unwrap();
    let told = node(server, "m").await;
    assert!(
        told.contains("trained") && told.contains(&bench.workers[0].address),
        "{told}"
    );
    let ask = "SELECT run_id, predict_m(catalyst, rtb, alogp) AS p FROM lab.chemistry.trials ORDER BY run_id LIMIT 300";
    let there = lines(server, "ada", ask).await.unwrap();
    alone.update("ada", &train("m", 900, 120)).await.unwrap();
    assert!(node(&alone, "m").await.contains("here"));
    let (first, second) = (bytes(&dir, "m", 1), bytes(&dir, "m", 2));
    assert!(first == second, "{} and {} bytes", first.len(), second.len());
    assert_eq!(lines(&alone, "ada", ask).await.unwrap(), there);

    server.update("ada", &train("h", 1, 1_500)).await.unwrap();
    let again = train("h", 1, 1_500).replace("budget_s = 1,", "budget_s = 1, replay = 1,");
    alone.update("ada", &again).await.unwrap();
    server.update("ada", &again).await.unwrap();
    assert_eq!(begun(&bench.workers[0]), 3);
    assert!(bytes(&dir, "h", 1) == bytes(&dir, "h", 2) && bytes(&dir, "h", 2) == bytes(&dir, "h", 3));
    // What the record says of a training is there as it is of one here.
    let record = std::fs::read(dir.join(format!("_labhouse/models/chemistry/m/{:020}.json", 1))).unwrap();
    let record: serde_json::Value = serde_json::Deserializer::from_slice(&record)
        .into_iter()
        .next()
        .unwrap()
        .unwrap();
    assert!(
        record["timings"].as_array().unwrap().len() > 2 && record["rows"] == 120,
        "{record}"
    );
    // What is wrong with rows is said as here, and no reason to try again.
    let wrong = train("w", 5, 1_500).replace("'yield_pct'", "'nothing'");
    let (theirs, ours) = (server.update("ada", &wrong).await, alone.update("ada", &wrong).await);
    assert!(
        theirs.as_ref().unwrap_err().contains("not in the training query"),
        "{theirs:?}"
    );
    assert_eq!(theirs.unwrap_err(), ours.unwrap_err());
    assert_eq!(metric(&metrics(server), "labhouse_trainings_lost_total"), 0.0);
    eventually("the end of the trainings", || ended(&bench.workers[0]) == 4).await;
    assert_eq!(threads(&bench.workers[0]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_or_falls_silent_costs_time_and_the_model_is_made_once() {
    let bench = bench(1).await;
    for (nth, how) in [(1, "STOP"), (2, "KILL")] {
        let name = format!("m{nth}");
        let mut client = bench.server.client("ada").await;
        let sql = train(&name, 6, 1_500);
        let training = tokio::spawn(async move { client.execute_update(sql, None).await });
        let running = format!(
            "SELECT count(*) AS n FROM lab.system.training WHERE model_name = '{name}' AND state = 'running' AND steps > 1 AND node = '{}'",
            bench.workers[0].address
        );
        bench.server.until("ada", &running, lab::shows(1)).await;
        let busy = "SELECT sum(trainings) AS n FROM lab.system.nodes";
        assert_eq!(bench.server.number("ada", busy).await, 1);
        bench.workers[0].signal(how);
        assert_eq!(training.await.unwrap().unwrap(), 1_500);
        let told = node(&bench.server, &name).await;
        assert!(told.contains("trained") && told.contains("here"), "{told}");
        assert_eq!(
            metric(&metrics(&bench.server), "labhouse_trainings_lost_total"),
            f64::from(nth)
        );
        let versions = std::fs::read_dir(bench.server.dir.join(format!("_labhouse/models/chemistry/{name}")));
        assert_eq!(versions.unwrap().count(), 1);
        assert!(
            bench.server.log().contains("begins once more"),
            "{}",
            bench.server.log()
        );
        if how == "STOP" {
            bench.workers[0].signal("CONT");
            // What it had is nobody's any more.
            eventually("the end of the training", || ended(&bench.workers[0]) == 1).await;
            ready(&bench.server, 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_is_ended_or_left_is_ended_on_its_worker() {
    let bench = bench(1).await;
    let worker = &bench.workers[0];
    for nth in 1..=2 {
        let name = format!("endless{nth}");
        let mut client = bench.server.client("ada").await;
        let sql = train(&name, 3_000, 1_500);
        let training = tokio::spawn(async move { client.execute_update(sql, None).await });
        let running = format!(
            "SELECT id FROM lab.system.training WHERE model_name = '{name}' AND state = 'running' AND steps > 0 AND node IS NOT NULL"
        );
        bench
            .server
            .until("ada", &running, |answer| {
                answer
                    .as_ref()
                    .is_ok_and(|text| text.contains('-') && text.contains("| 0"))
            })
            .await;
        eventually("a thread that trains", || threads(worker) > 0).await;
        match nth {
            1 => {
                let id = bench.server.text("ada", &running).await;
                let id = id.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned();
                bench
                    .server
                    .query("ada", &format!("CANCEL QUERY '{id}'"))
                    .await
                    .unwrap();
                assert!(training.await.unwrap().is_err());
            }
            _ => training.abort(),
        }
        eventually("the end of the training", || {
            ended(worker) == nth && threads(worker) == 0
        })
        .await;
        let told = node(&bench.server, &name).await;
        assert!(told.contains("cancelled"), "{told}");
    }
    let none = "SELECT count(*) FROM lab.system.models";
    assert_eq!(bench.server.number("ada", none).await, 0);
    // Its place is free again.
    bench.server.update("ada", &train("m", 2, 300)).await.unwrap();
    assert_eq!((begun(worker), ended(worker)), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_room_passes_a_training_on() {
    let bench = bench(2).await;
    // Two workers with one place each, and three trainings at once.
    let trainings = (0..3).map(|nth| {
        let (server, sql) = (&bench.server, train(&format!("m{nth}"), 8, 1_500));
        async move { server.update("ada", &sql).await }
    });
    for trained in futures::future::join_all(trainings).await {
        assert_eq!(trained.unwrap(), 1_500);
    }
    for worker in &bench.workers {
        assert_eq!((begun(worker), ended(worker)), (1, 1), "{}", worker.log());
    }
    let here = "SELECT count(*) FROM lab.system.training WHERE state = 'trained' AND node IS NULL";
    assert_eq!(bench.server.number("ada", here).await, 1);
    // Larger ones than the config lets go stay, and so does what does not fit into a worker's memory.
    let config = format!("{}training_mib_max = 0\n", cluster(&bench.workers));
    let server = serve(&bench.server.dir, "stays", &config);
    ready(&server, 2).await;
    server.until_updated("ada", &train("small", 2, 300)).await;
    assert!(node(&server, "small").await.contains("here"));
    let text = std::fs::read_to_string(bench.server.dir.join("worker-0.toml")).unwrap();
    let tight = bench.server.dir.join("tight.toml");
    std::fs::write(&tight, text.replace("partitions = 2", "partitions = 2\nmemory_mib = 1")).unwrap();
    let tight = vec![Worker::of(&super::Network::Here, tight)];
    let server = serve(&bench.server.dir, "other", &cluster(&tight));
    ready(&server, 1).await;
    let many = "FROM lab.chemistry.trials, (SELECT value FROM generate_series(1, 30))";
    let sql = train("small", 2, 1_500).replace("FROM lab.chemistry.trials ORDER BY run_id LIMIT 1500", many);
    server.until_updated("ada", &sql).await;
    assert!(node(&server, "small").await.contains("here"));
    assert!(server.log().contains("no memory for it"), "{}", server.log());
}

#[tokio::test]
async fn only_a_node_may_send_a_training() {
    let bench = bench(1).await;
    let secret = std::fs::read_to_string(bench.server.dir.join("_labhouse/cluster/secret")).unwrap();
    let url = format!("http://{}", bench.workers[0].address);
    let mut channel = Endpoint::from_shared(url.clone()).unwrap().connect().await.unwrap();
    // No word, a wrong one, the right one of another program: PERMISSION_DENIED, PERMISSION_DENIED, FAILED_PRECONDITION.
    for (said, status) in [(None, "7"), (Some("0".repeat(64)), "7"), (Some(secret), "9")] {
        let mut request =
            Request::post(format!("{url}/labhouse.Training/Train")).header("content-type", "application/grpc");
        if let Some(said) = &said {
            request = request.header("labhouse-node", said);
        }
        std::future::poll_fn(|context| channel.poll_ready(context))
            .await
            .unwrap();
        let answer = channel.call(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], status, "{said:?}");
    }
    assert_eq!(begun(&bench.workers[0]), 0);
    // Which worker it was is the administrators' business.
    bench.server.until_updated("sam", &train("m", 2, 300)).await;
    let sql = "SELECT node FROM lab.system.training WHERE model_name = 'm' AND state = 'trained'";
    bench.server.until("sam", sql, lab::shows("worker")).await;
    bench
        .server
        .until("ada", sql, lab::shows(&bench.workers[0].address))
        .await;
}
