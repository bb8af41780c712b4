//! Files at the front door of a running server.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::lab::{self, BINARY};

#[tokio::test]
async fn a_landed_file_is_seen_by_event_long_before_the_sweep() {
    let lab = lab::empty(|config| config.replace("settle_ms = 50", "settle_ms = 50\nsweep_interval_s = 3600"));
    lab.land("chemistry/runs/a.csv", "run,yield\n1,50.5\n2,60\n");
    // With the sweep an hour away only an event can bring it.
    lab.until("ada", "SELECT count(*), sum(yield) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("110.5"))
    })
    .await;
    lab.land("chemistry/runs/b.csv", "run,yield\n3,10\n");
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 3 "))
    })
    .await;
}

#[tokio::test]
async fn a_changed_file_replaces_its_own_rows_and_a_removed_ones_stay() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/a.csv", "run,yield\n1,10\n2,20\n");
    lab.land("chemistry/runs/b.csv", "run,yield\n3,30\n");
    let sum = "SELECT count(*), sum(yield) FROM lab.chemistry.runs";
    lab.until("ada", sum, |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("| 3 ") && text.contains("| 60 "))
    })
    .await;
    lab.land("chemistry/runs/a.csv", "run,yield\n1,100\n2,200\n4,400\n");
    lab.until("ada", sum, |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("| 4 ") && text.contains("| 730 "))
    })
    .await;
    lab.take_away("chemistry/runs/b.csv");
    lab.until(
        "ada",
        "SELECT status FROM system.files WHERE path LIKE '%b.csv'",
        |answer| answer.as_ref().is_ok_and(|text| text.contains("gone")),
    )
    .await;
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM lab.chemistry.runs WHERE _source_file LIKE '%b.csv'"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn what_is_not_understood_waits_in_quarantine_and_the_server_serves() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/good/a.csv", "a,b\n1,2\n");
    for (name, bytes) in [
        ("empty.csv", &b""[..]),
        ("cut.parquet", b"PAR1 and nothing else"),
        ("cut.xlsx", b"PK\x03\x04 not a workbook"),
        ("cut.json", b"{\"a\": [1, 2"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00broken"),
        ("noise.csv", &[0_u8, 159, 146, 150, 0, 1, 2, 3, 255, 254, 0, 0, 7]),
    ] {
        lab.land(&format!("chemistry/bad_{}/{name}", name.replace('.', "_")), bytes);
    }
    lab.until(
        "ada",
        "SELECT count(*) FROM system.quarantine WHERE reason IS NOT NULL",
        |answer| answer.as_ref().is_ok_and(|text| text.contains("| 6 ")),
    )
    .await;
    // Bad files are put away while good ones of the same sweep are still being written.
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.good", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    let reasons = lab
        .text("ada", "SELECT path, reason FROM system.quarantine ORDER BY path")
        .await;
    println!("{reasons}");
    // Mended, it leaves quarantine and loads.
    lab.land("chemistry/bad_cut_json/cut.json", "[{\"a\": 1}]");
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.bad_cut_json", Result::is_ok)
        .await;
    assert_eq!(lab.number("ada", "SELECT count(*) FROM system.quarantine").await, 5);
}

#[tokio::test]
async fn every_kind_of_file_becomes_rows() {
    let lab = lab::empty(|config| config);
    lab.land("k/csv/a.csv", "# made by X\nname;value\nα;1,5\nβ;2,25\n");
    lab.land("k/latin/a.csv", b"name,unit\nconc,\xb5M\nother,mM\n");
    lab.land("k/tsv/a.tsv", "name\tvalue\nx\t1\n");
    lab.land(
        "k/json/a.json",
        r#"[{"a": 1, "b": {"c": "x", "d": [1, 2]}}, {"a": 2, "b": null}]"#,
    );
    lab.land("k/ndjson/a.ndjson", "{\"a\": 1}\n{\"a\": 2.5}\n");
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("a\tb\n1\t2\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    lab.land("k/wide/a.txt", utf16);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"a,b\n1,2\n3,4\n").unwrap();
    lab.land("k/packed/a.csv.gz", packed.finish().unwrap());
    for (sql, wants) in [
        ("SELECT sum(value) FROM lab.k.csv", "3.75"),
        ("SELECT unit FROM lab.k.latin ORDER BY 1 DESC LIMIT 1", "µM"),
        ("SELECT value + 1 FROM lab.k.tsv", "| 2 "),
        (
            "SELECT b['c'] || array_to_string(b['d'], '-') FROM lab.k.json WHERE a = 1",
            "x1-2",
        ),
        ("SELECT sum(a) FROM lab.k.ndjson", "3.5"),
        ("SELECT a + b FROM lab.k.wide", "| 3 "),
        ("SELECT sum(a * b) FROM lab.k.packed", "| 14 "),
    ] {
        lab.until("ada", sql, |answer| {
            answer.as_ref().is_ok_and(|text| text.contains(wants))
        })
        .await;
    }
}

#[tokio::test]
async fn system_files_tells_how_each_file_was_understood() {
    let lab = lab::empty(|config| config);
    lab.land(
        "chemistry/runs/a.csv",
        "Instrument: HPLC 7\nSerial number: X-17\n\nname,colour\na,red\nb,blue\n",
    );
    let of_file = "SELECT confidence, doubts, grouped_by, properties FROM system.files WHERE path LIKE '%a.csv'";
    lab.until("ada", of_file, |answer| {
        answer.as_ref().is_ok_and(|text| {
            [
                "0.85",
                "nothing but its place makes the first row a header",
                "its folder chemistry/runs",
                "\"Serial number\":\"X-17\"",
            ]
            .iter()
            .all(|part| text.contains(part))
        })
    })
    .await;
    // What an administrator pins is followed, and said.
    lab.land(
        "chemistry/runs/_labhouse.toml",
        "table = \"colours\"\n[read]\nheader_row = 4\n",
    );
    lab.until("ada", of_file, |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("| 1.0 ") && text.contains("pinned in chemistry/runs/_labhouse.toml"))
    })
    .await;
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.colours").await, 2);
    // They left the table that they were in with the commit that follows.
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 0 "))
    })
    .await;
}

