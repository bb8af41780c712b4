"""The 22 TPC-H queries through a running labhouse, beside DuckDB on the same Parquet files in the same run.

    run.py --flight grpc://127.0.0.1:50051 --parquet DIR/tables/tpch

Every query runs on labhouse over Flight SQL (ADBC) as an administrator and as principals whose row filters keep every
row, and on DuckDB in this process. Each is run once to warm up, then the best of three counts; a run ends when the last
row has arrived as Arrow. The results of all are compared value by value. Then `lineitem` is streamed whole, and
`SELECT 1` is asked 200 times. The ratios are labhouse / DuckDB: below 1 is faster.

`--parquet` holds a folder for each table: either Delta tables (their live files are read, so that both sides read the
very same bytes) or plain folders of Parquet. Passwords come from LABHOUSE_PASSWORD_<USER>, else the demo's `<user>-demo`.
The principals to compare with the administrator are those of `--filtered`; leave it out to measure her alone.
`bench.py` beside this file does the rest: data, lake, server.
"""

import argparse
import datetime
import decimal
import json
import math
import os
import pathlib
import statistics
import sys
import time

import adbc_driver_flightsql.dbapi as flightsql
import duckdb

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
# The columns the specification gives lineitem: tables of the lake carry `_source_…` columns beside them.
LINEITEM = (
    "l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag, "
    "l_linestatus, l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment"
)
PING_RUNS = 200
# The engines differ in how they round averages of decimals: to the cent is the specification's own rule.
ABSOLUTE = 0.01
RELATIVE = 1e-6


def main(argv=None):
    arguments = parse(argv)
    files = {table: parquet_files(arguments.parquet / table) for table in TABLES}
    duck = open_duckdb(files, arguments.threads)
    sides = {"duckdb": lambda sql: duck.execute(sql).to_arrow_table()}
    for side, user in [("admin", arguments.admin), *((user, user) for user in arguments.filtered)]:
        sides[side] = open_labhouse(arguments.flight, user)

    report = {"threads": arguments.threads, "best_of": arguments.best_of, "queries": {}, "wrong": []}
    print_header(sides)
    for path in sorted(HERE.glob("q*.sql")):
        if arguments.queries and path.stem not in arguments.queries:
            continue
        report["queries"][path.stem] = run_query(path.stem, path.read_text(), sides, arguments.best_of, report["wrong"])
    complete = [times for times in report["queries"].values() if not any(map(math.isnan, times.values()))]
    means = {side: geometric_mean([times[side] for times in complete]) for side in sides}
    report["geometric_mean"] = means
    print_line("geomean", means)

    sql = f"SELECT {LINEITEM} FROM lab.tpch.lineitem"
    report["stream_lineitem"] = run_query("lineitem", sql, sides, arguments.best_of, report["wrong"], values=False)
    report["select_1_ms"] = {side: ping(run) for side, run in sides.items()}
    for side, (median, worst) in report["select_1_ms"].items():
        print(f"SELECT 1   {side:<9} median {median:7.2f} ms   p99 {worst:7.2f} ms   ({PING_RUNS} runs)")

    for wrong in report["wrong"]:
        print(f"WRONG: {wrong}")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    return 1 if report["wrong"] else 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flight", required=True, help="grpc://host:port of a running labhouse")
    parser.add_argument("--parquet", required=True, type=pathlib.Path, help="folder with one folder for each table")
    parser.add_argument("--admin", default="ada", help="a user no filter applies to")
    parser.add_argument("--filtered", nargs="*", default=[], help="users whose row filters keep every row")
    parser.add_argument("--threads", type=int, default=2, help="threads for DuckDB; give labhouse as many")
    parser.add_argument("--best-of", type=int, default=3)
    parser.add_argument("--queries", nargs="*", help="only these, for example q01 q18")
    parser.add_argument("--json", help="also write the numbers to this file")
    return parser.parse_args(argv)


def parquet_files(folder):
    """The files that are the table: a Delta table's live ones, or all Parquet files below a plain folder."""
    if (folder / "_delta_log").is_dir():
        from deltalake import DeltaTable

        files = DeltaTable(str(folder)).file_uris()
    else:
        files = sorted(str(path) for path in folder.rglob("*.parquet") if not path.name.startswith((".", "_")))
    if not files:
        sys.exit(f"{folder}: no Parquet files; write some with `cargo run --release --example tpch_data`")
    return files


