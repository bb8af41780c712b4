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

    /// Events that wait to be durable, and events that wait to be brought into the table.
    pub(super) fn lag(&self) -> (usize, usize) {
        let waiting = self.queue.lock().pending.len();
        (waiting, self.tail_length.load(Ordering::Relaxed))
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
mod tests;
