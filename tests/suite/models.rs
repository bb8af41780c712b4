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

#[tokio::test]
async fn any_model_is_asked_with_intervals_and_explained_by_those_who_may() {
    let lab = lab::own();
    lab.update("sam", TRAIN).await.unwrap();
    let same = "SELECT count(*) FROM lab.chemistry.virtual_library WHERE predict('lab.chemistry.small', catalyst, rtb, alogp) <> predict_small(catalyst, rtb, alogp)";
    assert_eq!(lab.number("sam", same).await, 0);
    // As a struct over columns, at the usual and at another coverage.
    let wider = "SELECT count(*) FROM (SELECT predict_interval('lab.chemistry.small', catalyst, rtb, alogp) AS usual, predict_interval('lab.chemistry.small', catalyst, rtb, alogp, 0.5) AS half FROM lab.chemistry.virtual_library) WHERE usual['coverage'] = 0.9 AND CASE WHEN usual['lower'] IS NULL THEN usual['upper'] IS NULL AND NOT usual['in_domain'] ELSE usual['upper'] - usual['lower'] > half['upper'] - half['lower'] AND usual['lower'] < usual['mean'] END";
    let all = lab
        .number("sam", "SELECT count(*) FROM lab.chemistry.virtual_library")
        .await;
    assert_eq!(lab.number("sam", wider).await, all);
    // As a table over literals; what training never saw is named.
    let row = lab
        .text(
            "sam",
            "SELECT * FROM predict_interval('lab.chemistry.small', 'never heard of', 4, -1.5, 0.8)",
        )
        .await;
    assert!(
        row.contains("catalyst") && row.contains("false") && row.contains("0.8"),
        "{row}"
    );
    let why = lab
        .text(
            "sam",
            "SELECT * FROM explain_prediction('lab.chemistry.small', 'Pd(OAc)2', 4, 1.5)",
        )
        .await;
    assert!(why.contains("rtb") && why.contains("effect"), "{why}");
    let curve = "SELECT count(DISTINCT prediction) FROM partial_dependence('lab.chemistry.small', 'rtb')";
    assert!(lab.number("sam", curve).await > 2);
    let batch = "SELECT count(*) FROM top_recommendations('lab.chemistry.small', 8, 'bayes')";
    assert_eq!(lab.number("sam", batch).await, 8);
    let timed =
        "SELECT count(*) FROM model_leaderboard('lab.chemistry.small') WHERE train_s >= 0 AND fold_scores <> ''";
    assert!(lab.number("sam", timed).await >= 2);

    for (sql, says) in [
        ("SELECT predict('lab.chemistry.small', 'x')", "missing"),
        (
            "SELECT predict(catalyst) FROM lab.chemistry.virtual_library",
            "text literal",
        ),
        (
            "SELECT predict_interval('lab.chemistry.small', 'x', 1, 2, 1.5)",
            "coverage",
        ),
        (
            "SELECT predict_proba('lab.chemistry.small', 'yes', 'x', 1, 2)",
            "predicts a number",
        ),
        (
            "SELECT * FROM partial_dependence('lab.chemistry.small', 'colour')",
            "rtb",
        ),
        (
            "SELECT * FROM top_recommendations('lab.chemistry.small', 5, 'luck')",
            "exploit",
        ),
        ("SELECT * FROM warning_list('lab.chemistry.small', 5, 'bayes')", "bayes"),
    ] {
        let error = lab.query("sam", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    // Who has no grant hears of the model what he hears of one that does not exist.
    for ask in [
        "SELECT predict('@', 'x', 1, 2)",
        "SELECT predict_interval('@', 'x', 1, 2)",
        "SELECT * FROM predict_interval('@', 'x', 1, 2)",
        "SELECT * FROM explain_prediction('@', 'x', 1, 2)",
        "SELECT * FROM partial_dependence('@', 'rtb')",
    ] {
        let of = |model: &str| ask.replace('@', model);
        let hidden = lab.query("guest", &of("lab.chemistry.small")).await.unwrap_err();
        let absent = lab.query("guest", &of("lab.chemistry.smalx")).await.unwrap_err();
        assert_eq!(hidden, absent.replace("smalx", "small"), "{ask}");
        assert!(hidden.contains("not found"), "{hidden}");
    }
}

#[tokio::test]
async fn classes_are_told_by_name_and_probability() {
    let lab = lab::own();
    let train = "CREATE MODEL lab.chemistry.good OPTIONS (target = 'good', time_budget_s = 5, function = 'is_good') AS SELECT catalyst, rtb, alogp, CASE WHEN yield_pct > 50 THEN 'good' ELSE 'poor' END AS good FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 2000";
    lab.update("sam", train).await.unwrap();
    let named = "SELECT count(DISTINCT is_good(catalyst, rtb, alogp)) FROM lab.chemistry.virtual_library";
    assert!((1..=2).contains(&lab.number("sam", named).await));
    let sums = "SELECT count(*) FROM lab.chemistry.virtual_library WHERE abs(predict_proba('lab.chemistry.good', 'good', catalyst, rtb, alogp) + predict_proba('lab.chemistry.good', 'poor', catalyst, rtb, alogp) - 1) > 1e-9";
    assert_eq!(lab.number("sam", sums).await, 0);
    let card = lab.text("sam", "SELECT * FROM model_card('lab.chemistry.good')").await;
    assert!(
        card.contains("binary") && card.contains("auc") && card.contains("good, poor"),
        "{card}"
    );
    for (sql, says) in [
        (
            "SELECT predict_proba('lab.chemistry.good', 'fine', 'x', 1, 2)",
            "good, poor",
        ),
        (
            "SELECT predict_interval('lab.chemistry.good', 'x', 1, 2)",
            "predict_proba",
        ),
    ] {
        let error = lab.query("sam", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn an_older_version_is_brought_back_as_a_new_one() {
    let lab = lab::own();
    lab.update("sam", TRAIN).await.unwrap();
    let ask = "SELECT sum(predict_small(catalyst, rtb, alogp)) FROM lab.chemistry.virtual_library";
    let first = lab.text("sam", ask).await;
    let other = TRAIN
        .replace("CREATE MODEL", "CREATE OR REPLACE MODEL")
        .replace("LIMIT 2000", "LIMIT 1500");
    lab.update("sam", &other).await.unwrap();
    assert_ne!(lab.text("sam", ask).await, first);
    for who in ["ana", "guest"] {
        assert!(
            lab.update(who, "ALTER MODEL lab.chemistry.small SET VERSION 1")
                .await
                .is_err(),
            "{who}"
        );
    }
    lab.update("sam", "ALTER MODEL lab.chemistry.small SET VERSION 1")
        .await
        .unwrap();
    assert_eq!(lab.text("sam", ask).await, first);
    let version = "SELECT version FROM system.models WHERE model_name = 'small'";
    assert_eq!(lab.number("ada", version).await, 3);
    for (sql, says) in [
        ("ALTER MODEL lab.chemistry.small SET VERSION 9", "no version 9"),
        ("ALTER MODEL lab.chemistry.nothing SET VERSION 1", "not found"),
        ("ALTER MODEL lab.chemistry.small SET SPEED 1", "SET VERSION"),
        (
            "ALTER MODEL lab.chemistry.small SET FUNCTION 'abs'",
            "function of the server",
        ),
    ] {
        let error = lab.update("sam", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_function_asks_another_model_from_one_moment_to_the_next() {
    let lab = lab::own();
    lab.update("sam", TRAIN).await.unwrap();
    let other = TRAIN
        .replace("lab.chemistry.small", "lab.chemistry.other")
        .replace("predict_small", "predict_other")
        .replace("LIMIT 2000", "LIMIT 900");
    lab.update("sam", &other).await.unwrap();
    let ask = |function: &str| {
        format!("SELECT sum({function}(catalyst, rtb, alogp)) AS s FROM lab.chemistry.virtual_library")
    };
    let (first, second) = (
        lab.text("sam", &ask("predict_small")).await,
        lab.text("sam", &ask("predict_other")).await,
    );
    assert_ne!(first, second);
    let take = "ALTER MODEL lab.chemistry.other SET FUNCTION 'predict_small'";
    for who in ["ana", "guest"] {
        assert!(lab.update(who, take).await.unwrap_err().contains("not found"), "{who}");
    }
    // Who may train the one but not the other takes nothing.
    let assay = "SELECT count(*) FROM lab.assay.ic50";
    assert!(lab.query("dee", assay).await.is_ok());
    lab.policy("p, user:dee, *, model/lab/chemistry/small, train, deny\np, user:dee, *, lab/assay/**, select, deny");
    lab.until("dee", assay, Result::is_err).await;
    lab.update("sam", take).await.unwrap();
    assert_eq!(lab.text("sam", &ask("predict_small")).await, second);
    assert!(lab.query("sam", &ask("predict_other")).await.is_err());
    let functions = "SELECT count(*) FROM system.models WHERE function = 'predict_small' AND model_name = 'other'";
    assert_eq!(lab.number("ada", functions).await, 1);
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM system.models WHERE function = 'predict_small'"
        )
        .await,
        1
    );
    // Made anew it keeps it; the first one does not get it back by being made anew.
    let again = TRAIN.replace("CREATE MODEL", "CREATE OR REPLACE MODEL");
    assert!(
        lab.update("sam", &again)
            .await
            .unwrap_err()
            .contains("answers for another model")
    );
    lab.update("sam", "ALTER MODEL lab.chemistry.small SET FUNCTION 'predict_small'")
        .await
        .unwrap();
    assert_eq!(lab.text("sam", &ask("predict_small")).await, first);
    let refused = lab
        .update("dee", "ALTER MODEL lab.chemistry.other SET FUNCTION 'predict_small'")
        .await;
    assert!(refused.unwrap_err().contains("answers for another model"));
}

#[tokio::test]
async fn any_model_is_asked_by_name_with_more_columns_than_it_needs() {
    let lab = lab::own();
    lab.update("sam", TRAIN).await.unwrap();
    for named in [
        "predict('lab.chemistry.small', rtb => rtb, base => base, catalyst => catalyst, ALOGP => alogp)",
        "predict('lab.chemistry.small', catalyst, alogp => alogp, rtb => rtb)",
        "predict_small(rtb => rtb, base => base, catalyst => catalyst, alogp => alogp)",
        "predict_interval('lab.chemistry.small', rtb => rtb, catalyst => catalyst, coverage => 0.5, alogp => alogp)['mean']",
    ] {
        let sql = format!(
            "SELECT count(*) FROM lab.chemistry.virtual_library WHERE abs({named} - predict_small(catalyst, rtb, alogp)) > 1e-9"
        );
        assert_eq!(lab.number("sam", &sql).await, 0, "{named}");
    }
    let row = lab
        .text("sam", "SELECT * FROM predict_interval('lab.chemistry.small', alogp => 1.5, catalyst => 'x', rtb => 4, coverage => 0.8)")
        .await;
    assert!(row.contains("0.8"), "{row}");
    for (sql, says) in [
        (
            "SELECT predict('lab.chemistry.small', alogp => 1)",
            "missing: catalyst, rtb",
        ),
        (
            "SELECT predict_small(alogp => 1, colour => 'red')",
            "missing: catalyst, rtb",
        ),
        (
            "SELECT predict('lab.chemistry.small', 'x', catalyst => 'y', rtb => 1, alogp => 2)",
            "given twice",
        ),
        ("SELECT predict('lab.chemistry.smell', rtb => 1)", "not found"),
        ("SELECT predict(rtb => 1)", "text literal"),
        (
            "SELECT * FROM explain_prediction('lab.chemistry.small', rtb => 1)",
            "missing: catalyst, alogp",
        ),
    ] {
        let error = lab.query("sam", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    let hidden = lab
        .query("guest", "SELECT predict('lab.chemistry.small', rtb => 1)")
        .await
        .unwrap_err();
    assert!(hidden.contains("not found"), "{hidden}");
}

#[tokio::test]
async fn candidates_of_classes_are_ordered_by_the_wanted_one() {
    let lab = lab::own();
    let train = "CREATE MODEL lab.chemistry.good OPTIONS (target = 'good', time_budget_s = 2, function = 'is_good', candidates = 'lab.chemistry.virtual_library') AS SELECT catalyst, rtb, alogp, CASE WHEN yield_pct > 50 THEN 'good' ELSE 'poor' END AS good FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL LIMIT 2000";
    lab.update("sam", train).await.unwrap();
    let unsaid = lab
        .query("sam", "SELECT * FROM top_recommendations('lab.chemistry.good', 5)")
        .await
        .unwrap_err();
    assert!(unsaid.contains("class=") && unsaid.contains("good, poor"), "{unsaid}");
    let list = |class: &str| {
        format!(
            "SELECT count(*) FROM top_recommendations('lab.chemistry.good', 5, 'exploit', 'class={class}') WHERE lower IS NULL AND upper IS NULL AND abs(prediction - predict_proba('lab.chemistry.good', '{class}', catalyst, rtb, alogp)) < 1e-9"
        )
    };
    for class in ["good", "poor"] {
        assert_eq!(lab.number("sam", &list(class)).await, 5, "{class}");
    }
    let plate = "SELECT count(*) FROM recommend_plate('lab.chemistry.good', 8, 12, 'class=good')";
    assert_eq!(lab.number("sam", plate).await, 96);
    for (sql, says) in [
        (
            "SELECT * FROM top_recommendations('lab.chemistry.good', 5, 'class=fine')",
            "good, poor",
        ),
        (
            "SELECT * FROM top_recommendations('lab.chemistry.good', 5, 'speed=9')",
            "no option",
        ),
        (
            "SELECT * FROM recommend_plate('lab.chemistry.good', 8, 12)",
            "good, poor",
        ),
    ] {
        let error = lab.query("sam", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn what_a_hurried_training_had_the_time_for_is_replayed_to_the_byte() {
    let lab = lab::own();
    let train = "CREATE MODEL lab.chemistry.hurried OPTIONS (target = 'yield_pct', time_budget_s = 1) AS SELECT catalyst, base, solvent, rtb, alogp, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL ORDER BY plate_id, well LIMIT 3000";
    lab.update("sam", train).await.unwrap();
    let late = "SELECT count(*) FROM model_leaderboard('lab.chemistry.hurried') WHERE note LIKE '%time budget%'";
    assert!(lab.number("sam", late).await > 0);
    let again = train
        .replace("CREATE MODEL", "CREATE OR REPLACE MODEL")
        .replace("time_budget_s = 1", "time_budget_s = 1, replay = 1");
    lab.update("sam", &again).await.unwrap();
    let bytes = |version: u64| {
        let path = lab
            .dir
            .join(format!("_labhouse/models/chemistry/hurried/{version:020}.json"));
        let object = std::fs::read(path).unwrap();
        let line = object.iter().position(|byte| *byte == b'\n').unwrap();
        object[line..].to_vec()
    };
    assert!(bytes(1) == bytes(2));
    let none = again.replace("replay = 1", "replay = 9");
    assert!(lab.update("sam", &none).await.unwrap_err().contains("no such version"));
}

#[tokio::test]
async fn what_was_planted_in_the_demo_counts_most() {
    let lab = lab::own();
    // Two columns of each plate and more time than they take: which models are tried must not hang on the machine's load.
    let train = "CREATE MODEL lab.chemistry.properties OPTIONS (target = 'yield_pct', time_budget_s = 120) AS SELECT alogp, full_mwt, rtb, psa, hba, hbd, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL AND status <> 'rejected' AND well LIKE '%7'";
    lab.update("sam", train).await.unwrap();
    for method in ["permutation", "shap"] {
        let top = format!(
            "SELECT count(*) FROM (SELECT feature FROM feature_importance('lab.chemistry.properties', '{method}') ORDER BY importance DESC LIMIT 3) WHERE feature IN ('alogp', 'full_mwt', 'rtb')"
        );
        assert_eq!(lab.number("sam", &top).await, 3, "{method}");
    }
    let adds = "SELECT count(*) FROM (SELECT max(prediction) AS p, sum(share) AS s, max(average) AS a FROM explain_prediction('lab.chemistry.properties', 2.5, 250, 3, 60, 3, 1)) WHERE abs(a + s - p) < 1e-6";
    assert_eq!(lab.number("sam", adds).await, 1);
    let wrong = lab
        .query(
            "sam",
            "SELECT * FROM feature_importance('lab.chemistry.properties', 'luck')",
        )
        .await;
    assert!(wrong.unwrap_err().contains("shap"));
}

#[tokio::test]
async fn molecules_are_described_in_sql() {
    let lab = lab::shared();
    let row = lab
        .text("sam", "SELECT smiles_full_mwt('CCO') AS w, smiles_hbd('CCO') AS d, smiles_aromatic_rings('c1ccncc1') AS r, smiles_similarity('CCO', 'CCO') AS s, smiles_alogp('no molecule') IS NULL AS nothing")
        .await;
    assert!(row.contains("46.069") && row.contains("true"), "{row}");
    assert!(lab.query("sam", "SELECT smiles_alogp()").await.is_err());
}

#[tokio::test]
async fn drift_and_plate_effects_are_read_as_the_caller() {
    let lab = lab::own();
    // On all rows: the first of them are of a few plates, and the rest has moved away from those.
    lab.update("sam", &TRAIN.replace(" LIMIT 2000", "")).await.unwrap();
    let drift = lab
        .text(
            "sam",
            "SELECT * FROM model_drift('lab.chemistry.small', 'lab.chemistry.reactions')",
        )
        .await;
    assert!(
        drift.contains("rtb") && drift.contains("stable") && !drift.contains("moved"),
        "{drift}"
    );
    let parts = "SELECT count(DISTINCT part) FROM plate_effects('lab.chemistry.plate_readings', 'yield_pct')";
    assert_eq!(lab.number("sam", parts).await, 5);
    // The demo's plates lose yield at the edge.
    let edge = "SELECT count(*) FROM plate_effects('lab.chemistry.plate_readings', 'yield_pct') WHERE part = 'edge' AND effect < 0";
    let plates = "SELECT count(DISTINCT plate) FROM plate_effects('lab.chemistry.plate_readings', 'yield_pct')";
    assert!(2 * lab.number("sam", edge).await > lab.number("sam", plates).await);
    for (who, sql, says) in [
        (
            "sam",
            "SELECT * FROM plate_effects('lab.chemistry.plate_readings', 'colour')",
            "colour",
        ),
        (
            "sam",
            "SELECT * FROM plate_effects('lab.chemistry.reactions')",
            "yield_pct",
        ),
        (
            "sam",
            "SELECT * FROM plate_effects('lab.chemistry.reagent_lots', 'x')",
            "well",
        ),
        ("sam", "SELECT * FROM model_drift('lab.chemistry.small')", "table"),
        (
            "guest",
            "SELECT * FROM plate_effects('lab.chemistry.plate_readings', 'yield_pct')",
            "not found",
        ),
        (
            "guest",
            "SELECT * FROM model_drift('lab.chemistry.small', 'lab.chemistry.reactions')",
            "not found",
        ),
    ] {
        let error = lab.query(who, sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

const ENDLESS: &str = "CREATE MODEL lab.chemistry.endless OPTIONS (target = 'yield_pct', time_budget_s = 3000) AS SELECT catalyst, base, rtb, alogp, full_mwt, psa, yield_pct FROM lab.chemistry.reactions";

#[tokio::test(flavor = "multi_thread")]
async fn a_training_is_seen_by_its_author_and_ended_by_cancel_query() {
    let lab = lab::own();
    let mut client = lab.client("sam").await;
    let training = tokio::spawn(async move { client.execute_update(ENDLESS.to_owned(), None).await });
    let seen = "SELECT state || ' ' || CAST(steps > 1 AS VARCHAR) FROM system.training WHERE model_name = 'endless' AND author = 'sam' AND budget_s = 3000 AND duration_ms > 0";
    lab.until("sam", seen, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("running true"))
    })
    .await;
    // Another person's training is nobody's business, but the administrator's.
    let all = "SELECT count(*) FROM system.training WHERE model_name = 'endless'";
    assert_eq!(lab.number("ada", all).await, 1);
    for who in ["ana", "dee", "guest"] {
        assert!(lab.query(who, all).await.unwrap_err().contains("not found"), "{who}");
    }
    let id = lab
        .text("sam", "SELECT id FROM system.training WHERE model_name = 'endless'")
        .await;
    let id: String = id
        .chars()
        .filter(|c| c.is_ascii_hexdigit() || *c == '-')
        .collect::<String>()
        .trim_matches('-')
        .to_owned();
    let id = &id[id.len() - 36..];
    let running = format!("SELECT count(*) FROM system.queries WHERE state = 'running' AND id = '{id}'");
    assert_eq!(lab.number("ada", &running).await, 1, "{id}");
    assert!(lab.query("dee", &format!("CANCEL QUERY '{id}'")).await.is_err());
    lab.query("sam", &format!("CANCEL QUERY '{id}'")).await.unwrap();
    assert!(training.await.unwrap().is_err());
    lab.until(
        "sam",
        "SELECT state FROM system.training WHERE model_name = 'endless'",
        |answer| answer.as_ref().is_ok_and(|text| text.contains("cancelled")),
    )
    .await;
    let none = "SELECT count(*) FROM system.models WHERE model_name = 'endless'";
    assert_eq!(lab.number("ada", none).await, 0);
    // The place is free again, and what is trained now says so.
    lab.update("sam", TRAIN).await.unwrap();
    let trained = "SELECT count(*) FROM system.training WHERE model_name = 'small' AND state = 'trained' AND steps > 2";
    assert_eq!(lab.number("sam", trained).await, 1);
}

#[tokio::test]
async fn a_model_trained_elsewhere_is_imported_from_the_landing_of_its_schema() {
    let lab = lab::own();
    let file = |name: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("udfs/tests/onnx");
        std::fs::read(folder.join(format!("{name}.onnx"))).unwrap()
    };
    lab.land("chemistry/_models/table.onnx", file("table_boosted"));
    lab.land("chemistry/_models/svm.onnx", file("refused_svm"));
    lab.land("chemistry/_models/text.onnx", b"yield,secret\n1,2\n");
    lab.land("preclinical/_models/table.onnx", file("table_boosted"));
    let import = "CREATE MODEL lab.chemistry.brought OPTIONS (target = 'yield_pct', function = 'predict_brought') FROM 'landing/chemistry/_models/table.onnx'";
    for who in ["ana", "guest"] {
        assert!(lab.update(who, import).await.is_err(), "{who}");
    }
    lab.update("sam", import).await.unwrap();
    assert!(lab.update("sam", import).await.unwrap_err().contains("OR REPLACE"));
    // By position and by name, an unknown base and a missing number among the rows.
    let ask = "SELECT count(DISTINCT predict_brought(base, heat, logp, rtb)) FROM (VALUES ('K2CO3', 40, 1.5, 1.0), ('Cs2CO3', 40, 1.5, 1.0), ('chalk', 40, CAST(NULL AS DOUBLE), 1.0)) AS t (base, heat, logp, rtb)";
    assert_eq!(lab.number("sam", ask).await, 3);
    let same = "SELECT count(*) FROM (SELECT predict_brought(rtb => 1.0, heat => 40, base => 'K2CO3', logp => 0.1) AS a, predict('lab.chemistry.brought', 'K2CO3', 40, 0.1, 1.0) AS b) WHERE a = b";
    assert_eq!(lab.number("sam", same).await, 1);
    let card = lab
        .text("sam", "SELECT * FROM model_card('lab.chemistry.brought')")
        .await;
    assert!(card.contains("skl2onnx") && card.contains("OneHotEncoder"), "{card}");
    for (sql, says) in [
        (
            "SELECT * FROM predict_interval('lab.chemistry.brought', 'K2CO3', 40, 0.1, 1.0)",
            "imported",
        ),
        ("SELECT predict_brought('K2CO3')", "missing: heat, logp, rtb"),
    ] {
        let error = lab.query("sam", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    for (from, says) in [
        (
            "OPTIONS (features = 'a, b') FROM 'landing/chemistry/_models/table.onnx'",
            "2 features",
        ),
        (
            "OPTIONS (time_budget_s = 5) FROM 'landing/chemistry/_models/table.onnx'",
            "no option time_budget_s",
        ),
        ("FROM 'landing/chemistry/_models/svm.onnx'", "SVMRegressor"),
        ("FROM 'landing/chemistry/_models/text.onnx'", "no ONNX model"),
        ("FROM 'landing/chemistry/_models/nothing.onnx'", "there is no file"),
        (
            "FROM 'landing/preclinical/_models/table.onnx'",
            "landing/chemistry/ only",
        ),
        (
            "FROM 'landing/chemistry/../preclinical/_models/table.onnx'",
            "landing/chemistry/ only",
        ),
        ("FROM '/etc/passwd'", "landing/chemistry/ only"),
        (
            "FROM 's3://elsewhere/landing/chemistry/m.onnx'",
            "landing/chemistry/ only",
        ),
    ] {
        let sql = format!("CREATE MODEL lab.chemistry.other {from}");
        let error = lab.update("sam", &sql).await.unwrap_err();
        assert!(error.contains(says) && !error.contains("secret"), "{sql}: {error}");
    }
    lab.update("ada", "DROP MODEL lab.chemistry.brought").await.unwrap();
    assert!(lab.query("sam", ask).await.is_err());
}

#[tokio::test]
async fn a_model_made_again_from_its_record_is_the_same_byte_for_byte() {
    let lab = lab::own();
    let train = "CREATE MODEL lab.chemistry.twice OPTIONS (target = 'yield_pct', time_budget_s = 900) AS SELECT catalyst, rtb, alogp, yield_pct FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL ORDER BY plate_id, well LIMIT 120";
    lab.update("sam", train).await.unwrap();
    let stored = |version: u64| {
        let path = lab
            .dir
            .join(format!("_labhouse/models/chemistry/twice/{version:020}.json"));
        let object = std::fs::read(path).unwrap();
        let line = object.iter().position(|byte| *byte == b'\n').unwrap();
        let record: serde_json::Value = serde_json::from_slice(&object[..line]).unwrap();
        (record, object[line..].to_vec())
    };
    let (record, first) = stored(1);
    let again = record["sql"].as_str().unwrap();
    assert_eq!(again, train);
    lab.update("sam", &again.replace("CREATE MODEL", "CREATE OR REPLACE MODEL"))
        .await
        .unwrap();
    let (_, second) = stored(2);
    assert!(first == second, "{} and {} bytes", first.len(), second.len());
}

/// The bar: 8 clients' 99th percentile while a model trains is at most twice what it is without.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: cargo nextest run --workspace --run-ignored all --no-capture -E 'test(eight_clients_hardly_notice)'"]
async fn eight_clients_hardly_notice_a_training() {
    let lab = lab::own();
    let without = percentile(&lab, 15).await;
    let mut client = lab.client("sam").await;
    let training = tokio::spawn(async move { client.execute_update(ENDLESS.to_owned(), None).await });
    lab.until(
        "ada",
        "SELECT count(*) AS n FROM system.training WHERE state = 'running' AND steps > 1",
        |answer| answer.as_ref().is_ok_and(|text| text.contains("| 1")),
    )
    .await;
    let with = percentile(&lab, 15).await;
    let state = lab
        .text(
            "ada",
            "SELECT state, steps FROM system.training WHERE model_name = 'endless'",
        )
        .await;
    training.abort();
    println!(
        "p50 and p99 of 8 clients, without training {:.1} and {:.1} ms, with {:.1} and {:.1} ms: {:.2} times",
        without.0,
        without.1,
        with.0,
        with.1,
        with.1 / without.1
    );
    assert!(state.contains("running"), "the training ended too soon: {state}");
    assert!(with.1 <= 2.0 * without.1);
}

/// Median and 99th percentile in milliseconds of what 8 clients ask for some seconds, one statement after the other each.
async fn percentile(lab: &lab::Server, seconds: u64) -> (f64, f64) {
    let mut asking = Vec::new();
    for number in 0..8_u64 {
        let mut client = lab.client("sam").await;
        asking.push(tokio::spawn(async move {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
            let mut took = Vec::new();
            for round in 0_u64.. {
                let begun = std::time::Instant::now();
                if begun > until {
                    break;
                }
                // A statement that was not asked before, so that no kept result answers it.
                let limit = 1_000 * number + round;
                let sql = format!("SELECT catalyst, count(*), avg(yield_pct) FROM lab.chemistry.reactions WHERE rtb < {limit} GROUP BY 1");
                lab::rows(&mut client, &sql).await.unwrap();
                took.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            took
        }));
    }
    let mut all = Vec::new();
    for task in asking {
        all.extend(task.await.unwrap());
    }
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    println!("{} statements", all.len());
    (at(0.5), at(0.99))
}
