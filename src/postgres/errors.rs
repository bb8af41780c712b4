//! From a refusal to an SQLSTATE: one for each kind, and no catch-all, so a new kind has to be decided here. The text is
//! the one that every door gives.

use crate::auth::AuthError;
use crate::query::QueryError;

/// What a client is told, and whether its connection ends with it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) is_fatal: bool,
    pub(super) state: &'static str,
    pub(super) text: String,
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        user(state(&error), error.to_string())
    }
}

/// What a client hears of a login that failed: one text for all reasons, and the end of the connection.
pub(super) fn of_login(error: &AuthError) -> Refusal {
    fatal("28P01", error.to_string())
}

/// A statement's error.
pub(super) fn user(state: &'static str, text: impl Into<String>) -> Refusal {
    Refusal {
        is_fatal: false,
        state,
        text: text.into(),
    }
}

/// The end of the connection.
pub(super) fn fatal(state: &'static str, text: impl Into<String>) -> Refusal {
    Refusal {
        is_fatal: true,
        ..user(state, text)
    }
}

fn state(error: &QueryError) -> &'static str {
    match error {
        QueryError::Syntax(_) => "42601",
        QueryError::Invalid(text) if text.starts_with("division by zero") => "22012",
        QueryError::Invalid(_) => "22023",
        QueryError::NotFound(text) if text.starts_with("table '") => "42P01",
        QueryError::NotFound(_) => "42703",
        QueryError::Denied(_) => "42501",
        QueryError::Exhausted(_) => "53000",
        QueryError::Deadline(_) | QueryError::Cancelled(_) => "57014",
        QueryError::Unsupported(_) => "0A000",
        QueryError::Conflict(_) => "40001",
        QueryError::Exists(_) => "42P07",
        QueryError::InTransaction(_) => "25001",
        QueryError::Unavailable(_) => "57P03",
        QueryError::Internal { .. } => "XX000",
    }
}
