//! Files as laboratory software writes them, made here in the spirit of its layouts: what each holds must be found in the
//! right table, and nothing of it may be lost. Each form stands beside one that looks like it and is another.

use std::collections::HashSet;

use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use super::{column, parse, schema, utf16le};
use crate::formats::Parsed;

/// What a file must come to: rows, columns and sums of its main table, and texts that must be somewhere.
struct Wanted<'w> {
    rows: usize,
    columns: &'w [&'w str],
    sums: &'w [(&'w str, f64)],
    kept: &'w [&'w str],
}

#[derive(Default)]
struct Cases {
    right: usize,
    wrong: Vec<String>,
}

impl Cases {
    fn check(&mut self, what: &str, name: &str, content: impl Into<Vec<u8>>, wanted: &Wanted<'_>) {
        match parse(name, content)
            .map_err(|error| error.to_string())
            .and_then(|parsed| judge(&parsed, wanted))
        {
            Ok(()) => self.right += 1,
            Err(why) => self.wrong.push(format!("{what}: {why}")),
        }
    }

    fn done(self) {
        assert!(
            self.wrong.is_empty(),
            "{} right, wrong:\n{}",
            self.right,
            self.wrong.join("\n")
        );
    }
}

fn tables(parsed: &Parsed) -> Vec<RecordBatch> {
    let blocks = parsed.blocks.iter();
    blocks
        .map(|block| concat_batches(&block.batches[0].schema(), &block.batches).unwrap())
        .collect()
}

fn sum(batch: &RecordBatch, name: &str) -> Option<f64> {
    use arrow::array::AsArray;
    let values = cast(batch.column_by_name(name)?, &DataType::Float64).ok()?;
    let values = values.as_primitive::<arrow::datatypes::Float64Type>().clone();
    Some(values.iter().flatten().sum())
}

fn judge(parsed: &Parsed, wanted: &Wanted<'_>) -> Result<(), String> {
    let tables = tables(parsed);
    let main = &tables[0];
    let told = format!("{}, {:?}", parsed.taken_for, schema(main));
    if main.num_rows() != wanted.rows {
        return Err(format!("{} rows, not {}: {told}", main.num_rows(), wanted.rows));
    }
    if let Some(missing) = wanted.columns.iter().find(|name| main.column_by_name(name).is_none()) {
        return Err(format!("no column {missing:?}: {told}"));
    }
    for (name, wanted) in wanted.sums {
        let found = sum(main, name);
        if found.is_none_or(|found| (found - wanted).abs() > 1e-6) {
            return Err(format!("{name:?} sums to {found:?}, not {wanted}: {told}"));
        }
    }
    let mut cells: HashSet<String> = HashSet::new();
    let mut texts = parsed.taken_for.clone();
    for (key, value) in &parsed.properties {
        cells.insert(value.clone());
        texts += &format!("|{key}|{value}");
    }
    for (block, table) in parsed.blocks.iter().zip(&tables) {
        texts += &format!("|{:?}", block.name);
        for field in table
            .schema()
            .fields()
            .iter()
            .filter(|field| !field.data_type().is_null())
        {
            for cell in column(table, field.name()) {
                if cell.len() > 12 {
                    texts += &format!("|{cell}");
                }
                cells.insert(cell);
            }
        }
    }
    match wanted
        .kept
        .iter()
        .find(|text| !cells.contains(**text) && !texts.contains(**text))
    {
        Some(lost) => Err(format!("{lost:?} is lost: {told}")),
        None => Ok(()),
    }
}

/// Twelve samples with four values each.
fn samples(delimiter: &str) -> Vec<String> {
    (1..=12)
        .map(|at| {
            let values = [at as f64 + 0.5, at as f64 * 0.25, 7.125, at as f64 - 0.75].map(|value| value.to_string());
            format!("S{at}{delimiter}{}\n", values.join(delimiter))
        })
        .collect()
}

const FIRST: f64 = 84.0;
const LAST: f64 = 69.0;

