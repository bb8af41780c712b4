//! What the ledgers of all tables together say of each file. Borrowed from them: a lake with a million files is asked this
//! at every sweep.

use std::collections::HashMap;
use std::sync::Arc;

use crate::name::TableName;

use super::ledger::{Did, Known, Ledger};
use super::report::{FileOutcome, FileStatus};

/// A ledger with the table it is of.
pub(crate) type Of = (TableName, Arc<Ledger>);

/// What one table's ledger says of a file.
type Said<'l> = (&'l TableName, &'l Known);

/// All files of all ledgers.
#[derive(Debug, Default)]
pub(crate) struct Histories<'l>(HashMap<&'l str, History<'l>>);

/// What all ledgers say of one file: most files feed one table.
#[derive(Clone, Debug)]
pub(crate) struct History<'l> {
    path: &'l str,
    first: Said<'l>,
    more: Vec<Said<'l>>,
}

impl<'l> Histories<'l> {
    pub(crate) fn of(ledgers: &'l [Of]) -> Self {
        let files = ledgers.iter().map(|(_, ledger)| ledger.files.len()).sum();
        let mut all: HashMap<&str, History<'l>> = HashMap::with_capacity(files);
        for (table, ledger) in ledgers {
            for (path, known) in &ledger.files {
                match all.get_mut(path.as_ref()) {
                    Some(history) => history.more.push((table, known)),
                    None => {
                        let history = History {
                            path,
                            first: (table, known),
                            more: Vec::new(),
                        };
                        all.insert(path, history);
                    }
                }
            }
        }
        Self(all)
    }

    pub(crate) fn get(&self, path: &str) -> Option<&History<'l>> {
        self.0.get(path)
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &History<'l>> {
        self.0.values()
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
        let newest = self
            .iter()
            .max_by_key(|(_, known)| (known.at, known.entry.status != Did::Gone));
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
        for table in newest.entry.tables.iter() {
            let Some(known) = self.of_table(table) else { continue };
            outcome.tables.push(table.to_string());
            outcome.rows += known.entry.rows;
            outcome.version = outcome.version.or(Some(known.version));
            outcome.versions.push(known.version);
        }
        outcome
    }

    /// What became of it when its state was recorded.
    pub(crate) fn recorded(&self) -> FileOutcome {
        self.outcome(match self.newest().entry.status {
            Did::Gone => FileStatus::Gone,
            Did::Replaced => FileStatus::Replaced,
            Did::Loaded => FileStatus::Loaded,
        })
    }
}
