//! What the ledgers of all tables together say of each file. Borrowed from them: a lake with a million files is asked this
//! at every sweep.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::name::TableName;

use super::ledger::{Did, Known, Ledger};
use super::report::{FileOutcome, FileStatus, WENT};

/// A ledger with the table it is of.
pub(crate) struct Of {
    pub(crate) table: TableName,
    pub(crate) ledger: Arc<Ledger>,
    /// The table is dropped: nobody sees the rows.
    pub(crate) is_dropped: bool,
}

/// What one table's ledger says of a file.
type Said<'l> = (&'l TableName, &'l Known);

/// All files of all ledgers.
#[derive(Debug, Default)]
pub(crate) struct Histories<'l> {
    files: HashMap<&'l str, History<'l>>,
    turn: u64,
}

/// What all ledgers say of one file: most files feed one table.
#[derive(Clone, Debug)]
pub(crate) struct History<'l> {
    path: &'l str,
    first: Said<'l>,
    more: Vec<Said<'l>>,
    /// Tables that are dropped.
    dropped: Arc<HashSet<&'l TableName>>,
}

impl<'l> Histories<'l> {
    pub(crate) fn of(ledgers: &'l [Of]) -> Self {
        let files = ledgers.iter().map(|of| of.ledger.files.len()).sum();
        let dropped = ledgers.iter().filter(|of| of.is_dropped).map(|of| &of.table);
        let dropped = Arc::new(dropped.collect::<HashSet<_>>());
        let mut all: HashMap<&str, History<'l>> = HashMap::with_capacity(files);
        for Of { table, ledger, .. } in ledgers {
            for (path, known) in &ledger.files {
                match all.get_mut(path.as_ref()) {
                    Some(history) => history.more.push((table, known)),
                    None => {
                        let history = History {
                            path,
                            first: (table, known),
                            more: Vec::new(),
                            dropped: Arc::clone(&dropped),
                        };
                        all.insert(path, history);
                    }
                }
            }
        }
        Self {
            files: all,
            turn: ledgers.iter().map(|of| of.ledger.turn).max().unwrap_or_default(),
        }
    }

    /// The turn of batches that know all of these.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turn.saturating_add(1)
    }

    pub(crate) fn get(&self, path: &str) -> Option<&History<'l>> {
        self.files.get(path)
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &History<'l>> {
        self.files.values()
    }

    /// Files that have another path now, with that. Of a file that has been copied since, one of the two.
    pub(crate) fn renamed(&self) -> HashMap<&'l str, &'l str> {
        let mut renamed = HashMap::new();
        for known in self.iter().filter(|known| !known.is_gone()) {
            for (_, entry) in known.iter() {
                if let Some(from) = entry.entry.moved_from.as_deref() {
                    renamed.insert(from, known.path);
                }
            }
        }
        renamed
    }
}

impl<'l> History<'l> {
    pub(crate) fn path(&self) -> &'l str {
        self.path
    }

    /// What each table's ledger says, in the order of the tables' names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Said<'l>> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    pub(crate) fn of_table(&self, table: &TableName) -> Option<&'l Known> {
        self.iter().find(|(name, _)| *name == table).map(|(_, known)| known)
    }

    /// The newest entry: it names the content and all tables the file feeds.
    pub(crate) fn newest(&self) -> &'l Known {
        let order = |known: &Known| {
            let stays = known.entry.status != Did::Gone;
            // One sweep takes a file out of one table after it put it into another.
            (known.turn, known.turn > 0 && stays, known.at, stays)
        };
        let newest = self.iter().max_by_key(|(_, known)| order(known));
        newest.map_or(self.first.1, |(_, known)| known)
    }

    /// The digest whose rows are in all the right tables and in no other; `None` while anything is missing.
    pub(crate) fn complete(&self) -> Option<&'l str> {
        let newest = &self.newest().entry;
        let all_there = newest.tables.iter().all(|table| {
            self.of_table(table)
                .is_some_and(|k| k.entry.held && k.entry.status != Did::Gone && k.entry.sha256 == newest.sha256)
        });
        let none_left = self
            .iter()
            .all(|(table, k)| newest.tables.contains(table) || !k.entry.held);
        (all_there && none_left && !newest.tables.is_empty()).then_some(newest.sha256.as_ref())
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.iter().all(|(_, known)| known.entry.status == Did::Gone)
    }

    /// Some table still holds rows of it.
    pub(crate) fn is_held(&self) -> bool {
        self.iter().any(|(_, known)| known.entry.held)
    }

    /// The report on a file that is as the ledger has it.
    pub(crate) fn outcome(&self, status: FileStatus) -> FileOutcome {
        let newest = self.newest();
        let mut outcome = FileOutcome::new(self.path, status, newest.entry.bytes);
        outcome.taken_for = newest.entry.taken_for.to_string();
        outcome.at = Some(newest.at);
        // Only the main table's entry has the file's head.
        let main = newest.entry.tables.first().and_then(|table| self.of_table(table));
        outcome.tell(&main.unwrap_or(newest).entry.told);
        let mut dropped = None;
        let mut restored = None;
        for table in newest.entry.tables.iter() {
            let Some(known) = self.of_table(table).filter(|known| known.entry.held) else {
                continue;
            };
            if self.dropped.contains(table) || known.dropped {
                dropped.get_or_insert((table, known.dropped));
                continue;
            }
            if known.rows() != known.entry.rows {
                restored.get_or_insert((table, known));
            }
            outcome.tables.push(table.to_string());
            outcome.rows += known.rows();
            outcome.version = outcome.version.or(Some(known.version));
            outcome.versions.push(known.version);
        }
        if let Some((table, is_anew)) = dropped {
            if outcome.tables.is_empty() && status != FileStatus::Gone {
                outcome.status = FileStatus::Ignored;
            }
            return outcome.because(match is_anew {
                true => format!(
                    "its rows went when its table {table} was dropped, which is there anew with files that came later; it is loaded \
                     again when it changes"
                ),
                false => format!(
                    "its table {table} was dropped, and UNDROP TABLE brings it back with the rows of this file; a file that changes or \
                     comes makes the table anew without them"
                ),
            });
        }
        if let Some((table, known)) = restored {
            return outcome.because(format!(
                "RESTORE took {table} back to before version {}, at which it gave {} rows: the table has {} of it; it is loaded again when \
                 it changes",
                known.version,
                known.entry.rows,
                known.rows()
            ));
        }
        if status == FileStatus::Gone {
            outcome.reason = Some(match outcome.tables.first() {
                Some(table) => kept(table, self.path, outcome.rows),
                None => WENT.to_owned(),
            });
        }
        outcome
    }

    /// What became of it when its state was recorded.
    pub(crate) fn recorded(&self) -> FileOutcome {
        self.outcome(match self.newest().entry.status {
            _ if self.is_gone() => FileStatus::Gone,
            Did::Replaced => FileStatus::Replaced,
            // A ledger of before turns were counted may know later of the table that it left than of the one that it is in.
            Did::Loaded | Did::Gone => FileStatus::Loaded,
        })
    }
}

/// What is held of a file that is gone.
fn kept(table: &str, path: &str, rows: u64) -> String {
    let path = path.replace('\'', "''");
    format!(
        "it left the landing folder and its {rows} rows stay; if it is there under another path with another content, DELETE FROM {table} \
         WHERE _source_file = '{path}' takes them out"
    )
}
