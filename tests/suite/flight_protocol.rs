//! The Flight SQL door word by word, with raw messages: what drivers send that the Rust client does not.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use arrow_flight::sql::{
    ActionCancelQueryRequest, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementSubstraitPlan, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{
    Action, BasicAuth, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria, Empty, FlightData,
    FlightDescriptor, FlightEndpoint, HandshakeRequest, IpcMessage, RenewFlightEndpointRequest, Ticket,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::lab;
use crate::raw::{Raw, choose, connect, descriptor, number_of_rows, query, rows, rows_of};

#[tokio::test]
async fn no_call_is_answered_without_a_login() {
    let lab = lab::shared();
    let mut client = connect(&lab).await;
    let info = || descriptor(&CommandGetSqlInfo { info: Vec::new() });
    let data = || stream::iter(vec![FlightData::new().with_descriptor(info())]);
    let mut refused = vec![
        client.get_flight_info(info()).await.map(drop),
        client.poll_flight_info(info()).await.map(drop),
        client.get_schema(info()).await.map(drop),
        client.do_get(Ticket::new(info().cmd)).await.map(drop),
        client.do_put(data()).await.map(drop),
        client.do_exchange(data()).await.map(drop),
        client.list_flights(Criteria::default()).await.map(drop),
        client.list_actions(Empty {}).await.map(drop),
        client.do_action(Action::new("GetSessionOptions", "")).await.map(drop),
        client
            .handshake(stream::iter(vec![HandshakeRequest::default()]))
            .await
            .map(drop),
        client
            .handshake(stream::iter(Vec::<HandshakeRequest>::new()))
            .await
            .map(drop),
    ];
    for value in ["Bearer x", "Bearer ", "Basic c2Ft", "Negotiate x", ""] {
        let mut request = Request::new(info());
        request.metadata_mut().insert("authorization", value.parse().unwrap());
        refused.push(client.get_flight_info(request).await.map(drop));
    }
    let good = Raw::login(&lab, "sam").await;
    let mut twice = good.request(info());
    twice
        .metadata_mut()
        .append("authorization", format!("Bearer {}", good.token).parse().unwrap());
    refused.push(client.get_flight_info(twice).await.map(drop));
    for (at, outcome) in refused.into_iter().enumerate() {
        assert_eq!(outcome.unwrap_err().code(), Code::Unauthenticated, "call {at}");
    }
    assert!(client.get_flight_info(good.request(info())).await.is_ok());
}

#[tokio::test]
async fn a_password_is_answered_with_a_token_wherever_it_comes() {
    let lab = lab::shared();
    let mut client = connect(&lab).await;
    // `sam:sam-demo`, padded and not, on an ordinary call.
    for word in ["c2FtOnNhbS1kZW1v", "c2FtOnNhbS1kZW1vCg"] {
        let mut request = Request::new(descriptor(&CommandGetCatalogs {}));
        request
            .metadata_mut()
            .insert("authorization", format!("Basic {word}").parse().unwrap());
        let answer = client.get_flight_info(request).await;
        if word.len() > 16 {
            assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated, "another password");
            continue;
        }
        let token = answer.unwrap().metadata().get("authorization").unwrap().clone();
        let mut request = Request::new(Empty {});
        request.metadata_mut().insert("authorization", token);
        assert!(client.list_actions(request).await.is_ok());
    }
    // As the payload of the handshake, the token then in pyarrow's header.
    let payload = BasicAuth {
        username: "sam".into(),
        password: "sam-demo".into(),
    }
    .encode_to_vec()
    .into();
    let handshake = stream::iter(vec![HandshakeRequest {
        protocol_version: 0,
        payload,
    }]);
    let answer = client.handshake(handshake).await.unwrap();
    assert!(answer.metadata().get("authorization").is_some());
    let token = answer.into_inner().message().await.unwrap().unwrap().payload;
    let mut request = Request::new(Empty {});
    request
        .metadata_mut()
        .insert_bin("auth-token-bin", MetadataValue::from_bytes(&token));
    assert!(client.list_actions(request).await.is_ok());
}

