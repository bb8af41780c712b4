//! Which table a file feeds once its columns are known: [`super::likeness`] asked of what a sweep has read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::name::TableName;

use super::Crawler;
use super::apart::{Apart, Listed};
use super::columns::Prepared;
use super::folder_columns::FolderColumn;
use super::history::Histories;
use super::landing::Landed;
use super::likeness::{self, Candidate, Face, Fits};
use super::mixed;
use super::pins::Group;
use super::shape::SOURCE_FILE;
use super::told::Told;

/// Names of a table's files that are looked at for their pattern.
const NAMES_MAX: usize = 200;
/// Kinds of files in one folder that are held against one another.
const KINDS_MAX: usize = 32;

/// How sure a file is that may be of another kind than those of its table.
const MIXED: f64 = 0.9;

/// A file that was read, before it is decided which tables it feeds.
pub(super) struct Parsed {
    pub(super) file: Landed,
    pub(super) main: TableName,
    /// What its folders say of its rows.
    pub(super) folders: Vec<FolderColumn>,
    /// See [`super::plan::Due`].
    pub(super) kinds: Arc<BTreeSet<String>>,
    pub(super) tables: Vec<(TableName, Arc<Prepared>)>,
    pub(super) taken_for: String,
    pub(super) told: Told,
    pub(super) sha256: String,
    pub(super) sample: Bytes,
}

impl Crawler {
    /// Gives files whose columns are unlike those of their table another one; those without any are taken out, with the reason.
    pub(super) async fn regroup(
        &self,
        parsed: &mut Vec<Parsed>,
        history: &Histories<'_>,
    ) -> Vec<(Landed, String, Bytes)> {
        let mut by_main: BTreeMap<TableName, Vec<usize>> = BTreeMap::new();
        for (at, one) in parsed.iter().enumerate() {
            let group = one.file.pin.as_ref().map_or(Group::Columns, |pin| pin.group);
            if group == Group::Columns {
                by_main.entry(one.main.clone()).or_default().push(at);
            }
        }
        let mut nowhere: BTreeMap<usize, String> = BTreeMap::new();
        for (main, places) in by_main {
            let faces = self.faces(&main).await;
            let (kept, fits, doubts) = {
                let candidates: Vec<(usize, Candidate<'_>)> = places
                    .iter()
                    .filter_map(|at| {
                        let one = parsed.get(*at)?;
                        let (_, rows) = one.tables.first()?;
                        let home = history.get(&one.file.path).map(|known| known.newest());
                        let candidate = Candidate {
                            path: &one.file.path,
                            face: Face::of(rows.fields.iter()).with_name(&one.file.path),
                            home: home.and_then(|known| known.entry.tables.first()),
                        };
                        Some((*at, candidate))
                    })
                    .collect();
                let (kept, candidates): (Vec<usize>, Vec<Candidate<'_>>) = candidates.into_iter().unzip();
                let apart = apart(parsed.as_slice(), &kept, &candidates);
                let fits = likeness::assign(&main, &faces, &candidates, &apart);
                let doubts = mixed::mixed(&main, &faces, &candidates, &fits);
                (kept, fits, doubts)
            };
            for ((at, fits), doubt) in kept.into_iter().zip(fits).zip(doubts) {
                let Some(one) = parsed.get_mut(at) else { continue };
                if let Some(doubt) = doubt {
                    one.told.doubt(MIXED, &doubt);
                }
                match fits {
                    Fits::Main => {}
                    Fits::Beside(table, why) => {
                        for (name, _) in &mut one.tables {
                            *name = likeness::moved(name, &main, &table);
                        }
                        let by = one.told.grouped_by.take().unwrap_or_default();
                        one.told.grouped_by = Some(format!("{by}, {why}"));
                    }
                    Fits::Nowhere(reason) => {
                        nowhere.insert(at, reason);
                    }
                }
            }
        }
        let mut out = Vec::new();
        for (at, reason) in nowhere.into_iter().rev() {
            let one = parsed.remove(at);
            for staged in one.tables.iter().filter_map(|(_, rows)| rows.staged.as_ref()) {
                staged.discard().await;
            }
            out.push((one.file, reason, one.sample));
        }
        out
    }

    /// The main table and those beside it, as far as they are there and the crawler's.
    async fn faces(&self, main: &TableName) -> BTreeMap<TableName, Face> {
        let snapshot = self.catalog.snapshot();
        let mut faces = BTreeMap::new();
        for table in snapshot.tables(&main.schema) {
            let name = table.name();
            let schema = table.schema();
            if !(name == main || likeness::is_beside(main, name)) || schema.index_of(SOURCE_FILE).is_err() {
                continue;
            }
            let mut face = Face::of(schema.fields().iter().map(AsRef::as_ref));
            if let Ok(ledger) = self.ledgers.of(self.catalog.lake(), Some(table)).await {
                let held = ledger.files.iter().filter(|(_, known)| known.entry.held);
                for (path, _) in held.take(NAMES_MAX) {
                    face = face.with_name(path);
                }
            }
            faces.insert(name.clone(), face);
        }
        faces
    }
}

/// Which kinds of the files are known to be two. Of those of one folder and one kind the first stands for all.
fn apart(parsed: &[Parsed], places: &[usize], candidates: &[Candidate<'_>]) -> Apart {
    let mut apart = Apart::default();
    let mut folders: BTreeMap<&str, BTreeMap<&str, &Prepared>> = BTreeMap::new();
    for (one, candidate) in places.iter().filter_map(|at| parsed.get(*at)).zip(candidates) {
        apart.add_kinds(&one.kinds);
        let folder = candidate.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let of_folder = folders.entry(folder).or_default();
        let (Some(key), Some((_, rows))) = (candidate.face.keys().first(), one.tables.first()) else {
            continue;
        };
        if of_folder.len() < KINDS_MAX {
            of_folder.entry(key).or_insert(rows);
        }
    }
    for kinds in folders.values().filter(|kinds| kinds.len() > 1) {
        let listed = kinds.iter().filter_map(|(key, rows)| Some((*key, Listed::of(rows)?)));
        let listed: Vec<(&str, Listed)> = listed.collect();
        for (at, (key, list)) in listed.iter().enumerate() {
            for (other, beside) in listed.iter().skip(at + 1) {
                if list.is_beside(beside) {
                    apart.add(key, other);
                }
            }
        }
    }
    apart
}
