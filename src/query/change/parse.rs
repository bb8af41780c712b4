//! UPDATE, DELETE and MERGE as questions: which rows, and what they become, is asked by a SELECT for each part.
//!
//! So conditions and new values are evaluated where every other expression of a user is: above the barrier, on the rows
//! and values that the person sees.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Ident, Join, JoinConstraint, JoinOperator,
    Merge, MergeAction, MergeClause, MergeClauseKind, MergeInsertKind, ObjectName, Query, SelectItem, SetExpr,
    TableFactor, TableWithJoins, Update, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::{RowChange, TableName};

use super::super::QueryError;
use super::super::statement::plain;
use super::target::{Hidden, Target};

/// A statement that changes rows.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) target: TableName,
    /// What the parts call it.
    pub(crate) hidden: Hidden,
    pub(crate) kind: RowChange,
    pub(crate) parts: Vec<Part>,
}

impl Change {
    /// What it does, in one word.
    pub(crate) fn verb(&self) -> &'static str {
        match self.kind {
            RowChange::Update => "update",
            RowChange::Delete => "delete",
            RowChange::Merge => "merge",
        }
    }
}

/// One thing that it does.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) effect: Effect,
    /// Gives the addresses of the rows in its first column, unless it inserts, and then a column for each one named.
    pub(crate) query: Box<Query>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Delete,
    /// The columns that get new values.
    Update(Vec<String>),
    /// The columns that are filled; none named: all.
    Insert(Vec<String>),
}

pub(crate) fn delete(delete: Delete) -> Result<Change, QueryError> {
    if !delete.tables.is_empty() || delete.using.is_some() {
        return Err(unsupported(
            "DELETE of several tables or with USING: use WHERE … IN (SELECT …), or MERGE",
        ));
    }
    if delete.returning.is_some() || delete.output.is_some() || delete.limit.is_some() || !delete.order_by.is_empty() {
        return Err(unsupported("DELETE with RETURNING, ORDER BY or LIMIT"));
    }
    let (FromTable::WithFromKeyword(mut tables) | FromTable::WithoutKeyword(mut tables)) = delete.from;
    let (Some(table), true) = (tables.pop(), tables.is_empty()) else {
        return Err(unsupported("DELETE of several tables"));
    };
    let target = Target::of(alone(table)?)?;
    let mut selection = delete.selection;
    if let Some(condition) = &mut selection {
        target.take(condition, None)?;
    }
    let query = select(vec![target.address()], target.from(), selection)?;
    Ok(Change {
        kind: RowChange::Delete,
        parts: vec![Part {
            effect: Effect::Delete,
            query,
        }],
        target: target.name,
        hidden: target.hidden,
    })
}

pub(crate) fn update(update: Update) -> Result<Change, QueryError> {
    if update.from.is_some() {
        return Err(unsupported("UPDATE … FROM: use MERGE INTO … USING … ON …"));
    }
    if update.returning.is_some()
        || update.output.is_some()
        || update.or.is_some()
        || update.limit.is_some()
        || !update.order_by.is_empty()
    {
        return Err(unsupported("UPDATE with OR, RETURNING, ORDER BY or LIMIT"));
    }
    let target = Target::of(alone(update.table)?)?;
    let (columns, mut values) = assignments(update.assignments)?;
    let mut selection = update.selection;
    for expr in values.iter_mut().chain(&mut selection) {
        target.take(expr, None)?;
    }
    let query = select(addressed(&target, values), target.from(), selection)?;
    Ok(Change {
        kind: RowChange::Update,
        parts: vec![Part {
            effect: Effect::Update(columns),
            query,
        }],
        target: target.name,
        hidden: target.hidden,
    })
}

