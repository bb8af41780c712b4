//! What a model tells whom: a grant opens the model, not the columns and rows that it was trained on.

use crate::lab;

/// Of a column that ana may not see, one that is masked for her, one that she sees, and of rows that she sees in part.
const TRAIN: &str = "CREATE MODEL lab.chemistry.told OPTIONS (target = 'yield_pct', time_budget_s = 2, function = 'predict_told', candidates = 'lab.chemistry.virtual_library') AS SELECT operator, scaffold_smiles, rtb, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 3000";
const OPERATORS: &str = "SELECT DISTINCT operator FROM lab.chemistry.reactions";
const FUNCTIONS: [&str; 11] = [
    "predict_told",
    "predict",
    "predict_interval",
    "feature_importance",
    "model_card",
    "partial_dependence",
    "explain_prediction",
    "model_leaderboard",
    "top_recommendations",
    "warning_list",
    "model_drift",
];

/// All of them at once: a policy that is read between two of them would be another one.
fn grant(lab: &lab::Server, functions: &[&str]) {
    let lines = functions
        .iter()
        .map(|function| format!("p, role:lab_analyst, chemistry, fn/{function}, execute, allow"));
    lab.policy(&lines.collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn a_grantee_hears_nothing_of_columns_that_he_may_not_see() {
    let lab = lab::own();
    lab.update("sam", TRAIN).await.unwrap();
    grant(&lab, &FUNCTIONS);
    let importance = "SELECT feature FROM feature_importance('lab.chemistry.told')";
    lab.until("ana", importance, Result::is_ok).await;
    let hers = lab.text("ana", importance).await;
    assert!(
        hers.contains("rtb") && !hers.contains("operator") && !hers.contains("scaffold"),
        "{hers}"
    );
    let his = lab.text("sam", importance).await;
    assert!(his.contains("operator") && his.contains("scaffold_smiles"), "{his}");

    let names: Vec<String> = {
        let text = lab.text("sam", OPERATORS).await;
        let cells = text.lines().skip(3).filter_map(|line| line.split('|').nth(1));
        cells
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    assert!(names.len() > 1, "{names:?}");
    let silent = |sql: &str, answer: String| {
        assert!(!answer.contains("operator"), "{sql}: {answer}");
        for name in &names {
            assert!(!answer.contains(name.as_str()), "{sql} tells {name}: {answer}");
        }
        answer
    };
    for sql in [
        "SELECT * FROM model_card('lab.chemistry.told')",
        "SELECT * FROM model_leaderboard('lab.chemistry.told')",
        "SELECT * FROM explain_prediction('lab.chemistry.told', 'x', 'CCO', 4)",
        "SELECT * FROM predict_interval('lab.chemistry.told', 'x', 'CCO', 4)",
        "SELECT * FROM model_drift('lab.chemistry.told', 'lab.chemistry.reactions')",
        "SELECT predict_told('x', 'CCO', 4)",
        "SELECT * FROM search_catalog('told')",
    ] {
        silent(sql, lab.text("ana", sql).await);
    }
    let card = lab.text("ana", "SELECT * FROM model_card('lab.chemistry.told')").await;
    // She sees some rows of the table: its name, no version; and not what the least and the greatest yield is.
    assert!(card.contains("lab.chemistry.reactions"), "{card}");
    assert!(
        !card.contains("reactions version") && !card.contains("target_range"),
        "{card}"
    );
    let card = lab.text("sam", "SELECT * FROM model_card('lab.chemistry.told')").await;
    assert!(
        card.contains("reactions version") && card.contains("target_range") && card.contains("operator"),
        "{card}"
    );
    for sql in [
        "SELECT predict_told('x')",
        "SELECT predict('lab.chemistry.told', 'x')",
        "SELECT predict_told(heat => 1, rtb => 2)",
        "SELECT predict('lab.chemistry.told', rtb => 2)",
        "SELECT * FROM explain_prediction('lab.chemistry.told', 'x')",
        "SELECT * FROM partial_dependence('lab.chemistry.told', 'colour')",
        "SELECT * FROM partial_dependence('lab.chemistry.told', 'rtb')",
        "SELECT * FROM top_recommendations('lab.chemistry.told', 3)",
        "SELECT * FROM warning_list('lab.chemistry.told', 3)",
        "SELECT predict_told(make_array(1), 'CCO', 4)",
    ] {
        silent(sql, lab.query("ana", sql).await.unwrap_err());
    }
    // A feature that she may not see and one that there is not read alike.
    let of = |feature: &str| format!("SELECT * FROM partial_dependence('lab.chemistry.told', '{feature}')");
    let hidden = lab.query("ana", &of("operator")).await.unwrap_err();
    let absent = lab.query("ana", &of("colour")).await.unwrap_err();
    assert_eq!(hidden, absent.replace("colour", "operator"));
    assert!(lab.query("sam", &of("operator")).await.is_ok());
}

#[tokio::test]
async fn a_model_of_a_hidden_columns_classes_is_none() {
    let lab = lab::own();
    lab.update(
        "sam",
        "CREATE MODEL lab.chemistry.who OPTIONS (target = 'operator', time_budget_s = 1, function = 'guess_who') AS SELECT rtb, operator FROM lab.chemistry.reactions WHERE \"row\" = 'C' AND \"column\" < 9",
    )
    .await
    .unwrap();
    grant(&lab, &["guess_who", "predict", "model_card", "model_leaderboard"]);
    lab.until(
        "ana",
        "SELECT * FROM model_leaderboard('lab.chemistry.yield_model')",
        Result::is_ok,
    )
    .await;
    for ask in ["SELECT predict('@', 3)", "SELECT * FROM model_card('@')"] {
        let of = |model: &str| ask.replace('@', model);
        let hidden = lab.query("ana", &of("lab.chemistry.who")).await.unwrap_err();
        let absent = lab.query("ana", &of("lab.chemistry.whx")).await.unwrap_err();
        assert_eq!(hidden, absent.replace("whx", "who"), "{ask}");
    }
    let hidden = lab.query("ana", "SELECT guess_who(3)").await.unwrap_err();
    let absent = lab.query("ana", "SELECT guess_whx(3)").await.unwrap_err();
    assert!(hidden.contains("guess_who") && absent.contains("guess_whx"), "{hidden}");
    assert!(lab.query("sam", "SELECT guess_who(3)").await.is_ok());
}

#[tokio::test]
async fn a_tag_set_after_training_closes_the_model() {
    let lab = lab::own();
    lab.update(
        "sam",
        "CREATE MODEL lab.chemistry.later OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_later') AS SELECT rtb, catalyst, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL AND \"row\" = 'C'",
    )
    .await
    .unwrap();
    let ask = "SELECT predict_later(1, 'x')";
    let card = "SELECT * FROM model_card('lab.chemistry.later')";
    for open in [ask, card] {
        lab.query("dee", open).await.unwrap();
    }
    lab.policy("p, role:data_scientist, *, tag:embargo=yes, execute, deny");
    lab.until_updated(
        "ada",
        "ALTER TABLE lab.chemistry.reactions ALTER COLUMN catalyst SET TAGS (embargo = 'yes')",
    )
    .await;
    let closed = |answer: &Result<String, String>| answer.as_ref().is_err_and(|error| error.contains("not found"));
    lab.until("dee", card, closed).await;
    assert!(lab.query("dee", ask).await.is_err());
    assert!(lab.query("sam", ask).await.is_ok());
}

#[tokio::test]
async fn what_is_left_out_of_a_list_tells_nobody_what_he_does_not_see() {
    let lab = lab::own();
    // All wells that were run are candidates again, and ana sees the released ones.
    let wells = "FROM lab.chemistry.reactions WHERE \"row\" = 'C' AND \"column\" < 9";
    lab.update(
        "sam",
        &format!("CREATE TABLE lab.chemistry.again AS SELECT plate_id, well, rtb {wells}"),
    )
    .await
    .unwrap();
    let train = format!(
        "CREATE MODEL lab.chemistry.once OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_once', group_by = 'none', candidates = 'lab.chemistry.again') AS SELECT plate_id, well, rtb, yield_pct {wells}"
    );
    lab.update("sam", &train).await.unwrap();
    grant(&lab, &["predict_once", "top_recommendations"]);
    let new = "SELECT count(*) FROM top_recommendations('lab.chemistry.once', 2000)";
    lab.until("ana", new, Result::is_ok).await;
    // A well without a measured yield is none that the model was trained on.
    let of = |which: &str| format!("SELECT count(*) {wells} AND {which}");
    let all = lab.number("sam", &of("true")).await;
    let measured = lab.number("sam", &of("yield_pct IS NOT NULL")).await;
    let released = lab
        .number("sam", &of("yield_pct IS NOT NULL AND status = 'released'"))
        .await;
    assert!(released < measured && all < 2_000, "{released} of {measured} of {all}");
    assert_eq!(lab.number("sam", new).await, all - measured);
    assert_eq!(lab.number("ana", new).await, all - released);
}

#[tokio::test]
async fn candidates_that_somebody_does_not_see_are_not_named() {
    let lab = lab::own();
    lab.update(
        "sam",
        "CREATE TABLE lab.chemistry.secret_plans AS SELECT DISTINCT rtb, alogp FROM lab.chemistry.virtual_library",
    )
    .await
    .unwrap();
    let train = "CREATE MODEL lab.chemistry.planned OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_planned', candidates = 'lab.chemistry.secret_plans') AS SELECT rtb, alogp, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 500";
    lab.update("sam", train).await.unwrap();
    lab.policy("p, role:lab_analyst, chemistry, lab/chemistry/secret_plans/**, select, deny");
    grant(&lab, &["predict_planned", "top_recommendations", "recommend_plate"]);
    let ask = "SELECT * FROM top_recommendations('lab.chemistry.planned', 3)";
    lab.until("ana", ask, |answer| {
        answer.as_ref().is_err_and(|error| error.contains("candidates"))
    })
    .await;
    for ask in [ask, "SELECT * FROM recommend_plate('lab.chemistry.planned', 8, 12)"] {
        let error = lab.query("ana", ask).await.unwrap_err();
        assert!(
            error.contains("candidates") && !error.contains("secret_plans"),
            "{error}"
        );
        assert!(lab.query("sam", ask).await.is_ok());
    }
    lab.update("ada", "DROP TABLE lab.chemistry.secret_plans")
        .await
        .unwrap();
    let gone = lab.query("sam", ask).await.unwrap_err();
    assert_eq!(gone, lab.query("ana", ask).await.unwrap_err());
}

#[tokio::test]
async fn a_model_whose_author_lost_its_rows_is_flagged() {
    let lab = lab::own();
    let train = "CREATE MODEL lab.chemistry.mine OPTIONS (target = 'yield_pct', time_budget_s = 1, function = 'predict_mine') AS SELECT rtb, catalyst_lot, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 500";
    lab.update("dee", train).await.unwrap();
    let sees = "SELECT CAST(author_sees_rows AS INT) FROM system.models WHERE model_name = 'mine'";
    assert_eq!(lab.number("ada", sees).await, 1);
    let card = "SELECT value FROM model_card('lab.chemistry.mine') WHERE property = 'author_sees_rows'";
    assert!(lab.text("sam", card).await.contains("true"));
    lab.policy("p, user:dee, *, lab/chemistry/*/catalyst_lot, select, deny");
    lab.until("ada", sees, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 0"))
    })
    .await;
    assert!(lab.text("sam", card).await.contains("false"));
}
