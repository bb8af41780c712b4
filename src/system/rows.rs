//! The columns and rows of each system table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use labhouse_catalog::{FileRecord, FileStatus, KIND_KEY, PROPOSED_PREFIX, TableName};
use labhouse_policies::Principal;

use crate::cluster::Node;
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::query::tags::of_field;
use crate::query::write::lake_error;

const TEXT: DataType = DataType::Utf8;
const NUMBER: DataType = DataType::Int64;

/// The columns of a system table.
pub(super) fn schema(name: &str) -> Option<SchemaRef> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns: Vec<(&str, DataType)> = match name {
        "alert_events" => vec![
            ("at", time()),
            ("alert_schema", TEXT),
            ("alert_name", TEXT),
            ("event", TEXT),
            ("labels", TEXT),
            ("recipient", TEXT),
            ("channel", TEXT),
            ("delivery", TEXT),
            ("detail", TEXT),
        ],
        "alerts" => vec![
            ("alert_schema", TEXT),
            ("alert_name", TEXT),
            ("kind", TEXT),
            ("owner", TEXT),
            ("table_name", TEXT),
            ("rule", TEXT),
            ("schedule", TEXT),
            ("message", TEXT),
            ("notify", TEXT),
            ("state", TEXT),
            ("since", time()),
            ("firing", NUMBER),
            ("labels", TEXT),
            ("reason", TEXT),
            ("enabled", DataType::Boolean),
            ("silent_until", time()),
            ("looked_at", time()),
            ("waiting", NUMBER),
            ("created_at", time()),
        ],
        "commits" => vec![
            ("table_schema", TEXT),
            ("table_name", TEXT),
            ("version", NUMBER),
            ("rows", NUMBER),
            ("files", NUMBER),
            ("bytes", NUMBER),
        ],
        "files" => vec![
            ("path", TEXT),
            ("tables", TEXT),
            ("status", TEXT),
            ("reason", TEXT),
            ("taken_for", TEXT),
            ("rows", NUMBER),
            ("bytes", NUMBER),
            ("confidence", DataType::Float64),
            ("doubts", TEXT),
            ("grouped_by", TEXT),
            ("properties", TEXT),
        ],
        "lineage" => vec![
            ("source_kind", TEXT),
            ("source_name", TEXT),
            ("source_column", TEXT),
            ("source_version", NUMBER),
            ("target_kind", TEXT),
            ("target_name", TEXT),
            ("target_column", TEXT),
            ("target_version", NUMBER),
        ],
        "maintenance" => vec![
            ("at", time()),
            ("table_schema", TEXT),
            ("table_name", TEXT),
            ("work", TEXT),
            ("columns", TEXT),
            ("problem", TEXT),
            ("files_removed", NUMBER),
            ("files_added", NUMBER),
            ("duration_ms", NUMBER),
            ("principal", TEXT),
        ],
        "nodes" => vec![
            ("node", TEXT),
            ("state", TEXT),
            ("since", time()),
            ("heard_at", time()),
            ("latency_ms", DataType::Float64),
            ("trainings", NUMBER),
            ("swept_at", time()),
            ("version", TEXT),
        ],
        "proposed_tags" => vec![
            ("table_schema", TEXT),
            ("table_name", TEXT),
            ("column_name", TEXT),
            ("tag", TEXT),
            ("value", TEXT),
            ("is_set", DataType::Boolean),
        ],
        "quarantine" => vec![
            ("path", TEXT),
            ("reason", TEXT),
            ("bytes", NUMBER),
            ("sample", TEXT),
            ("since", time()),
        ],
        "models" => vec![
            ("model_schema", TEXT),
            ("model_name", TEXT),
            ("version", NUMBER),
            ("function", TEXT),
            ("author", TEXT),
            ("created_at", time()),
            ("rows", NUMBER),
            ("training_data", TEXT),
            ("author_sees_rows", DataType::Boolean),
        ],
        "pipelines" => vec![
            ("view_schema", TEXT),
            ("view_name", TEXT),
            ("owner", TEXT),
            ("refresh", TEXT),
            ("state", TEXT),
            ("reason", TEXT),
            ("refreshed_at", time()),
            ("mode", TEXT),
            ("mode_reason", TEXT),
            ("rows", NUMBER),
            ("expectations", TEXT),
            ("file", TEXT),
            ("sources", TEXT),
            ("statement_sha256", TEXT),
            ("sql", TEXT),
        ],
        "policies" => vec![
            ("generation", NUMBER),
            ("fingerprint", TEXT),
            ("in_force", DataType::Boolean),
            ("problem", TEXT),
        ],
        "policy_files" => vec![("file", TEXT), ("text", TEXT)],
        "policy_rules" => vec![
            ("file", TEXT),
            ("line", NUMBER),
            ("kind", TEXT),
            ("subject", TEXT),
            ("department", TEXT),
            ("text", TEXT),
        ],
        "queries" => vec![
            ("id", TEXT),
            ("principal", TEXT),
            ("state", TEXT),
            ("started_at", time()),
            ("duration_ms", NUMBER),
            ("rows", NUMBER),
            ("policy_generation", NUMBER),
            ("catalog_generation", NUMBER),
            ("sql", TEXT),
            ("error", TEXT),
            ("stages", TEXT),
        ],
        "training" => vec![
            ("id", TEXT),
            ("model_schema", TEXT),
            ("model_name", TEXT),
            ("author", TEXT),
            ("state", TEXT),
            ("started_at", time()),
            ("duration_ms", NUMBER),
            ("budget_s", NUMBER),
            ("steps", NUMBER),
            ("step", TEXT),
            ("node", TEXT),
        ],
        "ungoverned" => vec![("table_schema", TEXT), ("table_name", TEXT), ("department", TEXT)],
        _ => return None,
    };
    let fields = columns
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type, true));
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The rows of a system table for one person.
pub(super) async fn rows(engine: &Engine, name: &str, who: &Principal) -> Result<RecordBatch, QueryError> {
    let columns: Vec<ArrayRef> = match name {
        "alert_events" => super::alerts::events(engine, who),
        "alerts" => super::alerts::alerts(engine, who),
        "commits" => commits(engine),
        "files" | "quarantine" => files(engine, name == "quarantine").await?,
        "lineage" => super::lineage::rows(engine, who).await?,
        "maintenance" => super::maintenance::rows(engine).await?,
        "models" => models(engine, who),
        "nodes" => nodes(engine),
        "pipelines" => super::pipelines::rows(engine, who),
        "policies" => policies(engine),
        "policy_files" => policy_files(engine),
        "policy_rules" => policy_rules(engine),
        "proposed_tags" => proposed_tags(engine),
        "queries" => queries(engine, who),
        "training" => training(engine, who),
        "ungoverned" => ungoverned(engine),
        other => return Err(QueryError::internal(format!("no system table {other}"))),
    };
    let schema = schema(name).ok_or_else(|| QueryError::internal(format!("no system table {name}")))?;
    RecordBatch::try_new(schema, columns).map_err(|error| from_datafusion(error.into()))
}

