"""Axis `tables`: a lake of N tables of one row each, fifty a schema. What its start, lists, one row and rest cost."""

import contextlib
import time

import delta
import lab
import pyarrow

SIZE = "tables"
SIZES = (10, 100, 1_000, 10_000)
SCHEMA_TABLES = 50
# Directories, files and blocks of one table.
TABLE_BYTES = 5 * 4096
SWEEP_S = 2
REST_S = 4 * SWEEP_S
# `ana` reads the first schema: what she is told must not cost what she is not told.
POLICY = """\
g, user:ada, role:lake_admin, *
g, user:ana, role:reader, s0000
p, role:lake_admin, *, **, *, allow
p, role:reader, *, lab, use, allow
p, role:reader, s0000, lab/s0000/**, use|select, allow
p2, role:reader, s0000, lab/s0000/*, permissive, kept
"""
FILTERS = '[filter.kept]\ntable = "lab/s0000/*"\nsql = "yield_pct >= 0"\n'
COUNT = "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'table\\_%'"


@contextlib.contextmanager
def opened(bench):
    yield lambda tables, row: measure(bench, tables, row)


def measure(bench, tables, row):
    bench.room(tables * TABLE_BYTES)
    with bench.lake(POLICY, FILTERS, {"crawl": {"settle_ms": 0, "sweep_interval_s": SWEEP_S}}) as lake:
        lake.users("ada", "ana")
        for number in range(tables):
            delta.write_small(lake.folder / "tables" / schema(number) / table(number), pyarrow.table({"id": [number], "yield_pct": [number / 2]}))
            if number % 100 == 0:
                bench.in_time(f"tables were written ({number:,} of {tables:,})")
        with lake.serve() as server, server.session("ada") as ada, server.session("ana") as ana:
            row |= {"start to ready, s": server.ready_s}
            row |= server.until(ada, COUNT, [(tables,)]).told("start until all are there", "s") | {"then, MiB": lab.memory(server.pid)}
            people = (("ada", ada, tables), ("ana", ana, min(tables, SCHEMA_TABLES)))
            for user, ask, shown in people:
                row |= server.cost(ask, lambda n: one(n % shown), lambda n: [(n % shown, n % shown / 2)]).told(f"one row as {user}")
            for user, ask, shown in people:
                row |= server.cost(ask, COUNT, [(shown,)]).told(f"tables counted as {user}")
            row |= {f"at rest, a sweep each {SWEEP_S} s, % of a core": at_rest(server), "peak, MiB": lab.memory(server.pid, "VmHWM")}
            if tables > SCHEMA_TABLES:
                refused(ana)


def at_rest(server):
    """Nobody asks, and the lake is swept every SWEEP_S seconds."""
    used, begun = server.processor(), time.monotonic()
    time.sleep(REST_S)
    return 100 * (server.processor() - used) / (time.monotonic() - begun)


def refused(ana):
    try:
        got = ana(one(SCHEMA_TABLES))
    except lab.Limit:
        return
    raise lab.Wrong(f"ana reads {got.num_rows} rows of a schema that is closed to her")


def schema(number):
    return f"s{number // SCHEMA_TABLES:04}"


def table(number):
    return f"table_{number:05}"


def one(number):
    return f"SELECT id, yield_pct FROM lab.{schema(number)}.{table(number)} WHERE id >= 0"
