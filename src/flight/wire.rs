//! Small protocol messages built one way: schemas, infos, endpoints, `Any`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{Any, Command, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::status;

/// A schema as FlightInfo, GetSchema and prepared statements carry it: one encapsulated IPC message.
pub(super) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(status::internal)?;
    Ok(bytes)
}

/// The info of a result that these tickets fetch over the same connection, each a part in no order; sizes are unknown.
pub(super) fn info(
    descriptor: FlightDescriptor,
    schema: &Schema,
    tickets: impl IntoIterator<Item = Bytes>,
    lifetime: Option<Duration>,
) -> Result<FlightInfo, Status> {
    let mut info = FlightInfo::new()
        .with_descriptor(descriptor)
        .with_total_records(-1)
        .with_total_bytes(-1);
    info.endpoint = tickets.into_iter().map(|ticket| endpoint(ticket, lifetime)).collect();
    info.schema = schema_bytes(schema)?;
    Ok(info)
}

/// An endpoint on the connection it was asked on. With a lifetime, clients may fetch it again until it ends.
pub(super) fn endpoint(ticket: impl Into<Bytes>, lifetime: Option<Duration>) -> FlightEndpoint {
    let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    if let Some(lifetime) = lifetime {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = now.saturating_add(lifetime).as_secs();
        endpoint.expiration_time.get_or_insert_default().seconds = i64::try_from(end).unwrap_or(i64::MAX);
    }
    endpoint
}

/// A message wrapped as `google.protobuf.Any`, as commands and SQL actions travel.
pub(super) fn packed(message: &impl ProstMessageExt) -> Bytes {
    message.as_any().encode_to_vec().into()
}

/// The command inside a descriptor or ticket.
pub(super) fn command(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(|error| status::malformed("the command", error))?;
    Command::try_from(any).map_err(|error| status::malformed("the command", error))
}

/// The message of an action. The SQL actions wrap it in `Any`; some clients wrap the others as well.
pub(super) fn action_body<M: Message + Default>(body: &[u8], name: &str) -> Result<M, Status> {
    let inside = match Any::decode(body) {
        Ok(any) if any.type_url.starts_with(ANY_PREFIX) => {
            if !any.type_url.ends_with(&format!(".{name}")) {
                return Err(status::malformed(name, format!("it holds a {}", any.type_url)));
            }
            any.value
        }
        Ok(_) | Err(_) => Bytes::copy_from_slice(body),
    };
    M::decode(inside).map_err(|error| status::malformed(name, error))
}

