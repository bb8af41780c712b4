//! `EXPLAIN POLICY` and `system.policy_rules` through Flight SQL: all of it to administrators, nothing hidden to others.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::lab;

/// Rows as (verdict, object, rule, file:line, why).
fn told(batches: &[RecordBatch]) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for batch in batches {
        let text = |name: &str, at: usize| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_string::<i32>()
                .value(at)
                .to_owned()
        };
        let line = batch.column_by_name("line").unwrap().as_primitive::<Int64Type>();
        for at in 0..batch.num_rows() {
            let place = format!("{}:{}", text("file", at), line.value(at));
            rows.push([
                text("verdict", at),
                text("object", at),
                text("rule", at),
                place,
                text("why", at),
            ]);
        }
    }
    rows
}

#[tokio::test]
async fn an_administrator_is_told_what_somebody_sees_and_why() {
    let lab = lab::shared();
    let policy = std::fs::read_to_string(lab.dir.join("policies/policy.csv")).unwrap();
    let line = |word: &str| {
        1 + policy
            .lines()
            .position(|line| line.contains(word) && !line.starts_with('#'))
            .unwrap()
    };
    let rows = told(
        &lab.query("ada", "EXPLAIN POLICY FOR ana ON lab.chemistry.reactions")
            .await
            .unwrap(),
    );
    let about = |object: &str| -> Vec<&[String; 5]> { rows.iter().filter(|row| row[1] == object).collect() };
    let operator = about("lab.chemistry.reactions.operator");
    assert_eq!(operator[0][0], "hidden");
    assert_eq!(operator[0][3], format!("policy.csv:{}", line("/operator")));
    let masked = about("lab.chemistry.reactions.scaffold_smiles");
    assert_eq!(
        (masked[0][0].as_str(), masked[0][2].as_str()),
        ("masked", "scaffold_hash")
    );
    assert_eq!(about("lab.chemistry.reactions.well")[0][0], "shown");
    let table = about("lab.chemistry.reactions");
    assert!(
        table
            .iter()
            .any(|row| row[2] == "released_only" && row[3] == format!("policy.csv:{}", line("released_only")))
    );
    let seen = lab.number("ana", "SELECT count(*) FROM lab.chemistry.reactions").await;
    let all = lab.number("ada", "SELECT count(*) FROM lab.chemistry.reactions").await;
    assert!(
        seen < all && table.iter().any(|row| row[4] == format!("{seen} of {all} rows")),
        "{table:?}"
    );

    let row =
        "EXPLAIN POLICY FOR 'ana' ON lab.chemistry.reactions WHERE well = 'A1' AND plate_id IN ('P0001', 'P0003')";
    let rows = told(&lab.query("ada", row).await.unwrap());
    let judged: Vec<&[String; 5]> = rows.iter().filter(|row| row[1].contains("plate_id = ")).collect();
    assert!(
        judged.iter().any(|row| row[0] == "shown" && row[1].contains("P0001")),
        "{judged:?}"
    );
    assert!(
        judged
            .iter()
            .any(|row| row[0] == "hidden" && row[1].contains("P0003") && row[4].contains("is false on it")),
        "{judged:?}"
    );

    let hidden = told(
        &lab.query("ada", "EXPLAIN POLICY FOR ana ON lab.chemistry.plate_readings")
            .await
            .unwrap(),
    );
    assert!(
        hidden[0][0] == "hidden" && hidden[0][3] == format!("policy.csv:{}", line("plate_readings/**")),
        "{hidden:?}"
    );
    let system = told(
        &lab.query("ada", "EXPLAIN POLICY FOR dee ON system.queries")
            .await
            .unwrap(),
    );
    assert_eq!(system[0][0], "hidden");
    let own = told(
        &lab.query("ada", "EXPLAIN POLICY ON lab.chemistry.reactions")
            .await
            .unwrap(),
    );
    assert!(own.iter().any(|row| row[3].starts_with("policy.csv:")), "{own:?}");
    for (sql, says) in [
        (
            "EXPLAIN POLICY FOR nobody ON lab.chemistry.reactions",
            "nobody is called nobody",
        ),
        ("EXPLAIN POLICY FOR ana ON lab.chemistry.nothing", "not found"),
        ("EXPLAIN POLICY FOR ana", "names no table"),
        (
            "EXPLAIN POLICY FOR ana ON lab.chemistry.reactions WHERE nothing = 1",
            "nothing",
        ),
        (
            "EXPLAIN POLICY FOR ana ON lab.chemistry.reactions; SELECT 1",
            "one statement at a time",
        ),
        ("EXPLAIN POLICY FOR ana ON system.queries WHERE true", "one by one"),
    ] {
        let error = lab.query("ada", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn what_is_announced_is_what_comes_and_preparing_it_works() {
    let lab = lab::shared();
    let mut ada = lab.client("ada").await;
    let sql = "EXPLAIN POLICY FOR ana ON lab.chemistry.protocols";
    let info = ada.execute(sql.to_owned(), None).await.unwrap();
    let announced = info.clone().try_decode_schema().unwrap();
    let rows = lab::fetch(&mut ada, info).await.unwrap();
    assert_eq!(announced, *rows[0].schema());
    let mut prepared = ada.prepare(sql.to_owned(), None).await.unwrap();
    assert_eq!(*prepared.dataset_schema().unwrap(), announced);
    let info = prepared.execute().await.unwrap();
    let again = lab::fetch(&mut ada, info).await.unwrap();
    assert_eq!(told(&rows), told(&again));
}

#[tokio::test]
async fn everybody_is_told_about_himself_what_he_could_have_found_out() {
    let lab = lab::shared();
    for sql in [
        "EXPLAIN POLICY ON lab.chemistry.reactions",
        "EXPLAIN POLICY FOR ana ON lab.chemistry.reactions",
    ] {
        let batches = lab.query("ana", sql).await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        // Neither hidden columns nor that rows are filtered, neither rules nor the names of filters and masks.
        for word in [
            "operator",
            "released",
            "policy.csv",
            "filters.toml",
            "scaffold_hash",
            "role:",
            "36864",
            "28032",
        ] {
            assert!(!text.contains(word), "{sql} shows {word}:\n{text}");
        }
        let rows = told(&batches);
        let columns: Vec<&str> = rows
            .iter()
            .skip(1)
            .map(|row| row[1].rsplit('.').next().unwrap())
            .collect();
        let seen = lab
            .query("ana", "SELECT * FROM lab.chemistry.reactions LIMIT 0")
            .await
            .unwrap();
        assert!(seen.is_empty() || seen[0].num_columns() == columns.len());
        assert_eq!(columns.len(), 28, "{columns:?}");
        let masked: Vec<&str> = rows
            .iter()
            .filter(|row| row[0] == "masked")
            .map(|row| row[1].as_str())
            .collect();
        assert_eq!(masked, ["lab.chemistry.reactions.scaffold_smiles"]);
    }
    // sam sees everything of it and is told no more, because he is no administrator.
    let sam = lab.text("sam", "EXPLAIN POLICY ON lab.chemistry.reactions").await;
    assert!(
        sam.contains("reactions.operator") && !sam.contains("policy.csv"),
        "{sam}"
    );
}

/// Channels 48 to 50: an explanation is no oracle for what exists.
#[tokio::test]
async fn hidden_and_absent_tables_people_and_columns_look_the_same() {
    let lab = lab::shared();
    let ask = async |who: &str, sql: &str| lab.query(who, sql).await.unwrap_err();
    for form in [
        "EXPLAIN POLICY ON lab.SCHEMA.TABLE",
        "EXPLAIN POLICY FOR sam ON lab.SCHEMA.TABLE",
        "EXPLAIN POLICY FOR nobody ON lab.SCHEMA.TABLE",
        "EXPLAIN POLICY FOR sam ON lab.SCHEMA.TABLE WHERE secret = 1",
        "EXPLAIN POLICY ON lab.SCHEMA.TABLE WHERE 1 / 0 = 1",
    ] {
        for (who, schema, hidden) in [
            ("guest", "chemistry", "reactions"),
            ("ana", "chemistry", "plate_readings"),
            ("sam", "adme", "clearance"),
            ("sam", "system", "policy_rules"),
        ] {
            let form = form.replace("SCHEMA", schema);
            let there = ask(who, &form.replace("TABLE", hidden)).await;
            let absent = ask(who, &form.replace("TABLE", "no_such_table")).await;
            assert!(there.contains("not found"), "{there}");
            assert_eq!(
                there.replace(hidden, "X"),
                absent.replace("no_such_table", "X"),
                "{who}: {form}"
            );
        }
    }
    // Of others nothing is told, not even whether there are any; of columns and rows neither.
    let known = ask("ana", "EXPLAIN POLICY FOR sam ON lab.chemistry.reactions").await;
    let unknown = ask("ana", "EXPLAIN POLICY FOR nobody ON lab.chemistry.reactions").await;
    assert_eq!(known, unknown);
    assert!(known.contains("ana may not admin lab/chemistry/reactions"), "{known}");
    let refused = "EXPLAIN POLICY ON lab.chemistry.reactions WHERE ";
    let mut texts = std::collections::BTreeSet::new();
    for condition in [
        "operator = 'x'",
        "operatox = 'x'",
        "status = 'draft'",
        "1 / (yield_pct - 42) = 1",
        "CAST(well AS INT) = 1",
    ] {
        texts.insert(ask("ana", &format!("{refused}{condition}")).await);
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}

/// Whoever administers a table of which he does not see everything cannot see the rest through an explanation.
#[tokio::test]
async fn an_administrator_whose_view_is_not_whole_is_not_told_of_the_rest() {
    let lab = lab::own();
    let path = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let steward = "p, role:lab_analyst, chemistry, lab/chemistry/**, admin, allow\n";
    std::fs::write(&path, format!("{text}\n{steward}")).unwrap();
    // Without filter, mask or denial on it the steward is told everything.
    lab.until(
        "ana",
        "EXPLAIN POLICY FOR sam ON lab.chemistry.reagent_lots",
        |answer| answer.as_ref().is_ok_and(|text| text.contains("policy.csv")),
    )
    .await;
    for sql in [
        "EXPLAIN POLICY FOR sam ON lab.chemistry.reactions",
        "EXPLAIN POLICY FOR sam ON lab.chemistry.reactions WHERE operator = 'x'",
        "EXPLAIN POLICY ON lab.chemistry.reactions WHERE status = 'draft'",
        "EXPLAIN POLICY FOR sam ON lab.chemistry.protocols",
    ] {
        let error = lab.query("ana", sql).await.unwrap_err();
        assert!(error.contains("your own view of it is not whole"), "{sql}: {error}");
    }
    let own = lab.text("ana", "EXPLAIN POLICY ON lab.chemistry.reactions").await;
    assert!(!own.contains("operator") && !own.contains("policy.csv"), "{own}");
    let error = lab
        .query("ana", "EXPLAIN POLICY FOR sam ON lab.chemistry.plate_readings")
        .await
        .unwrap_err();
    assert!(error.contains("not found"), "{error}");
}

#[tokio::test]
async fn the_rules_in_force_are_a_table_for_administrators() {
    let lab = lab::own();
    let rule = "p, role:lab_scientist, assay, lab/assay/**, select, deny";
    let path = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.trim_end().lines().count() + 1;
    std::fs::write(&path, format!("{}\n{rule}\n", text.trim_end())).unwrap();
    let of_line = format!(
        "SELECT kind, subject, department, text FROM system.policy_rules WHERE file = 'policy.csv' AND line = {line}"
    );
    lab.until("ada", &of_line, |answer| {
        answer.as_ref().is_ok_and(|text| {
            text.contains(rule) && text.contains("| deny ") && text.contains("| role:lab_scientist | assay ")
        })
    })
    .await;
    let rules = lab
        .number(
            "ada",
            "SELECT count(*) FROM system.policy_rules WHERE file = 'policy.csv'",
        )
        .await;
    let written = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .count()
        + 1;
    assert_eq!(usize::try_from(rules).unwrap(), written);
    let filter = lab
        .text(
            "ada",
            "SELECT text FROM system.policy_rules WHERE kind = 'row filter definition'",
        )
        .await;
    assert!(filter.contains("released_only: status = 'released'"), "{filter}");
    assert_eq!(
        lab.number("ada", "SELECT count(*) FROM system.policies WHERE in_force")
            .await,
        1
    );
    for who in ["sam", "ana", "dee", "guest"] {
        let error = lab.query(who, "SELECT * FROM system.policy_rules").await.unwrap_err();
        assert!(error.contains("not found"), "{who}: {error}");
    }
}

/// Who sees how much of a table: of everybody, also of whom only the policy names; to nobody but a steward of the table.
#[tokio::test]
async fn who_sees_a_table_is_told_to_its_steward() {
    let lab = lab::own();
    let path = lab.dir.join("policies/policy.csv");
    let policy = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("{policy}\ng, user:oidc_ola, role:lab_scientist, chemistry\n"),
    )
    .unwrap();
    let sql = "EXPLAIN POLICY FOR ALL ON lab.chemistry.reactions";
    lab.until("ada", sql, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("oidc_ola"))
    })
    .await;
    let all = lab.number("ada", "SELECT count(*) FROM lab.chemistry.reactions").await;
    let some = lab.number("ana", "SELECT count(*) FROM lab.chemistry.reactions").await;
    let text = lab.text("ada", sql).await;
    let says = |who: &str, words: &str| {
        let of = format!("| {who} ");
        text.lines().any(|line| line.starts_with(&of) && line.contains(words))
    };
    for (who, words) in [
        ("ada", format!("{all} of {all} rows")),
        ("sam", format!("{all} of {all} rows")),
        ("oidc_ola", format!("{all} of {all} rows")),
        ("ana", format!("{some} of {all} rows")),
        ("ana", "reactions.operator".to_owned()),
        ("ana", "scaffold_hash".to_owned()),
        ("guest", "nothing grants".to_owned()),
    ] {
        assert!(says(who, &words), "{who}: {words}: {text}");
    }
    assert!(!says("guest", "rows") && !says("sam", "reactions.operator"), "{text}");
    // What is shown in clear is not listed column by column.
    assert!(!text.contains("reactions.well"), "{text}");
    for who in ["sam", "ana", "dee"] {
        let refused = lab.query(who, sql).await.unwrap_err();
        assert!(refused.contains("may not admin"), "{who}: {refused}");
    }
    let (hidden, absent) = (
        lab.query("guest", sql).await.unwrap_err(),
        lab.query("guest", &sql.replace("reactions", "nothing"))
            .await
            .unwrap_err(),
    );
    assert_eq!(hidden, absent.replace("nothing", "reactions"));
}
