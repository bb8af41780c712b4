//! Bound parameters that a sealed word cannot carry: large ones, and those of clients that ignore the handle we return.
//!
//! The handle that answers a binding carries the values, and most clients bring it back. For those that keep the first
//! handle the values are remembered here under its nonce. Values too large for a handle are remembered once, under a name
//! of their own, which the handle and the tickets made of it bring. Nonces and names travel sealed, so nobody can ask for
//! another's.
//!
//! What is kept is bounded in bytes and number, for each login and for all together. Who binds much loses his own oldest
//! bindings first; when all together is too much, whoever has most loses first, so nobody drives out the others.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::parameters::{Bound, Parameters};

/// Bytes kept for one login: eight of the largest bindings.
const OWN_BYTES_MAX: usize = 64 << 20;
/// Bindings kept for one login: a tool with a few hundred connections of the same login, several times over.
const OWN_MAX: usize = 2_000;
/// Bytes kept for all.
const BYTES_MAX: usize = 256 << 20;
/// Bindings kept for all; each has some hundred bytes beside its values.
const MAX: usize = 20_000;
/// Between binding and running lies one call of the same client.
const LIFETIME: Duration = Duration::from_secs(600);

/// What was bound last, by name.
#[derive(Default)]
pub(super) struct Bindings(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_name: HashMap<String, Binding>,
    /// Names in the order in which they were kept.
    order: BTreeMap<u64, String>,
    owners: HashMap<String, Share>,
    bytes: usize,
    stamp: u64,
}

struct Binding {
    owner: String,
    what: What,
    bytes: usize,
    stamp: u64,
    at: Instant,
}

enum What {
    Values(Parameters),
    /// The name under which the values are.
    Named(String),
}

/// What one login has here.
#[derive(Default)]
struct Share {
    bindings: usize,
    bytes: usize,
}

impl Bindings {
    /// Keeps what was bound to the handle of this nonce, in place of what was there.
    pub(super) fn keep(&self, owner: &str, nonce: &str, parameters: Parameters, bound: &Bound) {
        let what = match bound {
            Bound::Kept(name) => What::Named(name.clone()),
            Bound::Inline(_) => What::Values(parameters),
        };
        self.0.lock().put(owner, nonce.to_owned(), what, Instant::now());
    }

    /// Keeps values under a new name, which is returned.
    pub(super) fn keep_new(&self, owner: &str, parameters: Parameters) -> String {
        let name = Uuid::new_v4().simple().to_string();
        let what = What::Values(parameters);
        self.0.lock().put(owner, name.clone(), what, Instant::now());
        name
    }

    /// The values under a name.
    pub(super) fn of(&self, name: &str) -> Option<Parameters> {
        let kept = self.0.lock();
        match &kept.by_name.get(name)?.what {
            What::Values(parameters) => Some(parameters.clone()),
            What::Named(name) => match &kept.by_name.get(name)?.what {
                What::Values(parameters) => Some(parameters.clone()),
                What::Named(_) => None,
            },
        }
    }

    /// The name under which the values bound to a handle are, when they are too large for a sealed word.
    pub(super) fn name_of(&self, nonce: &str) -> Option<String> {
        match &self.0.lock().by_name.get(nonce)?.what {
            What::Named(name) => Some(name.clone()),
            What::Values(_) => None,
        }
    }

    /// Lets go of what was bound to a handle. Large values stay for the tickets that name them, until their time is over.
    pub(super) fn forget(&self, nonce: &str) {
        self.0.lock().take(nonce);
    }
}

impl Kept {
    fn put(&mut self, owner: &str, name: String, what: What, now: Instant) {
        self.take(&name);
        let bytes = match &what {
            What::Values(parameters) => parameters.bytes(),
            What::Named(_) => 0,
        };
        self.stamp = self.stamp.wrapping_add(1);
        let share = self.owners.entry(owner.to_owned()).or_default();
        share.bindings += 1;
        share.bytes += bytes;
        self.bytes += bytes;
        self.order.insert(self.stamp, name.clone());
        let binding = Binding {
            owner: owner.to_owned(),
            what,
            bytes,
            stamp: self.stamp,
            at: now,
        };
        self.by_name.insert(name, binding);
        self.bound(owner, now);
    }

    fn take(&mut self, name: &str) -> Option<Binding> {
        let binding = self.by_name.remove(name)?;
        self.order.remove(&binding.stamp);
        self.bytes -= binding.bytes;
        if let Some(share) = self.owners.get_mut(&binding.owner) {
            share.bindings -= 1;
            share.bytes -= binding.bytes;
            if share.bindings == 0 {
                self.owners.remove(&binding.owner);
            }
        }
        Some(binding)
    }

