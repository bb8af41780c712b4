//! `[crawl]`: who looks for landed files, how often, and what is read of them.

use serde::Deserialize;

/// How landed files are watched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Crawl {
    /// Who sweeps: `server`, `workers` or `both`.
    pub(crate) on: CrawlOn,
    /// Time between two sweeps, in seconds; events on a local disk wake earlier.
    pub(crate) sweep_interval_s: u64,
    /// A file younger than this is taken to be still growing, in milliseconds.
    pub(crate) settle_ms: u64,
    /// What becomes of the rows of a file that was removed: `keep` or `delete`.
    pub(crate) removed_files: RemovedFiles,
    /// Larger files are quarantined, in bytes.
    pub(crate) file_bytes_max: u64,
    /// Files that decompress to more are quarantined, in bytes.
    pub(crate) decompressed_bytes_max: u64,
    /// Address of an SQS queue that the bucket's events go to, "" = none; each message asks for a sweep.
    pub(crate) queue: String,
}

/// Who looks for landed files and loads them. Each file is loaded once, however many look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CrawlOn {
    Server,
    /// Each `labhouse worker` with this config; servers hear of it.
    Workers,
    Both,
}

impl CrawlOn {
    /// Whether `labhouse serve` does.
    pub(crate) fn server(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }

    /// Whether `labhouse worker` does.
    pub(crate) fn workers(self) -> bool {
        matches!(self, Self::Workers | Self::Both)
    }
}

/// What becomes of the rows of a file that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RemovedFiles {
    Keep,
    Delete,
}

impl Default for Crawl {
    fn default() -> Self {
        Self {
            on: CrawlOn::Server,
            sweep_interval_s: 30,
            settle_ms: 500,
            removed_files: RemovedFiles::Keep,
            file_bytes_max: 2 << 30,
            decompressed_bytes_max: 2 << 30,
            queue: String::new(),
        }
    }
}
