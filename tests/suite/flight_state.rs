//! What lies between the calls of the Flight SQL door: tickets, handles, bindings, sessions, and calls of nobody.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{
    CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData, FlightInfo, HandshakeRequest, Ticket,
};
use bytes::Bytes;
use futures::stream;
use prost::Message;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tower_service::Service;

use crate::lab;
use crate::raw::{Raw, connect, descriptor, query, rows};

fn update(sql: &str) -> CommandStatementUpdate {
    CommandStatementUpdate {
        query: sql.into(),
        transaction_id: None,
    }
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

async fn cancelled(raw: &mut Raw, info: &FlightInfo) -> CancelStatus {
    let body = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    let answer = raw.act("CancelFlightInfo", body).await.unwrap().unwrap();
    CancelFlightInfoResult::decode(answer).unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_cancelled_before_or_while_it_runs_and_not_after() {
    let lab = lab::own_with(|config| format!("{config}\n[limits]\nwrite_rows = 1000000000\n"));
    let mut ada = Raw::login(&lab, "ada").await;
    ada.update(&update("CREATE TABLE lab.chemistry.counted (plate_id VARCHAR)"), None)
        .await
        .unwrap();
    let count = "SELECT count(*) FROM lab.chemistry.counted";
    let insert = query("INSERT INTO lab.chemistry.counted VALUES ('a')");

    // Before: it never happens.
    let info = ada.info(&insert).await.unwrap();
    assert_eq!(cancelled(&mut ada, &info).await, CancelStatus::Cancelled);
    assert_eq!(ada.get(ticket(&info)).await.unwrap_err().code(), Code::Cancelled);
    assert_eq!(lab.number("ada", count).await, 0);

    // After: it has happened, whatever is asked.
    let info = ada.info(&insert).await.unwrap();
    ada.get(ticket(&info)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(cancelled(&mut ada, &info).await, CancelStatus::NotCancellable);
    }
    let older = ActionCancelQueryRequest {
        info: info.encode_to_vec().into(),
    };
    let answer = ada.act("CancelQuery", older.as_any().encode_to_vec()).await.unwrap();
    let answer = arrow_flight::sql::Any::decode(answer.unwrap()).unwrap();
    let answer: ActionCancelQueryResult = answer.unpack().unwrap().unwrap();
    assert_eq!(answer.result, CancelStatus::NotCancellable as i32);
    assert_eq!(lab.number("ada", count).await, 1);

    // While it runs: it is asked to stop, and here there is time for that.
    let endless = "INSERT INTO lab.chemistry.counted SELECT a.plate_id FROM lab.chemistry.plate_readings a, lab.chemistry.plate_readings b";
    let info = ada.info(&query(endless)).await.unwrap();
    let mut other = Raw {
        client: ada.client.clone(),
        token: ada.token.clone(),
        transactions: false,
    };
    let runs = ticket(&info);
    let running = tokio::spawn(async move { other.get(runs).await });
    let seen = "SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE 'INSERT INTO lab.chemistry.counted SELECT%'";
    lab.until("ada", seen, lab::shows(1)).await;
    assert_eq!(cancelled(&mut ada, &info).await, CancelStatus::Cancelling);
    assert_eq!(running.await.unwrap().unwrap_err().code(), Code::Cancelled);
    assert_eq!(cancelled(&mut ada, &info).await, CancelStatus::Cancelled);
    assert_eq!(lab.number("ada", count).await, 1);
}

fn run(handle: &Bytes) -> CommandPreparedStatementQuery {
    CommandPreparedStatementQuery {
        prepared_statement_handle: handle.clone(),
    }
}

/// Binds values to a prepared statement; gives the handle that answers.
async fn bound(raw: &mut Raw, handle: &Bytes, values: RecordBatch) -> Bytes {
    let result = raw.put(&run(handle), Some(values)).await.unwrap();
    let result = DoPutPreparedStatementResult::decode(result.app_metadata).unwrap();
    result.prepared_statement_handle.unwrap()
}

#[tokio::test]
async fn a_closed_statement_is_not_used_any_more() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    ada.update(&update("CREATE TABLE lab.chemistry.closed (n BIGINT)"), None)
        .await
        .unwrap();
    let sql = "SELECT CAST(? AS BIGINT) AS n";
    let (first, other) = (ada.prepare(sql).await.unwrap().0, ada.prepare(sql).await.unwrap().0);
    let (first, other) = (first.prepared_statement_handle, other.prepared_statement_handle);
    let given = bound(&mut ada, &first, rows(vec![3])).await;
    let info = ada.info(&run(&given)).await.unwrap();
    for _ in 0..2 {
        ada.close(given.clone()).await;
    }
    // Neither the handle nor what binding made of it.
    for handle in [&first, &given] {
        let request = ada.request(descriptor(&run(handle)));
        for outcome in [
            ada.info(&run(handle)).await.map(drop),
            ada.client.get_schema(request).await.map(drop),
            ada.put(&run(handle), Some(rows(vec![4]))).await.map(drop),
            ada.get(Ticket::new(run(handle).as_any().encode_to_vec()))
                .await
                .map(drop),
        ] {
            let refused = outcome.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{refused}");
            assert!(refused.message().contains("closed"), "{refused}");
        }
    }
    // What was announced before is fetched, and another of the same text goes on.
    let came = ada.get(ticket(&info)).await.unwrap();
    assert_eq!(came[0].column(0).as_primitive::<Int64Type>().values(), &[3]);
    let given = bound(&mut ada, &other, rows(vec![5])).await;
    assert!(ada.ask(&run(&given)).await.is_ok());
    // One that writes, too.
    let (insert, _) = ada
        .prepare("INSERT INTO lab.chemistry.closed VALUES (?)")
        .await
        .unwrap();
    let insert = CommandPreparedStatementUpdate {
        prepared_statement_handle: insert.prepared_statement_handle,
    };
    assert_eq!(ada.update(&insert, Some(rows(vec![1]))).await.unwrap(), 1);
    ada.close(insert.prepared_statement_handle.clone()).await;
    let refused = ada.update(&insert, Some(rows(vec![2]))).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.closed").await, 1);
}

#[tokio::test]
async fn large_bindings_of_one_login_drive_out_nobody_elses() {
    let lab = lab::shared();
    let text = |megabytes: usize| {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(megabytes << 20)]));
        RecordBatch::try_from_iter([("$1", column)]).unwrap()
    };
    let sql = "SELECT octet_length(?) AS bytes";
    let (mut ana, mut sam) = (Raw::login(&lab, "ana").await, Raw::login(&lab, "sam").await);
    let of_ana = ana.prepare(sql).await.unwrap().0.prepared_statement_handle;
    let given_ana = bound(&mut ana, &of_ana, text(7)).await;
    let of_sam = sam.prepare(sql).await.unwrap().0.prepared_statement_handle;
    let mut given = Vec::new();
    for _ in 0..12 {
        given.push(bound(&mut sam, &of_sam, text(7)).await);
    }
    // Hers is there, by the handle that answered and by the first one; his oldest are not, and it is told so.
    for handle in [&given_ana, &of_ana] {
        let (_, came) = ana.ask(&run(handle)).await.unwrap();
        assert_eq!(came[0].column(0).as_primitive::<Int32Type>().value(0), 7 << 20);
    }
    for handle in [&given[11], &given[6], &of_sam] {
        assert!(sam.ask(&run(handle)).await.is_ok());
    }
    let gone = sam.info(&run(&given[0])).await.unwrap_err();
    assert_eq!(gone.code(), Code::Aborted, "{gone}");
    assert!(gone.message().contains("bind them again"), "{gone}");
}

