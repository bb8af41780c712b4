//! `JOIN … USING` and `NATURAL JOIN`, written out as what SQL means by them.
//!
//! The engine takes a bare common column for the left table's, whatever the join: of a row without a partner there it says
//! NULL. So these joins are put into other words before they are planned: `ON` with equality, and the common column is the
//! left one, the right one of a right join, and `COALESCE(left, right)` of a full join. `*` gives the common columns first, then
//! the others of the left, then those of the right.
//!
//! What the sides of a join have for columns, the engine tells: each is planned by itself. Bare names inside subqueries stay as
//! they are: they are the subquery's own, or the engine refuses them as ambiguous.

mod columns;

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Cte, Ident, JoinConstraint, JoinOperator, Query, Select, SetExpr, TableAlias, TableFactor, TableWithJoins,
    VisitMut, VisitorMut, With,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::statement::as_engine_statement;
use super::{QueryError, errors, tree};

/// SELECTs with such joins in one statement: each is looked at by itself.
const SELECTS_MAX: usize = 64;

/// Writes all such joins of a statement out.
///
/// # Errors
/// A common column is not on both sides, or is there more than once; the columns of a side cannot be told.
pub(super) async fn written_out(state: &SessionState, statement: &mut EngineStatement) -> Result<(), QueryError> {
    for _ in 0..SELECTS_MAX {
        let Some(sides) = walk(statement, Step::Ask)? else {
            return Ok(());
        };
        let mut columns = Vec::with_capacity(sides.len());
        for side in sides {
            let plan = state.statement_to_plan(as_engine_statement(side.query)).await;
            let plan = plan.map_err(|error| match side.is_known {
                true => errors::from_datafusion(error),
                false => unknown(),
            })?;
            let names = plan.schema().fields().iter().map(|field| field.name().clone());
            columns.push(names.collect());
        }
        walk(statement, Step::Write(columns))?;
    }
    Err(QueryError::Invalid(format!(
        "more than {SELECTS_MAX} SELECTs of the statement join with USING or NATURAL: write ON a.x = b.x"
    )))
}

fn unknown() -> QueryError {
    QueryError::Unsupported(
        "USING and NATURAL are not run where the columns of a side depend on the other or on a recursive query: write ON a.x = b.x, and a.x, b.x or coalesce(a.x, b.x) for the common column".into(),
    )
}

/// One side of a join, as a query that gives its columns.
struct Side {
    query: Box<Query>,
    /// Whether it can be planned by itself.
    is_known: bool,
}

/// What is done with the first SELECT that has such a join, the innermost first.
enum Step {
    Ask,
    /// The columns of each side are known.
    Write(Vec<Vec<String>>),
}

/// Gives the sides of the first such SELECT that is left, when they are asked for.
fn walk(statement: &mut EngineStatement, step: Step) -> Result<Option<Vec<Side>>, QueryError> {
    let Some(ast) = tree::of_mut(statement) else {
        return Ok(None);
    };
    let mut walk = Walk {
        frames: Vec::new(),
        step,
    };
    match VisitMut::visit(ast, &mut walk) {
        ControlFlow::Break(found) => found,
        ControlFlow::Continue(()) => Ok(None),
    }
}

struct Walk {
    /// The queries around.
    frames: Vec<Frame>,
    step: Step,
}

/// A query and what its WITH names so far.
#[derive(Default)]
struct Frame {
    is_recursive: bool,
    /// The names of its WITH, in their order.
    names: Vec<TableAlias>,
    known: Vec<Cte>,
}

impl VisitorMut for Walk {
    type Break = Result<Option<Vec<Side>>, QueryError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let names = |with: &With| with.cte_tables.iter().map(|cte| cte.alias.clone()).collect();
        self.frames.push(Frame {
            is_recursive: query.with.as_ref().is_some_and(|with| with.recursive),
            names: query.with.as_ref().map(names).unwrap_or_default(),
            known: Vec::new(),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let order_by = match query.body.as_ref() {
            SetExpr::Select(_) => query.order_by.as_mut(),
            _ => None,
        };
        if let Some(select) = first(&mut query.body) {
            let done = match &mut self.step {
                Step::Ask => self.sides(select).map(Some),
                Step::Write(given) => columns::write_out(select, order_by, std::mem::take(given)).map(|()| None),
            };
            return ControlFlow::Break(done);
        }
        self.frames.pop();
        // The queries of a WITH are walked before the rest.
        if let Some(around) = self.frames.last_mut()
            && let Some(alias) = around.names.get(around.known.len())
        {
            let mut cte = empty_cte();
            if let Some(cte) = &mut cte {
                cte.alias = alias.clone();
                *cte.query = query.clone();
            }
            around.known.extend(cte);
        }
        ControlFlow::Continue(())
    }
}

impl Walk {
    fn sides(&self, select: &mut Select) -> Result<Vec<Side>, QueryError> {
        let mut known: Vec<Cte> = Vec::new();
        for cte in self.frames.iter().flat_map(|frame| &frame.known) {
            known.retain(|before| before.alias.name != cte.alias.name);
            known.push(cte.clone());
        }
        // Inside of a recursive query its own columns are not known yet.
        let is_inside = |frame: &Frame| frame.is_recursive && frame.known.len() < frame.names.len();
        let is_recursive = self.frames.iter().any(|frame| frame.is_recursive);
        let is_inside = self.frames.iter().any(is_inside);
        let mut sides = Vec::new();
        let mut unnamed = 0;
        for from in &mut select.from {
            each_side(from, &mut |factor| {
                name(factor, &mut unnamed)?;
                let mut query = all_of(factor)?;
                if !known.is_empty() {
                    query.with = with(is_recursive, known.clone());
                }
                sides.push(Side {
                    query,
                    is_known: !(is_inside || is_lateral(factor)),
                });
                Ok(())
            })?;
        }
        Ok(sides)
    }
}

/// The first SELECT of a query's body that has such a join.
fn first(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => select.from.iter_mut().any(joins).then_some(select.as_mut()),
        SetExpr::SetOperation { left, right, .. } => match first(left) {
            Some(found) => Some(found),
            None => first(right),
        },
        _ => None,
    }
}

