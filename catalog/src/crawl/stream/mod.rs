//! Large plain tables, from the landing folder into data files without ever being whole in memory: see
//! [`crate::formats::Plain`] for what is plain.
//!
//! One thread reads and hashes the file and parts it into pieces of whole rows; as many workers as there are cores turn
//! pieces into batches, each into data files of its own. Nothing of them is visible before the batch's commit names them.

mod work;

use std::collections::HashMap;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use deltalake_core::kernel::Add;

use crate::catalog::Catalog;
use crate::error::LakeError;
use crate::formats::{self, Odd, Pinned, Plain};
use crate::lake::Lake;
use crate::name::TableName;
use crate::parquet_file::{self, blocking};

use super::batch;
use super::columns::Prepared;
use super::folder_columns::FolderColumn;
use super::landing::{self, Landed};
use super::quarantine::SAMPLE_BYTES_MAX;
use super::reader::Read;
use super::told::Told;
use super::why::grouped_by;
use work::{Ran, Task, run};

/// Smaller files are read whole: the road here costs a look at the file's start first.
const BYTES_MIN: u64 = 8 << 20;

/// Rows of a landed file in data files that no commit names yet.
pub(crate) struct Staged {
    job: Job,
    lake: Arc<Lake>,
    rows: u64,
    ready: tokio::sync::Mutex<Option<Ready>>,
}

/// Data files of one table and schema.
struct Ready {
    table: TableName,
    schema: SchemaRef,
    adds: Vec<Add>,
}

/// What is to be done with a file's rows.
#[derive(Clone)]
struct Job {
    plain: Arc<Plain>,
    file: Landed,
    table: TableName,
    /// The table's names and the file's types of the columns, those of its folders behind them.
    fields: Arc<Vec<Field>>,
    folders: Arc<[FolderColumn]>,
    folder_texts: Arc<HashMap<String, String>>,
    at: DateTime<Utc>,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staged({}, {} rows)", self.job.file.path, self.rows)
    }
}

/// Reads `file` for `table` piece by piece; `None` when it is no plain table, or too small to care.
pub(crate) async fn read(
    catalog: &Catalog,
    file: &Landed,
    (table, folders): (&TableName, &[FolderColumn]),
    known: Option<&str>,
    limits: &formats::Limits,
) -> Result<Option<Read>, LakeError> {
    if file.bytes < BYTES_MIN || limits.pinned != Pinned::default() {
        return Ok(None);
    }
    let lake = catalog.lake();
    let Some((plain, sample)) = start(lake, file, limits).await? else {
        return Ok(None);
    };
    let Ok(first) = Prepared::new(&plain.start()) else {
        return Ok(None);
    };
    // Only all of its rows tell whether a column of the file says what its folder says.
    let own = |folder: &FolderColumn| first.fields.iter().any(|field| field.name() == folder.name());
    if folders.iter().any(own) {
        return Ok(None);
    }
    let mut first = first.with_folders(folders);
    let mut job = Job {
        plain: Arc::new(plain),
        file: file.clone(),
        table: table.clone(),
        fields: Arc::new(first.fields.clone()),
        folders: folders.into(),
        folder_texts: Arc::new(first.folder_texts.clone()),
        at: Utc::now(),
    };
    let mut done = if job.plain.needs_survey() {
        Err(Failed::Odd(Odd("its start leaves types open".to_owned())))
    } else {
        load(catalog, &job, &first).await?
    };
    if let Err(Failed::Odd(why)) = &done {
        tracing::debug!(
            file = file.path,
            why = why.0,
            "its start does not show its types: all of it is looked at first"
        );
        match survey(lake, &job).await? {
            Ok(plain) => job.plain = Arc::new(plain),
            Err(failed) => return Ok(failed.answer(file)),
        }
        first = match Prepared::new(&job.plain.start()) {
            Ok(first) => first.with_folders(folders),
            Err(_) => return Ok(None),
        };
        job.fields = Arc::new(first.fields.clone());
        done = load(catalog, &job, &first).await?;
    }
    let (schema, ran) = match done {
        Ok(done) => done,
        Err(failed) => return Ok(failed.answer(file)),
    };
    let sha256 = file.marked(&ran.sha256);
    let staged = Staged {
        job: job.clone(),
        lake: Arc::clone(lake),
        rows: ran.findings.rows,
        ready: tokio::sync::Mutex::new(Some(Ready {
            table: table.clone(),
            schema,
            adds: ran.adds,
        })),
    };
    if known == Some(sha256.as_str()) {
        staged.discard().await;
        return Ok(Some(Read::Same { sha256 }));
    }
    let concluded = job.plain.conclude(&ran.findings).map_err(Failed::Odd);
    let prepared = concluded.and_then(|parsed| {
        let block = parsed.blocks.first().ok_or(Failed::Odd(Odd("no rows".to_owned())))?;
        let prepared = Prepared::new(block).map_err(|reason| Failed::Odd(Odd(reason)))?;
        Ok((parsed, prepared))
    });
    match prepared {
        Err(failed) => {
            staged.discard().await;
            Ok(failed.answer(file))
        }
        Ok((mut parsed, prepared)) => {
            for note in folders.iter().filter_map(FolderColumn::note) {
                parsed.confidence.doubt(0.9, note);
            }
            let mut prepared = prepared.with_folders(folders);
            prepared.staged = Some(Arc::new(staged));
            Ok(Some(Read::Parsed {
                sha256,
                told: Told::of(
                    &parsed,
                    grouped_by(&file.path, file.pin.as_deref(), (table, 1), folders),
                ),
                taken_for: parsed.taken_for,
                tables: vec![(table.clone(), Arc::new(prepared))],
                sample,
            }))
        }
    }
}

