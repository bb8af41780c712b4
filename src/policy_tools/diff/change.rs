//! What changes for one principal: tables, columns, masks, rows, rights.

use std::collections::BTreeSet;

use labhouse_catalog::TableName;
use labhouse_policies::{Action, ColumnVerdict, Explanation, TableAccess};

use super::Sides;
use crate::policy_tools::rights::may_on_table;
use crate::session::Governed;

/// Everything that changes for one principal.
pub(super) struct Changes {
    pub(super) principal: String,
    pub(super) tables: Vec<TableChange>,
    /// Functions and models, by object.
    pub(super) execute: Gained<String>,
}

/// What is there now and was not, and the reverse.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gained<T> {
    pub(super) gained: Vec<T>,
    pub(super) lost: Vec<T>,
}

/// What changes about one table.
#[derive(Debug)]
pub(super) struct TableChange {
    pub(super) table: String,
    /// Whether the table itself is gained or lost.
    pub(super) seen: Seen,
    pub(super) columns: Gained<String>,
    /// Columns seen before and after, with the mask they have now, or none.
    pub(super) masks: Vec<(String, Option<String>)>,
    /// None when both filters are the same, or the table has no rows without a server.
    pub(super) rows: Option<RowsChange>,
    pub(super) rights: Gained<Action>,
}

/// Whether a table is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Gained,
    Lost,
    Both,
}

/// Rows seen under exactly one of both policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowsChange {
    pub(super) gained: u64,
    pub(super) lost: u64,
}

impl<T: Ord + Clone> Gained<T> {
    fn between(old: &BTreeSet<T>, new: &BTreeSet<T>) -> Self {
        Self {
            gained: new.difference(old).cloned().collect(),
            lost: old.difference(new).cloned().collect(),
        }
    }
}

impl<T> Gained<T> {
    pub(super) fn is_nothing(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty()
    }
}

impl Changes {
    /// With functions and models compared; tables are added later.
    pub(super) fn of(sides: &Sides) -> Self {
        let may = |view: &Governed| -> BTreeSet<String> {
            let allowed = view.executables().into_iter().filter(|(_, decision)| decision.allowed);
            allowed.map(|(object, _)| object).collect()
        };
        Self {
            principal: sides.who.name.clone(),
            tables: Vec::new(),
            execute: Gained::between(&may(&sides.old), &may(&sides.new)),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.tables.is_empty() && self.execute.is_nothing()
    }
}

impl TableChange {
    pub(super) fn between(old: &Explanation, new: &Explanation, rows: Option<RowsChange>) -> Self {
        let (seen_old, seen_new) = (columns(old), columns(new));
        let both = seen_old.intersection(&seen_new);
        let masks = both
            .filter(|column| mask(old, column) != mask(new, column))
            .map(|column| {
                let name = new.columns.iter().find(|why| why.name == **column);
                let name = name.and_then(|why| match &why.verdict {
                    ColumnVerdict::Masked(name) => Some(name.clone()),
                    ColumnVerdict::Shown | ColumnVerdict::Hidden => None,
                });
                ((*column).clone(), name)
            });
        Self {
            table: new.table.to_string(),
            seen: match (seen_old.is_empty(), seen_new.is_empty()) {
                (true, true) => Seen::Never,
                (true, false) => Seen::Gained,
                (false, true) => Seen::Lost,
                (false, false) => Seen::Both,
            },
            masks: masks.collect(),
            columns: Gained::between(&seen_old, &seen_new),
            rows: rows.filter(|rows| rows.gained + rows.lost > 0),
            rights: Gained {
                gained: Vec::new(),
                lost: Vec::new(),
            },
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        let same_table = matches!(self.seen, Seen::Never | Seen::Both);
        same_table
            && self.columns.is_nothing()
            && self.masks.is_empty()
            && self.rows.is_none()
            && self.rights.is_nothing()
    }
}

/// What may be done with a table under one set and not under the other; each side is a view and what it shows.
pub(super) fn rights(
    old: (&Governed, &Explanation),
    new: (&Governed, &Explanation),
    name: &TableName,
) -> Gained<Action> {
    let may = |(view, seen): (&Governed, &Explanation)| -> BTreeSet<Action> {
        let object = view.object(&name.schema, &name.table);
        let actions = object.map(|object| may_on_table(view, &object, name, seen));
        actions.into_iter().flatten().collect()
    };
    Gained::between(&may(old), &may(new))
}

/// The columns of the shape itself: an open table has at least one.
fn columns(explanation: &Explanation) -> BTreeSet<String> {
    let TableAccess::Open(access) = &explanation.access else {
        return BTreeSet::new();
    };
    let fields = access.schema.fields();
    let seen = access.columns.iter().filter_map(|at| fields.get(*at));
    seen.map(|field| field.name().clone()).collect()
}

/// The mask itself and not its name: the same name may come to mean something else.
fn mask<'a>(explanation: &'a Explanation, column: &str) -> Option<&'a datafusion::logical_expr::Expr> {
    match &explanation.access {
        TableAccess::Open(access) => access.masks.get(column),
        TableAccess::Hidden(_) => None,
    }
}
