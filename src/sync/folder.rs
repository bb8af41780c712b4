//! What lies in the folder that is watched over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::SyncError;

/// Folders are followed this deep: a guard against mounts that lead in circles. Links to folders are not followed.
const DEPTH_MAX: usize = 32;

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) place: PathBuf,
    /// Relative to the folder, parts separated by `/`.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
}

/// One entry.
#[derive(Debug)]
pub(super) enum Found {
    File(File),
    /// It can never be sent.
    Odd {
        path: String,
        reason: String,
    },
}

/// Which files rest. The time of a file tells how long ago it changed, unless its clock is ahead of ours: such a file rests once it
/// was found unchanged for as long.
#[derive(Debug, Default)]
pub(super) struct Rest(BTreeMap<String, (u64, SystemTime, Instant)>);

impl Rest {
    /// Whether nobody has written to the file for this long.
    pub(super) fn has(&mut self, file: &File, long: Duration) -> bool {
        if let Ok(age) = SystemTime::now().duration_since(file.modified) {
            self.0.remove(&file.path);
            return age >= long;
        }
        let (bytes, modified, since) =
            *self
                .0
                .entry(file.path.clone())
                .or_insert((file.bytes, file.modified, Instant::now()));
        if (bytes, modified) == (file.bytes, file.modified) {
            return since.elapsed() >= long;
        }
        self.0
            .insert(file.path.clone(), (file.bytes, file.modified, Instant::now()));
        false
    }

    /// Whether the clock of the file is ahead of ours.
    pub(super) fn watches(&self, file: &File) -> bool {
        self.0.contains_key(&file.path)
    }
}

/// All files, in the order of their paths; entries that go away meanwhile are left out.
pub(super) fn look(dir: &Path) -> Result<Vec<Found>, SyncError> {
    let (mut files, mut odd) = (Vec::new(), Vec::new());
    let mut open = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth > 0 && error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(SyncError::Folder { path: folder, source });
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                odd.push(Found::Odd {
                    path: format!("{prefix}{}", name.to_string_lossy()),
                    reason: "its name is not UTF-8; rename it".to_owned(),
                });
                continue;
            };
            let path = format!("{prefix}{name}");
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEPTH_MAX {
                open.push((entry.path(), format!("{path}/"), depth + 1));
            }
            let Ok(meta) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if meta.is_file() {
                files.push(File {
                    place: entry.path(),
                    path,
                    bytes: meta.len(),
                    modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files.into_iter().map(Found::File).chain(odd).collect())
}
