//! `GET /api/version`: a word that changes when something the caller can see may have changed, without running anything.
//!
//! It is made of the policies' fingerprint of each table that he sees *whole*, its version, and the models he may ask.
//! A table of which rows or columns are hidden from him is left out: its version also changes with hidden rows, and when
//! those change is nobody's business. `is_whole` says whether any was left out; the page then asks again by the clock.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use labhouse_policies::Principal;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Door;
use super::refusal::Refusal;
use super::signin::{self, Call};
use crate::engine::Engine;
use crate::query::errors::from_datafusion;
use crate::system::SYSTEM;

pub(super) async fn version(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let (version, is_whole) = of(&door.engine, &caller.principal)?;
    Ok(Json(json!({ "version": version, "is_whole": is_whole })).into_response())
}

fn of(engine: &Engine, who: &Principal) -> Result<(String, bool), Refusal> {
    let governed = engine.govern(who, engine.world());
    let mut hash = Sha256::new();
    let mut add = |word: &[u8]| {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    };
    let mut is_whole = true;
    let mut visible = governed.visible();
    visible.sort_unstable();
    for (schema, table) in visible.into_iter().filter(|(schema, _)| schema != SYSTEM) {
        let access = governed
            .access(&schema, &table)
            .map_err(|error| Refusal::from(from_datafusion(error)))?;
        let Some(access) = access else { continue };
        for word in [&schema, &table, &access.fingerprint] {
            add(word.as_bytes());
        }
        if !access.is_unrestricted() {
            is_whole = false;
        } else if let Some(table) = governed.world().catalog.table(&schema, &table) {
            add(&table.version().to_le_bytes());
        }
    }
    // Only models that he may ask: others would tell of themselves here.
    for model in governed.world().models.all() {
        if governed.model(model.name(), "model_card").is_some() {
            add(model.name().to_string().as_bytes());
            add(&model.record().version.to_le_bytes());
        }
    }
    let version = hash.finalize();
    Ok((
        version.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        is_whole,
    ))
}
