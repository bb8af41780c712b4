//! Workers that die, fall silent or leave: the answer is right or it is a clear error, and never something between.

use std::time::{Duration, Instant};

use futures::StreamExt;

use super::{eventually, grid, lines, ready};

const HEAVY: &str =
    "SELECT l_suppkey, count(*) AS n, sum(l_extendedprice * (1 - l_discount)) AS v, count(DISTINCT l_partkey) AS p,
   max(o_orderdate) AS d FROM lab.tpch.lineitem JOIN lab.tpch.orders ON l_orderkey = o_orderkey GROUP BY l_suppkey";
const LOST: &str = "was lost while rows were on their way";

#[tokio::test]
async fn a_worker_that_dies_before_a_row_came_costs_time_and_nothing_else() {
    let mut grid = grid(2, |config| config).await;
    let right = lines(&grid.alone, "ada", HEAVY).await.unwrap();
    let mut dead = grid.workers.pop().unwrap();
    dead.kill();
    // The server takes it for ready until it calls it.
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    ready(&grid.shared, 1).await;
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    // It comes back, and work is shared with it again.
    let back = dead.again();
    ready(&grid.shared, 2).await;
    let before = back.parts();
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    assert!(back.parts() > before);
    // All of them gone: the server works alone.
    for mut worker in grid.workers.drain(..).chain([back]) {
        worker.kill();
    }
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    ready(&grid.shared, 0).await;
}

#[tokio::test]
async fn a_worker_that_falls_silent_is_taken_for_lost() {
    let grid = grid(2, |config| config).await;
    let right = lines(&grid.alone, "ada", HEAVY).await.unwrap();
    grid.workers[1].signal("STOP");
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    ready(&grid.shared, 1).await;
    grid.workers[1].signal("CONT");
    ready(&grid.shared, 2).await;
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
}

