//! Transactions and savepoints of Flight SQL, message by message; those of PostgreSQL's protocol are in
//! `tests/python/test_postgres.py`.

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type};
use arrow_flight::Empty;
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, CommandGetSqlInfo, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate, ProstMessageExt, SqlInfo,
};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::{Code, Status};

use crate::lab::{self, Server};
use crate::raw::{Raw, query, rows, rows_of};

const KEEP: i32 = 1;
const TAKE_BACK: i32 = 2;

/// A client that asks for transactions, and what it says in one.
struct Client(Raw);

impl Client {
    async fn login(lab: &Server, user: &str) -> Self {
        let mut raw = Raw::login(lab, user).await;
        raw.transactions = true;
        Self(raw)
    }

    async fn begin(&mut self) -> Bytes {
        let body = ActionBeginTransactionRequest {}.as_any().encode_to_vec();
        let result = self.0.act("BeginTransaction", body).await.unwrap().unwrap();
        let any = Any::decode(result).unwrap();
        let result: ActionBeginTransactionResult = any.unpack().unwrap().unwrap();
        result.transaction_id
    }

    async fn end(&mut self, transaction: &Bytes, action: i32) -> Result<(), Status> {
        let request = ActionEndTransactionRequest {
            transaction_id: transaction.clone(),
            action,
        };
        let body = request.as_any().encode_to_vec();
        self.0.act("EndTransaction", body).await.map(drop)
    }

    async fn save(&mut self, transaction: &Bytes) -> Result<Bytes, Status> {
        let request = ActionBeginSavepointRequest {
            transaction_id: transaction.clone(),
            name: "s".into(),
        };
        let body = request.as_any().encode_to_vec();
        let result = self.0.act("BeginSavepoint", body).await?.unwrap();
        let result: ActionBeginSavepointResult = Any::decode(result).unwrap().unpack().unwrap().unwrap();
        Ok(result.savepoint_id)
    }

    async fn end_savepoint(&mut self, savepoint: &Bytes, action: i32) -> Result<(), Status> {
        let request = ActionEndSavepointRequest {
            savepoint_id: savepoint.clone(),
            action,
        };
        let body = request.as_any().encode_to_vec();
        self.0.act("EndSavepoint", body).await.map(drop)
    }

    async fn update(&mut self, transaction: &Bytes, sql: &str) -> Result<i64, Status> {
        let command = CommandStatementUpdate {
            query: sql.into(),
            transaction_id: Some(transaction.clone()),
        };
        self.0.update(&command, None).await
    }

    /// The number that a query gives in a transaction.
    async fn number(&mut self, transaction: &Bytes, sql: &str) -> Result<i64, Status> {
        let command = CommandStatementQuery {
            query: sql.into(),
            transaction_id: Some(transaction.clone()),
        };
        let (_, batches) = self.0.ask(&command).await?;
        Ok(batches[0].column(0).as_primitive::<Int64Type>().value(0))
    }
}

fn sum(table: &str) -> String {
    format!("SELECT coalesce(sum(n), 0) FROM lab.chemistry.{table}")
}

async fn made(lab: &Server, tables: &[&str]) {
    for table in tables {
        let sql = format!("CREATE TABLE lab.chemistry.{table} AS SELECT CAST(1 AS BIGINT) AS n");
        lab.update("ada", &sql).await.unwrap();
    }
}