#[tokio::test]
async fn the_calls_of_the_jdbc_driver_work_in_its_order() {
    let lab = lab::shared();
    let mut jdbc = Raw::login(&lab, "sam").await;
    // Connecting with a catalog in the URL: field 1 is the map, "catalog" -> {1: "lab"}.
    let catalog = b"\n\x10\n\x07catalog\x12\x05\n\x03lab".to_vec();
    assert_eq!(
        jdbc.act("SetSessionOptions", catalog).await.unwrap().unwrap().len(),
        0,
        "no errors"
    );
    let other = b"\n\x10\n\x07catalog\x12\x05\n\x03foo".to_vec();
    assert!(!jdbc.act("SetSessionOptions", other).await.unwrap().unwrap().is_empty());

    let (_, sql_info) = jdbc.ask(&CommandGetSqlInfo { info: Vec::new() }).await.unwrap();
    let codes = sql_info[0].column(0).as_primitive::<UInt32Type>().values().to_vec();
    assert!((0..12).chain(500..577).all(|code| codes.contains(&code)), "{codes:?}");

    let columns = |schema: &Schema| {
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect::<Vec<_>>()
    };
    let (schema, batches) = jdbc.ask(&CommandGetCatalogs {}).await.unwrap();
    assert_eq!(
        (columns(&schema), number_of_rows(&batches)),
        (vec!["catalog_name".to_owned()], 1)
    );
    let (schema, batches) = jdbc.ask(&CommandGetDbSchemas::default()).await.unwrap();
    assert_eq!(columns(&schema), ["catalog_name", "db_schema_name"]);
    assert!(number_of_rows(&batches) > 0);
    let tables = CommandGetTables {
        table_types: vec!["TABLE".into()],
        include_schema: true,
        ..Default::default()
    };
    let (schema, batches) = jdbc.ask(&tables).await.unwrap();
    assert_eq!(
        columns(&schema),
        [
            "catalog_name",
            "db_schema_name",
            "table_name",
            "table_type",
            "table_schema"
        ]
    );
    assert!(
        batches[0]
            .column(3)
            .as_string::<i32>()
            .iter()
            .all(|kind| kind == Some("TABLE"))
    );
    let (_, batches) = jdbc.ask(&CommandGetTableTypes {}).await.unwrap();
    assert_eq!(number_of_rows(&batches), 2);
    let (_, batches) = jdbc.ask(&CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    assert!(number_of_rows(&batches) > 15);
    for (fields, outcome) in [
        (
            6,
            jdbc.ask(&CommandGetPrimaryKeys {
                table: "x".into(),
                ..Default::default()
            })
            .await,
        ),
        (
            13,
            jdbc.ask(&CommandGetExportedKeys {
                table: "x".into(),
                ..Default::default()
            })
            .await,
        ),
        (
            13,
            jdbc.ask(&CommandGetImportedKeys {
                table: "x".into(),
                ..Default::default()
            })
            .await,
        ),
        (13, jdbc.ask(&CommandGetCrossReference::default()).await),
    ] {
        let (schema, batches) = outcome.unwrap();
        assert_eq!((schema.fields().len(), number_of_rows(&batches)), (fields, 0));
    }

    // Every statement is prepared and closed; a schema means a query.
    let (prepared, is_update) = jdbc.prepare("SELECT 1 AS one").await.unwrap();
    assert!(!prepared.dataset_schema.is_empty());
    assert_eq!(is_update, Some(false));
    let run = |handle: &Bytes| CommandPreparedStatementQuery {
        prepared_statement_handle: handle.clone(),
    };
    let (_, batches) = jdbc.ask(&run(&prepared.prepared_statement_handle)).await.unwrap();
    assert_eq!(number_of_rows(&batches), 1);
    for _ in 0..2 {
        jdbc.close(prepared.prepared_statement_handle.clone()).await;
    }

    // Values are bound by DoPut; the answered handle carries them, and the first one is served as well.
    let sql = "SELECT DISTINCT \"column\" AS c FROM lab.chemistry.plate_readings WHERE \"column\" = ?";
    let (prepared, _) = jdbc.prepare(sql).await.unwrap();
    let first = prepared.prepared_statement_handle;
    assert_eq!(
        jdbc.info(&run(&first)).await.unwrap_err().code(),
        Code::InvalidArgument,
        "nothing is bound"
    );
    for bound in [vec![3], vec![1, 2, 24]] {
        let result = jdbc.put(&run(&first), Some(rows(bound.clone()))).await.unwrap();
        let result = DoPutPreparedStatementResult::decode(result.app_metadata).unwrap();
        for handle in [&result.prepared_statement_handle.unwrap(), &first] {
            let (_, batches) = jdbc.ask(&run(handle)).await.unwrap();
            let came: Vec<i64> = batches
                .iter()
                .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
                .collect();
            assert_eq!(came, bound);
        }
    }
    // Another person's handle is no handle.
    let mut ada = Raw::login(&lab, "ada").await;
    assert_eq!(ada.info(&run(&first)).await.unwrap_err().code(), Code::InvalidArgument);
    jdbc.close(first).await;
    assert!(jdbc.act("CloseSession", "").await.unwrap().is_some());
}

#[tokio::test]
async fn what_the_server_does_not_do_it_refuses_by_name() {
    let lab = lab::shared();
    let mut raw = Raw::login(&lab, "ada").await;
    let in_transaction = CommandStatementQuery {
        query: "SELECT 1".into(),
        transaction_id: Some("t".into()),
    };
    let ingest = CommandStatementIngest {
        table: "t".into(),
        temporary: true,
        ..Default::default()
    };
    let path = raw.request(FlightDescriptor::new_path(vec!["lab".into()]));
    let noise = raw.request(FlightDescriptor::new_cmd(vec![0xff, 0xff]));
    let exchange = raw.request(stream::iter(vec![FlightData::new()]));
    let refusals = [
        (
            Code::InvalidArgument,
            "transaction",
            raw.info(&in_transaction).await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "Substrait",
            raw.info(&CommandStatementSubstraitPlan::default()).await.map(drop),
        ),
        (Code::Unimplemented, "temporary", raw.put(&ingest, None).await.map(drop)),
        (
            Code::Unimplemented,
            "DoExchange",
            raw.client.do_exchange(exchange).await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "no action",
            raw.act("Nonsense", "").await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "cannot be read",
            raw.act("CancelFlightInfo", vec![0xff]).await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "DoPut does not take",
            raw.put(&query("SELECT 1"), None).await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "no command",
            raw.client.get_flight_info(path).await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "cannot be read",
            raw.client.get_flight_info(noise).await.map(drop),
        ),
        (
            Code::InvalidArgument,
            "ask for a new one",
            raw.get(forged()).await.map(drop),
        ),
    ];
    for (code, says, outcome) in refusals {
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "{says}: {error}");
    }
}

