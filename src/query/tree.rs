//! The parser's tree in a statement of the engine: that of the statement itself, or of the one that an EXPLAIN explains.

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::Statement as Ast;

/// The tree; none for what the engine reads by itself, which is not run here.
pub(super) fn of(statement: &EngineStatement) -> Option<&Ast> {
    match statement {
        EngineStatement::Statement(ast) => Some(ast),
        EngineStatement::Explain(explain) => of(&explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::CopyTo(_) | EngineStatement::Reset(_) => None,
    }
}

/// The same, to be changed.
pub(super) fn of_mut(statement: &mut EngineStatement) -> Option<&mut Ast> {
    match statement {
        EngineStatement::Statement(ast) => Some(ast),
        EngineStatement::Explain(explain) => of_mut(&mut explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::CopyTo(_) | EngineStatement::Reset(_) => None,
    }
}
