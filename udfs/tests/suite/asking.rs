//! The function in SQL: by position, by name, with constants, with types it was not trained on; and its refusals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int8Type, TimeUnit};
use datafusion::prelude::SessionContext;
use labhouse_udfs::{Model, predict_udf};
use proptest::prelude::*;

use crate::data::{Dice, batch, fit, floats, texts};
use crate::training::reactions;

fn model() -> Arc<Model> {
    static MODEL: std::sync::OnceLock<Arc<Model>> = std::sync::OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(fit(&reactions(300, 21), "yield_pct", 10).unwrap())))
}

async fn ask(sql: &str) -> Result<Vec<f64>, String> {
    let session = SessionContext::new();
    session.register_udf(predict_udf("predict_yield", model()));
    session.register_batch("reactions", reactions(300, 22)).unwrap();
    let frame = session.sql(sql).await.map_err(|e| e.to_string())?;
    let batches = frame.collect().await.map_err(|e| e.to_string())?;
    Ok(batches
        .iter()
        .flat_map(|b| b.column(0).as_primitive::<Float64Type>().values().to_vec())
        .collect())
}

fn columns(rows: &RecordBatch) -> Vec<ArrayRef> {
    model()
        .features()
        .iter()
        .map(|f| Arc::clone(&rows[f.name.as_str()]))
        .collect()
}

#[tokio::test]
async fn by_name_in_any_order_is_by_position() {
    let position = ask("SELECT predict_yield(catalyst, base, temperature) FROM reactions")
        .await
        .unwrap();
    assert_eq!(position.len(), 300);
    assert_eq!(
        position,
        model()
            .predict(&columns(&reactions(300, 22)))
            .unwrap()
            .values()
            .to_vec()
    );
    let name =
        ask("SELECT predict_yield(temperature => temperature, base => base, catalyst => catalyst) FROM reactions")
            .await;
    assert_eq!(name.unwrap(), position);
    let mixed = ask("SELECT predict_yield(catalyst, TEMPERATURE => temperature, base => base) FROM reactions").await;
    assert_eq!(mixed.unwrap(), position);
}

#[tokio::test]
async fn wrong_arguments_are_refused_and_name_what_is_missing() {
    let short = ask("SELECT predict_yield(catalyst) FROM reactions").await.unwrap_err();
    assert!(short.contains("missing: base, temperature"), "{short}");
    let none = ask("SELECT predict_yield()").await.unwrap_err();
    assert!(none.contains("missing: catalyst, base, temperature"), "{none}");
    let many = ask("SELECT predict_yield(catalyst, base, temperature, 1) FROM reactions")
        .await
        .unwrap_err();
    assert!(many.contains("1 too many"), "{many}");
    let unknown = ask("SELECT predict_yield(catalyst, base, heat => 1) FROM reactions")
        .await
        .unwrap_err();
    assert!(unknown.contains("heat") && unknown.contains("temperature"), "{unknown}");
    let nested = ask("SELECT predict_yield(catalyst, base, make_array(1)) FROM reactions")
        .await
        .unwrap_err();
    assert!(nested.contains("'temperature' cannot be of type"), "{nested}");
}

#[tokio::test]
async fn constants_columns_and_both_mixed_agree() {
    let constant = ask("SELECT predict_yield('cat-1', 'base-2', 77.5)").await.unwrap();
    let spread = ask("SELECT predict_yield('cat-1', 'base-2', temperature - temperature + 77.5) FROM reactions")
        .await
        .unwrap();
    assert_eq!(spread.len(), 300);
    assert!(spread.iter().all(|v| *v == constant[0]), "{constant:?} {spread:?}");
    let other = ask("SELECT predict_yield('cat-4', 'base-2', 77.5)").await.unwrap();
    assert_ne!(other, constant);
    let filtered = ask("SELECT predict_yield(catalyst, base, temperature) FROM reactions WHERE 1 = 0")
        .await
        .unwrap();
    assert!(filtered.is_empty());
}

#[tokio::test]
async fn any_readable_type_is_taken() {
    let float = ask("SELECT predict_yield('cat-1', 'base-2', 77.0)").await.unwrap();
    for argument in [
        "77",
        "CAST(77 AS TINYINT)",
        "'77'",
        "CAST(77 AS DECIMAL(10, 2))",
        "arrow_cast('77', 'LargeUtf8')",
    ] {
        assert_eq!(
            ask(&format!("SELECT predict_yield('cat-1', 'base-2', {argument})"))
                .await
                .unwrap(),
            float,
            "{argument}"
        );
    }
    for text in ["Utf8View", "LargeUtf8", "Dictionary(Int32, Utf8)"] {
        let sql = format!("SELECT predict_yield(arrow_cast('cat-1', '{text}'), 'base-2', 77)");
        assert_eq!(ask(&sql).await.unwrap(), float, "{text}");
    }
    // A date where a category stands is one more unknown category; words where a number stands are NULL.
    let unknown = ask("SELECT predict_yield('never seen', 'base-2', 77)").await.unwrap();
    assert_eq!(
        ask("SELECT predict_yield(DATE '2026-01-01', 'base-2', 77)")
            .await
            .unwrap(),
        unknown
    );
    let null = ask("SELECT predict_yield('cat-1', 'base-2', NULL)").await.unwrap();
    assert_eq!(
        ask("SELECT predict_yield('cat-1', 'base-2', 'warm')").await.unwrap(),
        null
    );
    assert!(null[0].is_finite() && null != float);
}