fn forged() -> Ticket {
    let handle = arrow_flight::sql::TicketStatementQuery {
        statement_handle: Bytes::from(vec![7; 64]),
    };
    Ticket::new(handle.as_any().encode_to_vec())
}

#[tokio::test]
async fn infos_are_polled_renewed_and_cancelled_by_their_owner_only() {
    let lab = lab::shared();
    let (mut ada, mut sam) = (Raw::login(&lab, "ada").await, Raw::login(&lab, "sam").await);
    let endless = "SELECT a.plate_id FROM lab.chemistry.plate_readings a, lab.chemistry.plate_readings b";
    let request = ada.request(descriptor(&query(endless)));
    let poll = ada.client.poll_flight_info(request).await.unwrap().into_inner();
    assert!(poll.flight_descriptor.is_none(), "complete at once");
    let info = poll.info.unwrap();

    let renew = RenewFlightEndpointRequest::new(info.endpoint[0].clone()).encode_to_vec();
    assert_eq!(
        sam.act("RenewFlightEndpoint", renew.clone()).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let renewed = FlightEndpoint::decode(ada.act("RenewFlightEndpoint", renew).await.unwrap().unwrap()).unwrap();
    assert!(renewed.expiration_time.is_some());

    let request = ada.request(renewed.ticket.unwrap());
    let mut messages = ada.client.do_get(request).await.unwrap().into_inner();
    messages.message().await.unwrap().unwrap();
    let cancel = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    assert_eq!(
        sam.act("CancelFlightInfo", cancel.clone()).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let answer = ada.act("CancelFlightInfo", cancel).await.unwrap().unwrap();
    assert_eq!(
        CancelFlightInfoResult::decode(answer).unwrap().status,
        CancelStatus::Cancelled as i32
    );
    let end = loop {
        match messages.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a cancelled result must not look complete"),
        }
    };
    assert_eq!(end.code(), Code::Cancelled);
    // Its ticket is cancelled, too; another statement's is not.
    assert_eq!(
        ada.get(info.endpoint[0].ticket.clone().unwrap())
            .await
            .unwrap_err()
            .code(),
        Code::Cancelled
    );
    assert!(ada.ask(&query("SELECT 1")).await.is_ok());

    // The older action of the same meaning.
    let other = ada.info(&query(endless)).await.unwrap();
    let request = ActionCancelQueryRequest {
        info: other.encode_to_vec().into(),
    };
    assert!(
        ada.act("CancelQuery", request.as_any().encode_to_vec())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        ada.get(other.endpoint[0].ticket.clone().unwrap())
            .await
            .unwrap_err()
            .code(),
        Code::Cancelled
    );
}

#[tokio::test]
async fn what_writes_happens_once_for_each_time_it_is_asked() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    let update = |sql: &str| CommandStatementUpdate {
        query: sql.into(),
        transaction_id: None,
    };
    ada.update(&update("CREATE TABLE lab.chemistry.counted AS SELECT 1 AS n"), None)
        .await
        .unwrap();

    // Announcing runs nothing, fetching runs it, fetching again does not.
    let info = ada
        .info(&query("INSERT INTO lab.chemistry.counted VALUES (2)"))
        .await
        .unwrap();
    assert!(
        info.endpoint[0].expiration_time.is_none(),
        "clients read an expiry as leave to fetch again"
    );
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.counted").await, 1);
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert_eq!(number_of_rows(&ada.get(ticket.clone()).await.unwrap()), 1);
    let error = ada.get(ticket).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("used before"), "{error}");
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.counted").await, 2);

    // A prepared one: no schema, so that JDBC takes it for an update; once for each row.
    let (prepared, is_update) = ada
        .prepare("INSERT INTO lab.chemistry.counted VALUES (?)")
        .await
        .unwrap();
    assert!(prepared.dataset_schema.is_empty());
    assert_eq!(is_update, Some(true));
    let parameters = Schema::try_from(IpcMessage(prepared.parameter_schema.clone())).unwrap();
    assert_eq!(
        parameters.field(0).data_type(),
        &DataType::Int64,
        "the type of the column it fills"
    );
    let run = CommandPreparedStatementUpdate {
        prepared_statement_handle: prepared.prepared_statement_handle,
    };
    assert_eq!(
        ada.update(&run, None).await.unwrap_err().code(),
        Code::InvalidArgument,
        "nothing is bound"
    );
    assert_eq!(ada.update(&run, Some(rows(vec![3, 4, 5]))).await.unwrap(), 3);
    assert_eq!(lab.number("ada", "SELECT sum(n) FROM lab.chemistry.counted").await, 15);
    let mut guest = Raw::login(&lab, "guest").await;
    let refused = guest
        .update(&update("INSERT INTO lab.chemistry.counted VALUES (9)"), None)
        .await
        .unwrap_err();
    assert!(
        matches!(refused.code(), Code::NotFound | Code::PermissionDenied),
        "{refused}"
    );
}

