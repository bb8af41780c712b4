//! What a sweep says about every landed file.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::told::Told;

/// What became of a landed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStatus {
    /// Its rows are in its tables for the first time.
    Loaded,
    /// It changed: its new rows took the place of the old ones in one commit.
    Replaced,
    /// It is as it was when it was loaded.
    Unchanged,
    /// It left the landing folder. Its rows stay unless [`crate::Gone::DeleteRows`] says otherwise.
    Gone,
    /// It cannot be loaded; the reason says why. Rows of an earlier content stay.
    Quarantined,
    /// It was written to a moment ago, or another server has it in hand: the next sweep looks again.
    Waiting,
    /// It is not meant for a table: hidden, temporary, or a system's own file.
    Ignored,
}

/// What is said of a file that left with its rows.
pub(super) const WENT: &str = "its rows went with it";

/// What is said of a file that was renamed.
pub(super) fn is_now(to: &str) -> String {
    format!("it is {to} now")
}

/// One landed file after a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileOutcome {
    /// Relative to `landing/`.
    pub path: String,
    /// The tables that hold its rows, as `schema.table`.
    pub tables: Vec<String>,
    pub status: FileStatus,
    /// Why it is quarantined, waiting or ignored, and what is held of a file whose rows are not those that it was loaded with.
    pub reason: Option<String>,
    /// It waits for more than time or another server: something that the reason names stands in its way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// Rows over all of its tables.
    pub rows: u64,
    pub bytes: u64,
    /// The first bytes of a file in quarantine, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// What the reader took it for, e.g. "CSV, ';' delimited, UTF-16LE".
    pub taken_for: String,
    /// How sure that is, from 0 (nothing was understood) to 1 (the format leaves no doubt); see `formats/confidence.rs`.
    /// `None` for files that were not read, or were read by a version that did not say.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// Why the confidence is not 1.
    #[serde(default)]
    pub doubts: Option<String>,
    /// Why it feeds these tables, e.g. "its folder chemistry/plate_readings".
    #[serde(default)]
    pub grouped_by: Option<String>,
    /// Keys and values of the file's own head and foot: instrument, serial number, protocol, date.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The Delta version of its first table at which its rows came in.
    pub version: Option<u64>,
    /// The same of each of its tables, in their order.
    #[serde(default)]
    pub versions: Vec<u64>,
    /// When its state was recorded.
    pub at: Option<DateTime<Utc>>,
}

/// The same words for a file outside a sweep: see [`crate::Crawler::files`].
pub type FileRecord = FileOutcome;

impl FileOutcome {
    pub(crate) fn new(path: &str, status: FileStatus, bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            tables: Vec::new(),
            status,
            reason: None,
            blocked: false,
            rows: 0,
            bytes,
            sample: None,
            taken_for: String::new(),
            confidence: None,
            doubts: None,
            grouped_by: None,
            properties: BTreeMap::new(),
            version: None,
            versions: Vec::new(),
            at: None,
        }
    }

    /// Says what the ledger knows of how it was understood.
    pub(crate) fn tell(&mut self, told: &Told) {
        self.confidence = told.confidence_percent.map(|percent| f64::from(percent) / 100.0);
        self.doubts.clone_from(&told.doubts);
        self.grouped_by.clone_from(&told.grouped_by);
        self.properties.clone_from(&told.properties);
    }

    /// The same of a file of which an earlier content is still in tables, as `before` tells.
    pub(crate) fn beside(mut self, before: Self) -> Self {
        if !before.tables.is_empty() {
            let reason = self.reason.take().unwrap_or_default();
            let rows = before.rows;
            self.reason = Some(format!(
                "{reason}; {rows} rows of its content before are in {} still",
                before.tables.join(", ")
            ));
        }
        self.tables = before.tables;
        self.rows = before.rows;
        self.version = before.version;
        self.versions = before.versions;
        self
    }

    /// A file that waits for somebody to mend something.
    pub(crate) fn blocked(path: &str, bytes: u64, reason: impl Into<String>) -> Self {
        Self {
            blocked: true,
            ..Self::new(path, FileStatus::Waiting, bytes).because(reason)
        }
    }

    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// One pass over the landing folder: every landed file in the order of their paths, where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepReport {
    pub files: Vec<FileOutcome>,
    /// Files that are as they were and not among `files`.
    pub unchanged: usize,
}

impl SweepReport {
    /// Did this sweep commit anything?
    pub fn changed(&self) -> bool {
        self.files
            .iter()
            .any(|f| matches!(f.status, FileStatus::Loaded | FileStatus::Replaced))
    }

    /// How many files have this status.
    pub fn count(&self, status: FileStatus) -> usize {
        let told = self.files.iter().filter(|f| f.status == status).count();
        let untold = if status == FileStatus::Unchanged {
            self.unchanged
        } else {
            0
        };
        told + untold
    }
}
