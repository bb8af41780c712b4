//! Bulk ingestion: Arrow batches from a client become rows of a table.

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use futures::Stream;
use tonic::Status;

use super::authn::Caller;
use super::bodies::Bodies;
use super::service::Door;
use super::{size, status};
use crate::query::ingest::{IfMissing, IfThere, Ingest};
use crate::query::narrow::{narrow_batch, narrow_schema};
use crate::query::statement::{CATALOG, PUBLIC, lake_name_of};

/// Bytes of one ingestion, which is one commit and is held until it is complete. More is better landed as files.
const BYTES_MAX: usize = 1 << 30;

impl Door {
    /// Reads the batches that follow the command and writes them in one commit; gives the number of rows.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for names and streams that are none, RESOURCE_EXHAUSTED for too much at once, and what the engine says.
    pub(super) async fn ingest(
        &self,
        caller: &Caller,
        command: CommandStatementIngest,
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Result<i64, Status> {
        let place = self.place(caller, command.transaction_id.as_deref())?;
        if command.temporary {
            return Err(Status::unimplemented(
                "there are no temporary tables: ingest into a schema of the lake",
            ));
        }
        if command
            .catalog
            .as_deref()
            .is_some_and(|catalog| !["", CATALOG].contains(&catalog))
        {
            return Err(Status::not_found(format!("the only catalog is `{CATALOG}`")));
        }
        let named = command.schema.as_deref().filter(|schema| !schema.is_empty());
        // Where statements look for a table that is named without a schema, for those who may have some there.
        let public = || {
            let may = self.engine.may_create_in(&caller.principal, PUBLIC);
            may.then_some(PUBLIC)
        };
        let Some(schema) = named.or(caller.session.schema.as_deref()).or_else(public) else {
            return Err(Status::invalid_argument(
                "name the schema of the table to ingest into (db_schema_name), for example chemistry",
            ));
        };
        let name = lake_name_of(schema, &command.table).map_err(status::of_query)?;
        let (if_missing, if_there) = modes(command.table_definition_options.as_ref())?;
        let rows_max = self.engine.config.limits.write_rows;
        let (schema, batches) = receive(messages, rows_max).await?;
        let ingest = Ingest {
            name,
            if_there,
            if_missing,
            schema,
            batches,
        };
        self.engine
            .ingest(&caller.principal, &place.client, ingest)
            .await
            .map_err(status::of_query)
    }
}

/// Without options rows are appended, to a new table if need be.
fn modes(options: Option<&TableDefinitionOptions>) -> Result<(IfMissing, IfThere), Status> {
    let Some(options) = options else {
        return Ok((IfMissing::Create, IfThere::Append));
    };
    let missing = match options.if_not_exist() {
        TableNotExistOption::Create | TableNotExistOption::Unspecified => IfMissing::Create,
        TableNotExistOption::Fail => IfMissing::Fail,
    };
    let there = match options.if_exists() {
        TableExistsOption::Fail => IfThere::Fail,
        TableExistsOption::Append | TableExistsOption::Unspecified => IfThere::Append,
        TableExistsOption::Replace => IfThere::Replace,
    };
    Ok((missing, there))
}

async fn receive(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    rows_max: usize,
) -> Result<(arrow::datatypes::SchemaRef, Vec<RecordBatch>), Status> {
    let unreadable = |error: &dyn std::fmt::Display| status::malformed("the rows to ingest", error);
    let mut stream = Bodies::new(messages);
    let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| unreadable(&error))?;
        let batch = narrow_batch(&batch, &narrow_schema(batch.schema_ref())).map_err(|error| unreadable(&error))?;
        rows += batch.num_rows();
        bytes += size::of_rows(&batch);
        if rows > rows_max || bytes > BYTES_MAX {
            return Err(Status::resource_exhausted(format!(
                "one ingestion takes at most {rows_max} rows (limits.write_rows) and {} MiB: bring the rows in parts, or as files in landing/<schema>/<table>/",
                BYTES_MAX >> 20
            )));
        }
        batches.push(batch);
    }
    match stream.schema() {
        Some(schema) => Ok((narrow_schema(schema), batches)),
        None => Err(Status::invalid_argument("no schema and no rows came to ingest")),
    }
}
