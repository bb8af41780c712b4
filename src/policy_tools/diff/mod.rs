//! `labhouse policy diff`: what each principal gains and loses between two policy directories, on the data of now.
//!
//! Rows are compared one by one, not by their number: a row is gained when the new policies show it and the old ones do
//! not. Both filters are evaluated in the same pass over the table, for a block of principals at once, and nothing is
//! kept but counts; so memory is bounded by the size of a block times the number of tables.

mod change;
mod telling;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, Explanation, PolicySet, Principal};

pub(crate) use change::Changes;
use change::{RowsChange, TableChange, rights};

use super::counting::{Reader, When, conditions_of};
use super::{Lab, Trouble};
use crate::session::Governed;

/// Principals compared in one pass over each table. Most of them share their filters with others of the same role.
const BLOCK: usize = 64;

/// The two views that one principal has.
pub(crate) struct Sides {
    pub(crate) who: Principal,
    pub(crate) old: Arc<Governed>,
    pub(crate) new: Arc<Governed>,
}

/// Tells on `out` what differs; false when nothing does.
pub(crate) async fn run(
    lab: &Lab,
    old: &Arc<PolicySet>,
    new: &Arc<PolicySet>,
    json: bool,
    out: &mut dyn Write,
) -> Result<bool, Trouble> {
    let everything = lab.administrator();
    let tables = lab.tables(&everything);
    let reader = Reader {
        state: lab.session(&everything)?,
        view: everything,
    };
    let everybody = lab.everybody(&[old, new]);
    let now = Utc::now();
    let mut differing = 0_usize;
    for block in everybody.chunks(BLOCK) {
        let sides: Vec<Sides> = block
            .iter()
            .map(|who| Sides {
                who: who.clone(),
                old: lab.view(who, old),
                new: lab.view(who, new),
            })
            .collect();
        for changes in compare(&reader, &tables, &sides, now).await? {
            differing += 1;
            match json {
                true => writeln!(out, "{}", changes.json())?,
                false => changes.write(out)?,
            }
        }
    }
    if !json {
        let same = everybody.len() - differing;
        writeln!(
            out,
            "{differing} of {} principals see or may something else, {same} do not; {} tables were compared",
            everybody.len(),
            tables.len()
        )?;
    }
    Ok(differing > 0)
}

/// The changes of those for whom anything changes.
async fn compare(
    reader: &Reader,
    tables: &[TableName],
    sides: &[Sides],
    now: DateTime<Utc>,
) -> Result<Vec<Changes>, Trouble> {
    let mut all: Vec<Changes> = sides.iter().map(Changes::of).collect();
    for name in tables {
        let compared = Compared::of(name, sides, now)?;
        let counts = match compared.wanted.as_slice() {
            [] => Vec::new(),
            wanted => reader.count(name, wanted).await?,
        };
        compared.tell(name, sides, &counts, &mut all);
    }
    all.retain(|changes| !changes.is_nothing());
    Ok(all)
}

/// One table under both policies, as each person sees it, and the counts that are still to be made. Equal filters are not asked
/// of the data at all.
pub(crate) struct Compared {
    seen: Vec<(Explanation, Explanation)>,
    /// Where a person's counts are among the wanted ones, of those with two filters.
    at: Vec<Option<usize>>,
    /// Rows gained and rows lost, in turn.
    pub(crate) wanted: Vec<When>,
}

impl Compared {
    /// # Errors
    /// A filter that the table's columns do not fit.
    pub(crate) fn of(name: &TableName, sides: &[Sides], now: DateTime<Utc>) -> Result<Self, DataFusionError> {
        let mut compared = Self {
            seen: Vec::with_capacity(sides.len()),
            at: Vec::with_capacity(sides.len()),
            wanted: Vec::new(),
        };
        let mut known: HashMap<(Expr, Expr), usize> = HashMap::new();
        for side in sides {
            let (old, new) = (explained(&side.old, name)?, explained(&side.new, name)?);
            let (before, after) = (conditions_of(&old.access, now)?, conditions_of(&new.access, now)?);
            compared.seen.push((old, new));
            if before == after || !Lab::has_rows(name) {
                compared.at.push(None);
                continue;
            }
            let wanted = &mut compared.wanted;
            let at = *known.entry((before.clone(), after.clone())).or_insert_with(|| {
                let at = wanted.len();
                for (is, is_not) in [(&after, &before), (&before, &after)] {
                    wanted.push(When {
                        is: vec![is.clone()],
                        is_not: vec![is_not.clone()],
                    });
                }
                at
            });
            compared.at.push(Some(at));
        }
        Ok(compared)
    }

    /// Puts what changes about this table to what changes for each person; the first of `counts` is that of all rows.
    pub(crate) fn tell(self, name: &TableName, sides: &[Sides], counts: &[u64], all: &mut [Changes]) {
        for (((changes, side), (old, new)), at) in all.iter_mut().zip(sides).zip(&self.seen).zip(&self.at) {
            let rows = at.and_then(|at| {
                Some(RowsChange {
                    gained: *counts.get(at + 1)?,
                    lost: *counts.get(at + 2)?,
                })
            });
            let mut change = TableChange::between(old, new, rows);
            change.rights = rights((&side.old, old), (&side.new, new), name);
            if !change.is_nothing() {
                changes.tables.push(change);
            }
        }
    }
}

fn explained(view: &Governed, name: &TableName) -> Result<Explanation, DataFusionError> {
    let object = view.object(&name.schema, &name.table);
    let object = object.ok_or_else(|| DataFusionError::Plan(format!("there is no table lab.{name}")))?;
    let policies = &view.world().policies;
    Ok(policies.explain(view.who(), &object, view.system(), Action::Select))
}
