//! A folder for each plate, with files of the same names in it.

use labhouse_catalog::FileStatus::{Loaded, Unchanged};

use crate::support::{Lab, eager, file, local_lake};

async fn land_plate(lab: &Lab, folder: &str, from: usize) {
    let wells = ["A1", "A2", "B1", "B2"];
    let row = |(at, well): (usize, &&str)| format!("{well},{}\n", from + at);
    let data: String = wells.iter().enumerate().map(row).collect();
    let row = |(at, well): (usize, &&str)| format!("{well},C{}\n", from + at);
    let layout: String = wells.iter().enumerate().map(row).collect();
    lab.land(&format!("{folder}/data.csv"), format!("Well,V\n{data}")).await;
    lab.land(&format!("{folder}/layout.csv"), format!("Well,Compound\n{layout}"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_and_layouts_of_plate_folders_are_two_tables_that_name_the_plate() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    // The first plate comes alone, as it does in a lab.
    land_plate(&lab, "chem/runs/P001", 10).await;
    let report = lab.sweep().await;
    assert_eq!(report.count(Loaded), 2, "{report:#?}");
    let told = file(&report, "chem/runs/P001/layout.csv");
    assert_eq!(told.tables, ["chem.runs__layout"]);
    assert!(told.grouped_by.as_ref().unwrap().contains("other things of the same"));
    land_plate(&lab, "chem/runs/P002", 20).await;
    land_plate(&lab, "chem/runs/P003", 30).await;
    let report = lab.another().await.sweep().await;
    assert_eq!((report.count(Loaded), report.count(Unchanged)), (4, 2), "{report:#?}");
    let by = file(&report, "chem/runs/P003/data.csv").grouped_by.clone().unwrap();
    assert_eq!(by, "its folder chem/runs; its folders give folder_name");
    lab.sweep().await;
    let joined = "select d.folder_name, d.well, d.v, l.compound from chem.runs d join chem.runs__layout l \
                  on l.folder_name = d.folder_name and l.well = d.well where d.well = 'A2' order by 1";
    assert_eq!(
        lab.ask(joined).await,
        [
            ["P001", "A2", "11", "C11"],
            ["P002", "A2", "21", "C21"],
            ["P003", "A2", "31", "C31"]
        ]
    );
    assert_eq!(lab.number("select count(*) from chem.runs").await, 12);
    // All plates at once, of which one has no layout yet, and columns enough in common to be alike.
    for (plate, value) in [("P1", 1), ("P2", 2), ("P3", 3)] {
        let path = |name: &str| format!("chem/sets/2026-03-14/{plate}/{plate}_{name}.csv");
        lab.land(&path("data"), format!("well,row,od\nA1,A,{value}\n")).await;
        if plate != "P3" {
            lab.land(&path("map"), "well,row,dye\nA1,A,blue\n").await;
        }
    }
    lab.sweep().await;
    assert_eq!(
        lab.ask("select folder_name, od, folder_date from chem.sets order by 1")
            .await,
        [
            ["P1", "1", "2026-03-14"],
            ["P2", "2", "2026-03-14"],
            ["P3", "3", "2026-03-14"]
        ]
    );
    assert_eq!(
        lab.ask("select folder_name, dye from chem.sets__p_map order by 1")
            .await,
        [["P1", "blue"], ["P2", "blue"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_of_other_names_stay_one_table_without_a_column_of_theirs() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/ana/monday.csv", "well,v\nA1,1\n").await;
    lab.land("chem/t/bob/tuesday.csv", "well,v\nA1,2\n").await;
    // The same names of which one has nothing that the other has not.
    for folder in ["P1", "P2"] {
        lab.land(&format!("chem/u/{folder}/plus.csv"), "well,v\nA1,1\n").await;
        lab.land(&format!("chem/u/{folder}/minus.csv"), "well,v,flag\nA1,1,x\n")
            .await;
    }
    lab.sweep().await;
    let columns = |table: &str| {
        let schema = lab.catalog.snapshot().table("chem", table).unwrap().schema();
        schema.fields().iter().any(|field| field.name() == "folder_name")
    };
    assert!(!columns("t") && columns("u"));
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    assert_eq!(lab.number("select count(*) from chem.u").await, 4);
}
