//! CSV, TSV and their relatives.

use super::{ReadError, column, floats, ints, parse, schema, table, type_of, utf16le};
use arrow::datatypes::DataType;

#[test]
fn types_come_from_the_whole_file() {
    let mut text = String::from("id,n,f,b,d,t,z,code,s\n");
    for row in 0..3000 {
        text.push_str(&format!(
            "{row},{row},0.5,true,2026-03-04,2026-03-04T09:30:00,2026-03-04T09:30:00+02:00,007,x\n"
        ));
    }
    let batch = table("a.csv", text.clone());
    assert_eq!(
        schema(&batch),
        [
            "id: Int64",
            "n: Int64",
            "f: Float64",
            "b: Boolean",
            "d: Date32",
            "t: Timestamp(µs)",
            "z: Timestamp(µs, \"UTC\")",
            "code: Utf8",
            "s: Utf8"
        ]
    );
    assert_eq!(column(&batch, "z")[0], "2026-03-04T07:30:00Z");
    assert_eq!(column(&batch, "code")[0], "007");
    // The no: one odd cell in the last row decides.
    text.push_str("3000,many,0.5,maybe,soon,2026,2026-03-04,007,x\n");
    let batch = table("a.csv", text);
    assert_eq!(type_of(&batch, "n"), DataType::Utf8);
    assert_eq!(type_of(&batch, "b"), DataType::Utf8);
    assert_eq!(type_of(&batch, "d"), DataType::Utf8);
    assert_eq!(type_of(&batch, "z"), DataType::Utf8);
    assert_eq!(column(&batch, "n")[7], "7");
}

#[test]
fn delimiters_quotes_and_line_ends() {
    for (text, cells) in [
        ("a;b\n1;\"x;y\"\n2;\"say \"\"hi\"\"\"\n", ["x;y", "say \"hi\""]),
        ("a\tb\r\n1\tx,y\r\n2\tz\r\n", ["x,y", "z"]),
        ("a|b\r1|x\r2|\"y\rz\"\r", ["x", "y\rz"]),
        ("a,b\n1,\"say \\\"hi\\\", please\"\n2,x\n", ["say \"hi\", please", "x"]),
        ("a,b\n1,\"5\" plate\n2,C\\C=C\\N\n", ["\"5\" plate", "C\\C=C\\N"]),
        ("a  b\n1  x y\n2  z\n", ["x y", "z"]),
    ] {
        let batch = table("data.txt", text);
        assert_eq!(schema(&batch), ["a: Int64", "b: Utf8"], "{text:?}");
        assert_eq!(column(&batch, "b"), cells, "{text:?}");
    }
    assert_eq!(
        parse("a.csv", "a,b\n1,2\n3,\"x\n4,5\n").unwrap_err(),
        ReadError::UnclosedQuote { line: 3 }
    );
}

