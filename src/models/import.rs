//! `CREATE MODEL … FROM 'file.onnx'`: a model that was trained elsewhere.
//!
//! The file is read from the lake and from nowhere else: it lies in `landing/<schema of the model>/`, where administrators, agents and uploads put
//! files. So no statement makes the server open a file of its own machine or a foreign bucket, and whoever may train in a schema can use only what
//! was landed for it. What is no ONNX model is told apart by nothing but that.

use std::collections::BTreeMap;

use chrono::Utc;
use labhouse_catalog::TableName;
use labhouse_policies::Tags;
use labhouse_udfs::{Model, ONNX_BYTES_MAX};

use super::ModelRecord;
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::write::lake_error;
use crate::session::Governed;

/// The options of an import; anything else is refused by name.
const OPTIONS: [&str; 4] = ["target", "function", "candidates", "features"];
/// What a model predicts if nobody says so.
const TARGET: &str = "prediction";

impl Engine {
    /// Reads the file as a model and stores it as the next version of its name. The grant to train it was found before.
    pub(super) async fn import_model(
        &self,
        governed: &Governed,
        name: &TableName,
        mut given: BTreeMap<String, String>,
        file: &str,
        sql: &str,
    ) -> Result<i64, QueryError> {
        if let Some(unknown) = given.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            return Err(QueryError::Invalid(format!(
                "CREATE MODEL … FROM has no option {unknown}; its options are {}",
                OPTIONS.join(", ")
            )));
        }
        let function = given.remove("function");
        if let Some(function) = &function {
            self.check_function(governed, name, function)?;
        }
        let candidates = given.remove("candidates");
        super::statement::check_candidates(governed, candidates.as_deref())?;
        let target = given.remove("target").unwrap_or_else(|| TARGET.to_owned());
        let features: Vec<String> = given
            .remove("features")
            .map(|list| list.split(',').map(|name| name.trim().to_owned()).collect())
            .unwrap_or_default();
        let path = inside(self.catalog_url(), &name.schema, file)?;
        let bytes = self.models.file(&path, ONNX_BYTES_MAX).await?;
        let model = tokio::task::spawn_blocking(move || Model::from_onnx(&bytes, &target, &features))
            .await
            .map_err(QueryError::internal)?
            .map_err(|error| QueryError::Invalid(format!("{path}: {error}")))?;

        let record = ModelRecord {
            schema: name.schema.clone(),
            name: name.table.clone(),
            version: 0,
            dropped: false,
            function: function.clone(),
            candidates,
            department: name.schema.clone(),
            author: governed.who().name.clone(),
            created_at: Utc::now(),
            sql: sql.to_owned(),
            rows: 0,
            data: BTreeMap::new(),
            tags: Tags::default(),
            policy_generation: governed.world().policies.generation(),
            timings: Vec::new(),
            restored: None,
            columns: BTreeMap::new(),
            bound_at: governed.bound_at(name, function.as_deref()),
            rows_shown: None,
            of_provider: false,
        };
        governed.decided().await?;
        let version = self.models.store(record, &model.to_bytes()).await.map_err(lake_error)?;
        governed.wrote(version);
        tracing::info!(model = %name, version, author = governed.who().name, "model imported");
        Ok(0)
    }

    fn catalog_url(&self) -> &str {
        &self.config.lake.url
    }
}

/// The file's path in the lake, if it lies where models of the schema may come from.
fn inside(lake: &str, schema: &str, file: &str) -> Result<String, QueryError> {
    let wrong = || {
        QueryError::Invalid(format!(
            "FROM '<file>': a model is read from this lake's landing/{schema}/ only, for example FROM 'landing/{schema}/_models/m.onnx'; put the file there first"
        ))
    };
    let path = if file.contains("://") {
        let rest = file.strip_prefix(lake.trim_end_matches('/')).ok_or_else(wrong)?;
        rest.strip_prefix('/').ok_or_else(wrong)?
    } else {
        file
    };
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && !part.chars().all(|c| c == '.') && !part.contains(['\\', '\0', '%']);
    let under = matches!(parts.as_slice(), ["landing", folder, _, ..] if *folder == schema);
    if !under || !parts.iter().all(plain) || !path.to_ascii_lowercase().ends_with(".onnx") {
        return Err(wrong());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn a_model_comes_from_its_schemas_landing_and_from_nowhere_else() {
        let lake = "s3://bucket/lab/";
        for (file, path) in [
            ("landing/chemistry/m.onnx", "landing/chemistry/m.onnx"),
            (
                "landing/chemistry/_models/v2/M.ONNX",
                "landing/chemistry/_models/v2/M.ONNX",
            ),
            ("s3://bucket/lab/landing/chemistry/m.onnx", "landing/chemistry/m.onnx"),
        ] {
            assert_eq!(inside(lake, "chemistry", file).unwrap(), path);
        }
        for file in [
            "/etc/passwd",
            "file:///etc/m.onnx",
            "landing/preclinical/m.onnx",
            "landing/chemistry/../preclinical/m.onnx",
            "landing/chemistry//m.onnx",
            "landing/chemistry/%2e%2e/m.onnx",
            "landing/chemistry",
            "landing/chemistry/m.csv",
            "_labhouse/models/chemistry/m.onnx",
            "s3://other/landing/chemistry/m.onnx",
            "s3://bucket/laboratory/landing/chemistry/m.onnx",
            "http://169.254.169.254/landing/chemistry/m.onnx",
            "",
        ] {
            assert!(inside(lake, "chemistry", file).is_err(), "{file}");
        }
    }
}
