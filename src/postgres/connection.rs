//! One connection: login, then statements by both protocols, simple text, and parse, bind, describe, execute.
//!
//! After an error of the second protocol everything up to the next Sync is passed over, as PostgreSQL does it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::array::RecordBatch;
use bytes::{BufMut, Bytes};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use labhouse_policies::Principal;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::errors::{Refusal, fatal, of_login, user};
use super::session::Session;
use super::statement::{Kind, Prepared, numbered, read, split};
use super::wire::{self, Answer, Named, Request, Startup};
use super::{Door, encode, parameters, rewrite};
use crate::audit::Client;
use crate::pg_catalog::SETTINGS;
use crate::query::errors::from_datafusion;
use crate::query::statement::CATALOG;
use crate::query::{QueryError, Running};

/// Statements and portals that a connection keeps: pools keep some hundred.
const KEPT_MAX: usize = 2_000;
/// Bytes gathered before they are sent.
const SEND_BYTES: usize = 64 << 10;

/// A prepared statement.
struct Stored {
    prepared: Prepared,
    types: Vec<u32>,
}

/// A statement with its values, and what of its result was not fetched yet.
struct Portal {
    statement: Arc<Stored>,
    values: Vec<ScalarValue>,
    results: Vec<i16>,
    rest: Option<Rest>,
}

struct Rest {
    stream: SendableRecordBatchStream,
    /// What of the last batch was not sent.
    left: Option<RecordBatch>,
    cancelled: CancellationToken,
}

/// Where the connection stands between BEGIN and COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Idle,
    Open,
    Failed,
}

impl Status {
    fn letter(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}

/// A client that has logged in.
pub(super) struct Connection<S> {
    door: Door,
    stream: S,
    session: Arc<Session>,
    answer: Answer,
    status: Status,
    statements: HashMap<String, Arc<Stored>>,
    portals: HashMap<String, Portal>,
}

/// Talks with a client until one of both has enough.
pub(super) async fn converse<S>(
    door: Door,
    mut stream: S,
    peer: SocketAddr,
    secure: bool,
    ending: &CancellationToken,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let login = tokio::time::timeout(super::LOGIN_MAX, login(&door, &mut stream, peer, secure)).await?;
    let (session, pid, secret) = match login {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(()),
        Err(refusal) => {
            let mut answer = Answer::default();
            answer.error("FATAL", refusal.state, &refusal.text);
            stream.write_all(&answer.0).await?;
            return stream.shutdown().await;
        }
    };
    let mut answer = Answer::default();
    let version = rewrite::VERSION.trim_start_matches("PostgreSQL ");
    let told = SETTINGS.iter().map(|(name, value)| match *name {
        "server_version" => (*name, version),
        name => (name, *value),
    });
    let mut told: Vec<(&str, &str)> = told.collect();
    told.extend([("integer_datetimes", "on"), ("is_superuser", "off")]);
    answer.welcome(&told, pid, secret);
    answer.ready(Status::Idle.letter());
    let mut connection = Connection {
        cancels: (),
        door,
        stream,
        session,
        answer,
        status: Status::Idle,
        statements: HashMap::new(),
        portals: HashMap::new(),
    };
    let outcome = connection.serve(ending).await;
    connection.door.cancels.forget(pid);
    outcome
}
