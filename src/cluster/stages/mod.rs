//! How far a shared statement is, stage by stage.
//!
//! ```text
//! server: a part of a plan, and which one it is (header) -> worker: counts what leaves the part
//!         asks while it runs, and once at its end        -> rows, bytes and whether it is done
//! ```
//! The engine's own metrics come after a statement's end; these come while it runs. A stage is what all its tasks do alike;
//! stage 1 reads, and the last one gives its rows to the server.

mod count;
mod progress;

use datafusion_distributed::TaskKey;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use count::{Count, CountDoor, Counts};
pub(super) use progress::{Asked, Progress, Statements};

/// Header of a part: `<statement's number among the shared> <stage> <task>`.
const PART_HEADER: &str = "labhouse-part";

/// How far one task of a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    stage: usize,
    task: usize,
    rows: u64,
    /// In memory, of the columns as they leave the task.
    bytes: u64,
    done: bool,
}

fn part_header(id: Uuid, part: &TaskKey) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{id} {} {}", part.stage_id, part.task_number)).ok()
}

fn part(headers: &HeaderMap) -> Option<(Uuid, usize, usize)> {
    let mut words = headers.get(PART_HEADER)?.to_str().ok()?.split(' ');
    let (id, stage, task) = (words.next()?, words.next()?, words.next()?);
    Some((id.parse().ok()?, stage.parse().ok()?, task.parse().ok()?))
}
