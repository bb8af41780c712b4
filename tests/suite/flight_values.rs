//! Values that come to the Flight door in forms that drivers send and nobody should: cut messages, tables of no columns, times
//! in another unit, two columns of one name; and mistakes that are the caller's.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, Time32MillisecondArray, Time64NanosecondArray};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{CommandPreparedStatementQuery, CommandStatementIngest, ProstMessageExt};
use futures::{TryStreamExt, stream};
use tonic::Code;

use crate::lab;
use crate::raw::{Raw, descriptor, query, rows_of};

fn into(table: &str) -> CommandStatementIngest {
    CommandStatementIngest {
        table: table.into(),
        schema: Some("assay".into()),
        ..Default::default()
    }
}

async fn messages(command: &impl ProstMessageExt, batch: RecordBatch) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor(command)))
        .build(stream::iter([Ok(batch)]))
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_message_that_is_shorter_than_it_says_is_the_callers_mistake() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    let (handle, _) = ada.prepare("SELECT $1 + 1 AS n").await.unwrap();
    let bind = CommandPreparedStatementQuery {
        prepared_statement_handle: handle.prepared_statement_handle.clone(),
    };
    for keep in [0, 1, 8] {
        for mut cut in [
            messages(&into("cut"), rows_of("n", vec![1, 2, 3])).await,
            messages(&bind, rows_of("0", vec![1, 2, 3])).await,
        ] {
            let last = cut.last_mut().unwrap();
            last.data_body = last.data_body.slice(..keep);
            let request = ada.request(stream::iter(cut));
            let answer = match ada.client.do_put(request).await {
                Ok(answer) => answer.into_inner().message().await,
                Err(status) => Err(status),
            };
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains("body"), "{refused}");
        }
    }
    assert_eq!(
        ada.update(&into("cut"), Some(rows_of("n", vec![1, 2, 3])))
            .await
            .unwrap(),
        3
    );
    let log = lab.log();
    assert!(!log.contains("panic"), "{log}");
}

#[tokio::test]
async fn a_table_has_a_column_or_is_not_made() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    let nothing = |rows| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap()
    };
    for rows in [0, 3] {
        let refused = ada.update(&into("bare"), Some(nothing(rows))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("at least one column"), "{refused}");
    }
    let refused = lab
        .update(
            "ada",
            "CREATE TABLE lab.assay.bare AS SELECT * EXCLUDE (a) FROM (SELECT 1 AS a) AS t",
        )
        .await;
    assert!(refused.is_err());
    assert!(!lab.dir.join("tables/assay/bare").exists());
    assert_eq!(
        ada.update(&into("bare"), Some(rows_of("n", vec![1, 2]))).await.unwrap(),
        2
    );
    assert_eq!(lab.number("ada", "SELECT sum(n) FROM lab.assay.bare").await, 3);
}

#[tokio::test]
async fn a_time_is_announced_in_milliseconds_and_taken_in_any_unit() {
    let lab = lab::shared();
    let mut ana = Raw::login(&lab, "ana").await;
    let sql = "SELECT CAST(t AS VARCHAR) AS t FROM (VALUES (TIME '01:02:03'), (TIME '04:05:06')) AS v(t) WHERE t = ?";
    let (prepared, _) = ana.prepare(sql).await.unwrap();
    let announced = arrow_flight::IpcMessage(prepared.parameter_schema.clone());
    let announced = Schema::try_from(announced).unwrap();
    assert_eq!(
        announced.field(0).data_type(),
        &DataType::Time32(TimeUnit::Millisecond),
        "what JDBC's driver writes whatever it is told"
    );
    let columns: [ArrayRef; 2] = [
        Arc::new(Time32MillisecondArray::from(vec![3_723_000])),
        Arc::new(Time64NanosecondArray::from(vec![3_723_000_000_000])),
    ];
    for column in columns {
        let command = CommandPreparedStatementQuery {
            prepared_statement_handle: prepared.prepared_statement_handle.clone(),
        };
        let values = RecordBatch::try_from_iter([("0", column)]).unwrap();
        ana.put(&command, Some(values)).await.unwrap();
        let (_, batches) = ana.ask(&command).await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        assert!(text.contains("01:02:03") && !text.contains("04:05:06"), "{text}");
    }
    // What nothing types is text, which every driver binds.
    let (prepared, _) = ana
        .prepare("SELECT date_add(?, 1)")
        .await
        .unwrap_or_else(|_| panic!("prepared"));
    let announced = Schema::try_from(arrow_flight::IpcMessage(prepared.parameter_schema)).unwrap();
    assert!(announced.fields().iter().all(|field| !field.data_type().is_null()));
}

