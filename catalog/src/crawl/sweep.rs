//! Acting on a plan: chunk by chunk, read, check that every table can take its part, commit table by table.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::error::LakeError;
use crate::name::TableName;

use super::batch::{self, Became, Piece, Work};
use super::history::{Histories, History};
use super::landing::{self, Landed};
use super::moved::Absent;
use super::pieces::{by_table, chunks, instead, moves, piece_of, pieces};
use super::plan::{Due, Plan};
use super::quarantine::{self, Record};
use super::reader::{self, Read};
use super::reconcile::Unfit;
use super::regroup::Parsed;
use super::report::{FileOutcome, FileStatus, WENT, is_now};
use super::told::Told;
use super::{Crawler, Gone};

/// Files read and parsed at the same time.
const READ_AT_ONCE: usize = 4;

type Records = BTreeMap<String, Record>;
/// Old paths of renamed files, with the new ones.
type Moved = BTreeMap<String, String>;

/// A file that was read, and its part for each table.
struct Taken {
    file: Landed,
    /// Those of the path that it had before among them.
    pieces: Vec<(TableName, Piece)>,
    moved_from: Option<String>,
    taken_for: String,
    told: Told,
    sha256: String,
    sample: Bytes,
}

impl Taken {
    /// Removes what was written for it and is in no commit.
    async fn let_go(&self) {
        for staged in self.pieces.iter().filter_map(|(_, piece)| piece.work.staged()) {
            staged.discard().await;
        }
    }
}

impl Crawler {
    pub(super) async fn act(
        &self,
        mut plan: Plan,
        history: &Histories<'_>,
        quarantined: &Records,
    ) -> Result<Vec<FileOutcome>, LakeError> {
        let lake = self.catalog.lake();
        let mut done: BTreeMap<String, FileOutcome> = plan
            .settled
            .into_iter()
            .map(|outcome| (outcome.path.clone(), outcome))
            .collect();
        for path in &plan.stale {
            quarantine::remove(lake, path).await?;
        }
        for (file, reason) in plan.refused {
            let outcome = match quarantined
                .get(&file.path)
                .filter(|r| r.stamp == file.mark() && r.reason == reason)
            {
                Some(record) => record.outcome(),
                None => self.put_away(&file, reason, &[]).await?,
            };
            done.insert(file.path.clone(), outcome);
        }
        let nothing_landed =
            plan.due.is_empty() && plan.unchanged == 0 && done.values().all(|f| f.status == FileStatus::Gone);
        // What a crash left double goes first: a file may be on its way again.
        let (double, gone): (Vec<String>, Vec<String>) =
            plan.gone.into_iter().partition(|path| plan.moved.contains_key(path));
        plan.gone = gone;
        for outcome in self
            .record_gone(&double, (&plan.moved, &plan.copied), history, false)
            .await
        {
            done.insert(outcome.path.clone(), outcome);
        }
        // Those that were gone for a while, and are found now under another path.
        let mut found = Vec::new();
        for chunk in chunks(plan.due, self.options.batch_files_max, self.options.batch_bytes_max) {
            let (outcomes, moved) = self.load(chunk, history, quarantined, &mut plan.absent).await?;
            for outcome in outcomes {
                done.insert(outcome.path.clone(), outcome);
            }
            let is_known = |old: &&String| plan.gone.binary_search(*old).is_ok();
            found.extend(moved.keys().filter(|old| !is_known(old)).cloned());
            plan.moved.extend(moved);
        }
        plan.gone.extend(found);
        for outcome in self
            .record_gone(&plan.gone, (&plan.moved, &Moved::new()), history, nothing_landed)
            .await
        {
            done.insert(outcome.path.clone(), outcome);
        }
        Ok(done.into_values().collect())
    }

