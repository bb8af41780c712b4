//! The gRPC service: each method reads the command and hands it to the one place that answers it.
//!
//! The matches over `Command` name every message of Flight SQL, so a message that moves or appears is decided here.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Command, CommandStatementQuery, CommandStatementUpdate, DoPutUpdateResult};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::{Extensions, HeaderMap};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::authn::Caller;
use super::bindings::Bindings;
use super::envelope::{self, Uncopied};
use super::flights::Flights;
use super::message::ResultMessage;
use super::prepared::Closed;
use super::sessions::Sessions;
use super::sql_info::Told;
use super::stream::of_batch;
use super::{actions, metadata, status, wire};
use crate::auth::AuthError;
use crate::engine::Engine;

/// What every streaming method answers with.
pub(super) type BoxedStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// The service. One for all connections; it knows the engine and what little is kept between calls.
pub(super) struct Door {
    pub(super) engine: Arc<Engine>,
    pub(super) bindings: Bindings,
    pub(super) closed: Closed,
    pub(super) sessions: Sessions,
    pub(super) flights: Arc<Flights>,
    /// None if it could not be built.
    pub(super) sql_info: Option<Told>,
}

impl Door {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            sql_info: Told::new(&engine.config.limits),
            engine,
            bindings: Bindings::default(),
            closed: Closed::new(),
            sessions: Sessions::new(),
            flights: Arc::new(Flights::new()),
        }
    }

    /// Lets a call in by its headers and its connection.
    ///
    /// # Errors
    /// As of `Caller::from_headers`.
    pub(super) async fn let_in(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Caller, Status> {
        let headers = MetadataMap::from_headers(headers.clone());
        let call = Request::from_parts(headers, extensions.clone(), ());
        let certificates = call.peer_certs();
        let certificate = certificates.as_ref().and_then(|chain| chain.first());
        let certificate = certificate.map(AsRef::as_ref);
        let (headers, peer) = (call.metadata(), call.remote_addr());
        Caller::from_headers(&self.engine, &self.sessions, headers, peer, certificate).await
    }

    async fn info(&self, caller: &Caller, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        match described(&descriptor)? {
            Command::CommandStatementQuery(command) => self.statement_info(caller, command, descriptor).await,
            Command::CommandPreparedStatementQuery(command) => {
                self.prepared_info(caller, &command.prepared_statement_handle, descriptor)
                    .await
            }
            Command::CommandStatementSubstraitPlan(command) => {
                let command = self.query_of(caller, command).await?;
                self.statement_info(caller, command, descriptor).await
            }
            other => {
                let question = metadata::Question::from_command(other, caller, self)?;
                // The command is the ticket: it holds no secret and is checked like any call when it comes back.
                let ticket = descriptor.cmd.clone();
                let schema = question.schema()?;
                wire::info(descriptor, &schema, [ticket], None)
            }
        }
    }

    async fn schema(&self, caller: &Caller, descriptor: &FlightDescriptor) -> Result<SchemaRef, Status> {
        match described(descriptor)? {
            Command::CommandStatementQuery(command) => self.statement_schema(caller, command).await,
            Command::CommandPreparedStatementQuery(command) => {
                self.prepared_schema(caller, &command.prepared_statement_handle).await
            }
            Command::CommandStatementSubstraitPlan(command) => {
                let command = self.query_of(caller, command).await?;
                self.statement_schema(caller, command).await
            }
            other => metadata::Question::from_command(other, caller, self)?.schema(),
        }
    }

    async fn get(&self, caller: &Caller, ticket: &Ticket) -> Result<BoxedStream<ResultMessage>, Status> {
        match wire::command(&ticket.ticket)? {
            Command::TicketStatementQuery(ticket) => self.ticket_stream(caller, &ticket).await,
            Command::CommandStatementQuery(command) => self.statement_stream(caller, command).await,
            Command::CommandPreparedStatementQuery(command) => {
                self.prepared_stream(caller, &command.prepared_statement_handle).await
            }
            Command::CommandStatementSubstraitPlan(command) => {
                let command = self.query_of(caller, command).await?;
                self.statement_stream(caller, command).await
            }
            other => Ok(of_batch(
                self.answer(caller, metadata::Question::from_command(other, caller, self)?)
                    .await?,
            )),
        }
    }

    async fn put(&self, caller: &Caller, mut messages: Streaming<FlightData>) -> Result<PutResult, Status> {
        let first = messages.message().await?;
        let Some((first, descriptor)) = first.and_then(|message| Some((message.clone(), message.flight_descriptor?)))
        else {
            return Err(Status::invalid_argument(
                "the first message of a DoPut must hold a flight descriptor with a command",
            ));
        };
        let command = described(&descriptor)?;
        let messages = stream::iter([Ok(first)]).chain(messages);
        let count = match command {
            Command::CommandStatementUpdate(command) => self.statement_update(caller, command).await?,
            Command::CommandPreparedStatementUpdate(command) => {
                self.prepared_update(caller, &command.prepared_statement_handle, messages)
                    .await?
            }
            Command::CommandPreparedStatementQuery(command) => {
                let result = self.bind(caller, &command.prepared_statement_handle, messages).await?;
                return Ok(PutResult {
                    app_metadata: result.encode_to_vec().into(),
                });
            }
            Command::CommandStatementIngest(command) => self.ingest(caller, command, messages).await?,
            Command::CommandStatementSubstraitPlan(command) => {
                let CommandStatementQuery { query, transaction_id } = self.query_of(caller, command).await?;
                let command = CommandStatementUpdate { query, transaction_id };
                self.statement_update(caller, command).await?
            }
            other => return Err(misplaced(&other, "DoPut")),
        };
        Ok(PutResult {
            app_metadata: DoPutUpdateResult { record_count: count }.encode_to_vec().into(),
        })
    }
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = BoxedStream<HandshakeResponse>;
    type ListFlightsStream = BoxedStream<FlightInfo>;
    type DoGetStream = BoxedStream<FlightData>;
    type DoPutStream = BoxedStream<PutResult>;
    type DoActionStream = BoxedStream<arrow_flight::Result>;
    type ListActionsStream = BoxedStream<ActionType>;
    type DoExchangeStream = BoxedStream<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.login(request).await
    }

    /// Results are made on request, so there is nothing to list; the catalog is asked by the metadata commands.
    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let caller = caller(&request)?;
        Ok(caller.answer(Box::pin(stream::empty())))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let caller = caller(&request)?;
        let info = self.info(&caller, request.into_inner()).await?;
        Ok(caller.answer(info))
    }

    /// Complete at once: a result streams from the first batch, there is no phase to poll through.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let caller = caller(&request)?;
        let info = self.info(&caller, request.into_inner()).await?;
        let poll = PollInfo {
            info: Some(info),
            flight_descriptor: None,
            progress: Some(1.0),
            expiration_time: None,
        };
        Ok(caller.answer(poll))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let caller = caller(&request)?;
        let schema = self.schema(&caller, request.get_ref()).await?;
        Ok(caller.answer(SchemaResult {
            schema: wire::schema_bytes(&schema)?,
        }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = caller(&request)?;
        let messages = self.get(&caller, request.get_ref()).await?;
        if envelope::is_compressed(request.metadata()) {
            let messages = messages.map_ok(ResultMessage::into_flight_data);
            return Ok(caller.answer(Box::pin(messages)));
        }
        // The codec would copy them: it only ends the call, see `envelope`.
        let mut answer: Response<Self::DoGetStream> = caller.answer(Box::pin(stream::empty()));
        answer.extensions_mut().insert(Uncopied::new(messages));
        Ok(answer)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = caller(&request)?;
        let result = self.put(&caller, request.into_inner()).await?;
        Ok(caller.answer(Box::pin(stream::iter([Ok(result)]))))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let caller = caller(&request)?;
        Ok(caller.answer(Box::pin(stream::iter(actions::all().map(Ok)))))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = caller(&request)?;
        let results = self.act(&caller, request.get_ref()).await?;
        Ok(caller.answer(Box::pin(stream::iter(results.map(Ok)))))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        caller(&request)?;
        Err(Status::unimplemented(
            "Flight SQL has no DoExchange: use DoGet to read and DoPut to write",
        ))
    }
}

/// Who was let in with this call; nobody, if it came another way.
fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    let caller = request.extensions().get::<Arc<Caller>>();
    caller.cloned().ok_or_else(|| status::of_login(AuthError::Missing))
}

/// What a command answers that came to a method that does not take it.
pub(super) fn misplaced(command: &Command, method: &str) -> Status {
    Status::invalid_argument(format!(
        "{method} does not take {}: send a command that Flight SQL defines for it",
        command.type_url()
    ))
}

fn described(descriptor: &FlightDescriptor) -> Result<Command, Status> {
    if descriptor.cmd.is_empty() {
        return Err(Status::invalid_argument(
            "the flight descriptor holds no command: this server speaks Flight SQL; paths are not names of tables here, send a CommandStatementQuery",
        ));
    }
    wire::command(&descriptor.cmd)
}
