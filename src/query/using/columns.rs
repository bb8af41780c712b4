//! The columns of joined tables, and the bare names that stand for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExceptSelectItem, ExcludeSelectItem, Expr, Ident, JoinConstraint, ObjectName, OrderBy, OrderByKind,
    Query, Select, SelectItem, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::QueryError;
use super::super::statement::plain;
use super::{Gives, constraint};

/// A column of joined tables under its bare name.
#[derive(Clone)]
struct Column {
    name: String,
    /// How it is written in full.
    expr: Expr,
    /// Whether two columns are one in it.
    is_common: bool,
}

/// Writes out a SELECT whose tables have these columns, in their order, and the ORDER BY of its query.
pub(super) fn write_out(
    select: &mut Select,
    order_by: Option<&mut OrderBy>,
    given: Vec<Vec<String>>,
) -> Result<(), QueryError> {
    let mut given = given.into_iter();
    let mut from = std::mem::take(&mut select.from);
    let mut all = Vec::new();
    for tables in &mut from {
        all.extend(joined(tables, &mut given)?);
    }
    let common = common(&all);
    let projection = std::mem::take(&mut select.projection);
    let named = named_otherwise(&projection, &common);
    let results: BTreeSet<String> = projection.iter().flat_map(|item| results(item, &common)).collect();
    for item in projection {
        match item {
            SelectItem::Wildcard(options) => select.projection.extend(every(&all, &options)?),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                let column = common.get(&plain(&name)).cloned();
                select.projection.push(match column {
                    Some(column) => shown(&plain(&name), column),
                    None => SelectItem::UnnamedExpr(Expr::Identifier(name)),
                });
            }
            other => select.projection.push(other),
        }
    }
    let mut bare = Bare::of(common);
    let _ = VisitMut::visit(select, &mut bare);
    select.from = from;
    if let Some(OrderBy {
        kind: OrderByKind::Expressions(keys),
        ..
    }) = order_by
    {
        // A name of the result goes before one of the tables.
        bare.common.retain(|name, _| !named.contains(name));
        for key in keys {
            // One that is put together has its name in the result only.
            let is_result = matches!(&key.expr, Expr::Identifier(name)
                if results.contains(&plain(name)) && matches!(bare.common.get(&plain(name)), Some(Expr::Function(_))));
            if !is_result {
                let _ = VisitMut::visit(&mut key.expr, &mut bare);
            }
        }
    }
    Ok(())
}

/// The columns of joined tables as `*` shows them; the conditions are written out.
fn joined(tables: &mut TableWithJoins, given: &mut std::vec::IntoIter<Vec<String>>) -> Result<Vec<Column>, QueryError> {
    let mut left = of(&mut tables.relation, given)?;
    for join in &mut tables.joins {
        let right = of(&mut join.relation, given)?;
        let Some((condition, gives)) = constraint(&mut join.join_operator) else {
            left.extend(right);
            continue;
        };
        let names = match condition {
            JoinConstraint::Using(names) => names.iter().map(column_name).collect::<Result<Vec<_>, _>>()?,
            JoinConstraint::Natural => {
                let is_common = |column: &&Column| right.iter().any(|other| other.name == column.name);
                left.iter()
                    .filter(is_common)
                    .map(|column| column.name.clone())
                    .collect()
            }
            JoinConstraint::On(expr) => {
                let both: Vec<Column> = left.iter().chain(&right).cloned().collect();
                let _ = VisitMut::visit(expr, &mut Bare::of(common(&both)));
                Vec::new()
            }
            JoinConstraint::None => Vec::new(),
        };
        if matches!(condition, JoinConstraint::Using(_) | JoinConstraint::Natural) {
            let (together, equal) = merged(&mut left, right, &names, gives)?;
            *condition = JoinConstraint::On(equal);
            left = together;
        } else {
            left = match gives {
                Gives::OnlyLeft => left,
                Gives::OnlyRight => right,
                Gives::Left | Gives::Right | Gives::Either => left.into_iter().chain(right).collect(),
            };
        }
    }
    Ok(left)
}

fn of(factor: &mut TableFactor, given: &mut std::vec::IntoIter<Vec<String>>) -> Result<Vec<Column>, QueryError> {
    let qualifier: Vec<Ident> = match factor {
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => return joined(table_with_joins, given),
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => vec![alias.name.clone()],
        TableFactor::Table { name, .. } => name.0.iter().filter_map(|part| part.as_ident().cloned()).collect(),
        _ => return Err(super::unknown()),
    };
    let names = given
        .next()
        .ok_or_else(|| QueryError::internal("a side of a join without its columns"))?;
    let column = |name: String| {
        let parts = qualifier.iter().cloned();
        Column {
            expr: Expr::CompoundIdentifier(parts.chain([Ident::with_quote('"', &name)]).collect()),
            name,
            is_common: false,
        }
    };
    Ok(names.into_iter().map(column).collect())
}

/// The columns of two sides that have these in common, and the condition.
fn merged(
    left: &mut Vec<Column>,
    mut right: Vec<Column>,
    names: &[String],
    gives: Gives,
) -> Result<(Vec<Column>, Expr), QueryError> {
    let (mut together, mut equal) = (Vec::new(), None);
    let whole = (left.clone(), right.clone());
    for name in names {
        let (mine, other) = (taken(left, name, "left")?, taken(&mut right, name, "right")?);
        let pair = Expr::BinaryOp {
            left: Box::new(mine.expr.clone()),
            op: BinaryOperator::Eq,
            right: Box::new(other.expr.clone()),
        };
        equal = Some(match equal {
            None => pair,
            Some(before) => Expr::BinaryOp {
                left: Box::new(before),
                op: BinaryOperator::And,
                right: Box::new(pair),
            },
        });
        let expr = match gives {
            Gives::Left | Gives::OnlyLeft => mine.expr,
            Gives::Right | Gives::OnlyRight => other.expr,
            Gives::Either => coalesce(&mine.expr, &other.expr)?,
        };
        together.push(Column {
            name: name.clone(),
            expr,
            is_common: true,
        });
    }
    let columns = match gives {
        Gives::OnlyLeft => whole.0,
        Gives::OnlyRight => whole.1,
        Gives::Left | Gives::Right | Gives::Either => together.into_iter().chain(left.drain(..)).chain(right).collect(),
    };
    let always = Expr::Value(Value::Boolean(true).with_empty_span());
    Ok((columns, equal.unwrap_or(always)))
}

