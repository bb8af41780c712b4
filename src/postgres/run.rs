//! From a statement to its answer: what is about the session is done here, the rest goes down the query road, as the
//! person who has logged in, and ends when he cancels it or leaves.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use labhouse_policies::Principal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, SEND_BYTES, Status, Stop};
use super::errors::{Refusal, fatal, user};
use super::extended::{Columns, Prepared};
use super::rewrite::Words;
use super::settings::Kept;
use super::statement::{Kind, numbered, one_text, read};
use super::{encode, typeinfo};
use crate::query::errors::from_datafusion;
use crate::query::narrow::narrow_batch;
use crate::query::{QueryError, Running};

/// Rows made into messages at once.
const ROWS_AT_ONCE: usize = 512;

/// How far a statement has come.
pub(super) enum Progress {
    Fresh,
    Rows(Box<Rest>),
    /// Nothing more comes; what its end is called.
    Ended(String),
}

/// Rows on their way.
pub(super) struct Rest {
    stream: Option<SendableRecordBatchStream>,
    /// The columns that were told.
    schema: SchemaRef,
    /// What of the last batch was not sent.
    left: Option<RecordBatch>,
    cancelled: CancellationToken,
    pub(super) sent: u64,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Who asks, as he is now.
    pub(super) fn who(&self) -> Result<Principal, Stop> {
        let who = self.session.who(&self.door.engine.auth);
        who.ok_or_else(|| {
            let ended = "the login of this connection was removed, revoked or has ended; connect again";
            fatal("28000", ended).into()
        })
    }

