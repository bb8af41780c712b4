//! Values of a usual lab: numbers with words among them, tables side by side, days in other languages. Each form stands beside one
//! that only looks like it.

use arrow::datatypes::DataType;

use super::lab::{lines, tables};
use super::{column, floats, ints, schema, table, type_of};

fn list(count: usize, value: impl Fn(usize) -> String) -> String {
    format!("Sample,V\n{}", lines(count, |at| format!("S{at},{}", value(at))))
}

#[test]
fn words_for_what_could_not_be_given_leave_numbers_numbers() {
    let of = |every: usize, word: &'static str| {
        move |at: usize| {
            if at.is_multiple_of(every) {
                word.to_owned()
            } else {
                (1000 + at).to_string()
            }
        }
    };
    // Whole numbers, few values, most of them words, bounds of which each is another.
    let batch = table("a.csv", list(96, of(48, "OVER")));
    assert_eq!(ints(&batch, "V")[..2], [None, Some(1001)]);
    assert_eq!(column(&batch, "_rescued")[0], r#"{"V":"OVER"}"#);
    let batch = table("a.csv", list(6, of(3, "TNTC")));
    assert_eq!(ints(&batch, "V").iter().flatten().count(), 4);
    let undetermined = |at: usize| match at % 3 {
        0 => format!("2{}.5", at % 10),
        _ => "Undetermined".to_owned(),
    };
    let batch = table("a.csv", list(30, undetermined));
    assert_eq!(floats(&batch, "V").iter().flatten().count(), 10);
    let bounds = |at: usize| {
        if at.is_multiple_of(4) {
            format!("<0.0{}", 1 + at % 9)
        } else {
            format!("{at}.25")
        }
    };
    let batch = table("a.csv", list(20, bounds));
    assert_eq!(floats(&batch, "V")[..2], [None, Some(1.25)]);
    assert_eq!(column(&batch, "_rescued")[4], r#"{"V":"<0.05"}"#);
}

#[test]
fn words_that_are_names_leave_a_column_of_names() {
    let text = |value: &dyn Fn(usize) -> String| type_of(&table("a.csv", list(20, value)), "V") == DataType::Utf8;
    // Samples that are counted, controls among them, many words, more words than numbers, codes.
    assert!(text(&|at| if at % 5 == 0 {
        "blank".to_owned()
    } else {
        at.to_string()
    }));
    assert!(text(&|at| if at % 5 == 0 { "NEG".to_owned() } else { at.to_string() }));
    assert!(text(&|at| if at % 3 == 0 {
        format!("w{at}")
    } else {
        format!("{at}.5")
    }));
    assert!(text(&|at| if at % 3 != 0 {
        "vehicle".to_owned()
    } else {
        format!("{at}.5")
    }));
    assert!(text(&|at| if at % 3 == 0 {
        "TNTC".to_owned()
    } else {
        format!("00{at}")
    }));
    // Names of doses, of samples with their controls, and of versions.
    assert!(text(&|at| if at % 5 < 2 {
        "vehicle".to_owned()
    } else {
        format!("0.{at}")
    }));
    assert!(text(&|at| ["PC", "NC", "BL"]
        .get(at % 8)
        .map_or_else(|| format!("1.{at}"), |word| (*word).to_owned())));
    // Classes that are told by their bounds.
    assert!(text(&|at| if at % 2 == 0 {
        "<65".to_owned()
    } else {
        ">=65".to_owned()
    }));
    // A few codes of which one is such a word.
    assert_eq!(
        type_of(&table("a.csv", list(3, |at| ["a", "OVER", "7"][at].to_owned())), "V"),
        DataType::Utf8
    );
}

fn beside(left: usize, right: usize, of: impl Fn(usize) -> (String, String)) -> String {
    lines(left.max(right), |at| {
        let (one, two) = of(at);
        let blank = |text: &str| text.replace(|c: char| c != ',', "");
        let one = if at < left { one } else { blank(&one) };
        let two = if at < right { two } else { blank(&two) };
        format!("{one},,{two}")
    })
}

#[test]
fn tables_side_by_side_are_tables_of_their_own() {
    let both = |at: usize| (format!("Std {at},{at}.5,0.{at}"), format!("Q{at},1.{at}"));
    let text = format!("Run,R7\n\nStd,Conc,OD,,Sample,OD\n{}", beside(8, 30, both));
    let found = tables("a.csv", &text);
    assert_eq!(found.len(), 2, "{found:?}");
    let (main, std) = (&found[0].1, &found[1].1);
    assert_eq!((main.num_rows(), std.num_rows()), (30, 8));
    assert_eq!(found[1].0.as_deref(), Some("Std"));
    assert_eq!(schema(std), ["Std: Utf8", "Conc: Float64", "OD: Float64"]);
    assert_eq!(
        (column(main, "Sample")[29].as_str(), column(main, "Run")[29].as_str()),
        ("Q29", "R7")
    );
    // As many rows: the value comes again, and the right part names its own things.
    let found = tables("a.csv", &format!("Std,Conc,OD,,Sample,OD\n{}", beside(8, 8, both)));
    assert_eq!((found.len(), found[0].1.num_rows()), (2, 8));
    // Titles are names; the same columns are one table.
    let both = |at: usize| (format!("S{at},{at}.5"), format!("S{at},{at}.25"));
    let text = format!("Plate 1,,,Plate 2\nSample,OD,,Sample,OD\n{}", beside(8, 8, both));
    let batch = table("a.csv", text);
    assert_eq!(schema(&batch), ["section: Utf8", "Sample: Utf8", "OD: Float64"]);
    assert_eq!(
        (batch.num_rows(), column(&batch, "section")[8].as_str()),
        (16, "Plate 2")
    );
}

#[test]
fn an_empty_column_alone_parts_no_tables() {
    // The same samples before and after, remarks behind some rows, and who looked at the first ones.
    let same = |at: usize| (format!("S{at},{at}.5,2{at}"), format!("{at}.25,3{at}"));
    let batch = table("a.csv", format!("Sample,Abs,Temp,,Abs,Temp\n{}", beside(8, 8, same)));
    assert_eq!(batch.num_rows(), 8);
    let text = format!(
        "Sample,Abs,,Comment,By\n{}",
        lines(9, |at| format!(
            "S{at},{at}.5,,{}",
            if at % 3 == 1 { "hot,Ana" } else { "," }
        ))
    );
    assert_eq!(table("a.csv", text).num_rows(), 9);
    let looked = |at: usize| (format!("S{at},{at}.5"), format!("fine {at},Ana"));
    let batch = table("a.csv", format!("Sample,Abs,,Remark,By\n{}", beside(20, 4, looked)));
    assert_eq!(batch.num_rows(), 20);
}

#[test]
fn months_have_names_in_other_languages() {
    let days = |of: &[&str]| {
        table(
            "a.csv",
            format!("S;Tag\n{}", lines(of.len(), |at| format!("{at};{}", of[at]))),
        )
    };
    for of in [
        ["14. März 2026", "3. Mai 2026", "1. Dezember 2025"],
        ["14-Mrz-26", "03-Okt-26", "01-Dez-25"],
        ["14 mars 2026", "3 févr. 2026", "1er août 2025"],
        ["14 de marzo de 2026", "3 de enero de 2026", "1 de agosto de 2025"],
        ["14 gennaio 2026", "3 lug 2026", "1 dic 2025"],
        ["14 mrt 2026", "3 mei 2026", "1 januari 2025"],
        ["14/Mar/2026", "03/Feb/2026", "01/Dec/2025"],
    ] {
        assert_eq!(type_of(&days(&of), "Tag"), DataType::Date32, "{of:?}");
    }
    assert_eq!(
        column(&days(&["14. März 2026", "3. Mai 2026"]), "Tag"),
        ["2026-03-14", "2026-05-03"]
    );
    assert_eq!(
        column(&days(&["14 févr. 2026 09:30", "3 juin 2026 10:00"]), "Tag")[0],
        "2026-02-14T09:30:00"
    );
    for of in [
        // No such day, no such month, a word.
        ["30. Februar 2026", "3. Mai 2026"],
        ["14 mörz 2026", "3 mai 2026"],
        ["14 set 20", "3 set 21"],
        ["1-mag-40", "2-mag-20"],
    ] {
        assert_eq!(type_of(&days(&of), "Tag"), DataType::Utf8, "{of:?}");
    }
}

#[test]
fn rows_above_rows_of_their_kind_head_no_table() {
    // Only the last rows have no word among their values.
    let batch = table(
        "a.csv",
        list(20, |at| {
            if at % 5 == 0 {
                "blank".to_owned()
            } else {
                at.to_string()
            }
        }),
    );
    assert_eq!(batch.num_rows(), 20, "{:?}", schema(&batch));
    let text = format!(
        "Instrument,X1\nSerial,0012\nWell,OD\n{}",
        lines(6, |at| format!("A{},{at}.5", at + 1))
    );
    assert_eq!(floats(&table("a.csv", text), "OD").len(), 6);
}
