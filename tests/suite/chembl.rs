//! `examples/chembl/load.sh`: files as ChEMBL releases them become tables by one command.

use std::path::Path;
use std::process::Command;

use crate::lab::{self, BINARY};

fn molecule(name: &str) -> String {
    format!(
        "{name}\n  ChEMBL\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 C   0  0\n    1.0000    0.0000    0.0000 O   0  0\n  1  2  1  0\nM  END\n> <chembl_id>\n{name}\n\n$$$$\n"
    )
}

fn load(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/chembl/load.sh");
    let done = Command::new("bash")
        .arg(script)
        .arg("--config")
        .arg(dir.join("labhouse.toml"))
        .args(arguments)
        .env("LABHOUSE", BINARY)
        .env("PART_LINES", "2")
        .env("PART_RECORDS", "2")
        .env_remove("CHEMBL_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &*String::from_utf8_lossy(&done.stderr);
    (done.status.success(), text)
}

/// Tables with their rows and files, as `crawl --json` tells them.
fn tables(dir: &Path) -> Vec<(String, u64, usize)> {
    let done = Command::new(BINARY)
        .args(["crawl", "--json", "--config"])
        .arg(dir.join("labhouse.toml"))
        .output()
        .unwrap();
    let mut tables = std::collections::BTreeMap::<String, (u64, usize)>::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let file: serde_json::Value = serde_json::from_str(line).unwrap();
        if file["path"].as_str().unwrap().ends_with("_labhouse.toml") {
            continue;
        }
        assert_eq!(file["status"], "unchanged", "{line}");
        let table = tables
            .entry(file["tables"][0].as_str().unwrap().to_owned())
            .or_default();
        table.0 += file["rows"].as_u64().unwrap();
        table.1 += 1;
    }
    tables
        .into_iter()
        .map(|(name, (rows, files))| (name, rows, files))
        .collect()
}

#[test]
fn a_release_at_hand_becomes_tables_and_is_loaded_once() {
    let own = tempfile::tempdir().unwrap();
    let (dir, release) = (own.path().join("lab"), own.path().join("release"));
    std::fs::create_dir_all(&release).unwrap();
    lab::lay_out_empty(&dir);
    let head = "chembl_id\tcanonical_smiles\tstandard_inchi\tstandard_inchi_key\n";
    let rows: String = (1..=5)
        .map(|n| format!("CHEMBL{n}\t{}O\tInChI=1S/x/c{n}\tAAAA-{n}\n", "C".repeat(n)))
        .collect();
    let molecules: String = (1..=3).map(|n| molecule(&format!("CHEMBL{n}"))).collect();
    for (name, text) in [
        ("chembl_36_chemreps.txt", format!("{head}{rows}")),
        ("chembl_36.sdf", molecules),
        (
            "chembl_uniprot_mapping.txt",
            "P21266\tCHEMBL2242\tGlutathione S-transferase Mu 3\tSINGLE PROTEIN\nO00519\tCHEMBL2243\tAnandamide amidohydrolase\tSINGLE PROTEIN\n".to_owned(),
        ),
        (
            "compound_properties.csv",
            "molregno,alogp,full_mwt,rtb\n1,2.5,180.2,3\n2,,200.1,1\n".to_owned(),
        ),
        ("README", "ChEMBL 36\n".to_owned()),
    ] {
        std::fs::write(release.join(name), text).unwrap();
    }
    for name in ["chembl_36_chemreps.txt", "chembl_36.sdf"] {
        assert!(Command::new("gzip").arg(release.join(name)).status().unwrap().success());
    }
    let from = release.to_str().unwrap();
    let (done, text) = load(&dir, &["--from", from]);
    assert!(done && text.contains("README: left"), "{text}");
    let wanted = [
        ("chembl.chemreps".to_owned(), 5, 3),
        ("chembl.compound_properties".to_owned(), 2, 1),
        ("chembl.molecules".to_owned(), 3, 2),
        ("chembl.uniprot_mapping".to_owned(), 2, 1),
    ];
    assert_eq!(tables(&dir), wanted, "{text}");
    let (done, text) = load(&dir, &["--from", from]);
    assert!(done, "{text}");
    assert_eq!(tables(&dir), wanted);
    let (done, text) = load(&dir, &["--from", "/nowhere"]);
    assert!(!done && text.contains("no folder /nowhere"), "{text}");
    let (done, text) = load(&dir, &["--form", from]);
    assert!(!done && text.contains("--config"), "{text}");
}

