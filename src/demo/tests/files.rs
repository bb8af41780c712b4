//! The files: how many, how big, the same each time, readable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::super::lab::{INSTRUMENTS, Lab, Layout, PLATES, run_times};
use super::super::materials::day;
use super::super::{TAGS, departments, library, write};

/// Every file below `root`, by its path relative to it.
pub(super) fn all_files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// The demo as one run wrote it, shared by the tests that only read.
pub(super) fn written() -> &'static BTreeMap<String, Vec<u8>> {
    static WRITTEN: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &mut |_| {}).unwrap();
        all_files(folder.path())
    });
    &WRITTEN
}

/// The text of a file: unzipped, and decoded from UTF-16 if it says so.
pub(super) fn text(name: &str, bytes: &[u8]) -> String {
    if name.ends_with(".gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        return text;
    }
    match bytes {
        [0xFF, 0xFE, rest @ ..] => {
            let units: Vec<u16> = rest
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).unwrap()
        }
        _ => String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// A plain table: by column name, one map a row. Cells in quotes may hold the separator.
pub(super) fn table(text: &str, separator: char) -> Vec<HashMap<String, String>> {
    let cells = |line: &str| {
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        for character in line.trim_end_matches('\r').chars() {
            match character {
                '"' => quoted = !quoted,
                _ if character == separator && !quoted => cells.push(std::mem::take(&mut cell)),
                _ => cell.push(character),
            }
        }
        cells.push(cell);
        cells
    };
    let mut lines = text.lines();
    let header = cells(lines.next().unwrap());
    lines
        .map(|line| {
            let row = cells(line);
            assert_eq!(row.len(), header.len(), "{line}");
            header.iter().cloned().zip(row).collect()
        })
        .collect()
}

/// (plate, well) -> yield, from whichever layout the file has.
pub(super) fn readings(name: &str, bytes: &[u8]) -> Vec<(String, String, Option<f64>)> {
    let text = text(name, bytes);
    let row = |row: HashMap<String, String>| {
        let percent = row["yield_pct"].replace(',', ".");
        (
            row["plate_id"].clone(),
            row["well"].clone(),
            (!percent.is_empty()).then(|| percent.parse().unwrap()),
        )
    };
    if name.contains("orion") {
        let (head, list) = text.split_once("\n\n").unwrap();
        assert!(head.starts_with("Instrument,Orion PR3\n"), "{head}");
        return table(list, ',').into_iter().map(row).collect();
    }
    if name.contains("lyra") {
        return table(&text, ';').into_iter().map(row).collect();
    }
    let (head, matrix) = text.split_once("\r\n\r\n").unwrap();
    let plate = head.lines().next().unwrap().strip_prefix("Plate ID:\t").unwrap();
    let mut lines = matrix.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').skip(1).collect();
    assert_eq!(header.len(), 24);
    let mut wells = Vec::new();
    for line in lines {
        let (letter, cells) = line.split_once('\t').unwrap();
        let cells: Vec<&str> = cells.split('\t').collect();
        assert_eq!(cells.len(), 24, "{name}: {line}");
        for (column, cell) in header.iter().zip(cells) {
            wells.push((
                plate.to_owned(),
                format!("{letter}{column}"),
                Some(cell.parse().unwrap()),
            ));
        }
    }
    wells
}

fn rows(files: &BTreeMap<String, Vec<u8>>, folder: &str, separator: char) -> Vec<HashMap<String, String>> {
    let chosen: Vec<_> = files.iter().filter(|(name, _)| name.starts_with(folder)).collect();
    assert!(!chosen.is_empty(), "{folder}");
    chosen
        .into_iter()
        .flat_map(|(name, bytes)| table(&text(name, bytes), separator))
        .collect()
}

#[test]
fn two_runs_write_the_same_bytes_and_a_second_run_in_place_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    write(folder.path(), &mut |line| told.push(line.to_owned())).unwrap();
    let first = all_files(folder.path());
    write(folder.path(), &mut |_| {}).unwrap();
    assert!(first == all_files(folder.path()));
    assert!(first == *written());
    assert!(first.keys().all(|name| !name.ends_with(".part")));
    assert!(
        told.last().unwrap().starts_with(&format!("{} files", first.len())),
        "{told:?}"
    );
}

