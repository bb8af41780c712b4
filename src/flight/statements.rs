//! Statements: announced by GetFlightInfo, fetched with a sealed ticket by DoGet, or run for their effect by DoPut.
//!
//! The ticket is the whole state between the two calls: text, values, what it was announced on and with, and a nonce
//! to cancel it by. Nothing runs before DoGet, which asks for the same rights again.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{CommandStatementQuery, CommandStatementUpdate, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightInfo};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tonic::Status;
use uuid::Uuid;

use super::authn::Caller;
use super::flights::Boarded;
use super::message::ResultMessage;
use super::parameters::Bound;
use super::service::{BoxedStream, Door};
use super::transactions::Place;
use super::{status, stream as wire_stream, wire};
use crate::audit::Client;
use crate::query::{Announced, Description, Part, Running};

/// Life of a ticket: from the announcement to the fetch, also through a slow tool; not a capability to keep.
pub(super) const TICKET_LIFETIME: Duration = Duration::from_secs(600);

const TICKET: &str = "flight ticket";

/// What a statement's ticket holds, sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct StatementTicket {
    pub(super) sql: String,
    pub(super) bound: Option<Bound>,
    /// The transaction it runs in.
    pub(super) transaction: Option<String>,
    /// `None` for a query that was not announced.
    pub(super) announced: Option<Announced>,
    pub(super) writes: bool,
    pub(super) nonce: String,
    /// What it fetches of the result, if not all of it.
    #[serde(default)]
    pub(super) part: Option<Part>,
}

impl StatementTicket {
    pub(super) fn new(sql: String, place: &Place, description: Option<&Description>) -> Self {
        Self {
            sql,
            bound: None,
            transaction: place.transaction.clone(),
            announced: description.map(|description| description.announced),
            writes: description.is_some_and(|description| description.writes),
            nonce: Uuid::new_v4().simple().to_string(),
            part: None,
        }
    }
}

impl Door {
    /// Announces a statement's result.
    pub(super) async fn statement_info(
        &self,
        caller: &Caller,
        command: CommandStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let place = self.place(caller, command.transaction_id.as_deref())?;
        let sql = caller.named(&self.engine, command.query);
        let description = self.describe(caller, &place, &sql, &[]).await?;
        let ticket = StatementTicket::new(sql, &place, Some(&description));
        self.ticket_info(caller, ticket, descriptor, &description)
    }

    /// The schema of a statement's result.
    pub(super) async fn statement_schema(
        &self,
        caller: &Caller,
        command: CommandStatementQuery,
    ) -> Result<SchemaRef, Status> {
        let place = self.place(caller, command.transaction_id.as_deref())?;
        let sql = caller.named(&self.engine, command.query);
        Ok(self.describe(caller, &place, &sql, &[]).await?.schema)
    }

    /// The info of a ticket, or of one for each part of its result.
    pub(super) fn ticket_info(
        &self,
        caller: &Caller,
        mut ticket: StatementTicket,
        descriptor: FlightDescriptor,
        description: &Description,
    ) -> Result<FlightInfo, Status> {
        // Only what may be fetched twice gets an expiry on the wire: clients read it as leave to retry.
        let lifetime = (!ticket.writes).then_some(TICKET_LIFETIME);
        let parts = self.parts(caller, &ticket, description);
        let tickets = parts.into_iter().map(|part| {
            ticket.part = part;
            self.seal_ticket(caller, &ticket)
        });
        wire::info(descriptor, &description.schema, tickets, lifetime)
    }

    /// Fetches what a ticket names.
    pub(super) async fn ticket_stream(
        &self,
        caller: &Caller,
        ticket: &TicketStatementQuery,
    ) -> Result<BoxedStream<ResultMessage>, Status> {
        let ticket = self.open_ticket(caller, &ticket.statement_handle)?;
        self.fetch(caller, ticket).await
    }

    /// Runs a query sent in place of a ticket: some clients spare themselves the announcement.
    pub(super) async fn statement_stream(
        &self,
        caller: &Caller,
        command: CommandStatementQuery,
    ) -> Result<BoxedStream<ResultMessage>, Status> {
        let place = self.place(caller, command.transaction_id.as_deref())?;
        let sql = caller.named(&self.engine, command.query);
        self.fetch(caller, StatementTicket::new(sql, &place, None)).await
    }

