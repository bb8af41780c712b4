//! In which order a table's rows should lie: by the columns that questions compare, as far as that tells nobody anything.
//!
//! An order is a channel: who reads rows in the order of a column learns how its values compare, although the column may be
//! hidden from him or masked. So rows are arranged by a column only if everybody who may read the table sees that column as
//! it is, and by several (whose curve follows quantiles of all rows) only if nobody's rows are filtered. When policies change
//! so that this no longer holds, the rows go back to the order in which they came.

use std::collections::BTreeSet;

use labhouse_catalog::{LakeTable, arranged_by, is_parted_by, unarranged_bytes};
use labhouse_policies::{Action, Principal, TableAccess};

use crate::config::Care as Settings;
use crate::engine::Engine;

/// A column counts when so many scans were narrowed by it,
const SCANS_MIN: u64 = 32;
/// and not less than one of so many of those that the most used column narrowed.
const SHARE: u64 = 4;
/// Columns that rows are arranged by of itself.
const COLUMNS_MAX: usize = 3;
/// Other columns must be asked so many times as often before a table is arranged anew.
const ADVANTAGE: u64 = 4;
/// A login that nobody has: what rules for everybody give.
const STRANGER: &str = "\u{1}";

/// Which orders of a table tell nobody anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Telling {
    /// Columns that somebody who may read the table does not see as they are.
    kept_from_some: BTreeSet<String>,
    /// Whether somebody sees a part of the rows.
    filtered: bool,
}

impl Telling {
    /// Asks the policies for everybody they or the users file know.
    pub(crate) fn of(engine: &Engine, table: &LakeTable) -> Self {
        let (policies, object) = (engine.policies.current(), engine.world().object(table));
        let mut people: BTreeSet<String> = engine.auth.names().into_iter().collect();
        people.extend(policies.people());
        let mut told = Self {
            kept_from_some: BTreeSet::new(),
            filtered: false,
        };
        let known = people
            .into_iter()
            .map(|name| engine.auth.named(&name).unwrap_or_else(|| Principal::new(&name)));
        for who in known.chain([Principal::new(STRANGER)]) {
            let access = policies.table(&who, &object, engine.sessions.system(), Action::Select);
            let TableAccess::Open(access) = access else { continue };
            told.filtered |= access.row_filter.is_some();
            for (at, field) in access.schema.fields().iter().enumerate() {
                let name = field.name();
                if access.columns.binary_search(&at).is_err()
                    || access.masks.contains_key(name)
                    || access.types.contains_key(name)
                {
                    told.kept_from_some.insert(name.clone());
                }
            }
        }
        told
    }

    /// Why rows must not lie in the order of these columns.
    pub(crate) fn objection(&self, by: &[String]) -> Option<String> {
        if let Some(column) = by.iter().find(|column| self.kept_from_some.contains(*column)) {
            return Some(format!(
                "column {column} is hidden from or masked for somebody who may read the table, and the order of the rows would tell about it"
            ));
        }
        (self.filtered && by.len() > 1).then(|| {
            "somebody sees a part of the table's rows, and an order by several columns would tell how the others are distributed; name one column".to_owned()
        })
    }
}

/// The columns that the rows of a table that rests should be arranged by now; none when it is well as it is.
/// `again`: the table was not arranged for a while.
pub(super) fn wanted(engine: &Engine, settings: &Settings, table: &LakeTable, again: bool) -> Option<Vec<String>> {
    let least = settings.arrange_mib.saturating_mul(1 << 20);
    if least == 0 || table.bytes() < least {
        return None;
    }
    let by = arranged_by(table);
    let asked = engine.catalog.lake().asked().of(table.name());
    let mut columns = asked_most(&asked);
    if !by.is_empty() {
        if again && outdated(&by, &asked) {
            restrain(&mut columns, &Telling::of(engine, table));
            return (!columns.is_empty() && columns != by).then_some(columns);
        }
        // What came since is arranged when it is worth a file of its own.
        return (unarranged_bytes(table, &by) >= least).then_some(by);
    }
    if columns.is_empty() {
        return None;
    }
    restrain(&mut columns, &Telling::of(engine, table));
    (!columns.is_empty() && columns.iter().any(|column| !is_parted_by(table, column))).then_some(columns)
}

fn restrain(columns: &mut Vec<String>, telling: &Telling) {
    columns.retain(|column| !telling.kept_from_some.contains(column));
    if telling.filtered {
        columns.truncate(1);
    }
}

/// The columns that many scans compared, the most used first.
fn asked_most(asked: &[(String, u64)]) -> Vec<String> {
    let most = asked.first().map_or(0, |(_, count)| *count);
    let often = |count: u64| count >= SCANS_MIN && count.saturating_mul(SHARE) >= most;
    let columns = asked.iter().filter(|(_, count)| often(*count));
    columns.take(COLUMNS_MAX).map(|(column, _)| column.clone()).collect()
}

/// Whether questions ask for something else by far than what the rows are arranged by.
fn outdated(by: &[String], asked: &[(String, u64)]) -> bool {
    let Some((first, most)) = asked.first() else {
        return false;
    };
    let used = asked
        .iter()
        .filter(|(column, _)| by.contains(column))
        .map(|(_, count)| *count);
    *most >= SCANS_MIN && !by.contains(first) && *most >= used.max().unwrap_or(0).saturating_mul(ADVANTAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(asked: &[(&str, u64)]) -> Vec<(String, u64)> {
        asked.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn columns_that_many_scans_compare_are_chosen() {
        assert_eq!(asked_most(&counts(&[("a", 200), ("b", 60), ("c", 49)])), ["a", "b"]);
        assert_eq!(asked_most(&counts(&[("a", 31)])), Vec::<String>::new());
        assert_eq!(
            asked_most(&counts(&[("a", 40), ("b", 40), ("c", 40), ("d", 40)])),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn an_order_is_outdated_when_others_are_asked_by_far() {
        let by = ["a".to_owned(), "b".to_owned()];
        assert!(outdated(&by, &counts(&[("c", 400), ("a", 100)])));
        assert!(!outdated(&by, &counts(&[("c", 399), ("a", 100)])));
        assert!(!outdated(&by, &counts(&[("b", 400), ("c", 300)])));
        assert!(!outdated(&by, &counts(&[("c", 31)])), "too few questions");
        assert!(!outdated(&by, &[]));
    }

    #[test]
    fn an_order_that_tells_somebody_is_objected_to() {
        let told = |kept: &[&str], filtered| Telling {
            kept_from_some: kept.iter().map(|name| (*name).to_owned()).collect(),
            filtered,
        };
        let by = ["a".to_owned(), "b".to_owned()];
        assert_eq!(told(&["c"], false).objection(&by), None);
        assert!(
            told(&["b"], false)
                .objection(&by)
                .unwrap()
                .contains("column b is hidden")
        );
        assert!(told(&[], true).objection(&by).unwrap().contains("name one column"));
        assert_eq!(told(&[], true).objection(&by[..1]), None);
        let mut columns = vec!["b".to_owned(), "a".to_owned(), "c".to_owned()];
        restrain(&mut columns, &told(&["b"], true));
        assert_eq!(columns, ["a"]);
    }
}
