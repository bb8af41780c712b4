//! One batch of files into one table: data, ledger and schema in one commit, or nothing at all.
//!
//! Every attempt starts from the newest snapshot, reads the ledger that belongs to exactly that snapshot, leaves out what is
//! done already, and commits as exactly the next version. When another writer takes that version, nothing of ours is in the
//! table, and the attempt starts over. So a batch that was committed by another server, or by us just before a crash, is seen
//! in the ledger and not repeated.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::catalog::Catalog;
use crate::delta::commit;
use crate::error::LakeError;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;

use super::build::{Built, build};
use super::columns::Prepared;
use super::folders::any_says;
use super::ledger::{self, Did, Entry, Ledger, Ledgers};
use super::rows::{has_source, unwritable};
use super::shape::{Existing, Shape, fold};
use super::stream::Staged;
use super::told::Told;
use super::wanted::{self, Wanted};

/// How often a batch is planned anew when other writers win. Each round one writer wins, so this outlasts a dozen servers.
const ATTEMPTS_MAX: usize = 30;

/// What a file has for one table.
#[derive(Clone)]
pub(crate) enum Work {
    /// These rows, in place of any the table has of this file.
    Rows(Arc<Prepared>),
    /// Its content no longer has rows for this table.
    Nothing,
    /// It left the landing folder; its rows go too if asked.
    Gone { delete: bool },
    /// It has another path now; its rows go, or get that path, when those of that path come in the same commit.
    Moved { to: String },
    /// It is the copy by which a file was renamed: that file's rows get its path in place of its own.
    Instead { of: String },
}

impl Work {
    pub(crate) fn staged(&self) -> Option<&Staged> {
        match self {
            Self::Rows(rows) => rows.staged.as_deref(),
            Self::Nothing | Self::Gone { .. } | Self::Moved { .. } | Self::Instead { .. } => None,
        }
    }
}

/// One file's part in a batch.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) stamp: String,
    pub(crate) sha256: String,
    pub(crate) tables: Vec<TableName>,
    pub(crate) taken_for: String,
    pub(crate) told: Told,
    /// The batch of the file's ledger entry when the work was planned; `None` when it had none.
    pub(crate) expected: Option<i64>,
    pub(crate) work: Work,
    /// The path the file had before.
    pub(crate) moved_from: Option<String>,
}

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Loaded {
        rows: u64,
        version: u64,
    },
    Replaced {
        rows: u64,
        version: u64,
    },
    /// The ledger has it already.
    Known {
        rows: u64,
        version: u64,
    },
    Gone {
        version: u64,
    },
    Misfit(String),
    /// Another server changed the file's entry since this work was planned.
    Raced,
    /// The table could not be read or written; nothing of the batch is in it.
    Failed(String),
}

