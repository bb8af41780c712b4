//! The actions: prepare and close, cancel and renew, session options, transactions.

use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, Command,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightEndpoint, FlightInfo,
    RenewFlightEndpointRequest,
};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::authn::Caller;
use super::service::Door;
use super::sessions::SetSessionOptionsRequest;
use super::statements::TICKET_LIFETIME;
use super::{sessions, status, wire};

/// Name and description of each action this server takes.
const ACTIONS: [(&str, &str); 13] = [
    (
        "CreatePreparedStatement",
        "Prepares a statement.\nRequest: ActionCreatePreparedStatementRequest\nResponse: ActionCreatePreparedStatementResult",
    ),
    (
        "CreatePreparedSubstraitPlan",
        "Prepares a Substrait plan.\nRequest: ActionCreatePreparedSubstraitPlanRequest\nResponse: ActionCreatePreparedStatementResult",
    ),
    (
        "ClosePreparedStatement",
        "Forgets a prepared statement.\nRequest: ActionClosePreparedStatementRequest\nResponse: none",
    ),
    (
        "CancelQuery",
        "Cancels a result by its info (deprecated by the format: use CancelFlightInfo).\nRequest: ActionCancelQueryRequest\nResponse: ActionCancelQueryResult",
    ),
    (
        "CancelFlightInfo",
        "Cancels a result by its info.\nRequest: CancelFlightInfoRequest\nResponse: CancelFlightInfoResult",
    ),
    (
        "RenewFlightEndpoint",
        "Gives a ticket a new lifetime.\nRequest: RenewFlightEndpointRequest\nResponse: FlightEndpoint",
    ),
    (
        "SetSessionOptions",
        "Sets session options: `catalog`, and `schema`, where tables named without one are looked for.\nRequest: SetSessionOptionsRequest\nResponse: SetSessionOptionsResult",
    ),
    (
        "GetSessionOptions",
        "Tells the session options.\nRequest: GetSessionOptionsRequest\nResponse: GetSessionOptionsResult",
    ),
    (
        "CloseSession",
        "Ends a session: rolls back its transactions, and its token is good for nothing any more.\nRequest: CloseSessionRequest\nResponse: CloseSessionResult",
    ),
    (
        "BeginTransaction",
        "Begins a transaction, which changes one table at most.\nRequest: ActionBeginTransactionRequest\nResponse: ActionBeginTransactionResult",
    ),
    (
        "EndTransaction",
        "Commits a transaction or rolls it back.\nRequest: ActionEndTransactionRequest\nResponse: none",
    ),
    (
        "BeginSavepoint",
        "Sets a savepoint in a transaction.\nRequest: ActionBeginSavepointRequest\nResponse: ActionBeginSavepointResult",
    ),
    (
        "EndSavepoint",
        "Releases a savepoint or rolls back to it.\nRequest: ActionEndSavepointRequest\nResponse: none",
    ),
];

/// The actions this server takes.
pub(super) fn all() -> impl Iterator<Item = ActionType> + Send {
    ACTIONS.into_iter().map(|(name, description)| ActionType {
        r#type: name.into(),
        description: description.into(),
    })
}

