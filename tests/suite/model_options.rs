//! What options of models and forecasts promise: the same training again, less instead of more, a period.

use crate::lab;

const TRAIN: &str = "CREATE MODEL lab.chemistry.small OPTIONS (target = 'yield_pct', time_budget_s = 2, candidates = 'lab.chemistry.virtual_library') AS SELECT catalyst, rtb, alogp, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 2000";

#[tokio::test]
async fn a_training_is_replayed_on_the_rows_that_it_had_and_on_no_others() {
    let lab = lab::own();
    let rows = "SELECT catalyst, rtb, alogp, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL";
    lab.update("ada", &format!("CREATE TABLE lab.chemistry.trials AS {rows} LIMIT 600"))
        .await
        .unwrap();
    let train = "CREATE OR REPLACE MODEL lab.chemistry.again OPTIONS (target = 'yield_pct', time_budget_s = 1) AS SELECT catalyst, rtb, alogp, yield_pct FROM lab.chemistry.trials";
    lab.update("ada", train).await.unwrap();
    lab.update("ada", &format!("INSERT INTO lab.chemistry.trials {rows} LIMIT 20"))
        .await
        .unwrap();
    let replay = train.replace("time_budget_s = 1", "time_budget_s = 1, replay = 1");
    let changed = lab.update("ada", &replay).await.unwrap_err();
    assert!(changed.contains("lab.chemistry.trials has changed since"), "{changed}");
    let (_, as_it_was) = changed.split_once("FROM lab.chemistry.trials ").unwrap();
    let version: String = as_it_was
        .trim_start_matches("FOR VERSION AS OF ")
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let then = format!("{replay} FOR VERSION AS OF {version}");
    assert_eq!(lab.update("ada", &then).await.unwrap(), 600);
    let bytes = |version: u64| {
        let path = lab
            .dir
            .join(format!("_labhouse/models/chemistry/again/{version:020}.json"));
        let object = std::fs::read(path).unwrap();
        let line = object.iter().position(|byte| *byte == b'\n').unwrap();
        object[line..].to_vec()
    };
    assert!(bytes(1) == bytes(2));
    // On the same version, but with another option or other rows of it: that is another training.
    for (other, differs) in [
        (
            then.replace("time_budget_s = 1", "seed = 7, time_budget_s = 1"),
            "the seed",
        ),
        (format!("{then} WHERE rtb > 3"), "the number of rows"),
    ] {
        let refused = lab.update("ada", &other).await.unwrap_err();
        assert!(
            refused.contains("nothing was stored") && refused.contains(differs),
            "{refused}"
        );
    }
    let other = replay.replace("lab.chemistry.trials", "lab.chemistry.reactions");
    let other = lab.update("ada", &other).await.unwrap_err();
    assert!(
        other.contains("does not read the tables") && !other.contains("trials"),
        "{other}"
    );
}

#[tokio::test]
async fn the_goal_turns_recommendations_and_warnings_round() {
    let lab = lab::own();
    let least = TRAIN.replace("time_budget_s = 2", "time_budget_s = 2, goal = 'min'");
    lab.update("sam", &least).await.unwrap();
    let mean = |of: &str| format!("SELECT CAST(1000 * avg(prediction) AS BIGINT) FROM {of}");
    let best = lab
        .number("sam", &mean("top_recommendations('lab.chemistry.small', 10)"))
        .await;
    let batch = lab
        .number("sam", &mean("top_recommendations('lab.chemistry.small', 10, 'bayes')"))
        .await;
    let warned = lab
        .number("sam", &mean("warning_list('lab.chemistry.small', 10)"))
        .await;
    assert!(best < warned && batch < warned, "{best} {batch} {warned}");
    let card = "SELECT count(*) FROM model_card('lab.chemistry.small') WHERE property = 'goal' AND value = 'min'";
    assert_eq!(lab.number("sam", card).await, 1);
    let wrong = TRAIN
        .replace("time_budget_s = 2", "goal = 'least'")
        .replace("small", "other");
    assert!(lab.update("sam", &wrong).await.unwrap_err().contains("'max' or 'min'"));
    let class = TRAIN
        .replace("time_budget_s = 2", "goal = 'min'")
        .replace("small", "other")
        .replace("'yield_pct'", "'catalyst'");
    assert!(lab.update("sam", &class).await.unwrap_err().contains("class="));
}

#[tokio::test]
async fn a_forecast_says_its_period_and_takes_one() {
    let lab = lab::own();
    let period = |period: &str| {
        format!(
            "SELECT min(period) FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 3, NULL, 'sum', 0.9{period})"
        )
    };
    assert!(lab.text("sam", &period("")).await.contains("day"));
    assert!(lab.text("sam", &period(", 'week'")).await.contains("week"));
    let wrong = lab.query("sam", &period(", 'fortnight'")).await.unwrap_err();
    assert!(wrong.contains("'fortnight' is no period"), "{wrong}");
}
