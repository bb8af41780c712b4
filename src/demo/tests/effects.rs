//! The planted effects, found again from the files by fitting additive group means in turn.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use chrono::{NaiveDate, NaiveDateTime};

use super::super::effects;
use super::super::lab::{DRIFTING, Lab};
use super::super::materials::BAD_LOT;
use super::files::{readings, table, text, written};

struct Row {
    plate: String,
    day: NaiveDate,
    instrument: String,
    lot: String,
    factors: Vec<(&'static str, String)>,
    class: String,
    catalyst: String,
    edge: bool,
    percent: f64,
}

/// Joins readings, layouts and protocols, as the view does, without the outlier plate and the empty wells.
fn reactions() -> Vec<Row> {
    let files = written();
    let classes: HashMap<String, String> = Lab::run()
        .reactants
        .iter()
        .map(|molecule| (molecule.name.clone(), format!("{:?}", molecule.class)))
        .collect();
    let mut protocols = HashMap::new();
    let mut wells = HashMap::new();
    for (name, bytes) in files {
        if name.starts_with("chemistry/protocols/") {
            let protocol: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            protocols.insert(protocol["plate_id"].as_str().unwrap().to_owned(), protocol);
        } else if name.starts_with("chemistry/plate_layout/") {
            for row in table(&text(name, bytes), ',') {
                wells.insert((row["plate_id"].clone(), row["well"].clone()), row);
            }
        }
    }
    let mut rows = Vec::new();
    for (name, bytes) in files
        .iter()
        .filter(|(name, _)| name.starts_with("chemistry/plate_readings/"))
    {
        for (plate, well, percent) in readings(name, bytes) {
            let protocol = &protocols[&plate];
            let layout = &wells[&(plate.clone(), well.clone())];
            let (letter, column) = well.split_at(1);
            let Some(percent) = percent else { continue };
            let factors = ["reactant", "catalyst", "base", "solvent", "temperature_c"];
            let mut factors: Vec<_> = factors.map(|column| (column, layout[column].clone())).to_vec();
            factors.push(("scaffold", protocol["scaffold"].as_str().unwrap().to_owned()));
            let edge = ["A", "P"].contains(&letter) || ["1", "24"].contains(&column);
            factors.push(("edge", edge.to_string()));
            rows.push(Row {
                day: protocol["run_at"]
                    .as_str()
                    .unwrap()
                    .parse::<NaiveDateTime>()
                    .unwrap()
                    .date(),
                instrument: protocol["instrument"]["name"].as_str().unwrap().to_owned(),
                lot: layout["catalyst_lot"].clone(),
                class: classes[&layout["reactant"]].clone(),
                catalyst: layout["catalyst"].clone(),
                factors,
                edge,
                percent,
                plate,
            });
        }
    }
    rows
}

/// Means of `value` by `key`.
fn means<K: Ord>(rows: impl IntoIterator<Item = (K, f64)>) -> BTreeMap<K, f64> {
    let mut sums: BTreeMap<K, (f64, f64)> = BTreeMap::new();
    for (key, value) in rows {
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    sums.into_iter().map(|(key, (sum, count))| (key, sum / count)).collect()
}

/// What both tests look at, computed once: the rows without the failed plate, and their fit.
static FITTED: LazyLock<(Vec<Row>, Effects, Vec<f64>)> = LazyLock::new(|| {
    let mut rows = reactions();
    rows.retain(|row| row.plate != effects::OUTLIER_PLATE);
    let (found, left) = fit(&rows);
    (rows, found, left)
});

/// By factor and value, in points.
type Effects = HashMap<String, BTreeMap<String, f64>>;

/// Additive effects of every factor, lot and interaction included, and what is left of each row.
fn fit(rows: &[Row]) -> (Effects, Vec<f64>) {
    let keys: Vec<Vec<(String, String)>> = rows
        .iter()
        .map(|row| {
            let mut keys: Vec<_> = row
                .factors
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            keys.push(("bad_lot".into(), (row.lot == BAD_LOT).to_string()));
            keys.push(("interaction".into(), format!("{} {}", row.catalyst, row.class)));
            let late = row.instrument == DRIFTING && row.day >= effects::drift_start();
            keys.push(("drift".into(), if late { row.day.to_string() } else { String::new() }));
            keys
        })
        .collect();
    let mut left: Vec<f64> = rows.iter().map(|row| row.percent).collect();
    let mut found = Effects::new();
    for _round in 0..12 {
        for factor in 0..keys[0].len() {
            let step = means(keys.iter().zip(&left).map(|(key, left)| (key[factor].1.clone(), *left)));
            for (key, left) in keys.iter().zip(&mut left) {
                *left -= step[&key[factor].1];
            }
            let effect = found.entry(keys[0][factor].0.clone()).or_default();
            for (value, step) in step {
                *effect.entry(value).or_default() += step;
            }
        }
    }
    (found, left)
}

/// The slopes of a least-squares plane through `points` of three coordinates and a value, with an intercept.
fn slopes(points: &[([f64; 3], f64)]) -> [f64; 3] {
    let mut system = [[0.0; 5]; 4];
    for ([a, b, c], value) in points {
        let row = [1.0, *a, *b, *c, *value];
        for (i, line) in system.iter_mut().enumerate() {
            for (j, cell) in line.iter_mut().enumerate() {
                *cell += row[i] * row[j];
            }
        }
    }
    for pivot in 0..4 {
        let line = system[pivot].map(|cell| cell / system[pivot][pivot]);
        system[pivot] = line;
        for (_, target) in system.iter_mut().enumerate().filter(|(other, _)| *other != pivot) {
            let factor = target[pivot];
            target
                .iter_mut()
                .zip(line)
                .for_each(|(cell, from)| *cell -= factor * from);
        }
    }
    [system[1][4], system[2][4], system[3][4]]
}

fn close(what: &str, found: f64, planted: f64, tolerance: f64) {
    assert!(
        (found - planted).abs() <= tolerance,
        "{what}: found {found:.2}, planted {planted:.2}"
    );
}

#[test]
fn the_failed_plate_is_the_darkest() {
    let lab = Lab::run();
    let wells = lab
        .plates
        .iter()
        .flat_map(|plate| plate.wells.iter().map(move |well| (&plate.id, well.yield_pct)));
    let by_plate = means(wells.filter_map(|(plate, percent)| Some((plate, percent?))));
    let worst = by_plate.iter().min_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    assert_eq!(*worst.0, effects::OUTLIER_PLATE, "{by_plate:?}");
}

#[test]
fn the_planted_effects_are_found_again() {
    let (rows, found, left) = &*FITTED;
    let floor = rows
        .iter()
        .filter(|row| row.percent <= 0.0 || row.percent >= 100.0)
        .count();
    assert!(floor * 50 < rows.len(), "{floor} of {} wells at 0 or 100", rows.len());

    let difference = |factor: &str| found[factor]["true"] - found[factor]["false"];
    close("edge", difference("edge"), effects::EDGE, 0.5);
    close("bad lot", difference("bad_lot"), effects::BAD_LOT, 1.5);
    let sd = (left.iter().map(|left| left * left).sum::<f64>() / left.len() as f64).sqrt();
    close("noise", sd, effects::NOISE_SD, 0.6);

    // Without any fit at all: the lot against its sisters, the rim against the middle.
    let lots = means(
        rows.iter()
            .filter(|row| row.lot.starts_with("XP"))
            .map(|row| (row.lot == BAD_LOT, row.percent)),
    );
    assert!(lots[&true] < lots[&false] - 10.0, "{lots:?}");
    let rim = means(rows.iter().map(|row| (row.edge, row.percent)));
    close("rim, plain means", rim[&true] - rim[&false], effects::EDGE, 1.0);

    // The drift by day, as a slope.
    let days: Vec<_> = found["drift"].iter().filter(|(day, _)| !day.is_empty()).collect();
    let points: Vec<_> = days
        .iter()
        .map(|(day, effect)| {
            (
                day.parse::<NaiveDate>()
                    .unwrap()
                    .signed_duration_since(effects::drift_start()),
                **effect,
            )
        })
        .map(|(days, effect)| (days.num_days() as f64, effect))
        .collect();
    assert!(points.len() >= 6, "{points:?}");
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / points.len() as f64;
    let (day, effect) = (mean(|point| point.0), mean(|point| point.1));
    let slope = points.iter().map(|(d, e)| (d - day) * (e - effect)).sum::<f64>()
        / points.iter().map(|(d, _)| (d - day).powi(2)).sum::<f64>();
    close("drift per day", slope, effects::DRIFT_PER_DAY, 0.08);
}

#[test]
fn descriptors_and_the_interaction_are_found_again() {
    let (rows, found, _) = &*FITTED;
    let lab = Lab::run();
    // The class of a bromide takes part of its effect into the interaction: give it back before looking at slopes.
    let of_class = |class: &str| {
        let all: Vec<f64> = found["interaction"]
            .iter()
            .filter(|(key, _)| key.ends_with(class))
            .map(|(_, effect)| *effect)
            .collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let tried: Vec<_> = lab
        .reactants
        .iter()
        .filter(|molecule| found["reactant"].contains_key(&molecule.name))
        .collect();
    assert_eq!(tried.len(), 48);
    let points: Vec<_> = tried
        .iter()
        .map(|molecule| {
            let class = format!("{:?}", molecule.class);
            let at = [molecule.alogp, f64::from(molecule.rtb), molecule.full_mwt];
            (at, found["reactant"][&molecule.name] + of_class(&class))
        })
        .collect();
    let [alogp, rtb, weight] = slopes(&points);
    close("alogp", alogp, effects::PER_ALOGP, 0.5);
    close("rtb", rtb, effects::PER_ROTATABLE_BOND, 0.5);
    close("full_mwt", weight, effects::PER_WEIGHT, 0.015);

    // tBuXPhos likes azines and not carbocycles; XPhos the other way round.
    let azine_against_carbocycle = |catalyst: &str| {
        found["interaction"][&format!("{catalyst} Azine")] - found["interaction"][&format!("{catalyst} Carbocycle")]
    };
    let interaction = azine_against_carbocycle("tBuXPhos Pd G3") - azine_against_carbocycle("XPhos Pd G3");
    close("interaction", interaction, 12.0 + 7.0, 1.5);

    // The missing day has no plate, its neighbours have.
    let missing = super::super::lab::missing_day();
    let on = |day: NaiveDate| rows.iter().any(|row| row.day == day);
    assert!(!on(missing) && on(missing.pred_opt().unwrap()) && on(missing.succ_opt().unwrap()));
}
