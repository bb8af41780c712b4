//! Prepared statements without state: the handle is the statement, sealed for the principal who prepared it. Only that it was
//! closed is remembered here.
//!
//! Binding answers with a new handle that holds the values too. Preparing plans the statement once, for the schemas it
//! announces; running plans it again with the values, under the policies of that moment.

use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{FlightData, FlightDescriptor, FlightInfo};
use bytes::Bytes;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::Stream;
use parking_lot::Mutex;
use prost::Message;
use serde::{Deserialize, Serialize};
use tonic::Status;
use uuid::Uuid;

use super::authn::Caller;
use super::message::ResultMessage;
use super::parameters::{Bound, Parameters, parameter_schema};
use super::placeholders::{self, Numbered};
use super::service::{BoxedStream, Door};
use super::statements::StatementTicket;
use super::transactions::Place;
use super::{status, wire};
use crate::expiring::Expiring;
use crate::query::ingest::BoundInsert;
use crate::query::{Description, QueryError};

/// Life of a handle, told in SqlInfo as FLIGHT_SQL_SERVER_STATEMENT_TIMEOUT. Connection pools keep handles for a day;
/// each binding gives a fresh one.
pub(super) const HANDLE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

const HANDLE: &str = "prepared statement";
/// Closed handles remembered, of some 100 bytes each. Beyond it the oldest opens again, which is a mistake of its own client
/// that is not noticed.
const CLOSED_MAX: usize = 200_000;

/// What a handle holds, sealed.
#[derive(Serialize, Deserialize)]
struct Handle {
    sql: String,
    parameters: usize,
    bound: Option<Bound>,
    /// The transaction it was prepared in.
    transaction: Option<String>,
    nonce: String,
}

/// `ActionCreatePreparedStatementResult` with the field the format got in 2026 and arrow-flight 59 does not know yet.
#[derive(Clone, PartialEq, Message)]
struct Prepared {
    #[prost(bytes = "bytes", tag = "1")]
    prepared_statement_handle: Bytes,
    /// Empty for a statement that writes: JDBC before 19 tells queries and updates apart by this alone.
    #[prost(bytes = "bytes", tag = "2")]
    dataset_schema: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    parameter_schema: Bytes,
    #[prost(bool, optional, tag = "4")]
    is_update: Option<bool>,
}

impl Door {
    /// Prepares a statement; the answer is the packed result message.
    ///
    /// # Errors
    /// What planning it says, except that types which depend on values not yet known are no error.
    pub(super) async fn prepare(
        &self,
        caller: &Caller,
        request: ActionCreatePreparedStatementRequest,
    ) -> Result<Bytes, Status> {
        let place = self.place(caller, request.transaction_id.as_deref())?;
        let query = caller.named(&self.engine, request.query);
        let Numbered { sql, parameters } = placeholders::number(&query)?;
        let description = self.describe_open(caller, &place, &sql, parameters).await?;
        let is_update = match &description {
            Some(description) => Some(description.writes),
            // What cannot be planned without its values may still be told to be a query.
            None => is_query(&sql).then_some(false),
        };
        let dataset_schema = match &description {
            Some(description) if !description.writes => wire::schema_bytes(&description.schema)?,
            Some(_) | None => Bytes::new(),
        };
        let parameter_schema = wire::schema_bytes(&expected(description.as_ref(), parameters))?;
        let handle = Handle {
            sql,
            parameters,
            bound: None,
            transaction: place.transaction,
            nonce: Uuid::new_v4().simple().to_string(),
        };
        let prepared_statement_handle = self.seal_handle(caller, &handle);
        let result = Prepared {
            prepared_statement_handle,
            dataset_schema,
            parameter_schema,
            is_update,
        };
        let type_url = ActionCreatePreparedStatementResult::type_url().to_owned();
        Ok(Any {
            type_url,
            value: result.encode_to_vec().into(),
        }
        .encode_to_vec()
        .into())
    }

