//! Bulk ingestion: refused, clearly, until the engine has a door for it.

use arrow_flight::sql::CommandStatementIngest;
use tonic::Status;

use super::authn::Caller;

/// Answers a bulk ingestion.
///
/// # Errors
/// UNIMPLEMENTED always: a table grows through the landing folder, where every row is checked and traced to its file.
pub(super) fn run(_caller: &Caller, command: &CommandStatementIngest) -> Result<i64, Status> {
    Err(Status::unimplemented(format!(
        "bulk ingestion is not offered (SqlInfo FLIGHT_SQL_SERVER_BULK_INGESTION is false): put a Parquet file into landing/<schema>/{}/, or use INSERT INTO",
        command.table
    )))
}
