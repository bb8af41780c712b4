//! The server's side: it hears of each sweep, and passes on that files have landed.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use labhouse_catalog::{FileRecord, FileStatus};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use url::Url;

use super::{CrawlDoor, Said};
use crate::cluster::Cluster;
use crate::cluster::plain::call;
use crate::engine::Engine;

/// What is heard of the crawlers of workers, and what they are asked.
pub(in crate::cluster) struct Heard {
    /// When each swept last.
    at: Mutex<HashMap<Url, DateTime<Utc>>>,
    /// Changes when somebody says that files have landed.
    asked: watch::Sender<u64>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            at: Mutex::default(),
            asked: watch::Sender::new(0),
        }
    }
}

impl Heard {
    /// When a worker that crawls swept last, as far as it was heard.
    pub(in crate::cluster) fn at(&self, node: &Url) -> Option<DateTime<Utc>> {
        self.at.lock().get(node).copied()
    }

    /// Tells all that crawl that files have landed.
    pub(in crate::cluster) fn ask(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }
}

/// Follows the crawler of each ready worker until shutdown; one that does not crawl is asked again at the next look.
pub(crate) async fn follow_crawls(engine: Arc<Engine>, cluster: Arc<Cluster>, mut stopped: watch::Receiver<bool>) {
    let mut following: HashMap<Url, AbortOnDropHandle<()>> = HashMap::new();
    while !*stopped.borrow() {
        let ready = cluster.nodes().ready(cluster.channels());
        following.retain(|node, task| ready.contains(node) && !task.is_finished());
        for node in ready {
            let (engine, cluster) = (Arc::clone(&engine), Arc::clone(&cluster));
            following.entry(node).or_insert_with_key(move |node| {
                let node = node.clone();
                AbortOnDropHandle::new(tokio::spawn(async move {
                    let ended = hear(&engine, &cluster, &node).await;
                    cluster.heard().at.lock().remove(&node);
                    match ended {
                        Err(status) if status.code() != Code::Unimplemented => {
                            tracing::info!(%node, %status, "the crawler of a worker is not heard any more");
                        }
                        _ => {}
                    }
                }))
            });
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(cluster.config().look()) => {}
        }
    }
}

/// Hears of the sweeps of one worker, to the end of its words.
async fn hear(engine: &Engine, cluster: &Cluster, node: &Url) -> Result<(), Status> {
    let away = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
    let asked = cluster.heard().asked.subscribe();
    let words = futures::stream::unfold(asked, |mut asked| async move {
        asked.changed().await.ok()?;
        Some((Bytes::from_static(b"landed"), asked))
    });
    let mut said = call::<CrawlDoor>(cluster.channels(), node, cluster.version(), words).await?;
    tracing::debug!(%node, "the crawler of a worker is followed");
    // What it did before it was followed.
    engine.take_over().await;
    let (mut unrecorded, mut changed) = (Vec::new(), false);
    while let Some(message) = said.message().await? {
        let said: Said = serde_json::from_slice(&message).map_err(|error| away(&error))?;
        if said.is_yours {
            engine.metrics.swept((!said.failed).then_some(&said.report));
            if said.report.changed() {
                engine.audit.crawled(&said.report);
            }
        }
        changed |= said.report.changed();
        let left = |file: &FileRecord| matches!(file.status, FileStatus::Waiting | FileStatus::Ignored);
        unrecorded.extend(said.report.files.into_iter().filter(left));
        if !said.is_last {
            continue;
        }
        cluster.heard().at.lock().insert(node.clone(), Utc::now());
        if !said.failed {
            engine.crawler.take_over(std::mem::take(&mut unrecorded));
        }
        if std::mem::take(&mut changed) {
            engine.take_over().await;
        }
    }
    Ok(())
}
