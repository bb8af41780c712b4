//! The writer: one thread that chains events and makes them durable in groups.
//!
//! Everybody puts events into one queue. The thread takes what is there, seals each into the chain, adds them to the
//! segment and flushes once for all who wait; while it flushes the next group gathers. So a flush of the disk is shared
//! by all statements that run at the time, and each waits for two at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::catalog::TableProvider;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::AuditError;
use super::event::{Event, GENESIS, Kind};
use super::wal::{self, Log};

/// Events that may wait to be written: at some 1 KiB each a few MiB, far above what admission lets run at once.
const QUEUE_MAX: usize = 10_000;
/// Events kept until they are in the table; past it the table has not taken any for very long and the trail counts as
/// broken. About 100 MiB.
pub(super) const TAIL_MAX: usize = 100_000;
/// Events that could not be written and are tried again; later ones are counted only.
const UNWRITTEN_MAX: usize = 10_000;
/// Time between two attempts while writing fails.
const RETRY: Duration = Duration::from_millis(500);
/// How often the log repeats that writing fails.
const REPEAT: Duration = Duration::from_secs(60);

/// What the writer answers to those who wait.
pub(super) type Answer = Result<(), Arc<AuditError>>;

/// What the writer, the folder and the statements share.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    pub(super) tail: Mutex<Tail>,
    tail_length: AtomicUsize,
    /// Events up to this one are in the table.
    folded: AtomicI64,
    /// Paths of segments that nobody needs any more.
    pub(super) garbage: Mutex<Vec<String>>,
    failing: AtomicBool,
    /// Wakes the folder before its time when many events wait for it.
    pub(super) many: tokio::sync::Notify,
}

/// What is written but not yet in the table, and the table: both of one moment.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) events: VecDeque<Arc<Event>>,
    pub(super) provider: Option<Arc<dyn TableProvider>>,
}

#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
    /// Since when the first of them waits.
    since: Option<Instant>,
    waiters: usize,
    /// Events without a waiter for which there was no room.
    dropped: u64,
    closing: bool,
}

struct Pending {
    event: Event,
    waiter: Option<oneshot::Sender<Answer>>,
}

impl Shared {
    pub(super) fn new(provider: Option<Arc<dyn TableProvider>>) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            tail: Mutex::new(Tail {
                events: VecDeque::new(),
                provider,
            }),
            tail_length: AtomicUsize::new(0),
            folded: AtomicI64::new(0),
            garbage: Mutex::default(),
            failing: AtomicBool::new(false),
            many: tokio::sync::Notify::new(),
        })
    }

    /// Hands an event to the writer; nobody waits for it.
    pub(super) fn put(&self, event: Event) {
        self.push(event, None);
    }

    /// Hands an event to the writer if there is room; nobody waits for it.
    pub(super) fn offer(&self, event: Event) -> Result<(), AuditError> {
        self.room()?;
        self.push(event, None);
        Ok(())
    }

    /// Hands an event to the writer and gives its answer to come.
    pub(super) fn submit(&self, event: Event) -> Result<oneshot::Receiver<Answer>, AuditError> {
        self.room()?;
        let (sender, receiver) = oneshot::channel();
        self.push(event, Some(sender));
        Ok(receiver)
    }

    /// Whether the last attempt to write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Tells the writer that events up to `last` are in the table.
    pub(super) fn folded(&self, last: i64, provider: Option<Arc<dyn TableProvider>>) {
        let mut tail = self.tail.lock();
        while tail.events.front().is_some_and(|event| event.seq <= last) {
            tail.events.pop_front();
        }
        tail.provider = provider;
        self.tail_length.store(tail.events.len(), Ordering::Relaxed);
        self.folded.store(last, Ordering::Relaxed);
        drop(tail);
        self.wake.notify_one();
    }

    /// Up to which event the table has them.
    pub(super) fn folded_to(&self) -> i64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Asks the writer to write what is there and end.
    pub(super) fn close(&self) {
        self.queue.lock().closing = true;
        self.wake.notify_one();
    }

    fn room(&self) -> Result<(), AuditError> {
        if self.queue.lock().pending.len() >= QUEUE_MAX || self.tail_length.load(Ordering::Relaxed) >= TAIL_MAX {
            return Err(AuditError::Full);
        }
        Ok(())
    }

    fn push(&self, event: Event, waiter: Option<oneshot::Sender<Answer>>) {
        let mut queue = self.queue.lock();
        // Nobody can be refused for these, so they get twice the room, and what does not fit is counted.
        let full = queue.pending.len() >= 2 * QUEUE_MAX || self.tail_length.load(Ordering::Relaxed) >= 2 * TAIL_MAX;
        if waiter.is_none() && full {
            queue.dropped += 1;
            return;
        }
        queue.since.get_or_insert_with(Instant::now);
        queue.waiters += usize::from(waiter.is_some());
        queue.pending.push(Pending { event, waiter });
        drop(queue);
        self.wake.notify_one();
    }
}

