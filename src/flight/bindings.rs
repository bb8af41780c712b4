//! Bound parameters that a sealed word cannot carry: large ones, and those of clients that ignore the handle we return.
//!
//! The handle that answers a binding carries the values, and most clients bring it back. For those that keep the first
//! handle the values are remembered here under its nonce. Values too large for a handle are remembered under a number
//! of their own, which the handle names. Nonces and numbers travel sealed, so nobody can ask for another's.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::expiring::Expiring;
use super::parameters::Parameters;

/// Up to this size a binding counts as small, in bytes.
const SMALL_BYTES: usize = 64 << 10;
/// Small bindings kept: with `SMALL_BYTES` at most 128 MiB, in practice some hundred KiB.
const SMALL_MAX: usize = 2_000;
/// Large bindings kept: with the limit of `parameters` at most 128 MiB.
const LARGE_MAX: usize = 16;
/// Between binding and running lies one call of the same client.
const LIFETIME: Duration = Duration::from_secs(600);

/// What was bound last, by name.
pub(super) struct Bindings {
    small: Mutex<Expiring<String, Parameters>>,
    large: Mutex<Expiring<String, Parameters>>,
}

impl Bindings {
    pub(super) fn new() -> Self {
        Self {
            small: Mutex::new(Expiring::new(SMALL_MAX, LIFETIME)),
            large: Mutex::new(Expiring::new(LARGE_MAX, LIFETIME)),
        }
    }

    /// Keeps what was bound under `name`, in place of what was there.
    pub(super) fn keep(&self, name: &str, parameters: Parameters) {
        self.forget(name);
        let place = if parameters.bytes() > SMALL_BYTES {
            &self.large
        } else {
            &self.small
        };
        place.lock().insert(name.to_owned(), parameters, Instant::now());
    }

    /// Keeps values under a new name, which is returned.
    pub(super) fn keep_new(&self, parameters: Parameters) -> String {
        let name = Uuid::new_v4().simple().to_string();
        self.keep(&name, parameters);
        name
    }

    pub(super) fn of(&self, name: &str) -> Option<Parameters> {
        let name = name.to_owned();
        let small = self.small.lock().get(&name).cloned();
        small.or_else(|| self.large.lock().get(&name).cloned())
    }

    pub(super) fn forget(&self, name: &str) {
        let name = name.to_owned();
        self.small.lock().remove(&name);
        self.large.lock().remove(&name);
    }
}
