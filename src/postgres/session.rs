//! Who is at the other end of a connection, and how what he runs is cancelled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

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

    pub(super) fn name(&self) -> &str {
        &self.who.name
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
pub(super) struct Cancels {
    known: Mutex<HashMap<i32, (i32, Arc<Session>)>>,
    last: AtomicI32,
}

/// A connection's numbers; it cannot be cancelled any more once they are dropped.
pub(super) struct Key {
    cancels: Arc<Cancels>,
    pub(super) pid: i32,
    pub(super) secret: i32,
}

impl Cancels {
    pub(super) fn register(self: &Arc<Self>, session: Arc<Session>) -> Key {
        let secret = rand::random();
        // After two thousand million connections the numbers begin anew.
        let pid = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
        self.known.lock().insert(pid, (secret, session));
        Key {
            cancels: Arc::clone(self),
            pid,
            secret,
        }
    }

    /// Cancels what runs on a connection, if the secret is its own.
    pub(super) fn cancel(&self, pid: i32, secret: i32) {
        let known = self.known.lock();
        if let Some((own, session)) = known.get(&pid)
            && *own == secret
        {
            session.cancel();
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.cancels.known.lock().remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_secret_cancels() {
        let cancels = Arc::new(Cancels::default());
        let session = Arc::new(Session::new(Principal::new("sam"), Client::default()));
        let key = cancels.register(Arc::clone(&session));
        let (pid, secret) = (key.pid, key.secret);
        let running = session.begin();
        cancels.cancel(pid, secret.wrapping_add(1));
        cancels.cancel(pid + 1, secret);
        assert!(!running.is_cancelled());
        cancels.cancel(pid, secret);
        assert!(running.is_cancelled());
        let next = session.begin();
        assert!(!next.is_cancelled(), "the next statement runs");
        drop(key);
        cancels.cancel(pid, secret);
        assert!(!next.is_cancelled());
    }
}
