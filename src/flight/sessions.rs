//! Session options: the messages, which arrow-flight does not have, and their short truth.
//!
//! The door keeps no session, so there is one option, `catalog`, with one value. Clients set it when their URL names a
//! catalog (JDBC does), and must be told if they ask for another.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use crate::query::statement::CATALOG;

/// Answers SetSessionOptions: an error for each option that did not take.
pub(super) fn set(request: &SetSessionOptionsRequest) -> Bytes {
    let errors = request.session_options.iter().filter_map(|(name, value)| {
        let error = match (name.as_str(), &value.option_value) {
            ("catalog", Some(OptionValue::Text(text))) if text == CATALOG => return None,
            // No value means "back to the default", and there is only the default.
            ("catalog", None) => return None,
            ("catalog", Some(_)) => ErrorValue::InvalidValue,
            _ => ErrorValue::InvalidName,
        };
        Some((name.clone(), OptionError { value: error as i32 }))
    });
    SetSessionOptionsResult {
        errors: errors.collect(),
    }
    .encode_to_vec()
    .into()
}

/// Answers GetSessionOptions.
pub(super) fn get() -> Bytes {
    let catalog = SessionOptionValue {
        option_value: Some(OptionValue::Text(CATALOG.to_owned())),
    };
    GetSessionOptionsResult {
        session_options: HashMap::from([("catalog".to_owned(), catalog)]),
    }
    .encode_to_vec()
    .into()
}

/// Answers CloseSession: closed, since nothing was open. Tokens end by their own time.
pub(super) fn close() -> Bytes {
    CloseSessionResult {
        status: CloseStatus::Closed as i32,
    }
    .encode_to_vec()
    .into()
}

/// Asks for options to be set.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(enumeration = "CloseStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(enumeration = "ErrorValue", tag = "1")]
    value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum ErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum CloseStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_may_be_set_to_itself_and_nothing_else() {
        let text = |value: &str| SessionOptionValue {
            option_value: Some(OptionValue::Text(value.into())),
        };
        let session_options = HashMap::from([("catalog".to_owned(), text(CATALOG)), ("schema".to_owned(), text("x"))]);
        let answer = SetSessionOptionsResult::decode(set(&SetSessionOptionsRequest { session_options })).unwrap();
        assert_eq!(answer.errors.len(), 1);
        assert_eq!(answer.errors["schema"].value, ErrorValue::InvalidName as i32);

        let session_options = HashMap::from([("catalog".to_owned(), text("other"))]);
        let answer = SetSessionOptionsResult::decode(set(&SetSessionOptionsRequest { session_options })).unwrap();
        assert_eq!(answer.errors["catalog"].value, ErrorValue::InvalidValue as i32);
    }

    #[test]
    fn what_was_set_is_told_and_closing_closes() {
        let options = GetSessionOptionsResult::decode(get()).unwrap().session_options;
        assert_eq!(options["catalog"].option_value, Some(OptionValue::Text(CATALOG.into())));
        assert_eq!(
            CloseSessionResult::decode(close()).unwrap().status,
            CloseStatus::Closed as i32
        );
    }
}