#[test]
fn encodings_are_read_without_loss() {
    let text = "sample;T (°C)\nÄpfel;21\nBirnen;22\n";
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut utf8 = vec![0xef, 0xbb, 0xbf];
    utf8.extend(text.bytes());
    for bytes in [text.as_bytes().to_vec(), utf8, latin, utf16be, utf16le(text)] {
        let batch = table("a.csv", bytes);
        assert_eq!(schema(&batch), ["sample: Utf8", "T (°C): Int64"]);
        assert_eq!(column(&batch, "sample"), ["Äpfel", "Birnen"]);
    }
    // Mac Roman: ° is A1, ü is 9F; the no: in windows-1252 ¡ and Ÿ stand elsewhere.
    let batch = table("a.txt", b"sample\tT (\xa1C)\nM\x9fller\t21.5\nx\t22.5\n".to_vec());
    assert_eq!(schema(&batch), ["sample: Utf8", "T (°C): Float64"]);
    assert_eq!(column(&batch, "sample"), ["Müller", "x"]);
    let batch = table("a.txt", b"sample\tn\n\xa1Hola!\t1\nM\xfcller\t2\n".to_vec());
    assert_eq!(column(&batch, "sample"), ["¡Hola!", "Müller"]);
    for (mac, western) in [
        (b"Andr\x8e" as &[u8], b"Andr\xe9" as &[u8]),
        (b"Gr\x9a\xa7e", b"Gr\xf6\xdfe"),
        (b"M\x86LLER", b"M\xdcLLER"),
        (b"\x81ngstr\x9am", b"\xc5ngstr\xf6m"),
        (b"Fran\x8dois", b"Fran\xe7ois"),
        (b"S\xbfren", b"S\xf8ren"),
        (b"25 \xa1C", b"25 \xb0C"),
        (b"l\xd5eau d\x8ebit", b"l\x92eau d\xe9bit"),
    ] {
        let read = |word: &[u8]| {
            let text = [b"sample\tn\n" as &[u8], word, b"\t1\nplain\t2\n"].concat();
            column(&table("a.txt", text), "sample").swap_remove(0)
        };
        assert_eq!(read(mac), read(western), "{mac:x?}");
        assert!(!read(mac).contains(['\u{fffd}', 'Ž', '§', '†']), "{}", read(mac));
    }
    // Nearly UTF-8 is refused with the place, not turned into another alphabet.
    let mut broken = "name;value\nÄpfel ÄÖÜ;1\n".as_bytes().to_vec();
    broken.extend(b"B\xe4r;2\n");
    let error = parse("a.csv", broken).unwrap_err();
    assert!(
        matches!(&error, ReadError::Encoding { why } if why.contains("line 3")),
        "{error}"
    );
}

#[test]
fn binary_and_foreign_files_are_refused_by_name() {
    let refused: [(&[u8], &str); 5] = [
        (b"%PDF-1.7 ...", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"a,b\n1,\0\x01\x02\n", "binary"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"  <html><table></table></html>", "HTML"),
    ];
    for (bytes, word) in refused {
        let error = parse("a.csv", bytes).unwrap_err();
        assert!(
            matches!(error, ReadError::Unsupported { .. }) && error.to_string().contains(word),
            "{error}"
        );
    }
    assert!(matches!(parse("a.csv", "").unwrap_err(), ReadError::Empty { bytes: 0 }));
    assert!(matches!(
        parse("a.csv", " \r\n\n").unwrap_err(),
        ReadError::Empty { .. }
    ));
}

#[test]
fn preamble_becomes_properties() {
    let text = "# exported by X\nInstrument: Reader 9\nRun at;2026-03-04\n\nwell;od\nA1;0,25\nA2;1\n\nOperator: Sam\n";
    let parsed = parse("a.csv", text).unwrap();
    let block = &parsed.blocks[0];
    assert_eq!(block.first_row, 6);
    let batch = &block.batches[0];
    assert_eq!(
        schema(batch),
        ["well: Utf8", "od: Float64", "Instrument: Utf8", "Run at: Date32"]
    );
    assert_eq!(floats(batch, "od"), [Some(0.25), Some(1.0)]);
    assert_eq!(column(batch, "Instrument"), ["Reader 9", "Reader 9"]);
    assert_eq!(parsed.properties["Instrument"], "Reader 9");
    assert_eq!(parsed.properties["Run at"], "2026-03-04");
    assert_eq!(parsed.properties["Operator"], "Sam");
    assert!(
        parsed.taken_for.contains("header in line 5 after 3 preamble lines"),
        "{}",
        parsed.taken_for
    );
}

