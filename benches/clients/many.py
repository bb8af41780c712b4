"""Many people at once, each on a connection of his own, each with a dashboard open: no error, bounded memory, fair waiting.

    venv/bin/python benches/clients/many.py                     # 500 connections, 60 s, against a demo lab of its own
    venv/bin/python benches/clients/many.py --seconds 600
    venv/bin/python benches/clients/many.py --flight grpc://127.0.0.1:50051 --pid PID

Each connection asks the charts of the demo's dashboards, one statement after the other without a pause, as one of the
demo's people, with values that differ, so that few answers are kept ones. First one connection alone: its median is what a
statement takes when nobody else is there. With N connections on a full server each gets an N-th of it, so a statement is
expected to take N times as long; p99 is told as a multiple of that.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import adbc_driver_flightsql.dbapi as flightsql

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEOPLE = ("ada", "sam", "dee")
CHARTS = (
    "SELECT date_trunc('day', run_at) AS day, avg(yield_pct) FROM lab.chemistry.reactions WHERE yield_pct > {v} GROUP BY 1 ORDER BY 1",
    "SELECT catalyst_lot, count(*), avg(yield_pct) FROM lab.chemistry.reactions WHERE yield_pct > {v} GROUP BY 1 ORDER BY 3",
    "SELECT plate_id, avg(yield_pct) FROM lab.chemistry.plate_readings WHERE yield_pct > {v} GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
    "SELECT well, yield_pct FROM lab.chemistry.plate_readings WHERE yield_pct > {v} ORDER BY yield_pct DESC LIMIT 384",
    "SELECT count(*), min(yield_pct), max(yield_pct) FROM lab.chemistry.reactions WHERE yield_pct > {v}",
    "SELECT 1",
)
ALONE_S = 10
STOP_S = 60


class Told:
    """What all connections tell."""

    def __init__(self):
        self.lock = threading.Lock()
        self.took = []
        self.errors = collections.Counter()

    def add(self, took, errors):
        with self.lock:
            self.took += took
            self.errors.update(errors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--labhouse", type=pathlib.Path, help="default: the release build of this checkout")
    parser.add_argument("--dir", type=pathlib.Path, help="where the demo lab is; default: a new one")
    parser.add_argument("--flight", help="a demo lab that is served already")
    parser.add_argument("--pid", type=int, help="the process that serves it")
    arguments = parser.parse_args()
    if arguments.flight:
        return measure(arguments, arguments.flight, arguments.pid)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    labhouse = arguments.labhouse or target / "release" / "labhouse"
    with tempfile.TemporaryDirectory() as folder:
        command = [labhouse, "demo", "--dir", arguments.dir or folder, "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            ready = json.loads(server.stdout.readline().removeprefix("ready "))
            return measure(arguments, ready["flight"], ready["pid"])
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_S)


def measure(arguments, uri, pid):
    alone = run(uri, 1, ALONE_S, None)
    share = statistics.median(alone.took)
    print(f"one connection: {len(alone.took) / ALONE_S:.0f} statements a second, median {1e3 * share:.1f} ms", flush=True)
    memory = Memory(pid)
    before = memory.now()
    many = run(uri, arguments.connections, arguments.seconds, memory)
    took = sorted(many.took)
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    expected = arguments.connections * share
    print(f"{arguments.connections} connections, {arguments.seconds:.0f} s: {len(took)} statements, {len(took) / arguments.seconds:.0f} a second")
    print(f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {took[-1]:.2f} s; an even share of one connection's speed would be {expected:.2f} s: p99 is {p99 / expected:.2f} of it")
    print(f"resident memory of the server, MiB: {before:.0f} before, at most {memory.most:.0f}, {memory.now():.0f} after")
    print(f"errors: {sum(many.errors.values())}")
    for error, count in many.errors.most_common(5):
        print(f"  {count} times: {error}")
    return 1 if many.errors else 0


def run(uri, connections, seconds, memory):
    told, ready, end = Told(), threading.Barrier(connections + 1), threading.Event()
    threads = [threading.Thread(target=one, args=(uri, number, told, ready, end), daemon=True) for number in range(connections)]
    for thread in threads:
        thread.start()
    ready.wait()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 1))
        if memory:
            memory.look()
    end.set()
    for thread in threads:
        thread.join()
    return told


def one(uri, number, told, ready, end):
    took, errors, who, chance = [], [], PEOPLE[number % len(PEOPLE)], random.Random(number)
    try:
        connection = flightsql.connect(uri, db_kwargs={"username": who, "password": f"{who}-demo"}, autocommit=True)
    except flightsql.Error as error:
        errors.append(f"connecting: {error}"[:300])
        connection = None
    ready.wait()
    while connection and not end.is_set():
        sql = chance.choice(CHARTS).format(v=round(chance.uniform(0, 90), 3))
        begun = time.monotonic()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                cursor.fetch_arrow_table()
            took.append(time.monotonic() - begun)
        except flightsql.Error as error:
            errors.append(str(error)[:300])
    if connection:
        connection.close()
    told.add(took, errors)


class Memory:
    """Resident memory of a process, in MiB."""

    def __init__(self, pid):
        self.pid = pid
        self.most = 0.0

    def now(self):
        if self.pid is None:
            return 0.0
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def look(self):
        self.most = max(self.most, self.now())


if __name__ == "__main__":
    sys.exit(main())
