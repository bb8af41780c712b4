//! Models of classes: found by the target's type, scored as classes are, answered by name and by probability.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use labhouse_udfs::{Cancel, Kind, Model, PredictError, Sight, TrainError, TrainOptions, train};

use crate::data::{Dice, batch, fit, floats, options, texts};

/// Three outcomes by solvent and temperature, with a tenth of them wrong.
fn outcomes(rows: usize, seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let (mut solvent, mut temperature, mut outcome) = (vec![], vec![], vec![]);
    for _ in 0..rows {
        let (s, t) = (dice.below(4), 20.0 + 100.0 * dice.share());
        let truth = if s == 0 {
            "inert"
        } else if t > 40.0 + 20.0 * s as f64 {
            "product"
        } else {
            "side product"
        };
        let told = if dice.share() < 0.1 {
            ["inert", "product", "side product"][dice.below(3)]
        } else {
            truth
        };
        solvent.push(format!("s{s}"));
        temperature.push(t);
        outcome.push(told);
    }
    batch(vec![
        ("solvent", texts(&solvent)),
        ("temperature", floats(temperature)),
        ("outcome", texts(&outcome)),
    ])
}

fn columns(model: &Model, rows: &RecordBatch) -> Vec<ArrayRef> {
    model
        .features()
        .iter()
        .map(|f| Arc::clone(&rows[f.name.as_str()]))
        .collect()
}

fn measure(model: &Model, name: &str) -> f64 {
    let card = model.card();
    card.iter()
        .find(|(key, _)| key == name)
        .unwrap_or_else(|| panic!("{name}: {card:?}"))
        .1
        .parse()
        .unwrap()
}

