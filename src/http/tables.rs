//! `GET /api/tables`: the tables the caller may see, with columns and descriptions. Others are not there.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Door;
use super::refusal::Refusal;
use super::signin::{self, Call};

pub(super) async fn tables(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let tables = door.engine.tables(&caller.principal, &caller.client).await?;
    let told: Vec<_> = tables
        .iter()
        .map(|table| {
            let columns = table.columns.fields().iter();
            let columns: Vec<_> = columns
                .map(|field| json!({"name": field.name(), "type": field.data_type().to_string()}))
                .collect();
            json!({
                "schema": table.schema, "name": table.table, "kind": table.kind,
                "description": table.comment, "columns": columns,
            })
        })
        .collect();
    Ok(Json(json!({ "tables": told })).into_response())
}
