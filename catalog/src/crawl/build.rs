//! The commit of a batch: data files, what leaves, and the manifest.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use deltalake_core::kernel::{Add, LogicalFileView};

use crate::alter::anew;
use crate::bring_back::RESTORED_TO;
use crate::catalog::Catalog;
use crate::delta::Change;
use crate::error::LakeError;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;

use super::batch::{Piece, Work};
use super::ledger::{Did, Entry, Kept, Ledger, Manifest};
use super::rows::{Leaving, Renamed, with_source, without};
use super::shape::Shape;

/// A commit that is not made yet.
pub(super) struct Built {
    pub(super) change: Change,
    pub(super) manifest: Manifest,
    /// Data files that are of no use without it.
    pub(super) written: Vec<Add>,
    /// Paths of files whose rows are in the table already, under another path.
    pub(super) unread: BTreeSet<String>,
}

/// Writes the data files and puts the commit together.
pub(super) async fn build(
    catalog: &Catalog,
    base: Option<&LakeTable>,
    name: &TableName,
    pieces: &[&Piece],
    ledger: &Ledger,
    (shape, turn): (&Shape, u64),
) -> Result<Built, LakeError> {
    let lake = catalog.lake();
    let at = Utc::now();
    let mut entries = Vec::with_capacity(pieces.len());
    let mut batches = Vec::new();
    let mut staged = Vec::new();
    // Rows of another time are back, and the ledger may know nothing of them.
    let restored = base.is_some_and(|table| table.properties().contains_key(RESTORED_TO));
    let mut leaving = Leaving::default();
    let (renamed, unread) = renames(pieces, ledger);
    for piece in pieces {
        let known = ledger.files.get(piece.path.as_str()).map(|k| &k.entry);
        let held = known.is_some_and(|k| k.held);
        let old_rows = known.map_or(0, |k| k.rows);
        // The same content came back: its rows are still there.
        let back = matches!(piece.work, Work::Rows(_)) && held && known.is_some_and(|k| *k.sha256 == *piece.sha256);
        let named = piece.moved_from.as_deref().filter(|_| unread.contains(&piece.path));
        let before = named.and_then(|path| ledger.files.get(path));
        let (rows, status, holds) = match (&piece.work, before) {
            (Work::Rows(_) | Work::Instead { .. }, Some(before)) => (before.entry.rows, Did::Loaded, true),
            (Work::Rows(_), None) if back => (old_rows, Did::Loaded, true),
            (Work::Rows(rows), None) => {
                if let Some(ready) = &rows.staged {
                    staged.extend(ready.adds(name, &shape.schema).await?);
                } else {
                    let own =
                        with_source(rows, &piece.path, at, &shape.schema).map_err(|reason| LakeError::Refused {
                            table: name.clone(),
                            reason,
                        })?;
                    batches.extend(own);
                }
                (rows.rows(), if held { Did::Replaced } else { Did::Loaded }, true)
            }
            // The file that it is a copy of went some other way: nothing is changed.
            (Work::Instead { .. }, None) => (old_rows, known.map_or(Did::Loaded, |k| k.status), held),
            (Work::Nothing | Work::Gone { delete: true } | Work::Moved { .. }, _) => (0, Did::Gone, false),
            (Work::Gone { delete: false }, _) => (old_rows, Did::Gone, held),
        };
        let stays = matches!(piece.work, Work::Gone { delete: false })
            || back
            || (before.is_none() && matches!(piece.work, Work::Instead { .. }));
        // What gets another path does not go.
        let renamed = renamed.get(piece.path.as_str());
        if (held || restored) && !stays && renamed.is_none() {
            leaving.gone.insert(piece.path.clone());
        }
        if restored && !stays {
            let earlier = earlier_name(known.map(AsRef::as_ref), ledger);
            match (earlier, renamed) {
                (Some(earlier), Some(renamed)) => drop(leaving.renamed.insert(earlier, renamed.clone())),
                (Some(earlier), None) => drop(leaving.gone.insert(earlier)),
                (None, _) => {}
            }
        }
        entries.push(Entry {
            path: piece.path.clone(),
            bytes: piece.bytes,
            stamp: piece.stamp.clone(),
            sha256: piece.sha256.clone(),
            rows,
            status,
            held: holds,
            tables: piece.tables.clone(),
            taken_for: piece.taken_for.clone(),
            told: piece.told.clone(),
            moved_from: piece.moved_from.clone(),
            dropped: match before {
                Some(before) => before.dropped,
                None => stays && ledger.files.get(piece.path.as_str()).is_some_and(|k| k.dropped),
            },
        });
    }
    // A renamed file's rows are under the name that it got: not under one that goes.
    leaving.gone.retain(|path| !renamed.contains_key(path.as_str()));
    leaving
        .renamed
        .extend(renamed.into_iter().map(|(path, to)| (path.to_owned(), to)));
    let mut adds = parquet_file::write(lake, name, &shape.schema, batches).await?;
    let mut removes = Vec::new();
    let brings = !adds.is_empty() || !staged.is_empty();
    let revived = base.filter(|table| table.is_dropped() && brings);
    if let Some(table) = revived {
        // What was dropped stays dropped: the table is there again with the new rows alone.
        let files = table.state()?.log_data();
        removes.extend(files.iter().map(|file: LogicalFileView| file.remove_action(true)));
        for (entry, piece) in entries.iter_mut().zip(pieces) {
            let is_new = matches!(piece.work, Work::Rows(_)) && !unread.contains(&piece.path);
            let is_back = ledger
                .files
                .get(entry.path.as_str())
                .is_some_and(|k| k.entry.held && *k.entry.sha256 == *entry.sha256);
            entry.dropped = entry.held && (!is_new || is_back);
        }
    } else if let Some(table) = base {
        let rewritten = without(lake, table, &leaving, &shape.schema, shape.rewrite).await?;
        adds.extend(rewritten.adds);
        removes = rewritten.removes;
    }
    let written = adds.clone();
    adds.extend(staged);
    let (schema, table_id) = match base {
        Some(table) => (
            shape.changed.then(|| shape.schema.clone()),
            table.state()?.metadata().id().to_owned(),
        ),
        None => (Some(shape.schema.clone()), uuid::Uuid::new_v4().to_string()),
    };
    let manifest = Manifest {
        table_id: table_id.clone(),
        batch: ledger.batch + 1,
        version: base.map_or(0, |t| t.version() + 1),
        at,
        turn,
        anew: revived.is_some(),
        files: entries,
    };
    let json = serde_json::to_string(&manifest).map_err(|e| LakeError::Record {
        path: format!("the manifest of {name}"),
        reason: e.to_string(),
    })?;
    let change = Change {
        properties: revived.map(|table| anew(table, BTreeMap::new())).unwrap_or_default(),
        adds,
        removes,
        schema,
        table_id: Some(table_id),
        batch: Some((manifest.batch, json)),
        ..Change::default()
    };
    Ok(Built {
        change,
        manifest,
        written,
        unread,
    })
}