/// The thread's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Box<dyn Log>,
    pub(super) chain: String,
    pub(super) key: Option<[u8; 32]>,
    /// How long an event that nobody waits for may be lost with power.
    pub(super) interval: Duration,
    /// Events that wake the folder.
    pub(super) fold_events: usize,
    state: State,
}

#[derive(Default)]
struct State {
    seq: i64,
    prev: String,
    /// Sealed, and not in a segment yet; the first `known` of them are in the tail all the same.
    unwritten: Vec<Arc<Event>>,
    known: usize,
    /// In a segment and in the tail, and not flushed: written again should the flush fail.
    unsynced: Vec<Arc<Event>>,
    unsynced_since: Option<Instant>,
    failing: Option<Failing>,
    forgotten: i64,
}

struct Failing {
    retry: Instant,
    told: Instant,
    /// Events that were neither written nor kept.
    lost: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, log: Box<dyn Log>, chain: String, key: Option<[u8; 32]>) -> Self {
        Self {
            shared,
            log,
            chain,
            key,
            interval: Duration::from_millis(200),
            fold_events: 2_000,
            state: State {
                prev: GENESIS.to_owned(),
                ..State::default()
            },
        }
    }

    /// Writes until the queue is closed and empty; gives back the log, whose segments are still to be folded.
    pub(super) fn run(mut self) -> Box<dyn Log> {
        loop {
            let (pending, closing) = self.next();
            let ended = closing && pending.is_empty() && self.state.unsynced.is_empty();
            if ended && (self.state.unwritten.is_empty() || self.state.failing.is_some()) {
                break;
            }
            self.commit(pending, closing);
            self.forget();
        }
        self.log
    }

    /// Waits until there is something to do.
    fn next(&self) -> (Vec<Pending>, bool) {
        let mut queue = self.shared.queue.lock();
        loop {
            let lazily = if self.log.outlives_process() {
                Duration::ZERO
            } else {
                self.interval
            };
            let oldest = queue.since.map(|since| since + lazily);
            let urgent = queue.closing
                || queue.waiters > 0
                || queue.pending.len() >= self.fold_events
                || (!queue.pending.is_empty() && lazily.is_zero())
                || self.shared.folded.load(Ordering::Relaxed) > self.state.forgotten;
            let due = [
                oldest,
                self.state.unsynced_since.map(|since| since + self.interval),
                self.state.failing.as_ref().map(|failing| failing.retry),
            ]
            .into_iter()
            .flatten()
            .min();
            if urgent {
                break;
            }
            match due {
                None => self.shared.wake.wait(&mut queue),
                Some(due) => {
                    if self.shared.wake.wait_until(&mut queue, due).timed_out() {
                        break;
                    }
                }
            }
        }
        queue.waiters = 0;
        queue.since = None;
        let mut pending = std::mem::take(&mut queue.pending);
        if queue.dropped > 0 {
            pending.push(Pending {
                event: gap(std::mem::take(&mut queue.dropped)),
                waiter: None,
            });
        }
        (pending, queue.closing)
    }

    fn commit(&mut self, pending: Vec<Pending>, closing: bool) {
        let mut waiters = Vec::new();
        if let Some(failing) = &mut self.state.failing
            && Instant::now() < failing.retry
            && !closing
        {
            let error = Arc::new(AuditError::Failing);
            for Pending { event, waiter } in pending {
                if self.state.unwritten.len() < UNWRITTEN_MAX {
                    let sealed = seal(&mut self.state, &self.chain, self.key.as_ref(), event);
                    self.state.unwritten.push(sealed);
                } else if let Some(failing) = &mut self.state.failing {
                    failing.lost += 1;
                }
                answer(waiter, Err(Arc::clone(&error)));
            }
            return;
        }
        for Pending { event, waiter } in pending {
            let sealed = seal(&mut self.state, &self.chain, self.key.as_ref(), event);
            self.state.unwritten.push(sealed);
            waiters.extend(waiter);
        }
        let due = self
            .state
            .unsynced_since
            .is_some_and(|since| since.elapsed() >= self.interval);
        let sync = !waiters.is_empty() || due || closing || !self.log.outlives_process();
        match self.write(sync) {
            Ok(()) => {
                self.recovered();
                waiters.into_iter().for_each(|waiter| answer(Some(waiter), Ok(())));
            }
            Err(error) => {
                let error = Arc::new(error);
                self.failed(&error);
                waiters
                    .into_iter()
                    .for_each(|waiter| answer(Some(waiter), Err(Arc::clone(&error))));
            }
        }
    }

    fn write(&mut self, sync: bool) -> Result<(), AuditError> {
        let state = &mut self.state;
        if let (Some(first), Some(last)) = (state.unwritten.first(), state.unwritten.last()) {
            let lines = wal::lines(&state.unwritten);
            self.log.append(first.seq, last.seq, &lines)?;
        }
        if sync {
            self.log.sync()?;
            state.unsynced.clear();
            state.unsynced_since = None;
        } else if !state.unwritten.is_empty() {
            state.unsynced.extend(state.unwritten.iter().cloned());
            state.unsynced_since.get_or_insert_with(Instant::now);
        }
        let mut tail = self.shared.tail.lock();
        tail.events
            .extend(state.unwritten.drain(..).skip(std::mem::take(&mut state.known)));
        let waiting = tail.events.len();
        self.shared.tail_length.store(waiting, Ordering::Relaxed);
        drop(tail);
        if waiting >= self.fold_events {
            self.shared.many.notify_one();
        }
        Ok(())
    }

    fn failed(&mut self, error: &AuditError) {
        self.log.start_over();
        let now = Instant::now();
        let before = self.state.failing.take();
        let tell = before
            .as_ref()
            .is_none_or(|failing| now.duration_since(failing.told) >= REPEAT);
        if tell {
            tracing::error!(%error, "the audit trail cannot be written; see on_failure in [audit] of the config for what becomes of statements");
        }
        self.state.failing = Some(Failing {
            retry: now + RETRY,
            told: before.as_ref().filter(|_| !tell).map_or(now, |failing| failing.told),
            lost: before.map_or(0, |failing| failing.lost),
        });
        // What was added to the broken segment may not be there: all of it since the last flush is written again.
        let state = &mut self.state;
        state.known += state.unsynced.len();
        state.unwritten.splice(0..0, state.unsynced.drain(..));
        state.unsynced_since = None;
        self.shared.failing.store(true, Ordering::Relaxed);
    }

    fn recovered(&mut self) {
        let Some(failing) = self.state.failing.take() else {
            return;
        };
        self.shared.failing.store(false, Ordering::Relaxed);
        tracing::warn!(lost = failing.lost, "the audit trail is written again");
        if failing.lost > 0 {
            self.shared.put(gap(failing.lost));
        }
    }

    /// Lets go of segments whose events are in the table.
    fn forget(&mut self) {
        let folded = self.shared.folded.load(Ordering::Relaxed);
        if folded > self.state.forgotten {
            self.state.forgotten = folded;
            let done = self.log.forget(folded);
            self.shared.garbage.lock().extend(done);
        }
    }
}