#[test]
fn crawl_says_what_became_of_every_file() {
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let landing = own.path().join("landing/chemistry");
    std::fs::create_dir_all(landing.join("runs")).unwrap();
    write_old(&landing.join("runs/a.csv"), "a,b\n1,2\n");
    let crawl = || {
        Command::new(BINARY)
            .args(["crawl", "--json", "--config"])
            .arg(own.path().join("labhouse.toml"))
            .output()
            .unwrap()
    };
    let first = crawl();
    let line: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert!(first.status.success());
    assert_eq!(
        (line["status"].as_str(), line["rows"].as_u64()),
        (Some("loaded"), Some(1))
    );
    assert_eq!(
        (line["confidence"].as_f64(), &line["doubts"]),
        (Some(1.0), &serde_json::Value::Null)
    );
    assert_eq!(line["grouped_by"], "its folder chemistry/runs");
    let second: serde_json::Value = serde_json::from_slice(&crawl().stdout).unwrap();
    assert_eq!(second["status"], "unchanged");
    assert_eq!(second["confidence"], line["confidence"], "known from the ledger");

    // What waits for somebody to mend it is no success, either.
    let settings = landing.join("runs/_labhouse.toml");
    write_old(&settings, "[read]\ndecimal = 5\n");
    write_old(&landing.join("runs/b.csv"), "a,b\n3,4\n");
    let blocked = crawl();
    assert!(!blocked.status.success());
    assert!(String::from_utf8_lossy(&blocked.stdout).contains("\"blocked\":true"));
    std::fs::remove_file(settings).unwrap();
    assert!(crawl().status.success());

    write_old(&landing.join("runs/bad.csv"), "");
    let third = crawl();
    assert!(!third.status.success(), "something failed, so the exit code says so");
    assert!(String::from_utf8_lossy(&third.stdout).contains("quarantined"));
}

/// A file that has settled long ago.
fn write_old(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(old)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_told_for_what_they_hold() {
    let lab = lab::empty(|config| config);
    lab.land(
        "chemistry/assays/a.csv",
        "Plate ID,Well,Compound SMILES,Conc. (µM),Measured by,Contact,Remark\n\
         P1,A1,CC(=O)Nc1ccc(O)cc1,1.5,Mara Lind,mara@lab.example,fine\n\
         P1,A2,O=C(O)c1ccccc1,3,Jon Berg,jon@lab.example,ask mara@lab.example\n",
    );
    let told = |condition: &str| {
        format!("SELECT count(*) FROM system.proposed_tags WHERE table_name = 'assays' AND {condition}")
    };
    let there = |text: &Result<String, String>| text.as_ref().is_ok_and(|text| !text.contains("| 0 "));
    lab.until("ada", &told("tag = 'pii'"), there).await;
    for condition in [
        "column_name = 'plate_id' AND tag = 'kind' AND value = 'plate'",
        "column_name = 'well' AND tag = 'kind' AND value = 'well'",
        "column_name = 'compound_smiles' AND tag = 'kind' AND value = 'smiles'",
        "column_name LIKE 'conc%' AND tag = 'unit' AND value = 'µM'",
        "column_name = 'measured_by' AND tag = 'pii' AND value = 'true' AND NOT is_set",
        "column_name = 'contact' AND tag = 'kind' AND value = 'email'",
    ] {
        assert_eq!(lab.number("ada", &told(condition)).await, 1, "{condition}");
    }
    assert_eq!(lab.number("ada", &told("column_name = 'remark'")).await, 0);
    // A proposal decides nothing: analysts may not see personal data, and these became such only when somebody said so.
    let contact = "SELECT count(contact) FROM lab.chemistry.assays";
    assert_eq!(lab.number("ana", contact).await, 2);
    lab.update(
        "ada",
        "ALTER TABLE lab.chemistry.assays ALTER COLUMN contact SET TAGS (pii = true)",
    )
    .await
    .unwrap();
    assert!(lab.query("ana", contact).await.is_err());
    assert_eq!(
        lab.number("ada", &told("column_name = 'contact' AND tag = 'pii' AND is_set"))
            .await,
        1
    );
    let found = "SELECT count(*) FROM search_catalog('smiles') WHERE column_name = 'compound_smiles'";
    assert_eq!(lab.number("ana", found).await, 1);
    for who in ["ana", "guest"] {
        assert!(
            lab.query(who, "SELECT * FROM system.proposed_tags").await.is_err(),
            "{who}"
        );
    }
}
