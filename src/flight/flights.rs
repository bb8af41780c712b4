//! Which results flow now, so that another call can cancel them; and which writing tickets were used.
//!
//! A ticket that reads may be fetched again. One that writes may not: a client or proxy that repeats a DoGet must not
//! insert twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::CancelStatus;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::expiring::Expiring;

/// Flights remembered: those that flow, and those cancelled or spent until their ticket has expired anyway.
const FLIGHTS_MAX: usize = 50_000;
/// Longer than a ticket or a statement may live.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The register of flights, by the nonce in their sealed ticket.
pub(super) struct Flights {
    known: Mutex<Expiring<String, Flight>>,
}

#[derive(Default)]
struct Flight {
    cancelled: CancellationToken,
    streams: usize,
    spent: bool,
    /// It writes, and its work is done: nothing is left to cancel.
    done: bool,
}

/// A stream of a flight, on the register until it is dropped.
pub(super) struct Boarded {
    flights: Arc<Flights>,
    nonce: String,
    pub(super) cancelled: CancellationToken,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::new(Expiring::new(FLIGHTS_MAX, LIFETIME)),
        }
    }

    /// Registers a stream of the flight `nonce`.
    ///
    /// # Errors
    /// CANCELLED when it was cancelled before; ABORTED when it writes and was fetched before.
    pub(super) fn board(self: &Arc<Self>, nonce: &str, writes: bool) -> Result<Boarded, Status> {
        let mut known = self.known.lock();
        if known.get(&nonce.to_owned()).is_none() {
            known.insert(nonce.to_owned(), Flight::default(), Instant::now());
        }
        let cancelled = match known.get_mut(&nonce.to_owned()) {
            Some(flight) if flight.cancelled.is_cancelled() => return Err(cancelled()),
            Some(flight) if flight.spent => {
                return Err(Status::aborted(
                    "this ticket belongs to a statement that writes and was used before; run the statement again if it should happen twice",
                ));
            }
            Some(flight) => {
                flight.streams += 1;
                flight.spent = writes;
                flight.cancelled.clone()
            }
            None => CancellationToken::new(),
        };
        Ok(Boarded {
            flights: Arc::clone(self),
            nonce: nonce.to_owned(),
            cancelled,
        })
    }

    /// Cancels what flows under `nonce` and what would be fetched under it later; says what became of it. A write that is
    /// done stays done, and of one that runs nobody knows yet whether it is stopped before its commit.
    pub(super) fn cancel(&self, nonce: &str) -> CancelStatus {
        let mut known = self.known.lock();
        if known.get(&nonce.to_owned()).is_none() {
            known.insert(nonce.to_owned(), Flight::default(), Instant::now());
        }
        let Some(flight) = known.get(&nonce.to_owned()) else {
            return CancelStatus::NotCancellable;
        };
        if flight.done {
            return CancelStatus::NotCancellable;
        }
        flight.cancelled.cancel();
        match flight.spent && flight.streams > 0 {
            true => CancelStatus::Cancelling,
            false => CancelStatus::Cancelled,
        }
    }

    fn leave(&self, nonce: &String) {
        let mut known = self.known.lock();
        let Some(flight) = known.get_mut(nonce) else { return };
        flight.streams = flight.streams.saturating_sub(1);
        let is_over = flight.streams == 0 && !flight.cancelled.is_cancelled();
        flight.done |= is_over && flight.spent;
        if is_over && !flight.spent {
            known.remove(nonce);
        }
    }
}

impl Boarded {
    /// The flight writes, and all that it writes is written; only the count is still on its way.
    pub(super) fn done(&self) {
        if let Some(flight) = self.flights.known.lock().get_mut(&self.nonce) {
            flight.done |= flight.spent;
        }
    }
}

impl Drop for Boarded {
    fn drop(&mut self) {
        self.flights.leave(&self.nonce);
    }
}

/// What a cancelled stream ends with.
pub(super) fn cancelled() -> Status {
    Status::cancelled("the statement was cancelled")
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_reading_flight_flies_again_a_writing_one_does_not() {
        let flights = Arc::new(Flights::new());
        for _ in 0..3 {
            drop(flights.board("reads", false).unwrap());
        }
        drop(flights.board("writes", true).unwrap());
        assert_eq!(flights.board("writes", true).err().unwrap().code(), Code::Aborted);
    }

    #[test]
    fn cancelling_reaches_streams_that_flow_and_those_to_come_and_no_others() {
        let flights = Arc::new(Flights::new());
        let (one, other) = (
            flights.board("one", false).unwrap(),
            flights.board("other", false).unwrap(),
        );
        for nonce in ["one", "later"] {
            assert_eq!(flights.cancel(nonce), CancelStatus::Cancelled);
        }
        assert!(one.cancelled.is_cancelled() && !other.cancelled.is_cancelled());
        for nonce in ["one", "later"] {
            assert_eq!(flights.board(nonce, false).err().unwrap().code(), Code::Cancelled);
        }
    }

    #[test]
    fn what_is_written_is_not_cancelled_any_more() {
        let flights = Arc::new(Flights::new());
        let runs = flights.board("runs", true).unwrap();
        assert_eq!(flights.cancel("runs"), CancelStatus::Cancelling);
        assert!(runs.cancelled.is_cancelled());
        drop(runs);
        assert_eq!(flights.cancel("runs"), CancelStatus::Cancelled, "asked again");
        let written = flights.board("written", true).unwrap();
        written.done();
        assert_eq!(flights.cancel("written"), CancelStatus::NotCancellable);
        assert!(!written.cancelled.is_cancelled(), "its count still arrives");
        drop(written);
        drop(flights.board("failed", true).unwrap());
        for nonce in ["written", "failed"] {
            assert_eq!(flights.cancel(nonce), CancelStatus::NotCancellable, "{nonce}");
        }
        // A read has nothing to be done with.
        let reads = flights.board("reads", false).unwrap();
        reads.done();
        assert_eq!(flights.cancel("reads"), CancelStatus::Cancelled);
    }

    #[test]
    fn ended_flights_are_forgotten() {
        let flights = Arc::new(Flights::new());
        let (first, second) = (flights.board("a", false).unwrap(), flights.board("a", false).unwrap());
        drop(first);
        assert!(flights.known.lock().get(&"a".to_owned()).is_some());
        drop(second);
        assert!(flights.known.lock().get(&"a".to_owned()).is_none());
    }
}