def open_duckdb(files, threads):
    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute("ATTACH ':memory:' AS lab")
    connection.execute("CREATE SCHEMA lab.tpch")
    for table, paths in files.items():
        quoted = ", ".join("'" + path.removeprefix("file://").replace("'", "''") + "'" for path in paths)
        connection.execute(f"CREATE VIEW lab.tpch.{table} AS SELECT * FROM read_parquet([{quoted}])")
    return connection


def open_labhouse(uri, user):
    password = os.environ.get(f"LABHOUSE_PASSWORD_{user.upper()}", f"{user}-demo")
    connection = flightsql.connect(uri, db_kwargs={"username": user, "password": password}, autocommit=True)

    def run(sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    return run


def run_query(name, sql, sides, best_of, wrong, values=True):
    """Best time of each side in seconds; what differs from DuckDB is added to `wrong`."""
    times, expected = {}, None
    for side, run in sides.items():
        try:
            best = math.inf
            result = run(sql)
            for _ in range(best_of):
                start = time.perf_counter()
                result = run(sql)
                best = min(best, time.perf_counter() - start)
        except Exception as error:  # one query that fails must not hide the other 21
            wrong.append(f"{name} on {side}: {error}")
            times[side] = math.nan
            continue
        times[side] = best
        got = (result.num_rows, rows(result) if values else [])
        if side == "duckdb":
            expected = got
        elif difference := compare(expected, got):
            wrong.append(f"{name} on {side}: {difference}")
    print_line(name, times)
    return times


def rows(table):
    """Cells as plain values, whatever the engine calls their types, in an order of their own."""

    def plain(cell):
        if isinstance(cell, (decimal.Decimal, int)):
            return float(cell)
        if isinstance(cell, datetime.datetime):
            return cell.date().isoformat()
        return cell.isoformat() if isinstance(cell, datetime.date) else cell

    def order(row):  # floats rounded, so that a last digit cannot change the order
        return [f"{cell:.0f}" if isinstance(cell, float) else str(cell) for cell in row]

    columns = [[plain(cell) for cell in column.to_pylist()] for column in table.columns]
    return sorted(zip(*columns), key=order)


def compare(expected, got):
    if expected is None:
        return "DuckDB gave no result to compare with"
    if expected[0] != got[0]:
        return f"{got[0]} rows, DuckDB has {expected[0]}"
    for wanted, row in zip(expected[1], got[1]):
        for a, b in zip(wanted, row):
            same = math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) if both_floats(a, b) else a == b
            if not same:
                return f"{row} where DuckDB has {wanted}"
    return None


def both_floats(a, b):
    return isinstance(a, float) and isinstance(b, float)


def ping(run):
    """Median and 99th percentile of a query that does nothing, in ms."""
    taken = []
    for _ in range(PING_RUNS):
        start = time.perf_counter()
        run("SELECT 1")
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken), sorted(taken)[int(PING_RUNS * 0.99) - 1]


def geometric_mean(times):
    """Of the queries that every side ran: a failed one is listed as wrong and counts for nobody."""
    return math.exp(statistics.fmean(map(math.log, times))) if times else math.nan


def print_header(sides):
    labhouse = [side for side in sides if side != "duckdb"]
    cells = [f"{side:>10}" for side in sides] + [f"{side + '/duckdb':>16}" for side in labhouse]
    cells += [f"{side + '/admin':>16}" for side in labhouse if side != "admin"]
    print(f"{'seconds':<10} " + " ".join(cells), flush=True)


def print_line(name, times):
    cells = [f"{seconds:>10.4f}" for seconds in times.values()]
    cells += [f"{seconds / times['duckdb']:>16.2f}" for side, seconds in times.items() if side != "duckdb"]
    cells += [f"{seconds / times['admin']:>16.2f}" for side, seconds in times.items() if side not in ("duckdb", "admin")]
    print(f"{name:<10} " + " ".join(cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
