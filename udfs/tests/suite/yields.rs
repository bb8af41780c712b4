//! The claim on real reactions: Buchwald–Hartwig couplings (Ahneman et al., Science 2018) on the published splits.

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Float64Type;

use crate::data::{fit, r2, read_csv};

const FOLDER: &str = "/work/shared/data/yields";

fn table() -> Option<(RecordBatch, serde_json::Value)> {
    let path = format!("{FOLDER}/buchwald_hartwig.csv");
    if !std::path::Path::new(&path).exists() {
        println!("skipped: {path} is not here");
        return None;
    }
    let splits = std::fs::read(format!("{FOLDER}/buchwald_hartwig_splits.json")).unwrap();
    Some((read_csv(&path), serde_json::from_slice(&splits).unwrap()))
}

/// R² on the rows after the first `train_rows` of a split's order.
fn score(split: &str, train_rows: usize, seconds: u64) -> Option<f64> {
    let (table, splits) = table()?;
    let order: UInt32Array = splits[split].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect();
    let wanted = ["Ligand", "Additive", "Base", "Aryl halide", "Output"].map(|name| table.schema().index_of(name).unwrap());
    let ordered = take_record_batch(&table.project(&wanted).unwrap(), &order).unwrap();
    let (seen, unseen) = (ordered.slice(0, train_rows), ordered.slice(train_rows, ordered.num_rows() - train_rows));
    let model = fit(&seen, "Output", seconds).unwrap();
    let columns: Vec<ArrayRef> = model.features().iter().map(|f| unseen[f.name.as_str()].clone()).collect();
    let begun = std::time::Instant::now();
    let predicted = model.predict(&columns).unwrap();
    let took = begun.elapsed();
    let value = r2(&predicted, unseen["Output"].as_primitive::<Float64Type>());
    println!("{split}: R² {value:.4}, {} rows in {took:?}, model {} kB", predicted.len(), model.to_bytes().len() / 1024);
    println!("{}", arrow::util::pretty::pretty_format_batches(&[model.leaderboard(), ]).unwrap());
    println!("{}", arrow::util::pretty::pretty_format_batches(&[model.importance()]).unwrap());
    Some(value)
}

#[test]
fn published_split_beats_the_bar() {
    let Some(value) = score("FullCV_01", 2_768, 30) else { return };
    assert!(value >= 0.88, "R² {value}");
}
