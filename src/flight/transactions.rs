//! Transactions of the protocol: begun, saved, ended by actions, named by the commands that run in them.
//!
//! Whoever begins one has one. SqlInfo announces them only to calls with the header `labhouse-transactions: on`, because an
//! announcement is taken for an order: drivers that follow Python's DB-API begin a transaction unasked as soon as a server
//! reports them. What a script then writes and does not commit would be gone, where it stays today, and its second table
//! would be refused, since a transaction of Delta changes one.
//!
//! The words for a transaction and a savepoint are sealed like tickets; what they stand for is the engine's.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionResult, ActionEndSavepointRequest,
    ActionEndTransactionRequest,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::authn::Caller;
use super::prepared::HANDLE_LIFETIME;
use super::service::Door;
use super::{status, wire};
use crate::audit::Client;
use crate::query::{Definitions, Transaction};

/// Asks for transactions to be announced: `on`, or `off` as without it.
const HEADER: &str = "labhouse-transactions";
const TRANSACTION: &str = "transaction";
const SAVEPOINT: &str = "savepoint";

/// What a word for a savepoint holds, sealed.
#[derive(Serialize, Deserialize)]
struct Savepoint {
    transaction: String,
    savepoint: String,
}

/// Where a statement runs.
pub(super) struct Place {
    /// The caller, in his transaction.
    pub(super) client: Arc<Client>,
    /// The transaction's name; none for a statement that commits by itself.
    pub(super) transaction: Option<String>,
}

/// Whether a call asks for transactions to be announced.
///
/// # Errors
/// INVALID_ARGUMENT for another word than `on` and `off`.
pub(super) fn asked(headers: &MetadataMap) -> Result<bool, Status> {
    match headers.get(HEADER).map(|value| value.as_bytes()) {
        None | Some(b"off" | b"") => Ok(false),
        Some(b"on") => Ok(true),
        Some(_) => Err(Status::invalid_argument(format!("the header {HEADER} takes on or off"))),
    }
}

impl Door {
    /// Where a command runs that names a transaction, or none.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a word that is none of this caller's transactions, FAILED_PRECONDITION for one that has ended.
    pub(super) fn place(&self, caller: &Caller, named: Option<&[u8]>) -> Result<Place, Status> {
        match named {
            None | Some([]) => Ok(outside(caller)),
            Some(word) => self.place_of(caller, Some(&self.opened(caller, word)?)),
        }
    }

    /// Where a ticket's statement runs.
    pub(super) fn place_of(&self, caller: &Caller, transaction: Option<&str>) -> Result<Place, Status> {
        let Some(id) = transaction else {
            return Ok(outside(caller));
        };
        let found = self.engine.transactions.find(&caller.principal, id);
        found.map(|found| inside(caller, found)).ok_or_else(ended)
    }

    /// Where a prepared statement runs: in the transaction that it was prepared in, or, when that has ended, in the one
    /// that its connection has begun since. Drivers keep a statement over many of their transactions.
    pub(super) fn place_of_prepared(&self, caller: &Caller, transaction: Option<&str>) -> Result<Place, Status> {
        self.place_of(caller, transaction).or_else(|ended| {
            let login = caller.login(&self.engine).ok_or_else(|| ended.clone())?;
            let next = self.engine.transactions.only_one_of(&caller.principal, &login);
            next.map(|next| inside(caller, next)).ok_or(ended)
        })
    }

    /// BeginTransaction.
    pub(super) fn begin(&self, caller: &Caller) -> Result<Bytes, Status> {
        let login = caller.login(&self.engine);
        let begun = self
            .engine
            .transactions
            .begin(&caller.principal, login, Definitions::Commit);
        let begun = begun.map_err(status::of_query)?;
        let word = self.sealed(TRANSACTION, caller, &begun.id());
        Ok(wire::packed(&ActionBeginTransactionResult { transaction_id: word }))
    }