#[test]
fn header_or_none() {
    let batch = table("a.csv", "1,x,0.5\n2,y,0.7\n");
    assert_eq!(
        schema(&batch),
        ["column_1: Int64", "column_2: Utf8", "column_3: Float64"]
    );
    assert_eq!(batch.num_rows(), 2);
    let batch = table("a.csv", "id,name\nx,y\nz,w\n");
    assert_eq!(schema(&batch), ["id: Utf8", "name: Utf8"]);
    // A value that comes again is no name.
    let batch = table("a.csv", "x,red\ny,red\nz,blue\n");
    assert_eq!(batch.num_rows(), 3);
    // Wavelengths name columns beside a named one.
    let batch = table("a.csv", "sample,220,221,222\nA,0.1,0.2,0.3\nB,0.4,0.5,0.6\n");
    assert_eq!(
        schema(&batch),
        ["sample: Utf8", "220: Float64", "221: Float64", "222: Float64"]
    );
    let batch = table("a.csv", ",0,1,2,3\n0,2.83,0.0,1,2\n1,31.85,0.5,1,2\n");
    assert_eq!(schema(&batch)[..2], ["column_1: Int64", "0: Float64"]);
    let batch = table("a.csv", ",yield\n0,12.5\n1,13\n");
    assert_eq!(schema(&batch), ["column_1: Int64", "yield: Float64"]);
    let batch = table("a.csv", "No,Na,Mg\n1,0.5,0.1\n2,0.6,0.2\n");
    assert_eq!(schema(&batch), ["No: Int64", "Na: Float64", "Mg: Float64"]);
    // A header alone is not a table.
    assert!(matches!(
        parse("a.csv", "id,name\n").unwrap_err(),
        ReadError::NoDataRows { .. }
    ));
}

#[test]
fn names_are_unique() {
    let batch = table("a.csv", "a,A,,a,a_2\n1,2,3,4,5\n6,7,8,9,10\n");
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["a", "A_3", "column_3", "a_4", "a_2"]);
}

#[test]
fn ragged_rows() {
    let batch = table("a.csv", "a,b,c\n1,2,3\n4,5\n6,7,8,,\n");
    assert_eq!(ints(&batch, "c"), [Some(3), None, Some(8)]);
    let error = parse("a.csv", "a,b,c\n1,2,3\n4,5,6,7\n").unwrap_err();
    assert_eq!(
        error,
        ReadError::LongRow {
            place: "line 3".to_owned(),
            seen: 4,
            expected: 3,
            delimiter: "','".to_owned()
        }
    );
}

#[test]
fn nulls_only_beside_typed_values() {
    let batch = table("a.csv", "n,s,nothing\n1,NA,\nNA,x,-\nNaN,-,n.a.\n");
    assert_eq!(ints(&batch, "n"), [Some(1), None, None]);
    assert_eq!(column(&batch, "s"), ["NA", "x", "-"]);
    assert_eq!(type_of(&batch, "nothing"), DataType::Null);
}

#[test]
fn numbers_that_would_lose_something_stay_text() {
    let batch = table(
        "a.csv",
        "zip,plus,long,hex,big,pct,float\n01234,+049,1234567890123456789,0x1F,1e999,5%,1e-3\n02345,+50,1,0x20,1,6%,-.5\n",
    );
    for name in ["zip", "plus", "long", "hex", "big", "pct"] {
        assert_eq!(type_of(&batch, name), DataType::Utf8, "{name}");
    }
    assert_eq!(floats(&batch, "float"), [Some(0.001), Some(-0.5)]);
}

#[test]
fn quotes_may_stand_behind_a_space() {
    let batch = table(
        "a.csv",
        "id, text\n1, \"a, b\"\n2, \"two\nlines\" \n3, \"5\" plate\n4, \"open\n",
    );
    assert_eq!(column(&batch, "text"), ["a, b", "two\nlines", "\"5\" plate", "\"open"]);
}