impl Staged {
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The data files of the table in its schema; they are written anew when it is another one by now.
    pub(crate) async fn adds(&self, table: &TableName, schema: &SchemaRef) -> Result<Vec<Add>, LakeError> {
        let mut ready = self.ready.lock().await;
        let fits = |ready: &&Ready| ready.schema == *schema && ready.table == *table;
        if let Some(ready) = ready.as_ref().filter(fits) {
            return Ok(ready.adds.clone());
        }
        if let Some(old) = ready.take() {
            parquet_file::discard(&self.lake, &old.table, &old.adds).await;
        }
        let job = Job {
            table: table.clone(),
            ..self.job.clone()
        };
        let ran = match run(&self.lake, &job, Task::Load(Arc::clone(schema))).await? {
            Ok(ran) => ran,
            Err(_) => {
                return Err(LakeError::Refused {
                    table: table.clone(),
                    reason: format!("{} changed while it was read", job.file.path),
                });
            }
        };
        let adds = ran.adds.clone();
        *ready = Some(Ready {
            table: job.table,
            schema: Arc::clone(schema),
            adds: ran.adds,
        });
        Ok(adds)
    }

    /// A commit names the data files: they stay.
    pub(crate) async fn committed(&self) {
        *self.ready.lock().await = None;
    }

    /// Removes data files that no commit names.
    pub(crate) async fn discard(&self) {
        if let Some(ready) = self.ready.lock().await.take() {
            parquet_file::discard(&self.lake, &ready.table, &ready.adds).await;
        }
    }
}

/// Why a file was not read here.
enum Failed {
    /// The general road decides.
    Odd(Odd),
    Moving,
}

impl Failed {
    fn answer(self, file: &Landed) -> Option<Read> {
        match self {
            Self::Odd(why) => {
                tracing::debug!(file = file.path, why = why.0, "no plain table: it is read whole");
                None
            }
            Self::Moving => Some(Read::Later {
                blocked: false,
                reason: "it changed while it was read".to_owned(),
            }),
        }
    }
}

/// Looks at the file's start.
async fn start(lake: &Arc<Lake>, file: &Landed, limits: &formats::Limits) -> Result<Option<(Plain, Bytes)>, LakeError> {
    let Some(mut source) = landing::open(lake, file).await? else {
        return Ok(None);
    };
    let (name, limits) = (file.name().to_owned(), limits.clone());
    blocking(move || {
        let mut start = Vec::new();
        while let Some(wanted) = Plain::wants(&start) {
            let more = (wanted - start.len()) as u64;
            match source.by_ref().take(more).read_to_end(&mut start) {
                Ok(0) => break,
                Ok(_) => {}
                // The general road says what is wrong with it.
                Err(_) => return Ok(None),
            }
        }
        let plain = catch_unwind(AssertUnwindSafe(|| Plain::of(&name, &start, &limits))).unwrap_or_default();
        start.truncate(SAMPLE_BYTES_MAX);
        Ok(plain.map(|plain| (plain, Bytes::from(start))))
    })
    .await
}

async fn survey(lake: &Arc<Lake>, job: &Job) -> Result<Result<Plain, Failed>, LakeError> {
    Ok(match run(lake, job, Task::Survey).await? {
        Ok(ran) => Plain::clone(&job.plain).surveyed(&ran.survey).map_err(Failed::Odd),
        Err(failed) => Err(failed),
    })
}

/// Writes the rows in the schema that the table has or will have with them.
async fn load(catalog: &Catalog, job: &Job, first: &Prepared) -> Result<Result<(SchemaRef, Ran), Failed>, LakeError> {
    let Some(schema) = batch::schema_with(catalog, &job.table, first).await? else {
        return Ok(Err(Failed::Odd(Odd("no table can take it".to_owned()))));
    };
    let ran = run(catalog.lake(), job, Task::Load(Arc::clone(&schema))).await?;
    Ok(ran.map(|ran| (schema, ran)))
}