/// Commits the pieces to one table; `turn` is that of the sweep. The answers are in the order of the pieces.
pub(crate) async fn run(
    catalog: &Catalog,
    ledgers: &Ledgers,
    name: &TableName,
    pieces: &[Piece],
    turn: u64,
) -> Result<Vec<Became>, LakeError> {
    let lake = catalog.lake();
    let mut became: HashMap<usize, Became> = HashMap::new();
    for _ in 0..ATTEMPTS_MAX {
        let base = catalog.latest(name).await?;
        let ledger = ledgers.of(lake, base.as_deref()).await?;
        let todo = left(pieces, &ledger, &mut became);
        let (todo, shape) = fitting(base.as_deref(), name, pieces, todo, &mut became)?;
        let Some(mut shape) = shape else { break };
        // Rows of before get what their folders say, too.
        shape.rewrite |= shape.new_folders.iter().any(|column| {
            let held = ledger.files.iter().filter(|(_, known)| known.entry.held);
            any_says(held.map(|(path, _)| path.as_ref()), column)
        });

        let work: Vec<&Piece> = todo.iter().filter_map(|place| pieces.get(*place)).collect();
        let turn = turn.max(ledger.turn.saturating_add(1));
        let built = build(catalog, base.as_deref(), name, &work, &ledger, (&shape, turn)).await?;
        let Built {
            change,
            manifest,
            written,
            unread,
        } = built;
        match commit(lake, name, base.as_deref(), change).await? {
            Some(table) => {
                catalog.publish(Arc::new(table)).await;
                if let Err(error) = ledger::write(lake, name, &manifest).await {
                    tracing::warn!(%error, table = %name, "the ledger's copy could not be written; the log has it");
                }
                for piece in work.iter().filter(|piece| !unread.contains(&piece.path)) {
                    if let Some(staged) = piece.work.staged() {
                        staged.committed().await;
                    }
                }
                for (place, entry) in todo.iter().zip(&manifest.files) {
                    became.insert(*place, outcome(entry, manifest.version));
                }
                break;
            }
            None => parquet_file::discard(lake, name, &written).await,
        }
    }
    (0..pieces.len())
        .map(|place| {
            became.remove(&place).ok_or(LakeError::Busy {
                table: name.clone(),
                attempts: ATTEMPTS_MAX,
            })
        })
        .collect()
}

/// Which of these pieces could not be taken by the table as it is now, without writing anything.
pub(crate) async fn misfits(
    catalog: &Catalog,
    name: &TableName,
    pieces: &[Piece],
) -> Result<Vec<(usize, String)>, LakeError> {
    let base = catalog.latest(name).await?;
    let mut became = HashMap::new();
    fitting(base.as_deref(), name, pieces, (0..pieces.len()).collect(), &mut became)?;
    Ok(became
        .into_iter()
        .filter_map(|(place, became)| {
            if let Became::Misfit(reason) = became {
                Some((place, reason))
            } else {
                None
            }
        })
        .collect())
}

/// The places of pieces that the ledger does not have yet.
fn left(pieces: &[Piece], ledger: &Ledger, became: &mut HashMap<usize, Became>) -> Vec<usize> {
    let mut todo = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        if became.contains_key(&place) {
            continue;
        }
        let known = ledger.files.get(piece.path.as_str());
        let done = known.filter(|k| match &piece.work {
            Work::Rows(_) => k.entry.held && k.entry.status != Did::Gone && *k.entry.sha256 == *piece.sha256,
            Work::Nothing => !k.entry.held,
            Work::Gone { delete } => k.entry.status == Did::Gone && (!delete || !k.entry.held),
            Work::Moved { .. } => k.entry.status == Did::Gone && !k.entry.held,
            Work::Instead { of } => {
                let old = ledger.files.get(of.as_str());
                old.is_some_and(|old| old.entry.status == Did::Gone && !old.entry.held)
            }
        });
        if let Some(known) = done {
            became.insert(
                place,
                Became::Known {
                    rows: known.entry.rows,
                    version: known.version,
                },
            );
        } else if known.map(|k| k.batch) != piece.expected {
            became.insert(place, Became::Raced);
        } else {
            todo.push(place);
        }
    }
    todo
}

