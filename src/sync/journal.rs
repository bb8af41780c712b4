//! The agent's memory: a line for each file that arrived, so that a start after a thousand files reads none of them.
//!
//! Lines are added and flushed as files arrive; a torn last line, from a PC that lost power, is no line. When it is opened,
//! what is outlived by later lines is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::SyncError;
use super::folder::File;
use crate::replace::{Readers, replace};

/// A file that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    to: String,
    path: String,
    bytes: u64,
    modified_ns: u64,
    sha256: String,
}

pub(super) struct Journal {
    place: PathBuf,
    to: String,
    /// Of this destination, by path.
    arrived: BTreeMap<String, Line>,
    skipped: BTreeSet<String>,
    file: std::fs::File,
}

impl Journal {
    pub(super) fn open(place: &Path, to: &str) -> Result<Self, SyncError> {
        let failed = |action| {
            move |source| SyncError::File {
                action,
                path: place.to_owned(),
                source,
            }
        };
        let text = match std::fs::read(place) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed("read")(error)),
        };
        let mut known: BTreeMap<(String, String), Line> = BTreeMap::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            known.insert((line.to.clone(), line.path.clone()), line);
        }
        let mut whole = Vec::new();
        for line in known.values() {
            whole.extend(serde_json::to_vec(line).map_err(|error| failed("written")(error.into()))?);
            whole.push(b'\n');
        }
        if whole != text.as_bytes() {
            replace(place, &whole, Readers::Usual).map_err(failed("written"))?;
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(place)
            .map_err(failed("written"))?;
        Ok(Self {
            place: place.to_owned(),
            to: to.to_owned(),
            arrived: known
                .into_values()
                .filter(|line| line.to == to)
                .map(|line| (line.path.clone(), line))
                .collect(),
            skipped: BTreeSet::new(),
            file,
        })
    }

    /// Whether the file arrived as it is now.
    pub(super) fn knows(&self, file: &File) -> bool {
        self.arrived
            .get(&file.path)
            .is_some_and(|line| line.bytes == file.bytes && line.modified_ns == since_epoch(file.modified))
    }

    /// True the first time.
    pub(super) fn skips(&mut self, file: &File) -> bool {
        file.place != self.place && self.skipped.insert(file.path.clone())
    }

    /// Remembers a file that arrived, also when the journal cannot be written.
    pub(super) fn arrived(&mut self, file: &File, sha256: &str) -> Result<(), SyncError> {
        let line = Line {
            to: self.to.clone(),
            path: file.path.clone(),
            bytes: file.bytes,
            modified_ns: since_epoch(file.modified),
            sha256: sha256.to_owned(),
        };
        self.arrived.insert(line.path.clone(), line.clone());
        let written = serde_json::to_vec(&line)
            .map_err(std::io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                self.file.write_all(&text)?;
                self.file.sync_data()
            });
        written.map_err(|source| SyncError::File {
            action: "written",
            path: self.place.clone(),
            source,
        })
    }
}

fn since_epoch(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_known_until_it_changes_and_a_torn_line_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("j.jsonl");
        let mut file = File {
            place: dir.path().join("a.csv"),
            path: "a.csv".into(),
            bytes: 3,
            modified: UNIX_EPOCH + std::time::Duration::from_secs(7),
        };
        let mut journal = Journal::open(&place, "http://x/s/t").unwrap();
        assert!(!journal.knows(&file));
        journal.arrived(&file, "aa").unwrap();
        file.bytes = 4;
        assert!(!journal.knows(&file));
        journal.arrived(&file, "bb").unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&place)
            .unwrap()
            .write_all(b"{\"to\":\"http")
            .unwrap();
        let journal = Journal::open(&place, "http://x/s/t").unwrap();
        assert!(journal.knows(&file));
        assert_eq!(std::fs::read_to_string(&place).unwrap().lines().count(), 1);
        assert!(!Journal::open(&place, "http://y/s/t").unwrap().knows(&file));
    }
}
