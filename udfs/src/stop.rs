//! The stop button within a learner's reach: it works for minutes on one thread, and must let go of it when nobody waits for the model any more.

use std::cell::RefCell;

use crate::options::Cancel;

thread_local! {
    /// What the training on this thread is stopped by.
    static WATCHED: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

/// Puts back what was watched before, however the work ends.
struct Before(Option<Cancel>);

impl Drop for Before {
    fn drop(&mut self) {
        WATCHED.set(self.0.take());
    }
}

impl Cancel {
    /// Does the work, while learners on this thread look at this button.
    pub(crate) fn watched<T>(&self, work: impl FnOnce() -> T) -> T {
        let _before = Before(WATCHED.replace(Some(self.clone())));
        work()
    }
}

/// The button that is watched on this thread, for another one that helps it.
pub(crate) fn watched() -> Option<Cancel> {
    WATCHED.with_borrow(Clone::clone)
}

/// Whether the training on this thread is to stop: what a learner makes then is thrown away.
pub(crate) fn is_asked() -> bool {
    WATCHED.with_borrow(|watched| watched.as_ref().is_some_and(Cancel::is_cancelled))
}
