//! What a file has for each table, as the batches take it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::name::TableName;

use super::batch::{Piece, Work};
use super::columns::Prepared;
use super::history::History;
use super::landing::Landed;
use super::ledger::Known;
use super::plan::Due;
use super::told::Told;

/// A read file's part for each table, those it no longer feeds included.
pub(super) fn pieces(
    file: &Landed,
    (sha256, taken_for, told): (&str, &str, &Told),
    tables: Vec<(TableName, Arc<Prepared>)>,
    history: Option<&History<'_>>,
) -> Vec<(TableName, Piece)> {
    let names: Vec<TableName> = tables.iter().map(|(name, _)| name.clone()).collect();
    let expected = |table: &TableName| history.and_then(|h| h.of_table(table)).map(|k| k.batch);
    let piece = |table: &TableName, work: Work| Piece {
        path: file.path.clone(),
        bytes: file.bytes,
        stamp: file.mark(),
        sha256: sha256.to_owned(),
        tables: names.clone(),
        taken_for: taken_for.to_owned(),
        told: if names.first() == Some(table) {
            told.clone()
        } else {
            told.without_properties()
        },
        expected: expected(table),
        work,
        moved_from: None,
    };
    let mut all: Vec<(TableName, Piece)> = tables
        .iter()
        .map(|(name, rows)| (name.clone(), piece(name, Work::Rows(rows.clone()))))
        .collect();
    for (table, known) in history.into_iter().flat_map(History::iter) {
        if known.entry.held && !names.contains(table) {
            all.push((table.clone(), piece(table, Work::Nothing)));
        }
    }
    all
}

/// Adds to the pieces of a renamed file those of its old path, where both are of one table: they go into one commit.
pub(super) fn moves(pieces: &mut Vec<(TableName, Piece)>, file: &Landed, old: &History<'_>) {
    for (_, piece) in pieces.iter_mut() {
        piece.moved_from = Some(old.path().to_owned());
    }
    let in_both = |table: &TableName| {
        let comes = |(name, piece): &(TableName, Piece)| name == table && matches!(piece.work, Work::Rows(_));
        pieces.iter().any(comes)
    };
    let gone: Vec<(TableName, Piece)> = old
        .iter()
        .filter(|(table, known)| known.entry.held && in_both(table))
        .map(|(table, known)| {
            let to = file.path.clone();
            (table.clone(), piece_of(old.path(), known, Work::Moved { to }))
        })
        .collect();
    pieces.extend(gone);
}

/// The pieces of a file that went, of which another one is the copy by which it was renamed. Where both are of this table and
/// alike in it, the rows of the first get the path of the second; elsewhere they go.
pub(super) fn instead(
    (table, old): (&TableName, &History<'_>),
    known: &Known,
    copy: &History<'_>,
) -> Vec<(TableName, Piece)> {
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let alike = copy.of_table(table).filter(|there| {
        let (one, two) = (&known.entry, &there.entry);
        let is_there = one.held && two.held && !there.dropped && !known.dropped;
        is_there && one.sha256 == two.sha256 && one.tables == two.tables && folder(old.path()) == folder(copy.path())
    });
    let piece = |path: &str, known: &Known, work: Work| (table.clone(), piece_of(path, known, work));
    let Some(there) = alike else {
        return vec![piece(old.path(), known, Work::Gone { delete: true })];
    };
    let to = copy.path().to_owned();
    let of = old.path().to_owned();
    let mut second = piece(copy.path(), there, Work::Instead { of: of.clone() });
    second.1.moved_from = Some(of);
    vec![piece(old.path(), known, Work::Moved { to }), second]
}

/// A piece of a file that is not in the landing folder.
pub(super) fn piece_of(path: &str, known: &Known, work: Work) -> Piece {
    let entry = &known.entry;
    Piece {
        path: path.to_owned(),
        bytes: entry.bytes,
        stamp: entry.stamp.to_string(),
        sha256: entry.sha256.to_string(),
        tables: entry.tables.to_vec(),
        taken_for: entry.taken_for.to_string(),
        told: Told::clone(&entry.told),
        expected: Some(known.batch),
        work,
        moved_from: None,
    }
}

pub(super) fn by_table<'a>(pieces: impl Iterator<Item = &'a (TableName, Piece)>) -> BTreeMap<TableName, Vec<Piece>> {
    let mut tables: BTreeMap<TableName, Vec<Piece>> = BTreeMap::new();
    for (table, piece) in pieces {
        tables.entry(table.clone()).or_default().push(piece.clone());
    }
    tables
}

/// Ends of names of files that unfold when they are read, and about how many times.
const PACKED: [&str; 12] = [
    ".gz", ".zst", ".zstd", ".bz2", ".xz", ".zip", ".xlsx", ".xlsm", ".xlsb", ".ods", ".parquet", ".avro",
];
const UNFOLDS: u64 = 16;

/// Bytes to reckon with while a file is read.
fn weight(file: &Landed) -> u64 {
    let name = file.path.to_ascii_lowercase();
    match PACKED.iter().any(|end| name.ends_with(end)) {
        true => file.bytes.saturating_mul(UNFOLDS),
        false => file.bytes,
    }
}

/// Due files in chunks, table by table, so that a chunk touches few tables. Each chunk is one commit per table, and its rows are in memory
/// together.
pub(super) fn chunks(mut due: Vec<Due>, files_max: usize, bytes_max: u64) -> Vec<Vec<Due>> {
    due.sort_by(|a, b| (&a.main, &a.file.path).cmp(&(&b.main, &b.file.path)));
    let mut chunks: Vec<Vec<Due>> = Vec::new();
    let mut bytes = 0u64;
    for one in due {
        let full = chunks
            .last()
            .is_none_or(|c| c.len() >= files_max.max(1) || bytes.saturating_add(weight(&one.file)) > bytes_max);
        if full {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(weight(&one.file));
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(one);
        }
    }
    chunks
}