#[test]
fn decimal_commas_need_evidence() {
    let batch = table("a.csv", "x;y\n1,5;1,234\n2,25;2,345\n");
    assert_eq!(floats(&batch, "x"), [Some(1.5), Some(2.25)]);
    assert_eq!(floats(&batch, "y"), [Some(1.234), Some(2.345)]);
    // Nothing in the file says whether 1,234 is a thousand.
    let batch = table("a.csv", "x;y\na;1,234\nb;2,345\n");
    assert_eq!(type_of(&batch, "y"), DataType::Utf8);
    let parsed = parse("a.csv", "x;y\na;1,234\nb;2,345\n").unwrap();
    assert!(parsed.confidence.doubts().unwrap().contains("thousands or fractions"));
    // Where semicolons part cells and dates have points, it is a fraction; many such numbers need no date.
    let batch = table("a.csv", "x;y;at\na;1,234;3.4.2026\nb;2,345;4.4.2026\n");
    assert_eq!(floats(&batch, "y"), [Some(1.234), Some(2.345)]);
    let many: String = (1..10).map(|at| format!("a;{at},234\n")).collect();
    assert_eq!(floats(&table("a.csv", format!("x;y\n{many}")), "y")[8], Some(9.234));
    // Words among them do not hide it.
    let batch = table("a.txt", format!("x\ty\n{}b\tOVRFLW\nc\t0,5\n", many.replace(';', "\t")));
    assert_eq!(floats(&batch, "y")[8..], [Some(9.234), None, Some(0.5)]);
    // And beside decimal commas a point may part thousands.
    let batch = table("a.csv", "x;y\n1,5;1.234\n2,25;2.345\n");
    assert_eq!(type_of(&batch, "y"), DataType::Utf8);
}

#[test]
fn days_and_months_need_evidence() {
    let batch = table(
        "a.csv",
        "eu,us,dots,both\n13/04/2026,04/13/2026,3.4.2026,03/04/2026\n02/04/2026,04/02/2026,4.4.2026,05/04/2026\n",
    );
    assert_eq!(column(&batch, "eu"), ["2026-04-13", "2026-04-02"]);
    assert_eq!(column(&batch, "us"), ["2026-04-13", "2026-04-02"]);
    assert_eq!(column(&batch, "dots"), ["2026-04-03", "2026-04-04"]);
    assert_eq!(column(&batch, "both"), ["03/04/2026", "05/04/2026"]);
    assert_eq!(type_of(&batch, "both"), DataType::Utf8);
    let parsed = parse("a.csv", "n,both\n1,03/04/2026\n2,05/04/2026\n").unwrap();
    assert!(
        parsed.taken_for.contains("\"both\" kept as text: its dates"),
        "{}",
        parsed.taken_for
    );
    let batch = table("a.csv", "at,n\n12/31/2025 3:36 PM,1\n01/02/2026 12:00 AM,2\n");
    assert_eq!(column(&batch, "at"), ["2025-12-31T15:36:00", "2026-01-02T00:00:00"]);
}

#[test]
fn several_tables_are_refused() {
    for text in [
        "a,b,c\n1,2,3\n4,5,6\n\nname,size,kind,rest\nx,1,y,2\nz,2,w,3\n",
        "a,b,c\n1,2,3\n4,5,6\n\nSecond part\nx,y,z\n1,2,3\n",
        "This is a letter about a plate.\nIt has lines of words, with some commas, and others.\n\nBest regards\n",
        "just words on a line\nand some more of them\n",
        "Operator: Sam\nPlate: P1\nDate: 2026-03-04\n",
    ] {
        let result = parse("a.txt", text);
        assert!(
            matches!(result, Err(ReadError::NotATable { .. })),
            "{text:?}: {result:?}"
        );
    }
    // The yes: blank lines inside one table, a title above, a repeated header.
    let parsed = parse("a.csv", "My results\n\na,b,c\n1,2,3\n\n4,5,6\na,b,c\n7,8,9\n").unwrap();
    assert_eq!(ints(&parsed.blocks[0].batches[0], "a"), [Some(1), Some(4), Some(7)]);
    assert!(
        parsed.taken_for.contains("1 repeated headers skipped"),
        "{}",
        parsed.taken_for
    );
}

#[test]
fn second_header_of_units() {
    let parsed = parse("a.csv", "id,mass,volume\nname,mg,ml\na,1.5,2\nb,2.5,3\n").unwrap();
    assert_eq!(
        schema(&parsed.blocks[0].batches[0]),
        ["id: Utf8", "mass: Float64", "volume: Int64"]
    );
    assert_eq!(parsed.properties["mass (second header)"], "mg");
    assert_eq!(parsed.blocks[0].first_row, 3);
    // Labels in a text table are data.
    assert_eq!(table("a.csv", "id,name\nname,x\na,y\nb,z\n").num_rows(), 3);
}

