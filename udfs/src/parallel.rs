//! Work side by side, on as many threads as the caller of a training allows.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::TrainError;
use crate::stop;

/// `work` of 0, 1, … `count` − 1, begun in this order on `threads` threads, the present one among them; the results in this order. The first
/// error ends it.
pub(crate) fn each<T: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T, TrainError> + Sync,
) -> Result<Vec<T>, TrainError> {
    let next = AtomicUsize::new(0);
    let run = || -> Result<Vec<(usize, T)>, TrainError> {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(done);
            }
            match work(index) {
                Ok(result) => done.push((index, result)),
                Err(error) => {
                    // The others take no more.
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let watched = stop::watched();
    let help = || match &watched {
        Some(cancel) => cancel.watched(run),
        None => run(),
    };
    let mut all = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(help)).collect();
        let mut all = run();
        for helper in helpers {
            let theirs = helper.join().unwrap_or(Err(TrainError::Lost));
            all = match (all, theirs) {
                (Ok(mut all), Ok(theirs)) => {
                    all.extend(theirs);
                    Ok(all)
                }
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        all
    })?;
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}