    /// Runs a statement for its effect.
    pub(super) async fn statement_update(
        &self,
        caller: &Caller,
        command: CommandStatementUpdate,
    ) -> Result<i64, Status> {
        let place = self.place(caller, command.transaction_id.as_deref())?;
        let sql = caller.named(&self.engine, command.query);
        self.engine
            .update(&caller.principal, &place.client, &sql, Vec::new())
            .await
            .map_err(status::of_query)
    }

    /// Runs what an opened ticket says and streams it; several bound rows give their results one after the other.
    pub(super) async fn fetch(
        &self,
        caller: &Caller,
        ticket: StatementTicket,
    ) -> Result<BoxedStream<ResultMessage>, Status> {
        let Place { mut client, .. } = self.place_of(caller, ticket.transaction.as_deref())?;
        if ticket.part.is_some() {
            let part = ticket.part.clone();
            client = Arc::new(Client {
                part,
                ..client.as_ref().clone()
            });
        }
        let boarded = self.flights.board(&ticket.nonce, ticket.writes)?;
        let Some(bound) = &ticket.bound else {
            let running = self.run(caller, &client, &ticket, Vec::new(), &boarded).await?;
            boarded.done();
            let Running { id, schema, stream, .. } = running;
            caller.taken.begin(id);
            return wire_stream::of_engine(schema, stream, boarded, caller);
        };
        let mut runs = bound.load(&self.bindings)?.runs()?.into_iter();
        let Some(first) = runs.next() else {
            return Err(Status::invalid_argument(
                "a binding without a row runs nothing; bind at least one row",
            ));
        };
        let first = self.run(caller, &client, &ticket, first, &boarded).await?;
        if runs.len() == 0 {
            boarded.done();
        }
        let schema = Arc::clone(&first.schema);
        caller.taken.begin(first.id);
        let (engine, principal, announced) = (Arc::clone(&self.engine), caller.principal.clone(), ticket.announced);
        // Later rows run only when the reader has come so far.
        let rest = stream::iter(runs).then(move |values| {
            let (engine, principal, sql) = (Arc::clone(&engine), principal.clone(), ticket.sql.clone());
            let client = Arc::clone(&client);
            async move {
                let running = engine.run(&principal, &client, &sql, values, announced).await;
                running
                    .map(|running| running.stream)
                    .map_err(crate::query::QueryError::into_datafusion)
            }
        });
        let all = first.stream.chain(rest.try_flatten());
        let all = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), all));
        wire_stream::of_engine(schema, all, boarded, caller)
    }

    pub(super) async fn describe(
        &self,
        caller: &Caller,
        place: &Place,
        sql: &str,
        values: &[ScalarValue],
    ) -> Result<Description, Status> {
        self.engine
            .describe(&caller.principal, &place.client, sql, values)
            .await
            .map_err(status::of_query)
    }

    pub(super) fn seal_ticket(&self, caller: &Caller, ticket: &StatementTicket) -> bytes::Bytes {
        let sealed = self
            .engine
            .tickets
            .seal(TICKET, &caller.principal, TICKET_LIFETIME, ticket);
        wire::packed(&TicketStatementQuery {
            statement_handle: sealed.into(),
        })
    }

    pub(super) fn open_ticket(&self, caller: &Caller, sealed: &[u8]) -> Result<StatementTicket, Status> {
        self.engine
            .tickets
            .open(TICKET, &caller.principal, sealed)
            .map_err(status::of_ticket)
    }

    /// Starts one run; cancelling reaches also the time before the first row.
    async fn run(
        &self,
        caller: &Caller,
        client: &Client,
        ticket: &StatementTicket,
        values: Vec<ScalarValue>,
        boarded: &Boarded,
    ) -> Result<Running, Status> {
        tokio::select! {
            biased;
            () = boarded.cancelled.cancelled() => Err(super::flights::cancelled()),
            running = self.engine.run(&caller.principal, client, &ticket.sql, values, ticket.announced) => {
                running.map_err(status::of_query)
            }
        }
    }
}
