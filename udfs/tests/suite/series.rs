//! Series: what comes next, and how unusual what came is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Date32Type, Float64Type, TimestampMicrosecondType};
use labhouse_udfs::{AnomalyScore, Forecast, ForecastOptions, PredictError, Together, robust_z};

use crate::data::{Dice, batch, floats, texts};

const DAY: i64 = 86_400_000_000;

fn options(horizon: usize) -> ForecastOptions {
    ForecastOptions {
        time: "day".into(),
        value: "grams".into(),
        group: None,
        horizon,
        together: Together::Sum,
        coverage: 0.9,
        period: None,
    }
}

fn daily(values: &[f64]) -> RecordBatch {
    let days: Vec<i32> = (20_000..).take(values.len()).collect();
    let days: ArrayRef = Arc::new(Date32Array::from(days));
    batch(vec![("day", days), ("grams", floats(values.to_vec()))])
}

fn carried(table: &RecordBatch, options: ForecastOptions) -> Result<RecordBatch, PredictError> {
    let mut forecast = Forecast::new(&table.schema(), options)?;
    let schema = forecast.schema();
    for from in (0..table.num_rows()).step_by(100) {
        forecast.push(&table.slice(from, 100.min(table.num_rows() - from)))?;
    }
    let made = forecast.finish()?;
    assert_eq!(made.schema(), schema);
    Ok(made)
}

fn column(table: &RecordBatch, name: &str) -> Vec<f64> {
    table[name].as_primitive::<Float64Type>().values().to_vec()
}

fn noise(dice: &mut Dice) -> f64 {
    (0..12).map(|_| dice.share()).sum::<f64>() - 6.0
}

/// Working days take about ten, weekends nothing, and it grows.
fn weekly(days: usize, growth: f64, seed: u64) -> Vec<f64> {
    let mut dice = Dice(seed);
    (0..days)
        .map(|day| match day % 7 {
            5 | 6 => 0.0,
            _ => (10.0 + growth * day as f64 + noise(&mut dice)).max(0.0),
        })
        .collect()
}

#[test]
fn weekends_are_known_and_never_below_nothing() {
    let table = daily(&weekly(119, 0.0, 1));
    let made = carried(&table, options(14)).unwrap();
    assert_eq!(made.num_rows(), 14);
    assert!(made["method"].as_string::<i32>().value(0).starts_with("seasonal"));
    assert_eq!(made["day"].as_primitive::<Date32Type>().value(0), 20_119);
    let (mean, lower, upper) = (
        column(&made, "forecast"),
        column(&made, "lower"),
        column(&made, "upper"),
    );
    for (day, ((mean, lower), upper)) in mean.iter().zip(&lower).zip(&upper).enumerate() {
        let expected = if day % 7 >= 5 { 0.0 } else { 10.0 };
        assert!((mean - expected).abs() < 1.2, "{day}: {mean}");
        assert!(0.0 <= *lower && lower <= mean && mean <= upper);
    }
}

#[test]
fn a_trend_is_carried_on() {
    let mut dice = Dice(7);
    let values: Vec<f64> = (0..100)
        .map(|day| 50.0 + 2.0 * f64::from(day) + noise(&mut dice))
        .collect();
    let mean = column(&carried(&daily(&values), options(10)).unwrap(), "forecast");
    assert!((mean[0] - 250.0).abs() < 6.0, "{mean:?}");
    assert!(mean[9] > mean[0] + 8.0 && mean[9] < 272.0, "{mean:?}");
}

/// Of many series the intervals hold about the share that they promise.
#[test]
fn intervals_hold_what_they_promise() {
    let (mut held, mut all) = (0, 0);
    for seed in 1..=40 {
        let values = weekly(133, 0.02, seed);
        let made = carried(&daily(&values[..119]), options(14)).unwrap();
        let (lower, upper) = (column(&made, "lower"), column(&made, "upper"));
        for (step, value) in values[119..].iter().enumerate() {
            all += 1;
            held += usize::from((lower[step] - 1e-9..=upper[step] + 1e-9).contains(value));
        }
    }
    let share = held as f64 / all as f64;
    println!("90 % intervals of 40 weekly series held {:.1} %", 100.0 * share);
    assert!((0.82..=0.99).contains(&share), "{share}");
}

