"""The lake is open: every table labhouse writes is read by PyPI's `deltalake` and by DuckDB's Parquet reader."""

import os
import pathlib

import duckdb
import pytest
from deltalake import DeltaTable

EXPECTED = {
    "chemistry.plate_readings": 96 * 384,
    "chemistry.plate_layout": 96 * 384,
    "chemistry.protocols": 96,
    "chemistry.reagent_lots": 26,
    "chemistry.virtual_library": 20_000,
    "chembl.compound_properties": 2_000,
    "preclinical.dose_groups": 24,
    "adme.clearance": 240,
    "assay.ic50": 420,
}


def tables():
    """Every `schema.table` on disk, known when the tests are collected."""
    root = pathlib.Path(os.environ.get("LABHOUSE_DIR", "")) / "tables"
    logs = sorted(root.glob("*/*/_delta_log")) if os.environ.get("LABHOUSE_DIR") else []
    return [f"{log.parent.parent.name}.{log.parent.name}" for log in logs]


def local(file):
    return file.removeprefix("file://")


def test_the_demo_made_its_tables():
    assert set(EXPECTED) <= set(tables())


@pytest.mark.parametrize("table", tables())
def test_three_readers_count_the_same(value, lab_dir, table):
    delta = DeltaTable(str(lab_dir / "tables" / table.replace(".", "/")))
    read = delta.to_pyarrow_table()
    files = [local(file) for file in delta.file_uris()]
    counted = duckdb.execute("SELECT count(*) FROM read_parquet(?, union_by_name = true)", [files]).fetchone()[0] if files else 0
    assert read.num_rows == counted == value("ada", f"SELECT count(*) FROM lab.{table}")
    if table in EXPECTED:
        assert counted == EXPECTED[table]


@pytest.mark.parametrize("table", tables())
def test_names_and_numbers_agree(query, lab_dir, table):
    delta = DeltaTable(str(lab_dir / "tables" / table.replace(".", "/")))
    read = delta.to_pyarrow_table()
    served = query("ada", f"SELECT * FROM lab.{table} LIMIT 0").schema
    assert set(served.names) <= set(read.schema.names)
    # Lower-case words only: Spark refuses spaces and brackets.
    assert all(name.replace("_", "").isalnum() and name == name.lower() for name in read.schema.names)
    numbers = [field.name for field in read.schema if str(field.type) in ("int64", "double") and field.name in served.names]
    for column in numbers[:5]:
        sql = f'SELECT count("{column}") AS n, min("{column}") AS low, max("{column}") AS high FROM '
        (ours,) = query("ada", f"{sql} lab.{table}").to_pylist()
        theirs = duckdb.execute(f"{sql} read").fetchone()
        assert tuple(ours.values()) == theirs, column


@pytest.mark.parametrize("table", sorted(EXPECTED))
def test_every_row_knows_its_file(lab_dir, table):
    read = DeltaTable(str(lab_dir / "tables" / table.replace(".", "/"))).to_pyarrow_table()
    rows = duckdb.execute("SELECT count(*), count(DISTINCT (_source_file, _source_row)) FROM read").fetchone()
    assert rows == (EXPECTED[table], EXPECTED[table]), "one row of a file is one row of the table"
    for (file,) in duckdb.execute("SELECT DISTINCT _source_file FROM read").fetchall():
        assert (lab_dir / "landing" / file).is_file(), file


@pytest.mark.parametrize("table", tables())
def test_each_commit_is_whole(lab_dir, table):
    """Time travel over every version: no version names a file that is missing."""
    path = str(lab_dir / "tables" / table.replace(".", "/"))
    for version in range(DeltaTable(path).version() + 1):
        files = DeltaTable(path, version=version).file_uris()
        assert all(pathlib.Path(local(file)).is_file() for file in files), f"{table} version {version}"
