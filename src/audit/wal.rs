//! Segments: where events are first, before they are folded into the table.
//!
//! A server writes below `_labhouse/audit/wal/<its chain>/`, one JSON object a line. On a local disk a segment is a file
//! that is filled and flushed; in a bucket each group of events is an object of its own. A segment is named after
//! its first event and removed once all of its events are in the table. A server holds a lock on its folder, so that
//! another on the same disk sees which chains are of the dead; in a bucket nothing but the owner changes an object, and
//! taking over what is there twice adds nothing.
//!
//! A segment's file is filled with zeros ahead of its lines: a flush of bytes that have their place already writes them
//! alone, while one of a file that grew waits for the file system's journal, too. So the lines end at the first zero
//! byte, which no line holds. What lies behind one was never acknowledged: groups are flushed in their order.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use labhouse_catalog::{Lake, Put};
use tokio::runtime::Handle;

use super::AuditError;
use super::event::Event;

/// Folder of all segments.
pub(super) const ROOT: &str = "_labhouse/audit/wal";
/// A segment is closed when it has grown to this: reading one back stays quick.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Zeros written ahead: some 250 events, so that one flush in so many waits for the journal.
const AHEAD_BYTES: usize = 256 << 10;
static ZEROS: [u8; AHEAD_BYTES] = [0; AHEAD_BYTES];
const LOCK: &str = "lock";

/// Takes events in order.
pub(super) trait Log: Send {
    /// Adds events `first..=last`, as lines. They may be lost with power until [`Log::sync`].
    fn append(&mut self, first: i64, last: i64, lines: &[u8]) -> Result<(), AuditError>;
    /// Makes what was added survive a loss of power.
    fn sync(&mut self) -> Result<(), AuditError>;
    /// Whether events added and not synced survive the end of the process.
    fn outlives_process(&self) -> bool;
    /// After a failure: what comes next goes into a new segment, since nobody knows what the last one holds.
    fn start_over(&mut self);
    /// Events up to `covered` are in the table: gives the paths of segments that are not needed any more.
    fn forget(&mut self, covered: i64) -> Vec<String>;
}

/// The log of a chain in this lake.
pub(super) fn open(lake: &Arc<Lake>, chain: &str) -> Box<dyn Log> {
    match lake.local_root() {
        Some(root) => Box::new(LocalLog {
            root: root.to_owned(),
            chain: chain.to_owned(),
            lock: None,
            current: None,
            closed: Vec::new(),
            attempts: 0,
        }),
        None => Box::new(StoreLog {
            lake: Arc::clone(lake),
            chain: chain.to_owned(),
            runtime: Handle::current(),
            waiting: None,
            written: Vec::new(),
        }),
    }
}

struct LocalLog {
    root: PathBuf,
    chain: String,
    /// Held as long as this process may write.
    lock: Option<File>,
    current: Option<Segment>,
    /// Path below the lake and last event.
    closed: Vec<(String, i64)>,
    attempts: usize,
}

struct Segment {
    file: File,
    path: String,
    last: i64,
    /// Of the lines.
    bytes: u64,
    /// Length of the file, zeros ahead included; none once the disk did not take them.
    ahead: Option<u64>,
}

impl Segment {
    /// Writes zeros ahead when the lines to come would reach beyond those there are. A disk that has no room for them may
    /// still have some for the lines.
    fn reserve(&mut self, lines: u64) {
        while let Some(ahead) = self.ahead
            && self.bytes + lines > ahead
        {
            let wrote = self.file.write_all_at(&ZEROS, ahead);
            self.ahead = wrote.is_ok().then_some(ahead + ZEROS.len() as u64);
        }
    }

    /// Takes the zeros away: nothing is written behind the lines any more.
    fn close(&self) {
        // It is for whoever looks at the file; readers stop at the first zero.
        let _ = self.file.set_len(self.bytes);
    }
}

impl LocalLog {
    fn begin(&mut self, first: i64) -> Result<Segment, AuditError> {
        let folder = self.root.join(ROOT).join(&self.chain);
        if self.lock.is_none() {
            std::fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
            let path = folder.join(LOCK);
            let lock = File::create(&path).map_err(failed("making", &path))?;
            // The chain's name is new: nobody else can hold it.
            lock.lock().map_err(failed("locking", &path))?;
            self.lock = Some(lock);
        }
        let name = match self.attempts {
            0 => format!("{first:020}.jsonl"),
            again => format!("{first:020}-{again:04}.jsonl"),
        };
        let path = folder.join(&name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(failed("making", &path))?;
        // The file is found again only when the folders that lead to it are flushed.
        for folder in path
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(&self.root))
        {
            let flushed = File::open(folder).and_then(|folder| folder.sync_all());
            flushed.map_err(failed("flushing", folder))?;
        }
        Ok(Segment {
            file,
            path: format!("{ROOT}/{}/{name}", self.chain),
            last: first,
            bytes: 0,
            ahead: Some(0),
        })
    }

