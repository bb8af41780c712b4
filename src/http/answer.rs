//! From a running statement to a body: encoded and compressed by a task of its own, in step with the reader.
//!
//! Nothing is sent before the first batch is there, so a statement that fails early gets its right status. A short
//! queue lies between task and reader: a slow reader holds back the engine, one that leaves ends the statement.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Place;
use super::ask::Format;
use super::encode::{Encoder, Gzip};
use super::refusal::Refusal;
use crate::flight::envelope::QUERY_ID;
use crate::query::errors::from_datafusion;
use crate::query::{QueryError, Running};

/// Pieces encoded ahead of the reader.
const QUEUE_LENGTH: usize = 4;
/// How long a reader may take nothing before the statement is given up: a pager someone reads in, not a laptop that sleeps.
const STALLED_MAX: Duration = Duration::from_secs(300);

/// How the answer is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) format: Format,
    pub(super) row_limit: Option<u64>,
    pub(super) spreadsheet: bool,
    pub(super) gzip: bool,
}

type Piece = Result<Bytes, QueryError>;

/// Starts the answer; an error before the first batch is a refusal.
pub(super) async fn stream(running: Running, wish: Wish, place: Place) -> Result<Response, Refusal> {
    let encoder = Encoder::new(wish, &running.schema)?;
    let id = running.id.and_then(|id| HeaderValue::from_str(&id.to_string()).ok());
    let (sender, mut receiver) = mpsc::channel(QUEUE_LENGTH);
    let task = AbortOnDropHandle::new(tokio::spawn(pump(running, encoder, wish, sender)));
    let first = match receiver.recv().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(Refusal::internal("the task of an answer ended without a word")),
    };
    let rest = stream::unfold(
        (receiver, Some(task), place),
        |(mut receiver, task, place)| async move {
            if let Some(piece) = receiver.recv().await {
                return Some((piece, (receiver, task, place)));
            }
            // The end is told only when the task ended well: a panic must not look like the end of the data.
            let ended = task?.await.err()?;
            Some((Err(QueryError::internal(ended)), (receiver, None, place)))
        },
    );
    let mut response = Response::new(Body::from_stream(stream::iter([Ok(first)]).chain(rest)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(wish.format)));
    if let Some(id) = id {
        headers.insert(QUERY_ID, id);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if wish.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let attachment = match wish.format {
        Format::Csv => Some("attachment; filename=\"labhouse.csv\""),
        Format::Xlsx => Some("attachment; filename=\"labhouse.xlsx\""),
        Format::Arrow | Format::Json => None,
    };
    if let Some(attachment) = attachment {
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(attachment));
    }
    Ok(response)
}

/// What a workbook is called.
pub(super) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Arrow => "application/vnd.apache.arrow.stream",
        Format::Json => "application/json",
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Xlsx => XLSX,
    }
}

/// Moves batches until they end, the limit is reached, one fails, or the reader is gone.
async fn pump(running: Running, mut encoder: Encoder, wish: Wish, sender: mpsc::Sender<Piece>) {
    let mut out = Out {
        gzip: wish.gzip.then(Gzip::new),
        sender,
    };
    let mut batches = running.stream;
    let mut left = wish.row_limit.unwrap_or(u64::MAX);
    let mut is_first = true;
    let ended = loop {
        let Some(batch) = batches.next().await else {
            break Ok(false);
        };
        let mut batch = match batch {
            Ok(batch) => batch,
            Err(error) => break Err(from_datafusion(error)),
        };
        let rows = batch.num_rows() as u64;
        let is_cut = rows > left;
        if is_cut {
            batch = batch.slice(0, usize::try_from(left).unwrap_or(usize::MAX));
        }
        left = left.saturating_sub(rows);
        match encoder.batch(&batch) {
            Ok(bytes) => {
                is_first = false;
                if !out.send(bytes, false).await {
                    return;
                }
            }
            Err(error) => break Err(error),
        }
        if is_cut {
            break Ok(true);
        }
    };
    // The statement ends here, before a slow reader has taken the last piece.
    drop(batches);
    match ended {
        Ok(is_cut) => match encoder.finish(is_cut) {
            Ok(bytes) => {
                out.send(bytes, true).await;
            }
            Err(error) => out.fail(error).await,
        },
        // Once rows are out the status is too: JSON says the error at its end, the others are cut off.
        Err(error) => match encoder.fail(&error) {
            Some(bytes) if !is_first => {
                out.send(bytes, true).await;
            }
            _ => out.fail(error).await,
        },
    }
}

struct Out {
    gzip: Option<Gzip>,
    sender: mpsc::Sender<Piece>,
}

impl Out {
    /// False when the reader is gone or takes nothing any more.
    async fn send(&mut self, bytes: Vec<u8>, is_last: bool) -> bool {
        let bytes = match &mut self.gzip {
            Some(gzip) => gzip.squeeze(&bytes, is_last),
            None => bytes,
        };
        let sending = self.sender.send(Ok(bytes.into()));
        matches!(tokio::time::timeout(STALLED_MAX, sending).await, Ok(Ok(())))
    }

    async fn fail(&self, error: QueryError) {
        let _ = tokio::time::timeout(STALLED_MAX, self.sender.send(Err(error))).await;
    }
}
