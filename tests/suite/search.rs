//! `search_catalog`: what is found, through which doors, and that what is hidden is not found and moves no score.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use serde_json::json;

use crate::{lab, page_client};

/// A row of an answer; what is found as `schema.name` or `schema.name.column`.
#[derive(Debug)]
struct Row {
    kind: String,
    what: String,
    score: f64,
    matched: String,
    comment: String,
}

fn sql(words: &str) -> String {
    format!("SELECT * FROM search_catalog('{}')", words.replace('\'', "''"))
}

async fn found(lab: &lab::Server, who: &str, words: &str) -> Vec<Row> {
    let sql = sql(words);
    let batches = lab
        .query(who, &sql)
        .await
        .unwrap_or_else(|error| panic!("{who}: {sql}: {error}"));
    batches.iter().flat_map(rows).collect()
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let scores = batch.column_by_name("score").unwrap().as_primitive::<Float64Type>();
    let row = |row| {
        let names = ["table_schema", "table_name", "column_name"];
        let parts: Vec<String> = names.into_iter().filter_map(|name| text(name, row)).collect();
        Row {
            kind: text("kind", row).unwrap(),
            what: parts.join("."),
            score: scores.value(row),
            matched: text("matched", row).unwrap(),
            comment: text("comment", row).unwrap_or_default(),
        }
    };
    (0..batch.num_rows()).map(row).collect()
}

fn whats(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.what.as_str()).collect()
}

