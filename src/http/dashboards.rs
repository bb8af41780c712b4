//! `GET /api/dashboards[/name]`: what charts there are, from small files that a lab writes, copies and keeps in git.
//!
//! `examples/dashboards/*.toml` are the shipped ones; a file in `[dashboards] dir` of the config adds one, or replaces the
//! shipped one of its name. A file holds SQL, and the page sends it through `/api/query` as the person who looks. A
//! chart or filter that the caller could not ask is left out of the answer, and a dashboard without charts is not there:
//! absence looks the same as non-existence.
//!
//! A file that cannot be read takes nothing away: until it is mended the one before it is shown, or the shipped one of its name.
//! What is wrong with it, and in which line, is told to those who may mend it.

pub(super) mod edit;
mod file;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path as UrlPath, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::json;

use super::Door;
use super::refusal::Refusal;
use super::signin::{self, Call};
use crate::flight::authn::Caller;
use file::{Dashboard, FileError};

/// Charts looked at together: planning is work, and others plan too.
const LOOKS: usize = 4;
/// Files read of a folder, and bytes of each: dashboards are small.
const FILES_MAX: usize = 64;
const FILE_BYTES_MAX: u64 = 256 << 10;

const SHIPPED: [(&str, &str); 4] = [
    ("overview", include_str!("../../examples/dashboards/overview.toml")),
    ("reagents", include_str!("../../examples/dashboards/reagents.toml")),
    ("plates", include_str!("../../examples/dashboards/plates.toml")),
    ("insight", include_str!("../../examples/dashboards/insight.toml")),
];

/// The files that could be read last, by name: what is shown while somebody mends one.
#[derive(Default)]
pub(super) struct Good(parking_lot::Mutex<BTreeMap<String, Dashboard>>);

/// One dashboard, and what is wrong with its file.
struct Found {
    dashboard: Option<Dashboard>,
    problem: Option<String>,
}

/// The names of the dashboards that have something for the caller; an administrator also hears what is wrong with a file.
pub(super) async fn list(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let is_admin = door.engine.policies.current().is_admin(&caller.principal);
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, one) in read_all(&door) {
        if let Some(dashboard) = one.dashboard
            && (is_admin || has_something(&door, &caller, &dashboard).await)
        {
            found.push((dashboard.order, name.clone(), dashboard.title));
        }
        if let Some(problem) = one.problem {
            problems.push(json!({"name": name, "problem": problem}));
        }
    }
    found.sort();
    let found: Vec<_> = found
        .into_iter()
        .map(|(_, name, title)| json!({"name": name, "title": title}))
        .collect();
    if !is_admin {
        problems.clear();
    }
    Ok(Json(json!({ "dashboards": found, "problems": problems })).into_response())
}

/// One dashboard with the charts and filters that the caller may ask.
pub(super) async fn one(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let is_admin = door.engine.policies.current().is_admin(&caller.principal);
    let absent = || Refusal::not_found(format!("dashboard '{name}' not found"));
    let found = read_all(&door).remove(&name).ok_or_else(absent)?;
    let mut dashboard = match found {
        Found {
            dashboard: Some(dashboard),
            ..
        } => dashboard,
        Found {
            dashboard: None,
            problem: Some(problem),
        } if is_admin => return Err(Refusal::bad_request(problem)),
        Found { dashboard: None, .. } => return Err(absent()),
    };
    if !is_admin {
        let mut filters = Vec::new();
        for filter in std::mem::take(&mut dashboard.filters) {
            if may_ask(&door, &caller, &filter.sql).await {
                filters.push(filter);
            }
        }
        dashboard.filters = filters;
        let trials: Vec<_> = dashboard.charts.iter().map(|chart| dashboard.trial(chart)).collect();
        let asked: Vec<bool> = futures::stream::iter(trials)
            .map(|sql| {
                let (door, caller) = (&door, &caller);
                async move { may_ask(door, caller, &sql).await }
            })
            .buffered(LOOKS)
            .collect()
            .await;
        let mut asked = asked.into_iter();
        dashboard.charts.retain(|_| asked.next().unwrap_or(false));
        if dashboard.charts.is_empty() {
            return Err(absent());
        }
    }
    let mut told = serde_json::to_value(dashboard).map_err(Refusal::internal)?;
    if let (true, Some(problem), Some(told)) = (is_admin, found.problem, told.as_object_mut()) {
        told.insert("problem".to_owned(), problem.into());
    }
    Ok(Json(told).into_response())
}

async fn has_something(door: &Door, caller: &Caller, dashboard: &Dashboard) -> bool {
    for chart in &dashboard.charts {
        if may_ask(door, caller, &dashboard.trial(chart)).await {
            return true;
        }
    }
    false
}

/// Whether a statement can be planned for the caller.
async fn may_ask(door: &Door, caller: &Caller, sql: &str) -> bool {
    let described = door.engine.describe(&caller.principal, &caller.client, sql, &[]).await;
    described.is_ok()
}

