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
use datafusion::logical_expr::Expr;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, Explanation, PolicySet, Principal};

use change::{Changes, RowsChange, TableChange, rights};

use super::counting::{Reader, When, conditions_of};
use super::{Lab, Trouble};
use crate::session::Governed;

/// Principals compared in one pass over each table. Most of them share their filters with others of the same role.
const BLOCK: usize = 64;

/// The two views that one principal has.
struct Sides {
    who: Principal,
    old: Arc<Governed>,
    new: Arc<Governed>,
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
        let mut seen = Vec::with_capacity(sides.len());
        for side in sides {
            seen.push((explained(&side.old, name)?, explained(&side.new, name)?));
        }
        let rows = match Lab::has_rows(name) {
            true => rows(reader, name, &seen, now).await?,
            false => vec![None; sides.len()],
        };
        for (((changes, side), (old, new)), rows) in all.iter_mut().zip(sides).zip(&seen).zip(rows) {
            let mut change = TableChange::between(old, new, rows);
            change.rights = rights((&side.old, old), (&side.new, new), name);
            if !change.is_nothing() {
                changes.tables.push(change);
            }
        }
    }
    all.retain(|changes| !changes.is_nothing());
    Ok(all)
}

fn explained(view: &Governed, name: &TableName) -> Result<Explanation, Trouble> {
    let object = view.object(&name.schema, &name.table);
    let object = object.ok_or_else(|| format!("there is no table lab.{name}"))?;
    let policies = &view.world().policies;
    Ok(policies.explain(view.who(), &object, view.system(), Action::Select))
}

/// Rows gained and lost by each side, in one pass over the table. Equal filters are not asked of the data at all.
async fn rows(
    reader: &Reader,
    name: &TableName,
    seen: &[(Explanation, Explanation)],
    now: DateTime<Utc>,
) -> Result<Vec<Option<RowsChange>>, Trouble> {
    let mut pairs: Vec<Option<(Expr, Expr)>> = Vec::with_capacity(seen.len());
    for (old, new) in seen {
        let (old, new) = (conditions_of(&old.access, now)?, conditions_of(&new.access, now)?);
        pairs.push((old != new).then_some((old, new)));
    }
    let mut at: HashMap<&(Expr, Expr), usize> = HashMap::new();
    let mut wanted = Vec::new();
    for pair in pairs.iter().flatten() {
        if at.contains_key(pair) {
            continue;
        }
        at.insert(pair, wanted.len());
        let (old, new) = pair;
        for (is, is_not) in [(new, old), (old, new)] {
            wanted.push(When {
                is: vec![is.clone()],
                is_not: vec![is_not.clone()],
            });
        }
    }
    if wanted.is_empty() {
        return Ok(vec![None; seen.len()]);
    }
    let counts = reader.count(name, &wanted).await?;
    let change = |pair: &(Expr, Expr)| {
        // The first count is that of all rows.
        let first = at.get(pair)? + 1;
        Some(RowsChange {
            gained: *counts.get(first)?,
            lost: *counts.get(first + 1)?,
        })
    };
    Ok(pairs.iter().map(|pair| pair.as_ref().and_then(change)).collect())
}
