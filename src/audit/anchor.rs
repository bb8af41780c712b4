//! Anchors: where a chain's newest hash is kept besides the chain.
//!
//! A chain shows by itself what was altered, removed or reordered inside it, but not that its end was cut off. For that
//! somebody must remember how far it was. Three do: an object per chain in the lake, from which the next server's first
//! event copies it into its own chain; a file outside the lake; and the server's log. Whoever may write the lake can
//! cut off the end and mend the first; the file and the log are for the administrator to keep from him.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use labhouse_catalog::{Lake, Put};
use serde::{Deserialize, Serialize};

use super::AuditError;

/// Folder of the anchors in the lake.
const ROOT: &str = "_labhouse/audit/heads";
/// Anchors that a first event copies: about as many servers as start in a busy month.
const COPIED_MAX: usize = 64;
/// The file is rewritten with one line a chain when it has grown to this.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// How far a chain was at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub(super) chain: String,
    pub(super) seq: i64,
    pub(super) hash: String,
    pub(super) at: DateTime<Utc>,
}

impl Anchor {
    pub(super) fn new(chain: &str, seq: i64, hash: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            seq,
            hash: hash.to_owned(),
            at: Utc::now(),
        }
    }
}

/// Keeps an anchor in the lake, in the file and in the log. What fails is told and stops nobody: the chain is whole.
pub(super) async fn keep(lake: &Lake, file: Option<&Path>, anchor: &Anchor) {
    tracing::info!(
        chain = anchor.chain,
        seq = anchor.seq,
        hash = anchor.hash,
        "audit anchor"
    );
    let line = serde_json::to_vec(anchor).unwrap_or_default();
    let path = format!("{ROOT}/{}.json", anchor.chain);
    if let Err(error) = lake.put(&path, line.clone().into(), Put::Overwrite).await {
        tracing::warn!(%error, "the audit anchor was not kept in the lake");
    }
    let Some(file) = file.map(Path::to_owned) else { return };
    let shown = file.display().to_string();
    let kept = tokio::task::spawn_blocking(move || add(&file, line)).await;
    if let Ok(Err(error)) = kept {
        tracing::error!(
            %error, file = shown,
            "the audit anchor was not kept outside the lake: make the file writable, or name another in [audit] anchor"
        );
    }
}

/// The newest anchors in the lake, one a chain; older ones than a first event copies are removed.
pub(super) async fn in_lake(lake: &Lake) -> Result<Vec<Anchor>, AuditError> {
    let mut found = Vec::new();
    for object in lake.list(ROOT).await? {
        let bytes = lake.get(object.location.as_ref()).await?.unwrap_or_default();
        if let Ok(anchor) = serde_json::from_slice::<Anchor>(&bytes) {
            found.push(anchor);
        }
    }
    found.sort_by_key(|anchor| std::cmp::Reverse(anchor.at));
    Ok(found)
}

/// Removes anchors that every later chain's first event has copied already.
pub(super) async fn prune(lake: &Lake, anchors: &[Anchor]) {
    for anchor in anchors.iter().skip(COPIED_MAX) {
        if let Err(error) = lake.delete(&format!("{ROOT}/{}.json", anchor.chain)).await {
            tracing::debug!(%error, "an old audit anchor stays");
        }
    }
}

/// Those a first event copies.
pub(super) fn copied(anchors: &[Anchor]) -> &[Anchor] {
    anchors.get(..COPIED_MAX).unwrap_or(anchors)
}

/// All anchors of the file; none when there is no file.
///
/// # Errors
/// The file cannot be read, or a line of it is no anchor.
pub(super) fn in_file(file: &Path) -> Result<Vec<Anchor>, AuditError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(AuditError::Disk {
                action: "reading",
                path: file.display().to_string(),
                source,
            });
        }
    };
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let lines = (1_usize..).zip(whole.lines());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| AuditError::Anchor {
                place: format!("{}:{number}", file.display()),
                reason: error.to_string(),
            })
        })
        .collect()
}

fn add(file: &Path, mut line: Vec<u8>) -> std::io::Result<()> {
    line.push(b'\n');
    let mut opened = OpenOptions::new().create(true).append(true).open(file)?;
    opened.write_all(&line)?;
    opened.sync_data()?;
    if opened.metadata()?.len() > FILE_BYTES_MAX {
        shorten(file)?;
    }
    Ok(())
}

/// Keeps the last anchor of each chain.
fn shorten(file: &Path) -> std::io::Result<()> {
    let anchors = in_file(file).map_err(std::io::Error::other)?;
    let last: BTreeMap<String, Anchor> = anchors
        .into_iter()
        .map(|anchor| (anchor.chain.clone(), anchor))
        .collect();
    let mut lines = Vec::new();
    for anchor in last.values() {
        serde_json::to_writer(&mut lines, anchor)?;
        lines.push(b'\n');
    }
    let aside: PathBuf = file.with_extension("new");
    std::fs::write(&aside, lines)?;
    std::fs::rename(aside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_every_anchor_and_a_torn_line_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("anchors.jsonl");
        assert!(in_file(&file).unwrap().is_empty());
        for seq in 1..=3 {
            add(&file, serde_json::to_vec(&Anchor::new("c", seq, "h")).unwrap()).unwrap();
        }
        assert_eq!(in_file(&file).unwrap().len(), 3);
        std::fs::write(&file, [std::fs::read(&file).unwrap(), b"{\"cha".to_vec()].concat()).unwrap();
        assert_eq!(in_file(&file).unwrap().len(), 3);
        shorten(&file).unwrap();
        assert_eq!(in_file(&file).unwrap()[0].seq, 3);
        std::fs::write(&file, "nonsense\n").unwrap();
        assert!(in_file(&file).unwrap_err().to_string().contains("anchors.jsonl:1"));
    }
}