fn commits(engine: &Engine) -> Vec<ArrayRef> {
    let catalog = engine.catalog.snapshot();
    let tables: Vec<_> = catalog.all().collect();
    vec![
        text(tables.iter().map(|table| Some(table.name().schema.clone()))),
        text(tables.iter().map(|table| Some(table.name().table.clone()))),
        number(tables.iter().map(|table| Some(table.version()))),
        number(tables.iter().map(|table| table.rows().map(|rows| rows as u64))),
        number(tables.iter().map(|table| Some(table.files() as u64))),
        number(tables.iter().map(|table| Some(table.bytes()))),
    ]
}

async fn files(engine: &Engine, quarantined_only: bool) -> Result<Vec<ArrayRef>, QueryError> {
    let files = engine.crawler.files().await.map_err(lake_error)?;
    if quarantined_only {
        let files: Vec<_> = files
            .iter()
            .filter(|file| file.status == FileStatus::Quarantined)
            .collect();
        return Ok(vec![
            text(files.iter().map(|file| Some(file.path.clone()))),
            text(files.iter().map(|file| file.reason.clone())),
            number(files.iter().map(|file| Some(file.bytes))),
            text(files.iter().map(|file| file.sample.clone())),
            time_if_any(files.iter().map(|file| file.at)),
        ]);
    }
    Ok(vec![
        text(files.iter().map(|file| Some(file.path.clone()))),
        text(files.iter().map(|file| Some(file.tables.join(", ")))),
        text(files.iter().map(|file| Some(super::status(file.status).to_owned()))),
        text(files.iter().map(|file| file.reason.clone())),
        text(files.iter().map(|file| Some(file.taken_for.clone()))),
        number(files.iter().map(|file| Some(file.rows))),
        number(files.iter().map(|file| Some(file.bytes))),
        Arc::new(files.iter().map(|file| file.confidence).collect::<Float64Array>()),
        text(files.iter().map(|file| file.doubts.clone())),
        text(files.iter().map(|file| file.grouped_by.clone())),
        text(files.iter().map(properties)),
    ])
}

