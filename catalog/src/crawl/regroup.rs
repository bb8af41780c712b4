//! Which table a file feeds once its columns are known: [`super::likeness`] asked of what a sweep has read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::name::TableName;

use super::Crawler;
use super::columns::Prepared;
use super::folder_columns::FolderColumn;
use super::history::Histories;
use super::landing::Landed;
use super::likeness::{self, Candidate, Face, Fits};
use super::pins::Group;
use super::shape::SOURCE_FILE;
use super::told::Told;

/// Names of a table's files that are looked at for their pattern.
const NAMES_MAX: usize = 200;

/// A file that was read, before it is decided which tables it feeds.
pub(super) struct Parsed {
    pub(super) file: Landed,
    pub(super) main: TableName,
    /// What its folders say of its rows.
    pub(super) folders: Vec<FolderColumn>,
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
            let (kept, fits): (Vec<usize>, Vec<Fits>) = {
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
                (kept, likeness::assign(&main, &faces, &candidates))
            };
            for (at, fits) in kept.into_iter().zip(fits) {
                let Some(one) = parsed.get_mut(at) else { continue };
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
