//! `POST /api/query`: what is asked, and in which format the answer is wanted.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use datafusion::scalar::ScalarValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{self, Wish};
use super::refusal::Refusal;
use super::{Door, Place, REQUEST_BYTES_MAX, REQUEST_TIME_MAX, signin};
use crate::audit::Client;
use crate::flight::placeholders;

/// The body of a question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    /// Values of `?`, or of `$1`, `$2`, … in their order.
    #[serde(default)]
    parameters: Vec<Value>,
    /// Stronger than the `accept` header.
    format: Option<Format>,
    /// Rows after which the answer ends.
    row_limit: Option<u64>,
    /// CSV for a spreadsheet: no cell is read as a formula.
    #[serde(default)]
    spreadsheet: bool,
    /// Only to be run if it changes nothing: what a link brings, and what is asked again.
    #[serde(default)]
    read_only: bool,
}

/// How rows travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Arrow,
    Json,
    Csv,
    Xlsx,
}

/// Runs one statement as the caller.
pub(super) async fn query(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let caller = signin::caller(&door, &headers, Some(peer), signin::Call::Changing).await?;
    let question: Question = body(request).await?;
    let format = match question.format {
        Some(format) => format,
        None => accepted(&headers)?,
    };
    let numbered = placeholders::number(&question.sql).map_err(|status| Refusal::bad_request(status.message()))?;
    if numbered.parameters != question.parameters.len() {
        return Err(Refusal::bad_request(format!(
            "the statement has {} parameter(s), {} value(s) were sent in `parameters`; send one for each, in their order",
            numbered.parameters,
            question.parameters.len()
        )));
    }
    let parameters = question
        .parameters
        .into_iter()
        .map(scalar)
        .collect::<Result<Vec<_>, _>>()?;
    let client = Client {
        reads_only: question.read_only,
        ..Client::clone(&caller.client)
    };
    let running = door
        .engine
        .run(&caller.principal, &client, &numbered.sql, parameters, None)
        .await?;
    let wish = Wish {
        format,
        row_limit: question.row_limit,
        spreadsheet: question.spreadsheet,
        // A workbook is squeezed in itself.
        gzip: format != Format::Xlsx && takes_gzip(&headers),
    };
    answer::stream(running, wish, place).await
}

/// Reads a JSON body, of bounded size and in bounded time.
pub(super) async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    if !signin::is_json(request.headers()) {
        return Err(Refusal::not_json());
    }
    let bytes = received(request).await?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::bad_request(format!("the request cannot be read: {error}")))
}

/// The bytes of a body, of bounded size and in bounded time.
pub(super) async fn received(request: Request) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(REQUEST_TIME_MAX, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(refused)) if refused.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::too_large(REQUEST_BYTES_MAX))
        }
        Ok(Err(refused)) => Err(Refusal::bad_request(refused.body_text())),
        Err(_elapsed) => Err(Refusal::too_slow(REQUEST_TIME_MAX.as_secs())),
    }
}

/// The first format of the `accept` header that there is; JSON when everything is welcome.
fn accepted(headers: &HeaderMap) -> Result<Format, Refusal> {
    let Some(accept) = headers.get(header::ACCEPT) else {
        return Ok(Format::Json);
    };
    let accept = accept.to_str().map_err(|_| Refusal::not_acceptable())?;
    accept
        .split(',')
        .find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
            "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
            "application/json" | "application/*" | "*/*" => Some(Format::Json),
            "text/csv" | "text/*" => Some(Format::Csv),
            answer::XLSX => Some(Format::Xlsx),
            _ => None,
        })
        .ok_or_else(Refusal::not_acceptable)
}

pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| {
        accepted.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    })
}

/// A JSON value as a parameter; the planner brings it to the type that its place demands.
fn scalar(value: Value) -> Result<ScalarValue, Refusal> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(truth) => ScalarValue::Boolean(Some(truth)),
        Value::String(text) => ScalarValue::Utf8(Some(text)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => ScalarValue::Int64(Some(whole)),
            (None, Some(float)) if number.is_f64() => ScalarValue::Float64(Some(float)),
            _ => {
                return Err(Refusal::bad_request(format!(
                    "the parameter {number} does not fit into 64 bits; send it as a text and CAST it"
                )));
            }
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(Refusal::bad_request(
                "a parameter is a text, a number, true, false or null; put lists into a table and join it",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_first_known_format_counts_and_an_unknown_one_is_refused() {
        assert_eq!(accepted(&HeaderMap::new()).unwrap(), Format::Json);
        for (accept, format) in [
            ("application/vnd.apache.arrow.stream, */*", Format::Arrow),
            ("text/html, text/csv;q=0.9", Format::Csv),
            ("*/*", Format::Json),
        ] {
            assert_eq!(accepted(&headers(header::ACCEPT, accept)).unwrap(), format, "{accept}");
        }
        assert!(accepted(&headers(header::ACCEPT, "image/png")).is_err());
    }

    #[test]
    fn gzip_is_used_when_it_is_asked_for_only() {
        for (accept, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("gzip;q=0", false),
            ("br", false),
            ("identity", false),
        ] {
            assert_eq!(takes_gzip(&headers(header::ACCEPT_ENCODING, accept)), takes, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn parameters_keep_their_kind_and_what_does_not_fit_is_refused() {
        let read = |text: &str| scalar(serde_json::from_str(text).unwrap());
        assert_eq!(read("1").unwrap(), ScalarValue::from(1_i64));
        assert_eq!(read("1.5").unwrap(), ScalarValue::from(1.5_f64));
        assert_eq!(read("\"1\"").unwrap(), ScalarValue::from("1"));
        assert_eq!(read("null").unwrap(), ScalarValue::Null);
        assert!(read("18446744073709551615").is_err());
        assert!(read("[1]").is_err());
    }
}
