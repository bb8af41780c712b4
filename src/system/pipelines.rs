//! `lab.system.pipelines`: the materialized views, how fresh they are and how they were made, and files that could not be followed;
//! one's own, an administrator all.

use std::fmt::Write;

use arrow::array::ArrayRef;
use chrono::{DateTime, Utc};
use labhouse_policies::Principal;

use super::rows::{number, text, time_if_any};
use crate::engine::Engine;
use crate::pipelines::{Freshness, View};

/// A row: a view, or a file that is not a view yet.
#[derive(Default)]
struct Row {
    schema: Option<String>,
    name: Option<String>,
    owner: Option<String>,
    refresh: Option<String>,
    state: &'static str,
    reason: Option<String>,
    refreshed_at: Option<DateTime<Utc>>,
    mode: Option<&'static str>,
    mode_reason: Option<String>,
    rows: Option<u64>,
    expectations: Option<String>,
    file: Option<String>,
    sources: Option<String>,
    statement_sha256: Option<String>,
    sql: Option<String>,
}

/// What a person is shown of views and files, as a text that differs where that does.
pub(crate) fn pipelines_shown(engine: &Engine, who: &Principal) -> String {
    let world = engine.world();
    let all = world.policies.is_admin(who);
    let mut text = String::new();
    for table in world.catalog.all() {
        let Some(view) = View::of(table).filter(|view| all || view.owner == who.name) else {
            continue;
        };
        let failure = engine.view_failures.get(table.name()).map(|failure| failure.reason);
        let fresh = view.freshness(&world.catalog);
        let _ = writeln!(text, "{} {fresh:?} {} {failure:?}", table.name(), view.refreshed_at);
    }
    let files = engine.pipeline_files.states();
    for file in files
        .iter()
        .filter(|file| all || file.owner.as_ref() == Some(&who.name))
    {
        let _ = writeln!(text, "{file:?}");
    }
    text
}

pub(super) fn rows(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let world = engine.world();
    let all = world.policies.is_admin(who);
    let catalog = &world.catalog;
    let mut files = engine.pipeline_files.states();
    let is_as_seen = |view: &View| {
        let owner = engine.auth.named(&view.owner);
        owner.is_none_or(|owner| engine.is_as_seen(view, &owner, &world))
    };
    let mut rows = Vec::new();
    for table in catalog.all() {
        let Some(view) = View::of(table) else { continue };
        let name = table.name();
        let failure = engine.view_failures.get(name);
        let at = files.iter().position(|file| file.view.as_ref() == Some(name));
        let file = at.map(|at| files.swap_remove(at));
        // What is wrong with the file is why the view is not what the file says.
        let problem = file.as_ref().and_then(|file| file.problem.clone());
        let reason = problem.or(failure.map(|failure| failure.reason));
        let sources = view.sources.iter().map(|(table, version)| format!("{table}@{version}"));
        let expected = view.expected.iter().map(ToString::to_string);
        rows.push(Row {
            schema: Some(name.schema.clone()),
            name: Some(name.table.clone()),
            state: match view.freshness(catalog) {
                // Whatever failed before: a source is gone.
                Freshness::Orphaned => "orphaned",
                _ if reason.is_some() => "failed",
                Freshness::Fresh if is_as_seen(&view) => "fresh",
                Freshness::Fresh | Freshness::Stale => "stale",
            },
            reason,
            refreshed_at: Some(view.refreshed_at),
            mode: Some(if view.made.incremental { "incremental" } else { "full" }),
            mode_reason: Some(view.made.why.clone()).filter(|why| !why.is_empty()),
            rows: table.rows().map(|rows| rows as u64),
            expectations: Some(expected.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty()),
            file: file.map(|file| file.name),
            sources: Some(sources.collect::<Vec<_>>().join(", ")),
            statement_sha256: Some(view.made.statement_sha256.clone()).filter(|text| !text.is_empty()),
            owner: Some(view.owner),
            refresh: Some(view.refresh.to_string()),
            sql: Some(view.sql),
        });
    }
    rows.extend(files.into_iter().map(|file| Row {
        schema: file.view.as_ref().map(|name| name.schema.clone()),
        name: file.view.map(|name| name.table),
        owner: file.owner,
        state: if file.problem.is_some() { "failed" } else { "waiting" },
        reason: file.problem,
        file: Some(file.name),
        ..Row::default()
    }));
    rows.retain(|row| all || row.owner.as_ref() == Some(&who.name));
    let word = |of: fn(&Row) -> Option<String>| text(rows.iter().map(of));
    vec![
        word(|row| row.schema.clone()),
        word(|row| row.name.clone()),
        word(|row| row.owner.clone()),
        word(|row| row.refresh.clone()),
        word(|row| Some(row.state.to_owned())),
        word(|row| row.reason.clone()),
        time_if_any(rows.iter().map(|row| row.refreshed_at)),
        word(|row| row.mode.map(str::to_owned)),
        word(|row| row.mode_reason.clone()),
        number(rows.iter().map(|row| row.rows)),
        word(|row| row.expectations.clone()),
        word(|row| row.file.clone()),
        word(|row| row.sources.clone()),
        word(|row| row.statement_sha256.clone()),
        word(|row| row.sql.clone()),
    ]
}