#[tokio::test]
async fn changes_of_one_table_are_one_commit_or_none() {
    let lab = lab::own();
    made(&lab, &["t"]).await;
    let mut ada = Client::login(&lab, "ada").await;
    let transaction = ada.begin().await;
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 1);
    for (sql, count, now) in [
        ("INSERT INTO lab.chemistry.t VALUES (2), (4)", 2, 7),
        ("UPDATE lab.chemistry.t SET n = n + 10 WHERE n >= 2", 2, 27),
        ("DELETE FROM lab.chemistry.t WHERE n = 1", 1, 26),
        ("INSERT INTO lab.chemistry.t SELECT n FROM lab.chemistry.t", 2, 52),
    ] {
        assert_eq!(ada.update(&transaction, sql).await.unwrap(), count, "{sql}");
        assert_eq!(
            ada.number(&transaction, &sum("t")).await.unwrap(),
            now,
            "its own changes: {sql}"
        );
        assert_eq!(lab.number("ada", &sum("t")).await, 1, "nobody else's: {sql}");
    }
    // A statement that fails leaves the others as they were.
    let failed = ada
        .update(&transaction, "INSERT INTO lab.chemistry.t VALUES ('x')")
        .await;
    assert_eq!(failed.unwrap_err().code(), Code::InvalidArgument);
    ada.end(&transaction, KEEP).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 52);
    let version = "SELECT version FROM lab.system.commits WHERE table_name = 't'";
    assert_eq!(
        lab.number("ada", version).await,
        1,
        "0 is the table's making, 1 is all four"
    );
    let gone = ada.number(&transaction, &sum("t")).await.unwrap_err();
    assert_eq!(gone.code(), Code::FailedPrecondition, "{gone}");
    assert_eq!(
        ada.end(&transaction, KEEP).await.unwrap_err().code(),
        Code::FailedPrecondition
    );

    // Rolled back, nothing is there, and no file is left of it.
    let files = || {
        let table = lab.dir.join("tables/chemistry/t");
        let names = std::fs::read_dir(table).unwrap().map(|file| file.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".parquet"))
            .count()
    };
    let before = files();
    let transaction = ada.begin().await;
    ada.update(&transaction, "INSERT INTO lab.chemistry.t VALUES (1000)")
        .await
        .unwrap();
    assert!(files() > before);
    ada.end(&transaction, TAKE_BACK).await.unwrap();
    assert_eq!(files(), before);
    assert_eq!(lab.number("ada", &sum("t")).await, 52);
    ada.end(&transaction, TAKE_BACK).await.unwrap();
    let audited = "SELECT count(*) FROM lab.system.audit WHERE action = 'commit' AND verdict = 'allowed'";
    assert_eq!(lab.number("ada", audited).await, 1);
}

