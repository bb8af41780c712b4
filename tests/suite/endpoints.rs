//! Results in several endpoints, for readers that work side by side.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow_flight::sql::CommandStatementQuery;
use arrow_flight::{FlightDescriptor, FlightInfo, Ticket};
use tonic::{Code, Status};

use crate::lab::{self, Server};
use crate::raw::{Raw, descriptor};

const TABLE: &str = "lab.chemistry.traces";

/// Four data files of 60,000 rows.
async fn with_traces() -> Server {
    let lab = lab::empty(|config| config);
    let rows = "SELECT value AS n, value % 7 AS channel FROM generate_series";
    lab.update("ada", &format!("CREATE TABLE {TABLE} AS {rows}(1, 60000)"))
        .await
        .unwrap();
    for part in 1..4 {
        let (first, last) = (part * 60_000 + 1, (part + 1) * 60_000);
        lab.update("ada", &format!("INSERT INTO {TABLE} {rows}({first}, {last})"))
            .await
            .unwrap();
    }
    lab
}

async fn announced(raw: &mut Raw, sql: &str, endpoints: &str) -> Result<FlightInfo, Status> {
    let command = CommandStatementQuery {
        query: sql.into(),
        transaction_id: None,
    };
    let descriptor: FlightDescriptor = descriptor(&command);
    let mut request = raw.request(descriptor);
    request
        .metadata_mut()
        .insert("labhouse-endpoints", endpoints.parse().unwrap());
    Ok(raw.client.get_flight_info(request).await?.into_inner())
}

fn tickets(info: &FlightInfo) -> Vec<Ticket> {
    info.endpoint
        .iter()
        .filter_map(|endpoint| endpoint.ticket.clone())
        .collect()
}

async fn numbers(raw: &mut Raw, ticket: Ticket) -> Result<Vec<i64>, Status> {
    let batches = raw.get(ticket).await?;
    let of = |batch: &arrow::array::RecordBatch| batch["n"].as_primitive::<Int64Type>().values().to_vec();
    let mut all: Vec<i64> = batches.iter().flat_map(of).collect();
    all.sort_unstable();
    Ok(all)
}

#[tokio::test]
async fn parts_of_a_result_are_together_what_it_is_in_one_piece() {
    let lab = with_traces().await;
    let mut ada = Raw::login(&lab, "ada").await;
    let sql = format!("SELECT n, n + 1 AS next FROM {TABLE} t WHERE channel < 5");
    let info = announced(&mut ada, &sql, "3").await.unwrap();
    let parts = tickets(&info);
    assert_eq!((parts.len(), info.ordered), (3, false));
    // What comes after the announcement is in none of them.
    lab.update("ada", &format!("INSERT INTO {TABLE} SELECT -1 AS n, 0 AS channel"))
        .await
        .unwrap();
    let mut all = Vec::new();
    for ticket in parts.clone() {
        let part = numbers(&mut ada, ticket).await.unwrap();
        assert!(part.len() > 40_000, "{}", part.len());
        all.extend(part);
    }
    all.sort_unstable();
    let whole: Vec<i64> = (1..=240_000).filter(|n| n % 7 < 5).collect();
    assert!(all == whole, "{} rows of {}", all.len(), whole.len());
    // Fetched again it is the same part, and asked in one piece it is all of today.
    let again = numbers(&mut ada, parts[0].clone()).await.unwrap();
    let first = numbers(&mut ada, parts[0].clone()).await.unwrap();
    assert!(again == first && again.len() < whole.len());
    let one = announced(&mut ada, &sql, "1").await.unwrap();
    let one = tickets(&one);
    assert_eq!(one.len(), 1);
    assert_eq!(numbers(&mut ada, one[0].clone()).await.unwrap().len(), whole.len() + 1);
    // A part is its owner's like any ticket, and ends with the table.
    let mut sam = Raw::login(&lab, "sam").await;
    assert_eq!(
        numbers(&mut sam, parts[0].clone()).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    lab.update("ada", &format!("CREATE OR REPLACE TABLE {TABLE} AS SELECT 'x' AS n"))
        .await
        .unwrap();
    assert_eq!(
        numbers(&mut ada, parts[1].clone()).await.unwrap_err().code(),
        Code::Aborted
    );
}

#[tokio::test]
async fn what_is_no_sum_of_its_parts_has_one_endpoint() {
    let lab = with_traces().await;
    let filters = lab.dir.join("policies/filters.toml");
    let text = std::fs::read_to_string(&filters).unwrap();
    let few = "\n[filter.few]\ntable = \"lab/chemistry/traces\"\nsql = \"channel < 6\"\n";
    std::fs::write(&filters, text + few).unwrap();
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    let attached = "\np2, role:lab_analyst, chemistry, lab/chemistry/traces, permissive, few\n";
    std::fs::write(&policy, text + attached).unwrap();
    lab.until("ana", &format!("SELECT max(channel) FROM {TABLE}"), |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 5 "))
    })
    .await;
    let (mut ada, mut ana) = (Raw::login(&lab, "ada").await, Raw::login(&lab, "ana").await);
    let whole = format!("SELECT n FROM {TABLE}");
    assert_eq!(announced(&mut ada, &whole, "4").await.unwrap().endpoint.len(), 4);
    assert_eq!(
        announced(&mut ada, &whole, "16").await.unwrap().endpoint.len(),
        4,
        "as many as files"
    );
    assert_eq!(
        announced(&mut ana, &whole, "4").await.unwrap().endpoint.len(),
        1,
        "files and their sizes tell of hidden rows"
    );
    for sql in [
        format!("SELECT n FROM {TABLE} ORDER BY n"),
        format!("SELECT n FROM {TABLE} LIMIT 200000"),
        format!("SELECT DISTINCT n FROM {TABLE}"),
        format!("SELECT count(*) AS n FROM {TABLE}"),
        format!("SELECT n, row_number() OVER () AS place FROM {TABLE}"),
        format!("SELECT n, random() AS dice FROM {TABLE}"),
        format!("SELECT n, now() AS at FROM {TABLE}"),
        format!("SELECT n FROM {TABLE} UNION ALL SELECT n FROM {TABLE}"),
        format!("SELECT a.n FROM {TABLE} a JOIN {TABLE} b ON a.n = b.n"),
        format!("SELECT n FROM {TABLE} WHERE n > (SELECT avg(n) FROM {TABLE})"),
        format!("SELECT n FROM {TABLE} FOR VERSION AS OF 3"),
        "SELECT value AS n FROM generate_series(1, 400000)".to_owned(),
        "SELECT * FROM system.commits".to_owned(),
        format!("DELETE FROM {TABLE} WHERE false"),
    ] {
        let info = announced(&mut ada, &sql, "4").await.unwrap();
        assert_eq!(info.endpoint.len(), 1, "{sql}");
    }
    for wrong in ["0", "17", "many", "-1"] {
        let error = announced(&mut ada, &whole, wrong).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{wrong}");
    }
}