    async fn load(
        &self,
        chunk: Vec<Due>,
        history: &Histories<'_>,
        quarantined: &Records,
        absent: &mut Absent,
    ) -> Result<(Vec<FileOutcome>, Moved), LakeError> {
        let mut outcomes = Vec::new();
        let mut moved = Moved::new();
        let mut parsed: Vec<Parsed> = Vec::new();
        let read: Vec<(Due, Read)> = stream::iter(chunk)
            .map(|due| async move {
                let known = history.get(&due.file.path).and_then(|known| known.complete());
                let asked = (&due.main, due.folders.as_slice());
                let read = reader::read(&self.catalog, &due.file, asked, known, BTreeMap::new(), &self.options).await;
                // One file that cannot be read stops no other.
                let read = read.unwrap_or_else(|error| Read::Later {
                    reason: error.to_string(),
                    blocked: true,
                });
                (due, read)
            })
            .buffered(READ_AT_ONCE)
            .collect()
            .await;
        for (due, read) in read {
            let Due {
                file,
                main,
                folders,
                kinds,
            } = due;
            match read {
                Read::Later { reason, blocked: true } => {
                    outcomes.push(FileOutcome::blocked(&file.path, file.bytes, reason));
                }
                Read::Later { reason, blocked: false } => {
                    outcomes.push(FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes).because(reason));
                }
                Read::Bad { reason, content } => outcomes.push(self.put_away(&file, reason, &content).await?),
                Read::Same { sha256 } => {
                    self.verified.lock().insert(file.path.clone(), (file.mark(), sha256));
                    self.settle(&file, quarantined).await?;
                    if let Some(known) = history.get(&file.path) {
                        outcomes.push(known.outcome(FileStatus::Unchanged));
                    }
                }
                Read::Parsed {
                    sha256,
                    taken_for,
                    told,
                    tables,
                    sample,
                } => parsed.push(Parsed {
                    file,
                    main,
                    folders,
                    kinds,
                    tables,
                    taken_for,
                    told,
                    sha256,
                    sample,
                }),
            }
        }
        for (file, reason, sample) in self.regroup(&mut parsed, history).await {
            outcomes.push(self.put_away(&file, reason, &sample).await?);
        }
        for (file, unfit, sample) in self.reconcile(&mut parsed).await? {
            outcomes.push(match unfit {
                Unfit::Mistake(reason) => self.put_away(&file, reason, &sample).await?,
                Unfit::Later(reason) => FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes).because(reason),
            });
        }
        let mut taken: Vec<Taken> = Vec::with_capacity(parsed.len());
        for one in parsed {
            let mut moved_from = absent.take(&one.file, &one.sha256, history);
            if moved_from.is_none() {
                moved_from = self.grown_from(&one, history, absent).await;
            }
            let read = (one.sha256.as_str(), one.taken_for.as_str(), &one.told);
            let mut pieces = pieces(&one.file, read, one.tables, history.get(&one.file.path));
            if let Some(old) = moved_from.as_ref().and_then(|old| history.get(old)) {
                moves(&mut pieces, &one.file, old);
            }
            taken.push(Taken {
                pieces,
                moved_from,
                file: one.file,
                taken_for: one.taken_for,
                told: one.told,
                sha256: one.sha256,
                sample: one.sample,
            });
        }
        for (path, reason) in self.misfits(&taken).await {
            if let Some(place) = taken.iter().position(|t| t.file.path == path) {
                let misfit = taken.swap_remove(place);
                misfit.let_go().await;
                outcomes.push(self.put_away(&misfit.file, reason, &misfit.sample).await?);
            }
        }
        taken.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        let turn = history.next_turn();
        let became = self.commit(taken.iter().flat_map(|t| t.pieces.iter()), turn).await;
        for mut one in taken {
            one.let_go().await;
            let moved_from = one.moved_from.take();
            let path = one.file.path.clone();
            let parts = became.get(&one.file.path).map(Vec::as_slice).unwrap_or_default();
            let outcome = self.conclude(one, parts, quarantined).await?;
            if let Some(old) = moved_from.filter(|_| outcome.status != FileStatus::Waiting) {
                moved.insert(old, path);
            }
            outcomes.push(outcome);
        }
        Ok((outcomes, moved))
    }

    /// Files that some table cannot take, before any table took its part: a file is loaded whole or not at all.
    async fn misfits(&self, taken: &[Taken]) -> BTreeMap<String, String> {
        let mut reasons = BTreeMap::new();
        for (table, pieces) in by_table(taken.iter().flat_map(|t| t.pieces.iter())) {
            // A table that fails now fails again at its commit, and is reported there.
            let misfits = batch::misfits(&self.catalog, &table, &pieces).await.unwrap_or_default();
            for (place, reason) in misfits {
                if let Some(piece) = pieces.get(place) {
                    reasons.entry(piece.path.clone()).or_insert(reason);
                }
            }
        }
        reasons
    }

    async fn commit<'a>(
        &self,
        pieces: impl Iterator<Item = &'a (TableName, Piece)>,
        turn: u64,
    ) -> BTreeMap<String, Vec<(TableName, Became)>> {
        let mut all: BTreeMap<String, Vec<(TableName, Became)>> = BTreeMap::new();
        for (table, pieces) in by_table(pieces) {
            let became = match batch::run(&self.catalog, &self.ledgers, &table, &pieces, turn).await {
                Ok(became) => became,
                // One table that cannot be written stops its own files, not those of all others.
                Err(error) => {
                    tracing::warn!(%table, %error, "a batch could not be committed");
                    vec![Became::Failed(error.to_string()); pieces.len()]
                }
            };
            for (piece, became) in pieces.iter().zip(became) {
                all.entry(piece.path.clone()).or_default().push((table.clone(), became));
            }
        }
        all
    }

    /// One word for a file out of what became of its parts.
    async fn conclude(
        &self,
        taken: Taken,
        parts: &[(TableName, Became)],
        quarantined: &Records,
    ) -> Result<FileOutcome, LakeError> {
        let file = &taken.file;
        for (_, part) in parts {
            // It did fit when it was looked at: another server changed the table since.
            if let Became::Misfit(reason) | Became::Failed(reason) = part {
                return Ok(FileOutcome::blocked(&file.path, file.bytes, reason));
            }
        }
        if parts.iter().any(|(_, part)| *part == Became::Raced) {
            let reason = "another server has it in hand; the next sweep looks again";
            return Ok(FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes).because(reason));
        }
        let mut outcome = FileOutcome::new(&file.path, FileStatus::Unchanged, file.bytes);
        outcome.taken_for = taken.taken_for;
        outcome.tell(&taken.told);
        outcome.at = Some(chrono::Utc::now());
        for (table, part) in parts {
            let (rows, version) = match part {
                Became::Loaded { rows, version } => {
                    if outcome.status == FileStatus::Unchanged {
                        outcome.status = FileStatus::Loaded;
                    }
                    (*rows, *version)
                }
                Became::Replaced { rows, version } => {
                    outcome.status = FileStatus::Replaced;
                    (*rows, *version)
                }
                Became::Known { rows, version } => (*rows, *version),
                // A table this content no longer feeds.
                Became::Gone { .. } => {
                    outcome.status = FileStatus::Replaced;
                    continue;
                }
                Became::Misfit(_) | Became::Raced | Became::Failed(_) => continue,
            };
            outcome.tables.push(table.to_string());
            outcome.rows += rows;
            outcome.version = outcome.version.or(Some(version));
            outcome.versions.push(version);
        }
        // What another server loaded may have a stamp of its own there.
        if parts.iter().any(|(_, part)| matches!(part, Became::Known { .. })) {
            let mark = (file.mark(), taken.sha256);
            self.verified.lock().insert(file.path.clone(), mark);
        }
        self.settle(file, quarantined).await?;
        Ok(outcome)
    }

    async fn record_gone(
        &self,
        gone: &[String],
        (moved, copied): (&Moved, &Moved),
        history: &Histories<'_>,
        nothing_landed: bool,
    ) -> Vec<FileOutcome> {
        let delete = self.options.gone == Gone::DeleteRows;
        let mut outcomes = Vec::new();
        if delete && nothing_landed && gone.len() > 1 {
            tracing::warn!(
                files = gone.len(),
                "the whole landing folder is empty: no rows are deleted; is it mounted?"
            );
            let reason =
                "the whole landing folder is empty, which looks like a missing mount: its rows are kept for now";
            for path in gone {
                outcomes.push(FileOutcome::blocked(path, 0, reason));
            }
            return outcomes;
        }
        // Pieces that go into one commit.
        let mut pieces: Vec<Vec<(TableName, Piece)>> = Vec::new();
        let mut failed: BTreeMap<String, String> = BTreeMap::new();
        for path in gone {
            let Some(old) = history.get(path) else { continue };
            let copy = copied.get(path).and_then(|copy| history.get(copy));
            for (table, known) in old.iter() {
                let delete = delete || moved.contains_key(path);
                pieces.push(match copy {
                    Some(copy) => instead((table, old), known, copy),
                    None => vec![(table.clone(), piece_of(path, known, Work::Gone { delete }))],
                });
            }
        }
        let turn = history.next_turn();
        for part in pieces.chunks(self.options.batch_files_max.max(1)) {
            failed.extend(
                self.commit(part.iter().flatten(), turn)
                    .await
                    .into_iter()
                    .filter_map(|(path, parts)| {
                        parts.into_iter().find_map(|(_, became)| match became {
                            Became::Failed(reason) => Some((path.clone(), reason)),
                            Became::Loaded { .. } | Became::Replaced { .. } | Became::Known { .. } => None,
                            Became::Gone { .. } | Became::Misfit(_) | Became::Raced => None,
                        })
                    }),
            );
        }
        for path in gone {
            if let Some(reason) = failed.remove(path) {
                outcomes.push(FileOutcome::blocked(path, 0, reason));
                continue;
            }
            let mut outcome = match history.get(path) {
                Some(known) => known.outcome(FileStatus::Gone),
                None => FileOutcome::new(path, FileStatus::Gone, 0),
            };
            if delete || moved.contains_key(path) {
                (outcome.rows, outcome.tables, outcome.versions) = (0, Vec::new(), Vec::new());
                outcome.reason = Some(match moved.get(path) {
                    Some(to) => is_now(to),
                    None => WENT.to_owned(),
                });
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// The path of a file that went since the last sweep and that this new one goes on from: renamed, and written to since.
    async fn grown_from(&self, one: &Parsed, history: &Histories<'_>, absent: &mut Absent) -> Option<String> {
        if history.get(&one.file.path).is_some_and(History::is_held) {
            return None;
        }
        let (main, _) = one.tables.first()?;
        let sizes = absent.sizes_below(main, one.file.bytes);
        if sizes.is_empty() {
            return None;
        }
        match landing::beginnings(self.catalog.lake(), &one.file, sizes).await {
            Ok(beginnings) => absent.take_beginning(main, &beginnings),
            Err(error) => {
                tracing::warn!(file = one.file.path, %error, "it cannot be compared with files that went");
                None
            }
        }
    }

    async fn put_away(&self, file: &Landed, reason: String, content: &[u8]) -> Result<FileOutcome, LakeError> {
        tracing::info!(file = file.path, reason, "quarantined");
        let record = Record::new(file, reason, content);
        quarantine::write(self.catalog.lake(), &record).await?;
        Ok(record.outcome())
    }

    /// The file is in its tables: let it out of quarantine.
    async fn settle(&self, file: &Landed, quarantined: &Records) -> Result<(), LakeError> {
        if quarantined.contains_key(&file.path) {
            quarantine::remove(self.catalog.lake(), &file.path).await?;
        }
        Ok(())
    }
}
