//! The administrator's tools for policy files: what somebody sees and why, what an edit would change, what must hold.
//!
//! They decide nothing. Each asks the policies crate, through the views and sessions that the server itself gives a
//! principal, and reads the lake as an administrator who may see everything. `explain` tells of one principal, `diff`
//! compares two policy directories for everybody, `assertions` reads and checks a file of sentences. [`Lab`] is a lake
//! opened for reading, without doors; `counting` and `picking` are the two questions they ask of data.

use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use labhouse_policies::bind_distinct;

pub(crate) mod assertions;
mod counting;
pub(crate) mod diff;
pub(crate) mod explain;
mod lab;
mod picking;
mod rights;
mod telling;

pub(crate) use counting::{When, conditions_of, counting_plan, counts};
pub(crate) use lab::Lab;
pub(crate) use picking::{judge, picking_plan};

/// A condition as it was typed, over these columns.
fn condition_of(state: &SessionState, sql: &str, columns: &DFSchema) -> Result<Expr, DataFusionError> {
    let dialect = state.config().options().sql_parser.dialect;
    let mut parsed = state.sql_to_expr_with_alias(sql, &dialect)?;
    bind_distinct(&mut parsed.expr);
    state.create_logical_expr_from_sql_expr(parsed, columns)
}

/// What keeps a tool from its work.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;
