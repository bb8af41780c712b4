"""labhouse and ROAPI side by side: `SELECT 1`, and all of TPC-H's lineitem, over Flight SQL, in the same run.

    python3 -m venv venv && venv/bin/pip install -r tests/python/requirements.txt
    python3 -m venv roapi && roapi/bin/pip install roapi
    venv/bin/python benches/clients/roapi.py --roapi roapi/bin/roapi

The lake is the one of `benches/tpch/bench.py` (built when it is not there). Both servers read the same Delta table, as it lies
there: by default ROAPI copies it into memory when it starts, so it runs a second time like that. Each round asks one server
after the other; medians over all rounds are told, with their ratio. labhouse's audit event is on disk before the first row, as
ever. `--skip-rows` leaves the 6 million rows out.

For `SELECT 1` the processor time that client and server take for a statement is told as well: the client's part is the
same for any server, and with it what a server that took no time at all would come to.

Beside them: what it takes DuckDB to make Arrow of the same Parquet, and a pyarrow Flight server to stream the rows from
memory. The first and the second together are what reading and sending take at least.
"""

import argparse
import contextlib
import json
import os
import pathlib
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "tpch"))

import adbc_driver_flightsql.dbapi as flightsql  # noqa: E402
import bench  # noqa: E402
import duckdb  # noqa: E402
import pyarrow.flight as flight  # noqa: E402
from run import parquet_files  # noqa: E402

