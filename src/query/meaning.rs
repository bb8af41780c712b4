//! What the parser and the engine take otherwise than SQL means it: put right or refused before a statement is planned.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Visit, Visitor};

use super::QueryError;

/// Reads the comparisons of a statement as SQL means them: see [`labhouse_policies::bind_distinct`].
pub(super) fn bind_distinct(statement: &mut EngineStatement) {
    match statement {
        EngineStatement::Statement(ast) => labhouse_policies::bind_distinct(ast.as_mut()),
        EngineStatement::Explain(explain) => bind_distinct(&mut explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::CopyTo(_) | EngineStatement::Reset(_) => {}
    }
}

/// # Errors
/// It asks how often a row is there in two results, which the engine does not count: it would give other rows.
pub(super) fn counts_nothing(statement: &EngineStatement) -> Result<(), QueryError> {
    let counts = match statement {
        EngineStatement::Statement(ast) => Visit::visit(ast.as_ref(), &mut Counting).is_break(),
        EngineStatement::Explain(explain) => return counts_nothing(&explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::CopyTo(_) | EngineStatement::Reset(_) => false,
    };
    match counts {
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
