//! One reading of a file: a thread that reads and hashes, workers that turn pieces into batches and batches into data files.

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Add;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::{Failed, Job};
use crate::crawl::landing::{self, Source};
use crate::crawl::quarantine::hex;
use crate::crawl::rows::sourced;
use crate::error::LakeError;
use crate::formats::{Findings, Odd, Piece, Reader, Survey};
use crate::lake::Lake;
use crate::parquet_file::{self, DataFile, blocking};

/// Bytes read at once; a piece is about as large.
const READ_BYTES: usize = 4 << 20;
/// A row longer than this is no row of a table.
const ROW_BYTES_MAX: usize = 32 << 20;
/// A data file is closed when it has so many bytes.
const FILE_BYTES: usize = 64 << 20;
/// Beyond this many workers the thread that reads is what holds up.
const WORKERS_MAX: usize = 8;

/// What was found and written.
pub(super) struct Ran {
    pub(super) sha256: String,
    pub(super) findings: Findings,
    pub(super) survey: Survey,
    pub(super) adds: Vec<Add>,
}

pub(super) enum Task {
    Survey,
    Load(SchemaRef),
}

/// Reads the file once, from its beginning to its end or to the first failure; what was written before a failure is removed.
pub(super) async fn run(lake: &Arc<Lake>, job: &Job, task: Task) -> Result<Result<Ran, Failed>, LakeError> {
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
            .block_on(parquet_file::put(self.lake, &location, parquet_file::PREFIX, whole))
            .map_err(Stopped::Lake)?;
        self.adds.push(add);
        Ok(())
    }
}
