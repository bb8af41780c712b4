//! Plates: every well at most once, controls everywhere, chance from the seed alone, and controls that were really measured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use labhouse_udfs::{KnownExperiments, Layout, Model, PredictError, Recommender};

use crate::data::{batch, fit, floats, texts};
use crate::training::reactions;

fn model() -> Arc<Model> {
    static MODEL: std::sync::OnceLock<Arc<Model>> = std::sync::OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(fit(&reactions(300, 71), "yield_pct", 5).unwrap())))
}

fn list(candidates: &RecordBatch, k: usize) -> RecordBatch {
    let mut recommender = Recommender::new(model(), candidates.schema(), k, false).unwrap();
    recommender.push(candidates).unwrap();
    recommender.finish().unwrap()
}

fn strings(plate: &RecordBatch, name: &str) -> Vec<String> {
    let column = plate[name].as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("-").to_owned()).collect()
}

#[test]
fn every_experiment_of_the_list_lies_in_one_well_and_controls_are_everywhere() {
    let candidates = reactions(2_000, 72);
    for (rows, columns, controls) in [(8, 12, 8), (16, 24, 32), (2, 3, 2), (1, 3, 0), (32, 48, 128)] {
        let layout = Layout::new(rows, columns).unwrap().with_seed(5);
        assert_eq!(
            (layout.controls(), layout.samples()),
            (controls, rows * columns - controls)
        );
        let list = list(&candidates, layout.samples());
        let plate = layout.fill(&candidates.schema(), &list, Vec::new()).unwrap();
        assert_eq!(plate.schema(), Layout::schema(&candidates.schema()));
        assert_eq!(plate.num_rows(), rows * columns);
        let wells: BTreeSet<String> = strings(&plate, "well").into_iter().collect();
        assert_eq!(wells.len(), rows * columns);
        let ranks: Vec<i64> = plate["rank"].as_primitive::<Int64Type>().iter().flatten().collect();
        assert_eq!(ranks.iter().copied().collect::<BTreeSet<i64>>().len(), layout.samples());
        assert!(
            rows == 1 || ranks.windows(2).any(|pair| pair[0] > pair[1]),
            "the list's order is not the plate's"
        );
        let (roles, kinds) = (strings(&plate, "role"), strings(&plate, "control"));
        assert_eq!(roles.iter().filter(|role| *role == "control").count(), controls);
        let mut often: BTreeMap<&str, usize> = BTreeMap::new();
        for kind in kinds.iter().filter(|kind| *kind != "-") {
            *often.entry(kind).or_default() += 1;
        }
        assert!(often.values().all(|count| *count == controls / 2), "{often:?}");
        // One control in each stretch of the plate.
        for stretch in 0..controls {
            let (from, to) = (
                stretch * rows * columns / controls,
                (stretch + 1) * rows * columns / controls,
            );
            assert_eq!(roles[from..to].iter().filter(|role| *role == "control").count(), 1);
        }
        // A line of the list keeps its prediction and its inputs.
        for row in 0..plate.num_rows() {
            if let Some(rank) = plate["rank"].as_primitive::<Int64Type>().iter().nth(row).flatten() {
                let of = |batch: &RecordBatch, at: usize| {
                    (
                        batch["prediction"].as_primitive::<Float64Type>().value(at).to_bits(),
                        batch["temperature"].as_primitive::<Float64Type>().value(at).to_bits(),
                        batch["catalyst"].as_string::<i32>().value(at).to_owned(),
                    )
                };
                assert_eq!(of(&plate, row), of(&list, rank as usize - 1));
            }
        }
    }
}