#[tokio::test]
async fn savepoints_are_gone_back_to_and_released() {
    let lab = lab::own();
    made(&lab, &["t", "other"]).await;
    let mut ada = Client::login(&lab, "ada").await;
    let transaction = ada.begin().await;
    let insert = |n: i64| format!("INSERT INTO lab.chemistry.t VALUES ({n})");
    let start = ada.save(&transaction).await.unwrap();
    ada.update(&transaction, &insert(10)).await.unwrap();
    let ten = ada.save(&transaction).await.unwrap();
    ada.update(&transaction, &insert(100)).await.unwrap();
    let hundred = ada.save(&transaction).await.unwrap();
    ada.update(&transaction, "DELETE FROM lab.chemistry.t").await.unwrap();
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 0);
    ada.end_savepoint(&hundred, TAKE_BACK).await.unwrap();
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 111);
    ada.end_savepoint(&ten, TAKE_BACK).await.unwrap();
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 11);
    // Those set after it are gone, it stays.
    let gone = ada.end_savepoint(&hundred, TAKE_BACK).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    ada.update(&transaction, &insert(1000)).await.unwrap();
    ada.end_savepoint(&ten, TAKE_BACK).await.unwrap();
    ada.end_savepoint(&ten, KEEP).await.unwrap();
    assert_eq!(ada.end_savepoint(&ten, KEEP).await.unwrap_err().code(), Code::NotFound);
    ada.update(&transaction, &insert(500)).await.unwrap();
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 511);
    // Back at its start a transaction may change another table.
    ada.end_savepoint(&start, TAKE_BACK).await.unwrap();
    ada.update(&transaction, "INSERT INTO lab.chemistry.other VALUES (5)")
        .await
        .unwrap();
    ada.end(&transaction, KEEP).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 1);
    assert_eq!(lab.number("ada", &sum("other")).await, 6);
    assert_eq!(
        ada.save(&transaction).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn what_one_commit_cannot_hold_is_refused() {
    let lab = lab::own();
    made(&lab, &["t", "other"]).await;
    let mut ada = Client::login(&lab, "ada").await;
    let transaction = ada.begin().await;
    ada.update(&transaction, "INSERT INTO lab.chemistry.t VALUES (2)")
        .await
        .unwrap();
    let second = ada
        .update(&transaction, "INSERT INTO lab.chemistry.other VALUES (2)")
        .await;
    let second = second.unwrap_err();
    assert_eq!(second.code(), Code::FailedPrecondition);
    assert!(second.message().contains("one table"), "{second}");
    // What others append goes in between; what they change does not.
    lab.update("ada", "INSERT INTO lab.chemistry.t VALUES (100)")
        .await
        .unwrap();
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 3);
    ada.end(&transaction, KEEP).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 103);
    let transaction = ada.begin().await;
    ada.update(&transaction, "UPDATE lab.chemistry.t SET n = 0")
        .await
        .unwrap();
    lab.update("ada", "INSERT INTO lab.chemistry.t VALUES (1000)")
        .await
        .unwrap();
    let overtaken = ada.end(&transaction, KEEP).await.unwrap_err();
    assert_eq!(overtaken.code(), Code::Aborted, "{overtaken}");
    let after = ada.number(&transaction, &sum("t")).await.unwrap_err();
    assert_eq!(
        after.code(),
        Code::FailedPrecondition,
        "it takes nothing but its rollback: {after}"
    );
    ada.end(&transaction, TAKE_BACK).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 1103);
    // Making a table commits what was changed before.
    let transaction = ada.begin().await;
    ada.update(&transaction, "INSERT INTO lab.chemistry.t VALUES (1)")
        .await
        .unwrap();
    ada.update(
        &transaction,
        "CREATE TABLE lab.chemistry.made AS SELECT CAST(7 AS BIGINT) AS n",
    )
    .await
    .unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 1104);
    ada.update(&transaction, "INSERT INTO lab.chemistry.made VALUES (1)")
        .await
        .unwrap();
    ada.end(&transaction, TAKE_BACK).await.unwrap();
    assert_eq!(lab.number("ada", &sum("made")).await, 7);
}

