//! `system.profiles`: the numbers of each table are those of the reader's own view.

use crate::lab;

async fn with_reactions() -> lab::Server {
    let lab = lab::empty(|config| config);
    for statement in [
        "CREATE TABLE lab.chemistry.reactions (well VARCHAR, status VARCHAR, operator VARCHAR, scaffold_smiles VARCHAR, yield_pct DOUBLE, run_on DATE)",
        "INSERT INTO lab.chemistry.reactions VALUES ('A1', 'released', 'mara', 'CCO', 10, DATE '2026-03-01'), ('A2', 'released', 'jon', 'CCO', 30, NULL), ('A3', 'draft', 'zoe', 'CCN', 99, DATE '2026-05-01')",
        "CREATE TABLE lab.assay.secrets (n BIGINT)",
        "INSERT INTO lab.assay.secrets VALUES (1), (2)",
    ] {
        lab.update("ada", statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    lab
}

#[tokio::test]
async fn a_profile_is_of_the_reader_s_own_view() {
    let lab = with_reactions().await;
    let of = |column: &str| {
        let text = |measure: &str| format!("coalesce(CAST({measure} AS VARCHAR), '-')");
        let measures = ["\"rows\"", "nulls", "distinct_about", "minimum", "maximum", "mean"].map(text);
        format!(
            "SELECT {} AS told FROM system.profiles WHERE table_schema = 'chemistry' AND table_name = 'reactions' AND column_name = '{column}'",
            measures.join(" || ' ' || ")
        )
    };
    for (column, ada, ana) in [
        ("well", "| 3 0 3 A1 A3 - ", "| 2 0 2 A1 A2 - "),
        ("status", "| 3 0 2 draft released - ", "| 2 0 1 released released - "),
        ("yield_pct", "| 3 0 - 10.0 99.0 46.33", "| 2 0 - 10.0 30.0 20.0 "),
        (
            "run_on",
            "| 3 1 2 2026-03-01 2026-05-01 - ",
            "| 2 1 1 2026-03-01 2026-03-01 - ",
        ),
    ] {
        for (who, wanted) in [("ada", ada), ("ana", ana)] {
            let told = lab.text(who, &of(column)).await;
            assert!(told.contains(wanted), "{who}: {column}: {told}");
        }
    }
    // How values are distributed is told of the rows that are seen, too: twenty ranges from the smallest to the largest.
    for (column, who, wanted) in [
        ("yield_pct", "ada", "| 1,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1 "),
        ("yield_pct", "ana", "| 1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1 "),
        ("run_on", "ada", "| 1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1 "),
        ("run_on", "ana", "| 1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0 "),
        ("well", "ada", "| none "),
    ] {
        let asked = format!(
            "SELECT coalesce(array_to_string(histogram, ','), 'none') AS told FROM system.profiles WHERE table_name = 'reactions' AND column_name = '{column}'"
        );
        let told = lab.text(who, &asked).await;
        assert!(told.contains(wanted), "{who}: {column}: {told}");
    }
    // The mask is all there is of a masked column; a hidden one has no row, nor has a hidden table.
    let masked = "SELECT count(*) FROM system.profiles WHERE column_name = 'scaffold_smiles' AND length(minimum) = 64 AND minimum = maximum";
    assert_eq!(
        (lab.number("ana", masked).await, lab.number("ada", masked).await),
        (1, 0)
    );
    for hidden in [
        "column_name = 'operator'",
        "table_name = 'secrets'",
        "table_schema = 'system'",
    ] {
        let count = format!("SELECT count(*) FROM system.profiles WHERE {hidden}");
        assert_eq!(lab.number("ana", &count).await, 0, "{hidden}");
    }
    let all = "SELECT count(*) FROM system.profiles WHERE column_name IN ('operator', 'n') AND nulls = 0";
    assert_eq!((lab.number("ada", all).await, lab.number("ana", all).await), (2, 0));
    // New rows are in it at once.
    lab.update(
        "ada",
        "INSERT INTO lab.chemistry.reactions (well, status) VALUES ('A4', 'released')",
    )
    .await
    .unwrap();
    let rows = "SELECT max(\"rows\") FROM system.profiles WHERE table_name = 'reactions'";
    assert_eq!((lab.number("ada", rows).await, lab.number("ana", rows).await), (4, 3));
    let kept = lab
        .update(
            "ada",
            "CREATE TABLE lab.chemistry.kept AS SELECT minimum FROM system.profiles",
        )
        .await
        .unwrap_err();
    assert!(kept.contains("is for looking"), "{kept}");
    for who in ["dee", "guest"] {
        assert!(lab.query(who, "SELECT * FROM system.profiles").await.is_err(), "{who}");
    }
}
