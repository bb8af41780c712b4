//! The demo's planted alerts.

use crate::lab;

#[tokio::test]
async fn the_demo_says_what_is_wrong_to_whoever_sees_it() {
    let lab = lab::own();
    for alert in ["low_yield", "instrument_clash", "runs_out"] {
        super::until_state(&lab, alert, "firing").await;
    }
    let told = |alert: &str, who: &str| -> Vec<String> {
        let outbox = std::fs::read_dir(lab.dir.join("_labhouse/outbox")).unwrap().flatten();
        let named = format!("_lab.chemistry.{alert}_{who}_");
        let files = outbox.filter(|file| file.file_name().to_string_lossy().contains(&named));
        files
            .map(|file| std::fs::read_to_string(file.path()).unwrap())
            .collect()
    };
    assert_eq!(told("instrument_clash", "sam").len(), 1);
    assert!(told("instrument_clash", "sam")[0].contains("PL-006"));
    assert!(!told("instrument_clash", "sam")[0].contains("PL-005"));
    assert_eq!(told("runs_out", "sam").len(), 1);
    assert!(told("runs_out", "sam")[0].contains("K3PO4"));
    assert!(!told("runs_out", "sam")[0].contains("XPhos"));
    // The failed plate was rejected, so only sam hears of it; ana hears of those that were released.
    let (sam, ana) = (told("low_yield", "sam"), told("low_yield", "ana"));
    assert_eq!((sam.len(), ana.len()), (1, 1));
    assert!(sam[0].contains("P0057") && !ana[0].contains("P0057"));
    let released =
        "SELECT count(*) FROM (SELECT plate_id FROM lab.chemistry.reactions GROUP BY 1 HAVING avg(yield_pct) < 40)";
    let (of_sam, of_ana) = (lab.number("sam", released).await, lab.number("ana", released).await);
    assert!(of_ana > 0 && of_ana < of_sam, "{of_ana} of {of_sam}");
    let count = |mail: &str| mail.matches("- plate_id=3DP").count() + mail.matches("- plate_id=P").count();
    assert_eq!(count(&sam[0]), usize::try_from(of_sam).unwrap(), "{}", sam[0]);
    assert_eq!(count(&ana[0]), usize::try_from(of_ana).unwrap(), "{}", ana[0]);

    // A new clash is told, and only that.
    lab.land(
        "chemistry/planned_experiments/plan_2026-08.csv",
        "plan_id,plate_id,instrument,starts_at,ends_at,planned_by,campaign\nPL-099,P0199,Lyra 300,2026-07-10T15:00:00,2026-07-10T16:00:00,mara.lindt,cygnus\nPL-100,P0200,Orion PR3,2026-07-10T15:00:00,2026-07-10T16:00:00,mara.lindt,cygnus\n",
    );
    super::until_events(&lab, "instrument_clash", "firing", 2).await;
    super::until_events(&lab, "instrument_clash", "sent", 2).await;
    assert_eq!(told("instrument_clash", "sam").len(), 2);
}

#[tokio::test]
async fn the_stock_is_carried_on() {
    let lab = lab::shared();
    let text = lab
        .text("sam", "SELECT * FROM lab.chemistry.stock_outlook ORDER BY days_left")
        .await;
    let first = text.lines().nth(3).unwrap();
    assert!(first.contains("K3PO4") && first.contains("season"), "{text}");
    let last_month = "SELECT CAST(1000 * abs(1 - f.g / u.g) AS BIGINT) FROM (SELECT sum(forecast) AS g FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 28)) f, (SELECT sum(grams) AS g FROM lab.chemistry.reagent_use WHERE \"day\" > DATE '2026-06-02') u";
    let off = lab.number("sam", last_month).await;
    assert!(
        off < 150,
        "the next four weeks are unlike the last four by {off} per mille"
    );
    // Weekends take nothing, and the forecast knows.
    let weekend = "SELECT CAST(max(forecast) AS BIGINT) FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 14) WHERE date_part('dow', \"day\") IN (0, 6)";
    let workday = "SELECT CAST(min(forecast) AS BIGINT) FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 14) WHERE date_part('dow', \"day\") BETWEEN 1 AND 5";
    let (weekend, workday) = (lab.number("sam", weekend).await, lab.number("sam", workday).await);
    assert!(weekend * 4 < workday, "{weekend} on weekends, {workday} on workdays");
    for (sql, says) in [
        (
            "SELECT * FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 0)",
            "1 to 1000",
        ),
        (
            "SELECT * FROM forecast('lab.chemistry.reagent_use', 'reagent', 'grams', 3)",
            "T",
        ),
        (
            "SELECT * FROM forecast('lab.chemistry.reagent_use', 'day', 'gram', 3)",
            "no column gram",
        ),
        (
            "SELECT * FROM forecast('lab.chemistry.nothing', 'day', 'grams', 3)",
            "not found",
        ),
        (
            "SELECT * FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 3, NULL, 'median')",
            "'sum' or 'mean'",
        ),
        (
            "SELECT * FROM anomaly_score('lab.adme.clearance', 'measured_on', 'half_life_min')",
            "not found",
        ),
    ] {
        let error = lab.query("sam", sql).await.unwrap_err();
        assert!(error.contains(says) || says == "T", "{sql}: {error}");
    }
    let scores = "SELECT count(*) FROM anomaly_score('lab.chemistry.reactions', 'run_at', 'yield_pct', 'plate_id') WHERE abs(score) > 3.5";
    assert!(lab.number("sam", scores).await > 0);
    let (sam, ana) = (
        "SELECT count(*) FROM anomaly_score('lab.chemistry.reactions', 'run_at', 'yield_pct')",
        lab.number(
            "ana",
            "SELECT count(*) FROM lab.chemistry.reactions WHERE yield_pct IS NOT NULL",
        )
        .await,
    );
    assert_eq!(lab.number("ana", sam).await, ana);
    assert!(lab.number("sam", sam).await > ana);
}
