//! Makes a statement that shows a difference smaller, as far as that is cheap.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Select, SetExpr, Statement as Ast, TableFactor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::grammar::Statement;
use super::lab::{Lab, Wall};
use super::{Counts, compare};

/// Statements asked on the way; each is as dear as one of the campaign.
const TRIES_MAX: usize = 150;

/// The smallest statement found that still shows a difference on the same lab, and how; a note when it does not show again.
pub(crate) async fn smallest(lab: &Lab, statement: &Statement, explain: &str, wall: Wall) -> String {
    let differs = async |sql: &str| {
        let statement = Statement {
            sql: sql.to_owned(),
            ordered: statement.ordered && sql.rfind(" ORDER BY ") > sql.rfind(')'),
            ..statement.clone()
        };
        compare(lab, &statement, explain, wall, &mut Counts::default())
            .await
            .err()
    };
    let Some(mut what) = differs(&statement.sql).await else {
        return "it does not show when asked again: it needs the statements before it".to_owned();
    };
    let mut best = statement.sql.clone();
    let mut tries = 0;
    'smaller: loop {
        for candidate in candidates(&best, statement.loose.contains(&true)) {
            tries += 1;
            if tries > TRIES_MAX {
                break 'smaller;
            }
            if let Some(now) = differs(&candidate).await {
                (best, what) = (candidate, now);
                continue 'smaller;
            }
        }
        break;
    }
    format!("{best}\n{what}")
}

fn candidates(sql: &str, keep_columns: bool) -> Vec<String> {
    let Ok(parsed) = Parser::parse_sql(&GenericDialect {}, sql) else {
        return Vec::new();
    };
    let [Ast::Query(query)] = parsed.as_slice() else {
        return Vec::new();
    };
    let mut found: Vec<String> = smaller(query, keep_columns).iter().map(ToString::to_string).collect();
    found.retain(|candidate| candidate.len() < sql.len());
    found.sort_by_key(String::len);
    found
}

fn smaller(query: &Query, keep_columns: bool) -> Vec<Query> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Query)| {
        let mut other = query.clone();
        change(&mut other);
        found.push(other);
    };
    with(&|q| (q.order_by, q.limit_clause) = (None, None));
    with(&|q| q.with = None);
    match query.body.as_ref() {
        SetExpr::SetOperation { left, right, .. } => {
            with(&|q| q.body = left.clone());
            with(&|q| q.body = right.clone());
        }
        SetExpr::Select(select) => {
            for select in smaller_select(select, keep_columns) {
                with(&|q| *q.body = SetExpr::Select(Box::new(select.clone())));
            }
        }
        _ => {}
    }
    found
}

fn smaller_select(select: &Select, keep_columns: bool) -> Vec<Select> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Select)| {
        let mut other = select.clone();
        change(&mut other);
        found.push(other);
    };
    with(&|s| s.having = None);
    with(&|s| s.selection = None);
    if let Some(condition) = &select.selection {
        for part in parts(condition) {
            with(&|s| s.selection = Some(part.clone()));
        }
    }
    if !keep_columns && select.projection.len() > 1 {
        for at in 0..select.projection.len() {
            with(&|s| drop(s.projection.remove(at)));
        }
    }
    for (at, from) in select.from.iter().enumerate() {
        if !from.joins.is_empty() {
            with(&|s| drop(s.from[at].joins.pop()));
        }
        if let TableFactor::Derived { subquery, .. } = &from.relation {
            for inner in smaller(subquery, true) {
                with(&|s| {
                    if let TableFactor::Derived { subquery, .. } = &mut s.from[at].relation {
                        **subquery = inner.clone();
                    }
                });
            }
        }
    }
    found
}

fn parts(condition: &Expr) -> Vec<Expr> {
    match condition {
        Expr::Nested(inner) => {
            let mut found = vec![inner.as_ref().clone()];
            found.extend(parts(inner));
            found
        }
        Expr::BinaryOp {
            left,
            op: op @ (BinaryOperator::And | BinaryOperator::Or),
            right,
        } => {
            let mut found = vec![left.as_ref().clone(), right.as_ref().clone()];
            let joined = |left: Expr, right: Expr| {
                Expr::Nested(Box::new(Expr::BinaryOp {
                    left: Box::new(left),
                    op: op.clone(),
                    right: Box::new(right),
                }))
            };
            found.extend(parts(left).into_iter().map(|part| joined(part, right.as_ref().clone())));
            found.extend(parts(right).into_iter().map(|part| joined(left.as_ref().clone(), part)));
            found
        }
        Expr::UnaryOp { expr, .. } => vec![expr.as_ref().clone()],
        _ => Vec::new(),
    }
}
