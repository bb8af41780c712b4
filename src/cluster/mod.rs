//! Many nodes: large statements are shared with `labhouse worker` processes, models are trained there, and landed files
//! loaded.
//!
//! ```text
//! statement -> planned, checked, decided here -> fit? -> distributed -> workers: scan | shuffle | aggregate -> here -> client
//!                                                 no  -> runs here, as without workers
//! ```
//! The server that a client talks to coordinates: it alone decides who sees what. What it sends to a
//! worker is a plan in which each governed scan is sealed as it would run here: columns, row filter, masks and the files of
//! one slice, bound to their values (a condition on `$user.name` holds the name). A worker has no policy files and no users, no
//! catalog but to load files into, and the lake's credentials from its own config. A node shows that it may read the lake by a secret that lies there,
//! and over a network by a certificate, too.
//!
//! * [`nodes`]: which workers there are, and which are ready.
//! * [`channel`]: connections to nodes; whatever fails on one is marked as the loss of that node.
//! * [`fit`]: which plans may be shared. What is not known to be right stays here; [`roundtrip`] tries the way once.
//! * [`codec`]: our own operators as bytes. The barrier's part of it is in the policies crate.
//! * [`share`]: a plan shared among the ready nodes.
//! * [`stages`]: how far a shared statement is.
//! * [`plain`]: calls between nodes beside the engine's.
//! * [`training`]: models are trained on workers; the server reads the rows, and stores what comes back.
//! * [`crawl`]: workers look for landed files and load them; servers hear of it.
//! * [`host`], [`door`], [`guard`]: the worker: its sessions, its door, and what makes a panic there an error here.
//!
//! A lost node never makes a result wrong: before the first row the statement runs once more, here alone; after it the
//! statement fails and says so. Plans that hold the policies' secret stay here.
//!
//! The distributed engine itself (stages, shuffles, broadcasts) is `datafusion-distributed`.

mod channel;
mod codec;
mod crawl;
mod door;
mod fit;
mod guard;
mod host;
mod nodes;
mod plain;
mod roundtrip;
mod share;
mod stages;
mod training;

use std::io::{Read, Seek, SeekFrom};

use bytes::Bytes;
use http::HeaderValue;
use labhouse_catalog::{Lake, LakeError, Put};
use sha2::{Digest, Sha256};

use crate::auth::hex;

pub(crate) use crawl::follow_crawls;
pub(crate) use host::run as work;
pub(crate) use nodes::{Node, NodeState, follow};
pub(crate) use share::Cluster;
pub(crate) use training::{Offered, Word};

/// Why the nodes of a lake cannot work together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("the secret of this lake's nodes: {0}")]
    Secret(#[from] LakeError),
    #[error("the program's own file cannot be read, which tells nodes whether they are of one version: {0}")]
    Program(#[from] std::io::Error),
}

/// Header of every call between nodes: what only those know who read the lake.
const SECRET_HEADER: &str = "labhouse-node";
/// Where it lies.
const SECRET: &str = "_labhouse/cluster/secret";
const SECRET_BYTES: usize = 32;

/// The secret of a lake's nodes; whoever asks first makes it.
///
/// # Errors
/// The lake cannot be read or written, or the secret is none.
async fn secret(lake: &Lake) -> Result<HeaderValue, LakeError> {
    let found = match lake.get(SECRET).await? {
        Some(found) => found,
        None => {
            let made: [u8; SECRET_BYTES] = rand::random();
            let made = Bytes::from(hex(&made));
            match lake.put(SECRET, made.clone(), Put::Create).await {
                Ok(()) => made,
                Err(error) if error.is_there_already() => lake.get(SECRET).await?.unwrap_or(made),
                Err(error) => return Err(error),
            }
        }
    };
    let mut value = HeaderValue::from_bytes(&found).map_err(|error| LakeError::Url {
        url: SECRET.to_owned(),
        reason: format!("it is no secret: {error}; remove it and start the nodes again"),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

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

/// A debug build is told from another by blocks of the program: it is large, and digesting it takes longer than a test.
const BLOCK_BYTES: u64 = 4 << 10;
const DEBUG_BLOCKS: u64 = 256;

/// A digest of the program.
fn build() -> std::io::Result<String> {
    let mut program = std::fs::File::open(std::env::current_exe()?)?;
    let length = program.metadata()?.len();
    let mut digest = Sha256::new();
    digest.update(length.to_le_bytes());
    let step = match cfg!(debug_assertions) {
        true => (length / DEBUG_BLOCKS).max(BLOCK_BYTES),
        false => BLOCK_BYTES,
    };
    let mut at = 0;
    while at < length {
        program.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        program.by_ref().take(BLOCK_BYTES).read_to_end(&mut bytes)?;
        digest.update(&bytes);
        at += step;
    }
    Ok(hex(digest.finalize().get(..8).unwrap_or_default()))
}