    /// EndTransaction. Rolling back what has ended is no error: the aim is reached.
    pub(super) async fn end(&self, caller: &Caller, request: &ActionEndTransactionRequest) -> Result<(), Status> {
        let id = self.opened(caller, &request.transaction_id)?;
        let found = self.engine.transactions.find(&caller.principal, &id);
        match (End::of(request.action)?, found) {
            (End::Keep, Some(transaction)) => {
                let committed = self
                    .engine
                    .commit(&caller.principal, &caller.client, &transaction)
                    .await;
                committed.map_err(status::of_query)
            }
            (End::Keep, None) => Err(ended()),
            (End::TakeBack, Some(transaction)) => {
                self.engine.roll_back(&transaction).await;
                Ok(())
            }
            (End::TakeBack, None) => Ok(()),
        }
    }

    /// BeginSavepoint.
    pub(super) async fn save(&self, caller: &Caller, request: &ActionBeginSavepointRequest) -> Result<Bytes, Status> {
        let id = self.opened(caller, &request.transaction_id)?;
        let found = self
            .engine
            .transactions
            .find(&caller.principal, &id)
            .ok_or_else(ended)?;
        let saved = Savepoint {
            savepoint: found.save().await.map_err(status::of_query)?,
            transaction: id,
        };
        let word = self.sealed(SAVEPOINT, caller, &saved);
        Ok(wire::packed(&ActionBeginSavepointResult { savepoint_id: word }))
    }

    /// EndSavepoint.
    pub(super) async fn end_savepoint(
        &self,
        caller: &Caller,
        request: &ActionEndSavepointRequest,
    ) -> Result<(), Status> {
        let (tickets, who) = (&self.engine.tickets, &caller.principal);
        let saved: Savepoint = tickets
            .open(SAVEPOINT, who, &request.savepoint_id)
            .map_err(status::of_ticket)?;
        let found = self
            .engine
            .transactions
            .find(who, &saved.transaction)
            .ok_or_else(ended)?;
        let done = match End::of(request.action)? {
            End::Keep => found.release(&saved.savepoint).await,
            End::TakeBack => found.roll_back_to(&saved.savepoint).await,
        };
        done.map_err(status::of_query)
    }

    fn sealed(&self, purpose: &'static str, caller: &Caller, value: &impl Serialize) -> Bytes {
        let sealed = self
            .engine
            .tickets
            .seal(purpose, &caller.principal, HANDLE_LIFETIME, value);
        sealed.into()
    }

    fn opened(&self, caller: &Caller, word: &[u8]) -> Result<String, Status> {
        let opened = self.engine.tickets.open(TRANSACTION, &caller.principal, word);
        opened.map_err(|error| {
            Status::invalid_argument(format!(
                "this is no transaction of yours, or of a server that has been started again ({error}); begin another, or send the statement without transaction_id, and it commits by itself"
            ))
        })
    }
}

/// How a transaction or savepoint ends: both enums have the same numbers.
enum End {
    /// Commit, or release.
    Keep,
    /// Roll back.
    TakeBack,
}

impl End {
    fn of(action: i32) -> Result<Self, Status> {
        match action {
            1 => Ok(Self::Keep),
            2 => Ok(Self::TakeBack),
            other => Err(Status::invalid_argument(format!(
                "{other} is no way to end a transaction or savepoint: send 1 to commit or release, 2 to roll back"
            ))),
        }
    }
}

fn outside(caller: &Caller) -> Place {
    Place {
        client: Arc::clone(&caller.client),
        transaction: None,
    }
}

fn inside(caller: &Caller, transaction: Arc<Transaction>) -> Place {
    Place {
        transaction: Some(transaction.id().to_owned()),
        client: Arc::new(Client {
            transaction: Some(transaction),
            ..Client::clone(&caller.client)
        }),
    }
}

fn ended() -> Status {
    Status::failed_precondition("the transaction has ended; begin another, and prepare again what was prepared in it")
}
