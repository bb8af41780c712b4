"""The whole benchmark in one command: data, lake, server, measurement.

    python3 -m venv venv && venv/bin/pip install -r tests/python/requirements.txt
    venv/bin/python benches/tpch/bench.py --sf 1

It builds labhouse in release, writes the TPC-H tables as Parquet into a new lake's landing folder, lets `labhouse crawl`
commit them to Delta, serves the lake with the policies beside this file, and runs `run.py` against it. A second run
keeps the lake. All of it stays below `--dir`.
"""

import argparse
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys

import run

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STOP_S = 60
# What a filter costs where statistics prove that it keeps every row, and where only reading the rows can tell.
FILTERED = ("kept", "read")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sf", type=float, default=1.0, help="scale factor; 1 needs about 1 GB of disk")
    parser.add_argument("--dir", type=pathlib.Path, help="where the lake is kept; default: target/bench/sf<N>")
    parser.add_argument("--threads", type=int, default=2, help="for both engines")
    parser.add_argument("--column-cache-mib", type=int, default=512, help="memory for decoded columns (default: 512, as in the server)")
    parser.add_argument("--skip-build", action="store_true", help="take the release build that is there")
    parser.add_argument("rest", nargs="*", help="passed on to run.py, after --")
    arguments = parser.parse_args()

    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not arguments.skip_build:
        build = ["cargo", "build", "--release", "--locked", "--bin", "labhouse", "--example", "tpch_data"]
        subprocess.run(build, cwd=ROOT, check=True)
    labhouse = target / "release" / "labhouse"
    lake = (arguments.dir or target / "bench" / f"sf{arguments.sf:g}").resolve()
    config = lake / "labhouse.toml"
    passwords = {user: secrets.token_urlsafe(12) for user in ("ada", *FILTERED)}
    lay_out(lake, config, arguments.threads, column_cache_mib=arguments.column_cache_mib)
    for user, password in passwords.items():
        environment = os.environ | {"LABHOUSE_PASSWORD": password}
        subprocess.run([labhouse, "user", "add", user, "--config", config], env=environment, check=True)
    if not (lake / "landing" / "tpch" / "lineitem").is_dir():
        generate = [target / "release" / "examples" / "tpch_data", "--sf", str(arguments.sf)]
        subprocess.run([*generate, "--out", lake / "landing" / "tpch"], check=True)
    subprocess.run([labhouse, "crawl", "--config", config], check=True)

    server = subprocess.Popen([labhouse, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
    try:
        ready = server.stdout.readline()
        if not ready.startswith("ready "):
            sys.exit(f"labhouse did not become ready; it said {ready!r}")
        os.environ.update({f"LABHOUSE_PASSWORD_{user.upper()}": password for user, password in passwords.items()})
        flight = json.loads(ready.removeprefix("ready "))["flight"]
        measure = ["--flight", flight, "--parquet", str(lake / "tables" / "tpch"), "--filtered", *FILTERED]
        return run.main([*measure, "--threads", str(arguments.threads), *arguments.rest])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STOP_S)


def lay_out(lake, config, threads, result_cache_mib=0, column_cache_mib=512):
    """Config and policies of the benchmark's lake, written anew on every run."""
    policies = lake / "policies"
    policies.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "policies" / "default" / "model.conf", policies)
    for name in ("policy.csv", "filters.toml"):
        shutil.copy(HERE / "policies" / name, policies)
    config.write_text(
        f'[lake]\nurl = "{lake.as_uri()}"\n\n'
        '[listen]\nflight = "127.0.0.1:0"\nhttp = ""\n\n'
        '[policies]\ndir = "policies"\n\n'
        '[auth]\nusers = "users.toml"\n\n'
        "[crawl]\nsettle_ms = 0\n\n"  # the files are whole: nobody writes to them while they are read
        # Every answer is worked out: kept ones would be the same few bytes again.
        f"[limits]\npartitions = {threads}\nresult_cache_mib = {result_cache_mib}\n"
        f"column_cache_mib = {column_cache_mib}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
