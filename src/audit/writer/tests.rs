//! Tests of the file above.

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
