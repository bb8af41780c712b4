//! Early word of new files on a local disk. The timed sweep makes it true; this only makes it quick.

use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::error::LakeError;
use crate::lake::{LANDING, Lake};

/// Added to the settling time, so that the sweep that follows finds the file settled.
const MARGIN: Duration = Duration::from_millis(30);
/// While files keep coming in, a sweep is due after this many settling times all the same.
const BUSY_SETTLES_MAX: u32 = 4;

/// Tells when something below `landing/` changed.
pub struct Watch {
    /// Dropping it ends the watching.
    _watcher: RecommendedWatcher,
    events: mpsc::Receiver<()>,
    settle: Duration,
}

impl Watch {
    /// `None` where there is nothing to watch: an object store.
    pub(crate) fn new(lake: &Lake, settle: Duration) -> Result<Option<Self>, LakeError> {
        let Some(root) = lake.local_root() else { return Ok(None) };
        let landing = root.join(LANDING);
        let refuse = |e: notify::Error| LakeError::Watch {
            path: landing.display().to_string(),
            reason: e.to_string(),
        };
        // One place: any number of events before anyone looks are one change.
        let (sender, events) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error (events were lost) is a reason to look, too.
            if event.as_ref().map_or(true, is_change) {
                let _ = sender.try_send(());
            }
        })
        .map_err(refuse)?;
        watcher.watch(&landing, RecursiveMode::Recursive).map_err(refuse)?;
        Ok(Some(Self {
            _watcher: watcher,
            events,
            settle,
        }))
    }

    /// Resolves once something changed and then rested for the settling time, so that a sweep started now can load it. Many
    /// changes are one. Pending forever while nothing happens.
    pub async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            // The watcher is gone: the timed sweep goes on alone.
            std::future::pending::<()>().await;
        }
        let rest = self.settle + MARGIN;
        let latest = Instant::now() + rest * BUSY_SETTLES_MAX;
        loop {
            let until = (Instant::now() + rest).min(latest);
            match timeout_at(until, self.events.recv()).await {
                Ok(Some(())) if Instant::now() < latest => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Our own reading makes events as well; they are not news.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}
