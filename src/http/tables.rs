//! `GET /api/tables`: the tables the caller may see, with columns, descriptions, tags and owners. Others are not there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use labhouse_policies::Tags;
use serde_json::json;

use super::Door;
use super::refusal::Refusal;
use super::signin::{self, Call};
use crate::query::Words;
use crate::system::SYSTEM;

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
            let none = Words::default();
            let columns: Vec<_> = columns
                .map(|field| {
                    let words = table.about.as_ref().and_then(|about| about.columns.get(field.name()));
                    let words = words.unwrap_or(&none);
                    json!({
                        "name": field.name(), "type": field.data_type().to_string(),
                        "comment": words.comment, "unit": words.unit, "tags": shown(&words.tags),
                    })
                })
                .collect();
            let about = table.about.as_ref();
            json!({
                "schema": table.schema, "name": table.table, "kind": table.kind,
                "what": about.map_or("system", |about| about.kind),
                "department": about.map_or(SYSTEM, |about| about.department.as_str()),
                "owner": about.and_then(|about| about.owner.as_ref()),
                "tags": about.map(|about| shown(&about.tags)).unwrap_or_default(),
                "description": table.comment, "columns": columns,
            })
        })
        .collect();
    Ok(Json(json!({ "tables": told })).into_response())
}

/// Tags as people read them: alternatives that came from several sources joined, those that are no more left out.
fn shown(tags: &Tags) -> BTreeMap<&String, String> {
    let values = |value: &String| {
        let some: Vec<&str> = value.split('|').filter(|value| !value.is_empty()).collect();
        some.join(" or ")
    };
    let told = tags.iter().map(|(key, value)| (key, values(value)));
    told.filter(|(_, value)| !value.is_empty()).collect()
}
