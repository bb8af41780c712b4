//! One connection: login, then messages, each answered in its order.
//!
//! Statements come by two protocols: a text that is run at once, or parsed, bound, described and executed. After an error of
//! the second, everything up to the next Sync is passed over, as PostgreSQL does it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::errors::{Refusal, fatal, user};
use super::extended::{Portal, Stored};
use super::login::{LoggedIn, NoLogin, login};
use super::session::{Key, Session};
use super::settings::{self, Settings};
use super::statement::split;
use super::transaction::Open;
use super::wire::{Inbox, MESSAGE_BYTES_MAX, Request, WireError};
use super::{Door, LOGIN_MAX, Line};
use crate::query::QueryError;

/// How long a client may take nothing before its connection is given up: a pager someone reads in, not a laptop that sleeps.
const STALLED_MAX: Duration = Duration::from_secs(300);
/// Answers gathered before they are sent.
pub(super) const SEND_BYTES: usize = 64 << 10;

/// Why the answer to a message ends early.
pub(super) enum Stop {
    Refused(Refusal),
    /// Nobody is there any more.
    Gone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Self {
        Self::Refused(error.into())
    }
}

/// Where the connection stands between BEGIN and COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
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
    pub(super) door: Door,
    pub(super) inbox: Inbox<ReadHalf<S>>,
    write: WriteHalf<S>,
    pub(super) session: Arc<Session>,
    pub(super) key: Key,
    pub(super) answer: Answer,
    pub(super) status: Status,
    /// What is open between BEGIN and COMMIT.
    pub(super) transaction: Option<Open>,
    pub(super) settings: Settings,
    pub(super) statements: HashMap<String, Arc<Stored>>,
    pub(super) portals: HashMap<String, Portal>,
    /// Until the next Sync everything is passed over.
    is_skipping: bool,
}

