//! Files that could not be loaded, each with its reason, as one small object per file.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::LakeError;
use crate::lake::{Lake, Put, STATE};

use super::landing::Landed;
use super::report::{FileOutcome, FileStatus};

/// Records read at the same time.
const READ_AT_ONCE: usize = 16;
/// First bytes of the file kept for the one who looks into it.
pub(super) const SAMPLE_BYTES_MAX: usize = 200;

/// Why a file was not loaded, and which content of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) stamp: String,
    pub(crate) reason: String,
    pub(crate) sample: String,
    pub(crate) at: DateTime<Utc>,
    /// Who said that it is to be left alone as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ignored_by: Option<String>,
}

impl Record {
    pub(crate) fn new(file: &Landed, reason: String, content: &[u8]) -> Self {
        let sample = content.get(..content.len().min(SAMPLE_BYTES_MAX)).unwrap_or_default();
        Self {
            path: file.path.clone(),
            bytes: file.bytes,
            stamp: file.mark(),
            reason,
            // Clients of PostgreSQL take no NUL, of which UTF-16 is full.
            sample: String::from_utf8_lossy(sample).replace('\0', ""),
            at: Utc::now(),
            ignored_by: None,
        }
    }

    pub(crate) fn outcome(&self) -> FileOutcome {
        let (status, reason) = match &self.ignored_by {
            None => (FileStatus::Quarantined, self.reason.clone()),
            Some(who) => (
                FileStatus::Ignored,
                format!("{who} said to leave it alone; it was in quarantine: {}", self.reason),
            ),
        };
        let mut outcome = FileOutcome::new(&self.path, status, self.bytes).because(reason);
        outcome.sample = Some(self.sample.clone()).filter(|sample| !sample.is_empty());
        outcome.at = Some(self.at);
        outcome.confidence = Some(0.0);
        outcome
    }
}

/// The records read so far, by object, each with the object's tag: a sweep reads only what is new.
pub(crate) type Seen = BTreeMap<String, (String, Record)>;

/// All records by path. One that cannot be read is dropped: its file is then simply tried again.
pub(crate) async fn read(lake: &Lake, seen: &Mutex<Seen>) -> Result<BTreeMap<String, Record>, LakeError> {
    let listed = lake.list(&format!("{STATE}/quarantine")).await?;
    let known = std::mem::take(&mut *seen.lock());
    let records: Vec<Option<(String, (String, Record))>> = stream::iter(listed)
        .map(|meta| {
            let object = meta.location.to_string();
            let tag = meta.e_tag.unwrap_or_else(|| meta.last_modified.to_rfc3339());
            let same = known
                .get(&object)
                .filter(|(old, _)| *old == tag)
                .map(|(_, record)| record.clone());
            async move {
                let record = match same {
                    Some(record) => Some(record),
                    None => lake.get(&object).await?.and_then(|b| serde_json::from_slice(&b).ok()),
                };
                Ok::<_, LakeError>(record.map(|record| (object, (tag, record))))
            }
        })
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    let all: Seen = records.into_iter().flatten().collect();
    let by_path = all
        .values()
        .map(|(_, record)| (record.path.clone(), record.clone()))
        .collect();
    *seen.lock() = all;
    Ok(by_path)
}

pub(crate) async fn write(lake: &Lake, record: &Record) -> Result<(), LakeError> {
    let path = object(&record.path);
    let json = serde_json::to_vec(record).map_err(|e| LakeError::Record {
        path: path.clone(),
        reason: e.to_string(),
    })?;
    lake.put(&path, json.into(), Put::Overwrite).await
}

pub(crate) async fn remove(lake: &Lake, path: &str) -> Result<(), LakeError> {
    lake.delete(&object(path)).await
}

/// The record of one file; none when it is not in quarantine.
async fn of(lake: &Lake, path: &str) -> Result<Record, LakeError> {
    let record = lake.get(&object(path)).await?;
    let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    record
        .filter(|record| record.path == path)
        .ok_or_else(|| LakeError::NotQuarantined { path: path.to_owned() })
}

/// Lets a file out: the next sweep reads it as if it had just landed.
pub(super) async fn release(lake: &Lake, path: &str) -> Result<(), LakeError> {
    of(lake, path).await?;
    remove(lake, path).await
}

/// Leaves a file alone as long as its content stays as it is.
pub(super) async fn ignore(lake: &Lake, path: &str, who: &str) -> Result<(), LakeError> {
    let record = of(lake, path).await?;
    let ignored = Record {
        ignored_by: Some(who.to_owned()),
        ..record
    };
    write(lake, &ignored).await
}

fn object(path: &str) -> String {
    format!("{STATE}/quarantine/{}.json", hex(&Sha256::digest(path.as_bytes())))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