#[test]
fn each_group_is_a_series_and_all_end_together() {
    let days: ArrayRef = Arc::new(Date32Array::from(
        (20_000..20_040).chain(20_000..20_030).collect::<Vec<_>>(),
    ));
    let groups: Vec<&str> = ["a"; 40].into_iter().chain(["b"; 30]).collect();
    let values: Vec<f64> = [3.0; 40].into_iter().chain([7.0; 30]).collect();
    let table = batch(vec![
        ("day", days),
        ("grams", floats(values)),
        ("reagent", texts(&groups)),
    ]);
    let asked = |together| ForecastOptions {
        group: Some("reagent".into()),
        together,
        ..options(5)
    };
    let sums = carried(&table, asked(Together::Sum)).unwrap();
    assert_eq!(sums.num_rows(), 10);
    let groups = sums["reagent"].as_string::<i32>();
    assert_eq!((groups.value(0), groups.value(9)), ("a", "b"));
    assert_eq!(column(&sums, "forecast")[0], 3.0);
    assert!(
        column(&sums, "forecast")[9] < 1.0,
        "ten days without use: it is used no more"
    );
    // Of measurements the same gap is ignorance.
    let means = carried(&table, asked(Together::Mean)).unwrap();
    assert!((column(&means, "forecast")[9] - 7.0).abs() < 1e-6);
    assert_eq!(means["day"].as_primitive::<Date32Type>().value(5), 20_040);
}

#[test]
fn short_and_strange_series_get_an_answer_that_says_how() {
    let short = carried(&daily(&[4.0, 5.0]), options(3)).unwrap();
    assert_eq!(short["method"].as_string::<i32>().value(0), "naive");
    assert_eq!(column(&short, "forecast"), [5.0; 3]);
    assert_eq!(short["lower"].null_count(), 3, "two values say nothing of their spread");
    let constant = carried(&daily(&[5.0; 60]), options(3)).unwrap();
    assert_eq!(column(&constant, "forecast"), [5.0; 3]);
    assert_eq!(column(&constant, "upper"), [5.0; 3]);
    // Twelve thousand hours: only the newest past counts, and it is quick.
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(
        (0..12_000).map(|h| h * DAY / 24).collect::<Vec<_>>(),
    ));
    let values: Vec<f64> = (0..12_000).map(|hour| if hour % 24 < 12 { 1.0 } else { 2.0 }).collect();
    let hours = batch(vec![("day", times), ("grams", floats(values))]);
    let made = carried(&hours, options(24)).unwrap();
    assert_eq!(
        made["day"].as_primitive::<TimestampMicrosecondType>().value(0),
        12_000 * DAY / 24
    );
    let mean = column(&made, "forecast");
    assert!((mean[0] - 1.0).abs() < 0.1 && (mean[12] - 2.0).abs() < 0.1, "{mean:?}");
}

#[test]
fn bursts_make_days_and_the_period_is_said_and_can_be_told() {
    // Five readings within two minutes, once a day.
    let times: Vec<i64> = (0..40)
        .flat_map(|day| (0..5).map(move |reading| day * DAY + DAY / 3 + reading * 30_000_000))
        .collect();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
    let table = batch(vec![("day", times), ("grams", floats([2.0; 200]))]);
    let made = carried(&table, options(3)).unwrap();
    let period = |made: &RecordBatch| made["period"].as_string::<i32>().value(0).to_owned();
    assert_eq!(
        (period(&made).as_str(), column(&made, "forecast")),
        ("day", vec![10.0; 3])
    );
    let weeks = ForecastOptions {
        period: Some("week".parse().unwrap()),
        ..options(3)
    };
    let made = carried(&table, weeks).unwrap();
    assert_eq!(period(&made), "week");
    assert!(column(&made, "forecast")[0] > 40.0);
    // Of days there are no hours.
    let hours = ForecastOptions {
        period: Some("6 hours".parse().unwrap()),
        ..options(3)
    };
    let refused = carried(&daily(&[1.0; 30]), hours).unwrap_err().to_string();
    assert!(refused.contains("6 hours"), "{refused}");
}

