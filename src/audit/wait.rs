//! What holds a statement back until its event is durable.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::writer::Answer;
use crate::query::QueryError;

/// Done when an event is durable; an error when it cannot be and nothing may happen without.
#[derive(Debug)]
#[must_use = "what it guards must wait for it"]
pub(crate) struct Wait {
    pub(super) answer: Pending,
    pub(super) strict: bool,
}

#[derive(Debug)]
pub(super) enum Pending {
    Waiting(oneshot::Receiver<Answer>),
    Done,
    Refused,
}

impl Wait {
    /// There is nothing to wait for.
    pub(super) fn done() -> Self {
        Self {
            answer: Pending::Done,
            strict: false,
        }
    }
}

impl Future for Wait {
    type Output = Result<(), QueryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let durable = match &mut self.answer {
            Pending::Done => true,
            Pending::Refused => false,
            Pending::Waiting(receiver) => match Pin::new(receiver).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => matches!(answer, Ok(Ok(()))),
            },
        };
        self.answer = if durable { Pending::Done } else { Pending::Refused };
        Poll::Ready(if durable || !self.strict {
            Ok(())
        } else {
            Err(QueryError::Unavailable(
                "the audit trail cannot be written, and without it no statement is answered; the server's log has the cause, tell the administrator".into(),
            ))
        })
    }
}
