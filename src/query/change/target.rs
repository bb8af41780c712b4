//! The table that a statement changes, as its parts ask for it.
//!
//! There each row shows an address beside what the writer sees of it. Whoever could write or read an address would reach or
//! count rows that are hidden from him, so the table, its column of addresses and its alias go by names made by chance for
//! this one statement. What the statement itself says of the table is put under that alias; wherever else the table stands
//! in it, it is the table that everybody asks for.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
    VisitMut, VisitorMut,
};
use labhouse_catalog::{ROW_ADDRESS, TableName};

use super::super::QueryError;
use super::super::statement::{CATALOG, plain, table_name};
use super::parse::unsupported;

/// Names that nobody can write, since they are made by chance for one statement.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    /// The table with addresses.
    pub(crate) table: String,
    /// Its column of addresses.
    pub(crate) column: String,
    /// What the statement calls the table.
    alias: String,
    /// What its author calls it.
    called: String,
}

impl Hidden {
    /// An error of a part, in the names that its author knows.
    pub(super) fn told(&self, error: QueryError) -> QueryError {
        let Self {
            table,
            column,
            alias,
            called,
        } = self;
        let address = format!("{alias}.\"{column}\"");
        error.reworded(|text| {
            text.replace(&format!(", {address}"), "")
                .replace(&format!("{address}, "), "")
                .replace(alias, called)
                .replace(table, called)
                .replace(column, "its rows")
        })
    }
}

/// The table that is changed, as the statement names it.
pub(super) struct Target {
    pub(super) name: TableName,
    pub(super) hidden: Hidden,
    factor: TableFactor,
    /// Whether its author gave it an alias, which is then all that it is called.
    is_aliased: bool,
}

impl Target {
    pub(super) fn of(mut factor: TableFactor) -> Result<Self, QueryError> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            version: None,
            sample: None,
            ..
        } = &mut factor
        else {
            return Err(unsupported("changing anything but a table named by its full name"));
        };
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(unsupported(
                "a change of a table whose alias renames its columns: give it an alias without a list of columns",
            ));
        }
        let target = table_name(name)?;
        let chance = uuid::Uuid::new_v4().simple();
        let is_aliased = alias.is_some();
        let own = alias.as_ref().map(|alias| alias.name.clone());
        let own = own.unwrap_or_else(|| Ident::new(format!("target_{chance}")));
        let hidden = Hidden {
            // What stands before the `@` is the table, for the statement's account.
            table: format!("{}@{chance}", target.table),
            column: format!("{ROW_ADDRESS}{chance}"),
            alias: own.value.clone(),
            called: match is_aliased {
                true => own.value.clone(),
                false => target.table.clone(),
            },
        };
        let parts = [CATALOG, &target.schema, &hidden.table];
        *name = ObjectName(
            parts
                .map(|part| ObjectNamePart::Identifier(Ident::with_quote('"', part)))
                .to_vec(),
        );
        *alias = Some(TableAlias {
            explicit: true,
            name: own,
            columns: Vec::new(),
            at: None,
        });
        Ok(Self {
            name: target,
            hidden,
            factor,
            is_aliased,
        })
    }

    pub(super) fn factor(&self) -> &TableFactor {
        &self.factor
    }

    pub(super) fn from(&self) -> Vec<TableWithJoins> {
        vec![TableWithJoins {
            relation: self.factor.clone(),
            joins: Vec::new(),
        }]
    }

    fn qualifier(&self) -> Option<&Ident> {
        match &self.factor {
            TableFactor::Table { alias: Some(alias), .. } => Some(&alias.name),
            _ => None,
        }
    }

    pub(super) fn address_expr(&self) -> Expr {
        let own = self.qualifier().cloned();
        let column = Ident::with_quote('"', &self.hidden.column);
        Expr::CompoundIdentifier(own.into_iter().chain([column]).collect())
    }

    pub(super) fn address(&self) -> SelectItem {
        SelectItem::ExprWithAlias {
            expr: self.address_expr(),
            alias: Ident::with_quote('"', &self.hidden.column),
        }
    }

    /// Puts what an expression says of the table under its alias. `beside` is what else its names may be of.
    ///
    /// # Errors
    /// A name that may be of either.
    pub(super) fn take(&self, expr: &mut Expr, beside: Option<&TableFactor>) -> Result<(), QueryError> {
        let (Some(own), false) = (self.qualifier(), self.is_aliased) else {
            return Ok(());
        };
        let mut taking = Taking {
            own,
            target: &self.name,
            beside: beside.and_then(exposed).is_some_and(|name| name == self.name.table),
            hidden: Vec::new(),
        };
        match expr.visit(&mut taking) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(QueryError::Invalid(format!(
                "both tables are called {}: give each an alias, such as MERGE INTO lab.{} AS t USING … AS s",
                self.name.table, self.name
            ))),
        }
    }
}

/// What a table is called by those who do not write its schema; none for what has no name.
fn exposed(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(plain(&alias.name))
        }
        TableFactor::Table { name, alias: None, .. } => name.0.last().and_then(ObjectNamePart::as_ident).map(plain),
        _ => None,
    }
}

/// Changes qualified names of the target's columns.
struct Taking<'a> {
    own: &'a Ident,
    target: &'a TableName,
    /// The other table is called like this one.
    beside: bool,
    /// For each query around: what its tables take of the names that would be the target's.
    hidden: Vec<Shadow>,
}

#[derive(Clone, Copy, Default)]
struct Shadow {
    /// `t.a` is of a table there.
    short: bool,
    /// `s.t.a` is, too.
    long: bool,
}

impl Taking<'_> {
    fn shadow_of(&self, body: &SetExpr) -> Shadow {
        let mut shadow = Shadow::default();
        match body {
            SetExpr::Select(select) => {
                for table in &select.from {
                    let joined = table.joins.iter().map(|join| &join.relation);
                    for factor in std::iter::once(&table.relation).chain(joined) {
                        shadow.short |= exposed(factor).is_some_and(|name| name == self.target.table);
                        shadow.long |= matches!(factor, TableFactor::Table { name, alias: None, .. }
                            if table_name(name).is_ok_and(|name| name == *self.target));
                    }
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                for side in [left, right] {
                    let of = self.shadow_of(side);
                    shadow.short |= of.short;
                    shadow.long |= of.long;
                }
            }
            _ => {}
        }
        shadow
    }
}

impl VisitorMut for Taking<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let shadow = self.shadow_of(&query.body);
        self.hidden.push(shadow);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundIdentifier(parts) = expr else {
            return ControlFlow::Continue(());
        };
        let names: Vec<String> = parts.iter().map(plain).collect();
        let TableName { schema, table } = self.target;
        let taken = match names.as_slice() {
            [lab, of, name, _, ..] if lab == CATALOG && of == schema && name == table => 3,
            [of, name, _, ..] if of == schema && name == table => 2,
            [name, _, ..] if name == table => 1,
            _ => return ControlFlow::Continue(()),
        };
        let is_other = self.hidden.iter().any(|shadow| match taken {
            1 => shadow.short,
            _ => shadow.long,
        });
        if is_other {
            return ControlFlow::Continue(());
        }
        if taken == 1 && self.beside {
            return ControlFlow::Break(());
        }
        parts.splice(..taken, [self.own.clone()]);
        ControlFlow::Continue(())
    }
}
