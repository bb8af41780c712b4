//! What ends a statement before its time: somebody cancels it by its number, or the login it runs under is no longer good.

use std::sync::Weak;
use std::time::Duration;

use futures::future::BoxFuture;
use labhouse_policies::Principal;
use uuid::Uuid;

use super::QueryError;
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::Governed;

/// How often a running statement asks whether its login still stands: a revocation acts within about a second.
const LOGIN_LOOK: Duration = Duration::from_millis(500);

impl Engine {
    /// Cancels a running statement: one's own, an administrator any. Another's looks like one that there is not.
    pub(super) fn cancel(&self, governed: &Governed, id: Uuid) -> Result<i64, QueryError> {
        let who = governed.who();
        // A login that may change nothing ends nobody else's work either.
        let all = governed.world().policies.is_admin(who) && governed.may_change().is_ok();
        if self.log.cancel(id, |entry| all || entry.principal == who.name) {
            return Ok(1);
        }
        Err(QueryError::NotFound(format!(
            "no statement {id} of yours is running; its number is in the header labhouse-query-id of its answer, and in lab.system.queries"
        )))
    }
}

/// Ends when what `who` logged in with is no longer good; never for work of the server itself.
pub(super) fn login_fallen(engine: Weak<Engine>, who: Principal, client: &Client) -> BoxFuture<'static, ()> {
    if client.is_server() {
        return Box::pin(std::future::pending());
    }
    Box::pin(async move {
        loop {
            tokio::time::sleep(LOGIN_LOOK).await;
            match engine.upgrade() {
                Some(engine) if engine.auth.stands(&who) => {}
                Some(_) | None => return,
            }
        }
    })
}

/// What a statement ends with whose login has ended.
pub(super) fn fallen() -> QueryError {
    QueryError::Denied("the login this statement runs under was removed, revoked or has ended; log in again".into())
}

/// What a statement cancelled by its number ends with.
pub(super) fn cancelled() -> QueryError {
    QueryError::Cancelled("the statement was cancelled".into())
}
