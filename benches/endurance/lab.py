"""A lab in a folder, its server (killed and started again), and what the server takes of the machine."""

import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time

import rows

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEOPLE = ("ada", "sam", "ana", "dee", "guest")
# Tables under the analyst's changing row filter; of the first she is shut out now and then.
FILTERED = ("lab.chemistry.counts", "lab.chemistry.spectra", "lab.chemistry.assays")
START_S, STOP_S = 180, 120
# Connections that were open when a server went may tell so a moment after the next one is ready.
AFTER_S = 2


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Policies:
    """The shipped policies with row filters of our own for the analyst; an edit replaces policy.csv at once."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        shipped = ROOT / "policies" / "default"
        shutil.copy(shipped / "model.conf", folder)
        self.base = (shipped / "policy.csv").read_text()
        filters = (shipped / "filters.toml").read_text()
        for table in FILTERED:
            for rule in rows.RULES:
                if rule.sql:
                    filters += f'\n[filter.{rule.name}_{table.split(".")[2]}]\ntable = "{table.replace(".", "/")}"\nsql = "{rule.sql}"\n'
        (folder / "filters.toml").write_text(filters)
        (folder / "secret").write_text(os.urandom(32).hex() + "\n")
        (folder / "secret").chmod(0o600)

    def write(self, rules, slip=""):
        text = self.base
        for table, rule in rules.items():
            path, name = table.replace(".", "/"), table.split(".")[2]
            if rule.sql:
                text += f"p2, role:lab_analyst, chemistry, {path}, permissive, {rule.name}_{name}\n"
            else:
                text += f"p, role:lab_analyst, chemistry, {path}/**, select, deny\n"
        new = self.folder / "policy.csv.new"
        new.write_text(text + slip)
        os.replace(new, self.folder / "policy.csv")


class Server:
    def __init__(self, binary, folder, lake, environment, log):
        self.binary, self.folder, self.log = binary, folder, log
        self.flight_port, self.http_port = free_port(), free_port()
        self.environment = {**os.environ, **environment}
        self.config = folder / "labhouse.toml"
        self.config.write_text(
            f'[lake]\n{lake}\n[listen]\nflight = "127.0.0.1:{self.flight_port}"\nhttp = "127.0.0.1:{self.http_port}"\n'
            '[policies]\ndir = "policies"\n[auth]\nusers = "users.toml"\n[crawl]\nsweep_interval_s = 1\nremoved_files = "keep"\n'
        )
        for name in PEOPLE:
            command = [binary, "user", "add", name, "--config", self.config]
            subprocess.run(command, env={**self.environment, "LABHOUSE_PASSWORD": f"{name}-demo"}, check=True, stdout=subprocess.DEVNULL, stderr=log)
        self.process = None
        self.lock = threading.Lock()
        # When the server was not to be reached: from a signal (or the beginning) until it was ready again.
        self.away = [[time.monotonic(), None]]
        self.kills, self.terms, self.failed_starts = 0, 0, 0
        self.starts, self.stops = [], []
        self.life = 0

    @property
    def uri(self):
        return f"grpc://127.0.0.1:{self.flight_port}"

    def start(self):
        """Starts it and waits until it is ready; true if it came up."""
        begun = time.monotonic()
        process = subprocess.Popen(
            [self.binary, "serve", "--config", self.config], env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        timer = threading.Timer(START_S, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready "):
            process.wait()
            self.failed_starts += 1
            return False
        json.loads(line.removeprefix("ready "))
        self.starts.append(time.monotonic() - begun)
        with self.lock:
            self.process, self.life = process, self.life + 1
            self.away[-1][1] = time.monotonic()
        return True

    def kill(self):
        with self.lock:
            self.away.append([time.monotonic(), None])
            process, self.process = self.process, None
        process.kill()
        process.wait()
        self.kills += 1

    def stop(self):
        """SIGTERM; gives the exit code, or None if it had to be killed."""
        with self.lock:
            self.away.append([time.monotonic(), None])
            process, self.process = self.process, None
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        self.terms += 1
        self.stops.append(time.monotonic() - begun)
        return code

    def died(self):
        """The exit code of a server that ended unasked."""
        with self.lock:
            return self.process.poll() if self.process else None

    def was_away(self, begun, ended):
        with self.lock:
            return any(start <= ended and (end is None or end + AFTER_S >= begun) for start, end in self.away)

    def ready_for(self):
        """Seconds since the last start."""
        with self.lock:
            return time.monotonic() - (self.away[-1][1] or time.monotonic())

    def pid(self):
        with self.lock:
            return (self.process.pid, self.life) if self.process else (None, self.life)

    def tool(self, *arguments):
        return subprocess.run([self.binary, *arguments, "--config", self.config], env=self.environment, cwd=self.folder, capture_output=True, text=True)


class Sampler(threading.Thread):
    """Resident memory, descriptors and threads of the server, once a second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.end = server, threading.Event()
        self.samples = []

    def run(self):
        born, last = 0.0, 0
        while not self.end.wait(1):
            pid, life = self.server.pid()
            if pid is None:
                continue
            if life != last:
                born, last = time.monotonic(), life
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue
            values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if "VmRSS" in values:
                mib = int(values["VmRSS"].split()[0]) / 1024
                now = time.monotonic()
                self.samples.append((now, now - born, life, mib, descriptors, int(values["Threads"])))

    def tell(self, begun, ended):
        """Lines for the report, and growth of memory from the second tenth to the last, in per cent (None: too few samples)."""
        tenths = [[] for _ in range(10)]
        for sample in self.samples:
            if begun <= sample[0] < ended:
                tenths[min(int(10 * (sample[0] - begun) / (ended - begun)), 9)].append(sample)
        if not all(tenths):
            return ["memory: too few samples"], None
        samples = [sample for tenth in tenths for sample in tenth]
        middle = [statistics.median(sample[3] for sample in tenth) for tenth in tenths]
        lines = [
            f"memory of the server, MiB: medians of the tenths {', '.join(f'{value:.0f}' for value in middle)}; at most {max(s[3] for s in samples):.0f}",
            f"  slope over the run {3600 * _slope([(sample[0], sample[3]) for sample in samples]):+.1f} MiB an hour; within lives, from their 20th second on, {self.slope_in_lives(samples):+.2f} MiB a minute",
        ]
        for at, what in ((4, "descriptors"), (5, "threads")):
            medians = [statistics.median(sample[at] for sample in tenth) for tenth in (tenths[1], tenths[-1])]
            lines.append(f"{what}: second tenth {medians[0]:.0f}, last {medians[1]:.0f}, at most {max(sample[at] for sample in samples)}")
        return lines, 100 * (middle[-1] / middle[1] - 1)

    @staticmethod
    def slope_in_lives(samples):
        slopes = []
        for life in {sample[2] for sample in samples}:
            points = [(sample[1], sample[3]) for sample in samples if sample[2] == life and sample[1] > 20]
            if len(points) > 10:
                slopes.append(60 * _slope(points))
        return statistics.median(slopes) if slopes else 0.0


def _slope(points):
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points)).slope