#[test]
fn text_makes_classes_and_their_probabilities_are_honest() {
    let model = fit(&outcomes(900, 1), "outcome", 20).unwrap();
    assert_eq!(model.classes(), ["inert", "product", "side product"]);
    assert_eq!(model.answer_type(), DataType::Utf8);
    assert!(measure(&model, "auc") > 0.9 && measure(&model, "f1") > 0.85 && measure(&model, "calibration") < 0.08);
    assert!(model.card().contains(&("kind".to_owned(), "multiclass".to_owned())));
    let board = model.leaderboard();
    let names: Vec<_> = board["candidate"].as_string::<i32>().iter().flatten().collect();
    for name in ["class shares", "logistic regression", "naive Bayes", "boosted trees"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(board["train_s"].as_primitive::<Float64Type>().iter().flatten().count() >= 4);
    assert_eq!(board["fold_scores"].as_string::<i32>().value(0).split(", ").count(), 5);

    let fresh = outcomes(400, 2);
    let said = model.answer(&columns(&model, &fresh), 400).unwrap();
    let right = said
        .as_string::<i32>()
        .iter()
        .zip(fresh["outcome"].as_string::<i32>())
        .filter(|(a, b)| a == b)
        .count();
    assert!(right > 340, "{right} of 400, 373 can be had");
    let of = |class: &str| model.probability(class, &columns(&model, &fresh), 400).unwrap();
    let all: Vec<_> = model.classes().iter().map(|class| of(class)).collect();
    for row in 0..400 {
        let sum: f64 = all.iter().map(|p| p.value(row)).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
    assert!(matches!(
        model.probability("gas", &columns(&model, &fresh), 400),
        Err(PredictError::NoClass { classes, .. }) if classes.contains("side product")
    ));
    let again = Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(&again.answer(&columns(&again, &fresh), 400).unwrap(), &said);
    assert!(matches!(
        model.interval(&columns(&model, &fresh), 400, 0.9),
        Err(PredictError::NoIntervals)
    ));
}

#[test]
fn flags_and_booleans_are_two_classes_and_a_kind_can_be_insisted_on() {
    let mut dice = Dice(3);
    let x: Vec<f64> = (0..300).map(|_| dice.share()).collect();
    let hit = |x: &f64| *x > 0.6;
    let booleans: ArrayRef = Arc::new(x.iter().map(|x| Some(hit(x))).collect::<BooleanArray>());
    let flags: ArrayRef = Arc::new(x.iter().map(|x| Some(i64::from(hit(x)))).collect::<Int64Array>());
    for (target, classes) in [(booleans, ["false", "true"]), (Arc::clone(&flags), ["0", "1"])] {
        let model = fit(&batch(vec![("x", floats(x.clone())), ("hit", target)]), "hit", 5).unwrap();
        assert_eq!(model.classes(), classes);
        assert!(measure(&model, "auc") > 0.98);
        // The number of a model of two classes is the probability of the second.
        let p = model.predict(&[floats([0.1, 0.9])]).unwrap();
        assert!(p.value(0) < 0.1 && p.value(1) > 0.9, "{p:?}");
    }
    let table = batch(vec![("x", floats(x.clone())), ("hit", flags)]);
    let number = TrainOptions {
        kind: Kind::Regression,
        ..options("hit", 5)
    };
    assert!(
        train(&[table], &number, &Cancel::default(), &|_| ())
            .unwrap()
            .classes()
            .is_empty()
    );
    // Other whole numbers are numbers, unless one insists.
    let grades: ArrayRef = Arc::new(x.iter().map(|x| Some((x * 4.0) as i64)).collect::<Int64Array>());
    let table = batch(vec![("x", floats(x)), ("grade", grades)]);
    assert!(fit(&table, "grade", 5).unwrap().classes().is_empty());
    let classes = TrainOptions {
        kind: Kind::Classification,
        ..options("grade", 5)
    };
    assert_eq!(
        train(&[table], &classes, &Cancel::default(), &|_| ())
            .unwrap()
            .classes()
            .len(),
        4
    );
}

#[test]
fn too_many_or_too_few_classes_are_refused() {
    let x = || floats((0..200).map(f64::from));
    let many = batch(vec![
        ("x", x()),
        ("name", texts(&(0..200).map(|i| format!("n{i}")).collect::<Vec<_>>())),
    ]);
    assert!(matches!(
        fit(&many, "name", 2),
        Err(TrainError::TooManyClasses { have: 200, .. })
    ));
    let one = batch(vec![("x", x()), ("name", texts(&["same"; 200]))]);
    assert!(matches!(fit(&one, "name", 2), Err(TrainError::OneClass { .. })));
    // A class of one row can be missing from a fold: a model comes out all the same.
    let mut rare = ["a", "b"].repeat(100);
    rare[7] = "c";
    let model = fit(&batch(vec![("x", x()), ("name", texts(&rare))]), "name", 5).unwrap();
    assert_eq!(model.classes(), ["a", "b", "c"]);
    // Rows without a class are dropped and counted.
    let mut holes = [Some("a"), Some("b")].repeat(20);
    (holes[0], holes[3]) = (None, Some(""));
    let target: ArrayRef = Arc::new(arrow::array::StringArray::from(holes));
    let model = fit(
        &batch(vec![("x", floats((0..40).map(f64::from))), ("y", target)]),
        "y",
        2,
    )
    .unwrap();
    assert_eq!(model.rows(), 38);
}

/// Three classes that x alone decides, and two columns of noise.
fn by_x(rows: usize, seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let x: Vec<f64> = (0..rows).map(|_| 3.0 * dice.share()).collect();
    let mut noise = || floats((0..rows).map(|_| dice.share()).collect::<Vec<f64>>());
    let class: Vec<&str> = x.iter().map(|x| ["low", "middle", "upper"][*x as usize]).collect();
    batch(vec![
        ("z", noise()),
        ("x", floats(x)),
        ("w", noise()),
        ("class", texts(&class)),
    ])
}

fn span(curve: &RecordBatch) -> f64 {
    let said = curve["prediction"].as_primitive::<Float64Type>();
    let (low, high) = said
        .values()
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(*p), high.max(*p)));
    high - low
}