BATCH = {"adbc.flight.sql.client_option.with_max_msg_size": str(64 << 20)}
# Statements after which a connection is warm.
WARM = 50
STOP_S = 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roapi", type=pathlib.Path, required=True)
    parser.add_argument("--labhouse", type=pathlib.Path, help="default: the release build of this checkout")
    parser.add_argument("--lake", type=pathlib.Path, help="of benches/tpch/bench.py; default: target/bench/sf1")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--statements", type=int, default=200, help="of SELECT 1, in each round")
    parser.add_argument("--skip-rows", action="store_true")
    arguments = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    labhouse = arguments.labhouse or target / "release" / "labhouse"
    lake = (arguments.lake or target / "bench" / "sf1").resolve()
    if not (lake / "tables" / "tpch" / "lineitem").is_dir():
        sys.exit(f"{lake} has no lineitem: run benches/tpch/bench.py first")
    password = secrets.token_urlsafe(12)
    # As a server is set up by default: constants are kept, 6 million rows are too large for it.
    bench.lay_out(lake, lake / "labhouse.toml", 2, result_cache_mib=64)
    add = [labhouse, "user", "add", "ada", "--config", lake / "labhouse.toml"]
    subprocess.run(add, env=os.environ | {"LABHOUSE_PASSWORD": password}, check=True)
    with contextlib.ExitStack() as stack:
        login = {"username": "ada", "password": password}
        servers = {
            "labhouse": (*serve_labhouse(stack, labhouse, lake), login),
            "ROAPI": (*serve_roapi(stack, arguments.roapi, lake, "false"), {}),
            "ROAPI from memory": (*serve_roapi(stack, arguments.roapi, lake, "true"), {}),
        }
        connections = {
            name: stack.enter_context(flightsql.connect(uri, db_kwargs=login | BATCH, autocommit=True))
            for name, (uri, _, login) in servers.items()
        }
        pids = {name: servers[name][1] for name in ["labhouse", "ROAPI"]}
        ones(connections, pids, arguments.rounds, arguments.statements)
        if not arguments.skip_rows:
            rows(connections, lake, max(3, arguments.rounds // 3))


def ones(connections, pids, rounds, statements):
    took = {name: [] for name in pids}
    own = {name: [0.0, 0.0] for name in pids}
    for name in pids:
        time_one(connections[name], WARM)
    for _ in range(rounds):
        for name, pid in pids.items():
            before = processor_s(pid), processor_s("self")
            took[name] += time_one(connections[name], statements)
            own[name][0] += processor_s(pid) - before[0]
            own[name][1] += processor_s("self") - before[1]
    tell("SELECT 1, ms", {name: [1e3 * value for value in values] for name, values in took.items()})
    for name, (server, client) in own.items():
        each = 1e3 / (rounds * statements)
        print(f"  {name}: {each * server:.2f} ms of a processor in the server, {each * client:.2f} in the client")
    roapi = 1e3 * statistics.median(took["ROAPI"])
    none = max(0.0, roapi - 1e3 * own["ROAPI"][0] / (rounds * statements))
    print(f"  a server that takes no time / ROAPI: about {none / roapi:.2f}", flush=True)


def processor_s(pid):
    """Seconds of processors that a process took until now."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def time_one(connection, statements):
    took = []
    with connection.cursor() as cursor:
        for _ in range(statements):
            begun = time.perf_counter()
            cursor.execute("SELECT 1")
            cursor.fetchall()
            took.append(time.perf_counter() - begun)
    return took


def rows(connections, lake, rounds):
    took = {name: [] for name in [*connections, "DuckDB to Arrow", "pyarrow Flight from memory"]}
    # Those of the newest version: a compaction leaves the files of older ones where they are.
    files = [file.removeprefix("file://") for file in parquet_files(lake / "tables" / "tpch" / "lineitem")]
    names = {"labhouse": "lab.tpch.lineitem", "ROAPI": "lineitem", "ROAPI from memory": "lineitem"}
    with contextlib.ExitStack() as stack:
        memory = serve_memory(stack, files)
        for _ in range(rounds):
            counts = set()
            for name, connection in connections.items():
                with connection.cursor() as cursor:
                    begun = time.perf_counter()
                    cursor.execute(f"SELECT * FROM {names[name]}")
                    counts.add(sum(batch.num_rows for batch in cursor.fetch_record_batch()))
                    took[name].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            with duckdb.connect() as engine:
                engine.execute("SET threads = 2")
                # From a relation: from a cursor DuckDB copies every row once more.
                read = engine.sql(f"SELECT * FROM read_parquet({files})").to_arrow_reader(100_000)
                counts.add(sum(batch.num_rows for batch in read))
            took["DuckDB to Arrow"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            counts.add(sum(chunk.data.num_rows for chunk in memory.do_get(flight.Ticket(b""))))
            took["pyarrow Flight from memory"].append(time.perf_counter() - begun)
            assert len(counts) == 1, counts
    tell("all of lineitem, s", took)
    least = statistics.median(took["DuckDB to Arrow"]) + statistics.median(took["pyarrow Flight from memory"])
    print(f"  labhouse / (DuckDB + pyarrow): {statistics.median(took['labhouse']) / least:.2f}")


def tell(what, took):
    print(what)
    for name, values in took.items():
        print(f"  {name}: median {statistics.median(values):.3f}, best {min(values):.3f} ({len(values)} times)")
    for other in [name for name in took if name.startswith("ROAPI")]:
        ratio = statistics.median(took["labhouse"]) / statistics.median(took[other])
        print(f"  labhouse / {other}: {ratio:.2f}", flush=True)


def serve_labhouse(stack, labhouse, lake):
    command = [labhouse, "serve", "--config", lake / "labhouse.toml"]
    server = stack.enter_context(running(command, stdout=subprocess.PIPE, text=True))
    return json.loads(server.stdout.readline().removeprefix("ready "))["flight"], server.pid


def serve_roapi(stack, roapi, lake, use_memory_table):
    ports = [free_port() for _ in range(3)]
    addresses = zip(["--addr-http", "--addr-postgres", "--addr-flight-sql"], ports)
    options = [word for name, port in addresses for word in (name, f"127.0.0.1:{port}")]
    table = f"lineitem={lake / 'tables' / 'tpch' / 'lineitem'},format=delta,use_memory_table={use_memory_table}"
    server = stack.enter_context(running([roapi, *options, "--table", table], stderr=subprocess.DEVNULL))
    until_open(ports[2])
    return f"grpc://127.0.0.1:{ports[2]}", server.pid


def serve_memory(stack, files):
    port = free_port()
    stack.enter_context(running([sys.executable, HERE / "memory_server.py", str(port), *files]))
    until_open(port)
    return stack.enter_context(flight.connect(f"grpc://127.0.0.1:{port}"))


@contextlib.contextmanager
def running(command, **options):
    server = subprocess.Popen(command, **options)
    try:
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STOP_S)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until_open(port, patience_s=60):
    end = time.monotonic() + patience_s
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