const ANY_PREFIX: &str = "type.googleapis.com/";

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{ActionClosePreparedStatementRequest, CommandGetCatalogs};
    use tonic::Code;

    use super::*;

    #[test]
    fn an_action_is_read_bare_and_wrapped_but_not_as_another() {
        let close = ActionClosePreparedStatementRequest {
            prepared_statement_handle: Bytes::from_static(b"h"),
        };
        for body in [close.encode_to_vec(), packed(&close).to_vec()] {
            let read: ActionClosePreparedStatementRequest =
                action_body(&body, "ActionClosePreparedStatementRequest").unwrap();
            assert_eq!(read, close);
        }
        let other = packed(&CommandGetCatalogs {});
        let error = action_body::<ActionClosePreparedStatementRequest>(&other, "ActionClosePreparedStatementRequest");
        assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn noise_is_no_command_and_the_callers_fault() {
        assert_eq!(command(b"\xff\xff\xff").unwrap_err().code(), Code::InvalidArgument);
    }

    /// The row of a message in the golden matrix; none for what only a server sends. A message that comes to the protocol
    /// does not compile until it has its place here.
    fn row(command: &Command) -> Option<&'static str> {
        Some(match command {
            Command::ActionBeginSavepointRequest(_) => "action | BeginSavepoint",
            Command::ActionBeginTransactionRequest(_) => "action | BeginTransaction",
            Command::ActionCancelQueryRequest(_) => "action | CancelQuery",
            Command::ActionClosePreparedStatementRequest(_) => "action | ClosePreparedStatement",
            Command::ActionCreatePreparedStatementRequest(_) => "action | CreatePreparedStatement",
            Command::ActionCreatePreparedSubstraitPlanRequest(_) => "action | CreatePreparedSubstraitPlan",
            Command::ActionEndSavepointRequest(_) => "action | EndSavepoint",
            Command::ActionEndTransactionRequest(_) => "action | EndTransaction",
            Command::CommandGetCatalogs(_) => "command | CommandGetCatalogs",
            Command::CommandGetCrossReference(_) => "command | CommandGetCrossReference",
            Command::CommandGetDbSchemas(_) => "command | CommandGetDbSchemas",
            Command::CommandGetExportedKeys(_) => "command | CommandGetExportedKeys",
            Command::CommandGetImportedKeys(_) => "command | CommandGetImportedKeys",
            Command::CommandGetPrimaryKeys(_) => "command | CommandGetPrimaryKeys",
            Command::CommandGetSqlInfo(_) => "command | CommandGetSqlInfo",
            Command::CommandGetTableTypes(_) => "command | CommandGetTableTypes",
            Command::CommandGetTables(_) => "command | CommandGetTables",
            Command::CommandGetXdbcTypeInfo(_) => "command | CommandGetXdbcTypeInfo",
            Command::CommandPreparedStatementQuery(_) => "command | CommandPreparedStatementQuery",
            Command::CommandPreparedStatementUpdate(_) => "command | CommandPreparedStatementUpdate",
            Command::CommandStatementIngest(_) => "command | CommandStatementIngest",
            Command::CommandStatementQuery(_) => "command | CommandStatementQuery",
            Command::CommandStatementSubstraitPlan(_) => "command | CommandStatementSubstraitPlan",
            Command::CommandStatementUpdate(_) => "command | CommandStatementUpdate",
            Command::TicketStatementQuery(_) => "command | TicketStatementQuery",
            Command::ActionBeginSavepointResult(_)
            | Command::ActionBeginTransactionResult(_)
            | Command::ActionCancelQueryResult(_)
            | Command::ActionCreatePreparedStatementResult(_)
            | Command::DoPutPreparedStatementResult(_)
            | Command::DoPutUpdateResult(_)
            | Command::Unknown(_) => return None,
        })
    }

    #[test]
    fn every_message_of_the_protocol_has_a_row_in_the_golden_matrix() {
        let golden = include_str!("../../tests/suite/golden.txt");
        let rows: Vec<&str> = golden
            .lines()
            .filter(|line| line.starts_with("command | ") || line.starts_with("action | "))
            .collect();
        assert!(rows.len() > 25);
        // The names come from the match above: an empty message of each name is read, and has the row of its name.
        for line in include_str!("wire.rs")
            .lines()
            .filter_map(|line| line.split_once("(_) => \""))
        {
            let name = line.1.trim_end_matches("\",");
            assert!(
                rows.iter().any(|row| row.starts_with(&format!("{name} |"))),
                "add {name} to tests/suite/golden.rs"
            );
        }
        let query = command(&packed(&CommandGetCatalogs {})).unwrap();
        assert_eq!(row(&query), Some("command | CommandGetCatalogs"));
    }

    proptest::proptest! {
        /// Noise, and commands with a piece of noise in them, Substrait plans included: a command or the caller's fault.
        #[test]
        fn damaged_commands_are_commands_or_the_callers_fault(
            noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            at in 0..200_usize,
            lost in 0..20_usize,
        ) {
            use arrow_flight::sql::{CommandGetTables, CommandStatementQuery, CommandStatementSubstraitPlan, SubstraitPlan};
            let plan = SubstraitPlan { plan: noise.clone().into(), version: "0.1".into() };
            let good = [
                packed(&CommandStatementQuery { query: "SELECT 1".into(), transaction_id: None }),
                packed(&CommandStatementSubstraitPlan { plan: Some(plan), transaction_id: None }),
                packed(&CommandGetTables { catalog: Some("lab".into()), include_schema: true, ..Default::default() }),
                Bytes::new(),
            ];
            for bytes in good {
                let mut bytes = bytes.to_vec();
                let from = at.min(bytes.len());
                let to = (from + lost).min(bytes.len());
                bytes.splice(from..to, noise.iter().copied());
                if let Err(refused) = command(&bytes) {
                    proptest::prop_assert_eq!(refused.code(), Code::InvalidArgument);
                }
                let body = action_body::<ActionClosePreparedStatementRequest>(&bytes, "ActionClosePreparedStatementRequest");
                if let Err(refused) = body {
                    proptest::prop_assert_eq!(refused.code(), Code::InvalidArgument);
                }
            }
        }
    }
}
