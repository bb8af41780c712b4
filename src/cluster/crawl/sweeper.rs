//! The worker's side: it sweeps, and tells whoever follows.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use labhouse_catalog::{Catalog, Crawler, Lake, LakeError, SweepReport};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

use super::{FILES_MAX, Said};
use crate::cluster::plain::{Answer, Answering};
use crate::config::Config;
use crate::crawl::{Sweeps, is_waiting};
use crate::engine::crawl_options;

/// Messages that wait for one server; one that does not listen is let go, and follows again.
const WAITING_MAX: usize = 256;
/// Messages that wait for a server to come: a megabyte each at most.
const UNTOLD_MAX: usize = 64;

/// A worker's crawler.
pub(in crate::cluster) struct Sweeper {
    config: Config,
    crawler: Crawler,
    landed: Notify,
    followers: Mutex<Followers>,
}

#[derive(Default)]
struct Followers {
    all: Vec<mpsc::Sender<Result<Bytes, Status>>>,
    /// What nobody has written down yet.
    untold: VecDeque<Said>,
}

impl Sweeper {
    /// None when the config leaves sweeps to servers.
    ///
    /// # Errors
    /// The lake cannot be read or written.
    pub(in crate::cluster) async fn open(config: &Config, lake: &Arc<Lake>) -> Result<Option<Arc<Self>>, LakeError> {
        if !config.crawl.on.workers() {
            return Ok(None);
        }
        lake.probe().await?;
        let catalog = Catalog::load(Arc::clone(lake)).await?;
        Ok(Some(Arc::new(Self {
            config: config.clone(),
            crawler: Crawler::new(catalog, crawl_options(config)),
            landed: Notify::new(),
            followers: Mutex::default(),
        })))
    }

    fn follow(&self) -> mpsc::Receiver<Result<Bytes, Status>> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut followers = self.followers.lock();
        followers.all.push(sender);
        let untold = std::mem::take(&mut followers.untold);
        untold.into_iter().for_each(|said| followers.tell(said));
        receiver
    }

    fn tell(&self, report: SweepReport, failed: bool) {
        let mut followers = self.followers.lock();
        for said in in_parts(report, failed) {
            followers.tell(said);
        }
    }
}

/// A report in messages.
fn in_parts(report: SweepReport, failed: bool) -> Vec<Said> {
    let mut files = report.files;
    // What is in the lake is read there.
    for file in &mut files {
        file.sample = None;
        file.properties.clear();
    }
    let mut parts: Vec<Said> = files
        .chunks(FILES_MAX)
        .map(|files| Said {
            report: SweepReport {
                files: files.to_vec(),
                unchanged: 0,
            },
            is_yours: false,
            failed,
            is_last: false,
        })
        .collect();
    match parts.last_mut() {
        Some(last) => {
            last.is_last = true;
            last.report.unchanged = report.unchanged;
        }
        None => parts.push(Said {
            report: SweepReport {
                files: Vec::new(),
                unchanged: report.unchanged,
            },
            is_yours: false,
            failed,
            is_last: true,
        }),
    }
    parts
}

impl Followers {
    /// Tells all; the first who takes it writes it down.
    fn tell(&mut self, mut said: Said) {
        said.is_yours = true;
        self.all.retain(|follower| {
            let message = serde_json::to_vec(&said).unwrap_or_default();
            let taken = follower.try_send(Ok(message.into())).is_ok();
            if taken {
                said.is_yours = false;
            }
            taken
        });
        if said.is_yours && said.report.changed() {
            if self.untold.len() >= UNTOLD_MAX {
                self.untold.pop_front();
                tracing::warn!("a sweep is in no audit trail: no server has followed this worker for long");
            }
            self.untold.push_back(said);
        }
    }
}

impl Sweeps for Sweeper {
    fn config(&self) -> &Config {
        &self.config
    }

    fn crawler(&self) -> Option<&Crawler> {
        Some(&self.crawler)
    }

    fn landed(&self) -> &Notify {
        &self.landed
    }

    async fn sweep(&self, _: bool) -> Option<bool> {
        match self.crawler.sweep_changes().await {
            Ok(report) => {
                let waiting = is_waiting(&report);
                if report.changed() {
                    tracing::debug!(files = report.files.len(), "a sweep loaded files");
                }
                self.tell(report, false);
                Some(waiting)
            }
            Err(error) => {
                tracing::error!(%error, "the sweep failed; it is tried again");
                self.tell(SweepReport::default(), true);
                None
            }
        }
    }
}

/// The door to a worker's crawler, if it has one.
#[derive(Clone)]
pub(in crate::cluster) struct CrawlDoor {
    pub(in crate::cluster) sweeper: Option<Arc<Sweeper>>,
    pub(in crate::cluster) version: Arc<str>,
}

impl Answering for CrawlDoor {
    const SERVICE: &'static str = "labhouse.Crawl";
    const METHOD: &'static str = "/labhouse.Crawl/Follow";

    fn version(&self) -> &str {
        &self.version
    }

    fn answer(&self, mut words: Streaming<Bytes>) -> Result<Answer, Status> {
        let Some(sweeper) = &self.sweeper else {
            return Err(Status::unimplemented("this worker does not crawl (crawl.on)"));
        };
        let (told, asking) = (sweeper.follow(), Arc::clone(sweeper));
        let asking = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok(Some(_)) = words.message().await {
                tracing::debug!("a server says that files have landed");
                asking.landed.notify_one();
            }
        }));
        let told = ReceiverStream::new(told).map(move |word| {
            let _ = &asking;
            word
        });
        Ok(told.boxed())
    }
}