fn measured<'w>(columns: &'w [&'w str], sums: &'w [(&'w str, f64)], kept: &'w [&'w str]) -> Wanted<'w> {
    Wanted {
        rows: 12,
        columns,
        sums,
        kept,
    }
}

#[test]
fn headers_of_several_lines() {
    let mut cases = Cases::default();
    for delimiter in [",", ";", "\t"] {
        let rows = samples(delimiter).concat();
        let line = |text: &str| text.replace(',', delimiter) + "\n";
        let groups = [("Before Abs", FIRST), ("After Temp", LAST)];
        let named = measured(&["Sample", "Before Temp", "After Abs"], &groups, &[]);
        for (what, head) in [
            (
                "groups above their first name",
                line(",Before,,After,") + &line("Sample,Abs,Temp,Abs,Temp"),
            ),
            (
                "groups above each name",
                line("Sample,Before,Before,After,After") + &line("Sample,Abs,Temp,Abs,Temp"),
            ),
            (
                "names merged down",
                line("Sample,Before,,After,") + &line(",Abs,Temp,Abs,Temp"),
            ),
        ] {
            cases.check(&format!("{what} {delimiter:?}"), "a.csv", head.clone() + &rows, &named);
            let kept = ["AU", "°C"];
            let wanted = Wanted { kept: &kept, ..named };
            let units = head + &line(",AU,°C,AU,°C");
            cases.check(&format!("{what}, units {delimiter:?}"), "a.csv", units + &rows, &wanted);
        }
        // Units below names that are all different are units, and no groups.
        let head = line("Sample,Mass,Volume,pH,Load") + &line(",mg,mL,,mg");
        let sums = [("Mass", FIRST)];
        cases.check("units", "a.csv", head + &rows, &measured(&["Load"], &sums, &["mL"]));
    }
    cases.done();
}

#[test]
fn numbers_as_names_of_columns() {
    let mut cases = Cases::default();
    let wells: Vec<String> = ('A'..='H')
        .flat_map(|row| (1..=12).map(move |column| format!("{row}{column}")))
        .collect();
    let rows = |factor: f64| -> String {
        let row = |(at, well): (usize, &String)| {
            format!("{well},S{},{},{}\n", at % 7, at as f64 * factor + 0.125, 0.25 * factor)
        };
        wells.iter().enumerate().map(row).collect()
    };
    let total = |factor: f64| (0..96).map(|at| at as f64 * factor + 0.125).sum::<f64>();
    for (head, factor) in [("Well,Content,450,490", 0.01), ("Well,Sample,485,520", 0.01)] {
        let first = head.split(',').nth(2).unwrap();
        let sums = [(first, total(factor))];
        let wanted = Wanted {
            rows: 96,
            columns: &["Well"],
            sums: &sums,
            kept: &["H12"],
        };
        cases.check(head, "a.csv", format!("{head}\n{}", rows(factor)), &wanted);
    }
    let entry = |(at, well): (usize, &String)| format!("SPL{at};n{at};{well};{};1\n", at * 7 + 100);
    let list: String = wells.iter().enumerate().map(entry).collect();
    let wanted = Wanted {
        rows: 96,
        columns: &["Well", "485,528"],
        sums: &[],
        kept: &["H12"],
    };
    let text = format!("Well ID;Name;Well;485,528;Count\n{list}");
    cases.check("two wavelengths", "a.csv", text, &wanted);
    let days: String = (0..8).map(|at| format!("C{at},{at}.5,{at}.25,{at}.75\n")).collect();
    for names in ["2026-03-01,2026-03-02,2026-03-04", "1,2,3"] {
        let wanted = Wanted {
            rows: 8,
            columns: &["Compound"],
            sums: &[],
            kept: &["C7", "7.25"],
        };
        cases.check(names, "a.csv", format!("Compound,{names}\n{days}"), &wanted);
    }
    // Values among values are a row without a header.
    let wanted = Wanted {
        rows: 97,
        columns: &["column_1"],
        sums: &[],
        kept: &["X9"],
    };
    cases.check(
        "a first row of values",
        "a.csv",
        format!("A1,X9,2,1\n{}", rows(0.5)),
        &wanted,
    );
    cases.done();
}

#[test]
fn lines_that_are_no_rows() {
    let mut cases = Cases::default();
    let rows = samples(",");
    let (above, below) = (rows[..5].concat(), rows[5..].concat());
    let head = "Sample,a,b,c,d\n";
    let sums = [("a", FIRST), ("d", LAST)];
    for mark in ["#", "%", "//", "!", "--"] {
        let text = format!("{mark} made by X1\n{head}{above}{mark} pause of 5 min\n{below}");
        let kept = ["pause of 5 min", "made by X1"];
        cases.check(
            &format!("remark {mark}"),
            "a.csv",
            text,
            &measured(&["Sample"], &sums, &kept),
        );
    }
    let text = format!("{head}{above}# pause of 5 min\n{below}");
    cases.check(
        "a remark alone",
        "a.csv",
        text,
        &measured(&["Sample"], &sums, &["pause of 5 min"]),
    );
    // Where most rows start so, it is how the data look.
    let hashes: String = rows.iter().map(|row| format!("#{row}")).collect();
    cases.check(
        "#S1",
        "a.csv",
        format!("{head}{hashes}"),
        &measured(&["Sample"], &sums, &["#S12"]),
    );
    // A remark above names is the title of a block.
    let other = "x,y,z\n1,2.5,p\n2,3.5,q\n";
    let parsed = parse("a.csv", format!("# one\n{head}{above}\n# two\n{other}")).unwrap();
    assert_eq!(parsed.blocks.len(), 2, "{}", parsed.taken_for);

    let bars = |rows: &[String]| -> String {
        rows.iter()
            .map(|row| format!("| {} |\n", row.trim_end().replace(',', " | ")))
            .collect()
    };
    let names = bars(&[head.to_owned()]);
    let body = bars(&rows);
    for (what, text) in [
        ("Markdown", format!("{names}|---|---:|:-:|---|---|\n{body}")),
        (
            "MySQL",
            format!("+---+---+---+---+---+\n{names}+---+---+---+---+---+\n{body}+---+---+---+---+---+\n"),
        ),
        ("psql", format!("{names}----+----+----+----+---\n{body}(12 rows)\n")),
    ] {
        cases.check(what, "a.txt", text, &measured(&["Sample"], &sums, &[]));
    }
    let text = format!(
        "This is the export of the balance, room 7, made by Ada\nAll values are in mg, but see, SOP 12\n\nSample,a,b\n{}",
        rows.iter()
            .map(|row| row.split(',').take(3).collect::<Vec<_>>().join(",") + "\n")
            .collect::<String>()
    );
    cases.check(
        "prose above",
        "a.csv",
        text,
        &measured(&["Sample", "a", "b"], &sums[..1], &["SOP 12"]),
    );
    let text = format!("{head}{above}\u{feff}{head}{below}");
    cases.check("two files in one", "a.csv", text, &measured(&["Sample"], &sums, &[]));
    let titled = format!("{head}Group A,,,,\n{above}Group B,,,,\n{below}");
    cases.check(
        "titles of rows",
        "a.csv",
        titled,
        &measured(&["Sample", "group"], &sums, &["Group A", "Group B"]),
    );
    // A sample without values is a sample.
    let blank = Wanted {
        rows: 13,
        ..measured(&["Sample"], &sums, &["S99"])
    };
    cases.check(
        "a sample without values",
        "a.csv",
        format!("{head}{above}S99,,,,\n{below}"),
        &blank,
    );
    for (what, foot, kept) in [
        ("mean and SD", "Mean,4.5,1,2,3\nSD,0.1,0.2,0.3,2.375\n", "2.375"),
        ("total", "Total,84,1,2,33.25\n", "33.25"),
        ("least and most", "Min,1.5,1,2,3\nMax,9.5,1,2,33.25\n", "33.25"),
        ("apart", "\nMean,4.5,1,2,3\nCV,0.1,0.2,0.3,2.375\n", "2.375"),
    ] {
        let text = format!("{head}{above}{below}{foot}");
        cases.check(what, "a.csv", text, &measured(&["Sample"], &sums, &[kept]));
    }
    // A table of statistics has nothing else.
    let wanted = Wanted {
        rows: 4,
        columns: &["Statistic"],
        sums: &[],
        kept: &["CV"],
    };
    cases.check(
        "statistics",
        "a.csv",
        "Statistic,a,b\nN,1,2\nMean,1.5,2\nSD,0.5,1\nCV,3.5,4\n",
        &wanted,
    );
    cases.done();
}

#[test]
fn quotes_and_numbers_of_other_places() {
    let mut cases = Cases::default();
    let remark = |cell: &str| -> String { (0..12).map(|at| format!("s{at},{cell},{at}.5\n")).collect() };
    for (what, cell, kept) in [
        ("single quotes", "'warm, then cold'", "warm, then cold"),
        ("quotes for all", "'ok'", "ok"),
        ("a quote within", "'5'' end, blunt'", "5' end, blunt"),
        ("an apostrophe", "5' overhang", "5' overhang"),
        ("the end of a strand", "'5 end", "'5 end"),
        ("double quotes", "\"the 'good', lot\"", "the 'good', lot"),
    ] {
        let text = format!("id,remark,v\n{}", remark(cell));
        cases.check(
            what,
            "a.csv",
            text,
            &measured(&["id", "remark"], &[("v", 72.0)], &[kept]),
        );
    }
    let big: Vec<f64> = (1..=12).map(|at| 1234.25 * f64::from(at)).collect();
    let total: f64 = big.iter().sum();
    for (what, group, point) in [
        ("Swiss", "'", "."),
        ("Swiss, typeset", "\u{2019}", "."),
        ("French", "\u{202f}", ","),
        ("Nordic", "\u{a0}", ","),
        ("with spaces", " ", ","),
        ("German", ".", ","),
    ] {
        let number = |value: f64| {
            let whole = value.trunc() as u64;
            let whole = format!("{}{group}{:03}", whole / 1000, whole % 1000);
            format!("{whole}{point}{:02}", (value.fract() * 100.0).round() as u64)
        };
        let rows: String = big.iter().map(|value| format!("L;{}\n", number(*value))).collect();
        let sums = [("Menge", total)];
        cases.check(
            what,
            "a.csv",
            format!("Lot;Menge\n{rows}"),
            &measured(&["Lot"], &sums, &[]),
        );
    }
    let rows: String = (0..12).map(|at| format!("s{at},\u{2212}{at}.5\n")).collect();
    cases.check(
        "a real minus",
        "a.csv",
        format!("id,v\n{rows}"),
        &measured(&["id"], &[("v", -72.0)], &[]),
    );
    // Codes with spaces are no numbers.
    let rows: String = (0..12).map(|at| format!("s{at},12 34{at:02}\n")).collect();
    cases.check(
        "codes",
        "a.csv",
        format!("id,v\n{rows}"),
        &measured(&["id"], &[], &["12 3411"]),
    );
    cases.done();
}

#[test]
fn plates_that_lie_otherwise() {
    let mut cases = Cases::default();
    let wells: Vec<String> = ('A'..='H')
        .flat_map(|row| (1..=12).map(move |column| format!("{row}{column}")))
        .collect();
    let cycles: String = wells
        .iter()
        .enumerate()
        .map(|(at, well)| {
            format!(
                "{well},{}\n",
                (0..5)
                    .map(|cycle| format!("{}.{cycle}25", at))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        })
        .collect();
    for head in [
        "Cycle Nr.,1,2,3,4,5\nTime [s],0,60,120,180,240\nTemp. [°C],37,37.1,37,36.9,37\n",
        "Cycle Nr.,1,2,3,4,5\nTime [s],0,60.5,121,181.5,242\n",
    ] {
        let wanted = Wanted {
            rows: 480,
            columns: &["well"],
            sums: &[],
            kept: &["95.425", "H12", "37.1"][..if head.contains("Temp") { 3 } else { 2 }],
        };
        cases.check(
            "cycles in columns",
            "a.csv",
            format!("Plate: 7\n\n{head}{cycles}\nEnd: now\n"),
            &wanted,
        );
    }
    // One line of numbers above wells is a header.
    let wanted = Wanted {
        rows: 96,
        columns: &[],
        sums: &[],
        kept: &["95.425"],
    };
    cases.check(
        "times as names",
        "a.csv",
        format!("Well,0,60,120,180,240\n{cycles}"),
        &wanted,
    );

    let matrix = |letter: fn(char) -> char| -> Vec<String> {
        let mut lines = vec![format!(
            ",{}",
            (1..=12).map(|at| at.to_string()).collect::<Vec<_>>().join(",")
        )];
        for (at, row) in ('A'..='H').enumerate() {
            let cells: Vec<String> = (1..=12).map(|column| format!("{}.5", at * 12 + column)).collect();
            lines.push(format!("{},{}", letter(row), cells.join(",")));
        }
        lines
    };
    let total = (1..=96).map(|at| f64::from(at) + 0.5).sum::<f64>();
    let sums = [("value", total)];
    let plate = |kept| Wanted {
        rows: 96,
        columns: &["well"],
        sums: &sums,
        kept,
    };
    let upper = matrix(|row| row);
    cases.check(
        "small letters",
        "a.csv",
        matrix(|row| row.to_ascii_lowercase()).join("\n") + "\n",
        &plate(&["H12"]),
    );
    let list = [
        "Well,Sample",
        "A1,x1",
        "A2,x2",
        "A3,x3",
        "A4,x4",
        "A5,x5",
        "A6,x6",
        "A7,x7",
        "A8,x8",
    ];
    let pairs = || upper.iter().zip(list);
    let right: String = pairs().map(|(plate, list)| format!("{plate},,{list}\n")).collect();
    cases.check("a plate and a list", "a.csv", right, &plate(&["x8"]));
    let left: String = pairs().map(|(plate, list)| format!("{list},,{plate}\n")).collect();
    cases.check("a list and a plate", "a.csv", left, &plate(&["x8"]));
    cases.done();
}

const ELN: &str = r#"{"id": "E1", "title": "Suzuki", "conditions": {"temp": {"value": 80, "unit": "degC"}}, "reactants": [{"name": "ArBr", "mmol": 1.5}, {"name": "B", "mmol": 2.25}], "products": [{"smiles": "CCO", "yield": 41.5}]}"#;

#[test]
fn json_in_all_its_forms() {
    let mut cases = Cases::default();
    let rows: Vec<String> = (0..12).map(|at| format!("{{\"id\": {at}, \"y\": {at}.5}}")).collect();
    let list = rows.join(", ");
    let sums = [("y", 72.0)];
    for (what, text) in [
        (
            "page",
            format!("{{\"items\": [{list}], \"meta\": {{\"page\": 1, \"total\": 777}}}}"),
        ),
        (
            "keys of a page",
            format!("{{\"data\": [{list}], \"page\": 1, \"total\": 777, \"next\": \"x?page=2\"}}"),
        ),
        (
            "Django",
            format!("{{\"count\": 777, \"next\": \"x\", \"previous\": null, \"results\": [{list}]}}"),
        ),
        (
            "JSON:API",
            format!(
                "{{\"jsonapi\": {{\"version\": \"1.1\"}}, \"links\": {{\"next\": \"x\"}}, \"data\": [{list}], \"meta\": {{\"total\": 777}}}}"
            ),
        ),
        (
            "OData",
            format!("{{\"@odata.context\": \"x\", \"@odata.count\": 777, \"value\": [{list}]}}"),
        ),
        (
            "pandas, table",
            format!("{{\"schema\": {{\"fields\": [{{\"name\": \"id\", \"type\": \"777\"}}]}}, \"data\": [{list}]}}"),
        ),
    ] {
        cases.check(what, "a.json", text, &measured(&["id"], &sums, &["777"]));
    }
    let cells: Vec<String> = (0..12).map(|at| format!("[{at}, {at}.5]")).collect();
    let cells = cells.join(", ");
    let y: Vec<String> = (0..12).map(|at| format!("{at}.5")).collect();
    let keyed: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| format!("\"EXP-{at:03}\": {row}"))
        .collect();
    for (what, text, kept) in [
        ("cells", format!("[[\"id\", \"y\"], {cells}]"), "11"),
        (
            "pandas, split",
            format!("{{\"columns\": [\"id\", \"y\"], \"data\": [{cells}]}}"),
            "11",
        ),
        (
            "names with types",
            format!(
                "{{\"columns\": [{{\"name\": \"id\"}}, {{\"name\": \"y\"}}], \"rows\": [{cells}], \"from\": \"X9\"}}"
            ),
            "X9",
        ),
        (
            "columns",
            format!(
                "{{\"id\": [0,1,2,3,4,5,6,7,8,9,10,11], \"y\": [{}], \"lamp\": \"D2-7\"}}",
                y.join(",")
            ),
            "D2-7",
        ),
        ("keys", format!("{{{}}}", keyed.join(", ")), "EXP-011"),
        (
            "NaN",
            format!("[{list}]")
                .replace("\"id\": 3,", "\"id\": 3, \"z\": NaN,")
                .replace("\"id\": 4,", "\"id\": 4, \"z\": 0.125, \"n\": \"NaN \\\" NaN\","),
            "NaN \" NaN",
        ),
    ] {
        cases.check(what, "a.json", text, &measured(&["id"], &sums, &[kept]));
    }
    let wells: Vec<String> = (1..=12).map(|at| format!("\"A{at}\": {at}.5")).collect();
    let wells = wells.join(", ");
    let sums = [("value", 84.0)];
    for text in [
        format!("{{\"plate\": \"P7\", \"wells\": {{{wells}}}}}"),
        format!("{{{wells}}}"),
    ] {
        let kept = ["P7", "A12"];
        cases.check(
            "wells",
            "a.json",
            text.clone(),
            &measured(&["well"], &sums, &kept[usize::from(!text.contains("P7"))..]),
        );
    }
    // One experiment stays one row, with its lists; so do lists of names, and people that have the same members.
    let one = |kept| Wanted {
        rows: 1,
        columns: &[],
        sums: &[],
        kept,
    };
    cases.check("an experiment", "a.json", ELN, &one(&["ArBr", "41.5", "degC"]));
    cases.check(
        "names",
        "a.json",
        r#"{"id": "E1", "tags": ["x", "y", "z"], "by": ["Ada", "Sam", "Dee"], "n": [1, 2, 3]}"#,
        &one(&["Sam"]),
    );
    cases.check(
        "people",
        "a.json",
        r#"{"author": {"name": "Ada", "n": 1}, "reviewer": {"name": "Sam", "n": 2}, "owner": {"name": "Dee", "n": 3}}"#,
        &one(&["Dee"]),
    );
    // Of a document that is nested throughout, one experiment or several make the same table.
    for count in [1, 3] {
        let all: Vec<String> = (0..count).map(|at| ELN.replace("E1", &format!("E{at}"))).collect();
        let text = format!(
            "{{\"project\": \"P1\", \"notebook\": {{\"experiments\": [{}]}}}}",
            all.join(", ")
        );
        let wanted = Wanted {
            rows: count,
            columns: &["id", "title"],
            sums: &[],
            kept: &["P1", "ArBr", "41.5", "CCO"],
        };
        cases.check(&format!("{count} experiments"), "a.json", text, &wanted);
    }
    cases.done();
}

fn asm(technique: &str, documents: &[String]) -> String {
    format!(
        "{{\"$asm.manifest\": \"http://x\", \"{technique} aggregate document\": {{\"device system document\": {{\"device identifier\": \"DEV-77\"}}, \"{technique} document\": [{}]}}}}",
        documents.join(", ")
    )
}

fn document(measurements: &[String]) -> String {
    format!(
        "{{\"analyst\": \"Ada\", \"measurement aggregate document\": {{\"measurement document\": [{}]}}}}",
        measurements.join(", ")
    )
}

#[test]
fn simple_models_of_one_measurement_and_of_many() {
    let mut cases = Cases::default();
    for count in [1, 2, 96] {
        let weighed: Vec<String> = (0..count)
            .map(|at| {
                document(&[format!(
                    "{{\"measurement identifier\": \"m{at}\", \"sample document\": {{\"sample identifier\": \"B{at}\"}}, \"sample weight\": {{\"value\": {at}.5, \"unit\": \"mg\"}}}}"
                )])
            })
            .collect();
        let total = (0..count).map(|at| at as f64 + 0.5).sum();
        let sums = [("sample weight", total)];
        let wanted = Wanted {
            rows: count,
            columns: &["sample weight unit", "measurement identifier"],
            sums: &sums,
            kept: &["DEV-77", "Ada", "B0"],
        };
        cases.check(&format!("{count} weighed"), "a.json", asm("balance", &weighed), &wanted);
    }
    // Spectra: a row for each measurement, and a table of points that knows whose they are.
    let points = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    let structure = |dimensions: &str| {
        format!(
            "{{\"dimensions\": [{dimensions}], \"measures\": [{{\"concept\": \"absorbance\", \"unit\": \"mAU\"}}]}}"
        )
    };
    let wave = "{\"concept\": \"wavelength\", \"unit\": \"nm\"}";
    let time = "{\"concept\": \"retention time\", \"unit\": \"s\"}";
    let waves: Vec<f64> = (0..50).map(|at| 200.5 + f64::from(at)).collect();
    let measurement = |at: usize, structure: &str, data: &str| {
        document(&[format!(
            "{{\"measurement identifier\": \"c{at}\", \"sample document\": {{\"sample identifier\": \"C{at}\"}}, \"spectrum data cube\": {{\"label\": \"UV\", \"cube-structure\": {structure}, \"data\": {data}}}}}"
        )])
    };
    let spectra: Vec<String> = (0..2)
        .map(|at| {
            let absorbed: Vec<f64> = (0..50).map(|point| at as f64 + f64::from(point) * 0.125).collect();
            let data = format!(
                "{{\"dimensions\": [[{}]], \"measures\": [[{}]]}}",
                points(&waves),
                points(&absorbed)
            );
            measurement(at, &structure(wave), &data)
        })
        .collect();
    let parsed = parse("a.json", asm("spectrophotometry", &spectra)).unwrap();
    let read = tables(&parsed);
    assert_eq!(read[0].num_rows(), 2, "{}", parsed.taken_for);
    let cube = read.iter().find(|table| table.num_rows() == 100).unwrap();
    assert_eq!(sum(cube, "absorbance"), Some(2.0 * 153.125 + 50.0));
    assert_eq!(column(cube, "wavelength unit")[99], "nm");
    assert_eq!(column(cube, "sample document sample identifier")[99], "C1");
    // Two dimensions, the measure as a list for each value of the first or as one list.
    for measures in [
        "[[[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]]",
        "[[1.5, 2.5, 3.5, 4.5, 5.5, 6.5]]",
    ] {
        let data = format!("{{\"dimensions\": [[10, 20], [200, 210, 220]], \"measures\": {measures}}}");
        let one = measurement(0, &structure(&format!("{time}, {wave}")), &data);
        let parsed = parse("a.json", asm("chromatography", &[one])).unwrap();
        let read = tables(&parsed);
        let cube = read.iter().find(|table| table.num_rows() == 6).unwrap();
        assert_eq!(column(cube, "retention time"), ["10", "10", "10", "20", "20", "20"]);
        assert_eq!(column(cube, "wavelength"), ["200", "210", "220", "200", "210", "220"]);
        assert_eq!(column(cube, "absorbance")[5], "6.5");
    }
    // Lists that are no cube stay as they are.
    let data = "{\"dimensions\": [[10, 20, 30]], \"measures\": [[1.5, 2.5]]}";
    let wanted = Wanted {
        rows: 1,
        columns: &["measurement identifier"],
        sums: &[],
        kept: &["C0"],
    };
    cases.check(
        "no cube",
        "a.json",
        asm("chromatography", &[measurement(0, &structure(time), data)]),
        &wanted,
    );
    cases.done();
}

#[test]
fn xml_keeps_what_stands_once() {
    let mut cases = Cases::default();
    let xml = |body: &str| format!("<?xml version=\"1.0\"?>\n{body}");
    let sample = |at: usize| format!("<Sample id=\"S{at}\"><Mass unit=\"mg\">{at}.5</Mass></Sample>");
    let all: String = (0..12).map(sample).collect();
    let sums = [("Mass", 72.0)];
    let text = xml(&format!(
        "<Run><Instrument serial=\"SN1\"><Model>M1</Model></Instrument><Samples>{all}</Samples></Run>"
    ));
    cases.check("once", "a.xml", text, &measured(&["id"], &sums, &["SN1", "M1", "mg"]));
    let wanted = Wanted {
        rows: 1,
        columns: &["Sample", "Weight", "Weight_unit"],
        sums: &[("Weight", 1.25)],
        kept: &["Ada"],
    };
    let text = xml("<Report><Sample>S1</Sample><Weight unit=\"g\">1.25</Weight><By>Ada</By></Report>");
    cases.check("one record", "a.xml", text, &wanted);
    let row = |name: &str, cells: [&str; 2]| format!("<{name}><c>{}</c><c>{}</c></{name}>", cells[0], cells[1]);
    let rows: String = (0..12)
        .map(|at| row("Row", [&format!("S{at}"), &format!("{at}.5")]))
        .collect();
    let text = xml(&format!(
        "<Export by=\"Ada\"><Table>{}{rows}</Table></Export>",
        row("Header", ["Sample", "Mass"])
    ));
    cases.check("rows of cells", "a.xml", text, &measured(&["Sample"], &sums, &["Ada"]));
    let text = xml(&format!("<Table>{}{rows}</Table>", row("Row", ["Sample", "Mass"])));
    cases.check(
        "names in the first row",
        "a.xml",
        text,
        &measured(&["Sample"], &sums, &[]),
    );
    cases.done();
}

#[test]
fn sheets_of_one_kind_are_one_table() {
    let mut cases = Cases::default();
    let sheet = |name: &str, lines: &[&str]| {
        let cell = |text: &str| format!("<Cell><Data>{text}</Data></Cell>");
        let row = |line: &&str| format!("<Row>{}</Row>", line.split(',').map(cell).collect::<String>());
        format!(
            "<Worksheet ss:Name=\"{name}\"><Table>{}</Table></Worksheet>",
            lines.iter().map(row).collect::<String>()
        )
    };
    let book = |sheets: &[String]| {
        format!(
            "<?xml version=\"1.0\"?><Workbook xmlns:ss=\"urn:s\">{}</Workbook>",
            sheets.concat()
        )
    };
    let day = |at: usize| sheet(&format!("Day {at}"), &["Sample,od", "S1,0.25", "S2,0.5", "S3,1"]);
    let sums = [("od", 5.25)];
    let wanted = Wanted {
        rows: 9,
        columns: &["sheet", "Sample"],
        sums: &sums,
        kept: &["Day 2"],
    };
    cases.check("three days", "a.xls", book(&[day(1), day(2), day(3)]), &wanted);
    let sums = [("od", 1.75)];
    let one = Wanted {
        rows: 3,
        columns: &["Sample"],
        sums: &sums,
        kept: &["SN-5", "p"],
    };
    let info = sheet("Run info", &["Instrument,X1", "Serial,SN-5", "Operator,Ada"]);
    let other = sheet("Lots", &["lot,maker,note", "L1,A,p", "L2,B,q"]);
    cases.check("settings first", "a.xls", book(&[info, day(1), other]), &one);
    // Two columns of words under another name are a table.
    let pairs = sheet("Samples", &["Sample,Salt", "S1,HCl", "S2,TFA"]);
    let parsed = parse("a.xls", book(&[pairs, day(1)])).unwrap();
    assert_eq!(parsed.blocks.len(), 2, "{}", parsed.taken_for);
    cases.done();
}

#[test]
fn the_same_in_other_encodings() {
    let mut cases = Cases::default();
    let text = format!(
        "Probe;Größe;b;c;d\n{}",
        samples(";").concat().replace("S1;", "Säure 1;")
    );
    let sums = [("Größe", FIRST)];
    let wanted = measured(&["Probe"], &sums, &["Säure 1"]);
    let western: Vec<u8> = text
        .chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap())
        .collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (what, bytes) in [
        ("UTF-8", text.clone().into_bytes()),
        ("UTF-8 with its mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("latin-1", western),
        ("UTF-16", utf16le(&text)),
        ("UTF-16, big end first", [b"\xfe\xff".as_slice(), &big].concat()),
        ("UTF-16, big, unmarked", big),
        ("UTF-16, little, unmarked", little),
    ] {
        cases.check(what, "a.csv", bytes, &wanted);
    }
    cases.done();
}
