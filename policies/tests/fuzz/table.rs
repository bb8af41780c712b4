//! Random tables, and a second world in which only what is hidden differs.

use std::collections::BTreeMap;

use super::policy::Policy;
use super::rng::Rng;
use super::value::{Kind, Value};

pub(crate) type Row = Vec<Value>;

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: String,
    pub kind: Kind,
    pub tags: BTreeMap<String, String>,
}

/// A table's shape. The first column is `id`, different in each visible row.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Also the department that owns it.
    pub schema: String,
    pub name: String,
    pub columns: Vec<Column>,
    pub tags: BTreeMap<String, String>,
}

/// Rows of a small table: enough for joins that match, few enough that a statement costs nothing.
const ROWS_MAX: usize = 48;
/// Tries to find a hidden value that may stand in another's place.
const TRIES: usize = 6;

impl Table {
    pub(crate) fn random(rng: &mut Rng, at: usize, delta: bool) -> Table {
        let tag = |rng: &mut Rng, percent: usize| -> BTreeMap<String, String> {
            let mut tags = BTreeMap::new();
            if rng.chance(percent) {
                tags.insert("pii".to_owned(), "true".to_owned());
            }
            if rng.chance(percent) {
                tags.insert("class".to_owned(), (*rng.pick(&["open", "closed"])).to_owned());
            }
            tags
        };
        let mut columns = vec![Column {
            name: "id".to_owned(),
            kind: Kind::Int64,
            tags: BTreeMap::new(),
        }];
        for at in 0..rng.between(3, 7) {
            columns.push(Column {
                name: format!("c{at}"),
                kind: Kind::random(rng, delta),
                tags: tag(rng, 12),
            });
        }
        Table {
            schema: (*rng.pick(&["s0", "s1"])).to_owned(),
            name: format!("t{at}"),
            columns,
            tags: tag(rng, 10),
        }
    }

    fn row(&self, rng: &mut Rng, id: i64, hidden: bool) -> Row {
        let mut row = vec![Value::Int(id)];
        for column in &self.columns[1..] {
            row.push(column.kind.value(rng, hidden));
        }
        row
    }

    /// Rows of which some are hidden by the policy.
    pub(crate) fn rows(&self, rng: &mut Rng, policy: &Policy) -> Vec<Row> {
        let wanted = rng.between(0, ROWS_MAX as i64);
        let mut rows: Vec<Row> = Vec::new();
        for id in 0..wanted {
            let odd = rng.chance(35);
            let mut row = self.row(rng, id, odd);
            // A row that is shown may hold an odd value only where it is not seen.
            for _ in 0..TRIES {
                match policy.shown(self, &row) {
                    Some(seen) if seen.iter().any(Value::holds_mark) => row = self.row(rng, id, false),
                    _ => break,
                }
            }
            rows.push(row);
        }
        rows
    }

    /// The same table as far as the person can see, with other hidden rows and other hidden values.
    pub(crate) fn with_other_secrets(&self, rng: &mut Rng, policy: &Policy, rows: &[Row]) -> Vec<Row> {
        let mut other: Vec<Row> = Vec::new();
        let hide = |rng: &mut Rng, other: &mut Vec<Row>| {
            let many = if rng.chance(10) { 30 } else { rng.below(3) };
            for _ in 0..many {
                let id = rng.between(0, 2 * ROWS_MAX as i64);
                let row = self.row(rng, id, true);
                if policy.shown(self, &row).is_none() {
                    other.push(row);
                }
            }
        };
        for row in rows {
            hide(rng, &mut other);
            let Some(seen) = policy.shown(self, row) else {
                continue;
            };
            let mut now = row.clone();
            for at in 0..now.len() {
                for _ in 0..TRIES {
                    let mut changed = now.clone();
                    let odd = rng.chance(70);
                    changed[at] = self.columns[at].kind.value(rng, odd);
                    if policy.shown(self, &changed).is_some_and(|shown| same(&shown, &seen)) {
                        now = changed;
                    }
                }
            }
            other.push(now);
        }
        hide(rng, &mut other);
        other
    }
}

/// Equal also where NaN and −0.0 are told apart.
fn same(a: &[Value], b: &[Value]) -> bool {
    format!("{a:?}") == format!("{b:?}")
}