    /// Binds values; the answer holds the handle to use from now on.
    pub(super) async fn bind(
        &self,
        caller: &Caller,
        sealed: &[u8],
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let mut handle = self.open_handle(caller, sealed)?;
        let received = Parameters::receive(messages).await?;
        Parameters::check_count(received.as_ref(), handle.parameters)?;
        handle.bound = match received {
            Some(parameters) => {
                let owner = &caller.principal.name;
                let bound = parameters.bound(&self.bindings, owner)?;
                self.bindings.keep(owner, &handle.nonce, parameters, &bound);
                Some(bound)
            }
            None => {
                self.bindings.forget(&handle.nonce);
                None
            }
        };
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(self.seal_handle(caller, &handle)),
        })
    }

    /// Announces the result of a prepared statement with the values bound to it.
    pub(super) async fn prepared_info(
        &self,
        caller: &Caller,
        sealed: &[u8],
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let (ticket, description) = self.prepared_ticket(caller, sealed).await?;
        self.ticket_info(caller, ticket, descriptor, &description)
    }

    /// Runs a prepared statement whose handle came in place of a ticket.
    pub(super) async fn prepared_stream(
        &self,
        caller: &Caller,
        sealed: &[u8],
    ) -> Result<BoxedStream<ResultMessage>, Status> {
        let (ticket, _) = self.prepared_ticket(caller, sealed).await?;
        self.fetch(caller, ticket).await
    }

    /// The schema of a prepared statement with the values bound to it, or the best guess before.
    pub(super) async fn prepared_schema(&self, caller: &Caller, sealed: &[u8]) -> Result<SchemaRef, Status> {
        let handle = self.open_handle(caller, sealed)?;
        let first = self
            .bound_to(&handle)?
            .map(|parameters| parameters.first())
            .transpose()?
            .flatten();
        let place = self.place_of_prepared(caller, handle.transaction.as_deref())?;
        let description = self
            .describe(caller, &place, &handle.sql, &first.unwrap_or_default())
            .await?;
        Ok(description.schema)
    }

    /// Runs a prepared statement for its effect, once for each bound row; the sum of the counts, −1 if one is unknown. The
    /// rows of an INSERT … VALUES go into the table together or not at all.
    pub(super) async fn prepared_update(
        &self,
        caller: &Caller,
        sealed: &[u8],
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Result<i64, Status> {
        let handle = self.open_handle(caller, sealed)?;
        let Place { client, .. } = self.place_of_prepared(caller, handle.transaction.as_deref())?;
        let parameters = match Parameters::receive(messages).await? {
            Some(parameters) => Some(parameters),
            None => self.bound_to(&handle)?,
        };
        Parameters::check_count(parameters.as_ref(), handle.parameters)?;
        let Some(parameters) = parameters else {
            return self
                .engine
                .update(&caller.principal, &client, &handle.sql, Vec::new())
                .await
                .map_err(status::of_query);
        };
        if parameters.rows() > 1
            && let Some(insert) = BoundInsert::of(&handle.sql)
        {
            return self
                .engine
                .insert_all(
                    &caller.principal,
                    &client,
                    &handle.sql,
                    insert,
                    parameters.values_of_all(),
                )
                .await
                .map_err(status::of_query);
        }
        let runs = parameters.runs()?;
        let (all, mut done, mut affected) = (runs.len(), 0, Some(0_i64));
        for values in runs {
            let count = self
                .engine
                .update(&caller.principal, &client, &handle.sql, values)
                .await
                .map_err(|error| {
                    let error = status::of_query(error);
                    if all == 1 {
                        return error;
                    }
                    let text = format!(
                        "row {} of {all} failed, the {done} before it took effect: {}",
                        done + 1,
                        error.message()
                    );
                    Status::new(error.code(), text)
                })?;
            done += 1;
            affected = affected.filter(|_| count >= 0).map(|sum| sum.saturating_add(count));
        }
        Ok(affected.unwrap_or(-1))
    }

    /// Ends a handle, and those that binding made of it. Closing twice, or what has expired, is no error: the aim is reached.
    pub(super) fn close_prepared(&self, caller: &Caller, request: &ActionClosePreparedStatementRequest) {
        if let Ok(handle) = self.unsealed(caller, &request.prepared_statement_handle) {
            self.bindings.forget(&handle.nonce);
            self.closed.add(&handle.nonce);
        }
    }

    /// A ticket for a handle and its values, and the schema they lead to.
    async fn prepared_ticket(&self, caller: &Caller, sealed: &[u8]) -> Result<(StatementTicket, Description), Status> {
        let handle = self.open_handle(caller, sealed)?;
        let parameters = self.bound_to(&handle)?;
        Parameters::check_count(parameters.as_ref(), handle.parameters)?;
        // What is kept under a name is kept once.
        let kept = || self.bindings.name_of(&handle.nonce).map(Bound::Kept);
        let bound = match (handle.bound.clone().or_else(kept), &parameters) {
            (Some(bound), _) => Some(bound),
            (None, Some(parameters)) => Some(parameters.bound(&self.bindings, &caller.principal.name)?),
            (None, None) => None,
        };
        let first = parameters
            .as_ref()
            .map(Parameters::first)
            .transpose()?
            .flatten()
            .unwrap_or_default();
        let place = self.place_of_prepared(caller, handle.transaction.as_deref())?;
        let description = self.describe(caller, &place, &handle.sql, &first).await?;
        let mut ticket = StatementTicket::new(handle.sql, &place, Some(&description));
        ticket.bound = bound;
        Ok((ticket, description))
    }

    /// Plans a statement whose values are still open; `None` when the planner needs them to tell its types.
    async fn describe_open(
        &self,
        caller: &Caller,
        place: &Place,
        sql: &str,
        parameters: usize,
    ) -> Result<Option<Description>, Status> {
        match self.engine.describe(&caller.principal, &place.client, sql, &[]).await {
            Ok(description) => Ok(Some(description)),
            Err(QueryError::Invalid(_)) if parameters > 0 => Ok(None),
            Err(error) => Err(status::of_query(error)),
        }
    }

    fn bound_to(&self, handle: &Handle) -> Result<Option<Parameters>, Status> {
        match &handle.bound {
            Some(bound) => bound.load(&self.bindings).map(Some),
            None => Ok(self.bindings.of(&handle.nonce)),
        }
    }

    fn seal_handle(&self, caller: &Caller, handle: &Handle) -> Bytes {
        self.engine
            .tickets
            .seal(HANDLE, &caller.principal, HANDLE_LIFETIME, handle)
            .into()
    }

    fn open_handle(&self, caller: &Caller, sealed: &[u8]) -> Result<Handle, Status> {
        let handle = self.unsealed(caller, sealed)?;
        match self.closed.has(&handle.nonce) {
            false => Ok(handle),
            true => Err(Status::not_found(
                "this prepared statement was closed; prepare it again",
            )),
        }
    }

    /// A handle, closed or not.
    fn unsealed(&self, caller: &Caller, sealed: &[u8]) -> Result<Handle, Status> {
        self.engine
            .tickets
            .open(HANDLE, &caller.principal, sealed)
            .map_err(status::of_ticket)
    }
}