/// Sends the messages of a DoPut as those of GetFlightInfo: they never end.
#[derive(Clone)]
struct AsInfo(Channel);

impl Service<http::Request<Body>> for AsInfo {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let uri = request.uri().to_string().replace("DoPut", "GetFlightInfo");
        *request.uri_mut() = uri.parse().unwrap();
        self.0.call(request)
    }
}

#[tokio::test]
async fn nothing_of_a_strangers_message_is_read() {
    let lab = lab::shared();
    let channel = Endpoint::from_shared(lab.flight.replace("grpc://", "http://")).unwrap();
    let mut endless = FlightServiceClient::new(AsInfo(channel.connect().await.unwrap()));
    let sam = Raw::login(&lab, "sam").await;
    let forged = Raw {
        client: sam.client.clone(),
        token: "x".repeat(200),
        transactions: false,
    };
    // The message does not end, and the answer comes all the same.
    for request in [
        Request::new(stream::pending::<FlightData>()),
        forged.request(stream::pending()),
    ] {
        let answer = tokio::time::timeout(lab::PATIENCE, endless.do_put(request)).await;
        let refused = answer.expect("the body was waited for").unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }
    // Whoever is known is waited for.
    let waits = endless.do_put(sam.request(stream::pending()));
    assert!(tokio::time::timeout(Duration::from_millis(300), waits).await.is_err());
    // Nor is a large one kept, and the connection goes on.
    let mut client = connect(&lab).await;
    let large = || descriptor(&query(&"x".repeat(12 << 20)));
    for request in [Request::new(large()), forged.request(large())] {
        let refused = client.get_flight_info(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }
    let refused = client.get_flight_info(sam.request(large())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    // A login is read before its sender is known, so it must be small.
    let login = HandshakeRequest {
        protocol_version: 0,
        payload: vec![0; 1 << 20].into(),
    };
    let refused = client.handshake(stream::iter(vec![login])).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(
        client
            .get_flight_info(sam.request(descriptor(&query("SELECT 1"))))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_read_sent_as_an_update_changes_an_unknown_number() {
    let lab = lab::shared();
    let mut sam = Raw::login(&lab, "sam").await;
    for sql in [
        "SELECT 5 AS count",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT count(*) AS count FROM lab.chemistry.reactions",
    ] {
        assert_eq!(sam.update(&update(sql), None).await.unwrap(), -1, "{sql}");
    }
    let failed = sam.update(&update("SELECT CAST('x' AS INT)"), None).await.unwrap_err();
    assert_eq!(failed.code(), Code::InvalidArgument, "it was run: {failed}");
}

#[tokio::test]
async fn rows_bound_to_an_insert_with_expressions_are_one_commit_or_none() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    ada.update(
        &update("CREATE TABLE lab.chemistry.many (id BIGINT, word VARCHAR, kind VARCHAR)"),
        None,
    )
    .await
    .unwrap();
    let values = |ids: Vec<i64>, words: Vec<&str>| {
        let (ids, words): (ArrayRef, ArrayRef) = (Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(words)));
        RecordBatch::try_from_iter([("$1", ids), ("$2", words)]).unwrap()
    };
    let version = "SELECT version FROM lab.system.commits WHERE table_name = 'many'";
    for (sql, rows, sum) in [
        ("VALUES (?, upper(?), 'x')", 3, 6),
        ("VALUES (? * 10, concat(?, '!'), 'x')", 3, 66),
        ("VALUES (?, ?, NULL), (100, 'c', 'y')", 6, 372),
    ] {
        let before = lab.number("ada", version).await;
        let (insert, _) = ada
            .prepare(&format!("INSERT INTO lab.chemistry.many {sql}"))
            .await
            .unwrap();
        let insert = CommandPreparedStatementUpdate {
            prepared_statement_handle: insert.prepared_statement_handle,
        };
        let given = values(vec![1, 2, 3], vec!["a", "b", "c"]);
        assert_eq!(ada.update(&insert, Some(given)).await.unwrap(), rows, "{sql}");
        assert_eq!(lab.number("ada", version).await - before, 1, "{sql}");
        assert_eq!(
            lab.number("ada", "SELECT sum(id) FROM lab.chemistry.many").await,
            sum,
            "{sql}"
        );
    }
    let words = lab
        .text(
            "ada",
            "SELECT DISTINCT word FROM lab.chemistry.many WHERE kind = 'x' ORDER BY 1",
        )
        .await;
    assert!(words.contains("| A    |") && words.contains("| c!   |"), "{words}");
    // A row that does not fit leaves none, and a table that may not be filled stays as it is.
    let (insert, _) = ada
        .prepare("INSERT INTO lab.chemistry.many VALUES (CAST(? AS BIGINT), ?, 'z')")
        .await
        .unwrap();
    let insert = CommandPreparedStatementUpdate {
        prepared_statement_handle: insert.prepared_statement_handle,
    };
    let texts: [(&str, ArrayRef); 2] = [
        ("$1", Arc::new(StringArray::from(vec!["7", "no number"]))),
        ("$2", Arc::new(StringArray::from(vec!["a", "b"]))),
    ];
    let wrong = RecordBatch::try_from_iter(texts).unwrap();
    let refused = ada.update(&insert, Some(wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(
        lab.number("ada", "SELECT count(*) FROM lab.chemistry.many WHERE kind = 'z'")
            .await,
        0
    );
    let mut ana = Raw::login(&lab, "ana").await;
    let sql = "INSERT INTO lab.chemistry.reactions (plate_id, well) VALUES (upper(?), ?)";
    if let Ok((insert, _)) = ana.prepare(sql).await {
        let insert = CommandPreparedStatementUpdate {
            prepared_statement_handle: insert.prepared_statement_handle,
        };
        let texts: [(&str, ArrayRef); 2] = [
            ("$1", Arc::new(StringArray::from(vec!["p", "q"]))),
            ("$2", Arc::new(StringArray::from(vec!["A1", "A2"]))),
        ];
        let refused = ana
            .update(&insert, Some(RecordBatch::try_from_iter(texts).unwrap()))
            .await;
        assert!(refused.is_err());
    }
}

#[tokio::test]
async fn a_table_without_a_schema_is_in_public_for_who_may_have_some_there() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    for sql in [
        "CREATE TABLE bare (n BIGINT)",
        "INSERT INTO bare VALUES (1), (2), (3)",
        "UPDATE bare SET n = 10 WHERE n = 1",
        "DELETE FROM bare WHERE n = 2",
    ] {
        ada.update(&update(sql), None)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let ingest = arrow_flight::sql::CommandStatementIngest {
        table: "brought".into(),
        ..Default::default()
    };
    assert_eq!(
        ada.update(&ingest, Some(crate::raw::rows_of("n", vec![4, 5])))
            .await
            .unwrap(),
        2
    );
    let sum = "SELECT (SELECT sum(n) FROM bare) + (SELECT sum(n) FROM lab.public.brought) AS n";
    assert_eq!(lab.number("ada", sum).await, 22);
    ada.update(&update("DROP TABLE bare"), None).await.unwrap();
    // Others must say where.
    let mut sam = Raw::login(&lab, "sam").await;
    let refused = sam
        .update(&ingest, Some(crate::raw::rows_of("n", vec![4])))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("name the schema"), "{refused}");
    let refused = sam
        .update(&update("CREATE TABLE bare AS SELECT 1 AS n"), None)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(
        lab.query("sam", "SELECT * FROM brought").await.is_err(),
        "what he may not see"
    );
}
