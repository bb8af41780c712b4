//! Trainings on workers.
//!
//! ```text
//! server: rows of the author's query -> options, rows as an Arrow IPC stream ->  worker: trains on threads of its own
//!         system.training, the model <- begun, steps, the model's bytes      <-
//! ```
//! The server has decided what the rows are; a worker learns no name of a person or a model, and keeps nothing. It takes as
//! many trainings as its own `[limits] concurrent_trainings` says, within its own `memory_mib`, with its own
//! `training_threads`. Whoever asks ends a training by going away, and a server whose connection falls silent has gone.
//!
//! A call is one stream each way of messages of bytes. There: the first is a [`Head`] as JSON, the others are pieces of the
//! IPC stream. Back: a [`Told`] as JSON behind [`TOLD`], or a piece of the model behind [`PIECE`]. The last word is
//! [`Told::Trained`] or [`Told::Failed`]; what ends without one is not whole.

mod ask;
mod take;

use bytes::Bytes;
use labhouse_udfs::{Timing, TrainOptions};
use serde::{Deserialize, Serialize};

pub(super) use ask::Lent;
pub(crate) use ask::{Offered, Word};
pub(super) use take::Trainer;

/// Bytes of a piece of rows or of a model.
const PIECE_BYTES: usize = 1 << 20;
/// Begins a message back.
const TOLD: u8 = 0;
const PIECE: u8 = 1;

/// Begins the way there.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    options: TrainOptions,
    /// Rows of all batches: fewer are not all.
    rows: u64,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    /// All rows are there, and it trains.
    Begun,
    /// A line about a step that is done.
    Step(String),
    /// The model, whose bytes came before, is of this digest.
    Trained { digest: String, timings: Vec<Timing> },
    /// The rows do not make a model.
    Failed(String),
    /// It was stopped before its end.
    Cancelled,
}

impl Told {
    fn message(&self) -> Bytes {
        let mut message = vec![TOLD];
        message.extend(serde_json::to_vec(self).unwrap_or_default());
        message.into()
    }
}
