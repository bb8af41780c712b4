//! From a refusal to an SQLSTATE: one for each kind, and no catch-all, so a new kind has to be decided here.

use pgwire::error::{ErrorInfo, PgWireError};

use crate::auth::AuthError;
use crate::query::QueryError;

/// What a client hears of a statement that could not run.
pub(super) fn of_query(error: &QueryError) -> PgWireError {
    user(state(error), error.to_string())
}

/// What a client hears of a login that failed: one text for all reasons, and the end of the connection.
pub(super) fn of_login(error: &AuthError) -> PgWireError {
    fatal("28P01", error.to_string())
}

/// A statement's error.
pub(super) fn user(state: &str, text: impl Into<String>) -> PgWireError {
    info("ERROR", state, text.into())
}

/// The end of the connection.
pub(super) fn fatal(state: &str, text: impl Into<String>) -> PgWireError {
    info("FATAL", state, text.into())
}

fn info(severity: &str, state: &str, text: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(severity.to_owned(), state.to_owned(), text)))
}

fn state(error: &QueryError) -> &'static str {
    match error {
        QueryError::Syntax(_) => "42601",
        QueryError::Invalid(_) => "22023",
        QueryError::NotFound(text) if text.starts_with("table '") => "42P01",
        QueryError::NotFound(_) => "42703",
        QueryError::Denied(_) => "42501",
        QueryError::Exhausted(_) => "53000",
        QueryError::Deadline(_) | QueryError::Cancelled(_) => "57014",
        QueryError::Unsupported(_) => "0A000",
        QueryError::Conflict(_) => "40001",
        QueryError::Unavailable(_) => "57P03",
        QueryError::Internal { .. } => "XX000",
    }
}
