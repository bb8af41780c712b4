//! Molecules: descriptors against ChEMBL's own, what is no molecule, and what a model makes of a SMILES column.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float64Type;
use labhouse_udfs::{Descriptors, FeatureKind, describe};

use crate::data::{Dice, batch, fit, floats, r2, texts};

const CHEMBL: &str = "/work/shared/data/chembl/compound_properties.csv";

#[test]
fn descriptors_equal_chembls_on_all_but_a_few_compounds() {
    let Ok(text) = std::fs::read_to_string(CHEMBL) else {
        println!("skipped: {CHEMBL} is not here");
        return;
    };
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (smiles, places) = (place("canonical_smiles"), Descriptors::NAMES.map(place));
    let (mut rows, mut unequal) = (0, [0; 8]);
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        rows += 1;
        let found = describe(fields[smiles])
            .unwrap_or_else(|| panic!("{} is a molecule", fields[smiles]))
            .values();
        for (number, (value, place)) in found.iter().zip(places).enumerate() {
            // ChEMBL gives two decimals.
            let told: f64 = fields[place].parse().unwrap();
            unequal[number] += usize::from((value - told).abs() > 0.0051);
        }
    }
    println!(
        "{rows} compounds, unequal: {:?}",
        Descriptors::NAMES.iter().zip(unequal).collect::<Vec<_>>()
    );
    assert!(rows > 8_000);
    assert!(unequal.iter().all(|count| count * 1_000 <= rows), "{unequal:?}");
}

#[test]
fn a_molecule_is_the_same_however_it_is_written() {
    let alike = [
        ("c1ccccc1", "C1=CC=CC=C1"),
        ("c1ccncc1", "C1=NC=CC=C1"),
        ("c1ccc2[nH]ccc2c1", "C12=CC=CC=C1NC=C2"),
        ("Cc1cc(C)on1", "CC1=CC(C)=NO1"),
        ("O=c1cc[nH]cc1", "O=C1C=CNC=C1"),
        ("c1ccc2ccccc2c1", "C1=CC2=CC=CC=C2C=C1"),
        ("CC", "[H]C([H])([H])C([H])([H])[H]"),
        ("C[N+](=O)[O-]", "CN(=O)=O"),
        ("OCC", "C(O)C"),
        ("C1CC1", "C%10CC%10"),
        ("c1ccccc1-c1ccccc1", "c1ccccc1c1ccccc1"),
    ];
    for (one, other) in alike {
        let (one, other) = (describe(one).expect(one), describe(other).expect(other));
        let near = one
            .values()
            .iter()
            .zip(other.values())
            .all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near, "{one:?} {other:?}");
    }
    assert_ne!(describe("C1CCCCC1"), describe("c1ccccc1"));
}

#[test]
fn what_is_no_molecule_is_none() {
    for text in [
        "",
        " ",
        "C(",
        "C)",
        "C1CC",
        "C==C",
        "[Xx]",
        "[C",
        "C]",
        "c1ccccc",
        "(C)C",
        "C..C",
        "=C",
        "C=",
        "%1",
        "C%1",
        "C11",
        "[C+-]",
        "[9999C]",
        "hello",
        "P1",
        "NaCl",
        "λ",
        "C\u{0}",
        "[CH99999]",
        "C$",
        ".C",
    ] {
        assert_eq!(describe(text), None, "{text:?}");
    }
    assert_eq!(describe(&"C".repeat(5_000)), None);
    assert_eq!(describe(&"(".repeat(1_000)), None);
    assert!(describe(&"C".repeat(900)).is_some());
    assert!(describe(&format!("C{}", "(C".repeat(150) + &")".repeat(150))).is_some());
}

proptest::proptest! {
    /// Whatever the text: an answer, finite numbers, no panic.
    #[test]
    fn any_text_is_answered(text in "[CcNnOoSPFIBrl1-9%()=#\\[\\]+@H./\\\\-]{0,40}") {
        if let Some(found) = describe(&text) {
            proptest::prop_assert!(found.values().iter().all(|value| value.is_finite()), "{text} {found:?}");
        }
    }
}

/// Alcohols, acids, amines and chlorides with chains and rings of several sizes: `count` different molecules.
fn library(count: usize) -> Vec<String> {
    let heads = ["O", "N", "Cl", "F", "OC(=O)", "NC(=O)", "N#C", "CS"];
    let cores = ["C1CCCCC1", "c1ccccc1", "c1ccncc1", "C1CCOC1"];
    let mut all = Vec::new();
    for length in 1..20 {
        for head in heads {
            for core in cores {
                all.push(format!("{head}{}{core}", "C".repeat(length)));
            }
        }
    }
    all.truncate(count);
    all
}