/// The head of a file as a JSON object; nothing where there is none.
fn properties(file: &FileRecord) -> Option<String> {
    let some = (!file.properties.is_empty()).then_some(&file.properties)?;
    serde_json::to_string(some).ok()
}

fn models(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let view = engine.govern(who, engine.world());
    let snapshot = &view.world().models;
    let sees = snapshot.all().map(|model| view.author_sees(model));
    let sees = BooleanArray::from_iter(sees.collect::<Vec<_>>());
    let functions = snapshot
        .all()
        .map(|model| snapshot.function_of(model).map(str::to_owned));
    let records: Vec<_> = snapshot.all().map(|model| model.record()).collect();
    let data = |record: &crate::models::ModelRecord| {
        record
            .data
            .iter()
            .map(|(table, version)| format!("{table}@{version}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    vec![
        text(records.iter().map(|record| Some(record.schema.clone()))),
        text(records.iter().map(|record| Some(record.name.clone()))),
        number(records.iter().map(|record| Some(record.version))),
        text(functions),
        text(records.iter().map(|record| Some(record.author.clone()))),
        time(records.iter().map(|record| record.created_at)),
        number(records.iter().map(|record| Some(record.rows as u64))),
        text(records.iter().map(|record| Some(data(record)))),
        Arc::new(sees),
    ]
}

/// The workers that this server shares statements with, how many of its trainings each has, and when those that crawl
/// swept last.
fn nodes(engine: &Engine) -> Vec<ArrayRef> {
    let nodes = engine.cluster.as_ref().map(|cluster| cluster.all()).unwrap_or_default();
    let cluster = engine.cluster.as_ref();
    let trainings = |node: &Node| cluster.map_or(0, |cluster| cluster.trainings_at(node)) as u64;
    let latency = |node: &Node| node.latency.map(|took| took.as_secs_f64() * 1e3);
    vec![
        text(nodes.iter().map(|node| Some(node.address.to_string()))),
        text(nodes.iter().map(|node| Some(node.state.word().to_owned()))),
        time(nodes.iter().map(|node| node.since)),
        time_if_any(nodes.iter().map(|node| node.heard_at)),
        Arc::new(nodes.iter().map(latency).collect::<Float64Array>()),
        number(nodes.iter().map(|node| Some(trainings(node)))),
        time_if_any(
            nodes
                .iter()
                .map(|node| cluster.and_then(|cluster| cluster.swept_at(node))),
        ),
        text(nodes.iter().map(|node| Some(node.version.clone()))),
    ]
}

fn policies(engine: &Engine) -> Vec<ArrayRef> {
    let current = engine.policies.current();
    let problem = engine.policies.problem().map(|problem| problem.to_string());
    vec![
        number([Some(current.generation())].into_iter()),
        text([Some(current.fingerprint().to_owned())].into_iter()),
        Arc::new(BooleanArray::from(vec![true])),
        text([problem].into_iter()),
    ]
}

/// The policy in force as it was written.
fn policy_files(engine: &Engine) -> Vec<ArrayRef> {
    let current = engine.policies.current();
    let files = current.texts();
    vec![
        text(files.iter().map(|(file, _)| Some((*file).to_owned()))),
        text(files.iter().map(|(_, text)| Some((*text).to_owned()))),
    ]
}

/// The rules in force, line by line.
fn policy_rules(engine: &Engine) -> Vec<ArrayRef> {
    let rules = engine.policies.current().rules();
    vec![
        text(rules.iter().map(|line| Some(line.rule.file.to_owned()))),
        number(rules.iter().map(|line| Some(line.rule.line as u64))),
        text(rules.iter().map(|line| Some(line.kind.to_owned()))),
        text(rules.iter().map(|line| line.subject.clone())),
        text(rules.iter().map(|line| line.department.clone())),
        text(rules.iter().map(|line| Some(line.rule.text.clone()))),
    ]
}

fn queries(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let all = engine.policies.current().is_admin(who);
    let entries: Vec<_> = engine
        .log
        .entries()
        .into_iter()
        .filter(|entry| all || (entry.principal == who.name && !entry.is_servers))
        .collect();
    vec![
        text(entries.iter().map(|entry| Some(entry.id.to_string()))),
        text(entries.iter().map(|entry| Some(entry.principal.clone()))),
        text(entries.iter().map(|entry| Some(entry.state.to_owned()))),
        time(entries.iter().map(|entry| entry.started_at)),
        number(entries.iter().map(|entry| Some(entry.duration_ms))),
        number(entries.iter().map(|entry| Some(entry.rows))),
        number(entries.iter().map(|entry| Some(entry.policy_generation))),
        number(entries.iter().map(|entry| Some(entry.catalog_generation))),
        text(entries.iter().map(|entry| Some(entry.sql.clone()))),
        text(entries.iter().map(|entry| entry.error.clone())),
        text(
            entries
                .iter()
                .map(|entry| engine.cluster.as_ref()?.stages(entry.id, all)),
        ),
    ]
}

/// One's own trainings; an administrator sees all, and which worker they run on: others are told that it is one.
fn training(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let all = engine.policies.current().is_admin(who);
    let entries: Vec<_> = engine
        .trainings
        .entries()
        .into_iter()
        .filter(|entry| all || entry.author == who.name)
        .collect();
    vec![
        text(entries.iter().map(|entry| entry.id.map(|id| id.to_string()))),
        text(entries.iter().map(|entry| Some(entry.model.schema.clone()))),
        text(entries.iter().map(|entry| Some(entry.model.table.clone()))),
        text(entries.iter().map(|entry| Some(entry.author.clone()))),
        text(entries.iter().map(|entry| Some(entry.state.to_owned()))),
        time(entries.iter().map(|entry| entry.started_at)),
        number(entries.iter().map(|entry| Some(entry.took().as_millis() as u64))),
        number(entries.iter().map(|entry| Some(entry.budget.as_secs()))),
        number(entries.iter().map(|entry| Some(entry.steps))),
        text(entries.iter().map(|entry| entry.step.clone())),
        text(entries.iter().map(|entry| match all {
            true => entry.node.clone(),
            false => entry.node.as_ref().map(|_| "worker".to_owned()),
        })),
    ]
}

/// Tables that nobody but an administrator can see: landed, and waiting for a grant or a tag.
/// What the crawler found in columns, as the tags that somebody could make of it.
fn proposed_tags(engine: &Engine) -> Vec<ArrayRef> {
    let catalog = engine.catalog.snapshot();
    let mut found: Vec<(&TableName, String, String, String, bool)> = Vec::new();
    for table in catalog.all() {
        for field in table.schema().fields() {
            let tags = of_field(field);
            let mut keys: Vec<_> = field.metadata().iter().collect();
            keys.sort();
            for (key, value) in keys {
                let tag = match key.as_str() {
                    KIND_KEY => "kind",
                    "unit" => "unit",
                    other => match other.strip_prefix(PROPOSED_PREFIX) {
                        Some(tag) => tag,
                        None => continue,
                    },
                };
                let is_set = tags.contains_key(tag);
                found.push((
                    table.name(),
                    field.name().clone(),
                    tag.to_owned(),
                    value.clone(),
                    is_set,
                ));
            }
        }
    }
    vec![
        text(found.iter().map(|(table, ..)| Some(table.schema.clone()))),
        text(found.iter().map(|(table, ..)| Some(table.table.clone()))),
        text(found.iter().map(|(_, column, ..)| Some(column.clone()))),
        text(found.iter().map(|(_, _, tag, ..)| Some(tag.clone()))),
        text(found.iter().map(|(_, _, _, value, _)| Some(value.clone()))),
        Arc::new(BooleanArray::from_iter(found.iter().map(|found| Some(found.4)))),
    ]
}

fn ungoverned(engine: &Engine) -> Vec<ArrayRef> {
    let world = engine.world();
    let objects: Vec<_> = world
        .catalog
        .all()
        .map(|table| world.object(table))
        .filter(|object| !world.policies.is_granted(object))
        .collect();
    vec![
        text(objects.iter().map(|object| Some(object.reference.schema.to_string()))),
        text(objects.iter().map(|object| Some(object.reference.table.to_string()))),
        text(objects.iter().map(|object| Some(object.department.clone()))),
    ]
}

pub(super) fn text(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

pub(super) fn number(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let fitting = values.map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    Arc::new(fitting.collect::<Int64Array>())
}

fn time(values: impl Iterator<Item = DateTime<Utc>>) -> ArrayRef {
    time_if_any(values.map(Some))
}

pub(super) fn time_if_any(values: impl Iterator<Item = Option<DateTime<Utc>>>) -> ArrayRef {
    let micros: TimestampMicrosecondArray = values
        .map(|value| value.map(|value| value.timestamp_micros()))
        .collect();
    Arc::new(micros.with_timezone("UTC"))
}
