//! `/api/dashboards/{name}/file`: a dashboard's file as an administrator reads, writes and removes it from the page.
//!
//! What is written is checked like a file that was put there by hand, and replaces it whole or not at all. Whoever writes
//! names the text he has read (its SHA-256), so that nobody's edit is lost to another's. Removing the lab's own file brings
//! back the shipped one of that name, if there is one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path as UrlPath, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::file::Dashboard;
use super::{FILE_BYTES_MAX, FILES_MAX, SHIPPED, read_file};
use crate::auth::hex_digest;
use crate::flight::authn::Caller;
use crate::http::Door;
use crate::http::ask::body;
use crate::http::refusal::Refusal;
use crate::http::signin::{self, Call};
use crate::query::QueryError;
use crate::replace::{Readers, replace};

/// Letters of a name: it is a file's name and a word in URLs.
const NAME_BYTES_MAX: usize = 64;

/// What is to be written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    text: String,
    /// The `sha256` that reading gave; null where there is no dashboard of that name yet.
    was: Option<String>,
}

/// What is to be removed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    was: String,
}

/// The text of a dashboard, and whether it is the shipped one.
pub(in crate::http) async fn read(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let file = File::of(&door, &caller, &name)?;
    let (text, is_shipped) = blocking(move || file.text()).await??.ok_or_else(|| absent(&name))?;
    let sha256 = hex_digest(&text);
    Ok(Json(json!({ "text": text, "sha256": sha256, "is_shipped": is_shipped })).into_response())
}

/// Writes a dashboard of the lab's own.
pub(in crate::http) async fn write(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    UrlPath(name): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, request.headers(), Some(peer), Call::Changing).await?;
    let file = File::to_change(&door, &caller, &name)?;
    let Edit { text, was } = body(request).await?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Refusal::bad_request(format!(
            "a dashboard has {FILE_BYTES_MAX} bytes at most; this one has {}",
            text.len()
        )));
    }
    let dashboard = Dashboard::parse(&name, &text).map_err(|error| Refusal::bad_request(error.to_string()))?;
    // What cannot be asked would be gone from everybody's dashboard without a word.
    for (what, sql) in dashboard.trials() {
        let described = door.engine.describe(&caller.principal, &caller.client, &sql, &[]).await;
        if let Err(error) = described {
            return Err(Refusal::bad_request(format!(
                "dashboard {name}: {what}: {error}; nothing was saved"
            )));
        }
    }
    let sha256 = hex_digest(&text);
    blocking(move || file.replace(was.as_deref(), Some(&text))).await??;
    door.engine
        .audit
        .dashboard(&caller.principal.name, &caller.client, &name, Some(&sha256));
    Ok(Json(json!({ "sha256": sha256, "is_shipped": false })).into_response())
}

/// Removes a dashboard of the lab's own.
pub(in crate::http) async fn remove(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    UrlPath(name): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, request.headers(), Some(peer), Call::Changing).await?;
    let file = File::to_change(&door, &caller, &name)?;
    let Removal { was } = body(request).await?;
    blocking(move || file.replace(Some(&was), None)).await??;
    door.engine
        .audit
        .dashboard(&caller.principal.name, &caller.client, &name, None);
    Ok(Json(json!({ "is_shipped": shipped(&name).is_some() })).into_response())
}

/// The file of one dashboard.
struct File {
    name: String,
    path: PathBuf,
}

impl File {
    /// For administrators only: a dashboard asks in the name of everybody who opens it.
    fn of(door: &Door, caller: &Caller, name: &str) -> Result<Self, Refusal> {
        if !door.engine.policies.current().is_admin(&caller.principal) {
            return Err(QueryError::Denied("only a lake admin edits dashboards".into()).into());
        }
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) {
            return Err(Refusal::bad_request(format!(
                "`{name}` cannot be the name of a dashboard: use 1 to {NAME_BYTES_MAX} of a-z, 0-9 and _"
            )));
        }
        let dir = &door.engine.config.dashboards.dir;
        Ok(Self {
            name: name.to_owned(),
            path: dir.join(format!("{name}.toml")),
        })
    }

    /// As `of`, for logins that may change something.
    fn to_change(door: &Door, caller: &Caller, name: &str) -> Result<Self, Refusal> {
        let file = Self::of(door, caller, name)?;
        door.engine
            .govern(&caller.principal, door.engine.world())
            .may_change()?;
        Ok(file)
    }

    /// The text in force, and whether it is the shipped one; none when there is neither.
    fn text(&self) -> Result<Option<(String, bool)>, Refusal> {
        if !self.path.exists() {
            return Ok(shipped(&self.name).map(|text| (text.to_owned(), true)));
        }
        let text = read_file(&self.name, &self.path).map_err(|error| Refusal::bad_request(error.to_string()))?;
        Ok(Some((text, false)))
    }

    /// Writes `text` in the place of what is there, or removes it; only if that is what the caller has read.
    fn replace(&self, was: Option<&str>, text: Option<&str>) -> Result<(), Refusal> {
        static ONE_AT_A_TIME: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
        let _held = ONE_AT_A_TIME.lock();
        let now = self.text()?;
        if now.as_ref().map(|(text, _)| hex_digest(text)).as_deref() != was {
            let conflict = format!(
                "the dashboard {} is not what you have read: somebody changed it; open it again",
                self.name
            );
            return Err(QueryError::Conflict(conflict).into());
        }
        let failed = |error: std::io::Error| {
            tracing::error!(path = %self.path.display(), %error, "a dashboard was not written");
            Refusal::from(QueryError::Unavailable(
                "the folder of the dashboards does not take the change; see the server's log".into(),
            ))
        };
        match (text, now) {
            (Some(text), _) => {
                let dir = self.path.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(dir).map_err(failed)?;
                let others = std::fs::read_dir(dir).map_err(failed)?.count();
                if !self.path.exists() && others >= FILES_MAX {
                    let full = format!("{FILES_MAX} dashboards are read at most; remove one first");
                    return Err(QueryError::Exhausted(full).into());
                }
                replace(&self.path, text.as_bytes(), Readers::Usual).map_err(failed)
            }
            (None, Some((_, false))) => std::fs::remove_file(&self.path).map_err(failed),
            (None, _) => Err(Refusal::bad_request(format!(
                "the dashboard {} is the shipped one; there is no file of yours to remove",
                self.name
            ))),
        }
    }
}

fn shipped(name: &str) -> Option<&'static str> {
    let found = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
    Some(found.1)
}

fn absent(name: &str) -> Refusal {
    Refusal::not_found(format!("dashboard '{name}' not found"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(Refusal::internal)
}