/// Tells that events are missing.
fn gap(lost: u64) -> Event {
    Event {
        rows: i64::try_from(lost).ok(),
        ..Event::now(Kind::Gap)
    }
}

fn seal(state: &mut State, chain: &str, key: Option<&[u8; 32]>, mut event: Event) -> Arc<Event> {
    state.seq += 1;
    event.seal(chain, state.seq, &state.prev, key);
    state.prev.clone_from(&event.hash);
    Arc::new(event)
}

fn answer(waiter: Option<oneshot::Sender<Answer>>, answer: Answer) {
    if let Some(waiter) = waiter {
        // Whoever does not wait any more has gone away.
        let _ = waiter.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log whose disk is full as long as it is told so.
    struct Disk {
        full: Arc<AtomicBool>,
        lines: Arc<Mutex<Vec<Event>>>,
        syncs: Arc<AtomicUsize>,
    }

    impl Log for Disk {
        fn append(&mut self, _: i64, _: i64, lines: &[u8]) -> Result<(), AuditError> {
            if self.full.load(Ordering::Relaxed) {
                return Err(AuditError::Full);
            }
            let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            self.lines
                .lock()
                .extend(lines.map(|line| serde_json::from_slice::<Event>(line).unwrap()));
            Ok(())
        }
        fn sync(&mut self) -> Result<(), AuditError> {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
            if self.full.load(Ordering::Relaxed) {
                Err(AuditError::Full)
            } else {
                Ok(())
            }
        }
        fn outlives_process(&self) -> bool {
            true
        }
        fn start_over(&mut self) {}
        fn forget(&mut self, _: i64) -> Vec<String> {
            Vec::new()
        }
    }

    struct Bench {
        shared: Arc<Shared>,
        full: Arc<AtomicBool>,
        lines: Arc<Mutex<Vec<Event>>>,
        syncs: Arc<AtomicUsize>,
        thread: std::thread::JoinHandle<Box<dyn Log>>,
    }

    fn bench() -> Bench {
        let (full, lines, syncs) = (Arc::default(), Arc::default(), Arc::default());
        let shared = Shared::new(None);
        let disk = Disk {
            full: Arc::clone(&full),
            lines: Arc::clone(&lines),
            syncs: Arc::clone(&syncs),
        };
        let writer = Writer::new(Arc::clone(&shared), Box::new(disk), "c".to_owned(), None);
        let thread = std::thread::spawn(move || writer.run());
        Bench {
            shared,
            full,
            lines,
            syncs,
            thread,
        }
    }

    fn chained(events: &[Event]) -> usize {
        let mut unique = events.to_vec();
        unique.sort_by_key(|event| event.seq);
        unique.dedup();
        let mut before = GENESIS.to_owned();
        for (seq, event) in (1..).zip(&unique) {
            assert_eq!(
                (event.seq, &event.prev, event.sealed_by(None)),
                (seq, &before, event.hash.clone())
            );
            before.clone_from(&event.hash);
        }
        unique.len()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_wait_share_few_flushes_and_one_chain() {
        let bench = bench();
        let waits: Vec<_> = (0..500)
            .map(|_| bench.shared.submit(Event::now(Kind::Statement)).unwrap())
            .collect();
        for wait in waits {
            assert!(wait.await.unwrap().is_ok());
        }
        bench.shared.close();
        bench.thread.join().unwrap();
        assert_eq!(chained(&bench.lines.lock()), 500);
        assert_eq!(bench.shared.tail.lock().events.len(), 500);
        let syncs = bench.syncs.load(Ordering::Relaxed);
        assert!(syncs < 250, "{syncs} flushes for 500 events");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_answers_no_and_what_was_kept_is_written_when_it_has_room() {
        let bench = bench();
        let ask = || bench.shared.submit(Event::now(Kind::Statement)).unwrap();
        assert!(ask().await.unwrap().is_ok());
        bench.shared.put(Event::now(Kind::Ended));
        bench.full.store(true, Ordering::Relaxed);
        assert!(ask().await.unwrap().is_err());
        assert!(bench.shared.is_failing());
        assert!(ask().await.unwrap().is_err());
        bench.full.store(false, Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(60);
        while bench.shared.is_failing() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(ask().await.unwrap().is_ok());
        bench.shared.close();
        bench.thread.join().unwrap();
        assert_eq!(chained(&bench.lines.lock()), 5);
        // Whatever was written twice is in the tail once.
        let tail = bench.shared.tail.lock();
        assert_eq!(
            tail.events.iter().map(|event| event.seq).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5]
        );
    }

    /// How long statements wait for their event on a disk: `LABHOUSE_BENCH_DIR=… cargo nextest run --run-ignored all -E
    /// 'test(waiting_for_a_disk)' --no-capture`. Prints; passes whatever the disk can do.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a measurement"]
    async fn waiting_for_a_disk() {
        const EVENTS: usize = 200;
        let dir = tempfile::tempdir_in(std::env::var("LABHOUSE_BENCH_DIR").unwrap_or("/tmp".into())).unwrap();
        let url = format!("file://{}", dir.path().display());
        let lake = labhouse_catalog::Lake::open(&url, &Default::default()).await.unwrap();
        let mut flushes: Vec<Duration> = Vec::new();
        let mut file = std::fs::File::create(dir.path().join("probe")).unwrap();
        for _ in 0..EVENTS {
            std::io::Write::write_all(&mut file, &[b'x'; 900]).unwrap();
            let started = Instant::now();
            file.sync_data().unwrap();
            flushes.push(started.elapsed());
        }
        flushes.sort_unstable();
        println!("fdatasync alone: median {:?}", flushes[EVENTS / 2]);
        for clients in [1, 8, 64] {
            let shared = Shared::new(None);
            let log = wal::open(&lake, &format!("c{clients}"));
            let writer = Writer::new(Arc::clone(&shared), log, format!("c{clients}"), Some([7; 32]));
            let thread = std::thread::spawn(move || writer.run());
            let started = Instant::now();
            let tasks: Vec<_> = (0..clients)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let mut waits = Vec::new();
                        for _ in 0..EVENTS {
                            let asked = Instant::now();
                            let event = Event {
                                statement: Some("SELECT ?".repeat(40)),
                                ..Event::now(Kind::Statement)
                            };
                            shared.submit(event).unwrap().await.unwrap().unwrap();
                            waits.push(asked.elapsed());
                        }
                        waits
                    })
                })
                .collect();
            let mut waits = Vec::new();
            for task in tasks {
                waits.extend(task.await.unwrap());
            }
            let rate = waits.len() as f64 / started.elapsed().as_secs_f64();
            waits.sort_unstable();
            let (median, late) = (waits[waits.len() / 2], waits[waits.len() * 95 / 100]);
            println!("{clients} statements at a time: median {median:?}, p95 {late:?}, {rate:.0} a second");
            shared.close();
            drop(thread.join().unwrap());
        }
    }
}
