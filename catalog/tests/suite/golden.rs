//! Delta tables written by Spark, read through the catalog, against the answers that came with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::prelude::{ParquetReadOptions, SessionContext};
use labhouse_catalog::{Catalog, TableName};

use crate::support::{cells, local_lake, session};

/// Tables with an answer.
const GOLDEN: usize = 71;
/// The one that the library does not read.
const UNREAD: &str = "basic-with-vacuum-protocol-check-feature";
/// Tables whose expected answer we do not give, each with the reason.
const KNOWN: [(&str, &str); 2] = [
    (
        "data-reader-partition-values",
        "its expected file is called wrong by its authors",
    ),
    (UNREAD, "delta-rs lacks the table feature vacuumProtocolCheck"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spark_tables_read_as_spark_reads_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/golden");
    let root = if root.exists() {
        root
    } else {
        PathBuf::from("/work/shared/data/golden")
    };
    if !root.exists() {
        eprintln!("skipped: {} is not there", root.display());
        return;
    }
    let (folder, lake) = local_lake().await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&root).unwrap() {
        let dir = entry.unwrap().path();
        if dir.join("expected").exists() && dir.join("delta").exists() {
            let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
            copy(
                &dir.join("delta"),
                &folder.path().join("tables/golden").join(TableName::clean(&name)),
            );
            names.push(name);
        }
    }
    names.sort();
    let catalog = Catalog::load(Arc::clone(&lake)).await.unwrap();
    let context = session(&lake, &catalog);
    let mut wrong = Vec::new();
    for name in &names {
        let verdict = compare(&context, &TableName::clean(name), &root.join(name).join("expected")).await;
        if let Err(reason) = verdict {
            wrong.push((name.clone(), reason));
        }
    }
    assert_eq!(names.len(), GOLDEN);
    // What the library cannot read is refused; it never gives other rows.
    let refused = wrong
        .iter()
        .find(|(name, _)| *name == UNREAD)
        .map(|(_, reason)| reason.as_str());
    assert!(refused.is_none_or(|reason| !reason.contains("rows for")), "{refused:?}");
    eprintln!("{} of {} golden tables agree", names.len() - wrong.len(), names.len());
    let unknown: Vec<_> = wrong
        .iter()
        .filter(|(name, _)| KNOWN.iter().all(|(known, _)| known != name))
        .collect();
    assert!(
        unknown.is_empty(),
        "{unknown:#?}\nbroken: {:#?}",
        catalog.snapshot().broken
    );
}

async fn compare(context: &SessionContext, table: &str, expected: &Path) -> Result<(), String> {
    let ours = context
        .sql(&format!("select * from golden.{table}"))
        .await
        .map_err(|e| e.to_string())?;
    let columns: Vec<String> = ours
        .schema()
        .fields()
        .iter()
        .map(|f| format!("\"{}\"", f.name()))
        .collect();
    let ours = cells(&ours.collect().await.map_err(|e| e.to_string())?);
    let options = ParquetReadOptions {
        file_extension: ".parquet",
        ..Default::default()
    };
    let theirs = SessionContext::new();
    let folder = url::Url::from_directory_path(expected.canonicalize().unwrap()).unwrap();
    theirs
        .register_parquet("expected", folder.as_str(), options)
        .await
        .map_err(|e| format!("expected: {e}"))?;
    let sql = format!("select {} from expected", columns.join(", "));
    let theirs = theirs.sql(&sql).await.map_err(|e| format!("expected: {e}"))?;
    let theirs = cells(&theirs.collect().await.map_err(|e| format!("expected: {e}"))?);
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    if ours == theirs {
        return Ok(());
    }
    let first = ours.iter().zip(&theirs).find(|(a, b)| a != b);
    Err(format!(
        "{} rows for {}; first difference {first:?}",
        ours.len(),
        theirs.len()
    ))
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    // The expected files keep some times without a zone, or in nanoseconds: the same instants, written another way.
    for cell in rows.iter_mut().flatten() {
        if cell.len() > 18 && cell.as_bytes().get(10) == Some(&b'T') {
            *cell = cell.trim_end_matches('Z').to_owned();
        }
    }
    rows.sort();
    rows
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