#[test]
fn no_bounds_are_claimed_that_too_few_errors_speak_for() {
    let values = weekly(60, 0.0, 5);
    let asked = |coverage| {
        let made = carried(&daily(&values), ForecastOptions { coverage, ..options(7) }).unwrap();
        made["upper"].null_count()
    };
    assert_eq!((asked(0.9), asked(0.995)), (0, 7));
}

#[test]
fn what_cannot_be_carried_on_says_why() {
    let table = daily(&[1.0, 2.0]);
    let refuse = |options: ForecastOptions, says: &str| {
        let error = carried(&table, options).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    refuse(options(0), "1 to 1000");
    refuse(options(1_001), "1 to 1000");
    for (time, value, says) in [
        ("when", "grams", "no column when"),
        ("day", "gram", "no column gram"),
        ("grams", "grams", "no time"),
        ("day", "day", "no number"),
    ] {
        let asked = ForecastOptions {
            time: time.into(),
            value: value.into(),
            ..options(3)
        };
        refuse(asked, says);
    }
    refuse(
        ForecastOptions {
            coverage: 1.0,
            ..options(3)
        },
        "coverage",
    );
    let empty = carried(&table.slice(0, 0), options(3)).unwrap_err().to_string();
    assert!(empty.contains("no row with both day and grams"), "{empty}");
}

#[test]
fn an_outlier_scores_high_and_its_followers_do_not() {
    let mut dice = Dice(3);
    let mut values: Vec<f64> = (0..60).map(|_| 20.0 + noise(&mut dice)).collect();
    values[40] = 40.0;
    let table = daily(&values);
    let mut scores = AnomalyScore::new(&table.schema(), "day", "grams", None).unwrap();
    scores.push(&table).unwrap();
    let made = scores.finish().unwrap();
    let score = made["score"].as_primitive::<Float64Type>();
    assert_eq!(score.null_count(), 7);
    assert!(score.value(40) > 8.0);
    // From four weeks of history on: the spread of seven values is a guess, and noise may look unusual beside it.
    let unusual: Vec<usize> = (28..60).filter(|row| score.value(*row).abs() > 4.5).collect();
    assert_eq!(unusual, [40]);
    assert!((made["expected"].as_primitive::<Float64Type>().value(41) - 20.0).abs() < 1.5);
    assert!(AnomalyScore::new(&table.schema(), "day", "nothing", None).is_err());
}

#[test]
fn a_robust_score_is_a_standard_score_of_normal_noise() {
    let mut dice = Dice(11);
    let history: Vec<f64> = (0..4_000).map(|_| 5.0 + 2.0 * noise(&mut dice)).collect();
    let (score, middle) = robust_z(9.0, &history);
    assert!(
        (score - 2.0).abs() < 0.1 && (middle - 5.0).abs() < 0.1,
        "{score} {middle}"
    );
    assert_eq!(robust_z(5.0, &[5.0; 9]).0, 0.0);
    assert_eq!(robust_z(6.0, &[5.0; 9]).0, f64::INFINITY);
    // Half of the values equal: the mean deviation stands in.
    assert!(robust_z(6.0, &[5.0, 5.0, 5.0, 5.0, 5.0, 5.5, 4.5]).0.is_finite());
}

#[test]
fn a_line_goes_on_as_a_line_and_a_level_does_not() {
    let line: Vec<f64> = (100..400).map(f64::from).collect();
    let made = carried(&daily(&line), options(30)).unwrap();
    let (mean, lower, upper) = (
        column(&made, "forecast"),
        column(&made, "lower"),
        column(&made, "upper"),
    );
    for step in 0..30 {
        let truth = 400.0 + step as f64;
        assert!((mean[step] - truth).abs() < 1e-6, "{step}: {}", mean[step]);
        assert!(lower[step] <= truth + 1e-6 && truth <= upper[step] + 1e-6);
    }
    // With noise: sixty days on, where a damped trend lags far behind.
    let (mut held, mut off) = (0, 0.0);
    for seed in 1..=6 {
        let mut dice = Dice(seed);
        let values: Vec<f64> = (0..200)
            .map(|day| 100.0 + 2.0 * f64::from(day) + 10.0 * noise(&mut dice))
            .collect();
        let made = carried(&daily(&values), options(60)).unwrap();
        let (mean, lower, upper) = (
            column(&made, "forecast"),
            column(&made, "lower"),
            column(&made, "upper"),
        );
        let truth = |step: usize| 500.0 + 2.0 * step as f64;
        off += (mean[59] - truth(59)).abs() / 6.0;
        held += (0..60)
            .filter(|step| (lower[*step]..=upper[*step]).contains(&(truth(*step) + 10.0 * noise(&mut dice))))
            .count();
    }
    println!("sixty days on: off by {off:.1} on average, {held} of 360 held");
    assert!(off < 20.0 && held > 290, "{off}, {held}");
    // A line of weeks keeps its weekends.
    let weeks: Vec<f64> = (0..140)
        .map(|day| if day % 7 < 5 { 20.0 } else { 5.0 } + 0.5 * f64::from(day))
        .collect();
    let mean = column(&carried(&daily(&weeks), options(14)).unwrap(), "forecast");
    for (step, mean) in mean.iter().enumerate() {
        let truth = if step % 7 < 5 { 20.0 } else { 5.0 } + 0.5 * (140 + step) as f64;
        assert!((mean - truth).abs() < 1.0, "{step}: {mean} and {truth}");
    }
    // What only wavers has no trend.
    let mut dice = Dice(9);
    let level: Vec<f64> = (0..200).map(|_| 50.0 + noise(&mut dice)).collect();
    let mean = column(&carried(&daily(&level), options(60)).unwrap(), "forecast");
    assert!(mean.iter().all(|mean| (mean - 50.0).abs() < 2.0), "{mean:?}");
}

#[test]
fn what_comes_after_a_break_is_the_newest_and_what_is_left_out_is_said() {
    let table = |days: Vec<i32>| {
        let values: Vec<f64> = days.iter().map(|day| if *day < 20_300 { 10.0 } else { 50.0 }).collect();
        let days: ArrayRef = Arc::new(Date32Array::from(days));
        batch(vec![("day", days), ("grams", floats(values))])
    };
    let means = || ForecastOptions {
        together: Together::Mean,
        ..options(5)
    };
    let said = |made: &RecordBatch| {
        (
            made["day"].as_primitive::<Date32Type>().value(0),
            made["method"].as_string::<i32>().value(0).to_owned(),
        )
    };
    // A year's work, nearly a year of nothing, two weeks.
    let again = carried(&table((20_000..20_300).chain(20_630..20_644).collect()), means()).unwrap();
    let (day, method) = said(&again);
    assert!(day == 20_644 && !method.contains("left out"), "{day} {method}");
    assert!((column(&again, "forecast")[0] - 50.0).abs() < 5.0, "{again:?}");
    // One row of a mistyped year is still none, and is said to be.
    let typed = carried(&table((20_000..20_300).chain([33_000]).collect()), means()).unwrap();
    let (day, method) = said(&typed);
    assert_eq!(day, 20_300);
    assert!(method.ends_with("; 1 moment far from all others left out"), "{method}");
    assert_eq!(column(&typed, "forecast"), [10.0; 5]);
}
