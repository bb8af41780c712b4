//! What a scan in a plan reads.
//!
//! The engine plans a table named without its schema under that bare name, and finds it in `public`. Whoever asks a plan what it
//! reads must find the same table there: its tags, its grants, its account. So nothing else looks at the name of a scan.

use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;

use super::statement::PUBLIC;

/// What a scan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of<'a> {
    /// Schema and name, which may be that of an older version.
    Table(&'a str, &'a str),
    /// A function of tables, by its name.
    Function(&'a str),
    /// The rows that a recursive query has made so far.
    Recursion,
}

/// What this scan reads.
pub(crate) fn of(scan: &TableScan) -> Of<'_> {
    let name = scan.table_name.table();
    match (scan.table_name.schema(), name.strip_suffix("()")) {
        (Some(schema), _) => Of::Table(schema, name),
        // No table has brackets in its name.
        (None, Some(function)) => Of::Function(function),
        (None, None) if source_as_provider(&scan.source).is_ok_and(|read| read.is::<CteWorkTable>()) => Of::Recursion,
        (None, None) => Of::Table(PUBLIC, name),
    }
}
