//! What changes for one principal: tables, columns, masks, rows, rights.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::logical_expr::Expr;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, ColumnVerdict, Explanation, TableAccess};

use super::Sides;
use crate::policy_tools::rights::may_on_table;
use crate::session::Governed;

/// Everything that changes for one principal.
pub(crate) struct Changes {
    pub(crate) principal: String,
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
    /// Columns and fields seen before and after, with the mask they have now, or none.
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
    pub(crate) fn of(sides: &Sides) -> Self {
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

    pub(crate) fn is_nothing(&self) -> bool {
        self.tables.is_empty() && self.execute.is_nothing()
    }
}

impl TableChange {
    pub(super) fn between(old: &Explanation, new: &Explanation, rows: Option<RowsChange>) -> Self {
        let (seen_old, seen_new) = (columns(old), columns(new));
        let mut seen = Gained::between(&seen_old, &seen_new);
        // A column that comes or goes takes its fields along.
        for paths in [&mut seen.gained, &mut seen.lost] {
            let whole = paths.clone();
            paths.retain(|path| !whole.iter().any(|other| path.starts_with(&format!("{other}/"))));
        }
        let (masks_old, masks_new) = (masks(old), masks(new));
        let both = seen_old.intersection(&seen_new);
        let changed = both.filter(|path| masks_old.get(*path) != masks_new.get(*path));
        let changed = changed.map(|path| (path.clone(), masks_new.get(path).map(|(name, _)| name.clone())));
        Self {
            table: new.table.to_string(),
            seen: match (seen_old.is_empty(), seen_new.is_empty()) {
                (true, true) => Seen::Never,
                (true, false) => Seen::Gained,
                (false, true) => Seen::Lost,
                (false, false) => Seen::Both,
            },
            masks: changed.collect(),
            columns: seen,
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

/// What the shape itself shows: columns, and the fields inside them as `column/field`. An open table has at least one.
fn columns(explanation: &Explanation) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    if let TableAccess::Open(access) = &explanation.access {
        let fields = access.schema.fields();
        for field in access.columns.iter().filter_map(|at| fields.get(*at)) {
            let shown = access.types.get(field.name()).unwrap_or(field.data_type());
            add(field.name().clone(), shown, &mut seen);
        }
    }
    seen
}

fn add(path: String, data_type: &DataType, seen: &mut BTreeSet<String>) {
    for field in fields(data_type) {
        add(format!("{path}/{}", field.name()), field.data_type(), seen);
    }
    seen.insert(path);
}

/// The fields of a struct, or of the structs in a list.
fn fields(data_type: &DataType) -> &[FieldRef] {
    match data_type {
        DataType::Struct(fields) => fields,
        DataType::List(item) => fields(item.data_type()),
        _ => &[],
    }
}

/// The masks of columns and fields, by path: the name, and for a column what it does, because the same name may come to
/// mean something else.
fn masks(explanation: &Explanation) -> BTreeMap<String, (String, Option<&Expr>)> {
    let TableAccess::Open(access) = &explanation.access else {
        return BTreeMap::new();
    };
    let all = explanation.columns.iter();
    let all = all.flat_map(|column| std::iter::once(column).chain(&column.fields));
    let masked = all.filter_map(|why| match &why.verdict {
        ColumnVerdict::Masked(name) => Some((why.name.clone(), (name.clone(), access.masks.get(&why.name)))),
        ColumnVerdict::Shown | ColumnVerdict::Partly | ColumnVerdict::Hidden => None,
    });
    masked.collect()
}
