//! One look at a rule as one person.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use labhouse_policies::Principal;

use super::definition::{Rule, Watch};
use super::rule::{self, Question};
use super::state::{Judged, Outcome, Reading, Watched};
use crate::audit::Client;
use crate::auth::hex_digest;
use crate::engine::Engine;
use crate::query::errors::from_datafusion;
use crate::query::write::lake_error;
use crate::query::{QueryError, rests_on_its_row};

/// Tries before a rule that a busy server could not answer is called failed.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// Commits that are asked one by one whether they brought rows: of a rule that is looked at once a day there may be many.
const COMMITS_MAX: u32 = 16;

/// What a look found.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) outcome: Outcome,
    /// The rows that were seen, by a rule about missing ones.
    pub(super) watched: Option<Watched>,
    /// Whether the person sees what the rule reads. Hidden and absent are the same.
    pub(super) sees: bool,
    /// Whether it may be found a moment later, though nothing changed.
    pub(super) passes: bool,
}

impl Engine {
    /// Asks a rule as `who`; `watched` is what he saw before, and `fired` are the labels of which it is asked whether they are well
    /// when the rule holds no more for them.
    pub(super) async fn look(
        self: &Arc<Self>,
        who: &Principal,
        watch: &Watch,
        watched: Option<&Watched>,
        fired: &BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Look {
        let found = self.look_once(who, watch, watched, fired, now).await;
        found.unwrap_or_else(|error| Look {
            sees: !is_hidden(&error),
            passes: passes(&error),
            outcome: Outcome::Failed(error.to_string()),
            watched: watched.cloned(),
        })
    }

    async fn look_once(
        self: &Arc<Self>,
        who: &Principal,
        watch: &Watch,
        watched: Option<&Watched>,
        fired: &BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Result<Look, QueryError> {
        let mut seen = None;
        let outcome = match rule::question(watch) {
            Question::Labels(sql) => {
                let rows = self.ask(who, &sql, rule::LABELS_MAX + 1).await?;
                let holds = rule::read_labels(&rows).map_err(QueryError::Invalid)?;
                let unknown = self.without_values(who, watch, &holds, fired).await?;
                // Nothing holds: because all is well, or because there is nothing?
                let is_blank = |unknown: &BTreeSet<String>| watch.labels.is_empty() && !unknown.is_empty();
                match holds.is_empty()
                    && (is_blank(&unknown) || count_rows(&self.ask(who, &rule::anything(watch), 1).await?) == 0)
                {
                    true => Outcome::NoData,
                    false => Outcome::Judged(Judged { holds, unknown }),
                }
            }
            Question::History(sql) => {
                let rows = self.ask(who, &sql, rule::HISTORY_MAX).await?;
                rule::read_history(&watch.rule, &rows).map_err(QueryError::Invalid)?
            }
            Question::Count(sql) => {
                let version = self.version_of(&watch.table);
                let rows = first_number(&self.ask(who, &sql, 1).await?);
                let came = match (watched, version) {
                    (Some(before), Some(version)) if rows <= before.rows => {
                        self.came(who, watch, before, version, rows).await?
                    }
                    _ => false,
                };
                let now_seen = Watched::after(watched, rows, version, came, now);
                let Rule::NoNewRows { for_s } = watch.rule else {
                    return Err(QueryError::internal(
                        "a rule that counts rows is not about missing ones",
                    ));
                };
                let mut judged = Judged::default();
                if now_seen.is_overdue(for_s, now) {
                    let reading = Reading {
                        value: Some(rows as f64),
                        against: Some(format!(
                            "no new rows since {}",
                            now_seen.since.format("%Y-%m-%d %H:%M:%S UTC")
                        )),
                    };
                    judged.holds.insert(String::new(), reading);
                }
                seen = Some(now_seen);
                Outcome::Judged(judged)
            }
        };
        Ok(Look {
            outcome,
            watched: seen,
            sees: true,
            passes: false,
        })
    }

    /// Of the labels that fired and for which the rule does not hold now, those that are there with nothing to judge by. Where that
    /// takes too long or there are too many, none are known: what fired is over then, rather than firing for ever.
    async fn without_values(
        self: &Arc<Self>,
        who: &Principal,
        watch: &Watch,
        holds: &BTreeMap<String, Reading>,
        fired: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, QueryError> {
        let gone: BTreeSet<&String> = fired.iter().filter(|label| !holds.contains_key(*label)).collect();
        let Some(sql) = rule::without_values(watch).filter(|_| !gone.is_empty()) else {
            return Ok(BTreeSet::new());
        };
        let mut unknown = match self.ask(who, &sql, rule::HISTORY_MAX).await {
            Ok(rows) => rule::read_names(&rows).unwrap_or_else(|error| {
                tracing::warn!(table = watch.table, error, "labels without values are not known");
                BTreeSet::new()
            }),
            Err(error @ QueryError::Deadline(_)) => {
                tracing::warn!(table = watch.table, %error, "labels without values are not known");
                BTreeSet::new()
            }
            // What can be asked as it is written may be nothing that can be asked the other way round.
            Err(error) if !passes(&error) => {
                tracing::debug!(table = watch.table, %error, "labels without values are not known");
                BTreeSet::new()
            }
            Err(error) => return Err(error),
        };
        unknown.retain(|label| gone.contains(label));
        Ok(unknown)
    }

    /// Of some labels, those that the person sees now, whatever the rule says of them. What cannot be told is not seen.
    pub(super) async fn seen_of(
        self: &Arc<Self>,
        who: &Principal,
        watch: &Watch,
        labels: &[String],
    ) -> BTreeSet<String> {
        if labels.is_empty() {
            return BTreeSet::new();
        }
        let Some(sql) = rule::there(watch) else {
            // The one label without a name says nothing that is in the table.
            return labels.iter().filter(|label| label.is_empty()).cloned().collect();
        };
        let found = self.ask(who, &sql, rule::HISTORY_MAX).await;
        let found = found.map_err(|error| error.to_string());
        let mut seen = found.and_then(|rows| rule::read_names(&rows)).unwrap_or_else(|error| {
            tracing::warn!(
                table = watch.table,
                error,
                "it is not known which labels a recipient sees"
            );
            BTreeSet::new()
        });
        seen.retain(|label| labels.contains(label));
        seen
    }

    /// The version of a table, `schema.table`; none of what has no versions.
    fn version_of(&self, table: &str) -> Option<u64> {
        let (schema, table) = table.split_once('.')?;
        Some(self.catalog.snapshot().table(schema, table)?.version())
    }

    /// Whether a commit since `before` brought rows that the rule is about, among those that the person sees. There are not more than
    /// before: an export that is replaced has as many, and the rows are new.
    async fn came(
        self: &Arc<Self>,
        who: &Principal,
        watch: &Watch,
        before: &Watched,
        version: u64,
        rows: u64,
    ) -> Result<bool, QueryError> {
        let seen = match before.version {
            Some(seen) if seen > version => return Ok(rows > 0), // Another table has its name now.
            Some(seen) if seen < version => seen,
            Some(_) | None => return Ok(false),
        };
        let catalog = self.catalog.snapshot();
        let found = watch
            .table
            .split_once('.')
            .and_then(|(schema, table)| catalog.table(schema, table));
        let Some(table) = found else { return Ok(false) };
        let mut asked = 0;
        for commit in (seen + 1..=version).rev() {
            if asked >= COMMITS_MAX {
                // Of what is long ago it is enough to know whether it made a difference.
                return self.came_between(who, watch, seen, commit).await;
            }
            let may_bring = labhouse_catalog::may_bring_rows(table, commit);
            if may_bring.await.map_err(lake_error)? {
                asked += 1;
                if self.came_between(who, watch, commit - 1, commit).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn came_between(
        self: &Arc<Self>,
        who: &Principal,
        watch: &Watch,
        from: u64,
        to: u64,
    ) -> Result<bool, QueryError> {
        match self.ask(who, &rule::came(watch, from, to), 1).await {
            Ok(rows) => Ok(count_rows(&rows) > 0),
            Err(error) if passes(&error) => Err(error),
            // A version that was cleaned away tells nothing: then the number of rows decides, as it does for tables without any.
            Err(error) => {
                tracing::debug!(table = watch.table, %error, "the rows of a commit are not known");
                Ok(false)
            }
        }
    }

    /// What a person sees of tables now, as a text that differs where that does. A table of which the time of day decides what
    /// is seen has another one each time. `sources` are `schema.table`.
    pub(super) fn sight(&self, who: &Principal, sources: &[String]) -> String {
        let governed = self.govern(who, self.world());
        // Rules about functions and models end, too.
        let mut words = vec![format!("{:?}", governed.world().policies.valid_until())];
        for source in sources {
            let access = source
                .split_once('.')
                .and_then(|(schema, table)| governed.access(schema, table).ok()?);
            words.push(match access {
                None => format!("{source} hidden"),
                Some(access) if rests_on_its_row(&access) => format!("{source} {}", access.fingerprint),
                Some(_) => format!("{source} {}", uuid::Uuid::now_v7()),
            });
        }
        for model in governed.world().models.all() {
            let answers = governed.model(model.name(), "model_card").is_some();
            words.push(format!("{} {:?} {answers}", model.name(), governed.model_tags(model)));
        }
        hex_digest(&words.join("\n"))
    }

    /// The rows of a statement, at most `rows_max`, within the time a look may take.
    pub(super) async fn ask(
        self: &Arc<Self>,
        who: &Principal,
        sql: &str,
        rows_max: usize,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let limit = Duration::from_secs(self.config.alerts.evaluate_s);
        for attempt in 1.. {
            let done = tokio::time::timeout(limit, self.asked(who, sql, rows_max)).await;
            let done = done.unwrap_or_else(|_elapsed| {
                Err(QueryError::Deadline(format!(
                    "it took longer than {} s (alerts.evaluate_s)",
                    limit.as_secs()
                )))
            });
            match done {
                Err(QueryError::Exhausted(_) | QueryError::Unavailable(_) | QueryError::Conflict(_))
                    if attempt < TRIES =>
                {
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                done => return done,
            }
        }
        Err(QueryError::internal("a rule was tried without end"))
    }

    async fn asked(
        self: &Arc<Self>,
        who: &Principal,
        sql: &str,
        rows_max: usize,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let mut running = self.run(who, &Client::server(), sql, Vec::new(), None).await?;
        let (mut batches, mut rows) = (Vec::new(), 0);
        while rows < rows_max
            && let Some(batch) = running.stream.try_next().await.map_err(from_datafusion)?
        {
            let batch = batch.slice(0, batch.num_rows().min(rows_max - rows));
            rows += batch.num_rows();
            batches.push(batch);
        }
        Ok(batches)
    }
}

/// Whether a statement failed because the person does not see what it reads.
pub(super) fn is_hidden(error: &QueryError) -> bool {
    matches!(error, QueryError::NotFound(_) | QueryError::Denied(_))
}

/// Whether a statement may succeed a moment later, though nothing changed.
pub(super) fn passes(error: &QueryError) -> bool {
    match error {
        QueryError::Exhausted(_)
        | QueryError::Deadline(_)
        | QueryError::Cancelled(_)
        | QueryError::Conflict(_)
        | QueryError::Unavailable(_)
        | QueryError::Internal { .. } => true,
        QueryError::Syntax(_)
        | QueryError::Invalid(_)
        | QueryError::NotFound(_)
        | QueryError::Denied(_)
        | QueryError::Unsupported(_)
        | QueryError::Exists(_)
        | QueryError::InTransaction(_) => false,
    }
}

pub(super) fn count_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn first_number(batches: &[RecordBatch]) -> u64 {
    let column = batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.columns().first());
    let number = column
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .filter(|column| column.is_valid(0));
    number
        .and_then(|column| u64::try_from(column.value(0)).ok())
        .unwrap_or(0)
}
