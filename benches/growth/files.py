"""Axis `files`: one table of N tiny files. What its start, a count, a question for one row and a sum of all cost."""

import contextlib

import delta
import lab
import numpy

SIZE = "files"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
# The row filter keeps 95 of 100 rows and no statistics prove it: `ana` pays for being governed.
POLICY = lab.POLICY + "p2, role:reader, growth, lab/growth/readings, permissive, kept\n"
FILTERS = '[filter.kept]\ntable = "lab/growth/readings"\nsql = "yield_pct >= 5"\n'
TABLE = "lab.growth.readings"
# Of a file on the disk: its block, its node, and what the logs say of it.
FILE_BYTES = 4096 + 256 + 400


@contextlib.contextmanager
def opened(bench):
    yield lambda files, row: measure(bench, files, row)


def measure(bench, files, row):
    bench.room(files * FILE_BYTES)
    with bench.lake(POLICY, FILTERS) as lake:
        lake.users("ada", "ana")
        delta.write_tiny(lake.table("readings"), files, bench.in_time)
        rows = files * delta.FILE_ROWS
        count = f"SELECT count(*) FROM {TABLE}"
        with lake.serve() as server, server.session("ada") as ada, server.session("ana") as ana:
            row |= server.until(ada, count, [(rows,)]).told("start to the first answer", "s") | {"then, MiB": lab.memory(server.pid)}
            row |= server.cost(ada, count, [(rows,)]).told("count(*)")
            for user, ask in (("ada", ada), ("ana", ana)):
                cost = server.cost(ask, lambda n: point(some(n, rows)), lambda n: seen(some(n, rows)))
                row |= cost.told(f"one row as {user}")
            row |= {"peak until here, MiB": lab.memory(server.pid, "VmHWM")}
            for n in range(3):
                lab.check("a row that ana does not see", lab.cells(ana(point(hidden(n, rows)))), [])
            # Every file is opened.
            tenths = int(sum(numpy.arange(1000) * 7 % 1000) * (rows // 1000) + (numpy.arange(rows % 1000) * 7 % 1000).sum())
            every = f"SELECT CAST(round(sum(yield_pct * 10)) AS BIGINT) FROM {TABLE}"
            row |= server.cost(ada, every, [(tenths,)], repeat=min(bench.repeat, 2)).told("sum of all", "s")
            row |= {"peak, MiB": lab.memory(server.pid, "VmHWM")}


def point(number):
    return f"SELECT id, yield_pct FROM {TABLE} WHERE id = {number}"


def some(n, rows):
    """Rows that both see, in files all over the table."""
    number = (n * 2_654_435_761 + rows // 3) % rows
    while delta.yield_of(number) < 5:
        number = (number + 1) % rows
    return number


def hidden(n, rows):
    number = some(n, rows)
    while delta.yield_of(number) >= 5:
        number = (number + 1) % rows
    return number


def seen(number):
    return [(number, delta.yield_of(number))]
