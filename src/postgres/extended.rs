//! The protocol in steps: a statement is parsed, bound to values as a portal, described and executed, in parts if wanted.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Status, Stop};
use super::errors::{Refusal, user};
use super::run::{Progress, Rest};
use super::statement::{Kind, casts, numbered, split};
use super::wire::Named;
use super::{encode, parameters, typeinfo};
use crate::query::PARAMETERS_MAX;

/// Statements and portals that a connection keeps: pools keep some hundred.
const KEPT_MAX: usize = 2_000;
/// Bytes of their texts and values together.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// A statement with what is known of it before it runs.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) kind: Kind,
    /// Types of `$1`, `$2`, … as far as the statement tells them.
    pub(super) parameters: SchemaRef,
    /// The columns of its rows.
    pub(super) columns: Columns,
    pub(super) writes: bool,
}

/// What is known of a result's columns.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    /// It gives no rows.
    None,
    Known(SchemaRef),
    /// Their types depend on values that are not there yet; why planning failed.
    Open(Arc<Refusal>),
}

/// A prepared statement that the connection keeps.
pub(super) struct Stored {
    /// None for a text without a statement.
    prepared: Option<Prepared>,
    types: Vec<u32>,
    bytes: usize,
    /// What was told of its columns, which is what comes then.
    told: parking_lot::Mutex<Option<SchemaRef>>,
}