/// The pieces the table can take, and the shape it has then; no shape when nothing is left to do.
fn fitting(
    base: Option<&LakeTable>,
    name: &TableName,
    pieces: &[Piece],
    mut todo: Vec<usize>,
    became: &mut HashMap<usize, Became>,
) -> Result<(Vec<usize>, Option<Shape>), LakeError> {
    let existing = match base {
        None => None,
        Some(table) => match existing(table, name)? {
            Ok(existing) => Some(existing),
            Err(reason) => {
                for place in todo {
                    became.insert(place, Became::Misfit(reason.clone()));
                }
                return Ok((Vec::new(), None));
            }
        },
    };
    let with_rows: Vec<(usize, &Prepared)> = todo
        .iter()
        .filter_map(|place| match pieces.get(*place).map(|p| &p.work) {
            Some(Work::Rows(rows)) => Some((*place, rows.as_ref())),
            Some(Work::Nothing | Work::Gone { .. } | Work::Moved { .. } | Work::Instead { .. }) | None => None,
        })
        .collect();
    let files: Vec<&Prepared> = with_rows.iter().map(|(_, rows)| *rows).collect();
    let shape = fold(existing.as_ref(), &files).map_err(|reason| LakeError::Refused {
        table: name.clone(),
        reason,
    })?;
    for (index, reason) in &shape.misfits {
        if let Some((place, _)) = with_rows.get(*index) {
            became.insert(*place, Became::Misfit(reason.clone()));
        }
    }
    todo.retain(|place| !became.contains_key(place));
    let comes: BTreeSet<&str> = todo
        .iter()
        .filter_map(|place| pieces.get(*place))
        .filter(|piece| matches!(piece.work, Work::Rows(_) | Work::Instead { .. }))
        .map(|piece| piece.path.as_str())
        .collect();
    todo.retain(|place| match pieces.get(*place).map(|piece| &piece.work) {
        Some(Work::Moved { to }) if !comes.contains(to.as_str()) => {
            became.insert(*place, Became::Raced);
            false
        }
        _ => true,
    });
    // A table that is not there and gets no rows is not made.
    let idle = todo.is_empty() || (base.is_none() && files.len() == shape.misfits.len());
    if idle {
        for place in todo.drain(..) {
            became.insert(place, Became::Gone { version: 0 });
        }
        return Ok((todo, None));
    }
    Ok((todo, Some(shape)))
}

/// The schema that the table has once it took these rows, or that a table of their own would have: whether they go there
/// is decided later. `None` when no table can hold them.
pub(crate) async fn schema_with(
    catalog: &Catalog,
    name: &TableName,
    rows: &Prepared,
) -> Result<Option<SchemaRef>, LakeError> {
    let base = catalog.latest(name).await?;
    let existing = match base.as_deref().map(|table| existing(table, name)).transpose()? {
        Some(Ok(existing)) => Some(existing),
        Some(Err(_)) | None => None,
    };
    let taken = |existing: Option<&Existing>| {
        let shape = fold(existing, &[rows]).ok();
        shape.filter(|shape| shape.misfits.is_empty()).map(|shape| shape.schema)
    };
    Ok(taken(existing.as_ref()).or_else(|| taken(None)))
}

/// For each file the columns that do not go into the table as they are, and the types to read them as; nothing where the
/// table itself is the reason, which [`misfits`] tells.
pub(crate) async fn wanted(catalog: &Catalog, name: &TableName, files: &[&Prepared]) -> Result<Vec<Wanted>, LakeError> {
    let base = catalog.latest(name).await?;
    Ok(match base.as_deref().map(|table| existing(table, name)).transpose()? {
        Some(Err(_)) => Vec::new(),
        Some(Ok(existing)) => wanted::of(Some(&existing), files),
        None => wanted::of(None, files),
    })
}

/// What is known of the table, or why the crawler must not write into it.
fn existing(table: &LakeTable, name: &TableName) -> Result<Result<Existing, String>, LakeError> {
    let schema = table.state()?.snapshot().arrow_schema();
    if let Some(reason) = unwritable(table)?.or_else(|| has_source(name, &schema)) {
        return Ok(Err(reason));
    }
    Ok(Ok(Existing {
        schema,
        statistics: table.provider().statistics(),
        bytes: table
            .state()?
            .log_data()
            .iter()
            .map(|file| u64::try_from(file.size()).unwrap_or_default())
            .sum(),
    }))
}

fn outcome(entry: &Entry, version: u64) -> Became {
    match entry.status {
        Did::Loaded => Became::Loaded {
            rows: entry.rows,
            version,
        },
        Did::Replaced => Became::Replaced {
            rows: entry.rows,
            version,
        },
        Did::Gone => Became::Gone { version },
    }
}
