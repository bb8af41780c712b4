//! Polluted delimited files in the spirit of the public messy sets (Pollock, CleverCSV's, the W3C's): for each the
//! delimiter that its writer used and the names of its columns. The marks to reach are a share, not each case.

use super::{column, parse, schema, table};
use crate::formats::Limits;
use crate::formats::dialect;
use crate::formats::split::Delimiter;

struct Case {
    text: &'static str,
    delimiter: char,
    names: &'static [&'static str],
}

const fn case(text: &'static str, delimiter: char, names: &'static [&'static str]) -> Case {
    Case { text, delimiter, names }
}

const CASES: [Case; 30] = [
    case("a,b,c\n1,2,3\n4,5,6\n", ',', &["a", "b", "c"]),
    case("a;b;c\r\n1;2;3\r\n4;5;6\r\n", ';', &["a", "b", "c"]),
    case("a|b|c\r1|2|3\r4|5|6\r", '|', &["a", "b", "c"]),
    case("a\tb\tc\n1\t2\t3\n", '\t', &["a", "b", "c"]),
    // Decimal commas in a semicolon file.
    case("x;y;z\n1,5;2,25;0,125\n3,5;4,75;0,25\n", ';', &["x", "y", "z"]),
    case(
        "sample;mean;sd\na;1.234,5;0,1\nb;2.345,5;0,2\n",
        ';',
        &["sample", "mean", "sd"],
    ),
    // Delimiters inside quotes.
    case(
        "id,name\n1,\"Miller, Ann\"\n2,\"Smith; Bob\"\n3,\"x|y\"\n",
        ',',
        &["id", "name"],
    ),
    case("id;text\n1;\"a;b;c\"\n2;\"d,e,f\"\n", ';', &["id", "text"]),
    case(
        "id,text\n1,\"two\nlines\"\n2,\"and \"\"quotes\"\"\"\n",
        ',',
        &["id", "text"],
    ),
    // A preamble without delimiters, and one with.
    case(
        "Report of today\nmade by me\n\na,b,c\n1,2,3\n4,5,6\n",
        ',',
        &["a", "b", "c"],
    ),
    case(
        "Station: North, upper hall\nUnit: mg\n\nid;value;flag\n1;0,5;x\n2;0,7;y\n",
        ';',
        &["id", "value", "flag"],
    ),
    case(
        "# comment, with commas, here\n# and; here\nid\tvalue\n1\t0.5\n2\t0.6\n",
        '\t',
        &["id", "value"],
    ),
    // A footer.
    case(
        "id,value\n1,2.5\n2,3.5\n3,4.5\n\nTotal: 3 rows\n",
        ',',
        &["id", "value"],
    ),
    // Ragged ends.
    case("a,b,c,d\n1,2,3,4\n5,6\n7,8,9,10\n", ',', &["a", "b", "c", "d"]),
    case("a,b,c,,\n1,2,3,,\n4,5,6,,\n", ',', &["a", "b", "c"]),
    // Dates, times and units hold other delimiters.
    case(
        "at,what\n2026-03-04 10:00:00,start; now\n2026-03-04 11:30:00,stop; then\n",
        ',',
        &["at", "what"],
    ),
    case(
        "at|lat|lon\n2026-03-04T10:00:00|52,5|13,4\n2026-03-04T11:00:00|52,6|13,5\n",
        '|',
        &["at", "lat", "lon"],
    ),
    case(
        "Zeit;T (°C);Bemerkung\n10:00;21,5;kühl, trocken\n11:00;22,5;warm, feucht\n",
        ';',
        &["Zeit", "T (°C)", "Bemerkung"],
    ),
    // Spaces around delimiters.
    case(
        "id , name , size\n1 , x , 2.5\n2 , y , 3.5\n",
        ',',
        &["id", "name", "size"],
    ),
    // A repeated header in the middle.
    case("id,v\n1,2\nid,v\n3,4\n", ',', &["id", "v"]),
    // Names repeated and left out.
    case("x,x,,y\n1,2,3,4\n5,6,7,8\n", ',', &["x", "x_2", "column_3", "y"]),
    // All text.
    case(
        "gene,pathway,note\nTP53,apoptosis,well known\nMYC,growth,oncogene\n",
        ',',
        &["gene", "pathway", "note"],
    ),
    // SMILES with brackets, commas and bars in names.
    case(
        "smiles\tname\nC[C@@H](O)C\tpropan-2-ol, (S)\nO=C(O)c1ccccc1\tbenzoic acid | std\n",
        '\t',
        &["smiles", "name"],
    ),
    // A wide spectrum: numbers as names.
    case(
        "sample,400,401,402,403\na,0.1,0.2,0.3,0.4\nb,0.5,0.6,0.7,0.8\n",
        ',',
        &["sample", "400", "401", "402", "403"],
    ),
    // An index without a name.
    case(
        ",mass,charge\n0,1.5,2\n1,2.5,3\n2,3.5,4\n",
        ',',
        &["column_1", "mass", "charge"],
    ),
    // Units in a second row.
    case(
        "id,mass,volume\n,mg,ml\na,1.5,2.5\nb,2.5,3.5\n",
        ',',
        &["id", "mass", "volume"],
    ),
    // Quotes that are part of the text.
    case("id,size\n1,5\" plate\n2,6\" plate\n", ',', &["id", "size"]),
    case("id,text\n1,\"say \\\"hi\\\", now\"\n2,\"x\"\n", ',', &["id", "text"]),
    // Percent, currency and empty columns.
    case(
        "item;price;share;note\na;1,50 €;5 %;\nb;2,50 €;7 %;\n",
        ';',
        &["item", "price", "share", "note"],
    ),
    // Two tables: the first's names.
    case("id,v,w\n1,2,3\n2,3,4\n\nlot;grams\n", ',', &["id", "v", "w"]),
];

/// Shares to reach, of 100.
const DELIMITERS_MIN: usize = 95;
const NAMES_MIN: usize = 85;

#[test]
fn delimiters_and_names_of_polluted_files() {
    let (mut delimiters, mut names) = (0, 0);
    for case in &CASES {
        let found = dialect::choose("data.txt", case.text, &Limits::default())
            .dialect
            .delimiter;
        let right = found == Delimiter::Char(case.delimiter);
        let read: Vec<String> = match parse("data.csv", case.text) {
            Ok(parsed) => {
                let schema = parsed.blocks[0].batches[0].schema();
                let fields = schema.fields().iter().filter(|field| !is_constant(case, field.name()));
                fields.map(|field| field.name().clone()).collect()
            }
            Err(error) => vec![error.to_string()],
        };
        let named = read == case.names;
        delimiters += usize::from(right);
        names += usize::from(named);
        if !right || !named {
            println!("{:?}: {found:?}, {read:?}", case.text);
        }
    }
    let of = CASES.len();
    println!("delimiter right {delimiters} of {of}, names right {names} of {of}");
    assert!(delimiters * 100 >= DELIMITERS_MIN * of, "{delimiters} of {of}");
    assert!(names * 100 >= NAMES_MIN * of, "{names} of {of}");
}

/// What the head of a file says is a column beside those of its table.
fn is_constant(case: &Case, name: &str) -> bool {
    !case.names.contains(&name) && case.text.contains(&format!("{name}: "))
}

#[test]
fn rows_alike_are_rows_where_there_is_no_header() {
    let batch = table(
        "counts.csv",
        "0.0,0.0,1.5\n0.0,2.0,0.0\n0.0,0.0,1.5\n0.0,0.0,1.5\n3.0,0.0,0.0\n",
    );
    assert_eq!(batch.num_rows(), 5);
    let batch = table("names.csv", "a,b,c\n1,2,3\na,b,c\n4,5,6\n");
    assert_eq!((batch.num_rows(), schema(&batch)[0].as_str()), (2, "a: Int64"));
}

#[test]
fn a_title_with_a_comma_is_no_header() {
    let rows: String = (0..40)
        .map(|n| format!("{}.00,{}.{}\n", 4000 - n, 98 - n % 7, n % 10))
        .collect();
    let text =
        format!("Created as New Dataset,Sample 022 By Administrator Date Saturday, February 11 2017\ncm-1,%T\n{rows}");
    let batch = table("spectrum.csv", text);
    assert_eq!(
        (batch.num_rows(), schema(&batch)),
        (40, vec!["cm-1: Float64".to_owned(), "%T: Float64".to_owned()])
    );
}

/// A quote too many is part of its cell where the row has as many cells as the others only so.
#[test]
fn stray_quotes_do_not_swallow_rows() {
    let rows = |odd: &str| {
        let row = |n: usize| format!("{n},\"plain, {n}\",{n}.5,\n");
        let before: String = (0..10).map(row).collect();
        let after: String = (11..20).map(row).collect();
        table("a.csv", format!("n,text,value,note\n{before}{odd}\n{after}"))
    };
    for (odd, text, note) in [
        ("10,\"x\",0.5,\"", "x", "\""),
        ("10,\"\"one, two\",0.5,", "\"one, two", "∅"),
        ("10,\"5\" plate\",0.5,", "\"5\" plate\"", "∅"),
        ("10,x,0.5,\"two\nlines\"", "x", "two\nlines"),
    ] {
        let batch = rows(odd);
        assert_eq!(batch.num_rows(), 20, "{odd}");
        assert_eq!(column(&batch, "text")[10], text);
        assert_eq!(column(&batch, "note")[10], note);
        assert_eq!(column(&batch, "text")[11], "plain, 11");
    }
    // Where neither reading gives rows of one width, nobody guesses.
    let torn = "a,b\n1,\"x\n2,y \"z\n3,w,\"v\n";
    assert!(parse("a.csv", torn).is_err());
}

#[test]
fn a_row_of_odd_width_amid_a_table_does_not_tear_it() {
    let row = |n: usize| format!("{n},2026-03-{:02},sample {n},{}.5,\"a, b\",\n", 1 + n % 28, n);
    let good: Vec<String> = (1..40).map(row).collect();
    let head = "n,day,sample,value,remark,more\n";
    let whole = table("whole.csv", format!("{head}{}", good.concat()));
    assert_eq!(whole.num_rows(), 39);
    for at in [5, 20, 34] {
        let mut lines = good.clone();
        lines[at] = format!("{at},2026-03-01,sample {at},1.5,\"\"a, b, c, d\",\n");
        match parse("torn.csv", format!("{head}{}", lines.concat())) {
            // Either every row is there, or the file is refused with the line; never a table less a row.
            Ok(parsed) => {
                let rows: usize = parsed
                    .blocks
                    .iter()
                    .flat_map(|block| &block.batches)
                    .map(|batch| batch.num_rows())
                    .sum();
                assert_eq!((rows, parsed.blocks.len()), (39, 1), "{}", parsed.taken_for);
            }
            Err(error) => assert!(error.to_string().contains(&format!("line {}", at + 2)), "{error}"),
        }
    }
}