/// Talks with a client until one of both has enough.
pub(super) async fn converse<S>(door: Door, stream: S, line: Line, ending: &CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (read, mut write) = tokio::io::split(stream);
    let mut inbox = Inbox::new(read, &line.begun);
    let found = tokio::time::timeout(LOGIN_MAX, login(&door, &mut inbox, &mut write, &line)).await?;
    let LoggedIn { session, names } = match found {
        Ok(found) => found,
        Err(NoLogin::Gone) => return Ok(()),
        Err(NoLogin::Refused(refusal)) => {
            let mut answer = Answer::default();
            answer.refused(&refusal);
            write.write_all(&answer.take()).await?;
            return write.shutdown().await;
        }
    };
    let mut settings = Settings::default();
    for (name, value) in settings::of_startup(&names) {
        // What cannot be followed is shown all the same; nobody reads warnings this early.
        let _ = settings.set(&name, Some(&value));
    }
    let mut connection = Connection {
        key: door.cancels.register(Arc::clone(&session)),
        door,
        inbox,
        write,
        session,
        answer: Answer::default(),
        status: Status::Idle,
        transaction: None,
        settings,
        statements: HashMap::new(),
        portals: HashMap::new(),
        is_skipping: false,
    };
    connection.welcome();
    match connection.serve(ending).await {
        Ok(()) | Err(Stop::Gone) => {}
        Err(Stop::Refused(refusal)) => {
            connection.answer.refused(&refusal);
            let _ = connection.flush().await;
        }
    }
    connection.roll_back().await;
    connection.write.shutdown().await
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn welcome(&mut self) {
        self.answer.logged_in();
        for (name, value) in self.settings.all_told().collect::<Vec<_>>() {
            self.answer.told(name, &value);
        }
        self.answer.key(self.key.pid, self.key.secret);
        self.answer.ready(self.status.letter());
    }

    /// Messages until the client leaves, the server ends or an error ends the connection.
    async fn serve(&mut self, ending: &CancellationToken) -> Result<(), Stop> {
        self.flush().await?;
        loop {
            let request = tokio::select! {
                biased;
                // Nothing runs between two messages.
                () = ending.cancelled() => {
                    return Err(fatal("57P01", "the server is shutting down; connect again later").into());
                }
                request = self.inbox.next(MESSAGE_BYTES_MAX) => request,
            };
            let request = match request {
                Ok(Some(request)) => request,
                Ok(None) | Err(WireError::Io(_) | WireError::Truncated) => return Ok(()),
                Err(error @ (WireError::Malformed | WireError::TooLong(_) | WireError::Version)) => {
                    return Err(fatal("08P01", error.to_string()).into());
                }
            };
            if matches!(request, Request::Terminate) {
                return Ok(());
            }
            Box::pin(self.take(request)).await?;
        }
    }

    /// Answers one message; an error that comes out ends the connection.
    async fn take(&mut self, request: Request) -> Result<(), Stop> {
        match request {
            Request::Query(sql) => {
                self.is_skipping = false;
                let done = self.simple(&sql).await;
                self.settled(done)?;
                self.end_of_statements();
                self.answer.ready(self.status.letter());
                return self.flush().await;
            }
            Request::Sync => {
                self.is_skipping = false;
                self.end_of_statements();
                self.answer.ready(self.status.letter());
                return self.flush().await;
            }
            Request::Flush => return self.flush().await,
            Request::Call => {
                let refused = user("0A000", "functions are called in statements here, not by number");
                self.settled(Err(refused.into()))?;
                self.answer.ready(self.status.letter());
                return self.flush().await;
            }
            Request::Copied => return Ok(()),
            Request::Password(_) | Request::Terminate => {
                return Err(fatal("08P01", "a message came that has no place here").into());
            }
            Request::Parse { .. }
            | Request::Bind { .. }
            | Request::Describe(_)
            | Request::Close(_)
            | Request::Execute { .. } => {}
        }
        if self.is_skipping {
            return Ok(());
        }
        let done = match request {
            Request::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Request::Bind {
                portal,
                statement,
                formats,
                values,
                results,
            } => self.bind(portal, &statement, &formats, &values, results).await,
            Request::Describe(named) => self.describe(&named).await,
            Request::Close(named) => {
                self.close(&named);
                Ok(())
            }
            Request::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            _ => Ok(()),
        };
        if self.settled(done)? {
            self.is_skipping = true;
        }
        if self.answer.len() >= SEND_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Tells of an error; true when there was one. What ends the connection is handed on.
    fn settled(&mut self, done: Result<(), Stop>) -> Result<bool, Stop> {
        match done {
            Ok(()) => Ok(false),
            Err(Stop::Refused(refusal)) if !refusal.is_fatal => {
                if self.status == Status::Open {
                    self.status = Status::Failed;
                }
                self.answer.refused(&refusal);
                Ok(true)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Outside of a transaction nothing that was bound outlives its statement.
    fn end_of_statements(&mut self) {
        if self.status == Status::Idle {
            self.portals.retain(|_, portal| portal.is_held);
        }
    }

    /// Runs the statements of a text, one after the other.
    async fn simple(&mut self, sql: &str) -> Result<(), Stop> {
        self.door.engine.admission.check(sql)?;
        let parts = split(sql);
        if parts.is_empty() {
            self.answer.plain(b'I');
            return Ok(());
        }
        for part in &parts {
            let prepared = self.prepare(part).await?;
            if prepared.writes && parts.len() > 1 && self.status == Status::Idle {
                return Err(user(
                    "0A000",
                    "a statement that writes is not run together with others: each commits by itself, and what went before could not be undone; send them one by one",
                )
                .into());
            }
            self.perform_at_once(&prepared).await?;
        }
        Ok(())
    }

    /// Sends what was gathered.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        let bytes = self.answer.take();
        if bytes.is_empty() {
            return Ok(());
        }
        let sending = async {
            self.write.write_all(&bytes).await?;
            self.write.flush().await
        };
        match tokio::time::timeout(STALLED_MAX, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stop::Gone),
        }
    }
}