#[tokio::test]
async fn parameters_of_writes_are_announced_with_the_types_they_fill() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    let create = CommandStatementUpdate {
        query: "CREATE TABLE lab.chemistry.typed (id BIGINT, name VARCHAR, at TIMESTAMP, ok BOOLEAN, share DOUBLE)"
            .into(),
        transaction_id: None,
    };
    ada.update(&create, None).await.unwrap();
    for (sql, types) in [
        (
            "INSERT INTO lab.chemistry.typed VALUES (?, ?, ?, ?, ?)",
            "Int64 Utf8 Timestamp Boolean Float64",
        ),
        ("INSERT INTO lab.chemistry.typed (name, id) VALUES (?, ?)", "Utf8 Int64"),
        (
            "INSERT INTO lab.chemistry.typed (name, id) VALUES ($2, $1), ($4, $3)",
            "Int64 Utf8 Int64 Utf8",
        ),
        (
            "UPDATE lab.chemistry.typed SET name = $2, share = $3 WHERE id = $1",
            "Int64 Utf8 Float64",
        ),
        (
            "DELETE FROM lab.chemistry.typed WHERE id = ? AND ok = ?",
            "Int64 Boolean",
        ),
        (
            "SELECT * FROM lab.chemistry.typed WHERE at < ? AND share BETWEEN ? AND ?",
            "Timestamp Float64 Float64",
        ),
    ] {
        let (prepared, is_update) = ada.prepare(sql).await.unwrap();
        assert_eq!(is_update, Some(!sql.starts_with("SELECT")), "{sql}");
        let told = Schema::try_from(IpcMessage(prepared.parameter_schema)).unwrap();
        let told: Vec<String> = told
            .fields()
            .iter()
            .map(|field| field.data_type().to_string())
            .collect();
        let wanted: Vec<&str> = types.split(' ').collect();
        assert_eq!(told.len(), wanted.len(), "{sql}: {told:?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(wanted), "{sql}: {told} instead of {wanted}");
        }
    }
    // What is hidden has no types to tell.
    let mut guest = Raw::login(&lab, "guest").await;
    let refused = guest
        .prepare("INSERT INTO lab.chemistry.typed VALUES (?, ?, ?, ?, ?)")
        .await;
    let absent = guest
        .prepare("INSERT INTO lab.chemistry.absent VALUES (?, ?, ?, ?, ?)")
        .await;
    match (refused, absent) {
        (Ok((hidden, _)), Ok((absent, _))) => assert_eq!(hidden.parameter_schema, absent.parameter_schema),
        (Err(hidden), Err(absent)) => assert_eq!(hidden.message().replace("typed", "absent"), absent.message()),
        (hidden, absent) => panic!("{hidden:?} differs from {absent:?}"),
    }
}

