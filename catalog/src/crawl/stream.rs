//! Large plain tables, from the landing folder into data files without ever being whole in memory: see
//! [`crate::formats::Plain`] for what is plain.
//!
//! One thread reads and hashes the file and parts it into pieces of whole rows; as many workers as there are cores turn
//! pieces into batches, each into data files of its own. Nothing of them is visible before the batch's commit names them.

use std::collections::HashMap;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, SchemaRef};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use deltalake_core::kernel::Add;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::catalog::Catalog;
use crate::error::LakeError;
use crate::formats::{self, Findings, Odd, Piece, Plain, Reader, Survey};
use crate::lake::Lake;
use crate::name::TableName;
use crate::parquet_file::{self, DataFile, blocking};

use super::batch;
use super::columns::Prepared;
use super::folder_columns::FolderColumn;
use super::landing::{self, Landed, Source};
use super::layout::grouped_by;
use super::quarantine::{SAMPLE_BYTES_MAX, hex};
use super::reader::Read;
use super::rows::sourced;
use super::told::Told;

/// Smaller files are read whole: the road here costs a look at the file's start first.
const BYTES_MIN: u64 = 8 << 20;
/// Bytes read at once; a piece is about as large.
const READ_BYTES: usize = 4 << 20;
/// A row longer than this is no row of a table.
const ROW_BYTES_MAX: usize = 32 << 20;
/// A data file is closed when it has so many bytes.
const FILE_BYTES: usize = 64 << 20;
/// Beyond this many workers the thread that reads is what holds up.
const WORKERS_MAX: usize = 8;

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
    if file.bytes < BYTES_MIN || file.pin.is_some() {
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
                told: Told::of(&parsed, grouped_by(&file.path, file.pin.as_deref(), table, 1)),
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
                reason: "it changed while it was read".to_owned(),
            }),
        }
    }
}

/// What was found and written.
struct Ran {
    sha256: String,
    findings: Findings,
    survey: Survey,
    adds: Vec<Add>,
}

enum Task {
    Survey,
    Load(SchemaRef),
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

async fn run(lake: &Arc<Lake>, job: &Job, task: Task) -> Result<Result<Ran, Failed>, LakeError> {
    let Some(source) = landing::open(lake, &job.file).await? else {
        return Ok(Err(Failed::Moving));
    };
    let (lake, job, handle) = (Arc::clone(lake), job.clone(), Handle::current());
    blocking(move || {
        let (mut ran, failed) = work_all(&lake, &job, &task, source, &handle);
        match failed {
            None => Ok(Ok(ran)),
            Some(failed) => {
                let adds = std::mem::take(&mut ran.adds);
                handle.block_on(parquet_file::discard(&lake, &job.table, &adds));
                match failed {
                    Stopped::Failed(failed) => Ok(Err(failed)),
                    Stopped::Lake(error) => Err(error),
                }
            }
        }
    })
    .await
}

enum Stopped {
    Failed(Failed),
    Lake(LakeError),
}

impl From<Odd> for Stopped {
    fn from(odd: Odd) -> Self {
        Self::Failed(Failed::Odd(odd))
    }
}

/// Reads to the end or to the first failure; what was written until then is in the answer, too.
fn work_all(lake: &Arc<Lake>, job: &Job, task: &Task, source: Source, handle: &Handle) -> (Ran, Option<Stopped>) {
    let count = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(WORKERS_MAX);
    let (send, receive) = sync_channel::<Piece>(count);
    let receive = Mutex::new(receive);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    let mut worker = Worker {
                        lake,
                        job,
                        task,
                        handle,
                        reader: Reader::default(),
                        survey: Survey::default(),
                        open: None,
                        adds: Vec::new(),
                    };
                    let failed = worker.work(&receive, &stop);
                    (worker.reader.findings, worker.survey, worker.adds, failed)
                })
            })
            .collect();
        let mut stopped = None;
        let mut sha256 = String::new();
        match hand_out(source, job, &stop, |piece| send.send(piece).is_ok()) {
            Ok(digest) => sha256 = digest,
            Err(failed) => {
                stop.store(true, Ordering::Relaxed);
                stopped = Some(failed);
            }
        }
        drop(send);
        let mut ran = Ran {
            sha256,
            findings: Findings::default(),
            survey: Survey::default(),
            adds: Vec::new(),
        };
        for worker in workers {
            match worker.join() {
                Ok((findings, survey, adds, failed)) => {
                    ran.findings.merge(&findings);
                    ran.survey.merge(&survey);
                    ran.adds.extend(adds);
                    stopped = stopped.or(failed);
                }
                Err(_) => stopped = stopped.or(Some(Odd("a defect of the reader".to_owned()).into())),
            }
        }
        (ran, stopped)
    })
}

