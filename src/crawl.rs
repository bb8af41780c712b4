//! When landed files are looked for: at once after an event or a word, and at each interval, which makes it true.
//!
//! A server sweeps itself, or leaves that to workers (`[crawl] on`); both walk this loop. Whoever sweeps, the Delta log alone
//! says what is loaded, so any number of them load each file once.

use std::sync::Arc;
use std::time::Duration;

use labhouse_catalog::{Crawler, FileStatus, Queue, SweepReport, Watch};
use tokio::sync::{Notify, watch};

use crate::config::Config;

/// Between two looks into a queue that cannot be asked.
const PAUSE: Duration = Duration::from_secs(15);

/// Who sweeps.
pub(crate) trait Sweeps: Send + Sync + 'static {
    fn config(&self) -> &Config;

    /// None where others look into the landing.
    fn crawler(&self) -> Option<&Crawler>;

    /// Somebody says that files have landed.
    fn landed(&self) -> &Notify;

    /// One sweep, and what follows from it. `asked` is whether somebody said that there is something. True when files wait
    /// for it to come again, none when it failed.
    fn sweep(&self, asked: bool) -> impl Future<Output = Option<bool>> + Send;
}

/// Whether files of a report wait for the next sweep.
pub(crate) fn is_waiting(report: &SweepReport) -> bool {
    report.files.iter().any(|file| file.status == FileStatus::Waiting)
}

/// Sweeps when an event, a word or the clock says so, until shutdown.
pub(crate) async fn follow<S: Sweeps>(of: Arc<S>, mut stopped: watch::Receiver<bool>) {
    let watching = of.crawler().map(Crawler::watch).transpose();
    let mut watching = watching.map(Option::flatten).unwrap_or_else(|error| {
        tracing::warn!(%error, "no events for landed files; the timed sweep finds them");
        None
    });
    let mut asked = false;
    while !*stopped.borrow() {
        let waiting = of.sweep(asked).await.unwrap_or(false);
        // A file that was still settling is looked at again as soon as it can have settled.
        let settle = Duration::from_millis(of.config().crawl.settle_ms.max(50));
        let pause = if waiting { settle } else { of.config().sweep_interval() };
        asked = tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(pause) => false,
            () = changed(watching.as_mut()) => false,
            () = of.landed().notified() => true,
        }
    }
}

/// Sweeps when a message in the queue says so, and takes the message out of it after the sweep.
pub(crate) async fn follow_queue<S: Sweeps>(of: Arc<S>, queue: Queue, mut stopped: watch::Receiver<bool>) {
    let mut told = false;
    while !*stopped.borrow() {
        let received = tokio::select! {
            _ = stopped.changed() => break,
            received = queue.receive() => received,
        };
        let done = match received {
            Ok(received) if received.is_empty() => Ok(()),
            // A message whose sweep failed stays, and comes again.
            Ok(received) => match of.sweep(true).await {
                Some(waiting) => {
                    if waiting {
                        of.landed().notify_one();
                    }
                    queue.forget(received).await
                }
                None => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "no word of new objects; the timed sweep finds them");
            }
            tokio::select! {
                _ = stopped.changed() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        } else {
            told = false;
        }
    }
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
