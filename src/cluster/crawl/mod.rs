//! Crawling on workers (`[crawl] on`).
//!
//! ```text
//! worker: event, word or clock -> sweep -> commits in the lake, and a report -> server: new snapshot, audit trail, metrics
//!                     word <- somebody says that files have landed           <-
//! ```
//! A server follows each ready worker: it hears of every sweep, and passes the word on that files have landed. What a sweep
//! did is in the lake whether somebody hears of it or not, and exactly once whoever sweeps beside; the word only makes it
//! quick. One server of several is told that a report is its own to write into the audit trail.

mod follow;
mod sweeper;

use labhouse_catalog::SweepReport;
use serde::{Deserialize, Serialize};

pub(super) use follow::Heard;
pub(crate) use follow::follow_crawls;
pub(super) use sweeper::{CrawlDoor, Sweeper};

/// Files of one message: each is told in about a kilobyte.
const FILES_MAX: usize = 1_000;

/// What a worker says of a sweep, in one message or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Said {
    /// Some of the files of its report; none of the files that are as they were.
    report: SweepReport,
    /// Whether it is for this server to write it down.
    is_yours: bool,
    /// Whether the sweep failed.
    failed: bool,
    /// Whether the report ends here.
    is_last: bool,
}