/// The prepared statements that were closed, by their nonces.
pub(super) struct Closed(Mutex<Expiring<Uuid, ()>>);

impl Closed {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Expiring::new(CLOSED_MAX, HANDLE_LIFETIME)))
    }

    fn add(&self, nonce: &str) {
        if let Ok(nonce) = Uuid::parse_str(nonce) {
            self.0.lock().insert(nonce, (), Instant::now());
        }
    }

    fn has(&self, nonce: &str) -> bool {
        Uuid::parse_str(nonce).is_ok_and(|nonce| self.0.lock().get(&nonce).is_some())
    }
}

/// Whether a statement reads, as far as its text tells.
fn is_query(sql: &str) -> bool {
    let parsed = Parser::parse_sql(&GenericDialect {}, sql);
    parsed.is_ok_and(|statements| matches!(statements.as_slice(), [Statement::Query(_)]))
}

fn expected(description: Option<&Description>, parameters: usize) -> SchemaRef {
    match description {
        Some(description) => parameter_schema(&description.parameters, parameters),
        None => parameter_schema(&Schema::empty(), parameters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_told_from_its_text() {
        assert!(is_query("WITH a AS (SELECT 1) SELECT * FROM a WHERE x = $1"));
        for other in ["INSERT INTO t VALUES ($1)", "SELECT 1; SELECT 2", "nonsense"] {
            assert!(!is_query(other), "{other}");
        }
    }

    #[test]
    fn the_result_reads_as_the_known_message_too() {
        let result = Prepared {
            prepared_statement_handle: Bytes::from_static(b"handle"),
            dataset_schema: Bytes::from_static(b"data"),
            parameter_schema: Bytes::from_static(b"parameters"),
            is_update: Some(true),
        };
        let known = ActionCreatePreparedStatementResult::decode(result.encode_to_vec().as_slice()).unwrap();
        assert_eq!(known.prepared_statement_handle, result.prepared_statement_handle);
        assert_eq!(known.dataset_schema, result.dataset_schema);
        assert_eq!(known.parameter_schema, result.parameter_schema);
    }
}
