//! SD files and lists of SMILES.

use super::{ReadError, column, floats, ints, parse, schema, table, type_of};
use arrow::datatypes::DataType;

/// A molfile of carbons in a row.
pub(super) fn molfile(name: &str, atoms: usize) -> String {
    let mut text = format!(
        "{name}\n  test\n\n{atoms:3}{:3}  0  0  0  0  0  0  0  0999 V2000\n",
        atoms - 1
    );
    for atom in 0..atoms {
        text.push_str(&format!("{:10.4}{:10.4}{:10.4} C   0  0\n", atom as f64, 0.0, 0.0));
    }
    for bond in 1..atoms {
        text.push_str(&format!("{bond:3}{:3}  1  0\n", bond + 1));
    }
    text + "M  END\n"
}

pub(super) fn v3000(atoms: usize, announced: usize) -> String {
    let mut text = format!(
        "\n  test\n\n  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\nM  V30 COUNTS {announced} 0 0 0 0\nM  V30 BEGIN ATOM\n"
    );
    for atom in 1..=atoms {
        text.push_str(&format!("M  V30 {atom} C {atom}.0 0 0 0 -\nM  V30 CHG=1\n"));
    }
    text + "M  V30 END ATOM\nM  V30 END CTAB\nM  END\n"
}

#[test]
fn one_row_a_record_and_a_typed_column_an_item() {
    let mut text = String::new();
    for (name, atoms, ic50, lot) in [
        ("propane", 3, "0.5", "007"),
        ("ethane", 2, "12", "010"),
        ("butane", 4, "", "x"),
    ] {
        text.push_str(&molfile(name, atoms));
        text.push_str(&format!("> <IC50 (uM)>\n{ic50}\n\n>  <Lot>  (3)\n{lot}\n\n> 25 <made on>\n2026-03-04\n\n> <note>\nfirst line\nsecond <line> > 3\n\n$$$$\n"));
    }
    for (ending, text) in [("\n", text.clone()), ("\r\n", text.replace('\n', "\r\n"))] {
        let batch = table("library.sdf", text.clone());
        assert_eq!(
            schema(&batch),
            [
                "molecule_name: Utf8",
                "molblock: Utf8",
                "IC50 (uM): Float64",
                "Lot: Utf8",
                "made on: Date32",
                "note: Utf8"
            ],
            "{ending:?}"
        );
        assert_eq!(column(&batch, "molecule_name"), ["propane", "ethane", "butane"]);
        assert_eq!(floats(&batch, "IC50 (uM)"), [Some(0.5), Some(12.0), None]);
        assert_eq!(column(&batch, "Lot"), ["007", "010", "x"]);
        assert_eq!(column(&batch, "note")[0], "first line\nsecond <line> > 3");
        assert_eq!(column(&batch, "molblock")[1], molfile("ethane", 2).trim_end());
    }
    let parsed = parse("library.txt", text).unwrap();
    assert!(parsed.taken_for.starts_with("SDF (V2000)"), "{}", parsed.taken_for);
    assert_eq!(parsed.confidence.percent(), 100);
}

#[test]
fn records_need_not_have_the_same_items() {
    let text = format!(
        "{}> <a>\n1\n\n$$$$\n{}> <b>\n> <a>\n2\n\n> <a>\n3\n\n$$$$\n{}$$$$\n\n",
        molfile("", 1),
        v3000(2, 2),
        molfile("12", 2)
    );
    let batch = table("mixed.sdf", text);
    assert_eq!(column(&batch, "molecule_name"), ["∅", "∅", "12"]);
    assert_eq!(column(&batch, "a"), ["1", "2\n3", "∅"]);
    assert_eq!(type_of(&batch, "b"), DataType::Null);
}

#[test]
fn a_molfile_alone_is_one_row_and_numbers_may_carry_words() {
    assert_eq!(
        column(&table("a.mol", molfile("ethane", 2)), "molecule_name"),
        ["ethane"]
    );
    let mut text = String::new();
    for at in 0..20 {
        let value = if at == 7 { ">100".to_owned() } else { format!("{at}.5") };
        text.push_str(&format!("{}> <IC50>\n{value}\n\n$$$$\n", molfile("m", 2)));
    }
    let batch = table("assay.sdf", text);
    assert_eq!(floats(&batch, "IC50")[7], None);
    assert_eq!(column(&batch, "_rescued")[7], "{\"IC50\":\">100\"}");
}

#[test]
fn what_does_not_hold_what_it_announces_is_refused() {
    let good = molfile("a", 3);
    let cut_atoms = good.replacen("M  END\n", "", 1);
    let fewer = good
        .lines()
        .filter(|line| !line.starts_with("    1.0"))
        .collect::<Vec<_>>()
        .join("\n")
        + "\n";
    for (text, says) in [
        (format!("{fewer}$$$$\n"), "announces 3 atoms"),
        (format!("{good}$$$$\n{cut_atoms}"), "ends within its molfile"),
        (format!("{good}$$$$\n{good}> <a>\n5\n"), "before its $$$$"),
        (format!("{good}stray text\n$$$$\n"), "stray text"),
        (format!("{}$$$$\n", v3000(2, 3)), "announces 3 atoms"),
        (good.replacen("  3  2", "  x  2", 1) + "$$$$\n", "no line of counts"),
    ] {
        let error = parse("a.sdf", text.clone()).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{text}: {error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    // A table that is only called so stays a table.
    assert_eq!(table("list.sdf", "a,b\n1,2\n3,4\n").num_rows(), 2);
}

#[test]
fn lists_of_smiles() {
    let batch = table("a.smi", "CCO ethanol\nc1ccccc1 benzene ring\nCC(=O)O\n");
    assert_eq!(schema(&batch), ["smiles: Utf8", "name: Utf8"]);
    assert_eq!(column(&batch, "name"), ["ethanol", "benzene ring", "∅"]);
    let batch = table("a.smi", "CCO\tethanol\t-0.3\nCCN\tethylamine\t-0.1\n");
    assert_eq!(schema(&batch), ["smiles: Utf8", "name: Utf8", "column_3: Float64"]);
    let batch = table("a.smiles", "SMILES\tID\tlogP\nCCO\t1\t-0.3\nCCN\t2\t-0.1\n");
    assert_eq!(schema(&batch), ["SMILES: Utf8", "ID: Int64", "logP: Float64"]);
    assert_eq!(ints(&batch, "ID"), [Some(1), Some(2)]);
    assert_eq!(schema(&table("a.ism", "C\nCC\nCCC\n")), ["smiles: Utf8"]);
    // One broken line among many is a damaged list; another name, another thing.
    let mut many = "CCO x\n".repeat(20);
    many.push_str("what x\n");
    assert!(parse("a.smi", many).unwrap_err().to_string().contains("line 21"));
    assert_eq!(schema(&table("a.csv", "a,b\nCCO,ethanol\nCCN,amine\n"))[0], "a: Utf8");
}
