//! What the parser and the engine take otherwise than SQL means it: put right or refused before a statement is planned.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Visit, Visitor};

use super::{QueryError, tree};

/// Reads the comparisons of a statement as SQL means them: see [`labhouse_policies::bind_distinct`].
pub(super) fn bind_distinct(statement: &mut EngineStatement) {
    if let Some(ast) = tree::of_mut(statement) {
        labhouse_policies::bind_distinct(ast);
    }
}

/// # Errors
/// It asks how often a row is there in two results, which the engine does not count: it would give other rows.
pub(super) fn counts_nothing(statement: &EngineStatement) -> Result<(), QueryError> {
    match tree::of(statement).is_some_and(|ast| ast.visit(&mut Counting).is_break()) {
        true => Err(QueryError::Unsupported(
            "EXCEPT ALL and INTERSECT ALL are not counted here; without ALL each row is given once, and row_number() OVER (PARTITION BY …) as one more column counts".into(),
        )),
        false => Ok(()),
    }
}

struct Counting;

impl Visitor for Counting {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        match counts(&query.body) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn counts(body: &SetExpr) -> bool {
    let SetExpr::SetOperation {
        op,
        set_quantifier,
        left,
        right,
    } = body
    else {
        return false;
    };
    let is_all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    (is_all && *op != SetOperator::Union) || counts(left) || counts(right)
}