    fn close_current(&mut self) {
        if let Some(segment) = self.current.take() {
            segment.close();
            self.closed.push((segment.path, segment.last));
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.close_current();
    }
}

impl Log for LocalLog {
    fn append(&mut self, first: i64, last: i64, lines: &[u8]) -> Result<(), AuditError> {
        if self
            .current
            .as_ref()
            .is_some_and(|segment| segment.bytes >= SEGMENT_BYTES)
        {
            self.sync()?;
            self.close_current();
        }
        let segment = match self.current.take() {
            Some(segment) => self.current.insert(segment),
            None => {
                let segment = self.begin(first)?;
                self.attempts = 0;
                self.current.insert(segment)
            }
        };
        segment.last = last;
        segment.reserve(lines.len() as u64);
        let path = self.root.join(&segment.path);
        let wrote = segment.file.write_all_at(lines, segment.bytes);
        wrote.map_err(failed("writing", &path))?;
        segment.bytes += lines.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        let Some(segment) = &self.current else { return Ok(()) };
        segment
            .file
            .sync_data()
            .map_err(failed("flushing", &self.root.join(&segment.path)))
    }

    fn outlives_process(&self) -> bool {
        true
    }

    fn start_over(&mut self) {
        self.attempts += 1;
        self.close_current();
    }

    fn forget(&mut self, covered: i64) -> Vec<String> {
        if self.current.as_ref().is_some_and(|segment| segment.last <= covered) {
            self.close_current();
        }
        let (done, kept) = std::mem::take(&mut self.closed)
            .into_iter()
            .partition(|(_, last)| *last <= covered);
        self.closed = kept;
        done.into_iter().map(|(path, _)| path).collect()
    }
}

struct StoreLog {
    lake: Arc<Lake>,
    chain: String,
    runtime: Handle,
    /// Lines that wait for the next object, with its first and last event.
    waiting: Option<(i64, i64, Vec<u8>)>,
    written: Vec<(String, i64)>,
}

impl Log for StoreLog {
    fn append(&mut self, first: i64, last: i64, lines: &[u8]) -> Result<(), AuditError> {
        let waiting = self.waiting.get_or_insert((first, last, Vec::new()));
        waiting.1 = last;
        waiting.2.extend_from_slice(lines);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        let Some((first, last, lines)) = &self.waiting else {
            return Ok(());
        };
        let path = format!("{ROOT}/{}/{first:020}.jsonl", self.chain);
        // Overwriting: a PUT that failed may have been taken all the same, and what comes now holds its events again.
        let put = self.lake.put(&path, lines.clone().into(), Put::Overwrite);
        self.runtime.block_on(put)?;
        self.written.push((path, *last));
        self.waiting = None;
        Ok(())
    }

    fn outlives_process(&self) -> bool {
        false
    }

    fn start_over(&mut self) {
        self.waiting = None;
    }

    fn forget(&mut self, covered: i64) -> Vec<String> {
        let (done, kept) = std::mem::take(&mut self.written)
            .into_iter()
            .partition(|(_, last)| *last <= covered);
        self.written = kept;
        done.into_iter().map(|(path, _)| path).collect()
    }
}

/// The segments of one chain, read back.
pub(super) struct Left {
    pub(super) paths: Vec<String>,
    /// In order; an event that a retry wrote twice is here once.
    pub(super) events: Vec<Event>,
    /// Bytes of a line that the end of the process or of the power cut off: it was never acknowledged.
    pub(super) torn: usize,
    /// A whole line that is no event, with its place: somebody altered it.
    pub(super) damaged: Option<String>,
}

/// All chains that have segments.
pub(super) async fn read_all(lake: &Lake) -> Result<BTreeMap<String, Left>, AuditError> {
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in lake.list(ROOT).await? {
        let path = object.location.to_string();
        let mut parts = path
            .strip_prefix(ROOT)
            .unwrap_or_default()
            .trim_start_matches('/')
            .split('/');
        if let (Some(chain), Some(name), None) = (parts.next(), parts.next(), parts.next())
            && name.ends_with(".jsonl")
        {
            chains.entry(chain.to_owned()).or_default().push(path.clone());
        }
    }
    let mut all = BTreeMap::new();
    for (chain, paths) in chains {
        all.insert(chain, read(lake, paths).await?);
    }
    Ok(all)
}

async fn read(lake: &Lake, paths: Vec<String>) -> Result<Left, AuditError> {
    let mut left = Left {
        paths,
        events: Vec::new(),
        torn: 0,
        damaged: None,
    };
    for path in &left.paths {
        // Folded and removed since the folder was listed.
        let Some(bytes) = lake.get(path).await? else { continue };
        let (events, torn, damaged) = parse(&bytes);
        for event in events {
            if left.events.last().is_none_or(|last| *last != event) {
                left.events.push(event);
            }
        }
        left.torn += torn;
        if let Some(line) = damaged {
            left.damaged.get_or_insert(format!("{path} line {line}"));
        }
    }
    left.events.sort_by_key(|event| event.seq);
    left.events.dedup();
    Ok(left)
}

/// The events of a segment, the bytes of a torn last line, and the number of the first line that is no event.
fn parse(bytes: &[u8]) -> (Vec<Event>, usize, Option<usize>) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (bytes, behind) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let behind = behind.iter().filter(|byte| **byte != 0).count();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, torn) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
    let (mut events, mut damaged) = (Vec::new(), None);
    for (number, line) in (1_usize..).zip(lines.split(|byte| *byte == b'\n')) {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(event) => events.push(event),
            Err(_) => {
                damaged.get_or_insert(number);
            }
        }
    }
    (events, torn.len() + behind, damaged)
}