#[tokio::test]
async fn rights_are_asked_for_by_each_statement_and_by_the_commit() {
    let lab = lab::own();
    made(&lab, &["t"]).await;
    let mut ada = Client::login(&lab, "ada").await;
    let mut ana = Client::login(&lab, "ana").await;
    let transaction = ana.begin().await;
    let hidden = ana
        .update(&transaction, "INSERT INTO lab.chemistry.nowhere VALUES (1)")
        .await;
    let refused = ana.update(&transaction, "DELETE FROM lab.chemistry.reagent_lots").await;
    for error in [hidden.unwrap_err(), refused.unwrap_err()] {
        assert!(
            matches!(error.code(), Code::NotFound | Code::PermissionDenied),
            "{error}"
        );
    }
    // Another's transaction is no transaction.
    let of_ada = ada.begin().await;
    ada.update(&of_ada, "INSERT INTO lab.chemistry.t VALUES (2)")
        .await
        .unwrap();
    assert_eq!(
        ana.number(&of_ada, "SELECT 1").await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(ana.end(&of_ada, KEEP).await.unwrap_err().code(), Code::InvalidArgument);
    // Other tags, or other policies, and what was allowed before is not committed.
    lab.update("ada", "ALTER TABLE lab.chemistry.t SET TAGS (pii = 'yes')")
        .await
        .unwrap();
    let read = ada.number(&of_ada, &sum("t")).await.unwrap_err();
    assert_eq!(read.code(), Code::Aborted, "{read}");
    let tagged = ada.end(&of_ada, KEEP).await.unwrap_err();
    assert!(
        tagged.code() == Code::Aborted && tagged.message().contains("tags"),
        "{tagged}"
    );
    ada.end(&of_ada, TAKE_BACK).await.unwrap();
    let of_ada = ada.begin().await;
    ada.update(&of_ada, "INSERT INTO lab.chemistry.t VALUES (2)")
        .await
        .unwrap();
    let policy = lab.dir.join("policies/policy.csv");
    let before = lab.number("ada", "SELECT generation FROM system.policies").await;
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(
        &policy,
        text + "\np, role:scientist, chemistry, lab/chemistry/t, insert, allow\n",
    )
    .unwrap();
    let newer = format!("SELECT count(*) FROM system.policies WHERE generation > {before}");
    lab.until("ada", &newer, |now| {
        now.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    let changed = ada.end(&of_ada, KEEP).await.unwrap_err();
    assert!(
        changed.code() == Code::Aborted && changed.message().contains("policies"),
        "{changed}"
    );
    assert_eq!(lab.number("ada", &sum("t")).await, 1);
}

#[tokio::test]
async fn prepared_statements_and_bulk_loads_are_in_it() {
    let lab = lab::own();
    made(&lab, &["t"]).await;
    let mut ada = Client::login(&lab, "ada").await;
    let transaction = ada.begin().await;
    let request = ActionCreatePreparedStatementRequest {
        query: "INSERT INTO lab.chemistry.t VALUES (?)".into(),
        transaction_id: Some(transaction.clone()),
    };
    let body = request.as_any().encode_to_vec();
    let result = ada.0.act("CreatePreparedStatement", body).await.unwrap().unwrap();
    let prepared: ActionCreatePreparedStatementResult = Any::decode(result).unwrap().unpack().unwrap().unwrap();
    let insert = CommandPreparedStatementUpdate {
        prepared_statement_handle: prepared.prepared_statement_handle,
    };
    assert_eq!(ada.0.update(&insert, Some(rows(vec![10, 20]))).await.unwrap(), 2);
    assert_eq!(ada.0.update(&insert, Some(rows(vec![30]))).await.unwrap(), 1);
    let ingest = CommandStatementIngest {
        table: "t".into(),
        schema: Some("chemistry".into()),
        transaction_id: Some(transaction.clone()),
        ..Default::default()
    };
    assert_eq!(ada.0.update(&ingest, Some(rows_of("n", vec![40]))).await.unwrap(), 1);
    assert_eq!(ada.number(&transaction, &sum("t")).await.unwrap(), 101);
    assert_eq!(lab.number("ada", &sum("t")).await, 1);
    ada.end(&transaction, KEEP).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 101);
    // A driver keeps its statement: it goes on in the transaction that the connection has begun since, and in none else.
    let ended = ada.0.update(&insert, Some(rows(vec![1]))).await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition, "{ended}");
    let next = ada.begin().await;
    assert_eq!(ada.0.update(&insert, Some(rows(vec![1]))).await.unwrap(), 1);
    assert_eq!(ada.number(&next, &sum("t")).await.unwrap(), 102);
    ada.end(&next, TAKE_BACK).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 101);
    ada.begin().await;
    ada.begin().await;
    let which = ada.0.update(&insert, Some(rows(vec![1]))).await.unwrap_err();
    assert_eq!(which.code(), Code::FailedPrecondition, "{which}");
}

