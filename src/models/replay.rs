//! Trainings that are done again: with what the clock let finish then, on the rows that were there then, and on no others.

use std::collections::BTreeMap;

use labhouse_catalog::TableName;
use labhouse_udfs::{Model, Replay};

use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::write::lake_error;
use crate::session::Governed;

/// A version's training.
pub(super) struct Replayed {
    version: u64,
    pub(super) had_time_for: Replay,
    /// Versions of the tables that it read.
    data: BTreeMap<String, u64>,
}

impl Engine {
    pub(super) async fn replayed(&self, name: &TableName, version: u64) -> Result<Replayed, QueryError> {
        let stored = self.models.version(name, version).await.map_err(lake_error)?;
        let Some((record, bytes)) = stored else {
            return Err(QueryError::NotFound(format!(
                "replay = {version}: the model lab.{name} has no such version"
            )));
        };
        let model = Model::from_bytes(&bytes).map_err(super::functions::invalid)?;
        Ok(Replayed {
            version,
            had_time_for: model.replay(),
            data: record.data,
        })
    }
}

impl Replayed {
    /// Refuses tables other than those of the training, and other versions of them: nothing would be repeated.
    pub(super) fn check(&self, governed: &Governed, read: &BTreeMap<String, u64>) -> Result<(), QueryError> {
        if self.data == *read {
            return Ok(());
        }
        let version = self.version;
        let changed = read.iter().find_map(|(table, now)| {
            let then = *self.data.get(table)?;
            (then != *now).then_some((table, then))
        });
        let Some((table, then)) = changed else {
            // Which ones is not said: whoever asks need not see them.
            return Err(QueryError::Invalid(format!(
                "replay = {version}: this query does not read the tables that its training read"
            )));
        };
        // A version's number counts changes of rows that he does not see, too.
        let as_it_was = match governed.sees_whole(table) {
            true => format!("FOR VERSION AS OF {then}"),
            false => "FOR VERSION AS OF the version that it had then".to_owned(),
        };
        Err(QueryError::Invalid(format!(
            "replay = {version}: lab.{table} has changed since its training; read it as it was, FROM lab.{table} {as_it_was}"
        )))
    }
}
