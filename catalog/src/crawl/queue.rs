//! Word of new objects from a queue that a bucket's events go to (Amazon SQS, or a server that speaks its JSON protocol).
//!
//! What a message says is not read: it only means that a sweep is due. The sweep stays the truth, so a message that comes
//! twice or never costs a sweep or a little time, and no rows. A message is deleted after the sweep that it asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Uri};
use object_store::ClientOptions;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpRequestBody, ReqwestConnector};
use serde::Deserialize;

use crate::error::LakeError;

/// Seconds a request waits on the server for a message to come.
const WAIT_S: u64 = 10;
/// Messages of one answer, the most that the protocol has.
const MESSAGES_MAX: usize = 10;
/// Bytes of an answer that are read: ten messages of 256 KiB and some.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const DEFAULT_REGION: &str = "us-east-1";

/// A queue of events.
pub struct Queue {
    url: String,
    uri: Uri,
    region: String,
    credentials: AwsCredentialProvider,
    client: HttpClient,
}

/// Messages that are still in the queue.
#[derive(Debug)]
pub struct Received(Vec<String>);

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Messages", default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "ReceiptHandle")]
    receipt: String,
}

impl Queue {
    /// `url` as the queue's owner knows it, `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`; account, keys and region are those
    /// of the lake's options and of the `AWS_*` environment.
    ///
    /// # Errors
    /// [`LakeError::Queue`] for an address or options that cannot be used. The network is not touched.
    pub fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Queue {
            url: url.to_owned(),
            reason,
        };
        let uri: Uri = url.parse().map_err(|error| refuse(format!("{error}")))?;
        let allow_http = options.get("allow_http").is_some_and(|allowed| allowed == "true");
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_)) => {}
            (Some("http"), Some(_)) if allow_http => {}
            (Some("http"), Some(_)) => {
                return Err(refuse(
                    "it is plain http: use https, or allow_http among the lake's options".to_owned(),
                ));
            }
            _ => return Err(refuse("it is no http address".to_owned())),
        }
        let mut builder = AmazonS3Builder::from_env().with_bucket_name("queue");
        for (key, value) in options {
            if let Ok(key) = key.parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let region = builder
            .get_config_value(&AmazonS3ConfigKey::Region)
            .unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let store = builder.build().map_err(|error| refuse(error.to_string()))?;
        let client = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_timeout(Duration::from_secs(WAIT_S * 3));
        let client = ReqwestConnector::default()
            .connect(&client)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            url: url.to_owned(),
            uri,
            region,
            credentials: store.credentials().clone(),
            client,
        })
    }

    /// Waits some seconds for messages; none may have come.
    ///
    /// # Errors
    /// [`LakeError::Queue`] when the queue does not answer, or not as one.
    pub async fn receive(&self) -> Result<Received, LakeError> {
        let wanted = serde_json::json!({
            "QueueUrl": self.url, "WaitTimeSeconds": WAIT_S, "MaxNumberOfMessages": MESSAGES_MAX,
        });
        let answer = self.ask("ReceiveMessage", &wanted).await?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| self.failed(format!("it answers in no way that is understood: {error}")))?;
        Ok(Received(
            answer.messages.into_iter().map(|message| message.receipt).collect(),
        ))
    }

    /// Deletes messages whose sweep is done. One that stays comes again, and costs a sweep.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub async fn forget(&self, received: Received) -> Result<(), LakeError> {
        if received.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = received
            .0
            .iter()
            .enumerate()
            .map(|(at, receipt)| serde_json::json!({"Id": at.to_string(), "ReceiptHandle": receipt}))
            .collect();
        let wanted = serde_json::json!({"QueueUrl": self.url, "Entries": entries});
        self.ask("DeleteMessageBatch", &wanted).await.map(|_| ())
    }

    async fn ask(&self, action: &str, body: &serde_json::Value) -> Result<Bytes, LakeError> {
        let mut request = Request::new(HttpRequestBody::from(Bytes::from(body.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let target = HeaderValue::from_str(&format!("AmazonSQS.{action}"));
        let target = target.map_err(|error| self.failed(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert("x-amz-target", target);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        if let Some(authority) = self.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            headers.insert(HOST, host);
        }
        let credential = self.credentials.get_credential().await;
        let credential =
            credential.map_err(|error| self.failed(format!("there are no credentials for it: {error}")))?;
        AwsAuthorizer::new(&credential, "sqs", &self.region).authorize(&mut request, None);
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|error| self.failed(format!("it cannot be reached: {error}")))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await;
        let body = body.map_err(|error| self.failed(format!("its answer broke off: {error}")))?;
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(self.failed(format!("it answers {status}: {said}")));
        }
        if body.len() > ANSWER_BYTES_MAX {
            return Err(self.failed(format!("its answer has more than {ANSWER_BYTES_MAX} bytes")));
        }
        Ok(body)
    }

    fn failed(&self, reason: String) -> LakeError {
        LakeError::Queue {
            url: self.url.clone(),
            reason,
        }
    }
}

impl Received {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_one_are_taken() {
        let keys: BTreeMap<String, String> = [("access_key_id", "a"), ("secret_access_key", "b")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let open = |url: &str, options: &BTreeMap<String, String>| {
            Queue::open(url, options).map_err(|error| error.to_string())
        };
        assert!(open("https://sqs.eu-central-1.amazonaws.com/1/lab", &keys).is_ok());
        let plain = "http://127.0.0.1:5000/1/lab";
        assert!(open(plain, &keys).is_err_and(|error| error.contains("plain http")));
        let mut allowed = keys.clone();
        allowed.insert("allow_http".to_owned(), "true".to_owned());
        assert!(open(plain, &allowed).is_ok());
        assert!(open("lab-events", &keys).is_err_and(|error| error.contains("no http address")));
    }
}
