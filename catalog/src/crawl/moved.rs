//! Renamed files: one whose rows are in tables is there under another path, and its rows must be there once.
//!
//! On a disk a file keeps its size, time and inode when it is renamed, whenever that is seen. On an object store a rename is a
//! copy and a deletion: the content went and came between two sweeps. The digest must be the same in any case.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::history::{Histories, History};
use super::landing::Landed;
use super::ledger::Did;

/// Files that tables hold rows of and that are no longer in the landing folder.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    by_stamp: HashMap<String, Vec<String>>,
    is_local: bool,
}

impl Absent {
    pub(crate) fn new(is_local: bool) -> Self {
        Self {
            by_stamp: HashMap::new(),
            is_local,
        }
    }

    pub(crate) fn see(&mut self, known: &History<'_>) {
        if known.is_held() && (self.is_local || !known.is_gone()) {
            let stamp = bare(&known.newest().entry.stamp).to_owned();
            self.by_stamp.entry(stamp).or_default().push(known.path().to_owned());
        }
    }

    /// Leaves out those that are known to be in the tables under another path.
    pub(crate) fn leave_out(&mut self, paths: &BTreeMap<String, String>) {
        for candidates in self.by_stamp.values_mut().filter(|_| !paths.is_empty()) {
            candidates.retain(|path| !paths.contains_key(path));
        }
    }

    /// The path under which a file that came was known before; each is given once.
    pub(crate) fn take(&mut self, file: &Landed, sha256: &str, history: &Histories<'_>) -> Option<String> {
        if history.get(&file.path).is_some_and(History::is_held) {
            return None;
        }
        let candidates = self.by_stamp.get_mut(&file.stamp)?;
        let is_it = |path: &String| {
            let known = history.get(path).map(History::newest);
            known.is_some_and(|known| bare(&known.entry.sha256) == bare(sha256))
        };
        let at = candidates.iter().position(is_it)?;
        Some(candidates.swap_remove(at))
    }
}

/// Of absent paths those whose file is in the ledgers under another one, with that: a crash came between the two commits, in which
/// it may also have got its old name back.
pub(crate) fn claimed<'p>(history: &Histories<'_>, absent: impl Iterator<Item = &'p str>) -> BTreeMap<String, String> {
    let absent: BTreeSet<&str> = absent.collect();
    if absent.is_empty() {
        return BTreeMap::new();
    }
    let mut claimed = BTreeMap::new();
    for known in history.iter() {
        for (_, new) in known.iter().filter(|(_, new)| new.entry.status != Did::Gone) {
            let Some(from) = new.entry.moved_from.as_deref() else {
                continue;
            };
            // What came back under its old path since is another file.
            let Some(old) = history.get(from).filter(|old| old.newest().at < new.at) else {
                continue;
            };
            let is_same = bare(&old.newest().entry.sha256) == bare(&new.entry.sha256);
            if absent.contains(from) {
                claimed.insert(from.to_owned(), known.path().to_owned());
            } else if absent.contains(known.path()) && old.is_held() && is_same {
                claimed.insert(known.path().to_owned(), from.to_owned());
            }
        }
    }
    claimed
}

/// A stamp or digest without what else decides how a file is read.
fn bare(mark: &str) -> &str {
    mark.split_once('+').map_or(mark, |(bare, _)| bare)
}