pub(crate) fn merge(merge: Merge) -> Result<Change, QueryError> {
    if merge.output.is_some() {
        return Err(unsupported("MERGE with OUTPUT"));
    }
    if merge.clauses.len() > 1 && merge.source.visit(&mut Draws).is_break() {
        return Err(QueryError::Invalid(
            "each WHEN of a MERGE reads the source for itself, and this one may give other rows each time (random(), uuid(), TABLESAMPLE, or LIMIT without ORDER BY): make a table of it by CREATE TABLE … AS, and merge that one".into(),
        ));
    }
    let target = Target::of(merge.table)?;
    let mut sides = Sides {
        target: &target,
        source: merge.source,
        on: *merge.on,
    };
    target.take(&mut sides.on, Some(&sides.source))?;
    let mut parts = Vec::new();
    // Of the clauses of one kind the first whose condition holds is taken.
    let mut before: [Option<Expr>; 3] = [None, None, None];
    for clause in merge.clauses {
        let kind = match clause.clause_kind {
            MergeClauseKind::Matched => Kind::Matched,
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Kind::NotMatched,
            MergeClauseKind::NotMatchedBySource => Kind::NotMatchedBySource,
        };
        let Some(taken) = before.get_mut(kind as usize) else {
            return Err(QueryError::internal("a kind of MERGE clause without a place"));
        };
        let mut clause = clause;
        for expr in expressions(&mut clause) {
            target.take(expr, Some(&sides.source))?;
        }
        let own = clause.predicate.clone();
        let condition = both(taken.clone(), own.clone());
        // After a clause without a condition no other of its kind is reached: `true IS NOT TRUE` holds for no row.
        let reached = own.unwrap_or_else(|| Expr::Value(true_value()));
        *taken = both(
            taken.take(),
            Some(Expr::IsNotTrue(Box::new(Expr::Nested(Box::new(reached))))),
        );
        parts.push(sides.part(kind, clause, condition)?);
    }
    Ok(Change {
        kind: RowChange::Merge,
        parts,
        target: target.name,
        hidden: target.hidden,
    })
}

/// Breaks off at what may give other rows the second time it is read.
struct Draws;

impl Visitor for Draws {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let is_cut = query.limit_clause.is_some() || query.fetch.is_some();
        match is_cut && query.order_by.is_none() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        let name = call.name.to_string().to_lowercase();
        match VOLATILE.contains(&name.trim_matches('"')) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// The engine's functions that give another value each time.
const VOLATILE: [&str; 2] = ["random", "uuid"];

#[derive(Clone, Copy)]
enum Kind {
    Matched,
    NotMatched,
    NotMatchedBySource,
}

struct Sides<'a> {
    target: &'a Target,
    source: TableFactor,
    on: Expr,
}

impl Sides<'_> {
    fn part(&self, kind: Kind, clause: MergeClause, condition: Option<Expr>) -> Result<Part, QueryError> {
        let (effect, values) = match (kind, clause.action) {
            (Kind::Matched | Kind::NotMatchedBySource, MergeAction::Delete { .. }) => (Effect::Delete, Vec::new()),
            (Kind::Matched | Kind::NotMatchedBySource, MergeAction::Update(update)) => {
                if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                    return Err(unsupported(
                        "WHERE inside a MERGE clause: write WHEN … AND condition THEN",
                    ));
                }
                let (columns, values) = assignments(update.assignments)?;
                (Effect::Update(columns), values)
            }
            (Kind::NotMatched, MergeAction::Insert(insert)) => {
                if insert.insert_predicate.is_some() {
                    return Err(unsupported(
                        "WHERE inside a MERGE clause: write WHEN … AND condition THEN",
                    ));
                }
                let MergeInsertKind::Values(mut rows) = insert.kind else {
                    return Err(unsupported("INSERT ROW: write INSERT (columns) VALUES (…)"));
                };
                let (Some(row), true) = (rows.rows.pop(), rows.rows.is_empty()) else {
                    return Err(unsupported("INSERT of several rows in a MERGE clause"));
                };
                let columns = insert.columns.iter().map(last).collect::<Result<Vec<_>, _>>()?;
                (Effect::Insert(columns), row.content)
            }
            (Kind::NotMatched, MergeAction::Update(_) | MergeAction::Delete { .. })
            | (Kind::Matched | Kind::NotMatchedBySource, MergeAction::Insert(_)) => {
                return Err(QueryError::Invalid(
                    "WHEN MATCHED updates or deletes a row, WHEN NOT MATCHED inserts one".into(),
                ));
            }
        };
        let query = match kind {
            Kind::Matched => select(
                addressed(self.target, values),
                self.joined(self.target.factor(), &self.source, JoinOperator::Inner),
                condition,
            )?,
            Kind::NotMatched => {
                let unmatched = Expr::IsNull(Box::new(self.target.address_expr()));
                let from = self.joined(&self.source, self.target.factor(), JoinOperator::LeftOuter);
                select(
                    values.into_iter().enumerate().map(named).collect(),
                    from,
                    both(Some(unmatched), condition),
                )?
            }
            Kind::NotMatchedBySource => {
                let from = self.joined(self.target.factor(), &self.source, JoinOperator::Inner);
                let matched = Expr::InSubquery {
                    expr: Box::new(self.target.address_expr()),
                    subquery: select(vec![self.target.address()], from, None)?,
                    negated: true,
                };
                select(
                    addressed(self.target, values),
                    self.target.from(),
                    both(Some(matched), condition),
                )?
            }
        };
        Ok(Part { effect, query })
    }

    fn joined(
        &self,
        left: &TableFactor,
        right: &TableFactor,
        how: impl Fn(JoinConstraint) -> JoinOperator,
    ) -> Vec<TableWithJoins> {
        vec![TableWithJoins {
            relation: left.clone(),
            joins: vec![Join {
                relation: right.clone(),
                global: false,
                join_operator: how(JoinConstraint::On(self.on.clone())),
            }],
        }]
    }
}

