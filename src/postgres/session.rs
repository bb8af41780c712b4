//! Who is at the other end of a connection, and how what he runs is cancelled.

use std::collections::HashMap;
use std::sync::Arc;

use labhouse_policies::Principal;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::audit::Client;
use crate::auth::Authenticator;

/// A connection that has logged in.
pub(super) struct Session {
    who: Principal,
    pub(super) client: Client,
    running: Mutex<CancellationToken>,
}

impl Session {
    pub(super) fn new(who: Principal, client: Client) -> Self {
        Self {
            who,
            client,
            running: Mutex::new(CancellationToken::new()),
        }
    }

    /// The principal as he is now; none when what he logged in with is no longer good.
    pub(super) fn who(&self, auth: &Authenticator) -> Option<Principal> {
        auth.again(&self.who)
    }

    /// A statement begins: what cancels it.
    pub(super) fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.running.lock() = token.clone();
        token
    }

    fn cancel(&self) {
        self.running.lock().cancel();
    }
}

/// Connections by the numbers that PostgreSQL's cancel request names.
#[derive(Default)]
pub(super) struct Cancels(Mutex<HashMap<i32, (i32, Arc<Session>)>>);

impl Cancels {
    pub(super) fn register(&self, pid: i32, secret: i32, session: Arc<Session>) {
        self.0.lock().insert(pid, (secret, session));
    }

    pub(super) fn forget(&self, pid: i32) {
        self.0.lock().remove(&pid);
    }

    /// Cancels what runs on a connection, if the secret is its own.
    pub(super) fn cancel(&self, pid: i32, secret: i32) {
        let connections = self.0.lock();
        if let Some((known, session)) = connections.get(&pid)
            && *known == secret
        {
            session.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_secret_cancels() {
        let cancels = Cancels::default();
        let session = Arc::new(Session::new(Principal::new("sam"), Client::default()));
        cancels.register(7, 42, Arc::clone(&session));
        let running = session.begin();
        cancels.cancel(7, 41);
        cancels.cancel(8, 42);
        assert!(!running.is_cancelled());
        cancels.cancel(7, 42);
        assert!(running.is_cancelled());
        assert!(!session.begin().is_cancelled(), "the next statement runs");
        cancels.forget(7);
        cancels.cancel(7, 42);
        assert!(!session.running.lock().is_cancelled());
    }
}
