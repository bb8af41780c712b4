//! Plans kept between an announcement and its fetch.
//!
//! A client asks for the schema first (GetFlightInfo, or preparing) and fetches a moment later: the plan of the first
//! call serves the second. It is taken, not copied, because a plan that ran carries its run's state, and it fits only
//! the same principal, text, values and the very same snapshots; anything else is planned anew. Nothing depends on it:
//! a server that kept nothing would answer the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use labhouse_policies::Principal;
use parking_lot::Mutex;

use super::parts::Divisible;
use super::results::Reads;
use crate::audit::{Account, Facts, Wait};
use crate::session::World;

/// Plans kept: one for each of the statements that may run at once on a busy server of this size.
const KEPT_MAX: usize = 32;
/// Age at which a plan is no longer used. Planning fixes `now()` and reads system tables, so it must stay short.
const AGE_MAX: Duration = Duration::from_secs(1);

/// A planned read.
pub(super) struct Planned {
    pub(super) physical: Arc<dyn ExecutionPlan>,
    pub(super) state: Arc<SessionState>,
    /// The statement's parameters, bound ones included.
    pub(super) parameters: SchemaRef,
    /// What it was decided on.
    pub(super) facts: Arc<Facts>,
    /// What it reads, if its result may be kept.
    pub(super) reads: Option<Arc<Reads>>,
    /// What it reads row by row.
    pub(super) divisible: Option<Divisible>,
}

/// What a plan was made for.
pub(super) struct Asked {
    pub(super) who: Principal,
    pub(super) sql: String,
    pub(super) values: Vec<ScalarValue>,
    pub(super) world: World,
}

/// The account of a kept plan: it becomes durable while the client comes back for the rows.
pub(super) type Accounted = (Arc<Account>, Wait);

/// The plans that wait for their fetch.
#[derive(Default)]
pub(crate) struct Plans(Mutex<VecDeque<Kept>>);

struct Kept {
    asked: Asked,
    planned: Planned,
    accounted: Accounted,
    at: Instant,
}

impl Plans {
    /// Keeps a plan; the oldest makes room.
    pub(super) fn keep(&self, asked: Asked, planned: Planned, accounted: Accounted) {
        let mut kept = self.0.lock();
        let (young, old) = std::mem::take(&mut *kept)
            .into_iter()
            .partition(|kept| kept.at.elapsed() <= AGE_MAX);
        *kept = young;
        let oldest = if kept.len() >= KEPT_MAX { kept.pop_front() } else { None };
        let old: VecDeque<Kept> = old;
        old.into_iter().chain(oldest).for_each(Kept::unused);
        let at = Instant::now();
        kept.push_back(Kept {
            asked,
            planned,
            accounted,
            at,
        });
    }

    /// The kept plan's result columns (in the engine's types), parameters and what it reads row by row; the plan stays.
    pub(super) fn announced(
        &self,
        who: &Principal,
        sql: &str,
        values: &[ScalarValue],
        world: &World,
    ) -> Option<(SchemaRef, SchemaRef, Option<Divisible>)> {
        let kept = self.0.lock();
        let found = kept.iter().find(|kept| kept.fits(who, sql, values, world))?;
        let planned = &found.planned;
        Some((
            planned.physical.schema(),
            Arc::clone(&planned.parameters),
            planned.divisible.clone(),
        ))
    }

    /// Takes the kept plan away.
    pub(super) fn take(
        &self,
        who: &Principal,
        sql: &str,
        values: &[ScalarValue],
        world: &World,
    ) -> Option<(Planned, Accounted)> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|kept| kept.fits(who, sql, values, world))?;
        kept.remove(at).map(|kept| (kept.planned, kept.accounted))
    }

    /// Lets go of all plans.
    pub(crate) fn clear(&self) {
        std::mem::take(&mut *self.0.lock()).into_iter().for_each(Kept::unused);
    }
}

impl Kept {
    fn unused(self) {
        let (account, _) = self.accounted;
        account.not_fetched();
    }

    fn fits(&self, who: &Principal, sql: &str, values: &[ScalarValue], world: &World) -> bool {
        let asked = &self.asked;
        asked.sql == sql
            && asked.who == *who
            && asked.values == values
            && asked.world.same(world)
            && self.at.elapsed() <= AGE_MAX
    }
}
