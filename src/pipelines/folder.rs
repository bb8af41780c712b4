//! The folder of pipelines: its files are looked at, and what they define is made, as each file's owner.
//!
//! The folder is the administrator's, like the policies: who writes there names owners. A file that says what its view already is
//! does nothing; an edited one makes the view anew. A file that is taken away leaves its view as it is, for `DROP MATERIALIZED VIEW`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labhouse_catalog::TableName;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::View;
use super::files::{Pipeline, read};
use crate::audit::Client;
use crate::auth::hex_digest;
use crate::engine::Engine;
use crate::query::printed::printed;
use crate::query::view::ViewStatement;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Files read of the folder, and bytes of each.
const FILES_MAX: usize = 500;
const FILE_BYTES_MAX: u64 = 256 << 10;
/// A file that could not be followed is tried again when it, the catalog or the policies changed, or after this time.
const RETRY: Duration = Duration::from_secs(60);

/// What became of the files.
#[derive(Default)]
pub(crate) struct Files(Mutex<BTreeMap<String, Followed>>);

/// What became of one file.
#[derive(Debug, Clone)]
pub(crate) struct FileState {
    /// `daily_yield.sql`
    pub(crate) name: String,
    pub(crate) view: Option<TableName>,
    pub(crate) owner: Option<String>,
    pub(crate) problem: Option<String>,
}

struct Followed {
    state: FileState,
    /// Of the file's statement, the catalog and the policies: with the same it would fail again.
    seen: (String, u64, u64),
    at: Instant,
}

impl Files {
    /// The files by name.
    pub(crate) fn states(&self) -> Vec<FileState> {
        self.0.lock().values().map(|followed| followed.state.clone()).collect()
    }

    /// Whether this failed with just the same, a short while ago.
    fn waits(&self, name: &str, seen: &(String, u64, u64)) -> bool {
        let known = self.0.lock();
        known
            .get(name)
            .is_some_and(|one| one.state.problem.is_some() && one.seen == *seen && one.at.elapsed() < RETRY)
    }
}

/// Follows the folder until the server stops.
pub(crate) async fn follow_files(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        look(&engine).await;
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(engine: &Arc<Engine>) {
    let dir = engine.config.pipelines.dir.clone();
    let read_all = tokio::task::spawn_blocking(move || texts(&dir)).await;
    let found = match read_all {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "the folder of pipelines was not looked at");
            return;
        }
    };
    engine
        .pipeline_files
        .0
        .lock()
        .retain(|name, _| found.contains_key(name));
    let good: BTreeMap<String, String> = found
        .iter()
        .filter_map(|(name, text)| Some((name.clone(), text.as_ref().ok()?.clone())))
        .collect();
    // By its file's name the first has a view; another one would make it anew, and the first again, without end.
    let mut made_by: BTreeMap<TableName, &String> = BTreeMap::new();
    for (name, text) in &found {
        let mut pipeline = match text {
            Ok(_) => read(name, &good),
            Err(problem) => Err(problem.clone()),
        };
        if let Ok(view) = pipeline.as_ref().map(|pipeline| pipeline.view.clone()) {
            let first = *made_by.entry(view.clone()).or_insert(name);
            if first != name {
                pipeline = Err(format!("{first}.sql makes the view {view} already; name another view"));
            }
        }
        follow(engine, name, pipeline).await;
    }
}

async fn follow(engine: &Arc<Engine>, name: &str, pipeline: Result<Pipeline, String>) {
    let said = match &pipeline {
        Ok(pipeline) => format!("{} {}", pipeline.owner, pipeline.sql),
        Err(problem) => problem.clone(),
    };
    let generations = || {
        (
            engine.catalog.snapshot().generation,
            engine.policies.current().generation(),
        )
    };
    let (catalog, policies) = generations();
    if engine
        .pipeline_files
        .waits(name, &(hex_digest(&said), catalog, policies))
    {
        return;
    }
    let (view, owner) = match &pipeline {
        Ok(pipeline) => (Some(pipeline.view.clone()), Some(pipeline.owner.clone())),
        Err(_) => (None, None),
    };
    let made = match pipeline {
        Ok(pipeline) => make(engine, &pipeline).await,
        Err(problem) => Err(problem),
    };
    match &made {
        Ok(true) => tracing::info!(file = name, "its view was made"),
        Ok(false) => {}
        Err(problem) => tracing::warn!(file = name, problem, "a pipeline could not be followed"),
    }
    let (catalog, policies) = generations();
    let followed = Followed {
        state: FileState {
            name: format!("{name}.sql"),
            view,
            owner,
            problem: made.err(),
        },
        seen: (hex_digest(&said), catalog, policies),
        at: Instant::now(),
    };
    engine.pipeline_files.0.lock().insert(name.to_owned(), followed);
}

/// Makes the view that a file defines, unless it is that view already; whether it was made.
async fn make(engine: &Arc<Engine>, pipeline: &Pipeline) -> Result<bool, String> {
    let catalog = engine.catalog.snapshot();
    let name = &pipeline.view;
    if let Some(table) = catalog.table(&name.schema, &name.table) {
        match View::of(table) {
            Some(view) if view.owner == pipeline.owner => {
                if is_that(&view, &pipeline.statement) {
                    return Ok(false);
                }
            }
            Some(view) => {
                return Err(format!(
                    "the view {name} is {}'s; only its owner's file changes it: DROP MATERIALIZED VIEW it first, or name another view",
                    view.owner
                ));
            }
            None => return Err(format!("{name} is a table already; name another view")),
        }
    }
    let owner = engine
        .auth
        .named(&pipeline.owner)
        .ok_or_else(|| format!("its owner {} is not in the users file", pipeline.owner))?;
    let made = engine
        .update(&owner, &Client::server(), &pipeline.sql, Vec::new())
        .await;
    made.map(|_| true).map_err(|error| error.to_string())
}

fn is_that(view: &View, statement: &ViewStatement) -> bool {
    match statement {
        ViewStatement::Create {
            query,
            refresh,
            step,
            expected,
            ..
        } => {
            view.sql == printed(query.as_ref())
                && view.refresh == *refresh
                && view.step == *step
                && view.expected == *expected
        }
        ViewStatement::Refresh { .. } | ViewStatement::Drop { .. } => false,
    }
}

/// The texts of `*.sql` by the files' stems; what is wrong with one that cannot be read. A folder that is not there has none.
fn texts(dir: &Path) -> BTreeMap<String, Result<String, String>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return BTreeMap::new();
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        tracing::warn!(dir = %dir.display(), read = FILES_MAX, "more pipelines than are read");
    }
    let read = |path: &Path| {
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > FILE_BYTES_MAX {
            return Err(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read"));
        }
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    };
    let named = |path: &std::path::PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), read(path)));
    paths.iter().take(FILES_MAX).filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_sql_files_and_says_what_is_wrong_with_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.sql"), "SELECT 1").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "no pipeline").unwrap();
        std::fs::write(dir.path().join("huge.sql"), vec![b' '; 300 << 10]).unwrap();
        std::fs::write(dir.path().join("latin.sql"), [b'-', b'-', 0xb5]).unwrap();
        let found = texts(dir.path());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "huge", "latin"]);
        assert!(found["a"].is_ok() && found["huge"].is_err() && found["latin"].is_err());
        assert!(texts(&dir.path().join("absent")).is_empty());
    }
}