/// Reads the file from its beginning, and gives its digest.
fn hand_out(
    mut source: Source,
    job: &Job,
    stop: &AtomicBool,
    mut give: impl FnMut(Piece) -> bool,
) -> Result<String, Stopped> {
    let mut pieces = job.plain.pieces();
    let mut digest = Sha256::new();
    let mut buffer = vec![0u8; READ_BYTES];
    let mut total = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match source.read(room) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Stopped::Lake(LakeError::Io {
                        action: "reading",
                        path: job.file.path.clone(),
                        source: error,
                    }));
                }
            }
        }
        let bytes = buffer.get(..filled).unwrap_or_default();
        total += filled as u64;
        digest.update(bytes);
        let last = filled < READ_BYTES;
        if let Some(piece) = pieces.push(bytes, last, ROW_BYTES_MAX)?
            && !give(piece)
        {
            return Err(Odd("a defect of the reader".to_owned()).into());
        }
        if last {
            if total != job.file.bytes || !source.is_unchanged() {
                return Err(Stopped::Failed(Failed::Moving));
            }
            return Ok(hex(&digest.finalize()));
        }
    }
    Ok(String::new())
}

struct Worker<'w> {
    lake: &'w Arc<Lake>,
    job: &'w Job,
    task: &'w Task,
    handle: &'w Handle,
    reader: Reader,
    survey: Survey,
    open: Option<DataFile>,
    adds: Vec<Add>,
}

impl Worker<'_> {
    /// Works on pieces until there are no more. After a failure they are only taken away, so that nobody waits.
    fn work(&mut self, pieces: &Mutex<Receiver<Piece>>, stop: &AtomicBool) -> Option<Stopped> {
        let mut failed = None;
        loop {
            let next = pieces.lock().recv();
            let Ok(piece) = next else { break };
            if stop.load(Ordering::Relaxed) {
                continue;
            }
            let done = catch_unwind(AssertUnwindSafe(|| self.take(&piece)));
            let done = done.unwrap_or_else(|_| Err(Odd("a defect of the reader".to_owned()).into()));
            if let Err(stopped) = done {
                stop.store(true, Ordering::Relaxed);
                failed = failed.or(Some(stopped));
            }
        }
        if failed.is_none()
            && !stop.load(Ordering::Relaxed)
            && let Err(stopped) = self.close()
        {
            failed = Some(stopped);
        }
        failed
    }

    fn take(&mut self, piece: &Piece) -> Result<(), Stopped> {
        let plain = &self.job.plain;
        match self.task {
            Task::Survey => Ok(plain.survey(&mut self.reader, piece, &mut self.survey)?),
            Task::Load(schema) => {
                let (arrays, rows) = self.reader.read(plain, piece)?;
                self.write(schema, &arrays, rows, piece.rows_before)
            }
        }
    }

    fn write(&mut self, schema: &SchemaRef, arrays: &[ArrayRef], rows: usize, before: u64) -> Result<(), Stopped> {
        let job = self.job;
        let folders = job.folders.iter().map(|folder| folder.array(rows));
        let arrays: Vec<ArrayRef> = arrays.iter().cloned().chain(folders).collect();
        let columns = (job.fields.as_slice(), arrays.as_slice(), job.folder_texts.as_ref());
        let batch = sourced(schema, columns, rows, before, (&job.file.path, job.at))
            .map_err(|reason| Stopped::from(Odd(reason)))?;
        let failed = |error| Stopped::Lake(LakeError::parquet("encoding", &job.table)(error));
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(DataFile::new(schema)),
        };
        open.write(&batch).map_err(failed)?;
        if open.bytes() >= FILE_BYTES {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stopped> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let whole = open
            .finish()
            .map_err(|error| Stopped::Lake(LakeError::parquet("encoding", &self.job.table)(error)))?;
        let location = self.job.table.location();
        let add = self
            .handle
            .block_on(parquet_file::put(self.lake, &location, whole))
            .map_err(Stopped::Lake)?;
        self.adds.push(add);
        Ok(())
    }
}
