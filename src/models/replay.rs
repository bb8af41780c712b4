//! Trainings that are done again: with what the clock let finish then, on the rows that were there then, and on no others. What comes out must be
//! the bytes of then, or it is refused: a query, a policy or a model that it asks may have changed without any table's version telling.

use std::collections::BTreeMap;

use labhouse_catalog::TableName;
use labhouse_udfs::{Model, Replay, TrainOptions};

use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::write::lake_error;
use crate::session::Governed;

/// A version's training.
pub(super) struct Replayed {
    version: u64,
    model: Model,
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
            model,
            data: record.data,
        })
    }
}

impl Replayed {
    /// What the clock let finish then.
    ///
    /// # Errors
    /// Options that cannot give the same model.
    pub(super) fn had_time_for(&self, options: &TrainOptions) -> Result<Replay, QueryError> {
        match self.model.asked_otherwise(options) {
            None => Ok(self.model.replay()),
            Some(differs) => Err(self.not_repeated(&differs)),
        }
    }

    /// # Errors
    /// A model that is not the one of then.
    pub(super) fn repeated(&self, model: &Model) -> Result<(), QueryError> {
        match model.unlike(&self.model) {
            None => Ok(()),
            Some(differs) => Err(self.not_repeated(&differs)),
        }
    }

    fn not_repeated(&self, differs: &str) -> QueryError {
        let version = self.version;
        QueryError::Invalid(format!(
            "replay = {version}: this is not the training of version {version}, and nothing was stored; what differs: {differs}. Take the options and the query of then, asked by whom the policies show the same rows; or leave replay away"
        ))
    }

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
