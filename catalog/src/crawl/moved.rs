//! Renamed files: one whose rows are in tables is there under another path, and its rows must be there once.
//!
//! On a disk a file keeps its size, time and inode when it is renamed, whenever that is seen. On an object store a rename is a
//! copy and a deletion: the content went and came between two sweeps, or a sweep saw both, and the old one went soon after. The
//! digest must be the same in any case, or the old content be the beginning of the new one: an instrument went on writing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::name::TableName;

use super::history::{Histories, History};
use super::landing::Landed;
use super::ledger::Did;

/// Files that tables hold rows of and that are no longer in the landing folder.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    /// Of a disk, whenever they went.
    by_stamp: HashMap<String, Vec<String>>,
    is_local: bool,
    /// Those that went since the last sweep: a file that was only touched has another stamp than it was loaded with, and a copy
    /// in parts another tag.
    by_digest: HashMap<String, Vec<String>>,
    /// Those that went since the last sweep, by their table.
    went: BTreeMap<TableName, BTreeMap<String, Went>>,
}

/// A file that went.
#[derive(Clone, Debug)]
struct Went {
    bytes: u64,
    sha256: String,
}

impl Absent {
    pub(crate) fn new(is_local: bool) -> Self {
        Self {
            is_local,
            ..Self::default()
        }
    }

    pub(crate) fn see(&mut self, known: &History<'_>) {
        if !known.is_held() {
            return;
        }
        let entry = &known.newest().entry;
        let put = |by: &mut HashMap<String, Vec<String>>, mark: &str| {
            let paths = by.entry(bare(mark).to_owned()).or_default();
            paths.push(known.path().to_owned());
        };
        if self.is_local {
            put(&mut self.by_stamp, &entry.stamp);
        }
        if !known.is_gone() {
            put(&mut self.by_digest, &entry.sha256);
        }
        if let (false, true, Some(table)) = (known.is_gone(), entry.rows > 0, entry.tables.first()) {
            let went = Went {
                bytes: entry.bytes,
                sha256: bare(&entry.sha256).to_owned(),
            };
            let of_table = self.went.entry(table.clone()).or_default();
            of_table.insert(known.path().to_owned(), went);
        }
    }

    /// Leaves out those that are known to be in the tables under another path.
    pub(crate) fn leave_out(&mut self, paths: &BTreeMap<String, String>) {
        if paths.is_empty() {
            return;
        }
        for candidates in self.by_stamp.values_mut().chain(self.by_digest.values_mut()) {
            candidates.retain(|path| !paths.contains_key(path));
        }
        for candidates in self.went.values_mut() {
            candidates.retain(|path, _| !paths.contains_key(path));
        }
    }

    /// The path under which a file that came was known before; each is given once.
    pub(crate) fn take(&mut self, file: &Landed, sha256: &str, history: &Histories<'_>) -> Option<String> {
        if history.get(&file.path).is_some_and(History::is_held) {
            return None;
        }
        let is_it = |path: &&String| {
            let known = history.get(path).map(History::newest);
            known.is_some_and(|known| bare(&known.entry.sha256) == bare(sha256))
        };
        let by_stamp = self
            .by_stamp
            .get(&file.stamp)
            .and_then(|paths| paths.iter().find(is_it));
        let by_digest = || self.by_digest.get(bare(sha256)).and_then(|paths| paths.first());
        let path = by_stamp.or_else(by_digest)?.clone();
        self.is_taken(&path);
        Some(path)
    }

    fn is_taken(&mut self, path: &str) {
        for candidates in self.by_stamp.values_mut().chain(self.by_digest.values_mut()) {
            candidates.retain(|other| other != path);
        }
        for candidates in self.went.values_mut() {
            candidates.remove(path);
        }
    }

    /// Sizes of files of this table that went, each smaller than one that came: its beginning may be one of them.
    pub(crate) fn sizes_below(&self, table: &TableName, bytes: u64) -> BTreeSet<u64> {
        let went = self.went.get(table).into_iter().flat_map(BTreeMap::values);
        went.map(|went| went.bytes)
            .filter(|size| (1..bytes).contains(size))
            .collect()
    }

    /// The path of the longest file of this table that went and is the beginning of one that came, given by the digests of its
    /// beginnings; each is given once.
    pub(crate) fn take_beginning(&mut self, table: &TableName, beginnings: &BTreeMap<u64, String>) -> Option<String> {
        let went = self.went.get(table)?;
        let is_it = |(_, went): &(&String, &Went)| beginnings.get(&went.bytes) == Some(&went.sha256);
        let (path, _) = went.iter().filter(is_it).max_by_key(|(_, went)| went.bytes)?;
        let path = path.clone();
        self.is_taken(&path);
        Some(path)
    }
}

/// Of objects that went since the last sweep those that were copied shortly before, with the copy: nothing else tells a rename on
/// an object store that a sweep saw half done. `is_there` says of a path whether it is in the listing.
pub(crate) fn copied<'h>(
    history: &'h Histories<'_>,
    went: impl Iterator<Item = &'h str>,
    is_there: impl Fn(&str) -> bool,
    loaded_after: DateTime<Utc>,
) -> BTreeMap<String, String> {
    let mut by_digest: HashMap<&str, Vec<&History<'_>>> = HashMap::new();
    for known in went.filter_map(|path| history.get(path)) {
        if known.is_held() && !known.is_gone() {
            let digest = bare(&known.newest().entry.sha256);
            by_digest.entry(digest).or_default().push(known);
        }
    }
    let mut copied = BTreeMap::new();
    if by_digest.is_empty() {
        return copied;
    }
    for known in history.iter().filter(|known| known.complete().is_some()) {
        let copy = known.newest();
        let Some(went) = by_digest.get_mut(bare(&copy.entry.sha256)) else {
            continue;
        };
        if copy.at < loaded_after || copy.entry.moved_from.is_some() || !is_there(known.path()) {
            continue;
        }
        if let Some(at) = went.iter().position(|old| copy.is_later_than(old.newest())) {
            copied.insert(went.swap_remove(at).path().to_owned(), known.path().to_owned());
        }
    }
    copied
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
            let Some(old) = history.get(from).filter(|old| !old.newest().is_later_than(new)) else {
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
pub(super) fn bare(mark: &str) -> &str {
    mark.split_once('+').map_or(mark, |(bare, _)| bare)
}
