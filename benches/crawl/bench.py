"""How fast landed files become tables. Each part is run by itself:

    python benches/crawl/bench.py csv    [--mb 1000]     one large CSV, beside DuckDB's COPY of the same file to Parquet
    python benches/crawl/bench.py small  [--files 10000] many small files in one sweep
    python benches/crawl/bench.py kills  [--files 10000] the same, killed every moment until one crawl comes to its end
    python benches/crawl/bench.py sweep  [--files 1000000] ten new files among many that are loaded already
    python benches/crawl/bench.py arranged [--mb 1000]   questions of the large table before and after its rows are arranged

Needs a release build (`cargo build --release`) and what tests/python/requirements.txt names. Times are of whole commands, start-up
included; memory is the greatest resident size of the process. Ratios are of the same run.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

BINARY = os.environ.get(
    "LABHOUSE", os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "labhouse")
)
CONFIG = '[lake]\nurl = "file://{folder}/lake"\n'


def crawl(folder, *more):
    """Runs `labhouse crawl`; its seconds, its greatest memory in MiB and its output."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        started = time.monotonic()
        process = subprocess.Popen([BINARY, "crawl", "--config", f"{folder}/labhouse.toml", *more], stdout=out, stderr=error)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        out.seek(0)
        error.seek(0)
        said = out.read()
        if status != 0:
            sys.exit(f"labhouse crawl: {status}\n{said[-2000:]}\n{error.read()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024, said


def lab(folder):
    os.makedirs(f"{folder}/lake/landing")
    with open(f"{folder}/labhouse.toml", "w") as config:
        config.write(CONFIG.format(folder=folder))


def write_large(path, megabytes):
    """Readings as an instrument's archive holds them: numbers, times, wells, words and SMILES, in no order."""
    dice = random.Random(7)
    smiles = ["".join(dice.choice("CCCNOcccn1(=O)F") for _ in range(dice.randint(12, 48))) for _ in range(4000)]
    rows = 0
    with open(path, "w") as file:
        file.write("reading_id,plate,well,measured_at,instrument,smiles,concentration_um,signal,background,replicate,passed,remark\n")
        size = 0
        while size < megabytes * 1_000_000:
            block = []
            for _ in range(20_000):
                rows += 1
                block.append(
                    f"{rows},P{dice.randint(1, 2000):05d},{dice.choice('ABCDEFGHIJKLMNOP')}{dice.randint(1, 24):02d},"
                    f"2026-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d} {dice.randint(0, 23):02d}:{dice.randint(0, 59):02d}:{dice.randint(0, 59):02d},"
                    f"reader-{dice.randint(1, 6)},{dice.choice(smiles)},{dice.uniform(0.001, 50):.4f},{dice.gauss(1200, 300):.3f},"
                    f"{dice.gauss(80, 9):.3f},{dice.randint(1, 4)},{dice.choice(('true', 'false'))},{dice.choice(('', '', 'edge', 'bubble, small'.replace(',', ';')))}\n"
                )
            text = "".join(block)
            file.write(text)
            size += len(text)
    return rows


def csv(args):
    import duckdb

    folder = tempfile.mkdtemp(prefix="labhouse-bench-", dir=args.dir)
    lab(folder)
    source = f"{folder}/readings.csv"
    rows = write_large(source, args.mb)
    size = os.path.getsize(source)
    print(f"{size / 1e6:.0f} MB, {rows} rows, 12 columns")
    ours, theirs = [], []
    for run in range(args.runs):
        shutil.rmtree(f"{folder}/lake")
        os.makedirs(f"{folder}/lake/landing/bench/readings")
        os.link(source, f"{folder}/lake/landing/bench/readings/readings.csv")
        os.utime(source, (time.time() - 60, time.time() - 60))
        seconds, memory, _ = crawl(folder)
        ours.append(seconds)
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-c",
             f"import duckdb; duckdb.sql(\"COPY (FROM read_csv('{source}')) TO '{folder}/out.parquet' (FORMAT parquet)\")"],
            check=True,
        )
        theirs.append(time.monotonic() - started)
        print(f"run {run + 1}: labhouse {seconds:.2f} s ({size / 1e6 / seconds:.0f} MB/s, {memory:.0f} MiB at most), "
              f"DuckDB {theirs[-1]:.2f} s, ratio {seconds / theirs[-1]:.2f}", flush=True)
    parts = [f"{root}/{name}" for root, _, names in os.walk(f"{folder}/lake/tables") for name in names if name.endswith(".parquet") and "_delta_log" not in root]
    count, total = duckdb.sql(f"SELECT count(*), sum(reading_id) FROM read_parquet({parts})").fetchall()[0]
    assert (count, total) == (rows, rows * (rows + 1) // 2), (count, total, rows)
    same = duckdb.sql(
        f"SELECT count(*) FROM (SELECT * EXCLUDE (_source_file, _source_row, _ingested_at) FROM read_parquet({parts}) "
        f"EXCEPT ALL FROM read_csv('{source}'))"
    ).fetchall()[0][0]
    bytes_ours = sum(os.path.getsize(part) for part in parts)
    print(f"best: {min(ours):.2f} s and {min(theirs):.2f} s, ratio {min(ours) / min(theirs):.2f}; "
          f"Parquet {bytes_ours / 1e6:.0f} MB and {os.path.getsize(f'{folder}/out.parquet') / 1e6:.0f} MB; {same} rows differ")
    shutil.rmtree(folder)


def write_small(folder, first, count, per_folder=5000):
    for number in range(first, first + count):
        home = f"{folder}/lake/landing/bench/runs/{number // per_folder:04d}"
        if number % per_folder == 0 or number == first:
            os.makedirs(home, exist_ok=True)
        with open(f"{home}/run-{number:07d}.csv", "w") as file:
            file.write("well,sample,signal,passed\n")
            file.writelines(f"{'ABCDEFGH'[at % 8]}{1 + at % 12:02d},S{number}-{at},{(number * 7 + at) % 997}.{at % 10},true\n" for at in range(8))


def small(args):
    folder = tempfile.mkdtemp(prefix="labhouse-bench-", dir=args.dir)
    lab(folder)
    write_small(folder, 0, args.files)
    time.sleep(1)
    seconds, memory, _ = crawl(folder)
    print(f"{args.files} files: {seconds:.2f} s, {args.files / seconds:.0f} files a second, {memory:.0f} MiB at most")
    again, _, _ = crawl(folder)
    print(f"the same once more, nothing new: {again:.2f} s")
    shutil.rmtree(folder)


def kills(args):
    """kill -9 in the midst, again and again; in the end each row is there once."""
    import deltalake
    import duckdb

    folder = tempfile.mkdtemp(prefix="labhouse-bench-", dir=args.dir)
    lab(folder)
    write_small(folder, 0, args.files)
    time.sleep(1)
    dice, killed, started = random.Random(11), 0, time.monotonic()
    while True:
        process = subprocess.Popen([BINARY, "crawl", "--config", f"{folder}/labhouse.toml"], stdout=subprocess.DEVNULL)
        try:
            process.wait(dice.uniform(0.05, args.kill_within) * (1 + killed / 20))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    assert process.returncode == 0, process.returncode
    parts = deltalake.DeltaTable(f"{folder}/lake/tables/bench/runs").file_uris()
    rows, distinct = duckdb.sql(f"SELECT count(*), count(DISTINCT sample) FROM read_parquet({parts})").fetchall()[0]
    wanted = 8 * args.files
    print(f"{args.files} files, killed {killed} times within {time.monotonic() - started:.1f} s: "
          f"{wanted - distinct} rows lost, {rows - distinct} double")
    shutil.rmtree(folder)


def arranged(args):
    import adbc_driver_flightsql.dbapi as flight

    here = os.path.dirname(os.path.abspath(__file__))
    policies = os.path.join(here, "..", "tpch", "policies")
    folder = tempfile.mkdtemp(prefix="labhouse-bench-", dir=args.dir)
    lab(folder)
    os.makedirs(f"{folder}/policies")
    shutil.copy(os.path.join(here, "..", "..", "policies", "default", "model.conf"), f"{folder}/policies")
    with open(os.path.join(policies, "policy.csv")) as given, open(f"{folder}/policies/policy.csv", "w") as own:
        own.writelines(line for line in given if "ada" in line or "lake_admin" in line)
    open(f"{folder}/policies/filters.toml", "w").close()
    with open(f"{folder}/labhouse.toml", "a") as config:
        config.write('[listen]\nflight = "127.0.0.1:0"\nhttp = ""\n[limits]\nresult_cache_mib = 0\n[care]\ninterval_s = 0\n')
    subprocess.run([BINARY, "user", "add", "ada", "--config", f"{folder}/labhouse.toml"],
                   env=os.environ | {"LABHOUSE_PASSWORD": "ada-bench-ada"}, check=True, stdout=subprocess.DEVNULL)
    os.makedirs(f"{folder}/lake/landing/bench/readings")
    rows = write_large(f"{folder}/lake/landing/bench/readings/readings.csv", args.mb)
    time.sleep(1)
    crawl(folder)
    server = subprocess.Popen([BINARY, "serve", "--config", f"{folder}/labhouse.toml"], stdout=subprocess.PIPE, text=True)
    try:
        uri = json.loads(server.stdout.readline().removeprefix("ready "))["flight"]
        login = {"username": "ada", "password": "ada-bench-ada"}
        with flight.connect(uri, db_kwargs=login, autocommit=True) as connection, connection.cursor() as cursor:
            questions = {
                "one plate": lambda n: f"SELECT avg(signal) FROM lab.bench.readings WHERE plate = 'P{n:05d}'",
                "one day": lambda n: f"SELECT avg(signal) FROM lab.bench.readings WHERE measured_at >= TIMESTAMP '2026-{1 + n % 12:02d}-{1 + n % 28:02d}' "
                                     f"AND measured_at < TIMESTAMP '2026-{1 + n % 12:02d}-{1 + n % 28:02d}' + INTERVAL '1 day'",
                "both": lambda n: f"SELECT avg(signal) FROM lab.bench.readings WHERE plate = 'P{n:05d}' AND measured_at < TIMESTAMP '2026-02-01'",
            }

            def measure():
                medians, answers = {}, []
                for name, question in questions.items():
                    times = []
                    for n in range(1, 16):
                        started = time.monotonic()
                        cursor.execute(question(n * 97))
                        answers.append(round(cursor.fetchall()[0][0] or 0, 6))
                        times.append(time.monotonic() - started)
                    medians[name] = sorted(times)[len(times) // 2]
                return medians, answers

            before, first = measure()
            for by in ("plate", "plate, measured_at"):
                started = time.monotonic()
                cursor.execute(f"OPTIMIZE lab.bench.readings ZORDER BY ({by})")
                took = time.monotonic() - started
                after, second = measure()
                assert first == second, "the answers differ"
                told = "; ".join(f"{name} {before[name] * 1000:.0f} ms before, {after[name] * 1000:.0f} ms after ({before[name] / after[name]:.1f} x)" for name in questions)
                print(f"{rows} rows by ({by}) in {took:.1f} s: {told}", flush=True)
    finally:
        server.terminate()
        server.wait()
    shutil.rmtree(folder)


def sweep(args):
    """The many are loaded first, which takes its time; then ten are added and only the second sweep is of interest."""
    folder = tempfile.mkdtemp(prefix="labhouse-bench-", dir=args.dir)
    lab(folder)
    write_small(folder, 0, args.files)
    time.sleep(1)
    first, memory, _ = crawl(folder)
    print(f"{args.files} files at first: {first:.1f} s, {args.files / first:.0f} files a second, {memory:.0f} MiB at most", flush=True)
    write_small(folder, args.files, 10)
    time.sleep(1)
    seconds, memory, out = crawl(folder, "--json")
    loaded = [line for line in out.splitlines() if '"loaded"' in line]
    started = time.monotonic()
    listed = sum(1 for root, _, names in os.walk(f"{folder}/lake/landing") for name in names if os.stat(f"{root}/{name}"))
    listing = time.monotonic() - started
    print(f"10 new among {listed}: {seconds:.2f} s ({listing:.2f} s to list and stat them from Python), "
          f"{len(loaded)} loaded, {memory:.0f} MiB at most")
    shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["csv", "small", "kills", "sweep", "arranged"])
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--files", type=int)
    parser.add_argument("--kill-within", type=float, default=0.6, help="seconds that a crawl has at most; a little more each time")
    parser.add_argument("--dir", help="where the lakes are made (a disk with room)")
    args = parser.parse_args()
    if args.files is None:
        args.files = 1_000_000 if args.part == "sweep" else 10_000
    {"csv": csv, "small": small, "kills": kills, "sweep": sweep, "arranged": arranged}[args.part](args)


if __name__ == "__main__":
    main()