fn joins(from: &mut TableWithJoins) -> bool {
    let within = |factor: &mut TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => joins(table_with_joins),
        _ => false,
    };
    within(&mut from.relation)
        || from.joins.iter_mut().any(|join| {
            let is_it = matches!(
                constraint(&mut join.join_operator),
                Some((JoinConstraint::Using(_) | JoinConstraint::Natural, _))
            );
            is_it || within(&mut join.relation)
        })
}

/// Whose columns come out of a join, and whose the common one is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Left,
    Right,
    Either,
    OnlyLeft,
    OnlyRight,
}

/// The condition of a join that the engine knows.
fn constraint(operator: &mut JoinOperator) -> Option<(&mut JoinConstraint, Gives)> {
    Some(match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => (constraint, Gives::Left),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (constraint, Gives::Right),
        JoinOperator::FullOuter(constraint) => (constraint, Gives::Either),
        JoinOperator::LeftSemi(constraint) | JoinOperator::LeftAnti(constraint) => (constraint, Gives::OnlyLeft),
        JoinOperator::RightSemi(constraint) | JoinOperator::RightAnti(constraint) => (constraint, Gives::OnlyRight),
        JoinOperator::CrossJoin(_)
        | JoinOperator::Semi(_)
        | JoinOperator::Anti(_)
        | JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::AsOf { .. }
        | JoinOperator::StraightJoin(_)
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => return None,
    })
}

/// Calls for each table that is joined, in the order of the text.
fn each_side(
    from: &mut TableWithJoins,
    call: &mut dyn FnMut(&mut TableFactor) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let factors = std::iter::once(&mut from.relation).chain(from.joins.iter_mut().map(|join| &mut join.relation));
    for factor in factors {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => each_side(table_with_joins, call)?,
            TableFactor::NestedJoin { table_with_joins, .. } => {
                if joins(table_with_joins) {
                    return Err(QueryError::Unsupported(
                        "a name for joined tables in brackets is not taken with USING or NATURAL: write (SELECT * FROM … JOIN …) AS name".into(),
                    ));
                }
                call(factor)?;
            }
            other => call(other)?,
        }
    }
    Ok(())
}

/// Gives a table without a name one: its columns must be named with it.
fn name(factor: &mut TableFactor, unnamed: &mut usize) -> Result<(), QueryError> {
    let alias = match factor {
        TableFactor::Table { args: None, .. } => return Ok(()),
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias,
        _ => return Err(unknown()),
    };
    if alias.is_none() {
        *unnamed += 1;
        *alias = Some(TableAlias {
            explicit: true,
            name: Ident::with_quote('"', format!("joined {unnamed}")),
            columns: Vec::new(),
            at: None,
        });
    }
    Ok(())
}

fn is_lateral(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        TableFactor::UNNEST { .. } => true,
        _ => false,
    }
}

fn parsed(sql: &str) -> Option<Box<Query>> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(sql).ok();
    parser?.parse_query().ok()
}

/// `SELECT * FROM factor`
fn all_of(factor: &TableFactor) -> Result<Box<Query>, QueryError> {
    let mut query = parsed("SELECT * FROM t").ok_or_else(|| QueryError::internal("SELECT * is not read"))?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
    {
        from.relation = factor.clone();
    }
    Ok(query)
}

fn with(is_recursive: bool, known: Vec<Cte>) -> Option<With> {
    let mut with = parsed("WITH t AS (SELECT 1) SELECT 1")?.with?;
    with.recursive = is_recursive;
    with.cte_tables = known;
    Some(with)
}

fn empty_cte() -> Option<Cte> {
    parsed("WITH t AS (SELECT 1) SELECT 1")?.with?.cte_tables.pop()
}