/// Files of this table that have another path and the content of before, by the old path; and the new paths. Their rows get the
/// new path as they are: what a statement changed in them since they were loaded is not undone.
fn renames<'p>(pieces: &[&'p Piece], ledger: &Ledger) -> (BTreeMap<&'p str, Renamed>, BTreeSet<String>) {
    let mut renamed = BTreeMap::new();
    let mut unread = BTreeSet::new();
    let leaves: BTreeMap<&str, &str> = pieces
        .iter()
        .filter_map(|piece| match &piece.work {
            Work::Moved { to } => Some((piece.path.as_str(), to.as_str())),
            Work::Rows(_) | Work::Nothing | Work::Gone { .. } | Work::Instead { .. } => None,
        })
        .collect();
    for piece in pieces {
        let Some(old) = piece.moved_from.as_deref() else {
            continue;
        };
        let folders = match &piece.work {
            Work::Rows(rows) => rows.folders.clone(),
            Work::Instead { .. } => Vec::new(),
            Work::Nothing | Work::Gone { .. } | Work::Moved { .. } => continue,
        };
        let is_same = ledger.files.get(old).is_some_and(|known| {
            let entry = &known.entry;
            entry.held && *entry.sha256 == *piece.sha256 && *entry.tables == *piece.tables
        });
        if is_same && leaves.get(old) == Some(&piece.path.as_str()) {
            renamed.insert(
                old,
                Renamed {
                    to: piece.path.clone(),
                    folders,
                },
            );
            unread.insert(piece.path.clone());
        }
    }
    (renamed, unread)
}

/// The path that a renamed file had before, if no other file has it now: a restored table may hold its rows under that one.
fn earlier_name(known: Option<&Kept>, ledger: &Ledger) -> Option<String> {
    let before = known?.moved_from.as_deref()?;
    let other = ledger.files.get(before).is_some_and(|known| known.entry.held);
    (!other).then(|| before.to_owned())
}
