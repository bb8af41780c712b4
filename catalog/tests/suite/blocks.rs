//! Files that feed several tables are loaded whole or not at all.

use std::process::Command;

use labhouse_catalog::FileStatus::{Gone, Loaded, Quarantined, Replaced, Unchanged};

use crate::support::{Lab, eager, file, local_lake, reason};

/// A workbook with these sheets, each as lines of comma separated cells; numbers become numbers.
fn workbook(sheets: &[(&str, &str)]) -> Vec<u8> {
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
        ("Lots", "lot,grams\nl1,much\nl2,little"),
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