/// A database as ChEMBL releases it: packed, two folders deep.
fn database(release: &Path) {
    let make = "
import sqlite3, sys, tarfile, os
path = sys.argv[1] + '/chembl_36.db'
db = sqlite3.connect(path)
db.execute('CREATE TABLE MOLECULE_DICTIONARY (molregno BIGINT NOT NULL, pref_name VARCHAR(255), chembl_id VARCHAR(20), max_phase NUMERIC(2,1))')
db.executemany('INSERT INTO MOLECULE_DICTIONARY VALUES (?,?,?,?)',
    [(1, '007', 'CHEMBL1', 4), (2, None, 'CHEMBL2', 0.5), (3, 'a \"b\",\\nc', 'CHEMBL3', None)])
db.execute('CREATE TABLE activities (activity_id INTEGER, standard_value NUMERIC, standard_units VARCHAR(100), \"Raw Text\" VARCHAR(9), spectrum BLOB)')
db.executemany('INSERT INTO activities VALUES (?,?,?,?,?)', [(n, n * 1.5, 'nM', '0%d' % n, bytes([255, n])) for n in range(5)])
db.execute('CREATE TABLE no_rows (id INTEGER)')
db.commit(); db.close()
with tarfile.open(sys.argv[1] + '/chembl_36_sqlite.tar.gz', 'w:gz') as out:
    out.add(path, 'chembl_36/chembl_36_sqlite/chembl_36.db')
os.remove(path)
";
    let made = Command::new("python3").args(["-c", make]).arg(release).status();
    assert!(made.unwrap().success());
}

#[tokio::test]
async fn a_released_database_becomes_tables_with_its_own_types() {
    let own = tempfile::tempdir().unwrap();
    let (dir, release) = (own.path().join("lab"), own.path().join("release"));
    std::fs::create_dir_all(&release).unwrap();
    lab::lay_out_empty(&dir);
    database(&release);
    let from = release.to_str().unwrap();
    let (done, text) = load(&dir, &["--from", from]);
    assert!(done && text.contains("no_rows -> lab.chembl.no_rows, 0 rows"), "{text}");
    let wanted = [
        ("chembl.activities".to_owned(), 5, 3),
        ("chembl.molecule_dictionary".to_owned(), 3, 2),
    ];
    assert_eq!(tables(&dir), wanted, "{text}");
    let (done, text) = load(&dir, &["--from", from]);
    assert!(done, "{text}");
    assert_eq!(tables(&dir), wanted, "loaded once");

    let mut serve = Command::new(BINARY);
    let serve = serve.args(["serve", "--config"]).arg(dir.join("labhouse.toml"));
    let lab = lab::start(serve, &dir, Some(own));
    let answer = lab
        .text(
            "ada",
            "SELECT molregno, pref_name, max_phase, arrow_typeof(pref_name) AS kind FROM lab.chembl.molecule_dictionary WHERE molregno < 3 ORDER BY 1",
        )
        .await;
    assert!(
        answer.contains("| 1        | 007 ") && answer.contains("| 4.0 ") && answer.contains("Utf8"),
        "{answer}"
    );
    let kept =
        "SELECT count(*) FROM lab.chembl.molecule_dictionary WHERE pref_name = E'a \"b\",\nc' AND max_phase IS NULL";
    assert_eq!(lab.number("ada", kept).await, 1);
    let told = "SELECT count(*) FROM lab.chembl.activities WHERE raw_text = '0' || activity_id AND spectrum = 'ff0' || activity_id";
    assert_eq!(lab.number("ada", told).await, 5);
}