/// The one column of this name, out of a side.
fn taken(side: &mut Vec<Column>, name: &str, which: &str) -> Result<Column, QueryError> {
    let mut places = side.iter().enumerate().filter(|(_, column)| column.name == name);
    match (places.next().map(|(at, _)| at), places.next()) {
        (Some(at), None) => Ok(side.remove(at)),
        (None, _) => Err(QueryError::Invalid(format!(
            "the {which} side of the join has no column {name}, which USING names"
        ))),
        (Some(_), Some(_)) => Err(QueryError::Invalid(format!(
            "the {which} side of the join has more than one column {name}, which both sides are to have in common: write ON, with the tables' names"
        ))),
    }
}

fn column_name(name: &ObjectName) -> Result<String, QueryError> {
    match name.0.as_slice() {
        [only] => only.as_ident().map(plain),
        _ => None,
    }
    .ok_or_else(|| QueryError::Invalid(format!("USING takes names of columns without a table: {name}")))
}

fn coalesce(left: &Expr, right: &Expr) -> Result<Expr, QueryError> {
    Parser::new(&GenericDialect {})
        .try_with_sql(&format!("coalesce({left}, {right})"))
        .and_then(|mut parser| parser.parse_expr())
        .map_err(QueryError::internal)
}

/// What bare names stand for, of columns that two tables have in common; a name that is there once more is ambiguous, as the
/// engine says.
fn common(all: &[Column]) -> BTreeMap<String, Expr> {
    let is_once = |column: &&Column| all.iter().filter(|other| other.name == column.name).count() == 1;
    let common = all.iter().filter(|column| column.is_common).filter(is_once);
    common
        .map(|column| (column.name.clone(), column.expr.clone()))
        .collect()
}

/// A common column in the list of a SELECT, under its name.
fn shown(name: &str, expr: Expr) -> SelectItem {
    match expr {
        Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(expr),
        expr => SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', name),
        },
    }
}

/// `*`
fn every(all: &[Column], options: &WildcardAdditionalOptions) -> Result<Vec<SelectItem>, QueryError> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    if opt_ilike.is_some() || opt_replace.is_some() || opt_rename.is_some() || opt_alias.is_some() {
        return Err(QueryError::Unsupported(
            "* with ILIKE, REPLACE, RENAME or a name is not taken over a join with USING or NATURAL: name the columns"
                .into(),
        ));
    }
    let mut without: Vec<String> = match opt_exclude {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![column_name(name)?],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(column_name).collect::<Result<_, _>>()?,
    };
    if let Some(ExceptSelectItem {
        first_element,
        additional_elements,
    }) = opt_except
    {
        without.push(plain(first_element));
        without.extend(additional_elements.iter().map(plain));
    }
    if let Some(missing) = without
        .iter()
        .find(|name| !all.iter().any(|column| column.name == **name))
    {
        return Err(QueryError::Invalid(format!(
            "there is no column {missing} to leave out of *"
        )));
    }
    let kept = all.iter().filter(|column| !without.contains(&column.name));
    Ok(kept.map(|column| shown(&column.name, column.expr.clone())).collect())
}

/// Names of the result that are those of common columns and stand for something else.
fn named_otherwise(projection: &[SelectItem], common: &BTreeMap<String, Expr>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for item in projection {
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let is_itself = matches!(expr, Expr::Identifier(name) if plain(name) == plain(alias));
                named.extend((!is_itself).then(|| plain(alias)));
            }
            SelectItem::ExprWithAliases { aliases, .. } => named.extend(aliases.iter().map(plain)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => named.extend(parts.last().map(plain)),
            SelectItem::QualifiedWildcard(..) => named.extend(common.keys().cloned()),
            SelectItem::UnnamedExpr(_) | SelectItem::Wildcard(_) => {}
        }
    }
    named
}

/// The common columns that an item of the list shows under their own names.
fn results(item: &SelectItem, common: &BTreeMap<String, Expr>) -> Vec<String> {
    let named = match item {
        SelectItem::Wildcard(_) => return common.keys().cloned().collect(),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => plain(name),
        SelectItem::ExprWithAlias {
            expr: Expr::Identifier(name),
            alias,
        } if plain(name) == plain(alias) => plain(name),
        _ => return Vec::new(),
    };
    common.contains_key(&named).then_some(named).into_iter().collect()
}

/// Puts what they stand for in the place of bare names, outside of subqueries and of functions that name their own.
struct Bare {
    common: BTreeMap<String, Expr>,
    queries: usize,
    lambdas: usize,
}

impl Bare {
    fn of(common: BTreeMap<String, Expr>) -> Self {
        Self {
            common,
            queries: 0,
            lambdas: 0,
        }
    }
}

impl VisitorMut for Bare {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.lambdas += usize::from(matches!(expr, Expr::Lambda(_)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Lambda(_) => self.lambdas -= 1,
            Expr::Identifier(name) if self.queries == 0 && self.lambdas == 0 => {
                if let Some(meant) = self.common.get(&plain(name)) {
                    *expr = meant.clone();
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