/// A statement with its values, and how far it has come.
pub(super) struct Portal {
    pub(super) statement: Arc<Stored>,
    values: Vec<ScalarValue>,
    formats: Vec<i16>,
    bytes: usize,
    progress: Progress,
    /// A cursor that outlives its transaction.
    pub(super) is_held: bool,
    told: Option<SchemaRef>,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Parse.
    pub(super) async fn parse(&mut self, name: String, sql: &str, named: &[u32]) -> Result<(), Stop> {
        self.door.engine.admission.check(sql)?;
        let (count, bytes) = (numbered(sql), sql.len());
        if count > PARAMETERS_MAX || named.len() > PARAMETERS_MAX {
            return Err(user(
                "54000",
                format!(
                    "the statement has more than {PARAMETERS_MAX} parameters; put long lists into a table and join it"
                ),
            )
            .into());
        }
        let prepared = match split(sql).as_slice() {
            [] => None,
            [one] => Some(self.prepare(one).await?),
            _ => return Err(user("42601", "a prepared statement is one statement; send them one by one").into()),
        };
        let types = match &prepared {
            Some(prepared) if prepared.kind == Kind::Types => vec![typeinfo::ASKED],
            Some(prepared) => parameters::types_of(&prepared.parameters, named, &casts(sql), count),
            None => Vec::new(),
        };
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(user(
                "42P05",
                format!("a prepared statement \"{name}\" is there already; close it first"),
            )
            .into());
        }
        self.room(bytes)?;
        let stored = Stored {
            prepared,
            types,
            bytes,
            told: parking_lot::Mutex::default(),
        };
        self.statements.insert(name, Arc::new(stored));
        self.answer.plain(b'1');
        Ok(())
    }

    /// Bind.
    pub(super) async fn bind(
        &mut self,
        portal: String,
        statement: &str,
        formats: &[i16],
        values: &[Option<Bytes>],
        results: Vec<i16>,
    ) -> Result<(), Stop> {
        let statement = Arc::clone(self.stored(statement)?);
        let bytes = values.iter().flatten().map(Bytes::len).sum();
        let values = parameters::values(&statement.types, formats, values)?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(user(
                "42P03",
                format!("a cursor \"{portal}\" is there already; close it first"),
            )
            .into());
        }
        self.room(bytes)?;
        let told = statement.told.lock().clone();
        let bound = Portal {
            statement,
            values,
            formats: results,
            bytes,
            progress: Progress::Fresh,
            is_held: false,
            told,
        };
        self.portals.insert(portal, bound);
        self.answer.plain(b'2');
        Ok(())
    }

    /// Describe.
    pub(super) async fn describe(&mut self, named: &Named) -> Result<(), Stop> {
        match named {
            Named::Statement(name) => {
                let stored = Arc::clone(self.stored(name)?);
                self.answer.parameters(&stored.types);
                let columns = stored
                    .prepared
                    .as_ref()
                    .map_or(&Columns::None, |prepared| &prepared.columns);
                let columns = match columns {
                    Columns::None => None,
                    Columns::Known(schema) => Some(Arc::clone(schema)),
                    Columns::Open(why) => Some(self.with_nulls(&stored, why).await?),
                };
                (*stored.told.lock()).clone_from(&columns);
                self.tell(columns.as_deref(), &[]);
            }
            Named::Portal(name) => {
                let Some(portal) = self.portals.get(name) else {
                    return Err(no_portal(name).into());
                };
                let (stored, values) = (Arc::clone(&portal.statement), portal.values.clone());
                let (formats, told) = (portal.formats.clone(), portal.told.clone());
                let columns = match (told, &stored.prepared) {
                    (Some(told), _) => Some(told),
                    (None, Some(prepared)) => self.columns_with(prepared, &values).await?,
                    (None, None) => None,
                };
                if let Some(portal) = self.portals.get_mut(name) {
                    portal.told.clone_from(&columns);
                }
                self.tell(columns.as_deref(), &formats);
            }
        }
        Ok(())
    }

    fn tell(&mut self, columns: Option<&Schema>, formats: &[i16]) {
        match columns {
            Some(columns) => encode::describe(&mut self.answer, columns, formats),
            None => self.answer.plain(b'n'),
        }
    }

    /// Execute.
    pub(super) async fn execute(&mut self, name: &str, rows_max: usize) -> Result<(), Stop> {
        // Taken out while it runs: one that fails is gone.
        let Some(mut portal) = self.portals.remove(name) else {
            return Err(no_portal(name).into());
        };
        let stored = Arc::clone(&portal.statement);
        let Some(prepared) = &stored.prepared else {
            self.answer.plain(b'I');
            return Ok(());
        };
        if matches!(portal.progress, Progress::Fresh) {
            let values = portal.values.clone();
            portal.progress = self.start(prepared, values, portal.told.as_ref()).await?;
        }
        let formats = std::mem::take(&mut portal.formats);
        self.go_on(&prepared.kind, &mut portal.progress, &formats, rows_max)
            .await?;
        portal.formats = formats;
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Close. Closing what is not there is no error.
    pub(super) fn close(&mut self, named: &Named) {
        match named {
            Named::Statement(name) => drop(self.statements.remove(name)),
            Named::Portal(name) => drop(self.portals.remove(name)),
        }
        self.answer.plain(b'3');
    }

    /// Makes a cursor of a query.
    pub(super) async fn declare(
        &mut self,
        name: &str,
        is_held: bool,
        sql: &str,
        values: Vec<ScalarValue>,
    ) -> Result<(), Stop> {
        if self.status == Status::Idle && !is_held {
            return Err(user(
                "25P01",
                "a cursor lives in a transaction: BEGIN first, or DECLARE it WITH HOLD",
            )
            .into());
        }
        if self.portals.contains_key(name) {
            return Err(user("42P03", format!("a cursor \"{name}\" is there already; close it first")).into());
        }
        self.room(sql.len())?;
        let prepared = Box::pin(self.prepare(sql)).await?;
        let told = self.columns_with(&prepared, &values).await?;
        if told.is_none() {
            return Err(user("42P11", "a cursor is of a query that gives rows").into());
        }
        let statement = Stored {
            prepared: Some(prepared),
            types: Vec::new(),
            bytes: 0,
            told: parking_lot::Mutex::default(),
        };
        let portal = Portal {
            statement: Arc::new(statement),
            values,
            formats: Vec::new(),
            bytes: sql.len(),
            progress: Progress::Fresh,
            is_held,
            told,
        };
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// The columns of a cursor.
    pub(super) fn columns_of(&self, name: &str) -> Result<Option<SchemaRef>, Refusal> {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        Ok(portal.told.clone())
    }

    /// Sends the next rows of a cursor; how many they were.
    pub(super) async fn fetch(
        &mut self,
        name: &str,
        formats: &[i16],
        rows_max: usize,
        tells: bool,
    ) -> Result<u64, Stop> {
        let Some(mut portal) = self.portals.remove(name) else {
            return Err(no_portal(name).into());
        };
        let stored = Arc::clone(&portal.statement);
        if let (Progress::Fresh, Some(prepared)) = (&portal.progress, &stored.prepared) {
            let values = portal.values.clone();
            portal.progress = self.start(prepared, values, portal.told.as_ref()).await?;
        }
        if tells {
            self.tell(portal.told.clone().as_deref(), formats);
        }
        let sent = match &mut portal.progress {
            Progress::Rows(rest) => {
                let before = rest.sent;
                self.send(rest, formats, rows_max).await?;
                rest.sent - before
            }
            Progress::Fresh | Progress::Ended(_) => 0,
        };
        self.portals.insert(name.to_owned(), portal);
        Ok(sent)
    }

    /// The columns that a statement gives with these values; none when it gives no rows.
    async fn columns_with(&mut self, prepared: &Prepared, values: &[ScalarValue]) -> Result<Option<SchemaRef>, Stop> {
        match (&prepared.kind, &prepared.columns) {
            (_, Columns::None) => Ok(None),
            (Kind::Run { sql, .. }, _) if !values.is_empty() => self.planned(sql, values).await.map(Some),
            (_, Columns::Known(schema)) => Ok(Some(Arc::clone(schema))),
            (_, Columns::Open(why)) => Err(again(why).into()),
        }
    }

    /// The columns of a statement whose values are still open, planned with nulls of their types.
    async fn with_nulls(&mut self, stored: &Stored, why: &Refusal) -> Result<SchemaRef, Stop> {
        let nulls: Vec<ScalarValue> = stored.types.iter().map(|oid| parameters::null(*oid)).collect();
        match stored.prepared.as_ref().map(|prepared| &prepared.kind) {
            Some(Kind::Run { sql, .. }) => match self.planned(sql, &nulls).await {
                Err(Stop::Refused(_)) => Err(again(why).into()),
                other => other,
            },
            _ => Err(again(why).into()),
        }
    }

    fn stored(&self, name: &str) -> Result<&Arc<Stored>, Refusal> {
        let found = self.statements.get(name);
        found.ok_or_else(|| {
            user(
                "26000",
                format!("there is no prepared statement \"{name}\" on this connection"),
            )
        })
    }

    /// Refuses to keep more than a connection may.
    fn room(&self, bytes: usize) -> Result<(), Refusal> {
        let kept = self.statements.len() + self.portals.len();
        let texts: usize = self.statements.values().map(|stored| stored.bytes).sum();
        let values: usize = self.portals.values().map(|portal| portal.bytes).sum();
        if kept >= KEPT_MAX || texts + values + bytes > KEPT_BYTES_MAX {
            return Err(user(
                "53400",
                format!(
                    "a connection keeps at most {KEPT_MAX} statements and cursors, {} MiB together; close some",
                    KEPT_BYTES_MAX >> 20
                ),
            ));
        }
        Ok(())
    }
}

impl Progress {
    /// Rows that are still to come.
    pub(super) fn rows(rest: Rest) -> Self {
        Self::Rows(Box::new(rest))
    }
}

fn no_portal(name: &str) -> Refusal {
    user("34000", format!("there is no cursor \"{name}\" on this connection"))
}

/// The same refusal once more.
fn again(why: &Refusal) -> Refusal {
    Refusal {
        is_fatal: why.is_fatal,
        state: why.state,
        text: why.text.clone(),
    }
}
