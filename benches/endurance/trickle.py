"""Memory of a server to which small files come one by one: each is a commit of its own, and each is asked for.

    venv/bin/python benches/endurance/trickle.py --labhouse target/release/labhouse [--files 400]

Prints anonymous memory and threads of the process every twenty files, and at rest. What grows with every commit shows as a
slope; what a process once needs, as a step.
"""

import argparse
import base64
import json
import pathlib
import sys
import tempfile
import time
import urllib.error
import urllib.request

import lab

ROWS, STEP, REST_S, PATIENCE_S = 40, 20, 15, 60
BASIC = base64.b64encode(b"ada:ada-demo").decode()


def ask(server, sql):
    body = json.dumps({"sql": sql}).encode()
    headers = {"content-type": "application/json", "authorization": f"Basic {BASIC}"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.http_port}/api/query", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return int(json.load(answer)["rows"][0][0])
    except urllib.error.HTTPError:
        return 0  # the table is not there yet


def state(server):
    lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["RssAnon"].split()[0]) / 1024, int(fields["Threads"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labhouse", type=pathlib.Path, required=True)
    parser.add_argument("--files", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "lab"
        landing = folder / "landing" / "chemistry" / "counts"
        landing.mkdir(parents=True)
        lab.Policies(folder / "policies").write({})
        with (folder.parent / "server.log").open("w") as log:
            server = lab.Server(arguments.labhouse.resolve(), folder, 'url = "."', {}, log)
            if not server.start():
                sys.exit(f"the server did not start: {log.name}")
            try:
                trickle(server, folder, landing, arguments.files)
            finally:
                server.stop()


def trickle(server, folder, landing, files):
    print(f"{'files':>6} {'MiB':>7} {'threads':>8} {'s':>6}")
    began = time.monotonic()
    for number in range(1, files + 1):
        rows = "".join(f"{number},P{number % 97},A{row},{row * number % 1013}\n" for row in range(ROWS))
        part = folder / "part"
        part.write_text("run,plate,well,signal\n" + rows)
        part.rename(landing / f"{number:06}.csv")
        until = time.monotonic() + PATIENCE_S
        while ask(server, "SELECT count(*) FROM lab.chemistry.counts") != number * ROWS:
            if time.monotonic() > until:
                sys.exit(f"file {number} is not there after {PATIENCE_S} s")
            time.sleep(0.1)
        if number % STEP == 0:
            memory, threads = state(server)
            print(f"{number:6} {memory:7.1f} {threads:8} {time.monotonic() - began:6.0f}", flush=True)
    time.sleep(REST_S)
    memory, threads = state(server)
    print(f"{'rest':>6} {memory:7.1f} {threads:8}")


if __name__ == "__main__":
    main()
