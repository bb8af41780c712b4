//! `[care]`: what the server does for its tables by itself.

use serde::Deserialize;

/// Automatic compaction and removal of old files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Care {
    /// How often tables are looked at, in seconds; 0 = never.
    pub(crate) interval_s: u64,
    /// A table with so many small files beside each other is compacted.
    pub(crate) small_files: usize,
    /// A table of so many MiB whose questions compare the same columns is arranged by them; 0 = never.
    pub(crate) arrange_mib: u64,
    /// Files that no version of so many hours needs are deleted; 0 = none is.
    pub(crate) retain_hours: i64,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            interval_s: 60,
            small_files: 64,
            arrange_mib: 64,
            retain_hours: 720,
        }
    }
}
