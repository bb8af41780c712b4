//! What lies between the calls of the Flight SQL door: tickets, handles, bindings, sessions, and calls of nobody.

use arrow_flight::sql::{ActionCancelQueryRequest, ActionCancelQueryResult, CommandStatementUpdate, ProstMessageExt};
use arrow_flight::{CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo, Ticket};
use prost::Message;
use tonic::Code;

use crate::lab;
use crate::raw::{Raw, query};

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