#[test]
fn a_law_of_structure_reaches_molecules_that_training_never_saw() {
    let molecules = library(400);
    let value = |smiles: &String| {
        let found = describe(smiles).unwrap();
        3.0 * found.rtb - 4.0 * found.alogp + 0.2 * found.psa
    };
    let mut dice = Dice(71);
    let mut order: Vec<(u64, String)> = molecules.into_iter().map(|smiles| (dice.roll(), smiles)).collect();
    order.sort_unstable();
    let smiles: Vec<String> = order.into_iter().map(|(_, smiles)| smiles).collect();
    let table = batch(vec![
        ("compound", texts(&smiles)),
        ("y", floats(smiles.iter().map(value))),
    ]);
    let (seen, unseen) = (table.slice(0, 300), table.slice(300, 100));
    let model = fit(&seen, "y", 20).unwrap();
    assert_eq!(model.features()[0].kind, FeatureKind::Smiles);
    let columns: Vec<ArrayRef> = vec![unseen["compound"].clone()];
    let found = r2(
        &model.predict(&columns).unwrap(),
        unseen["y"].as_primitive::<Float64Type>(),
    );
    assert!(found > 0.9, "R² {found}");
    let again = labhouse_udfs::Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(again.predict(&columns).unwrap(), model.predict(&columns).unwrap());
    // What is no molecule is answered all the same, and so is NULL.
    let odd: ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![
        Some("C1CC"),
        None,
        Some(""),
        Some("not one"),
    ]));
    let answers = model.predict(&[odd]).unwrap();
    assert!(answers.null_count() == 0 && answers.values().iter().all(|value| value.is_finite()));
}

#[test]
fn codes_and_words_that_happen_to_parse_are_no_molecules() {
    let codes = ["CO", "NO", "OFF", "ON", "B", "C", "CN", "I"];
    let table = batch(vec![
        ("state", texts(&(0..80).map(|i| codes[i % 8]).collect::<Vec<_>>())),
        ("y", floats((0..80).map(|i| (i % 8) as f64 + 0.01 * i as f64))),
    ]);
    let model = fit(&table, "y", 2).unwrap();
    assert_eq!(model.features()[0].kind, FeatureKind::Category);
}

#[test]
fn malformed_molecules_among_the_rows_are_counted_and_known_by_name() {
    let good = library(38);
    let all: Vec<String> = good.into_iter().chain(["C1CC", "not[one"].map(str::to_owned)).collect();
    let smiles: Vec<&String> = (0..200).map(|row| &all[row % 40]).collect();
    let y = (0..200).map(|row| if row % 40 < 38 { (row % 7) as f64 } else { 50.0 });
    let table = batch(vec![("smiles", texts(&smiles)), ("y", floats(y))]);
    let model = fit(&table, "y", 10).unwrap();
    assert_eq!(model.features()[0].kind, FeatureKind::Smiles);
    let told = model.card().into_iter().find(|(key, _)| key == "no_molecule: smiles");
    assert!(told.unwrap().1.starts_with("2 of 40 texts"));
    let asked = texts(&["C1CC", "C1CCC", &all[0]]);
    let said = model.predict(&[asked]).unwrap();
    // The known malformed one by its name; of an unknown one only that it is none is known, as of the others.
    assert!(
        said.value(0) > 35.0 && said.value(1).is_finite() && said.value(2) < 15.0,
        "{said:?}"
    );
}

#[test]
fn a_few_other_texts_that_sort_first_do_not_make_molecules_names() {
    let y = |count: usize| floats((0..count).map(|row| (row % 17) as f64));
    let mixed = |molecules: usize, others: usize| -> Vec<String> {
        let others = (0..others).map(|number| format!("(pending {number})"));
        library(molecules).into_iter().chain(others).collect()
    };
    for name in ["smiles", "compound"] {
        let all = mixed(400, 40);
        let model = fit(&batch(vec![(name, texts(&all)), ("y", y(440))]), "y", 2).unwrap();
        assert_eq!(model.features()[0].kind, FeatureKind::Smiles, "{name}");
        let told = model.card().into_iter().find(|(key, _)| key.starts_with("no_molecule"));
        assert!(told.is_some_and(|(_, told)| told.starts_with("40 of 440 texts")));
    }
    // Where most are none, the name alone makes no molecules of them, and that is said.
    let all = mixed(100, 200);
    let refused = fit(&batch(vec![("smiles", texts(&all)), ("y", y(300))]), "y", 2).unwrap_err();
    assert!(refused.to_string().contains("only 67 are molecules"), "{refused}");
    let names: Vec<&String> = all[80..120].iter().cycle().take(300).collect();
    let names = batch(vec![("smiles", texts(&names)), ("y", y(300))]);
    let model = fit(&names, "y", 2).unwrap();
    assert_eq!(model.features()[0].kind, FeatureKind::Category);
    let told = model.card().into_iter().find(|(key, _)| key == "no_molecule: smiles");
    assert!(told.is_some_and(|(_, told)| told.contains("only 20 are molecules")));
}
