//! Files that feed several tables are loaded whole or not at all.

use std::process::Command;

use labhouse_catalog::FileStatus::{Gone, Loaded, Quarantined, Replaced, Unchanged};

use crate::support::{Lab, eager, file, local_lake, reason};

/// A workbook with these sheets, each as lines of comma separated cells; numbers become numbers.
pub(crate) fn workbook(sheets: &[(&str, &str)]) -> Vec<u8> {
    const PROGRAM: &str = r#"
import io, sys, zipfile
sheets = [(a.split('=', 1)[0], a.split('=', 1)[1]) for a in sys.argv[1:]]
def cell(text, column, row):
    at = chr(65 + column) + str(row)
    try:
        return f'<c r="{at}"><v>{float(text)}</v></c>'
    except ValueError:
        return f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>'
main = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main'
office = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships'
package = 'http://schemas.openxmlformats.org/package/2006'
out = io.BytesIO()
with zipfile.ZipFile(out, 'w') as z:
    kinds, refs, rels = '', '', ''
    for i, (name, text) in enumerate(sheets, 1):
        rows = ''.join(
            f'<row r="{r}">' + ''.join(cell(t, c, r) for c, t in enumerate(line.split(','))) + '</row>'
            for r, line in enumerate(text.split('\n'), 1))
        z.writestr(f'xl/worksheets/sheet{i}.xml', f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>')
        kinds += f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        refs += f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"/>'
        rels += f'<Relationship Id="rId{i}" Type="{office}/worksheet" Target="worksheets/sheet{i}.xml"/>'
    z.writestr('[Content_Types].xml', f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{kinds}</Types>')
    z.writestr('_rels/.rels', f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>')
    z.writestr('xl/workbook.xml', f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{refs}</sheets></workbook>')
    z.writestr('xl/_rels/workbook.xml.rels', f'<Relationships xmlns="{package}/relationships">{rels}</Relationships>')
sys.stdout.buffer.write(out.getvalue())
"#;
    let arguments = sheets.iter().map(|(name, text)| format!("{name}={text}"));
    let output = Command::new("python3")
        .arg("-c")
        .arg(PROGRAM)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const RUNS: &str = "run,yield_pct\nr1,10.5\nr2,20.5\nr3,30.5";
const LOTS: &str = "lot,grams\nl1,1.5\nl2,2.5";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_whose_names_are_cut_alike_are_tables_of_their_own() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let path = format!("chem/{}/a.xlsx", "long_name_".repeat(14));
    lab.land(
        &path,
        workbook(&[("Runs", RUNS), ("Lots", LOTS), ("More", "well,od\nA1,0.5\nA2,0.6")]),
    )
    .await;
    let report = lab.expect(&[(path.as_str(), Loaded)]).await;
    let mut tables = file(&report, &path).tables.clone();
    tables.sort();
    tables.dedup();
    assert_eq!(tables.len(), 3, "{tables:?}");
    assert_eq!(file(&report, &path).rows, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workbook_feeds_a_table_per_sheet() {
    const PATH: &str = "chem/book/a.xlsx";
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land(PATH, workbook(&[("Runs", RUNS), ("Lots", LOTS)])).await;
    let report = lab.expect(&[(PATH, Loaded)]).await;
    assert_eq!(
        file(&report, PATH).tables,
        ["chem.book", "chem.book__lots"],
        "{report:#?}"
    );
    assert_eq!(file(&report, PATH).rows, 5);
    assert_eq!(lab.number("select count(*) from chem.book").await, 3);
    assert_eq!(lab.number("select count(*) from chem.book__lots").await, 2);
    lab.another().await.expect(&[(PATH, Unchanged)]).await;

    // One table of two is lost: only that one is filled again.
    for object in lab.lake.list("tables/chem/book__lots").await.unwrap() {
        lab.lake.delete(object.location.as_ref()).await.unwrap();
    }
    lab.expect(&[(PATH, Loaded)]).await;
    assert_eq!(lab.number("select count(*) from chem.book").await, 3);
    assert_eq!(lab.number("select count(*) from chem.book__lots").await, 2);

    // A sheet that does not fit its table keeps the other sheet's rows out, too.
    let odd = workbook(&[
        ("Runs", "run,yield_pct\nr9,90.5\nr8,80.5"),
        ("Lots", "lot,grams\nl1,much\nl2,little\nl3,some\nl4,none left\nl5,all"),
    ]);
    lab.land(PATH, odd).await;
    let report = lab.expect(&[(PATH, Quarantined)]).await;
    assert!(reason(&report, PATH).contains("'grams'"), "{report:#?}");
    assert_eq!(lab.number("select count(*) from chem.book where run = 'r1'").await, 1);
    assert_eq!(lab.number("select count(*) from chem.book where run = 'r9'").await, 0);

    // A workbook that no longer has the sheet takes its rows away.
    lab.land(PATH, workbook(&[("Runs", "run,yield_pct\nr1,11.5\nr2,21.5")]))
        .await;
    let report = lab.expect(&[(PATH, Replaced)]).await;
    assert_eq!(file(&report, PATH).tables, ["chem.book"]);
    assert_eq!(lab.number("select count(*) from chem.book").await, 2);
    assert_eq!(lab.number("select count(*) from chem.book__lots").await, 0);
    lab.expect(&[(PATH, Unchanged)]).await;
    lab.take_away(PATH).await;
    lab.expect(&[(PATH, Gone)]).await;
    assert_eq!(lab.number("select count(*) from chem.book").await, 2);
    lab.another().await.expect(&[(PATH, Gone)]).await;
}

/// A qPCR export: a head, sections with titles, each its own table.
fn export(cts: &[f64], with_raw: bool) -> String {
    let mut text = String::from("* Instrument = QS7\n\n[Results]\nWell\tPosition\tCT\n");
    for (at, ct) in cts.iter().enumerate() {
        text.push_str(&format!("{}\tA{}\t{ct}\n", at + 1, at + 1));
    }
    if with_raw {
        text.push_str("\n[Raw Data]\nWell\tCycle\tx1\n1\t1\t1.5\n1\t2\t2.5\n2\t1\t3.5\n");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sections_of_a_text_feed_a_table_each() {
    const PATH: &str = "chem/qpcr/2026/a.txt";
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land(PATH, export(&[16.5, 17.25], true).into_bytes()).await;
    let report = lab.expect(&[(PATH, Loaded)]).await;
    assert_eq!(file(&report, PATH).tables, ["chem.qpcr", "chem.qpcr__raw_data"]);
    assert!(
        file(&report, PATH).taken_for.contains("Raw Data: 3 rows"),
        "{report:#?}"
    );
    assert_eq!(
        lab.number("select count(*) from chem.qpcr where instrument = 'QS7'")
            .await,
        2
    );
    assert_eq!(lab.number("select count(*) from chem.qpcr__raw_data").await, 3);
    // Another server, and the same again: nothing is doubled.
    lab.another().await.expect(&[(PATH, Unchanged)]).await;

    // A second run in the same folder goes to the same tables; a new content of the first replaces its part in both.
    const SECOND: &str = "chem/qpcr/2026/b.txt";
    lab.land(SECOND, export(&[20.5], true).into_bytes()).await;
    lab.expect(&[(PATH, Unchanged), (SECOND, Loaded)]).await;
    assert_eq!(lab.number("select count(*) from chem.qpcr").await, 3);
    lab.land(PATH, export(&[30.5, 31.5, 32.5], false).into_bytes()).await;
    let report = lab.expect(&[(PATH, Replaced), (SECOND, Unchanged)]).await;
    assert_eq!(file(&report, PATH).tables, ["chem.qpcr"]);
    assert_eq!(lab.number("select count(*) from chem.qpcr").await, 4);
    assert_eq!(lab.number("select count(*) from chem.qpcr__raw_data").await, 3);

    // What is not understood goes to quarantine with what was seen, and its old rows stay.
    let cut = "\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\nA\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\nB\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n";
    lab.land(SECOND, cut.as_bytes().to_vec()).await;
    let report = lab.expect(&[(PATH, Unchanged), (SECOND, Quarantined)]).await;
    assert!(
        reason(&report, SECOND).contains("ends with the file after 2 rows"),
        "{report:#?}"
    );
    assert_eq!(lab.number("select count(*) from chem.qpcr").await, 4);
}
