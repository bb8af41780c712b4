//! From a refusal to a gRPC status: one code per kind, and no catch-all, so a new kind has to be decided here.

use arrow_flight::error::FlightError;
use tonic::{Code, Status};

use crate::auth::AuthError;
use crate::query::QueryError;
use crate::ticket::TicketError;

/// What a client hears of a statement that could not run.
pub(super) fn of_query(error: QueryError) -> Status {
    Status::new(code(&error), error.to_string())
}

/// What a client hears of a login that failed: one text for all reasons.
pub(super) fn of_login(error: AuthError) -> Status {
    Status::unauthenticated(error.to_string())
}

/// What a client hears of a ticket or handle that does not open. Not UNAUTHENTICATED: the login was fine, and drivers
/// answer that code by logging in again and again.
pub(super) fn of_ticket(error: TicketError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A message that is not what its place in the protocol demands.
pub(super) fn malformed(what: &str, error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!(
        "{what} cannot be read: {error}; send it as Flight SQL defines it"
    ))
}

/// A failure of our own while a result is encoded; errors of the engine arrive as statuses already.
pub(super) fn of_encoding(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        FlightError::Arrow(_)
        | FlightError::NotYetImplemented(_)
        | FlightError::ProtocolError(_)
        | FlightError::DecodeError(_)
        | FlightError::ExternalError(_) => internal(error),
    }
}

/// A cause that is nobody's business, logged under the number the client gets.
pub(super) fn internal(cause: impl std::fmt::Display) -> Status {
    of_query(QueryError::internal(cause))
}

fn code(error: &QueryError) -> Code {
    match error {
        QueryError::Syntax(_) | QueryError::Invalid(_) => Code::InvalidArgument,
        QueryError::NotFound(_) => Code::NotFound,
        QueryError::Denied(_) => Code::PermissionDenied,
        QueryError::Exhausted(_) => Code::ResourceExhausted,
        QueryError::Deadline(_) => Code::DeadlineExceeded,
        QueryError::Cancelled(_) => Code::Cancelled,
        QueryError::Unsupported(_) => Code::Unimplemented,
        QueryError::Conflict(_) => Code::Aborted,
        QueryError::Exists(_) => Code::AlreadyExists,
        QueryError::InTransaction(_) => Code::FailedPrecondition,
        QueryError::Unavailable(_) => Code::Unavailable,
        QueryError::Internal { .. } => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_mistake_is_never_internal_and_an_internal_cause_is_never_told() {
        for mistake in [
            QueryError::Syntax("s".into()),
            QueryError::Invalid("i".into()),
            QueryError::NotFound("n".into()),
        ] {
            assert_ne!(of_query(mistake).code(), Code::Internal);
        }
        let told = internal("s3://secret/key");
        assert_eq!(told.code(), Code::Internal);
        assert!(!told.message().contains("secret"), "{}", told.message());
    }
}
