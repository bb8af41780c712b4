//! `GET /api/version`: a word that changes when something the caller can see may have changed.
//!
//! It is made of the policies' fingerprint of each table that he sees, of the version of those he sees *whole*, of the models he may
//! ask, and of the states of his alerts and views. A table of which rows or columns are hidden from him has another version after each commit to
//! what is hidden, too, and when that changes is nobody's business: of such a table the word holds a number that is raised when a
//! commit changed something that he sees. Whether one did is asked as himself, once for all commits since the last call, and
//! only about data files that are not in both versions; nothing is asked while there is no commit.
//!
//! How long the call takes tells that there was a commit, as it does of answers that are kept; where the lab does not want that
//! (`limits.result_cache_filtered = false`), and where what he sees of a row hangs on more than this row, such tables are left
//! out. `is_whole` says whether any was; the page then asks again by the clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures::TryStreamExt;
use labhouse_policies::Principal;
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Door;
use super::refusal::Refusal;
use super::signin::{self, Call};
use crate::flight::authn::Caller;
use crate::query::errors::from_datafusion;
use crate::query::rests_on_its_row;
use crate::query::statement::CATALOG;
use crate::system::{SYSTEM, alerts_shown, pipelines_shown};

/// Tables of persons whose numbers are kept; beyond it all begin anew, and every open page asks once.
const SEEN_MAX: usize = 20_000;
/// Tables that one call asks about, and for how long each; of the others it is taken that something changed.
const ASKED_MAX: usize = 8;
const ASKED_FOR: Duration = Duration::from_secs(5);

/// What those who see tables in part saw of them last.
#[derive(Default)]
pub(super) struct SeenInPart(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    /// Numbers given out; none is given twice.
    given: u64,
    seen: BTreeMap<(String, String, String), Seen>,
}

#[derive(Clone)]
struct Seen {
    who: Principal,
    fingerprint: String,
    version: u64,
    number: u64,
}

/// A table that somebody sees in part.
struct Part {
    schema: String,
    table: String,
    fingerprint: String,
    version: u64,
}

pub(super) async fn version(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let (version, is_whole) = of(&door, &caller).await?;
    Ok(Json(json!({ "version": version, "is_whole": is_whole })).into_response())
}

async fn of(door: &Door, caller: &Caller) -> Result<(String, bool), Refusal> {
    let who = &caller.principal;
    let mut hash = Hash(Sha256::new());
    let mut is_whole = true;
    let mut parts = Vec::new();
    {
        let governed = door.engine.govern(who, door.engine.world());
        let access = |schema: &str, table: &str| {
            let access = governed.access(schema, table);
            access.map_err(|error| Refusal::from(from_datafusion(error)))
        };
        let mut visible = governed.visible();
        visible.sort_unstable();
        for (schema, table) in visible.into_iter().filter(|(schema, _)| schema != SYSTEM) {
            let Some(access) = access(&schema, &table)? else {
                continue;
            };
            for word in [&schema, &table, &access.fingerprint] {
                hash.add(word.as_bytes());
            }
            let version = governed
                .world()
                .catalog
                .table(&schema, &table)
                .map(|table| table.version());
            match version {
                Some(version) if access.is_unrestricted() => hash.add(&version.to_le_bytes()),
                None if access.is_unrestricted() => {}
                Some(version) if door.engine.config.limits.result_cache_filtered && rests_on_its_row(&access) => {
                    parts.push(Part {
                        schema,
                        table,
                        fingerprint: access.fingerprint.clone(),
                        version,
                    });
                }
                Some(_) | None => is_whole = false,
            }
        }
        // Only models that he may ask: others would tell of themselves here.
        for model in governed.world().models.all() {
            if governed.model(model.name(), "model_card").is_some() {
                hash.add(model.name().to_string().as_bytes());
                hash.add(&model.record().version.to_le_bytes());
            }
        }
        // His alerts and views change without any table changing, too: by the clock, or because something fails.
        if access(SYSTEM, "alerts")?.is_some() {
            hash.add(alerts_shown(&door.engine, who).as_bytes());
        }
        if access(SYSTEM, "pipelines")?.is_some() {
            hash.add(pipelines_shown(&door.engine, who).as_bytes());
        }
    }
    let mut asked = 0;
    for part in parts {
        hash.add(&number(door, caller, part, &mut asked).await.to_le_bytes());
    }
    Ok((hash.word(), is_whole))
}

/// The number that stands for what the caller sees of a table.
async fn number(door: &Door, caller: &Caller, part: Part, asked: &mut usize) -> u64 {
    let key = (caller.principal.name.clone(), part.schema.clone(), part.table.clone());
    let same = |seen: &Seen| seen.who == caller.principal && seen.fingerprint == part.fingerprint;
    let seen = door
        .seen_in_part
        .0
        .lock()
        .seen
        .get(&key)
        .filter(|seen| same(seen))
        .cloned();
    let changed = match &seen {
        Some(seen) if seen.version == part.version => return seen.number,
        Some(seen) if seen.version < part.version && *asked < ASKED_MAX => {
            *asked += 1;
            has_changed(door, caller, &part, seen.version).await
        }
        Some(_) | None => true,
    };
    let mut parts = door.seen_in_part.0.lock();
    // Another call of his may have been quicker: then what it found is so.
    let now = parts
        .seen
        .get(&key)
        .filter(|now| same(now) && now.version == part.version);
    if let Some(now) = now {
        return now.number;
    }
    let number = match seen {
        Some(seen) if !changed => seen.number,
        // The time makes it another one than those of a server before.
        Some(_) | None => {
            parts.given = (parts.given + 1).max(Utc::now().timestamp_micros().unsigned_abs());
            parts.given
        }
    };
    if parts.seen.len() >= SEEN_MAX {
        parts.seen.clear();
    }
    let seen = Seen {
        who: caller.principal.clone(),
        fingerprint: part.fingerprint,
        version: part.version,
        number,
    };
    parts.seen.insert(key, seen);
    number
}

/// Whether commits since a version changed something that the caller sees. What cannot be told is taken for a change.
async fn has_changed(door: &Door, caller: &Caller, part: &Part, since: u64) -> bool {
    let sql = format!(
        "SELECT 1 FROM table_changes('{CATALOG}.{}.{}', {since}, {}) LIMIT 1",
        part.schema, part.table, part.version
    );
    let client = caller.client.unasked();
    let rows = async {
        let running = door.engine.run(&caller.principal, &client, &sql, Vec::new(), None);
        let mut running = running.await.ok()?;
        let mut rows = 0;
        while let Some(batch) = running.stream.try_next().await.ok()? {
            rows += batch.num_rows();
        }
        Some(rows)
    };
    let rows = tokio::time::timeout(ASKED_FOR, rows).await.ok().flatten();
    rows != Some(0)
}

struct Hash(Sha256);

impl Hash {
    fn add(&mut self, word: &[u8]) {
        self.0.update((word.len() as u64).to_le_bytes());
        self.0.update(word);
    }

    fn word(self) -> String {
        let word = self.0.finalize();
        word.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