#[tokio::test]
async fn results_tell_in_their_trailers_what_they_took() {
    let lab = lab::shared();
    let mut sam = Raw::login(&lab, "sam").await;
    let info = sam
        .info(&query(
            "SELECT plate_id, well FROM lab.chemistry.plate_readings LIMIT 1234",
        ))
        .await
        .unwrap();
    let request = sam.request(info.endpoint[0].ticket.clone().unwrap());
    let mut stream = sam.client.do_get(request).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let trailers = stream.trailers().await.unwrap().unwrap();
    let told = |name: &str| trailers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(told("labhouse-rows"), "1234");
    assert!(told("labhouse-bytes").parse::<u64>().unwrap() > 1234);
    assert!(told("labhouse-duration-us").parse::<u64>().unwrap() > 0);
    let known = format!(
        "SELECT \"rows\" FROM lab.system.queries WHERE id = '{}'",
        told("labhouse-query-id")
    );
    assert_eq!(lab.number("ada", &known).await, 1234);
    // A listing is no statement and tells nothing.
    let request = sam.request(Ticket::new(descriptor(&CommandGetCatalogs {}).cmd));
    let mut stream = sam.client.do_get(request).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let trailers = stream.trailers().await.unwrap().unwrap_or_default();
    assert!(trailers.get("labhouse-rows").is_none());
}