/// Addresses, and then these values.
fn addressed(target: &Target, values: Vec<Expr>) -> Vec<SelectItem> {
    let values = values.into_iter().enumerate().map(named);
    std::iter::once(target.address()).chain(values).collect()
}

/// What a clause of a MERGE says of both tables.
fn expressions(clause: &mut MergeClause) -> Vec<&mut Expr> {
    let mut all: Vec<&mut Expr> = clause.predicate.iter_mut().collect();
    match &mut clause.action {
        MergeAction::Update(update) => {
            all.extend(update.assignments.iter_mut().map(|assignment| &mut assignment.value))
        }
        MergeAction::Insert(insert) => {
            if let MergeInsertKind::Values(values) = &mut insert.kind {
                all.extend(values.rows.iter_mut().flat_map(|row| row.content.iter_mut()));
            }
        }
        MergeAction::Delete { .. } => {}
    }
    all
}

fn named((at, expr): (usize, Expr)) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', format!("value {}", at + 1)),
    }
}

/// The columns set, each once, and their new values.
fn assignments(assignments: Vec<Assignment>) -> Result<(Vec<String>, Vec<Expr>), QueryError> {
    let mut columns: Vec<String> = Vec::new();
    let mut values = Vec::new();
    for assignment in assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(unsupported("SET of several columns at once: write a = …, b = …"));
        };
        let column = last(name)?;
        if columns.contains(&column) {
            return Err(QueryError::Invalid(format!("{column} is set twice")));
        }
        columns.push(column);
        values.push(assignment.value);
    }
    Ok((columns, values))
}

fn last(name: &ObjectName) -> Result<String, QueryError> {
    name.0
        .last()
        .and_then(|part| part.as_ident())
        .map(plain)
        .ok_or_else(|| QueryError::Invalid(format!("`{name}` is not a column's name")))
}

fn alone(table: TableWithJoins) -> Result<TableFactor, QueryError> {
    match table.joins.is_empty() {
        true => Ok(table.relation),
        false => Err(unsupported("changing a join: use MERGE INTO … USING … ON …")),
    }
}

fn both(left: Option<Expr>, right: Option<Expr>) -> Option<Expr> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(left))),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(right))),
        }),
        (left, right) => left.or(right),
    }
}

fn true_value() -> datafusion::sql::sqlparser::ast::ValueWithSpan {
    datafusion::sql::sqlparser::ast::Value::Boolean(true).with_empty_span()
}

/// `SELECT projection FROM from WHERE selection`, made on the parser's own empty query.
fn select(
    projection: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Box<Query>, QueryError> {
    let empty = Parser::new(&GenericDialect {})
        .try_with_sql("SELECT 1")
        .and_then(|mut parser| parser.parse_query());
    let mut query = empty.map_err(QueryError::internal)?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(QueryError::internal("SELECT 1 is no SELECT"));
    };
    select.projection = projection;
    select.from = from;
    select.selection = selection;
    Ok(query)
}

pub(super) fn unsupported(what: &str) -> QueryError {
    QueryError::Unsupported(format!("labhouse does not run {what}"))
}