fn read_all(door: &Door) -> BTreeMap<String, Found> {
    let shipped = SHIPPED.iter().filter_map(|(name, text)| {
        let dashboard = Dashboard::parse(name, text).ok()?;
        Some(((*name).to_owned(), dashboard))
    });
    found(
        shipped.collect(),
        read_folder(&door.engine.config.dashboards.dir),
        &door.good,
    )
}

/// What is shown of files, and in the place of those that cannot be read.
fn found(
    shipped: BTreeMap<String, Dashboard>,
    files: BTreeMap<String, Result<String, FileError>>,
    good: &Good,
) -> BTreeMap<String, Found> {
    let mut good = good.0.lock();
    good.retain(|name, _| files.contains_key(name));
    let whole = |dashboard| Found {
        dashboard: Some(dashboard),
        problem: None,
    };
    let mut found: BTreeMap<String, Found> = shipped.into_iter().map(|(name, one)| (name, whole(one))).collect();
    for (name, text) in files {
        match text.and_then(|text| Dashboard::parse(&name, &text)) {
            Ok(dashboard) => {
                good.insert(name.clone(), dashboard.clone());
                found.insert(name, whole(dashboard));
            }
            Err(error) => {
                let before = good.get(&name).cloned();
                let (dashboard, shown) = match (before, found.remove(&name)) {
                    (Some(before), _) => (Some(before), "shown is what it was before"),
                    (None, Some(shipped)) => (shipped.dashboard, "shown is the shipped one of its name"),
                    (None, None) => (None, "nothing is shown"),
                };
                let problem = Some(format!("{name}.toml cannot be read, {shown}: {}", error.problem));
                found.insert(name, Found { dashboard, problem });
            }
        }
    }
    found
}

/// The files of the lab's folder; one that is not there has none.
fn read_folder(dir: &Path) -> BTreeMap<String, Result<String, FileError>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return BTreeMap::new();
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        tracing::warn!(dir = %dir.display(), read = FILES_MAX, "more dashboards than are read");
    }
    paths
        .into_iter()
        .take(FILES_MAX)
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name.clone(), read_file(&name, &path)))
        })
        .collect()
}

fn read_file(name: &str, path: &Path) -> Result<String, FileError> {
    let wrong = |problem: String| FileError {
        name: name.to_owned(),
        problem,
    };
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_dashboards_are_valid() {
        for (name, text) in SHIPPED {
            let dashboard = Dashboard::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
            assert!(!dashboard.charts.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_takes_nothing_away() {
        let titled = |title: &str| Dashboard::parse("x", &format!("title = '{title}'")).unwrap();
        let shipped = || BTreeMap::from([("plates".to_owned(), titled("Shipped"))]);
        let file = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), Ok(text.to_owned()))]);
        let good = Good::default();
        let look = |files| {
            let found = found(shipped(), files, &good);
            let told = |(name, one): (String, Found)| (name, one.dashboard.map(|one| one.title), one.problem);
            found.into_iter().map(told).collect::<Vec<_>>()
        };
        let broken = "title = 'Ours'\nspeed = 9";
        let (name, title, problem) = look(file("plates", broken)).remove(0);
        assert_eq!((name.as_str(), title.as_deref()), ("plates", Some("Shipped")));
        let problem = problem.unwrap();
        assert!(problem.contains("line 2") && problem.contains("shipped"), "{problem}");
        // Once it was good, that is what stays; taken away, it is the shipped one again.
        assert_eq!(look(file("plates", "title = 'Ours'"))[0].1.as_deref(), Some("Ours"));
        let (_, title, problem) = look(file("plates", broken)).remove(0);
        assert_eq!(title.as_deref(), Some("Ours"));
        assert!(problem.unwrap().contains("before"));
        assert_eq!(
            look(BTreeMap::new()),
            [("plates".to_owned(), Some("Shipped".to_owned()), None)]
        );
        assert_eq!(look(file("plates", broken))[0].1.as_deref(), Some("Shipped"));
        // One that never was good shows nothing.
        let all = look(file("mine", broken));
        assert_eq!((all[0].0.as_str(), &all[0].1), ("mine", &None));
        assert!(all[0].2.as_ref().unwrap().contains("nothing is shown") && all[1].2.is_none());
    }

    #[test]
    fn a_folder_replaces_adds_and_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.toml"), "title = 'Mine'").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "not a dashboard").unwrap();
        std::fs::write(dir.path().join("huge.toml"), vec![b'#'; 300 << 10]).unwrap();
        let read = read_folder(dir.path());
        assert_eq!(read.keys().collect::<Vec<_>>(), ["huge", "mine"]);
        assert!(read["huge"].is_err());
        assert!(read_folder(&dir.path().join("absent")).is_empty());
    }
}
