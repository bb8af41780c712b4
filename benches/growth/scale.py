"""Axis `scale`: TPC-H at a growing scale factor. What the crawl of the Parquet files, q01, q06 and q03 cost."""

import contextlib

import lab
import tpch

SIZE = "SF"
SIZES = (0.1, 0.3, 1, 3, 10)


@contextlib.contextmanager
def opened(bench):
    yield lambda scale, row: measure(bench, scale, row)


def measure(bench, scale, row):
    with bench.lake() as lake:
        lake.users("ada")
        crawled, landed = tpch.load(bench, lake, scale)
        row |= {"landed, MiB": landed} | crawled.told("labhouse crawl")
        right, rows = tpch.answers(lake)
        with lake.serve() as server, server.session("ada") as ada:
            server.until(ada, "SELECT count(*) FROM lab.tpch.lineitem", [(rows,)])
            for query in tpch.QUERIES:
                row |= tpch.cost(server, ada, query, right[query]).told(query, "s")
            row |= {"peak, MiB": lab.memory(server.pid, "VmHWM")}
