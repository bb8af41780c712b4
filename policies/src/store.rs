//! The policy in force, swapped whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::Utc;
use parking_lot::Mutex;

use crate::problem::PolicyErrors;
use crate::set::{PolicyFiles, PolicySet};

/// Holds the current [`PolicySet`]. A reader sees the old set or the new one, never a mix; a set with an error never
/// comes into force.
#[derive(Debug)]
pub struct PolicyStore {
    dir: PathBuf,
    current: ArcSwap<PolicySet>,
    problem: ArcSwapOption<PolicyErrors>,
    reloading: Mutex<()>,
}

impl PolicyStore {
    /// Loads the policy in `dir` as generation 1.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub fn open(dir: &Path) -> Result<Self, PolicyErrors> {
        let set = PolicySet::load(dir, 1)?;
        Ok(PolicyStore {
            dir: dir.to_owned(),
            current: ArcSwap::from_pointee(set),
            problem: ArcSwapOption::empty(),
            reloading: Mutex::new(()),
        })
    }

    /// The set in force. Take it once per statement.
    pub fn current(&self) -> Arc<PolicySet> {
        let current = self.current.load_full();
        if current.is_over(Utc::now()) {
            return self.renew();
        }
        current
    }

    /// Puts the same policy in force again without the lines whose time is over. If that fails nobody may do anything: a
    /// right that has ended must not go on.
    fn renew(&self) -> Arc<PolicySet> {
        let _one_at_a_time = self.reloading.lock();
        let current = self.current.load_full();
        let now = Utc::now();
        if !current.is_over(now) {
            return current;
        }
        let next = current.renewed(now).unwrap_or_else(|problems| {
            tracing::error!(%problems, "the policy cannot go on without its expired lines: everything is closed");
            current.closed()
        });
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        next
    }

    /// Reads the directory again and puts it in force if its content changed and both the loader and `check` (usually
    /// [`PolicySet::verify`] against the tables that exist) accept it. `true` if a new set is in force.
    ///
    /// # Errors
    /// What is wrong with the new content. The old set stays in force, and [`PolicyStore::problem`] tells of it until a
    /// later reload succeeds. It is read and checked again at every reload:
    /// what made `check` fail may have gone.
    pub fn reload(&self, check: impl FnOnce(&PolicySet) -> Result<(), PolicyErrors>) -> Result<bool, PolicyErrors> {
        let _one_at_a_time = self.reloading.lock();
        let outcome = PolicyFiles::read(&self.dir).and_then(|files| {
            let current = self.current.load_full();
            if files.fingerprint() == current.fingerprint() {
                return Ok(None);
            }
            let set = PolicySet::from_files(&files, current.generation() + 1)?;
            check(&set)?;
            Ok(Some(set))
        });
        match outcome {
            Ok(set) => {
                self.problem.store(None);
                let changed = set.is_some();
                if let Some(set) = set {
                    self.current.store(Arc::new(set));
                }
                Ok(changed)
            }
            Err(problem) => {
                self.problem.store(Some(Arc::new(problem.clone())));
                Err(problem)
            }
        }
    }

    /// What is wrong with the files on disk, while an older set stays in force.
    pub fn problem(&self) -> Option<Arc<PolicyErrors>> {
        self.problem.load_full()
    }
}
