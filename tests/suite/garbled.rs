//! Noise at the door: damaged commands, tickets, handles and actions of somebody who is logged in. The server answers each
//! with data or an error of the caller's kind, shows nothing hidden, and goes on.

use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, Any, CommandGetTables, CommandPreparedStatementQuery, CommandStatementIngest,
    CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt, SubstraitPlan,
};
use arrow_flight::{FlightDescriptor, Ticket};
use prost::Message;
use tonic::{Code, Status};

use crate::fuzz::rng::Rng;
use crate::lab;
use crate::raw::{Raw, query};

const CASES: usize = 250;

fn damaged(rng: &mut Rng, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() + 1);
        match rng.below(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, (0..rng.below(9)).map(|_| rng.between(0, 255) as u8))),
            _ => {
                let to = (at + rng.below(12)).min(bytes.len());
                bytes.drain(at..to);
            }
        }
    }
    bytes
}

fn callers_fault(status: &Status) -> bool {
    let kind = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::FailedPrecondition
    );
    kind && !status.message().contains("panicked")
}

#[tokio::test]
async fn noise_is_refused_and_the_server_goes_on() {
    let lab = lab::shared();
    let mut ana = Raw::login(&lab, "ana").await;
    let sql = "SELECT count(*) AS n FROM lab.chemistry.reactions";
    let (_, wanted) = ana.ask(&query(sql)).await.unwrap();
    let (handle, _) = ana.prepare(sql).await.unwrap();
    let handle = handle.prepared_statement_handle;
    let ticket = ana.info(&query(sql)).await.unwrap().endpoint[0]
        .ticket
        .clone()
        .unwrap()
        .ticket;
    let plan = SubstraitPlan {
        plan: b"\x0a\x0b/etc/passwd".to_vec().into(),
        version: "0.1".into(),
    };
    let substrait = CommandStatementSubstraitPlan {
        plan: Some(plan),
        transaction_id: None,
    };
    let ingest = CommandStatementIngest {
        table: "reactions".into(),
        ..Default::default()
    };
    let prepared = CommandPreparedStatementQuery {
        prepared_statement_handle: handle.clone(),
    };
    let update = CommandStatementUpdate {
        query: "DELETE FROM lab.chemistry.reactions".into(),
        transaction_id: None,
    };
    let tables = CommandGetTables {
        include_schema: true,
        ..Default::default()
    };
    let good: Vec<Vec<u8>> = [
        query(sql).as_any(),
        substrait.as_any(),
        crate::substrait::small().as_any(),
        ingest.as_any(),
        prepared.as_any(),
        update.as_any(),
        tables.as_any(),
    ]
    .iter()
    .map(Any::encode_to_vec)
    .chain([ticket.to_vec()])
    .collect();
    let create = ActionCreatePreparedStatementRequest {
        query: sql.into(),
        transaction_id: None,
    };
    let actions = [
        "CreatePreparedStatement",
        "ClosePreparedStatement",
        "CancelFlightInfo",
        "CancelQuery",
        "RenewFlightEndpoint",
        "SetSessionOptions",
        "CreatePreparedSubstraitPlan",
    ];
    let mut rng = Rng::new(14);
    let mut refused = 0;
    for case in 0..CASES {
        let whole = rng.pick::<Vec<u8>>(&good);
        let bytes = damaged(&mut rng, whole);
        let outcome = match case % 4 {
            0 => ana.get(Ticket::new(bytes.clone())).await.map(drop),
            1 => {
                let request = ana.request(FlightDescriptor::new_cmd(bytes.clone()));
                ana.client.get_flight_info(request).await.map(drop)
            }
            2 => {
                let request = ana.request(FlightDescriptor::new_cmd(bytes.clone()));
                ana.client.get_schema(request).await.map(drop)
            }
            _ => {
                let body = damaged(&mut rng, &create.as_any().encode_to_vec());
                ana.act(rng.pick::<&str>(&actions), body).await.map(drop)
            }
        };
        if let Err(status) = outcome {
            refused += 1;
            assert!(callers_fault(&status), "case {case}, {bytes:?}: {status:?}");
            for secret in ["operator", ".parquet", "tables/"] {
                assert!(!status.message().contains(secret), "{status:?}");
            }
        }
    }
    assert!(refused > CASES / 3, "{refused}");
    let (_, again) = ana.ask(&query(sql)).await.unwrap();
    assert_eq!(wanted, again, "nothing was changed, and the server goes on");
    assert!(!lab.log().contains("panicked"), "{}", lab.log());
}