#[test]
fn a_landing_that_is_a_file_is_refused_with_its_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = write(file.path(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
}

#[test]
fn all_layouts_occur_and_every_plate_has_384_wells() {
    let files = written();
    let mut wells = HashSet::new();
    let mut empty = 0;
    for suffix in ["orion.csv", "orion.csv.gz", "lyra.csv", "vega.txt"] {
        assert!(
            files.keys().filter(|name| name.ends_with(suffix)).count() >= 3,
            "{suffix}"
        );
    }
    for (name, bytes) in files
        .iter()
        .filter(|(name, _)| name.starts_with("chemistry/plate_readings/"))
    {
        let readings = readings(name, bytes);
        assert_eq!(readings.len(), 384, "{name}");
        for (plate, well, percent) in readings {
            assert!(name.contains(&plate), "{name} holds {plate}");
            assert!(wells.insert((plate, well)));
            empty += u32::from(percent.is_none());
            assert!(percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }
    }
    assert_eq!(wells.len(), PLATES * 384);
    assert!((20..200).contains(&empty), "{empty} wells without a reading");
}

#[test]
fn the_four_months_are_full() {
    let times = run_times();
    assert_eq!(times.len(), PLATES, "a time for every plate, none left over");
    assert!(times.is_sorted());
    assert_eq!((times[0].date(), times[PLATES - 1].date()), (day(3, 2), day(6, 30)));
}

#[test]
fn the_other_tables_have_their_rows_and_join() {
    let files = written();
    let layout = rows(files, "chemistry/plate_layout/", ',');
    assert_eq!(layout.len(), PLATES * 384);
    let lots = rows(files, "chemistry/reagent_lots/", ',');
    assert_eq!(lots.len(), 6 * 3 + 4 + 4);
    let lot_names: HashSet<_> = lots.iter().map(|lot| lot["lot"].clone()).collect();
    assert_eq!(lot_names.len(), lots.len(), "a lot number names one lot");
    assert!(layout.iter().all(|well| lot_names.contains(&well["catalyst_lot"])));

    let mut plates = HashSet::new();
    let mut released = 0;
    for (name, bytes) in files
        .iter()
        .filter(|(name, _)| name.starts_with("chemistry/protocols/"))
    {
        let protocol: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert!(name.ends_with(&format!("{}.json", protocol["plate_id"].as_str().unwrap())));
        assert!(protocol["instrument"]["serial"].is_string());
        assert!(
            protocol["reagents"]
                .as_array()
                .unwrap()
                .iter()
                .all(|reagent| reagent["lot"].is_string()),
            "{name}"
        );
        plates.insert(protocol["plate_id"].as_str().unwrap().to_owned());
        released += u32::from(protocol["status"] == "released");
    }
    assert_eq!(plates.len(), PLATES);
    assert!((58..=77).contains(&released), "about 70 % of 96 plates, not {released}");
    assert_eq!(
        rows(files, "chembl/compound_properties/", ',').len(),
        departments::COMPOUNDS
    );
    assert_eq!(rows(files, "preclinical/dose_groups/", '\t').len(), 24);
    assert_eq!(rows(files, "assay/ic50/", '\t').len(), 420);

    let microsomes = &files["adme/clearance/microsomes_2026.csv"];
    assert!(
        microsomes.windows(7).any(|part| part == b"clint_\xB5"),
        "Latin-1 micro sign"
    );
    assert!(std::str::from_utf8(microsomes).is_err(), "and not UTF-8");
    let uses = files
        .iter()
        .filter(|(name, _)| name.starts_with("chemistry/reagent_use/"));
    assert!(
        uses.map(|(name, bytes)| text(name, bytes).lines().count())
            .sum::<usize>()
            > 700
    );
}

#[test]
fn the_library_lists_only_reactions_not_yet_run_each_once() {
    let files = written();
    let lab = Lab::run();
    let mut run = library::already_run(&lab)
        .into_iter()
        .map(|key| format!("{key:?}"))
        .collect::<HashSet<_>>();
    let rows = rows(files, "chemistry/virtual_library/", ',');
    assert_eq!(rows.len(), library::ROWS);
    for row in rows {
        let [scaffold, reactant, catalyst, base, solvent] =
            ["scaffold", "reactant", "catalyst", "base", "solvent"].map(|column| row[column].as_str());
        let key = (
            scaffold,
            reactant,
            catalyst,
            base,
            solvent,
            row["temperature_c"].parse::<i64>().unwrap(),
        );
        assert!(run.insert(format!("{key:?}")), "{key:?} was run or listed before");
    }
}

#[test]
fn compounds_and_bromides_are_distinct_and_their_structures_are_closed() {
    for bromide in [false, true] {
        let molecules = super::super::molecules::all(bromide);
        let names: HashSet<_> = molecules.iter().map(|molecule| &molecule.name).collect();
        let smiles: HashSet<_> = molecules.iter().map(|molecule| &molecule.smiles).collect();
        assert_eq!((names.len(), smiles.len()), (molecules.len(), molecules.len()));
        for molecule in &molecules {
            let count = |wanted: char| molecule.smiles.chars().filter(|character| *character == wanted).count();
            assert_eq!(count('('), count(')'), "{}", molecule.smiles);
            assert!(
                ['1', '2', '8'].iter().all(|ring| count(*ring) % 2 == 0),
                "{}",
                molecule.smiles
            );
            assert!(
                !molecule.smiles.contains('<') && !molecule.smiles.contains("()"),
                "{}",
                molecule.smiles
            );
        }
    }
    // Anisole-like check of the sums: 3-methoxy bromobenzene weighs 187.04 g/mol and has one rotatable bond.
    let all = super::super::molecules::all(true);
    let anisole = all
        .iter()
        .find(|molecule| molecule.name == "5-OMe-phenyl bromide")
        .unwrap();
    assert!((anisole.full_mwt - 187.036).abs() < 0.01, "{}", anisole.full_mwt);
    assert_eq!(
        (anisole.rtb, anisole.hba, anisole.hbd, anisole.heavy_atoms),
        (1, 1, 0, 9)
    );
}

#[test]
fn each_instrument_has_its_own_layout_and_tags_are_not_repeated() {
    let layouts = INSTRUMENTS.each_ref().map(|instrument| instrument.layout);
    assert_eq!(layouts, [Layout::List, Layout::DecimalComma, Layout::Matrix]);
    let keys: HashSet<_> = TAGS.iter().map(|(table, key, _)| (table, key)).collect();
    assert_eq!(keys.len(), TAGS.len());
}