/// The lines of events.
pub(super) fn lines(events: &[Arc<Event>]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(events.len() * 1_024);
    for event in events {
        // Texts and numbers only: this cannot fail, and a missing line would be found by the chain.
        let _ = serde_json::to_writer(&mut lines, event.as_ref());
        lines.push(b'\n');
    }
    lines
}

/// Whether the server of a chain may still write. In a bucket it does not matter: see the head of this file.
pub(super) fn is_alive(lake: &Lake, chain: &str) -> bool {
    let Some(root) = lake.local_root() else { return false };
    match File::open(root.join(ROOT).join(chain).join(LOCK)) {
        Ok(lock) => lock.try_lock().is_err(),
        Err(_) => false,
    }
}

/// Removes the folder of a chain whose segments are gone.
pub(super) fn leave(lake: &Lake, chain: &str) {
    let Some(root) = lake.local_root() else { return };
    let folder = root.join(ROOT).join(chain);
    let _ = std::fs::remove_file(folder.join(LOCK));
    // Not empty when a damaged segment stays for the administrator.
    let _ = std::fs::remove_dir(folder);
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> AuditError + use<'a> {
    move |source| AuditError::Disk {
        action,
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{GENESIS, Kind};

    fn events(count: i64) -> Vec<Arc<Event>> {
        let mut prev = GENESIS.to_owned();
        let sealed = (1..=count).map(|seq| {
            let mut event = Event::now(Kind::Gap);
            event.seal("c", seq, &prev, None);
            prev.clone_from(&event.hash);
            Arc::new(event)
        });
        sealed.collect()
    }

    async fn lake(dir: &Path) -> Arc<Lake> {
        Lake::open(&format!("file://{}", dir.display()), &BTreeMap::new())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_torn_line_is_left_out_and_a_retried_group_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let lake = lake(dir.path()).await;
        let (all, mut log) = (events(4), open(&lake, "c"));
        log.append(1, 2, &lines(&all[..2])).unwrap();
        log.append(3, 3, b"{\"half\":").unwrap();
        log.start_over();
        log.append(2, 4, &lines(&all[1..])).unwrap();
        log.sync().unwrap();
        let left = read_all(&lake).await.unwrap().remove("c").unwrap();
        assert_eq!(
            left.events.iter().map(|event| event.seq).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert!(left.torn > 0 && left.damaged.is_none());
        assert!(is_alive(&lake, "c"));
        drop(log);
        assert!(!is_alive(&lake, "c"));
    }

    #[tokio::test]
    async fn a_segment_goes_only_when_all_of_it_is_in_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let lake = lake(dir.path()).await;
        let (all, mut log) = (events(3), open(&lake, "c"));
        log.append(1, 2, &lines(&all[..2])).unwrap();
        assert!(log.forget(1).is_empty());
        assert_eq!(log.forget(2).len(), 1);
        log.append(3, 3, &lines(&all[2..])).unwrap();
        assert!(log.forget(2).is_empty());
    }

    #[tokio::test]
    async fn lines_end_at_the_first_zero_and_what_lies_behind_was_never_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let lake = lake(dir.path()).await;
        let (all, mut log) = (events(2), open(&lake, "c"));
        log.append(1, 1, &lines(&all[..1])).unwrap();
        log.sync().unwrap();
        let left = read_all(&lake).await.unwrap().remove("c").unwrap();
        assert_eq!((left.events.len(), left.torn), (1, 0), "zeros are no line");
        let segment = dir.path().join(&left.paths[0]);
        let written = std::fs::read(&segment).unwrap();
        assert_eq!(written.len(), AHEAD_BYTES);
        // A group whose pages came to the disk in another order than they were written.
        let group = lines(&all);
        let first = group.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut torn = group.clone();
        torn[first + 10..first + 20].fill(0);
        let (events, lost, damaged) = parse(&torn);
        assert_eq!((events.len(), damaged), (1, None));
        assert_eq!(lost, group.len() - first - 10);
        // Many lines grow the file as they need, and its end leaves lines alone.
        let many = vec![b'x'; 3 * AHEAD_BYTES];
        log.append(2, 2, &many).unwrap();
        drop(log);
        let closed = std::fs::read(&segment).unwrap();
        assert_eq!(closed.len(), first + many.len());
        assert!(!closed.contains(&0));
    }

    #[test]
    fn a_whole_line_that_is_no_event_is_told() {
        let mut bytes = lines(&events(2));
        bytes.extend(b"{\"seq\":3,\"unknown\":1}\n");
        let (events, torn, damaged) = parse(&bytes);
        assert_eq!((events.len(), torn, damaged), (2, 0, Some(3)));
    }
}
