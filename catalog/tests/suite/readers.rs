//! Tables we write, opened by others.

use labhouse_catalog::FileStatus::Loaded;

use crate::support::{Lab, eager, file, local_lake};
use crate::venv::python;

const READ: &str = "
import sys
from deltalake import DeltaTable
t = DeltaTable(sys.argv[1])
rows = t.to_pyarrow_table()
print(t.version(), rows.num_rows, rows.column_names, sum(x for x in rows['v'].to_pylist() if x is not None))
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_reader_opens_what_we_write() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land(
        "chem/t/1.csv",
        "k,v,at\na,1,2026-03-04T09:30:00\nb,2,2026-03-05T09:30:00\n",
    )
    .await;
    lab.sweep().await;
    lab.land("chem/t/2.csv", "k,v,note\nc,0.5,x\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/2.csv").status, Loaded);
    lab.land("chem/t/1.csv", "k,v\na,10\n").await;
    lab.sweep().await;
    let table = folder.path().join("tables/chem/t");
    let seen = python(READ, &[table.to_str().unwrap()]);
    let columns = "['k', 'v', 'at', 'note', '_source_file', '_source_row', '_ingested_at']";
    assert_eq!(seen, format!("{} 2 {columns} 10.5", lab.version("chem", "t")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_written_by_python_is_found() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let table = folder.path().join("tables/outside/made_in_python");
    let write = "
import sys
import pyarrow as pa
from deltalake import write_deltalake
write_deltalake(sys.argv[1], pa.table({'site': ['a', 'a', 'b'], 'n': [1, 2, 3]}), partition_by=['site'], mode='append')
";
    python(write, &[table.to_str().unwrap()]);
    assert!(lab.catalog.refresh().await.unwrap());
    assert_eq!(
        lab.ask("select site, sum(n) from outside.made_in_python group by 1 order by 1")
            .await,
        [["a", "3"], ["b", "3"]]
    );
    assert_eq!(
        lab.number("select n from outside.made_in_python where site = 'b'")
            .await,
        3
    );
    assert!(!lab.catalog.refresh().await.unwrap(), "nothing new, no new generation");
    python(write, &[table.to_str().unwrap()]);
    assert!(lab.catalog.refresh().await.unwrap());
    assert_eq!(lab.number("select count(*) from outside.made_in_python").await, 6);

    // A broken table is named, and takes no other with it.
    std::fs::write(table.join("_delta_log/00000000000000000002.json"), "{ broken").unwrap();
    lab.land("chem/t/1.csv", "k\n1\n").await;
    lab.sweep().await;
    let snapshot = lab.catalog.snapshot();
    assert_eq!(
        snapshot.broken.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>(),
        ["outside.made_in_python"]
    );
    assert_eq!(lab.number("select count(*) from chem.t").await, 1);

    std::fs::remove_dir_all(&table).unwrap();
    assert!(lab.catalog.refresh().await.unwrap());
    assert!(
        lab.catalog.snapshot().broken.is_empty() && lab.catalog.snapshot().table("outside", "made_in_python").is_none()
    );
}