#[tokio::test]
async fn sql_info_tells_each_caller_what_is_true_for_him() {
    let lab = lab::shared();
    let numbers = async |raw: &mut Raw| {
        let info = CommandGetSqlInfo {
            info: vec![SqlInfo::FlightSqlServerTransaction as u32],
        };
        let (_, batches) = raw.ask(&info).await.unwrap();
        assert_eq!(batches[0].column(0).as_primitive::<UInt32Type>().value(0), 8);
        let union = batches[0].column(1).as_union();
        let value = union.value(0);
        let actions = raw
            .client
            .list_actions(raw.request(Empty {}))
            .await
            .unwrap()
            .into_inner();
        let names: Vec<String> = actions.map_ok(|action| action.r#type).try_collect().await.unwrap();
        let listed = names
            .iter()
            .filter(|name| name.contains("Transaction") || name.contains("Savepoint"));
        (value.as_primitive::<Int32Type>().value(0), listed.count())
    };
    let mut asks = Client::login(&lab, "sam").await;
    let mut does_not = Raw::login(&lab, "sam").await;
    // They are announced to who asks, and there for whoever begins one.
    assert_eq!(numbers(&mut asks.0).await, (2, 4));
    assert_eq!(numbers(&mut does_not).await, (0, 4));
    for name in ["EndTransaction", "BeginSavepoint", "EndSavepoint"] {
        for raw in [&mut asks.0, &mut does_not] {
            let refused = raw.act(name, "").await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
        }
    }
    let transaction = asks.begin().await;
    assert_eq!(asks.number(&transaction, "SELECT 1").await.unwrap(), 1);
    for action in [0, 3] {
        let refused = asks.end(&transaction, action).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    asks.end(&transaction, KEEP).await.unwrap();
}

#[tokio::test]
async fn whoever_begins_a_transaction_has_one() {
    let lab = lab::own();
    made(&lab, &["t"]).await;
    let mut plain = Client(Raw::login(&lab, "ada").await);
    assert!(!plain.0.transactions, "nothing is asked for by a header");
    for (end, left) in [(TAKE_BACK, 1), (KEEP, 11)] {
        let transaction = plain.begin().await;
        plain
            .update(&transaction, "INSERT INTO lab.chemistry.t VALUES (10)")
            .await
            .unwrap();
        let point = plain.save(&transaction).await.unwrap();
        plain.update(&transaction, "DELETE FROM lab.chemistry.t").await.unwrap();
        plain.end_savepoint(&point, TAKE_BACK).await.unwrap();
        assert_eq!(plain.number(&transaction, &sum("t")).await.unwrap(), 11);
        assert_eq!(lab.number("ada", &sum("t")).await, 1);
        plain.end(&transaction, end).await.unwrap();
        assert_eq!(lab.number("ada", &sum("t")).await, left);
    }
    // Without one a statement still commits by itself.
    lab.update("ada", "INSERT INTO lab.chemistry.t VALUES (100)")
        .await
        .unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 111);
}

#[tokio::test]
async fn a_closed_session_takes_its_transactions_and_its_token_with_it() {
    let lab = lab::own();
    made(&lab, &["t"]).await;
    let (mut ada, mut other) = (Client::login(&lab, "ada").await, Client::login(&lab, "ada").await);
    let (of_ada, of_other) = (ada.begin().await, other.begin().await);
    ada.update(&of_ada, "INSERT INTO lab.chemistry.t VALUES (2)")
        .await
        .unwrap();
    other
        .update(&of_other, "INSERT INTO lab.chemistry.t VALUES (40)")
        .await
        .unwrap();
    assert!(ada.0.act("CloseSession", "").await.unwrap().is_some());
    let refused = ada.number(&of_ada, "SELECT 1").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    // Another session of the same person goes on, and what the closed one did not commit never was.
    let ended = other.number(&of_ada, &sum("t")).await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition, "{ended}");
    assert_eq!(other.number(&of_other, &sum("t")).await.unwrap(), 41);
    other.end(&of_other, KEEP).await.unwrap();
    assert_eq!(lab.number("ada", &sum("t")).await, 41);
    // A personal token is nobody's session alone.
    let token = crate::logins::user(&lab, &["token", "ada", "--label", "tool"]);
    let mut tool = crate::logins::with_token(&lab, &token).await;
    assert!(tool.act("CloseSession", "").await.unwrap().is_some());
    assert!(tool.ask(&query("SELECT 1")).await.is_ok());
}