#[test]
fn the_seed_alone_decides_and_wells_have_the_names_of_instruments() {
    let candidates = reactions(200, 73);
    let layout = Layout::new(8, 12).unwrap();
    let list = list(&candidates, layout.samples());
    let fill = |layout: Layout| layout.fill(&candidates.schema(), &list, Vec::new()).unwrap();
    assert_eq!(fill(layout.with_seed(1)), fill(layout.with_seed(1)));
    assert_ne!(fill(layout.with_seed(1)), fill(layout.with_seed(2)));
    let wells = strings(&fill(layout), "well");
    assert_eq!(
        (wells[0].as_str(), wells[11].as_str(), wells[12].as_str()),
        ("A01", "A12", "B01")
    );
    let last = Layout::new(32, 48).unwrap().with_controls(0).unwrap();
    // A short list leaves wells empty: they are not in the table.
    let plate = last.fill(&candidates.schema(), &list, Vec::new()).unwrap();
    assert_eq!(plate.num_rows(), list.num_rows());
    assert!(strings(&plate, "row").iter().any(|row| row.len() == 2));
    let inside = layout.without_edge().unwrap();
    let plate = fill(inside);
    assert_eq!(plate.num_rows(), 60);
    assert!(
        plate["column"]
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .all(|c| (2..=11).contains(c))
    );
    assert!(strings(&plate, "row").iter().all(|row| row != "A" && row != "H"));
    for bad in [Layout::new(0, 12), Layout::new(33, 12), Layout::new(8, 49)] {
        assert!(matches!(bad, Err(PredictError::BadPlate(_))));
    }
    assert!(matches!(
        Layout::new(2, 12).unwrap().without_edge(),
        Err(PredictError::BadPlate(_))
    ));
    assert!(matches!(layout.with_controls(96), Err(PredictError::BadPlate(_))));
    let none = Layout::new(8, 12)
        .unwrap()
        .fill(&candidates.schema(), &list.slice(0, 0), Vec::new());
    assert_eq!(none.unwrap().num_rows(), 0);
}

#[test]
fn controls_are_the_best_and_the_middle_of_what_was_measured() {
    let table = reactions(501, 74);
    let candidates = batch(vec![
        ("well", texts(&["x"; 40])),
        ("catalyst", cast(&texts(&["cat-1"; 40]), &DataType::Utf8View).unwrap()),
        ("base", texts(&["base-1"; 40])),
        ("temperature", floats((0..40).map(|i| 30.0 + f64::from(i)))),
    ]);
    let mut known = KnownExperiments::new(model(), candidates.schema(), &table.schema()).unwrap();
    for from in (0..501).step_by(100) {
        known.push(&table.slice(from, 100.min(501 - from))).unwrap();
    }
    let controls = known.finish().unwrap();
    let mut yields: Vec<f64> = table["yield_pct"]
        .as_primitive::<Float64Type>()
        .iter()
        .flatten()
        .collect();
    yields.sort_by(f64::total_cmp);
    assert_eq!(
        controls.iter().map(|c| c.name).collect::<Vec<_>>(),
        ["best known", "median known"]
    );
    assert_eq!(controls[0].measured, yields.last().copied());
    assert_eq!(controls[1].measured, Some(yields[yields.len() / 2]));
    let layout = Layout::new(4, 6).unwrap();
    let list = list(&candidates, layout.samples());
    let plate = layout.fill(&candidates.schema(), &list, controls).unwrap();
    assert_eq!(plate.num_rows(), 24);
    for row in 0..24 {
        let is_control = strings(&plate, "role")[row] == "control";
        assert_eq!(plate["measured"].is_valid(row), is_control);
        assert_eq!(plate["rank"].is_null(row), is_control);
        // What the known table lacks is NULL there; what both have is the experiment's own.
        assert_eq!(plate["candidate_well"].is_null(row), is_control);
        assert!(plate["catalyst"].is_valid(row) && plate["prediction"].is_valid(row));
    }
    // A table without the features or the target is none of known experiments.
    let short = table.project(&[0]).unwrap();
    assert!(matches!(
        KnownExperiments::new(model(), candidates.schema(), &short.schema()),
        Err(PredictError::NoControls { .. })
    ));
    let nothing = KnownExperiments::new(model(), candidates.schema(), &table.schema()).unwrap();
    assert!(nothing.finish().unwrap().is_empty());
}