#[tokio::test]
async fn tables_columns_models_and_values_are_found_with_typing_errors() {
    let lab = lab::shared();
    let both = found(&lab, "sam", "yeild solvnt").await;
    assert!(both.is_sorted_by(|a, b| a.score >= b.score), "{both:?}");
    let tables: Vec<&Row> = both.iter().filter(|row| row.kind == "table").collect();
    assert_eq!(tables[0].what, "chemistry.reactions", "{both:?}");
    assert_eq!(tables[0].matched, "column yield_pct; column solvent");
    let model = both.iter().find(|row| row.what == "chemistry.yield_model").unwrap();
    assert!(
        model.kind == "model" && model.comment.contains("predict_yield"),
        "{model:?}"
    );

    let columns = found(&lab, "sam", "solvent").await;
    let column = columns
        .iter()
        .find(|row| row.what == "chemistry.reactions.solvent")
        .unwrap();
    assert_eq!(
        (column.kind.as_str(), column.matched.as_str()),
        ("column", "name solvent")
    );
    // A busy server reads values in several goes.
    let value = "SELECT matched FROM search_catalog('dmso') WHERE table_name = 'reactions' AND column_name = 'solvent'";
    lab.until("sam", value, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("value DMSO"))
    })
    .await;
    let tagged = found(&lab, "sam", "notebook").await;
    assert!(whats(&tagged).contains(&"chemistry.protocols"), "{tagged:?}");
    let first = lab
        .query("ada", "SELECT * FROM search_catalog('yield solvent', 1)")
        .await
        .unwrap();
    assert_eq!(first.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);

    // Any door.
    let answer = page_client::ask(&lab, "sam", &sql("solvnt"), json!({ "format": "json" }));
    assert!(
        answer.status == 200 && answer.text().contains("name solvent"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn each_finds_what_he_may_see() {
    let lab = lab::shared();
    for words in ["yield solvent", "operator", "reactions", "system queries", "predict"] {
        assert!(found(&lab, "guest", words).await.is_empty(), "{words}");
    }
    // Another department, a denied table, a denied column, the names in it, and the server's own tables.
    for (words, hidden) in [
        ("ic50", "assay."),
        ("plate readings", "chemistry.plate_readings"),
        ("operator", "operator"),
        ("queries", "system."),
    ] {
        let seen = found(&lab, "ada", words).await;
        assert!(
            seen.iter().any(|row| row.what.contains(hidden)),
            "{words} finds nothing at all: {seen:?}"
        );
        let closed = found(&lab, "ana", words).await;
        let told = |row: &&Row| format!("{} {} {}", row.what, row.matched, row.comment).contains(hidden);
        assert!(!closed.iter().any(|row| told(&row)), "{words}: {closed:?}");
    }
    // She may call the function and not know the model.
    let functions = found(&lab, "ana", "predict yield").await;
    assert!(
        functions
            .iter()
            .any(|row| row.kind == "function" && row.what == "predict_yield"),
        "{functions:?}"
    );
    assert!(!functions.iter().any(|row| row.kind == "model"), "{functions:?}");
}

/// A lab in which ana does not see a table, a column with comment and tag, a row, and what lies under a mask; or in which they are
/// not there, and something else is under the mask.
async fn with_hidden(hidden: bool) -> lab::Server {
    let lab = lab::empty(|config| config);
    let (column, value) = if hidden {
        (", operator VARCHAR", ", 'toluene'")
    } else {
        ("", "")
    };
    let masked = if hidden { "toluene draft" } else { "x" };
    let common = [
        format!("CREATE TABLE lab.chemistry.runs (plate VARCHAR, yield_pct DOUBLE{column})"),
        format!("INSERT INTO lab.chemistry.runs VALUES ('P1', 50.5{value})"),
        "COMMENT ON TABLE lab.chemistry.runs IS 'the yield of every run'".to_owned(),
        "COMMENT ON COLUMN lab.chemistry.runs.plate IS 'its barcode'".to_owned(),
        "ALTER TABLE lab.chemistry.runs SET TAGS (kind = 'screen')".to_owned(),
        "CREATE TABLE lab.chemistry.reactions (well VARCHAR, status VARCHAR, solvent VARCHAR, scaffold_smiles VARCHAR)"
            .to_owned(),
        format!("INSERT INTO lab.chemistry.reactions VALUES ('A1', 'released', 'toluene', '{masked}')"),
    ];
    let more = [
        "COMMENT ON COLUMN lab.chemistry.runs.operator IS 'the person whose yield it is'",
        "ALTER TABLE lab.chemistry.runs ALTER COLUMN operator SET TAGS (pii = true)",
        "INSERT INTO lab.chemistry.reactions VALUES ('B2', 'draft', 'glyme', 'y')",
        "CREATE TABLE lab.assay.secrets (plate VARCHAR, yield_pct DOUBLE, solvent VARCHAR)",
        "INSERT INTO lab.assay.secrets VALUES ('P1', 1.0, 'toluene')",
        "COMMENT ON TABLE lab.assay.secrets IS 'the yield of every secret run in toluene'",
    ];
    let more = more.into_iter().map(str::to_owned).filter(|_| hidden);
    for statement in common.into_iter().chain(more) {
        lab.update("ada", &statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    lab
}

#[tokio::test]
async fn what_is_hidden_changes_no_answer_and_no_score() {
    let (full, bare) = (with_hidden(true).await, with_hidden(false).await);
    let mut differing = 0;
    for words in [
        "yield",
        "yeild",
        "toluene",
        "run yield toluene",
        "plate",
        "barcode",
        "screen",
        "released",
        "solvent",
        "status",
        "draft",
        "glyme",
        "operator",
        "person",
        "pii",
        "secrets",
        "secret",
        "assay",
        "runs plate solvent status well",
        "scaffold",
    ] {
        let sql = sql(words);
        let (with, without) = (
            full.query("ana", &sql).await.unwrap(),
            bare.query("ana", &sql).await.unwrap(),
        );
        assert_eq!(with, without, "{words}");
        let (with, without) = (
            full.query("ada", &sql).await.unwrap(),
            bare.query("ada", &sql).await.unwrap(),
        );
        differing += usize::from(with != without);
    }
    // To somebody who sees it, it is there.
    assert!(differing >= 15, "{differing}");
    let seen = found(&full, "ana", "yield toluene").await;
    assert!(seen.iter().any(|row| row.matched == "value toluene"), "{seen:?}");
}

#[tokio::test]
async fn what_columns_hold_is_told_to_whoever_sees_them_whole() {
    let lab = lab::empty(|config| config);
    let landed = "status,contact,scaffold_smiles\nreleased,ada@lab.org,b.c@lab.org\ndraft,d.e@lab.org,f.g@lab.org\n";
    lab.land("chemistry/reactions/a.csv", landed);
    lab.until("sam", "SELECT count(*) FROM lab.chemistry.reactions", lab::shows(2))
        .await;
    for (who, wanted) in [
        (
            "sam",
            vec!["chemistry.reactions.contact", "chemistry.reactions.scaffold_smiles"],
        ),
        // A filter hides rows of the one from her, a mask changes the other.
        ("ana", vec![]),
    ] {
        let mut seen: Vec<String> = found(&lab, who, "email")
            .await
            .into_iter()
            .map(|row| row.what)
            .collect();
        seen.sort();
        assert_eq!(seen, wanted, "{who}");
    }
    assert_eq!(
        lab.number("ana", "SELECT count(*) FROM lab.chemistry.reactions").await,
        1
    );
}

#[tokio::test]
async fn values_are_those_of_visible_rows_and_never_masked_ones() {
    let lab = with_hidden(true).await;
    let values = |who: &'static str, word: &'static str| {
        let lab = &lab;
        async move {
            let mut rows = found(lab, who, word).await;
            rows.retain(|row| row.matched.contains("value "));
            rows.into_iter().map(|row| row.what).collect::<Vec<_>>()
        }
    };
    let cases: [(&'static str, &[&str], &[&str]); 4] = [
        (
            "released",
            &["chemistry.reactions.status"],
            &["chemistry.reactions.status"],
        ),
        ("glyme", &["chemistry.reactions.solvent"], &[]),
        (
            "draft",
            &["chemistry.reactions.status", "chemistry.reactions.scaffold_smiles"],
            &[],
        ),
        (
            "toluene",
            &[
                "chemistry.reactions.solvent",
                "chemistry.runs.operator",
                "chemistry.reactions.scaffold_smiles",
            ],
            &["chemistry.reactions.solvent"],
        ),
    ];
    let nothing: &[&str] = &[];
    for (word, sam, ana) in cases {
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        for (who, wanted) in [("sam", sam), ("ana", ana), ("guest", nothing)] {
            let mut seen = values(who, word).await;
            seen.sort();
            assert_eq!(seen, sorted(wanted), "{who}: {word}");
        }
    }
    // The mask is no value either.
    let masks = lab
        .query("ana", "SELECT scaffold_smiles FROM lab.chemistry.reactions")
        .await
        .unwrap();
    let mask = masks[0].column(0).as_string::<i32>().value(0).to_owned();
    assert_eq!(mask.len(), 64);
    assert!(found(&lab, "ana", &mask).await.is_empty());

    // A heading that is no name of ours is kept as the file has it.
    lab.land("chemistry/weights/a.csv", "Масса,n\n1.5,1\n2.5,2\n");
    let heading = "SELECT matched FROM search_catalog('масса') WHERE table_name = 'weights'";
    lab.until("sam", heading, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("heading Масса"))
    })
    .await;
}

#[tokio::test]
async fn edits_of_policies_and_comments_act_and_searches_are_audited() {
    let lab = with_hidden(true).await;
    let operator = "SELECT count(*) FROM search_catalog('operator') WHERE column_name = 'operator'";
    let kind = "ALTER TABLE lab.chemistry.runs ALTER COLUMN operator SET TAGS (pii = '')";
    lab.update("ada", kind).await.unwrap();
    assert_eq!(
        (lab.number("ada", operator).await, lab.number("ana", operator).await),
        (1, 0)
    );
    let path = lab.dir.join("policies/policy.csv");
    let before = std::fs::read_to_string(&path).unwrap();
    let opened: Vec<&str> = before
        .lines()
        .filter(|line| !line.contains("lab/chemistry/*/operator"))
        .collect();
    assert_eq!(opened.len() + 1, before.lines().count());
    std::fs::write(&path, opened.join("\n")).unwrap();
    let is = |count: &'static str| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(count))
    };
    lab.until("ana", operator, is("| 1 ")).await;
    std::fs::write(&path, before).unwrap();
    lab.until("ana", operator, is("| 0 ")).await;

    assert!(found(&lab, "ana", "spectrometer").await.is_empty());
    let comment = "COMMENT ON COLUMN lab.chemistry.runs.plate IS 'as the spectrometer reads it'";
    lab.update("ada", comment).await.unwrap();
    let now = found(&lab, "ana", "spectrometer").await;
    assert_eq!(whats(&now), ["chemistry.runs.plate"]);
    assert_eq!(now[0].comment, "as the spectrometer reads it");

    let told = "SELECT count(*) FROM system.audit WHERE principal = 'ana' AND action = 'read' AND verdict = 'allowed' AND detail LIKE '%searched%' AND statement LIKE '%search_catalog%'";
    lab.until("ada", told, |answer| {
        answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
    })
    .await;
    let words = format!("{told} AND statement LIKE '%spectrometer%'");
    assert_eq!(lab.number("ada", &words).await, 0);
}

#[tokio::test]
async fn wrong_questions_are_refused_and_answers_are_not_kept() {
    let lab = lab::shared();
    let long = sql(&"a".repeat(1_001));
    let many = sql(&(0..17).map(|n| format!("w{n} ")).collect::<String>());
    for (sql, says) in [
        ("SELECT * FROM search_catalog()", "takes a text"),
        ("SELECT * FROM search_catalog(7)", "takes a text"),
        ("SELECT * FROM search_catalog(NULL)", "takes a text"),
        ("SELECT * FROM search_catalog('a', 1, 2)", "takes a text"),
        ("SELECT * FROM search_catalog('')", "no word"),
        ("SELECT * FROM search_catalog(' ?! ')", "no word"),
        ("SELECT * FROM search_catalog('a', 0)", "1 to 1000"),
        ("SELECT * FROM search_catalog('a', 1001)", "1 to 1000"),
        ("SELECT * FROM search_catalog('a', -1)", "1 to 1000"),
        (long.as_str(), "1001 bytes"),
        (many.as_str(), "17 different words"),
    ] {
        for who in ["sam", "guest"] {
            let error = lab.query(who, sql).await.unwrap_err();
            assert!(error.contains(says), "{who}: {sql}: {error}");
        }
    }
    for sql in [
        "CREATE TABLE lab.chemistry.kept AS SELECT * FROM search_catalog('yield')",
        "CREATE MATERIALIZED VIEW lab.chemistry.kept REFRESH ON DEMAND AS SELECT matched FROM (SELECT * FROM search_catalog('yield')) AS s",
        "INSERT INTO lab.chemistry.reagent_lots (lot) SELECT matched FROM search_catalog('yield')",
        "UPDATE lab.chemistry.reagent_lots SET lot = (SELECT max(matched) FROM search_catalog('yield'))",
    ] {
        let error = lab.update("ada", sql).await.unwrap_err();
        assert!(error.contains("is for looking"), "{sql}: {error}");
    }
}

/// How long the first search of a large lake takes, and the next.
#[tokio::test]
#[ignore = "makes a thousand tables"]
async fn a_thousand_tables_are_searched_soon() {
    let lab = lab::empty(|config| config);
    let columns: Vec<String> = (0..40).map(|n| format!("c{n}_solvent VARCHAR")).collect();
    for n in 0..1_000 {
        let table = format!("CREATE TABLE lab.chemistry.big{n} ({})", columns.join(", "));
        lab.update("ada", &table).await.unwrap();
    }
    for wanted_s in [30.0, 5.0] {
        let start = std::time::Instant::now();
        assert_eq!(found(&lab, "ada", "solvnt").await.len(), 50);
        let took = start.elapsed().as_secs_f64();
        println!("1,000 tables, 40,000 columns: {took:.2} s");
        assert!(took < wanted_s, "{took}");
    }
}