impl Door {
    /// Performs an action; at most one result follows.
    pub(super) async fn act(
        &self,
        caller: &Caller,
        action: &Action,
    ) -> Result<impl Iterator<Item = arrow_flight::Result> + Send + 'static, Status> {
        let body = action.body.as_ref();
        let result: Option<Bytes> = match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let request: ActionCreatePreparedStatementRequest =
                    wire::action_body(body, "ActionCreatePreparedStatementRequest")?;
                Some(self.prepare(caller, request).await?)
            }
            "ClosePreparedStatement" => {
                let request: ActionClosePreparedStatementRequest =
                    wire::action_body(body, "ActionClosePreparedStatementRequest")?;
                self.close_prepared(caller, &request);
                None
            }
            "CancelQuery" => {
                let request: ActionCancelQueryRequest = wire::action_body(body, "ActionCancelQueryRequest")?;
                let info = FlightInfo::decode(request.info).map_err(|error| status::malformed("the info", error))?;
                let status = self.cancel(caller, &info)?;
                // The two enums have the same numbers.
                Some(wire::packed(&ActionCancelQueryResult { result: status as i32 }))
            }
            "CancelFlightInfo" => {
                let request: CancelFlightInfoRequest = wire::action_body(body, "CancelFlightInfoRequest")?;
                let status = self.cancel(caller, &request.info.unwrap_or_default())?;
                Some(CancelFlightInfoResult { status: status as i32 }.encode_to_vec().into())
            }
            "RenewFlightEndpoint" => {
                let request: RenewFlightEndpointRequest = wire::action_body(body, "RenewFlightEndpointRequest")?;
                Some(
                    self.renew(caller, request.endpoint.unwrap_or_default())?
                        .encode_to_vec()
                        .into(),
                )
            }
            "SetSessionOptions" => {
                let request: SetSessionOptionsRequest = wire::action_body(body, "SetSessionOptionsRequest")?;
                Some(self.set_session(caller, &request).await?)
            }
            "GetSessionOptions" => Some(sessions::get(&caller.session)),
            "CloseSession" => {
                self.close_session(caller).await;
                Some(sessions::close())
            }
            "CreatePreparedSubstraitPlan" => {
                let request: ActionCreatePreparedSubstraitPlanRequest =
                    wire::action_body(body, "ActionCreatePreparedSubstraitPlanRequest")?;
                let request = self.statement_of(caller, request).await?;
                Some(self.prepare(caller, request).await?)
            }
            "BeginTransaction" => {
                let _: ActionBeginTransactionRequest = wire::action_body(body, "ActionBeginTransactionRequest")?;
                Some(self.begin(caller)?)
            }
            "EndTransaction" => {
                let request = wire::action_body(body, "ActionEndTransactionRequest")?;
                self.end(caller, &request).await?;
                None
            }
            "BeginSavepoint" => {
                let request = wire::action_body(body, "ActionBeginSavepointRequest")?;
                Some(self.save(caller, &request).await?)
            }
            "EndSavepoint" => {
                let request = wire::action_body(body, "ActionEndSavepointRequest")?;
                self.end_savepoint(caller, &request).await?;
                None
            }
            other => {
                let known = ACTIONS.map(|(name, _)| name).join(", ");
                return Err(Status::invalid_argument(format!(
                    "there is no action `{other}`; known are {known}"
                )));
            }
        };
        Ok(result.map(|body| arrow_flight::Result { body }).into_iter())
    }

    /// Sets what a client chooses for its statements. A schema is there when the caller sees a table of it or may make one:
    /// one that is hidden and one that is not there are answered alike.
    async fn set_session(&self, caller: &Caller, request: &SetSessionOptionsRequest) -> Result<Bytes, Status> {
        let schemas = match request.names_a_schema() {
            true => self.schemas(caller).await?,
            false => Default::default(),
        };
        let is_there = |schema: &str| {
            schemas.iter().any(|(_, known)| known == schema) || self.engine.may_create_in(&caller.principal, schema)
        };
        let (session, answer) = sessions::set(request, &caller.session, is_there);
        if session != caller.session {
            caller.choose(&session, &self.sessions, &self.engine);
        }
        Ok(answer)
    }

    /// Ends a session with what it has begun.
    async fn close_session(&self, caller: &Caller) {
        if let Some(login) = caller.login(&self.engine) {
            for transaction in self.engine.transactions.all_of(&caller.principal, &login) {
                self.engine.roll_back(&transaction).await;
            }
        }
        caller.close(&self.sessions, &self.engine);
    }

    /// Cancels every result an info names. What is not a statement's result ends by itself.
    fn cancel(&self, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus, Status> {
        let mut outcome = CancelStatus::NotCancellable;
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            if let Command::TicketStatementQuery(ticket) = wire::command(&ticket.ticket)? {
                let ticket = self.open_ticket(caller, &ticket.statement_handle)?;
                outcome = self.flights.cancel(&ticket.nonce);
            }
        }
        if info.endpoint.is_empty() {
            return Err(Status::invalid_argument(
                "the info to cancel has no endpoint: send it as GetFlightInfo gave it",
            ));
        }
        Ok(outcome)
    }

    /// The same ticket with a lifetime that starts now. An expired one does not open, so it cannot be revived.
    fn renew(&self, caller: &Caller, endpoint: FlightEndpoint) -> Result<FlightEndpoint, Status> {
        let Some(ticket) = endpoint.ticket else {
            return Err(Status::invalid_argument(
                "the endpoint to renew has no ticket: send it as GetFlightInfo gave it",
            ));
        };
        match wire::command(&ticket.ticket)? {
            Command::TicketStatementQuery(sealed) => {
                let ticket = self.open_ticket(caller, &sealed.statement_handle)?;
                let lifetime = (!ticket.writes).then_some(TICKET_LIFETIME);
                Ok(wire::endpoint(self.seal_ticket(caller, &ticket), lifetime))
            }
            // Metadata tickets never expire.
            _ => Ok(wire::endpoint(ticket.ticket, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_row_in_the_golden_matrix() {
        for (name, _) in ACTIONS {
            assert!(
                include_str!("../../tests/suite/golden.txt").contains(&format!("\naction | {name} |")),
                "add {name} to tests/suite/golden.rs and bless it"
            );
        }
    }
}