#[test]
fn other_shapes_are_refused() {
    for (text, why) in [
        (
            "Time\tTemp\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n0\t20\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n\n1\t20\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n",
            "without row letters",
        ),
        (
            "0,2026-03-04,x,y\n1,2026-03-04,x,y,z\n1,2026-03-04,x,y,z\n",
            "different widths",
        ),
        (
            "Image;a1\nKind;cells\n\nCount;5\nOperator;Sam\n\nEnd;yes\n",
            "keys and values",
        ),
    ] {
        let error = parse("a.csv", text).unwrap_err();
        assert!(
            matches!(&error, ReadError::NotATable { seen } if seen.contains(why)),
            "{error}"
        );
    }
}

#[test]
fn single_columns() {
    let batch = table("smiles.csv", "smiles\nCCO\nCCN\n");
    assert_eq!(column(&batch, "smiles"), ["CCO", "CCN"]);
    let batch = table("values.txt", "od\n0.5\n0.7\n");
    assert_eq!(floats(&batch, "od"), [Some(0.5), Some(0.7)]);
}

#[test]
fn comments_and_commented_headers() {
    let batch = table("a.tsv", "# made by X\n#id\tvalue\n1\t0.5\n2\t0.6\n");
    assert_eq!(schema(&batch), ["id: Int64", "value: Float64"]);
    let batch = table("a.csv", "# made by X, in 2026\nid,value\n1,0.5\n2,0.6\n");
    assert_eq!(schema(&batch), ["id: Int64", "value: Float64"]);
}

#[test]
fn row_names_as_r_writes_them() {
    let batch = table("a.csv", "mpg,cyl\nMazda,21,6\nDatsun,22.8,4\n");
    assert_eq!(schema(&batch), ["column_1: Utf8", "mpg: Float64", "cyl: Int64"]);
}

#[test]
fn dates_of_every_usual_writing() {
    let read = |cells: &[&str]| {
        let rows: String = cells.iter().map(|cell| format!("x;{cell}\n")).collect();
        table("a.csv", format!("id;at\n{rows}"))
    };
    for (cells, days) in [
        (["2026.03.04", "2026.12.31"], ["2026-03-04", "2026-12-31"]),
        (["Mar 4, 2026", "December 31 2026"], ["2026-03-04", "2026-12-31"]),
        (["4-Mar-26", "31-Dec-69"], ["2026-03-04", "2069-12-31"]),
        (["4-Mar-70", "31-Dec-1969"], ["1970-03-04", "1969-12-31"]),
        (["3/4/26", "3/14/26"], ["2026-03-04", "2026-03-14"]),
        (["3/4/98", "25/4/99"], ["1998-04-03", "1999-04-25"]),
    ] {
        assert_eq!(type_of(&read(&cells), "at"), DataType::Date32, "{cells:?}");
        assert_eq!(column(&read(&cells), "at"), days);
    }
    let times = read(&["3/4/26 9:30", "3/14/26 17:05:10"]);
    assert_eq!(column(&times, "at"), ["2026-03-04T09:30:00", "2026-03-14T17:05:10"]);
    // What may be read in two ways, is a version, or has no such month, stays as it was written.
    for cells in [
        ["3/4/26", "5/6/26"],
        ["26/03/14", "26/03/15"],
        ["13/03/26", "14/03/26"],
        ["1.2.26", "1.3.27"],
        ["Mau 4, 2026", "Mau 5, 2026"],
        ["May 32, 2026", "May 4, 2026"],
        ["3/14/26", "3/14/2026 x"],
    ] {
        assert_eq!(column(&read(&cells), "at"), cells);
    }
    let notes = |text: &str| parse("a.csv", text).unwrap().confidence.doubts().unwrap_or_default();
    assert!(notes("id,at\nx,13/03/26\ny,14/03/26\n").contains("the day, the month or the year"));
    assert!(notes("id,at\nx,04.03.26\ny,14.03.26\n").contains("numbers of versions"));
}
