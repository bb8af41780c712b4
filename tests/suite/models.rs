//! Models in SQL: trained on what their author sees, asked by whom a grant names.

use crate::lab;

const TRAIN: &str = "CREATE MODEL lab.chemistry.small OPTIONS (target = 'yield_pct', time_budget_s = 2, function = 'predict_small', candidates = 'lab.chemistry.virtual_library') AS SELECT catalyst, rtb, alogp, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 2000";

#[tokio::test]
async fn a_model_is_made_asked_replaced_and_dropped() {
    let lab = lab::own();
    assert_eq!(lab.update("sam", TRAIN).await.unwrap(), 2000);
    assert!(lab.update("sam", TRAIN).await.unwrap_err().contains("OR REPLACE"));
    let ask = "SELECT count(predict_small(catalyst, rtb, alogp)) FROM lab.chemistry.virtual_library";
    assert!(lab.number("sam", ask).await > 0);
    let named = "SELECT count(*) FROM lab.chemistry.virtual_library WHERE abs(predict_small(alogp => alogp, catalyst => catalyst, rtb => rtb) - predict_small(catalyst, rtb, alogp)) > 1e-9";
    assert_eq!(lab.number("sam", named).await, 0);
    for table in ["model_leaderboard", "feature_importance", "model_card"] {
        assert!(
            !lab.query("sam", &format!("SELECT * FROM {table}('lab.chemistry.small')"))
                .await
                .unwrap()
                .is_empty()
        );
    }
    let card = lab.text("sam", "SELECT * FROM model_card('lab.chemistry.small')").await;
    assert!(
        card.contains("sam") && card.contains("lab.chemistry.reactions version"),
        "{card}"
    );
    lab.update("sam", &TRAIN.replace("CREATE MODEL", "CREATE OR REPLACE MODEL"))
        .await
        .unwrap();
    assert_eq!(
        lab.number("ada", "SELECT version FROM system.models WHERE model_name = 'small'")
            .await,
        2
    );
    lab.update("ada", "DROP MODEL lab.chemistry.small").await.unwrap();
    assert!(lab.query("sam", ask).await.is_err());
}

#[tokio::test]
async fn training_sees_what_its_author_sees_and_needs_a_grant() {
    let lab = lab::own();
    for who in ["ana", "guest"] {
        assert!(lab.update(who, TRAIN).await.is_err(), "{who}");
    }
    let operators = TRAIN.replace("catalyst,", "operator,");
    assert!(lab.update("ana", &operators).await.is_err());
    // A function that answers for one model cannot be taken over by another.
    let stolen = TRAIN.replace("predict_small", "predict_yield");
    assert!(
        lab.update("sam", &stolen)
            .await
            .unwrap_err()
            .contains("answers for another model")
    );
    let shadow = TRAIN.replace("predict_small", "abs");
    assert!(
        lab.update("sam", &shadow)
            .await
            .unwrap_err()
            .contains("function of the server")
    );
}

#[tokio::test]
async fn wrong_statements_say_what_is_wrong() {
    let lab = lab::shared();
    for (sql, says) in [
        ("CREATE MODEL lab.chemistry.m AS SELECT 1 AS a", "target"),
        (
            "CREATE MODEL lab.chemistry.m OPTIONS (target = 'nope') AS SELECT rtb, yield_pct FROM lab.chemistry.reactions LIMIT 50",
            "nope",
        ),
        (
            "CREATE MODEL lab.chemistry.m OPTIONS (target = 'a', speed = 9) AS SELECT 1 AS a",
            "speed",
        ),
        (
            "CREATE MODEL lab.chemistry.m OPTIONS (target = 'a', time_budget_s = 0) AS SELECT 1 AS a",
            "time_budget_s",
        ),
        (
            "CREATE MODEL lab.chemistry.m OPTIONS (target = 'a', candidates = 'lab.chemistry.nothing') AS SELECT 1 AS a",
            "candidates",
        ),
        (
            "CREATE MODEL lab.chemistry.m OPTIONS (target = 'yield_pct') AS SELECT rtb, yield_pct FROM lab.chemistry.reactions WHERE false",
            "rows",
        ),
    ] {
        let error = lab.update("ada", sql).await.unwrap_err();
        assert!(error.to_lowercase().contains(says), "{sql}: {error}");
    }
    let few = lab.query("sam", "SELECT predict_yield('x')").await.unwrap_err();
    assert!(
        few.contains("scaffold") || few.contains("rtb"),
        "the missing features are named: {few}"
    );
}