#[tokio::test]
async fn two_columns_of_one_name_both_come() {
    let lab = lab::shared();
    let mut ana = Raw::login(&lab, "ana").await;
    let of = "FROM (VALUES (1, 2), (3, 4)) AS t(id, k)";
    for (sql, names, first) in [
        (
            format!("SELECT id, id {of} ORDER BY id"),
            vec!["id", "id"],
            "| 1  | 1  |",
        ),
        (
            format!("SELECT t.id, t.* {of} ORDER BY id"),
            vec!["id", "id", "k"],
            "| 1  | 1  | 2 |",
        ),
        (
            format!("SELECT *, k AS id {of} ORDER BY k"),
            vec!["id", "k", "id"],
            "| 1  | 2 | 2  |",
        ),
        (
            format!("SELECT id AS n, k AS n {of} ORDER BY n DESC"),
            vec!["n", "n"],
            "| 3 | 4 |",
        ),
        ("SELECT 1, 1".to_owned(), vec!["1", "1"], "| 1 | 1 |"),
        (
            format!("SELECT count(*), count(*) {of}"),
            vec!["count(*)", "count(*)"],
            "| 2        | 2        |",
        ),
        (
            format!("SELECT id, id {of} UNION ALL SELECT 9, 9"),
            vec!["id", "id"],
            "|",
        ),
    ] {
        let (schema, batches) = ana
            .ask(&query(&sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let told: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(told, names, "{sql}");
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        assert!(text.lines().nth(3).unwrap().starts_with(first), "{sql}\n{text}");
    }
    // A table has each name once.
    for sql in [
        format!("SELECT count(*) FROM (SELECT id, id {of}) AS s"),
        "SELECT a FROM (SELECT 1 AS a, 2 AS a) AS s".to_owned(),
    ] {
        assert!(lab.query("ana", &sql).await.is_err(), "{sql}");
    }
    let own = lab
        .update("ada", &format!("CREATE TABLE lab.assay.twice AS SELECT id, id {of}"))
        .await;
    let refused = own.unwrap_err();
    assert!(!refused.contains('\u{1f}'), "{refused}");
}

#[tokio::test]
async fn a_mistake_is_the_callers_and_never_internal() {
    let lab = lab::shared();
    let mut ana = Raw::login(&lab, "ana").await;
    for sql in [
        "SELECT 'a' ~ '('",
        "SELECT regexp_replace('a', '(', 'b')",
        "SELECT * FROM (VALUES ('(')) AS t(p) WHERE 'a' ~ p",
        "SELECT regexp_like('a', '[')",
        "SELECT sum(plate_id) FROM lab.chemistry.reactions",
        "SELECT substr(NULL)",
        "SELECT 3 > ALL (SELECT 1)",
        "SELECT 3 = ANY (SELECT 3)",
    ] {
        let refused = ana.ask(&query(sql)).await.unwrap_err();
        assert!(
            matches!(refused.code(), Code::InvalidArgument | Code::Unimplemented),
            "{sql}: {refused:?}"
        );
        assert!(!refused.message().contains("Internal error"), "{sql}: {refused}");
    }
    assert_eq!(
        lab.number("ana", "SELECT count(*) FROM (VALUES ('a')) AS t(x) WHERE x ~ '^(a)$'")
            .await,
        1
    );
}
