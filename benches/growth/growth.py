"""How cost grows: with files of a table, tables, policy rules, clients, data and workers.

    venv/bin/python benches/growth/growth.py                                  # every axis, 5 minutes each
    venv/bin/python benches/growth/growth.py --axis files --minutes 10
    venv/bin/python benches/growth/growth.py --axis rules --sizes 100,1000,10000,100000 --out rules.md

For each axis and size a lake is laid out in a temporary folder, served by the release build, and asked; every answer is
compared with what is right, and a wrong one ends the run with 1. Times are medians of repeated questions after one to warm up;
`cpu` is of the server's processors. Below each table stand the exponents b of cost ~ size^b, fitted by least squares over the
logarithms, with R², and b between the last two sizes. The last line of an axis names the first limit that was met. A size that
would not fit into what is left of the axis' time (judged by the sizes before) is not begun; one that does not after all is ended, and what
was measured of it stands in the table. Ctrl-C ends all processes and removes the folder.

Python needs what tests/python/requirements.txt names. Axes `scale` and `workers` need the example tpch_data beside the build, axis
`workers` also `ss`.
"""

import argparse
import importlib
import os
import pathlib
import platform
import signal
import sys
import tempfile
import time

import fit
import lab

AXES = ("files", "tables", "rules", "clients", "scale", "workers")
AXIS_MINUTES = 5.0


def main():
    arguments = parse()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit("ended by a signal"))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", lab.ROOT / "target")) / "release"
    labhouse = (arguments.labhouse or target / "labhouse").resolve()
    if not labhouse.is_file():
        sys.exit(f"{labhouse}: not there; build it with `cargo build --release --bin labhouse`, or name one with --labhouse")
    tpch_data = arguments.tpch_data or labhouse.parent / "examples" / "tpch_data"
    axes = arguments.axis or AXES
    minutes = arguments.minutes or AXIS_MINUTES * len(axes)
    end = time.monotonic() + 60 * minutes
    report = Report(arguments.out)
    report.add(f"{labhouse}, {os.cpu_count()} cores, {total_mib() / 1024:.1f} GiB, {platform.machine()}, {time.strftime('%-d %B %Y')}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="labhouse-growth-", dir=arguments.dir))
    try:
        bench = lab.Bench(labhouse, tpch_data, folder, arguments.memory_mib or 0.8 * total_mib(), arguments)
        for place, name in enumerate(axes):
            left = end - time.monotonic()
            if left <= 0:
                report.add(f"## {name}\n\nnot run: the {minutes:g} minutes are over")
                continue
            # What an axis leaves of its share, the next ones have.
            bench.end = time.monotonic() + left / (len(axes) - place)
            run(importlib.import_module(name), name, bench, arguments.sizes, report)
    except lab.Wrong as wrong:
        report.add(f"WRONG: {wrong}")
        return 1
    except KeyboardInterrupt:
        sys.exit("ended by Ctrl-C")
    finally:
        lab.remove(folder)
    return 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axis", action="append", choices=AXES, help="only this; may be repeated")
    parser.add_argument("--sizes", type=sizes, help="for example 100,1000; default: those of the axis")
    parser.add_argument("--minutes", type=float, help=f"for the whole run, building lakes included; default: {AXIS_MINUTES:g} an axis")
    parser.add_argument("--repeat", type=int, default=5, help="how often a statement is timed")
    parser.add_argument("--seconds", type=float, default=10, help="axis clients: how long each number of clients asks")
    parser.add_argument("--workers-scale", type=float, default=1.0, help="axis workers: TPC-H scale factor of the lake")
    parser.add_argument("--memory-mib", type=float, help="a process that has more is killed, which is a limit; default: 80 %% of the machine")
    parser.add_argument("--labhouse", type=pathlib.Path, help="default: the release build of this checkout")
    parser.add_argument("--tpch-data", type=pathlib.Path, help="default: examples/tpch_data beside it")
    parser.add_argument("--dir", type=pathlib.Path, help="where the temporary folder is made; a million files need 5 GB there")
    parser.add_argument("--out", type=pathlib.Path, help="also write the report to this file")
    arguments = parser.parse_args()
    if arguments.sizes and len(arguments.axis or ()) != 1:
        parser.error("--sizes goes with one --axis")
    return arguments


def sizes(text):
    return sorted(int(word) if float(word).is_integer() else float(word) for word in text.replace("_", "").split(","))


def run(axis, name, bench, wanted, report):
    """Size after size until a limit; what was measured until then is reported whatever happens."""
    rows, took, limit, complete = [], [], None, "nothing"
    bench.met.clear()
    try:
        with axis.opened(bench) as measure:
            for size in wanted or axis.SIZES:
                expected, left = forecast(took, size), max(0, bench.left())
                if expected > left:
                    limit = f"none up to {complete}; {fit.size(size)} was not begun: it may take {expected:.0f} s, {left:.0f} s are left"
                    break
                lab.say(f"{name}: {fit.size(size)} …")
                begun, row = time.monotonic(), {}
                rows.append((size, row))
                try:
                    measure(size, row)
                except lab.Limit as met:
                    limit = f"at {fit.size(size)}: {met}"
                    break
                complete = fit.size(size)
                took.append((size, time.monotonic() - begun))
                told = "; ".join(f"{key} {fit.number(value)}" for key, value in row.items())
                lab.say(f"{name}: {complete} took {took[-1][1]:.1f} s: {told}")
    except lab.Limit as met:
        limit = f"before the first size: {met}"
    finally:
        rows = [(size, row) for size, row in rows if row]
        table = fit.markdown(axis.SIZE, rows) if rows else "nothing was measured"
        stopped = sys.exc_info()[1] is not None
        limit = f"not known, the run was ended after {complete}" if stopped else limit or f"none up to {complete}"
        limit = "; then ".join([*bench.met[:1], limit])
        report.add(f"## {name}: {' '.join(axis.__doc__.split(': ', 1)[1].split())}\n\n{table}\n\nFirst limit: {limit}")


def forecast(took, size):
    """Seconds that a size may take: along the line through the last two; the first alone, mostly what each costs, says little."""
    if len(took) < 2:
        return 2 * took[0][1] if took else 0
    (before, less), (last, seconds) = took[-2:]
    return seconds + max(0, (seconds - less) / (last - before)) * (size - last)


def total_mib():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20


class Report:
    """To standard output and, whole each time, to a file."""

    def __init__(self, path):
        self.path, self.parts = path, []

    def add(self, text):
        self.parts.append(text)
        print(text, end="\n\n", flush=True)
        if self.path:
            self.path.write_text("\n\n".join(self.parts) + "\n")


if __name__ == "__main__":
    sys.exit(main())