#[tokio::test]
async fn answers_are_compressed_for_who_asks_and_for_nobody_else() {
    use tonic::codec::CompressionEncoding;

    let lab = lab::shared();
    let mut raw = Raw::login(&lab, "sam").await;
    let command = query("SELECT repeat('abc', 100) AS t FROM generate_series(1, 5000)");
    let ticket = raw.info(&command).await.unwrap().endpoint[0].ticket.clone().unwrap();
    let encoding = |response: &tonic::Response<_>| -> Option<String> {
        let metadata = tonic::Response::<tonic::Streaming<FlightData>>::metadata(response);
        Some(metadata.get("grpc-encoding")?.to_str().unwrap().to_owned())
    };
    let plain = raw.client.clone();
    for (mut client, offered, expected) in [
        (plain.clone(), None, None),
        // As grpcio and grpc-java send it with every call.
        (plain.clone(), Some("identity, deflate, gzip"), None),
        (plain.clone(), Some("gzip"), None),
        (
            plain.clone().accept_compressed(CompressionEncoding::Zstd),
            None,
            Some("zstd"),
        ),
        (
            plain.clone().accept_compressed(CompressionEncoding::Gzip),
            None,
            Some("gzip"),
        ),
    ] {
        let mut request = raw.request(ticket.clone());
        if let Some(offered) = offered {
            request
                .metadata_mut()
                .insert("grpc-accept-encoding", offered.parse().unwrap());
        }
        let answer = client.do_get(request).await.unwrap();
        assert_eq!(encoding(&answer).as_deref(), expected, "{offered:?}");
        let messages: Vec<FlightData> = answer.into_inner().try_collect().await.unwrap();
        let bytes: usize = messages.iter().map(|message| message.data_body.len()).sum();
        assert!(bytes > 1_500_000, "the messages themselves are plain: {bytes}");
    }
    // Values within the messages, by a header.
    for (asked, code) in [("zstd", None), ("lz4", None), ("brotli", Some(Code::InvalidArgument))] {
        let mut request = raw.request(ticket.clone());
        request
            .metadata_mut()
            .insert("labhouse-ipc-compression", asked.parse().unwrap());
        let answer = raw.client.do_get(request).await;
        if let Some(code) = code {
            assert_eq!(answer.unwrap_err().code(), code);
            continue;
        }
        let messages: Vec<FlightData> = answer.unwrap().into_inner().try_collect().await.unwrap();
        let bytes: usize = messages.iter().map(|message| message.data_body.len()).sum();
        assert!(bytes < 500_000, "{asked}: {bytes}");
        let decoded = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(stream::iter(
            messages.into_iter().map(Ok),
        ));
        let batches: Vec<_> = decoded.try_collect().await.unwrap();
        assert_eq!(number_of_rows(&batches), 5000);
    }
}

/// Performs SetSessionOptions or CloseSession; gives its answer, the cookie and the token that come with it.
async fn session(raw: &mut Raw, action: &str, body: Vec<u8>) -> (Vec<u8>, Option<String>, Option<String>) {
    let request = raw.request(Action::new(action, body));
    let answer = raw.client.do_action(request).await.unwrap();
    let header = |name: &str| Some(answer.metadata().get(name)?.to_str().unwrap().to_owned());
    let (cookie, token) = (header("set-cookie"), header("authorization"));
    let body = answer.into_inner().message().await.unwrap().unwrap().body.to_vec();
    (body, cookie, token)
}