#[test]
fn explanations_are_of_one_class_and_say_which() {
    let model = fit(&by_x(600, 11), "class", 10).unwrap();
    for (x, class) in [(0.5, "low"), (1.5, "middle"), (2.5, "upper")] {
        let row: Vec<ArrayRef> = vec![floats([0.4]), floats([x]), floats([0.6])];
        let told = model.explanation(&row).unwrap();
        assert_eq!(told["feature"].as_string::<i32>().value(0), "x");
        assert_eq!(told["class"].as_string::<i32>().value(0), class);
        assert!(told["effect"].as_primitive::<Float64Type>().value(0) > 0.3, "{told:?}");
        let prediction = told["prediction"].as_primitive::<Float64Type>().value(0);
        assert_eq!(prediction, model.probability(class, &row, 1).unwrap().value(0));
        let (shares, average) = model.shares(&row).unwrap();
        assert!((shares.iter().sum::<f64>() + average - prediction).abs() < 1e-9);
        // Of another class the same feature speaks against it.
        let other = if class == "low" { "upper" } else { "low" };
        let told = model.explanation_of(&row, Some(other), &Sight::default()).unwrap();
        assert_eq!(told["class"].as_string::<i32>().value(0), other);
        assert!(told["effect"].as_primitive::<Float64Type>().value(0) < -0.1, "{told:?}");
    }
    let first = model.importance_by_shares();
    assert_eq!(first["feature"].as_string::<i32>().value(0), "x");
    assert!(
        first["importance"].as_primitive::<Float64Type>().value(0) > 0.2,
        "{first:?}"
    );

    let usual = model.partial_dependence("x").unwrap();
    assert!(span(&usual) > 0.8 && usual["class"].null_count() == 0, "{usual:?}");
    assert!(span(&model.partial_dependence("z").unwrap()) < 0.2);
    let upper = model
        .partial_dependence_of("x", Some("upper"), &Sight::default())
        .unwrap();
    let said = upper["prediction"].as_primitive::<Float64Type>();
    assert!(said.value(0) < 0.2 && said.value(said.len() - 1) > 0.8, "{upper:?}");
    assert_eq!(upper["class"].as_string::<i32>().value(0), "upper");

    // A class that there is not, and one that may not be told.
    let row: Vec<ArrayRef> = vec![floats([0.4]), floats([0.5]), floats([0.6])];
    let unknown = model.explanation_of(&row, Some("gas"), &Sight::default());
    assert!(matches!(unknown, Err(PredictError::NoClass { .. })), "{unknown:?}");
    let partly = Sight {
        unvalued: std::iter::once("class".to_owned()).collect(),
        ..Sight::default()
    };
    let told = model.explanation_to(&row, &partly).unwrap();
    assert_eq!(told["class"].null_count(), 3);
    let curve = model.partial_dependence_to("x", &partly).unwrap();
    assert_eq!(curve["class"].null_count(), curve.num_rows());
}

#[test]
fn of_two_classes_the_predicted_one_is_explained_and_of_a_number_none() {
    let table = by_x(400, 12);
    let x = table["x"].as_primitive::<Float64Type>().clone();
    let active: Vec<&str> = x
        .values()
        .iter()
        .map(|x| if *x > 2.0 { "active" } else { "inactive" })
        .collect();
    let model = fit(
        &batch(vec![
            ("x", Arc::clone(&table["x"])),
            ("z", Arc::clone(&table["z"])),
            ("y", texts(&active)),
        ]),
        "y",
        10,
    )
    .unwrap();
    for (x, class) in [(2.8, "active"), (0.3, "inactive")] {
        let told = model.explanation(&[floats([x]), floats([0.5])]).unwrap();
        assert_eq!(told["class"].as_string::<i32>().value(0), class);
        assert!(
            told["prediction"].as_primitive::<Float64Type>().value(0) > 0.8,
            "{told:?}"
        );
        assert!(told["effect"].as_primitive::<Float64Type>().value(0) > 0.1, "{told:?}");
    }
    // A curve is of the second class, as the number that predict gives.
    let curve = model.partial_dependence("x").unwrap();
    assert_eq!(curve["class"].as_string::<i32>().value(0), "inactive");
    assert!(
        curve["prediction"].as_primitive::<Float64Type>().value(0) > 0.8,
        "{curve:?}"
    );

    let number = fit(
        &batch(vec![("z", Arc::clone(&table["z"])), ("y", Arc::clone(&table["x"]))]),
        "y",
        2,
    )
    .unwrap();
    let told = number.explanation(&[floats([0.5])]).unwrap();
    assert_eq!(told["class"].null_count(), 1);
    let of = number.explanation_of(&[floats([0.5])], Some("active"), &Sight::default());
    assert!(matches!(of, Err(PredictError::NoClasses)), "{of:?}");
}

#[test]
fn classes_that_occur_once_are_names() {
    let x = || floats((0..12).map(f64::from));
    let names: Vec<String> = (0..12).map(|row| format!("n{row}")).collect();
    let unique = fit(&batch(vec![("x", x()), ("name", texts(&names))]), "name", 2);
    assert!(
        matches!(unique, Err(TrainError::UniqueClasses { have: 12, rows: 12, .. })),
        "{unique:?}"
    );
    let again: Vec<&String> = names.iter().take(4).cycle().take(12).collect();
    let model = fit(&batch(vec![("x", x()), ("name", texts(&again))]), "name", 2).unwrap();
    assert_eq!(model.classes().len(), 4);
}
