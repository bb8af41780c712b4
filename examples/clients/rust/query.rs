//! Reads from labhouse over Flight SQL, with nothing but arrow-flight (feature `flight-sql`) and tonic:
//!
//! ```sh
//! LABHOUSE_USER=sam LABHOUSE_PASSWORD=sam-demo cargo run --example flight_query
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::env::var;
use std::error::Error;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = var("LABHOUSE_URI").unwrap_or_else(|_| "grpc://127.0.0.1:50051".to_owned());
    let channel = Endpoint::from_shared(uri.replace("grpc://", "http://"))?
        .connect()
        .await?;
    let mut client = FlightSqlServiceClient::new(channel);
    // The answer is a session token, which the client sends from now on.
    client
        .handshake(&var("LABHOUSE_USER")?, &var("LABHOUSE_PASSWORD")?)
        .await?;

    let sql = "SELECT plate_id, avg(yield_pct) AS mean FROM lab.chemistry.plate_readings GROUP BY 1 ORDER BY 1 LIMIT 3";
    let info = client.execute(sql.to_owned(), None).await?;
    println!("{}", pretty_format_batches(&fetch(&mut client, info).await?)?);

    // Values are bound, never put into the text.
    let sql = "SELECT count(*) AS wells FROM lab.chemistry.plate_readings WHERE plate_id = $1 AND \"column\" <= $2";
    let mut prepared = client.prepare(sql.to_owned(), None).await?;
    let values = RecordBatch::try_from_iter([
        ("$1", Arc::new(StringArray::from(vec!["P0001"])) as _),
        ("$2", Arc::new(Int64Array::from(vec![12])) as _),
    ])?;
    prepared.set_parameters(values)?;
    let info = prepared.execute().await?;
    println!("{}", pretty_format_batches(&fetch(&mut client, info).await?)?);
    prepared.close().await?;
    Ok(())
}

/// A result has one endpoint, on the connection it was asked on.
async fn fetch(
    client: &mut FlightSqlServiceClient<Channel>,
    info: arrow_flight::FlightInfo,
) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
        batches.extend(client.do_get(ticket).await?.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}