    /// Lets go of what is old, then of what is too much; what was put last stays.
    fn bound(&mut self, owner: &str, now: Instant) {
        while let Some((_, oldest)) = self.order.first_key_value() {
            let oldest = oldest.clone();
            let is_over = |binding: &Binding| now.duration_since(binding.at) >= LIFETIME;
            if !self.by_name.get(&oldest).is_some_and(is_over) {
                break;
            }
            self.take(&oldest);
        }
        let is_much = |share: &Share| share.bytes > OWN_BYTES_MAX || share.bindings > OWN_MAX;
        while self.owners.get(owner).is_some_and(is_much) && self.take_oldest_of(owner) {}
        while self.bytes > BYTES_MAX || self.by_name.len() > MAX {
            let by_bytes = self.bytes > BYTES_MAX;
            // Of this login the binding put just now stays, so it makes room only when it has others.
            let shares = self.owners.iter();
            let others = shares.filter(|(name, share)| *name != owner || share.bindings > 1);
            let most = others.max_by_key(|(_, share)| if by_bytes { share.bytes } else { share.bindings });
            let Some(most) = most.map(|(name, _)| name.clone()) else {
                break;
            };
            if !self.take_oldest_of(&most) {
                break;
            }
        }
    }

    /// Whether there was one to take that was not put just now.
    fn take_oldest_of(&mut self, owner: &str) -> bool {
        let mut names = self.order.iter().filter(|(stamp, _)| **stamp != self.stamp);
        let found = names.find(|(_, name)| self.by_name.get(*name).is_some_and(|binding| binding.owner == owner));
        match found.map(|(_, name)| name.clone()) {
            Some(name) => self.take(&name).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;

    fn of_bytes(bytes: usize) -> Parameters {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![0; bytes / 8]));
        Parameters::from(RecordBatch::try_from_iter([("$1", column)]).unwrap())
    }

    #[test]
    fn who_binds_much_loses_his_own_and_nobody_elses() {
        let bindings = Bindings::default();
        let of_ana = bindings.keep_new("ana", of_bytes(7 << 20));
        let of_sam: Vec<String> = (0..20).map(|_| bindings.keep_new("sam", of_bytes(7 << 20))).collect();
        assert!(bindings.of(&of_ana).is_some());
        let kept = of_sam.iter().filter(|name| bindings.of(name).is_some()).count();
        assert_eq!(kept, OWN_BYTES_MAX / (7 << 20), "the youngest of his");
        assert!(bindings.of(&of_sam[19]).is_some() && bindings.of(&of_sam[0]).is_none());
        // Many logins together: the one with most makes room.
        for login in 0..40 {
            bindings.keep_new(&format!("login{login}"), of_bytes(7 << 20));
        }
        let kept = bindings.0.lock();
        assert!(kept.bytes <= BYTES_MAX);
        assert_eq!(
            kept.bytes,
            kept.by_name.values().map(|binding| binding.bytes).sum::<usize>()
        );
        assert!(
            kept.owners.values().all(|share| share.bytes <= 8 << 20),
            "nobody has many more than others"
        );
        assert!(kept.owners.len() > 30);
    }

    #[test]
    fn a_handle_has_what_was_bound_last_and_a_large_one_is_kept_once() {
        let bindings = Bindings::default();
        let large = of_bytes(1 << 20);
        let name = bindings.keep_new("ana", large.clone());
        bindings.keep("ana", "nonce", large.clone(), &Bound::Kept(name.clone()));
        assert_eq!(
            (bindings.of("nonce"), bindings.of(&name)),
            (Some(large.clone()), Some(large.clone()))
        );
        assert_eq!(bindings.name_of("nonce"), Some(name.clone()));
        assert!(bindings.0.lock().bytes < 2 * large.bytes(), "once");
        let small = of_bytes(8);
        bindings.keep("ana", "nonce", small.clone(), &Bound::Inline(String::new()));
        assert_eq!((bindings.of("nonce"), bindings.name_of("nonce")), (Some(small), None));
        bindings.forget("nonce");
        assert_eq!(bindings.of("nonce"), None);
        // A ticket made before still has its own.
        assert_eq!(bindings.of(&name), Some(large));
        let mut kept = bindings.0.lock();
        kept.take(&name);
        assert!(kept.bytes == 0 && kept.owners.is_empty() && kept.order.is_empty());
    }

    #[test]
    fn bindings_end_after_their_time() {
        let mut kept = Kept::default();
        let now = Instant::now();
        kept.put("ana", "old".into(), What::Values(of_bytes(8)), now);
        kept.put("ana", "new".into(), What::Values(of_bytes(8)), now + LIFETIME);
        assert!(kept.by_name.contains_key("new") && !kept.by_name.contains_key("old"));
    }
}