#[tokio::test]
async fn under_a_hail_of_kills_each_answer_is_right_or_an_error_that_says_so() {
    let mut grid = grid(2, |config| config).await;
    let small = lines(&grid.alone, "ada", HEAVY).await.unwrap();
    let all = "SELECT l_orderkey, l_linenumber, l_comment FROM lab.tpch.lineitem";
    let large = lines(&grid.alone, "ada", all).await.unwrap();
    let (server, asked) = (&grid.shared, tokio::sync::Notify::new());
    let asking = async {
        let (mut right, mut lost) = (0, 0);
        while right + lost < 40 {
            let (sql, want) = if (right + lost) % 3 == 0 {
                (all, &large)
            } else {
                (HEAVY, &small)
            };
            match lines(server, "ada", sql).await {
                Ok(got) => {
                    assert!(got == *want, "{} lines of {}: {sql}", got.len(), want.len());
                    right += 1;
                }
                Err(error) => {
                    assert!(error.contains(LOST), "{error}");
                    lost += 1;
                }
            }
            asked.notify_one();
        }
        (right, lost)
    };
    let workers = std::mem::take(&mut grid.workers);
    let killing = async {
        let mut workers: Vec<Option<super::Worker>> = workers.into_iter().map(Some).collect();
        for nth in 0_u64.. {
            asked.notified().await;
            // At another moment of the next statement each time.
            tokio::time::sleep(Duration::from_millis(nth * 37 % 250)).await;
            let slot = &mut workers[nth as usize % 2];
            let worker = slot.take().unwrap();
            *slot = Some(tokio::task::spawn_blocking(move || worker.again()).await.unwrap());
        }
    };
    let (right, lost) = tokio::select! {
        done = asking => done,
        () = killing => unreachable!("it goes on for ever"),
    };
    println!("{right} right, {lost} lost");
    assert!(right > lost, "{right} right, {lost} lost");
    let (shared, broken) = grid.counts();
    assert!(
        shared > 5 && broken > 0,
        "{shared} shared, {broken} broken: nothing was tried"
    );
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_lets_its_parts_end_first() {
    let mut grid = grid(2, |config| config).await;
    let right = lines(&grid.alone, "ada", HEAVY).await.unwrap();
    let before = grid.counts().1;
    // A reader that takes its time: parts are open on both workers.
    let mut client = grid.shared.client("ada").await;
    let sql = "SELECT a.l_comment || b.l_comment FROM lab.tpch.lineitem a JOIN lab.tpch.lineitem b ON a.l_suppkey = b.l_suppkey";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let mut open = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(open.next().await.unwrap().is_ok());
    let leaving = grid.workers.pop().unwrap();
    leaving.signal("TERM");
    eventually("the word that it drains", || leaving.log().contains("draining")).await;
    ready(&grid.shared, 1).await;
    // New work goes elsewhere, at once, and what is open is not cut off.
    assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    for _ in 0..20 {
        assert!(open.next().await.unwrap().is_ok());
    }
    drop(open);
    let mut leaving = leaving;
    assert!(leaving.ended().success());
    assert_eq!(grid.counts().1, before);
}

#[tokio::test]
async fn a_worker_that_refuses_costs_no_wait_and_keeps_its_place() {
    let own = tempfile::tempdir().unwrap();
    let dir = super::laid_out(&own);
    // Two parts of one statement do not fit.
    let worker = super::Worker::start(&dir, "full", "tasks_max = 1\nsilent_s = 2");
    let server = super::serve(&dir, "server", &super::cluster(std::slice::from_ref(&worker)));
    super::loaded(&server).await;
    ready(&server, 1).await;
    let count = "SELECT count(*) FROM lab.tpch.lineitem";
    let right = server
        .number(
            "ada",
            "SELECT sum(rows) FROM lab.system.commits WHERE table_name = 'lineitem'",
        )
        .await;
    let asked = Instant::now();
    for _ in 0..3 {
        assert_eq!(server.number("ada", count).await, right);
    }
    // The engine by itself would wait ten seconds for a plan that never comes, each time.
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    ready(&server, 1).await;
    assert!(server.log().contains("as many parts as it takes"), "{}", server.log());
    assert!(!server.log().contains("a worker is away"), "{}", server.log());
}

#[tokio::test]
async fn readers_who_pause_hold_up_nobody() {
    let grid = grid(2, |config| config).await;
    let right = lines(&grid.alone, "ada", HEAVY).await.unwrap();
    let mut paused = Vec::new();
    for _ in 0..6 {
        let mut client = grid.shared.client("ada").await;
        let sql = "SELECT a.l_comment || b.l_comment, a.l_comment FROM lab.tpch.lineitem a JOIN lab.tpch.lineitem b ON a.l_suppkey = b.l_suppkey";
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        let mut open = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        assert!(open.next().await.unwrap().is_ok());
        paused.push(open);
    }
    for _ in 0..3 {
        assert_eq!(lines(&grid.shared, "ada", HEAVY).await.unwrap(), right);
    }
    ready(&grid.shared, 2).await;
    assert_eq!(grid.counts().1, 0, "{}", grid.shared.log());
    assert!(!grid.shared.log().contains("a worker is away"));
    for mut open in paused {
        assert!(open.next().await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_reader_who_leaves_frees_the_workers() {
    let grid = grid(2, |config| config).await;
    let mut client = grid.shared.client("ada").await;
    let sql = "SELECT count(*) FROM lab.tpch.lineitem a JOIN lab.tpch.lineitem b ON a.l_linestatus = b.l_linestatus WHERE a.l_comment < b.l_comment";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let reading = tokio::spawn(async move {
        let mut rows = client.do_get(ticket).await.unwrap();
        rows.next().await
    });
    eventually("work on both workers", || {
        grid.workers.iter().all(|worker| worker.parts() > 0)
    })
    .await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    // A worker that ends by itself has no part left: it would wait for them until its drain time ends.
    for mut worker in grid.workers {
        let asked = Instant::now();
        worker.signal("TERM");
        assert!(worker.ended().success());
        assert!(
            worker.log().contains("drained"),
            "{:?}: {}",
            asked.elapsed(),
            worker.log()
        );
    }
}
