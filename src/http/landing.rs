//! `/api/landing/{path}`: files for the landing folder, whole or in parts, from programs on instruments' PCs.
//!
//! `GET` tells how much of a file has come, `PUT` brings the next part. A small file is one `PUT` without more:
//! `curl -T plate.csv -u NAME http://…/api/landing/chemistry/plates/`. A part of a larger one says how long the whole is,
//! its SHA-256, and at which byte the part begins.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use labhouse_catalog::uploads::{PART_BYTES_MAX, Received, Upload};
use labhouse_policies::Principal;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Door;
use super::ask::received;
use super::refusal::Refusal;
use super::signin::{self, Call};
use crate::auth::hex;

/// Of which file a part is, and which part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Length of the whole file.
    bytes: Option<u64>,
    /// SHA-256 of the whole file, in hex.
    sha256: Option<String>,
    /// Where the part begins.
    #[serde(default)]
    at: u64,
}

/// Files have landed, says whoever watches over the bucket: the next sweep comes at once. What the message says besides is
/// not read, so that any store's form of it will do.
pub(super) async fn landed(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    signin::caller(&door, request.headers(), Some(peer), Call::Changing).await?;
    received(request).await?;
    door.engine.landed.notify_one();
    Ok(StatusCode::ACCEPTED.into_response())
}

/// How much of a file has come.
pub(super) async fn look(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(path): Path<String>,
    part: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let Query(part) = part.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let (Some(bytes), Some(sha256)) = (part.bytes, part.sha256) else {
        return Err(Refusal::bad_request(
            "say which file: ?bytes=LENGTH&sha256=HEX of the whole",
        ));
    };
    let upload = upload(&door, &caller.principal, &path, bytes, &sha256)?;
    let received = door.engine.upload_received(&caller.principal, &upload).await?;
    Ok(told(received))
}

/// Takes a part.
pub(super) async fn put(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(path): Path<String>,
    part: Result<Query<Part>, QueryRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    // No page puts files: the cookie, which a browser sends by itself, is not enough.
    let caller = signin::caller(&door, request.headers(), Some(peer), Call::Changing).await?;
    let Query(part) = part.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let body = received(request).await?;
    let (bytes, sha256) = match (part.bytes, part.sha256) {
        (Some(bytes), Some(sha256)) => (bytes, sha256),
        (None, None) => (body.len() as u64, hex(&Sha256::digest(&body))),
        _ => {
            return Err(Refusal::bad_request(format!(
                "a part needs both, ?bytes=LENGTH&sha256=HEX of the whole file; without them the body is the whole file, of at most {PART_BYTES_MAX} bytes"
            )));
        }
    };
    let upload = upload(&door, &caller.principal, &path, bytes, &sha256)?;
    let taken = door
        .engine
        .upload_part(&caller.principal, &caller.client, &upload, part.at, body)
        .await?;
    let status = match taken.is_landed {
        true => StatusCode::CREATED,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, told(taken)).into_response())
}

/// Ends of names of files that may be plain tables.
const PLAIN_ENDS: [&str; 4] = [".csv", ".tsv", ".txt", ".tab"];

fn upload(door: &Door, who: &Principal, path: &str, bytes: u64, sha256: &str) -> Result<Upload, Refusal> {
    let most = door.engine.config.crawl.file_bytes_max;
    // Plain tables are read piece by piece, whatever their size.
    let may_be_plain = PLAIN_ENDS.iter().any(|end| path.to_ascii_lowercase().ends_with(end));
    if bytes > most && !may_be_plain {
        return Err(Refusal::bad_request(format!(
            "the file has {bytes} bytes, and more than {most} are not read (file_bytes_max in [crawl] of the config)"
        )));
    }
    Upload::new(&who.name, path, bytes, sha256).map_err(|error| Refusal::bad_request(error.to_string()))
}

fn told(received: Received) -> Response {
    Json(json!({
        "received": received.bytes,
        "landed": received.is_landed,
        "replaces": received.replaces,
        "part_bytes_max": PART_BYTES_MAX,
    }))
    .into_response()
}
