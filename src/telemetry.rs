//! Traces: a span for each statement, sent to a collector as OTLP over HTTP in JSON, when the config names one.
//!
//! A span tells who asked through which door, how it ended and what it took. It holds no statement, no value and no name
//! of a table: collectors are read by others than the lab's people. A client that sends `traceparent` (W3C) finds the
//! span below its own. Nothing waits for a collector: what it does not take is counted, said in the log and forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, redirect};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;
use uuid::Uuid;

use crate::config::Telemetry;

/// Spans that wait to be sent; some 200 bytes each.
const WAITING_MAX: usize = 4_096;
/// Spans of one message.
const BATCH_MAX: usize = 512;
/// How long a span waits for others to go with.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a collector may take for one message.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the log says that spans are lost.
const REPEAT: Duration = Duration::from_secs(60);
/// Headers for the collector, `name=value,…`, as OpenTelemetry's own exporters read them: its secrets are no config.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// The span of a client, as its `traceparent` header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace: u128,
    span: u64,
}

impl TraceParent {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`; what is something else is no parent.
    pub(crate) fn of(header: Option<&str>) -> Option<Self> {
        let mut parts = header?.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = (version.len(), trace.len(), span.len(), flags.len());
        // A plus sign is no digit, though the parser takes it.
        if lengths != (2, 32, 16, 2) || version == "ff" || header?.contains('+') {
            return None;
        }
        let parent = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

/// A statement that ended.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) query_id: Uuid,
    pub(crate) parent: Option<TraceParent>,
    pub(crate) principal: String,
    pub(crate) door: &'static str,
    /// Since 1970.
    pub(crate) started_ns: u64,
    pub(crate) took: Duration,
    /// From the start to the first rows.
    pub(crate) first_rows: Option<Duration>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// `finished`, `cancelled`, or the word of its error.
    pub(crate) outcome: String,
}

/// The way to the collector.
#[derive(Default)]
pub(crate) struct Traces {
    way: Option<Way>,
    lost: AtomicU64,
}

struct Way {
    client: Client,
    url: Url,
    sender: Mutex<Option<mpsc::Sender<Span>>>,
    receiver: Mutex<Option<mpsc::Receiver<Span>>>,
}

impl Traces {
    /// Opens the way that the config names; nothing is sent yet.
    ///
    /// # Errors
    /// The address or the headers cannot be used.
    pub(crate) fn open(config: &Telemetry) -> Result<Arc<Self>, String> {
        if config.otlp_endpoint.is_empty() {
            return Ok(Arc::default());
        }
        let endpoint = format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/'));
        let url = Url::parse(&endpoint).map_err(|error| error.to_string())?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .default_headers(headers(&std::env::var(HEADERS).unwrap_or_default())?)
            .user_agent(concat!("labhouse/", env!("CARGO_PKG_VERSION")));
        let client = match url.scheme() {
            "http" => client.no_proxy(),
            _ => client,
        };
        let client = client.build().map_err(|error| error.to_string())?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let way = Way {
            client,
            url,
            sender: Mutex::new(Some(sender)),
            receiver: Mutex::new(Some(receiver)),
        };
        Ok(Arc::new(Self {
            way: Some(way),
            lost: AtomicU64::new(0),
        }))
    }

    /// Whether spans go anywhere.
    pub(crate) fn is_on(&self) -> bool {
        self.way.is_some()
    }

    /// A statement ended.
    pub(crate) fn ended(&self, span: Span) {
        let Some(way) = &self.way else { return };
        let is_full = |sender: &mpsc::Sender<Span>| sender.try_send(span).is_err();
        if way.sender.lock().as_ref().is_some_and(is_full) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// No more spans come: [`follow`] sends what waits and ends.
    pub(crate) fn close(&self) {
        if let Some(way) = &self.way {
            *way.sender.lock() = None;
        }
    }
}

/// Sends spans until the way is closed.
pub(crate) async fn follow(traces: Arc<Traces>) {
    let Some(way) = &traces.way else { return };
    let Some(mut receiver) = way.receiver.lock().take() else {
        return;
    };
    let (mut spans, mut told) = (Vec::new(), None::<Instant>);
    while receiver.recv_many(&mut spans, BATCH_MAX).await > 0 {
        let due = tokio::time::sleep(INTERVAL);
        tokio::pin!(due);
        while spans.len() < BATCH_MAX {
            let room = BATCH_MAX - spans.len();
            tokio::select! {
                () = &mut due => break,
                came = receiver.recv_many(&mut spans, room) => if came == 0 { break },
            }
        }
        if let Err(error) = send(way, &spans).await {
            traces.lost.fetch_add(spans.len() as u64, Ordering::Relaxed);
            if told.is_none_or(|told| told.elapsed() >= REPEAT) {
                told = Some(Instant::now());
                let lost = traces.lost.load(Ordering::Relaxed);
                tracing::warn!(
                    error,
                    lost,
                    "the collector of traces did not take spans (telemetry.otlp_endpoint)"
                );
            }
        }
        spans.clear();
    }
}

async fn send(way: &Way, spans: &[Span]) -> Result<(), String> {
    let body = serde_json::to_vec(&message(spans)).map_err(|error| error.to_string())?;
    let request = way
        .client
        .post(way.url.clone())
        .header(CONTENT_TYPE, "application/json");
    // Its text would name the address, which may hold a secret.
    let answer = request
        .body(body)
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(format!("it answered {}", answer.status())),
    }
}

fn headers(text: &str) -> Result<HeaderMap, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
    };
    pairs
        .map(|pair| header(pair).ok_or_else(|| format!("{HEADERS} is not NAME=VALUE,NAME=VALUE")))
        .collect()
}

/// `ExportTraceServiceRequest` in the JSON of OTLP: numbers of 64 bits are texts, ids are hexadecimal.
fn message(spans: &[Span]) -> Value {
    let resource = [
        ("service.name", "labhouse"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let resource: Vec<Value> = resource.iter().map(|(key, value)| text(key, value)).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "labhouse", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn span(span: &Span) -> Value {
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let at = |since: Duration| span.started_ns.saturating_add(ns(since)).to_string();
    let own = span.query_id.as_u128();
    let failed = !["finished", "cancelled"].contains(&span.outcome.as_str());
    let mut attributes = vec![
        text("labhouse.query_id", &span.query_id.to_string()),
        text("labhouse.door", span.door),
        text("labhouse.outcome", &span.outcome),
        text("user.name", &span.principal),
        text("db.system.name", "labhouse"),
        number("db.response.returned_rows", span.rows),
        number("labhouse.bytes", span.bytes),
    ];
    if failed {
        attributes.push(text("error.type", &span.outcome));
    }
    let events: Vec<Value> = span
        .first_rows
        .map(|first| json!({"name": "first rows", "timeUnixNano": at(first)}))
        .into_iter()
        .collect();
    let mut told = json!({
        "traceId": format!("{:032x}", span.parent.map_or(own, |parent| parent.trace)),
        // The random half of the statement's own number.
        "spanId": format!("{:016x}", u64::try_from(own & u128::from(u64::MAX)).unwrap_or(1)),
        "name": "statement",
        "kind": 2,
        "startTimeUnixNano": span.started_ns.to_string(),
        "endTimeUnixNano": at(span.took),
        "attributes": attributes,
        "events": events,
        "status": {"code": if failed { 2 } else { 1 }},
    });
    if let (Some(parent), Some(told)) = (span.parent, told.as_object_mut()) {
        told.insert("parentSpanId".to_owned(), format!("{:016x}", parent.span).into());
    }
    told
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_or_is_none() {
        let parent = TraceParent::of(Some(HEADER)).unwrap();
        assert_eq!((parent.trace >> 124, parent.span), (4, 0x00f0_67aa_0ba9_02b7));
        for noise in [
            "",
            "00",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-xbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::of(Some(noise)), None, "{noise}");
        }
        assert_eq!(TraceParent::of(None), None);
    }

    #[test]
    fn a_span_is_what_collectors_read() {
        let ended = |outcome: &str, parent| Span {
            query_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
            parent,
            principal: "ana".into(),
            door: "flight",
            started_ns: 1_000,
            took: Duration::from_nanos(500),
            first_rows: Some(Duration::from_nanos(200)),
            rows: 3,
            bytes: 99,
            outcome: outcome.into(),
        };
        let message = message(&[
            ended("finished", None),
            ended("not_found", TraceParent::of(Some(HEADER))),
        ]);
        let spans = &message["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans[0]["traceId"], "01920000000070008000000000000001");
        assert_eq!(spans[0]["spanId"], "8000000000000001");
        assert_eq!(
            (&spans[0]["startTimeUnixNano"], &spans[0]["endTimeUnixNano"]),
            (&json!("1000"), &json!("1500"))
        );
        assert_eq!(spans[0]["events"][0]["timeUnixNano"], "1200");
        assert_eq!(spans[0]["status"]["code"], 1);
        assert!(spans[0].get("parentSpanId").is_none());
        assert_eq!(spans[1]["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(spans[1]["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(spans[1]["status"]["code"], 2);
    }

    #[test]
    fn headers_are_pairs() {
        assert_eq!(headers("a=b, c = d ,").unwrap().len(), 2);
        assert!(headers("").unwrap().is_empty());
        for wrong in ["a", "a=b,c", "a b=c"] {
            assert!(headers(wrong).is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn nothing_waits_for_a_collector_and_without_one_nothing_is_kept() {
        let off = Traces::open(&Telemetry::default()).unwrap();
        assert!(!off.is_on());
        off.close();
        follow(off).await;
    }
}
