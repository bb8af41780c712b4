//! RXN and RD files.

use super::molecules::{molfile, v3000};
use super::{ReadError, column, floats, ints, parse, schema, table};

/// A reaction of so many reactants, products and agents, as V2000.
fn rxn(name: &str, counts: [usize; 3]) -> String {
    let [reactants, products, agents] = counts;
    let shown = if agents > 0 {
        format!("{agents:3}")
    } else {
        String::new()
    };
    let mut text = format!("$RXN\n{name}\n  test\n\n{reactants:3}{products:3}{shown}\n");
    for at in 0..reactants + products + agents {
        text.push_str(&format!("$MOL\n{}", molfile(&format!("m{at}"), at + 1)));
    }
    text
}

/// The same as V3000.
fn rxn_v3000(announced: &str, reactants: usize, products: usize) -> String {
    let mut text = format!("$RXN V3000\nesterification\n  test\n\nM  V30 COUNTS {announced}\n");
    for (section, count) in [("REACTANT", reactants), ("PRODUCT", products)] {
        text.push_str(&format!("M  V30 BEGIN {section}\n"));
        for _ in 0..count {
            let whole = v3000(2, 2);
            let table = whole.lines().filter(|line| line.starts_with("M  V30 "));
            table.for_each(|line| text.push_str(&format!("{line}\n")));
        }
        text.push_str(&format!("M  V30 END {section}\n"));
    }
    text + "M  END\n"
}

#[test]
fn a_reaction_is_a_row_with_its_structure_as_it_stands() {
    let text = rxn("coupling", [2, 1, 1]);
    let batch = table("a.rxn", text.clone());
    let columns = [
        "reaction_name: Utf8",
        "rxnblock: Utf8",
        "reactants: Int64",
        "products: Int64",
        "agents: Int64",
    ];
    assert_eq!(schema(&batch), columns);
    assert_eq!(column(&batch, "reaction_name"), ["coupling"]);
    assert_eq!(column(&batch, "rxnblock")[0], text.trim_end());
    assert_eq!(ints(&batch, "reactants"), [Some(2)]);
    assert_eq!(ints(&batch, "agents"), [Some(1)]);
    // Windows' ends of lines, several in a file, none called by its name.
    let two = format!("{}{}", rxn("", [1, 1, 0]), rxn("b", [3, 2, 0]));
    let batch = table("two", two.replace('\n', "\r\n"));
    assert_eq!(ints(&batch, "reactants"), [Some(1), Some(3)]);
    assert_eq!(ints(&batch, "agents"), [Some(0), Some(0)]);
    let batch = table("a.rxn", rxn_v3000("2 1", 2, 1));
    assert_eq!(column(&batch, "reaction_name"), ["esterification"]);
    assert_eq!(ints(&batch, "products"), [Some(1)]);
}

fn rd() -> String {
    let mut text = "$RDFILE 1\n$DATM 11/26/26 10:41\n".to_owned();
    for (number, amount, lot) in [(7, "87.5", "007"), (12, "90", "L2")] {
        text.push_str(&format!("$RFMT $RIREG {number}\n{}", rxn("", [2, 1, 0])));
        text.push_str(&format!(
            "$DTYPE RXN:VARIATION(1):YIELD\n$DATUM {amount}\n$DTYPE RXN:LOT\n$DATUM {lot}\n"
        ));
    }
    // A value longer than a line, one of two lines, and a structure among the data.
    let long = "x".repeat(73);
    text.push_str(&format!(
        "$DTYPE RXN:NOTE\n$DATUM {long}+\nyz\n$DTYPE RXN:STEPS\n$DATUM stir\nheat\n"
    ));
    text.push_str(&format!("$DTYPE RXN:CATALYST\n$DATUM $MFMT\n{}", molfile("pd", 2)));
    text
}

#[test]
fn an_rd_file_gives_a_typed_column_for_each_kind_of_data() {
    let batch = table("a.rdf", rd());
    assert_eq!(
        schema(&batch)[5..],
        [
            "registry_number: Utf8",
            "RXN:VARIATION(1):YIELD: Float64",
            "RXN:LOT: Utf8",
            "RXN:NOTE: Utf8",
            "RXN:STEPS: Utf8",
            "RXN:CATALYST: Utf8"
        ]
    );
    assert_eq!(column(&batch, "registry_number"), ["7", "12"]);
    assert_eq!(floats(&batch, "RXN:VARIATION(1):YIELD"), [Some(87.5), Some(90.0)]);
    assert_eq!(column(&batch, "RXN:LOT"), ["007", "L2"]);
    assert_eq!(column(&batch, "RXN:NOTE")[1], format!("{}yz", "x".repeat(73)));
    assert_eq!(column(&batch, "RXN:STEPS")[1], "stir\nheat");
    assert!(column(&batch, "RXN:CATALYST")[1].contains("V2000"));
    let parsed = parse("a.rdf", rd()).unwrap();
    assert_eq!(parsed.properties["date"], "11/26/26 10:41");
    assert!(parsed.taken_for.contains("2 reactions"), "{}", parsed.taken_for);
    // Molecules beside reactions are a table of their own; a record may be known by its number alone.
    let mixed = format!(
        "{}$MFMT $MIREG 3\n{}$DTYPE MOL:NAME\n$DATUM ethane\n$RIREG 99\n",
        rd(),
        molfile("e", 2)
    );
    let parsed = parse("a.rdf", mixed).unwrap();
    assert_eq!(parsed.blocks.len(), 2);
    assert_eq!(parsed.blocks[0].batches[0].num_rows(), 3);
    assert_eq!(parsed.blocks[1].name.as_deref(), Some("molecules"));
    assert_eq!(column(&parsed.blocks[1].batches[0], "MOL:NAME"), ["ethane"]);
}

#[test]
fn a_reaction_that_lacks_what_it_announces_is_refused_with_its_place() {
    let good = rxn("a", [1, 1, 0]);
    for (text, says) in [
        (
            good.replacen("  1  1", "  2  1", 1),
            "announces 3 molecules and holds 2",
        ),
        (good.replacen("  1  1", "  x  1", 1), "no line of counts"),
        (good.replacen("M  END\n", "", 2), "ends within a molfile"),
        (good.replacen("  1  0  0  0", "  9  0  0  0", 1), "announces 9 atoms"),
        (rxn_v3000("3 1", 2, 1), "announces [3, 1, 0]"),
        (
            rxn_v3000("2 1", 2, 1).replacen("M  END\n", "", 1),
            "ends within a reaction",
        ),
        (format!("$RDFILE 1\n$RFMT\n{good}stray\n"), "\"stray\""),
        (
            format!("$RDFILE 1\n$RFMT\n{good}$DTYPE a\n$DTYPE b\n"),
            "a has no $DATUM",
        ),
        ("$RDFILE 1\n$DTYPE a\n$DATUM 1\n".to_owned(), "before the first record"),
    ] {
        let error = parse("a.rdf", text.clone()).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{text}: {error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    assert!(parse("a.rdf", "$RDFILE 1\n$DATM 1/1/26\n").is_err());
}