#[tokio::test]
async fn an_unknown_category_is_answered_like_the_average_one() {
    let known: Vec<f64> = {
        let mut all = vec![];
        for c in 0..6 {
            all.extend(
                ask(&format!("SELECT predict_yield('cat-{c}', 'base-2', 70)"))
                    .await
                    .unwrap(),
            );
        }
        all
    };
    let unknown = ask("SELECT predict_yield('cat-x', 'base-2', 70)").await.unwrap()[0];
    let (low, high) = known
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    assert!(unknown > low && unknown < high, "{unknown} of {known:?}");
}

#[test]
fn times_are_one_axis_whatever_their_type() {
    let days: Vec<i32> = (0..200).map(|i| 20_000 + (i * 37) % 200).collect();
    let dates: ArrayRef = Arc::new(arrow::array::Date32Array::from(days.clone()));
    let table = batch(vec![
        ("day", Arc::clone(&dates)),
        ("y", floats(days.iter().map(|d| f64::from(d % 100)))),
    ]);
    let model = fit(&table, "y", 5).unwrap();
    let expected = model.predict(&[Arc::clone(&dates)]).unwrap();
    let same = |column: ArrayRef| assert_eq!(model.predict(&[column]).unwrap(), expected);
    same(cast(&dates, &DataType::Timestamp(TimeUnit::Second, None)).unwrap());
    same(
        cast(
            &dates,
            &DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())),
        )
        .unwrap(),
    );
    same(cast(&dates, &DataType::Date64).unwrap());
    same(cast(&dates, &DataType::Utf8).unwrap());
    assert_ne!(
        model.predict(&[Arc::new(Int64Array::from(vec![0; 200]))]).unwrap(),
        expected
    );
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let rows = reactions(10, 1);
    let mut columns = columns(&rows);
    columns[1] = columns[1].slice(0, 5);
    assert!(
        model()
            .predict(&columns)
            .unwrap_err()
            .to_string()
            .contains("'base' has 5 rows where 10")
    );
    columns[1] = texts(&["base-1"]);
    assert_eq!(model().predict(&columns).unwrap().len(), 10);
}

#[test]
fn a_dictionary_with_holes_is_its_plain_column() {
    let keys = arrow::array::Int8Array::from(vec![Some(0), None, Some(1), Some(2), Some(0)]);
    // The dictionary holds a NULL of its own and a value nobody uses.
    let values = arrow::array::StringArray::from(vec![Some("cat-1"), None, Some("cat-5"), Some("unused")]);
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, Arc::new(values)));
    let plain = cast(&dictionary, &DataType::Utf8).unwrap();
    let predict = |catalyst: ArrayRef| {
        model()
            .answer(&[catalyst, texts(&["base-0"]), floats([60.0])], 5)
            .unwrap()
    };
    assert_eq!(&predict(dictionary), &predict(plain));
}

#[test]
fn the_interval_covers_as_promised_on_fresh_rows() {
    let fresh = reactions(2_000, 23);
    let predicted = model().predict(&columns(&fresh)).unwrap();
    let truth = fresh["yield_pct"].as_primitive::<Float64Type>();
    let covered = |coverage: f64| {
        let margin = model().residual_quantile(coverage);
        let inside = predicted
            .values()
            .iter()
            .zip(truth.values())
            .filter(|(p, y)| (*p - *y).abs() <= margin)
            .count();
        inside as f64 / truth.len() as f64
    };
    assert!((0.84..=0.98).contains(&covered(0.9)), "{}", covered(0.9));
    assert!((0.40..=0.68).contains(&covered(0.5)), "{}", covered(0.5));
    assert!(model().residual_quantile(0.5) < model().residual_quantile(0.9));
}

/// Catalyst, base, temperature: known, unknown and NULL.
type AnyRow = (Option<u8>, Option<u8>, Option<f64>);

fn any_rows() -> impl Strategy<Value = (Vec<AnyRow>, u64)> {
    let row = (
        proptest::option::of(0_u8..9),
        proptest::option::of(0_u8..6),
        proptest::option::of(proptest::num::f64::ANY),
    );
    (proptest::collection::vec(row, 1..40), any::<u64>())
}

fn made(rows: &[AnyRow]) -> Vec<ArrayRef> {
    let catalyst: arrow::array::StringArray = rows.iter().map(|row| row.0.map(|c| format!("cat-{c}"))).collect();
    let base: arrow::array::StringArray = rows.iter().map(|row| row.1.map(|b| format!("base-{b}"))).collect();
    let temperature: Float64Array = rows.iter().map(|row| row.2).collect();
    vec![Arc::new(catalyst), Arc::new(base), Arc::new(temperature)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_do_not_know_each_other((rows, seed) in any_rows()) {
        let columns = made(&rows);
        let predicted = model().predict(&columns).unwrap();
        prop_assert!(predicted.null_count() == 0 && predicted.values().iter().all(|v| v.is_finite()));

        // Permuted rows give permuted answers.
        let mut dice = Dice(seed);
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by_cached_key(|_| dice.roll());
        let order = arrow::array::UInt32Array::from(order);
        let shuffled: Vec<ArrayRef> = columns.iter().map(|a| arrow::compute::take(a, &order, None).unwrap()).collect();
        let expected = arrow::compute::take(&predicted, &order, None).unwrap();
        prop_assert_eq!(&model().predict(&shuffled).unwrap(), expected.as_primitive::<Float64Type>());

        // A constant is a column of it.
        let first: Vec<ArrayRef> = columns.iter().map(|a| a.slice(0, 1)).collect();
        let constant = model().answer(&first, 3).unwrap();
        let constant = constant.as_primitive::<Float64Type>();
        prop_assert!(constant.values().iter().all(|v| *v == predicted.value(0)));

        // Bytes are the model.
        let again = Model::from_bytes(&model().to_bytes()).unwrap();
        prop_assert_eq!(again.predict(&columns).unwrap(), predicted);
    }
}
