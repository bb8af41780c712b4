//! Many nodes: large statements are shared with `labhouse worker` processes.
//!
//! ```text
//! statement -> planned, checked, decided here -> fit? -> distributed -> workers: scan | shuffle | aggregate -> here -> client
//!                                                 no  -> runs here, as without workers
//! ```
//! The server that a client talks to coordinates: it alone knows who asks and what the policies say. What it sends to a
//! worker is a plan in which each governed scan is sealed as it would run here: columns, row filter, masks and the files of
//! one slice, bound to their values. A worker never learns of a login or a role, needs no policy files and no users, and has
//! the lake's credentials from its own config.
//!
//! * [`nodes`]: which workers there are, and which are ready.
//! * [`channel`]: connections to nodes; whatever fails on one is marked as the loss of that node.
//! * [`fit`]: which plans may be shared. What is not known to be right stays here.
//! * [`codec`]: our own operators as bytes. The barrier's part of it is in the policies crate.
//! * [`share`]: a plan shared among the ready nodes.
//! * [`host`], [`door`], [`guard`]: the worker: its sessions, its door, and what makes a panic there an error here.
//!
//! A lost node never makes a result wrong: before the first row the statement runs once more, here alone; after it the
//! statement fails and says so. Plans that hold the policies' secret stay here.
//!
//! The distributed engine itself (stages, shuffles, broadcasts) is `datafusion-distributed`.

mod channel;
mod codec;
mod door;
mod fit;
mod guard;
mod host;
mod nodes;
mod share;

use std::io::{Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

pub(crate) use channel::is_loss;
pub(crate) use host::run as work;
pub(crate) use nodes::{Node, NodeState, follow};
pub(crate) use share::Cluster;

/// Header that carries a coordinator's version to its workers.
const VERSION_HEADER: &str = "labhouse-version";

/// Header that says where the models of a part are, as base64 of JSON.
const MODELS_HEADER: &str = "labhouse-models";

/// What two nodes must have in common to share a statement: plans and functions travel by name and position, so the very
/// same program, and the same lake.
///
/// # Errors
/// The program's own file cannot be read.
fn version(lake: &str) -> std::io::Result<String> {
    Ok(format!(
        "labhouse {} engine {} build {} lake {lake}",
        env!("CARGO_PKG_VERSION"),
        datafusion::DATAFUSION_VERSION,
        build()?
    ))
}

/// Blocks of the program that tell it from another.
const BLOCKS: u64 = 256;
const BLOCK_BYTES: u64 = 4 << 10;

/// A digest of the program's length and of blocks all over it.
fn build() -> std::io::Result<String> {
    let mut program = std::fs::File::open(std::env::current_exe()?)?;
    let length = program.metadata()?.len();
    let mut digest = Sha256::new();
    digest.update(length.to_le_bytes());
    for block in 0..BLOCKS {
        program.seek(SeekFrom::Start(length / BLOCKS * block))?;
        let mut bytes = Vec::new();
        program.by_ref().take(BLOCK_BYTES).read_to_end(&mut bytes)?;
        digest.update(&bytes);
    }
    Ok(digest
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
