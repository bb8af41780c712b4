//! What a caller hears when his call is not answered: a status, a word for programs, a sentence for people.
//!
//! One status per kind of error, without a catch-all. A person's mistake is never a 5xx.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::Status;

use crate::query::QueryError;

/// A refused or failed call.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    word: &'static str,
    message: String,
}

/// Every status that a statement can end with.
#[cfg(test)]
pub(super) const STATUSES: [StatusCode; 13] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::NOT_ACCEPTABLE,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// The body of an answer that failed.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

impl Refusal {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// Of a login; the text is the one that the authentication gives.
    pub(super) fn login(refused: &Status) -> Self {
        Self::unauthenticated(refused.message())
    }

    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub(super) fn foreign() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign",
            "this call comes from a page of another site: only the server's own page may call with its cookie; programs send `authorization`",
        )
    }

    pub(super) fn administrators_only(what: &str) -> Self {
        let message = format!("{what} is for administrators, and their tokens that reach the schema system");
        Self::new(StatusCode::FORBIDDEN, "denied", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn no_such_path() -> Self {
        Self::not_found("there is nothing at this path; /api/openapi.json describes what there is")
    }

    pub(super) fn wrong_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "this path does not take this method; /api/openapi.json describes what it takes",
        )
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!(
                "the request has more than {bytes_max} bytes; put long lists into a table and join it, and send large files in parts (`labhouse sync`)"
            ),
        )
    }

    pub(super) fn too_slow(seconds: u64) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            format!("the request did not arrive within {seconds} s; send it again"),
        )
    }

    pub(super) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "send the request as JSON: `content-type: application/json`",
        )
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "answers come as application/vnd.apache.arrow.stream, application/json or text/csv; name one in `accept`, or `format` in the body",
        )
    }

    pub(super) fn full(calls_max: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "exhausted",
            format!("{calls_max} calls are being answered already; try again in a moment"),
        )
    }

    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        QueryError::internal(cause).into()
    }

    fn new(status: StatusCode, word: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            word,
            message: message.into(),
        }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let status = match &error {
            // What is not there yet is the statement's matter, not the server's: 501 would be retried by proxies.
            QueryError::Syntax(_) | QueryError::Invalid(_) | QueryError::Unsupported(_) => StatusCode::BAD_REQUEST,
            QueryError::NotFound(_) => StatusCode::NOT_FOUND,
            QueryError::Denied(_) => StatusCode::FORBIDDEN,
            QueryError::Exhausted(_) => StatusCode::TOO_MANY_REQUESTS,
            QueryError::Deadline(_) => StatusCode::GATEWAY_TIMEOUT,
            QueryError::Conflict(_)
            | QueryError::Exists(_)
            | QueryError::InTransaction(_)
            | QueryError::Cancelled(_) => StatusCode::CONFLICT,
            QueryError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            QueryError::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.word(), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let told = Told {
            code: self.word,
            message: &self.message,
        };
        let mut response = (self.status, Json(serde_json::json!({ "error": told }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // Basic is taken too, but naming it would make browsers ask in a window of their own.
            let challenge = HeaderValue::from_static("Bearer realm=\"labhouse\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_mistake_is_never_a_5xx_and_an_internal_cause_is_never_told() {
        for mistake in [
            QueryError::Syntax("s".into()),
            QueryError::Invalid("i".into()),
            QueryError::NotFound("n".into()),
            QueryError::Denied("d".into()),
            QueryError::Unsupported("u".into()),
            QueryError::Exhausted("e".into()),
            QueryError::Conflict("c".into()),
        ] {
            assert!(Refusal::from(mistake).status.is_client_error());
        }
        let told = Refusal::internal("s3://secret/key");
        assert_eq!(told.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!told.message.contains("secret"), "{}", told.message);
    }
}
