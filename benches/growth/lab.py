"""A lake of its own for each size, its processes, and what they cost.

`Bench` goes from axis to axis: it knows the program, the folder, how long the axis may take and how much memory a process
may have. Whatever stops a size from being measured is a `Limit`; an answer that is not right is `Wrong` and ends the run.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import secrets
import selectors
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import adbc_driver_flightsql.dbapi as flightsql

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STOP_S = 30
WATCH_S = 0.1
# One statement is asked again until it was asked often enough, or for so long.
ASK_S = 20
# What a server that starts is waited for; the axis' own time may end before.
START_S = 300
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
LIBC = ctypes.CDLL(None, use_errno=True)
POLICY = """\
g, user:ada, role:lake_admin, *
g, user:ana, role:reader, growth
p, role:lake_admin, *, **, *, allow
p, role:reader, *, lab, use, allow
p, role:reader, growth, lab/growth/**, use|select, allow
"""


class Limit(Exception):
    """Why a size could not be measured."""


class Wrong(Exception):
    """An answer that is not right."""


def check(what, got, wanted):
    if got != wanted:
        raise Wrong(f"{what}: {str(got)[:300]} where {str(wanted)[:300]} is right")


@dataclasses.dataclass
class Cost:
    """Of one statement: seconds on the wall and of the server's processors."""

    wall: float
    processor: float

    def told(self, what, unit="ms"):
        """As two lines of a table."""
        times = {"ms": 1e3, "s": 1}[unit]
        return {f"{what}, {unit}": times * self.wall, f"{what}, cpu {unit}": times * self.processor}


class Bench:
    """What an axis needs to know, and the processes and folders that end with it."""

    def __init__(self, labhouse, tpch_data, folder, memory_mib, arguments):
        self.labhouse, self.tpch_data, self.folder, self.memory_mib = labhouse, tpch_data, folder, memory_mib
        self.repeat, self.seconds, self.scale = arguments.repeat, arguments.seconds, arguments.workers_scale
        # When the axis that runs has to be at its end; each gets its own.
        self.end = time.monotonic()
        # Limits that one statement met while the others go on.
        self.met = []

    def left(self):
        return self.end - time.monotonic()

    def in_time(self, doing):
        if self.left() <= 0:
            raise Limit(f"time: the axis' minutes ended while {doing}")

    def room(self, wanted_bytes):
        free = shutil.disk_usage(self.folder).free
        if wanted_bytes > 0.9 * free:
            raise Limit(f"disk: {wanted_bytes / 2**30:.1f} GiB are needed, {free / 2**30:.1f} GiB are free")

    @contextlib.contextmanager
    def lake(self, policy=POLICY, filters="", more=None):
        """A new lake; removed with all that is in it."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield Lake(self, folder, policy, filters, more or {})
        finally:
            remove(folder)

    def command(self, *words, environment=None):
        """Runs labhouse to its end: seconds, processor seconds, greatest memory in MiB, what it said."""
        with tempfile.TemporaryFile("w+") as told:
            begun = time.monotonic()
            process = Process(self, [self.labhouse, *words], told, told, environment)
            with process:
                status, usage = process.wait()
            took = time.monotonic() - begun
            told.seek(0)
            text = told.read()
        if process.why:
            raise Limit(process.why)
        return Ran(status, took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


@dataclasses.dataclass
class Ran:
    status: int
    wall: float
    processor: float
    memory: float
    text: str

    def told(self, what):
        return {f"{what}, s": self.wall, f"{what}, cpu s": self.processor, f"{what}, peak MiB": self.memory}

    def or_limit(self, what):
        if self.status != 0:
            lines = [line for line in self.text.strip().splitlines() if line.strip()]
            raise Limit(f"{what} ended with {self.status}: {' / '.join(lines[-3:])[-400:]}")
        return self


class Lake:
    """Folder, config, policies and users."""

    def __init__(self, bench, folder, policy, filters, more):
        self.bench, self.folder, self.config = bench, folder, folder / "labhouse.toml"
        self.policies = folder / "policies"
        self.policies.mkdir()
        shutil.copy(ROOT / "policies" / "default" / "model.conf", self.policies)
        (self.policies / "policy.csv").write_text(policy)
        (self.policies / "filters.toml").write_text(filters)
        for name in ("landing", "tables"):
            (folder / name).mkdir()
        self.passwords = {}
        self.write(self.config, more)

    def write(self, path, more):
        """A config of this lake, `more` over what is here: no answer is kept and no table cared for while others are measured."""
        sections = {
            "lake": {"url": self.folder.as_uri()},
            "listen": {"flight": "127.0.0.1:0", "http": ""},
            "policies": {"dir": "policies"},
            "auth": {"users": "users.toml"},
            "care": {"interval_s": 0},
            "crawl": {"settle_ms": 0},
            "limits": {"result_cache_mib": 0},
        }
        for section, keys in more.items():
            sections[section] = sections.get(section, {}) | keys
        # Numbers, texts and lists of them are in TOML what they are in JSON.
        lines = [f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()) for section, keys in sections.items()]
        path.write_text("\n".join(lines))

    def table(self, name):
        """Where a table of the schema `growth` lies."""
        return self.folder / "tables" / "growth" / name

    def users(self, *names):
        for name in names:
            self.passwords[name] = secrets.token_urlsafe(12)
            given = {"LABHOUSE_PASSWORD": self.passwords[name]}
            self.bench.command("user", "add", name, "--config", self.config, environment=given).or_limit("labhouse user add")

    def serve(self, config=None, environment=None):
        return Served(self, config or self.config, environment)


class Process:
    """A program in a session of its own, so that Ctrl-C reaches this one only; it ends with the block, or with this program."""

    def __init__(self, bench, command, out, errors, environment=None):
        self.bench, self.why, self.most, self.ended = bench, None, 0.0, None
        self.child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env=os.environ | (environment or {}),
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self.pid = self.child.pid
        self.stopped = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        """Its greatest memory; killed when it has too much of it, or of time."""
        while not self.stopped.wait(WATCH_S):
            now = memory(self.pid)
            self.most = max(self.most, now)
            if now > self.bench.memory_mib:
                self.why = f"memory: {now:,.0f} MiB, more than the {self.bench.memory_mib:,.0f} allowed"
            elif self.bench.left() <= 0:
                self.why = "time: the axis' minutes ended"
            if self.why:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                return

    def wait(self):
        """Waits for its own end: status and usage."""
        if self.ended is None:
            _, status, usage = os.wait4(self.pid, 0)
            self.child.returncode = os.waitstatus_to_exitcode(status)
            self.ended = (self.child.returncode, usage)
        self.stopped.set()
        return self.ended

    def processor(self):
        return processor(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.watcher.join()
        if self.ended is None and self.child.returncode is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self.child.stdout:
            self.child.stdout.close()


class Served(Process):
    """`labhouse serve`, ready; `ready_s` and `ready_processor_s` are what that took."""

    def __init__(self, lake, config, environment=None, command="serve"):
        self.lake, self.command = lake, command
        self.log = config.with_suffix(".log")
        begun = time.monotonic()
        with self.log.open("ab") as errors:
            super().__init__(lake.bench, [lake.bench.labhouse, command, "--config", config], subprocess.PIPE, errors, environment)
        try:
            self.told = self.ready()
            self.ready_s, self.ready_processor_s = time.monotonic() - begun, self.processor()
        except BaseException:
            self.__exit__()
            raise
        self.begun = begun

    def ready(self):
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.child.stdout, selectors.EVENT_READ)
            there = waiting.select(max(0.1, min(START_S, self.bench.left())))
        if not there:
            raise Limit(self.why or f"time: labhouse {self.command} was not ready after {START_S} s")
        line = self.child.stdout.readline().decode()
        if not line.startswith("ready "):
            raise Limit(self.why or f"labhouse {self.command} did not start: {last_words(self.log)}")
        return json.loads(line.removeprefix("ready "))

    @contextlib.contextmanager
    def session(self, user):
        """A connection as a user; gives a function from SQL to a table."""
        try:
            given = {"username": user, "password": self.lake.passwords[user]}
            connection = flightsql.connect(self.told["flight"], db_kwargs=given, autocommit=True)
        except flightsql.Error as error:
            raise Limit(self.why or f"connecting: {first_line(error)}") from error

        def ask(sql):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    return cursor.fetch_arrow_table()
            except flightsql.Error as error:
                raise Limit(self.why or f"{sql[:80]}: {first_line(error)}") from error

        with connection:
            yield ask

    def until(self, ask, sql, right, wait_s=START_S):
        """Asks until the answer is right: what that took since the process began."""
        until = time.monotonic() + wait_s
        while True:
            self.alive()
            try:
                got, failed = cells(ask(sql)), None
            except Limit as limit:
                got, failed = None, limit
            if failed is None and got == right:
                return Cost(time.monotonic() - self.begun, self.processor())
            if time.monotonic() > until or self.bench.left() <= 0:
                raise failed or Limit(f"time: {sql[:80]} is {got} and not {right} after {wait_s} s")
            time.sleep(0.02)

    def alive(self):
        if self.why or self.child.poll() is not None:
            raise Limit(self.why or f"the server ended with {self.child.returncode}: {last_words(self.log)}")

    def cost(self, ask, sql, right, rows=None, repeat=None):
        """Median of a statement that is asked again, after one to warm up; each answer is right. `sql` may be a function of the
        number of the question, and so may `right`. With `repeat` 0 the first itself is timed; where it takes long, too."""
        walls, processors, begun = [], [], time.monotonic()
        repeat = self.bench.repeat if repeat is None else repeat
        for number in range(repeat + 1):
            text = sql(number) if callable(sql) else sql
            started, used = time.perf_counter(), self.processor()
            got = ask(text)
            wall, used = time.perf_counter() - started, self.processor() - used
            got = (rows or cells)(got)
            check(text, got, right(number) if callable(right) else right)
            long = time.monotonic() - begun > ASK_S
            if number > 0 or repeat == 0 or long:
                walls.append(wall)
                processors.append(used)
            if long:
                break
        return Cost(statistics.median(walls), statistics.median(processors))


def cells(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def memory(pid, field="VmRSS"):
    """In MiB; 0 of a process that is gone. `VmHWM` is the greatest so far."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


def processor(pid):
    """Processor seconds of a process, all threads, those that ended too: what utime and stime of /proc/PID/stat add up to, but in
    nanoseconds instead of ticks of 10 ms (clock_getcpuclockid)."""
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)
    return 0.0


def die_with_parent():
    LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL)


def first_line(error):
    return " ".join(str(error).split())[:300]


def last_words(log):
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-500:] or "it said nothing"


def remove(folder):
    """Whatever is in it; asked to end meanwhile, it ends after it."""
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN) if threading.current_thread() is threading.main_thread() else None
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if kept is not None:
            signal.signal(signal.SIGINT, kept)


def say(*words):
    print(*words, file=sys.stderr, flush=True)
