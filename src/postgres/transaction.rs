//! What is open between BEGIN and COMMIT: the engine's transaction, and PostgreSQL's names for its savepoints.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Status, Stop};
use super::errors::user;
use crate::audit::Client;
use crate::query::{Definitions, Transaction};

/// A transaction that was begun.
pub(super) struct Open {
    transaction: Arc<Transaction>,
    /// The names of its savepoints, here and in the engine, in the order they were set. One that is set again hides the older.
    savepoints: Vec<(String, String)>,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Whom statements come from, in the transaction that is open.
    pub(super) fn client(&self) -> Client {
        Client {
            transaction: self.transaction.as_ref().map(|open| Arc::clone(&open.transaction)),
            ..self.session.client.clone()
        }
    }

    /// BEGIN.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        let who = self.who()?;
        let transactions = &self.door.engine.transactions;
        let transaction = transactions.begin(&who, None, Definitions::Refused)?;
        self.transaction = Some(Open {
            transaction,
            savepoints: Vec::new(),
        });
        self.status = Status::Open;
        Ok(())
    }

    /// COMMIT.
    pub(super) async fn commit(&mut self) -> Result<(), Stop> {
        let Some(open) = self.transaction.take() else {
            return Ok(());
        };
        let who = self.who()?;
        let engine = Arc::clone(&self.door.engine);
        let committed = engine.commit(&who, &self.session.client, &open.transaction).await;
        if committed.is_err() {
            engine.roll_back(&open.transaction).await;
        }
        Ok(committed?)
    }

    /// ROLLBACK, and what becomes of a transaction whose client has left.
    pub(super) async fn roll_back(&mut self) {
        if let Some(open) = self.transaction.take() {
            self.door.engine.roll_back(&open.transaction).await;
        }
    }

    /// SAVEPOINT.
    pub(super) async fn save(&mut self, name: &str) -> Result<(), Stop> {
        let open = self.transaction.as_mut().ok_or_else(none)?;
        let id = open.transaction.save().await?;
        open.savepoints.push((name.to_owned(), id));
        Ok(())
    }

    /// RELEASE SAVEPOINT.
    pub(super) async fn release(&mut self, name: &str) -> Result<(), Stop> {
        let open = self.transaction.as_mut().ok_or_else(none)?;
        let (at, id) = open.place(name)?;
        open.transaction.release(&id).await?;
        open.savepoints.truncate(at);
        Ok(())
    }

    /// ROLLBACK TO SAVEPOINT.
    pub(super) async fn roll_back_to(&mut self, name: &str) -> Result<(), Stop> {
        let open = self.transaction.as_mut().ok_or_else(none)?;
        let (at, id) = open.place(name)?;
        open.transaction.roll_back_to(&id).await?;
        open.savepoints.truncate(at + 1);
        Ok(())
    }
}

impl Open {
    fn place(&self, name: &str) -> Result<(usize, String), Stop> {
        let found = self
            .savepoints
            .iter()
            .enumerate()
            .rev()
            .find(|(_, (known, _))| known == name);
        let found = found.map(|(at, (_, id))| (at, id.clone()));
        found.ok_or_else(|| user("3B001", format!("savepoint \"{name}\" does not exist")).into())
    }
}

fn none() -> Stop {
    user("25P01", "a savepoint is in a transaction: BEGIN first").into()
}
