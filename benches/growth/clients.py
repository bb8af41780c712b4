"""Axis `clients`: N connections that ask a dashboard's charts without a pause. How many statements a second, how long they take
and what they cost.
"""

import contextlib
import datetime
import random
import statistics
import threading
import time

import delta
import lab
import numpy
import pyarrow

SIZE = "clients"
SIZES = (1, 10, 50, 100, 250, 500)
# As large as the demo's joined view; its days, plates and yields follow from the row's number.
ROWS, PLATES, DAYS = 36_864, 96, 120
CONNECT_S = 60
TABLE = "lab.growth.readings"
# `ana` sees the first half of the plates.
POLICY = lab.POLICY + "p2, role:reader, growth, lab/growth/readings, permissive, first\n"
FILTERS = '[filter.first]\ntable = "lab/growth/readings"\nsql = "plate_id < 48"\n'
# Each with the cells that add up to the number of rows it is about.
CHARTS = (
    f"SELECT date_trunc('day', run_at) AS day, avg(yield_pct), count(*) FROM {TABLE} WHERE yield_pct > {{v}} GROUP BY 1 ORDER BY 1",
    f"SELECT plate_id, avg(yield_pct), count(*) FROM {TABLE} WHERE yield_pct > {{v}} GROUP BY 1 ORDER BY 2 DESC",
    f"SELECT min(yield_pct), max(yield_pct), count(*) FROM {TABLE} WHERE yield_pct > {{v}}",
)


@contextlib.contextmanager
def opened(bench):
    with bench.lake(POLICY, FILTERS) as lake:
        lake.users("ada", "ana")
        rows = readings()
        delta.write_small(lake.table("readings"), rows)
        yields, plates = (rows.column(name).to_numpy() for name in ("yield_pct", "plate_id"))
        right = {"ada": numpy.sort(yields), "ana": numpy.sort(yields[plates < PLATES // 2])}
        with lake.serve() as server:
            for user, seen in right.items():
                with server.session(user) as ask:
                    server.until(ask, f"SELECT count(*) FROM {TABLE}", [(len(seen),)])
            yield lambda clients, row: measure(bench, server, right, clients, row)


def readings():
    numbers, chance = numpy.arange(ROWS), numpy.random.default_rng(7)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
    seconds = start + numbers * (DAYS * 86_400 // ROWS)
    return pyarrow.table(
        {
            "plate_id": numbers * PLATES // ROWS,
            "run_at": pyarrow.array((seconds * 1e6).astype("int64")).cast(pyarrow.timestamp("us", tz="UTC")),
            "yield_pct": chance.uniform(0, 100, ROWS).round(3),
        }
    )


def measure(bench, server, right, clients, row):
    told = Told()
    gate, end = threading.Barrier(clients + 1), threading.Event()
    threads = [threading.Thread(target=one, args=(server, right, number, told, gate, end), daemon=True) for number in range(clients)]
    try:
        for thread in threads:
            thread.start()
        try:
            gate.wait(min(CONNECT_S, max(1, bench.left())))
        except threading.BrokenBarrierError as error:
            raise told.limit() or lab.Limit(f"time: {clients} connections were not there after {CONNECT_S} s") from error
        begun, used, own = time.monotonic(), server.processor(), time.process_time()
        while time.monotonic() - begun < bench.seconds and not (told.errors or told.wrong):
            time.sleep(0.1)
    finally:
        gate.abort()
        end.set()
        for thread in threads:
            thread.join(lab.STOP_S if bench.left() > 0 else 1)
    took, used, own = time.monotonic() - begun, server.processor() - used, time.process_time() - own
    if told.wrong:
        raise lab.Wrong(told.wrong[0])
    if told.errors:
        raise told.limit()
    server.alive()
    walls = sorted(told.walls)
    if len(walls) < clients:
        raise lab.Limit(f"time: {len(walls)} answers for {clients} clients in {took:.0f} s")
    row |= {
        "statements": len(walls),
        "statements a second": len(walls) / took,
        "p50, ms": 1e3 * statistics.median(walls),
        "p99, ms": 1e3 * walls[min(len(walls) - 1, len(walls) * 99 // 100)],
        "longest, ms": 1e3 * walls[-1],
        "statements of a client, least ÷ mean": min(told.counts) / statistics.fmean(told.counts),
        "a statement, cpu ms": 1e3 * used / len(walls),
        "the same of the clients, cpu ms": 1e3 * own / len(walls),
        "then, MiB": lab.memory(server.pid),
        "peak so far, MiB": lab.memory(server.pid, "VmHWM"),
    }


class Told:
    """What all clients tell."""

    def __init__(self):
        self.walls, self.counts, self.errors, self.wrong = [], [], [], []

    def limit(self):
        return lab.Limit(f"{len(self.errors)} errors, the first: {self.errors[0]}") if self.errors else None


def one(server, right, number, told, gate, end):
    chance, user, walls = random.Random(number), ("ada", "ana")[number % 2], []
    try:
        with server.session(user) as ask:
            gate.wait()
            while not end.is_set():
                sql = chance.choice(CHARTS)
                v = round(chance.uniform(0, 90), 3)
                begun = time.monotonic()
                got = ask(sql.format(v=v))
                walls.append(time.monotonic() - begun)
                seen = right[user]
                lab.check(sql, sum(got.column(2).to_pylist()), len(seen) - int(numpy.searchsorted(seen, v, "right")))
    except lab.Limit as limit:
        told.errors.append(str(limit))
        gate.abort()
    except lab.Wrong as wrong:
        told.wrong.append(str(wrong))
    except threading.BrokenBarrierError:
        return
    told.walls += walls
    told.counts.append(len(walls))