    /// Reads a statement and plans it as far as its text allows.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Prepared, Stop> {
        let kind = {
            let (schema, setting) = (self.settings.schema(), |name: &str| self.settings.get(name));
            let words = Words {
                user: self.session.name(),
                schema: schema.as_deref(),
                pid: self.key.pid,
                setting: Some(&setting),
            };
            read(sql, &words)
        };
        if self.status == Status::Failed && !ends_transaction(&kind) {
            return Err(failed().into());
        }
        let nothing = Arc::new(Schema::empty());
        let mut prepared = Prepared {
            columns: Columns::None,
            parameters: nothing,
            writes: false,
            kind,
        };
        match &prepared.kind {
            Kind::Show(name) => prepared.columns = Columns::Known(one_text(name)),
            Kind::Types => prepared.columns = Columns::Known(typeinfo::columns()),
            Kind::NoRow(columns) => prepared.columns = Columns::Known(Arc::clone(columns)),
            Kind::Fetch { name, .. } => {
                let columns = self.columns_of(name)?;
                prepared.columns = columns.map_or(Columns::None, Columns::Known);
            }
            Kind::Run { sql, .. } => {
                let who = self.who()?;
                let (engine, session, client) =
                    (Arc::clone(&self.door.engine), Arc::clone(&self.session), self.client());
                let described = Box::pin(engine.describe(&who, &client, sql, &[]));
                let described = self.watched(&session.begin(), described).await?;
                match described {
                    Ok(described) => {
                        prepared.parameters = described.parameters;
                        prepared.writes = described.writes;
                        if !described.writes {
                            prepared.columns = Columns::Known(described.schema);
                        }
                    }
                    // The planner needs the values to tell types.
                    Err(error @ QueryError::Invalid(_)) if numbered(sql) > 0 => {
                        prepared.columns = Columns::Open(Arc::new(error.into()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            _ => {}
        }
        Ok(prepared)
    }

    /// The columns that a statement gives with these values.
    pub(super) async fn planned(&mut self, sql: &str, values: &[ScalarValue]) -> Result<SchemaRef, Stop> {
        let who = self.who()?;
        let (engine, session, client) = (Arc::clone(&self.door.engine), Arc::clone(&self.session), self.client());
        let described = Box::pin(engine.describe(&who, &client, sql, values));
        Ok(self.watched(&session.begin(), described).await??.schema)
    }

    /// Runs a statement of the simple protocol: its columns are told, then all its rows.
    pub(super) async fn perform_at_once(&mut self, prepared: &Prepared) -> Result<(), Stop> {
        if let Kind::Fetch { name, rows_max } = &prepared.kind {
            let sent = self.fetch(name, &[], *rows_max, true).await?;
            self.answer.complete(&format!("FETCH {sent}"));
            return Ok(());
        }
        let mut progress = self.start(prepared, Vec::new(), None).await?;
        if let Progress::Rows(rest) = &progress {
            encode::describe(&mut self.answer, &rest.schema, &[]);
        }
        self.go_on(&prepared.kind, &mut progress, &[], 0).await
    }

    /// Starts a statement. Its rows come in the columns that were `told`, if they were.
    pub(super) async fn start(
        &mut self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        told: Option<&SchemaRef>,
    ) -> Result<Progress, Stop> {
        if self.status == Status::Failed && !ends_transaction(&prepared.kind) {
            return Err(failed().into());
        }
        let ended = |tag: &str| Ok(Progress::Ended(tag.to_owned()));
        match &prepared.kind {
            Kind::Begin => {
                if self.status == Status::Open {
                    self.answer
                        .warning("25001", "there is already a transaction in progress");
                } else {
                    self.begin()?;
                }
                ended("BEGIN")
            }
            // What failed is told as rolled back, as PostgreSQL does.
            Kind::Commit | Kind::Rollback => {
                let is_commit = prepared.kind == Kind::Commit && self.status != Status::Failed;
                if self.status == Status::Idle {
                    self.answer.warning("25P01", "there is no transaction in progress");
                }
                self.status = Status::Idle;
                self.portals.retain(|_, portal| portal.is_held && is_commit);
                match is_commit {
                    true => self.commit().await?,
                    false => self.roll_back().await,
                }
                ended(if is_commit { "COMMIT" } else { "ROLLBACK" })
            }
            Kind::Savepoint(name) => {
                self.save(name).await?;
                ended("SAVEPOINT")
            }
            Kind::Release(name) => {
                self.release(name).await?;
                ended("RELEASE")
            }
            Kind::RollbackTo(name) => {
                self.roll_back_to(name).await?;
                self.status = Status::Open;
                ended("ROLLBACK")
            }
            Kind::Set { name, value } => {
                match self.settings.set(name, value.as_deref())? {
                    Kept::Quietly(Some((name, value))) => self.answer.told(name, &value),
                    Kept::Quietly(None) => {}
                    Kept::WithoutEffect => self
                        .answer
                        .warning("01000", &format!("{name} is kept to be shown and changes nothing here")),
                }
                ended(if value.is_some() { "SET" } else { "RESET" })
            }
            Kind::ResetAll => {
                self.settings.reset();
                ended("RESET")
            }
            Kind::DiscardAll => {
                self.settings.reset();
                self.statements.clear();
                self.portals.clear();
                ended("DISCARD ALL")
            }
            Kind::Deallocate(name) => {
                match name {
                    Some(name) => drop(self.statements.remove(name)),
                    None => self.statements.clear(),
                }
                ended("DEALLOCATE")
            }
            Kind::Nothing(tag) => ended(tag),
            Kind::Refuse(why) => Err(user("0A000", *why).into()),
            Kind::Show(name) => {
                let Some(value) = self.settings.get(name) else {
                    return Err(user(
                        "42704",
                        format!("there is no setting \"{name}\"; SHOW TABLES lists what you may read"),
                    )
                    .into());
                };
                let schema = one_text(name);
                let row = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(vec![value]))]);
                Ok(Progress::rows(Rest::of(schema, row.ok())))
            }
            Kind::Types => {
                let rows = typeinfo::rows(&values).map_err(QueryError::internal)?;
                Ok(Progress::rows(Rest::of(rows.schema(), Some(rows))))
            }
            Kind::NoRow(columns) => Ok(Progress::rows(Rest::of(Arc::clone(columns), None))),
            Kind::Declare { name, is_held, sql } => {
                self.declare(name, *is_held, sql, values).await?;
                ended("DECLARE CURSOR")
            }
            Kind::CloseCursor(name) => {
                match name {
                    Some(name) => drop(self.portals.remove(name)),
                    None => self.portals.clear(),
                }
                ended("CLOSE CURSOR")
            }
            // Its rows are another's: see `go_on`.
            Kind::Fetch { .. } => Ok(Progress::Fresh),
            Kind::Run { sql, tag } if prepared.writes => {
                let tag = self.write(sql, tag, values).await?;
                Ok(Progress::Ended(tag))
            }
            Kind::Run { sql, .. } => Ok(Progress::rows(self.read(sql, values, told).await?)),
        }
    }

    /// Runs a statement that writes; what its end is called.
    async fn write(&mut self, sql: &str, tag: &str, values: Vec<ScalarValue>) -> Result<String, Stop> {
        let who = self.who()?;
        let (engine, session, client) = (Arc::clone(&self.door.engine), Arc::clone(&self.session), self.client());
        let writing = Box::pin(engine.update(&who, &client, sql, values));
        let count = self.watched(&session.begin(), writing).await??;
        let is_counted = ["INSERT 0", "UPDATE", "DELETE", "MERGE"].contains(&tag);
        Ok(match is_counted {
            true => format!("{tag} {}", count.max(0)),
            false => tag.to_owned(),
        })
    }

    /// Starts a statement that gives rows.
    async fn read(&mut self, sql: &str, values: Vec<ScalarValue>, told: Option<&SchemaRef>) -> Result<Rest, Stop> {
        let who = self.who()?;
        let (engine, session, client) = (Arc::clone(&self.door.engine), Arc::clone(&self.session), self.client());
        let cancelled = session.begin();
        let starting = Box::pin(engine.run(&who, &client, sql, values, None));
        let Running { schema, stream, .. } = self.watched(&cancelled, starting).await??;
        if let Some(told) = told
            && told.fields().len() != schema.fields().len()
        {
            return Err(user(
                "0A000",
                "the columns of the statement changed since it was described; prepare it again",
            )
            .into());
        }
        Ok(Rest {
            stream: Some(stream),
            schema: told.map_or(schema, Arc::clone),
            left: None,
            cancelled,
            sent: 0,
        })
    }

    /// Sends what comes next of a statement that was started, and its end when it comes.
    pub(super) async fn go_on(
        &mut self,
        kind: &Kind,
        progress: &mut Progress,
        formats: &[i16],
        rows_max: usize,
    ) -> Result<(), Stop> {
        if let (Kind::Fetch { name, rows_max }, Progress::Fresh) = (kind, &*progress) {
            let sent = self.fetch(name, formats, *rows_max, false).await?;
            *progress = Progress::Ended(format!("FETCH {sent}"));
        }
        let tag = match progress {
            Progress::Rows(rest) => {
                if !self.send(rest, formats, rows_max).await? {
                    self.answer.plain(b's');
                    return Ok(());
                }
                match kind {
                    Kind::Run { tag, .. } if tag != "SELECT" => tag.clone(),
                    Kind::Show(_) => "SHOW".to_owned(),
                    _ => format!("SELECT {}", rest.sent),
                }
            }
            Progress::Ended(tag) => std::mem::take(tag),
            Progress::Fresh => String::new(),
        };
        let tag = if tag.is_empty() { "SELECT 0".to_owned() } else { tag };
        self.answer.complete(&tag);
        *progress = Progress::Ended(String::new());
        Ok(())
    }

    /// Sends up to `rows_max` rows, 0 = all; whether these were the last.
    pub(super) async fn send(&mut self, rest: &mut Rest, formats: &[i16], rows_max: usize) -> Result<bool, Stop> {
        let mut wanted = if rows_max == 0 { usize::MAX } else { rows_max };
        while wanted > 0 {
            let batch = match rest.left.take() {
                Some(batch) => batch,
                None => {
                    let Some(stream) = rest.stream.as_mut() else {
                        return Ok(true);
                    };
                    match self.watched(&rest.cancelled, stream.next()).await? {
                        Some(Ok(batch)) => fit(&batch, &rest.schema)?,
                        Some(Err(error)) => return Err(from_datafusion(error).into()),
                        None => {
                            rest.stream = None;
                            return Ok(true);
                        }
                    }
                }
            };
            let now = batch.num_rows().min(wanted).min(ROWS_AT_ONCE);
            encode::rows(&mut self.answer, &batch.slice(0, now), formats)
                .map_err(|error| from_datafusion(error.into()))?;
            if now < batch.num_rows() {
                rest.left = Some(batch.slice(now, batch.num_rows() - now));
            }
            wanted -= now;
            rest.sent += now as u64;
            if self.answer.len() >= SEND_BYTES {
                self.flush().await?;
            }
        }
        Ok(false)
    }

    /// Waits for work, which ends when it is cancelled or when the client is gone.
    async fn watched<T>(&mut self, cancelled: &CancellationToken, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(user("57014", "the statement was cancelled").into()),
            () = self.inbox.gone() => Err(Stop::Gone),
            done = work => Ok(done),
        }
    }
}

impl Rest {
    fn of(schema: SchemaRef, left: Option<RecordBatch>) -> Self {
        Self {
            stream: None,
            schema,
            left,
            cancelled: CancellationToken::new(),
            sent: 0,
        }
    }
}

/// A batch in the columns that were told.
fn fit(batch: &RecordBatch, told: &SchemaRef) -> Result<RecordBatch, QueryError> {
    match batch.schema_ref() == told {
        true => Ok(batch.clone()),
        false => narrow_batch(batch, told).map_err(|error| from_datafusion(error.into())),
    }
}

fn ends_transaction(kind: &Kind) -> bool {
    matches!(kind, Kind::Commit | Kind::Rollback | Kind::RollbackTo(_))
}

fn failed() -> Refusal {
    user(
        "25P02",
        "the transaction has failed and takes no statements before its end; send ROLLBACK",
    )
}