#[tokio::test]
async fn a_session_says_where_bare_names_are_looked_for() {
    let lab = lab::own();
    let mut sam = Raw::login(&lab, "sam").await;
    let bare = query("SELECT count(*) AS n FROM reactions WHERE well IN (SELECT well FROM plate_readings)");
    assert_eq!(
        sam.info(&bare).await.unwrap_err().code(),
        Code::NotFound,
        "nothing is chosen"
    );
    let (errors, cookie, token) = session(&mut sam, "SetSessionOptions", choose("chemistry")).await;
    assert!(errors.is_empty());
    let (cookie, token) = (cookie.unwrap(), token.unwrap());
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("arrow_flight_session_id="), "{cookie}");

    // By the cookie.
    let mut request = sam.request(descriptor(&bare));
    request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    let info = sam.client.get_flight_info(request).await.unwrap().into_inner();
    let rows = sam.get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(
        rows[0].column(0).as_primitive::<Int64Type>().value(0) > 0,
        "the ticket needs no session"
    );
    // By the token, everywhere a statement comes.
    let plain = std::mem::replace(&mut sam.token, token.strip_prefix("Bearer ").unwrap().to_owned());
    let (_, rows) = sam.ask(&bare).await.unwrap();
    assert_eq!(number_of_rows(&rows), 1);
    let request = sam.request(descriptor(&bare));
    assert!(sam.client.get_schema(request).await.is_ok());
    let (prepared, _) = sam.prepare("SELECT well FROM reactions WHERE well = ?").await.unwrap();
    assert!(!prepared.dataset_schema.is_empty());
    let told = sam.act("GetSessionOptions", "").await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&told).contains("chemistry"));
    // Writing as well: where a name is bare, it is in the schema.
    let mut ada = Raw::login(&lab, "ada").await;
    let (errors, _, token) = session(&mut ada, "SetSessionOptions", choose("scratch")).await;
    assert!(
        errors.is_empty(),
        "a schema that is not there yet, and in which ada may make tables"
    );
    ada.token = token.unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let update = |sql: &str| CommandStatementUpdate {
        query: sql.into(),
        transaction_id: None,
    };
    for sql in [
        "CREATE TABLE bare (n BIGINT)",
        "INSERT INTO bare VALUES (1), (2)",
        "UPDATE bare SET n = 3 WHERE n = 1",
        "DELETE FROM bare WHERE n = 2",
    ] {
        ada.update(&update(sql), None)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let ingest = CommandStatementIngest {
        table: "brought".into(),
        ..Default::default()
    };
    assert_eq!(ada.update(&ingest, Some(rows_of("n", vec![4, 5]))).await.unwrap(), 2);
    let sum = "SELECT (SELECT sum(n) FROM scratch.bare) + (SELECT sum(n) FROM scratch.brought) AS n";
    assert_eq!(lab.number("ada", sum).await, 12);
    ada.update(&update("DROP TABLE bare"), None).await.unwrap();

    // Another's cookie is no session; what is hidden and what is not there are answered alike.
    let mut ana = Raw::login(&lab, "ana").await;
    let mut request = ana.request(descriptor(&query("SELECT 1 FROM reactions")));
    request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    assert_eq!(
        ana.client.get_flight_info(request).await.unwrap_err().code(),
        Code::NotFound
    );
    let (hidden, cookie, _) = session(&mut ana, "SetSessionOptions", choose("adme")).await;
    let (absent, _, _) = session(&mut ana, "SetSessionOptions", choose("admf")).await;
    assert!(!hidden.is_empty() && cookie.is_none());
    assert_eq!(hidden, absent);
    let (malformed, _, _) = session(&mut ana, "SetSessionOptions", choose("a\".b")).await;
    assert_eq!(malformed, absent);
    // Names that a statement gives itself, and older versions.
    lab.update("ada", "CREATE TABLE lab.scratch.aged AS SELECT CAST(1 AS BIGINT) AS n")
        .await
        .unwrap();
    ada.update(&update("INSERT INTO aged VALUES (10)"), None).await.unwrap();
    for (sql, wanted) in [
        (
            "WITH aged AS (SELECT n + 1 AS n FROM aged) SELECT sum(n) AS n FROM aged",
            13,
        ),
        ("SELECT sum(n) AS n FROM aged FOR VERSION AS OF 0", 1),
        (
            "SELECT a.n + sum(b.n) AS n FROM aged FOR VERSION AS OF 0 AS a JOIN aged AS b ON true GROUP BY a.n",
            12,
        ),
    ] {
        let (_, rows) = ada
            .ask(&query(sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), wanted, "{sql}");
    }
    // Closing lets go of it, and the token is good for nothing any more.
    let (_, cookie, token) = session(&mut sam, "CloseSession", Vec::new()).await;
    assert!(cookie.unwrap().contains("Max-Age=0") && token.is_none());
    for token in [plain, sam.token.clone()] {
        sam.token = token;
        assert_eq!(
            sam.info(&query("SELECT 1")).await.unwrap_err().code(),
            Code::Unauthenticated
        );
    }
}
