//! Indexes that were made lately. One serves the person it was made for, on the very snapshots it was made of; nothing depends on
//! it but time.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use datafusion::execution::TaskContext;
use labhouse_catalog::CatalogSnapshot;
use labhouse_catalog::search::SearchIndex;
use labhouse_policies::{PolicySet, Principal};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::documents::{Entry, gather};
use super::samples::Samples;
use crate::models::ModelSnapshot;
use crate::query::QueryError;
use crate::session::{Governed, World};

/// Indexes kept: people who search at the same time are few.
const KEPT_MAX: usize = 16;
/// Bytes of texts in all of them, the newest left out; an index takes about four times as many itself.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Age at which an index is made anew: it holds values that a row filter showed then, and a filter may follow the clock.
const AGE_MAX: Duration = Duration::from_secs(30);
/// The same for one that lacks values because there was no time to read them all.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(2);
/// Indexes that are made at the same time; who comes later waits, and finds his own made if he asked twice.
const MADE_AT_ONCE: usize = 2;

/// The indexes of all people.
pub(crate) struct Searches {
    kept: Mutex<VecDeque<Kept>>,
    samples: Samples,
    making: Semaphore,
}

/// An index and what its documents are.
pub(super) struct Searchable {
    pub(super) index: SearchIndex,
    pub(super) entries: Vec<Entry>,
}

struct Kept {
    who: Principal,
    on: Snapshots,
    until: Instant,
    searchable: Arc<Searchable>,
}

/// The snapshots of a world, not kept alive.
struct Snapshots {
    policies: Weak<PolicySet>,
    catalog: Weak<CatalogSnapshot>,
    models: Weak<ModelSnapshot>,
}

impl Default for Searches {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            samples: Samples::default(),
            making: Semaphore::new(MADE_AT_ONCE),
        }
    }
}

impl Searches {
    /// The index of what `governed`'s principal sees.
    pub(super) async fn of(
        &self,
        governed: &Arc<Governed>,
        context: Arc<TaskContext>,
    ) -> Result<Arc<Searchable>, QueryError> {
        if let Some(found) = self.find(governed) {
            return Ok(found);
        }
        let _one = self.making.acquire().await.map_err(QueryError::internal)?;
        if let Some(found) = self.find(governed) {
            return Ok(found);
        }
        let view = Arc::clone(governed);
        let shown = away(move || view.shown()).await?;
        let sampled = self.samples.of(governed, &shown, &context).await;
        let age = if sampled.is_complete {
            AGE_MAX
        } else {
            UNFINISHED_AGE_MAX
        };
        let view = Arc::clone(governed);
        let made = away(move || {
            let (entries, documents): (Vec<_>, Vec<_>) = gather(&view, &shown, &sampled).into_iter().unzip();
            let index = SearchIndex::new(documents).map_err(QueryError::internal)?;
            Ok::<_, QueryError>(Arc::new(Searchable { index, entries }))
        });
        let made = made.await??;
        self.keep(governed, &made, age);
        Ok(made)
    }

    fn find(&self, governed: &Governed) -> Option<Arc<Searchable>> {
        let kept = self.kept.lock();
        let mut fitting = kept.iter().filter(|one| one.fits(governed));
        fitting.next().map(|one| Arc::clone(&one.searchable))
    }

    fn keep(&self, governed: &Governed, searchable: &Arc<Searchable>, age: Duration) {
        let mut kept = self.kept.lock();
        kept.retain(|one| one.is_of_use() && one.who != *governed.who());
        let bytes = |kept: &VecDeque<Kept>| kept.iter().map(|one| one.searchable.index.bytes()).sum::<usize>();
        while kept.len() >= KEPT_MAX || bytes(&kept) > KEPT_BYTES_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            who: governed.who().clone(),
            on: Snapshots::of(governed.world()),
            until: Instant::now() + age,
            searchable: Arc::clone(searchable),
        });
    }
}

impl Kept {
    fn fits(&self, governed: &Governed) -> bool {
        self.who == *governed.who() && self.on.are_of(governed.world()) && Instant::now() < self.until
    }

    /// Young, and of snapshots that may still be the newest.
    fn is_of_use(&self) -> bool {
        Instant::now() < self.until && self.on.are_alive()
    }
}

impl Snapshots {
    fn of(world: &World) -> Self {
        Self {
            policies: Arc::downgrade(&world.policies),
            catalog: Arc::downgrade(&world.catalog),
            models: Arc::downgrade(&world.models),
        }
    }

    fn are_of(&self, world: &World) -> bool {
        self.policies.as_ptr() == Arc::as_ptr(&world.policies)
            && self.catalog.as_ptr() == Arc::as_ptr(&world.catalog)
            && self.models.as_ptr() == Arc::as_ptr(&world.models)
    }

    fn are_alive(&self) -> bool {
        self.policies.strong_count() > 0 && self.catalog.strong_count() > 0 && self.models.strong_count() > 0
    }
}

/// Work that takes the processor, where nobody's answer waits for it.
async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, QueryError> {
    tokio::task::spawn_blocking(work).await.map_err(QueryError::internal)
}
