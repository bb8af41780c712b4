"""The TPC-H tables that q01, q03 and q06 read, as Delta tables of a lake, and what DuckDB answers on the same files."""

import pathlib
import shutil
import subprocess
import sys

import lab

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tpch"))
import run  # noqa: E402  benches/tpch/run.py: the comparison of answers is its

TABLES = ("customer", "orders", "lineitem")
QUERIES = ("q01", "q06", "q03")
# Landed and in the table, of a unit of scale: what all tables take while they are made.
SCALE_BYTES = 1.1 * 2**30


def load(bench, lake, scale):
    """Makes the tables, crawls them; what the crawl cost, and the MiB that landed."""
    if not bench.tpch_data.is_file():
        raise lab.Limit(f"{bench.tpch_data} is not there: build it with `cargo build --release --example tpch_data`, or name one with --tpch-data")
    bench.room(scale * SCALE_BYTES)
    landing = lake.folder / "landing" / "tpch"
    landing.mkdir()
    # The generator has no server's bounds, so the axis' time is its own.
    with lab.Process(bench, [bench.tpch_data, "--sf", str(scale), "--out", landing], subprocess.DEVNULL, subprocess.DEVNULL) as process:
        status, _ = process.wait()
    if status != 0:
        raise lab.Limit(process.why or f"tpch_data ended with {status}")
    for folder in landing.iterdir():
        if folder.name not in TABLES:
            shutil.rmtree(folder)
    landed = sum(file.stat().st_size for file in landing.rglob("*.parquet")) / 2**20
    ran = bench.command("crawl", "--config", lake.config).or_limit("labhouse crawl")
    return ran, landed


def sql(query):
    return (HERE.parent / "tpch" / f"{query}.sql").read_text()


def answers(lake):
    """Of each query by DuckDB on the very files of the Delta tables, and the number of rows of lineitem."""
    files = {table: run.parquet_files(lake.folder / "tables" / "tpch" / table) for table in TABLES}
    with run.open_duckdb(files, 2) as duck:
        right = {query: duck.sql(sql(query)).to_arrow_table() for query in QUERIES}
        rows = duck.execute("SELECT count(*) FROM lab.tpch.lineitem").fetchone()[0]
    return {query: (table.num_rows, run.rows(table)) for query, table in right.items()}, rows


def differs(right, table):
    """Nothing when an answer is right to the cent, else where it is not."""
    return run.compare(right, (table.num_rows, run.rows(table)))


def cost(server, ask, query, right):
    return server.cost(ask, sql(query), None, rows=lambda table: differs(right, table))
