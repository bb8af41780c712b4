//! The numbers of a crawl.

use std::time::Duration;

/// What happens to the rows of a file that left the landing folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gone {
    /// They stay; the ledger records that the file is gone. Labs clear instruments' folders, and mean to keep the data.
    #[default]
    KeepRows,
    DeleteRows,
}

/// Settings of a [`crate::Crawler`].
#[derive(Clone, Debug)]
pub struct CrawlOptions {
    /// A local file changed less than this ago is left for a later sweep: its writer may not be done.
    pub settle: Duration,
    pub gone: Gone,
    /// An object that goes within this time after another of the same content was loaded was renamed to that: on a bucket a
    /// rename is a copy and a deletion, and a sweep may come between the two.
    pub rename_within: Duration,
    /// Larger files go to quarantine unread: a file is parsed in memory.
    pub file_bytes_max: u64,
    /// A compressed file may unfold to this many bytes.
    pub decompressed_bytes_max: u64,
    /// Files of one commit. It bounds the manifest, which lies in the Delta log.
    pub batch_files_max: usize,
    /// Bytes of landed files of one commit. It bounds memory: rows take some five times the bytes of a CSV.
    pub batch_bytes_max: u64,
}

impl Default for CrawlOptions {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(500),
            gone: Gone::KeepRows,
            rename_within: Duration::from_secs(15 * 60),
            file_bytes_max: 512 * 1024 * 1024,
            decompressed_bytes_max: 2 * 1024 * 1024 * 1024,
            batch_files_max: 500,
            batch_bytes_max: 64 * 1024 * 1024,
        }
    }
}
