//! Molecules and Avro at the front door of the crawler.

use std::io::Write;

use labhouse_catalog::FileStatus::{Loaded, Quarantined};

use crate::support::{Lab, eager, file, local_lake, reason};
use crate::venv::python;

fn record(name: &str, weight: &str) -> String {
    format!(
        "{name}\n  test\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 C   0  0\n    1.0000    0.0000    0.0000 O   0  0\n  1  2  1  0\nM  END\n> <MW>\n{weight}\n\n> <Lot No>\n007\n\n$$$$\n"
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sd_files_and_lists_of_smiles_are_tables() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land(
        "chem/library/a.sdf",
        record("methanol", "32") + &record("methoxide", "31.03"),
    )
    .await;
    lab.land("chem/library/b.sdf.gz", gzip(&record("other", "40.5"))).await;
    lab.land(
        "chem/library/cut.sdf",
        record("good", "1") + "half\n  test\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n",
    )
    .await;
    lab.land("chem/bought/vendor.smi", "CO methanol\nCCO ethanol\n").await;
    let report = lab
        .expect(&[
            ("chem/bought/vendor.smi", Loaded),
            ("chem/library/a.sdf", Loaded),
            ("chem/library/b.sdf.gz", Loaded),
            ("chem/library/cut.sdf", Quarantined),
        ])
        .await;
    assert_eq!(file(&report, "chem/library/a.sdf").confidence, Some(1.0));
    assert!(
        reason(&report, "chem/library/cut.sdf").contains("record 2"),
        "{report:#?}"
    );
    assert_eq!(
        lab.ask("select molecule_name, mw, lot_no from chem.library order by mw")
            .await,
        [
            ["methoxide", "31.03", "007"],
            ["methanol", "32.0", "007"],
            ["other", "40.5", "007"]
        ]
    );
    let first = "select count(*) from chem.library where molblock like '%V2000%M  END'";
    assert_eq!(lab.number(first).await, 3);
    assert_eq!(
        lab.ask("select smiles, name from chem.bought order by 1").await,
        [["CCO", "ethanol"], ["CO", "methanol"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feather_written_by_python_is_a_table() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let write = "
import sys
import pyarrow as pa
from pyarrow import feather
table = pa.table({'sample': ['s1', 's2', None], 'od': [0.5, 0.75, None], 'kind': pa.array(['a', 'b', 'a']).dictionary_encode()})
feather.write_feather(table, sys.argv[1])
";
    let place = folder.path().join("landing/chem/runs");
    std::fs::create_dir_all(&place).unwrap();
    python(write, &[place.join("a.feather").to_str().unwrap()]);
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/runs/a.feather").status, Loaded, "{report:#?}");
    assert_eq!(
        lab.ask("select sample, od, kind from chem.runs order by 1").await,
        [["s1", "0.5", "a"], ["s2", "0.75", "b"], ["null", "null", "a"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avro_written_by_another_program_is_a_table() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    // Written by hand in Python, byte by byte after the specification: no writer of ours or of the reader's.
    let write = r#"
import json, struct, sys, zlib
def long(n):
    n = (n << 1) ^ (n >> 63)
    out = b''
    while n & ~0x7f:
        out += bytes([(n & 0x7f) | 0x80]); n >>= 7
    return out + bytes([n])
def text(s): return long(len(s)) + s
schema = {'type': 'record', 'name': 'run', 'fields': [
    {'name': 'sample', 'type': 'string'},
    {'name': 'od', 'type': ['null', 'double']},
    {'name': 'day', 'type': {'type': 'int', 'logicalType': 'date'}},
    {'name': 'state', 'type': {'type': 'enum', 'name': 'state', 'symbols': ['ok', 'failed']}},
]}
sync = bytes(range(16))
body = b''
for sample, od, day, state in [(b's1', 0.5, 20000, 0), (b's2', None, 20001, 1)]:
    body += text(sample) + (long(0) if od is None else long(1) + struct.pack('<d', od)) + long(day) + long(state)
packer = zlib.compressobj(wbits=-15)
packed = packer.compress(body) + packer.flush()
meta = {b'avro.schema': json.dumps(schema).encode(), b'avro.codec': b'deflate', b'instrument': b'Reader X'}
out = b'Obj\x01' + long(len(meta)) + b''.join(text(k) + text(v) for k, v in meta.items()) + long(0) + sync
out += long(2) + text(packed) + sync
open(sys.argv[1], 'wb').write(out)
"#;
    let place = folder.path().join("landing/chem/runs");
    std::fs::create_dir_all(&place).unwrap();
    python(write, &[place.join("a.avro").to_str().unwrap()]);
    let report = lab.sweep().await;
    let outcome = file(&report, "chem/runs/a.avro");
    assert_eq!(outcome.status, Loaded, "{report:#?}");
    assert_eq!(
        outcome.properties.get("instrument").map(String::as_str),
        Some("Reader X")
    );
    assert_eq!(
        lab.ask("select sample, od, day, state from chem.runs order by 1").await,
        [
            ["s1", "0.5", "2024-10-04", "ok"],
            ["s2", "null", "2024-10-05", "failed"]
        ]
    );
}
