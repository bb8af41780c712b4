"""A lab for an hour: everything at once, and the server killed every minute.

    venv/bin/python benches/endurance/endurance.py --labhouse target/release/labhouse             # one hour, lake on disk
    venv/bin/python benches/endurance/endurance.py --labhouse target/release/labhouse --s3        # in a bucket that fails
    venv/bin/python benches/endurance/endurance.py --labhouse … --seconds 90 --kill-every 20 --quiet-every 40

An instrument lands, replaces, renames, removes, puts back and breaks files; people ask charts and ad-hoc questions over
Flight SQL and HTTP, write rows, train and predict; the analyst's row filters change every few seconds; the server is killed
(every other time it gets SIGTERM) and started again. Each answer is judged: a row too few, too many, of half a file, or one
that no rule in force allowed is a violation. At rest, every `--quiet-every` seconds and at the end, all that landed is there
exactly once. Memory is judged twice: over the killed part, and over `--steady` more seconds of the same load on one process,
without which a minute's life would hide what grows. Exit code 1 on any violation.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import instrument
import lab
import people
import rows
import store
from ledger import Ledger, Timeline
from told import Told

GROWTH_MAX = 10.0
JUDGED_S = 600
# Steps of the main loop.
TICK_S = 0.1
EDIT_S = (2.0, 6.0)
SLIP = "p, role:lab_analyst, chemistry, lab/chemistry/**, use|select, perhaps\n"
# On a bucket that fails: how many statements may end with an error that names the store, in a hundred.
STORE_ERRORS_MAX = 2.0
# How often a start on such a bucket may be tried, as a supervisor would.
STARTS_MAX = 20
STORE_WORDS = ("lake's storage did not", "503", "Generic S3 error", "SlowDown")


class World:
    """What all threads share."""

    def __init__(self, arguments, folder):
        self.end, self.lock, self.trained = threading.Event(), threading.Lock(), threading.Event()
        self.batches = {}
        self.store = store.Store(folder, arguments.faults, arguments.seed, arguments.faults_at) if arguments.s3 else None
        self.told = Told(self.excused)
        self.ledger, self.timeline = Ledger(list(instrument.TABLES)), Timeline(arguments.takeover)
        self.folder = folder / "lab"
        self.folder.mkdir()
        self.policies = lab.Policies(self.folder / "policies")
        self.log = (folder / "server.log").open("w")
        lake = self.store.lake if self.store else 'url = "."'
        self.server = lab.Server(arguments.labhouse, self.folder, lake, store.KEYS if self.store else {}, self.log)
        if self.store:
            self.place = store.Bucket(self.store)
        else:
            (self.folder / "landing").mkdir()
            self.place = instrument.Folder(self.folder / "landing")
        # Held while the server must not be killed.
        self.stays = threading.Lock()

    def excused(self, begun, ended, text):
        if self.server.was_away(begun, ended):
            return "while the server was away"
        if people.STALE in text:
            return "login of before the restart"
        if "ABORTED" in text or "again" in text and "storage" not in text:
            return "told to ask again"
        if self.store and any(word in text for word in STORE_WORDS):
            return "the store failed"
        return None


class Editor(threading.Thread):
    """Widens and narrows the analyst's filters; now and then an edit has a slip and must not act."""

    def __init__(self, world, chance):
        super().__init__(daemon=True)
        self.world, self.chance, self.edits = world, chance, 0

    def run(self):
        while not self.world.end.wait(self.chance.uniform(*EDIT_S)):
            if self.chance.random() < 0.1:
                # A server that starts finds no older policy to keep: no kill meanwhile.
                with self.world.stays:
                    self.world.policies.write(self.rules(), SLIP)
                    self.world.end.wait(1.5)
                    self.edit()
            else:
                self.edit()

    def rules(self):
        return {table: self.chance.choice(rows.RULES if at == 0 else rows.RULES[:-1]) for at, table in enumerate(lab.FILTERED)}

    def edit(self):
        rules = self.rules()
        self.world.timeline.put(rules, lambda: self.world.policies.write(rules))
        self.edits += 1


def start(world):
    """Starts the server; on a bucket that fails the start may fail, too."""
    for _ in range(1 if world.store is None else STARTS_MAX):
        if world.server.start():
            return
        world.log.flush()
        said = [line for line in pathlib.Path(world.log.name).read_text(errors="replace").splitlines() if line.startswith("labhouse: ")]
        world.told.say(f"the server did not start: {said[-1][:300] if said else 'its log says why'}")
    world.told.violation("start", "the server does not start")
    raise RuntimeError("the server does not start")


def lay_out(world, chance, source):
    """Policies, server, first files, tables and the model's first training."""
    first = {table: rows.RULES[0] for table in lab.FILTERED}
    world.timeline.put(first, lambda: world.policies.write(first))
    start(world)
    source.first()
    sam = people.Flight(world.server, "sam")
    ada = people.Flight(world.server, "ada")
    repeat(world, lambda: sam.ask(f"CREATE TABLE IF NOT EXISTS {people.NOTES} (id BIGINT, batch BIGINT)", update=True))
    for table in instrument.TABLES:
        repeat(world, lambda table=table: ada.ask(f"SELECT count(*) FROM {table}"))
    view = f"CREATE MATERIALIZED VIEW {people.VIEW} REFRESH ON CHANGE AS SELECT department, count(*) AS n FROM lab.chemistry.counts GROUP BY department"
    repeat(world, lambda: ada.ask(view, update=True))
    for door in (sam, ada):
        door.close()


def repeat(world, ask, patience_s=60):
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except people.Refused as error:
            if "already" in str(error):
                return None
            if time.monotonic() > deadline:
                raise
            world.end.wait(0.5)


def crowd(world, seed):
    """Everybody, each with dice of his own."""
    doors, numbers = people.Flight, iter(range(1, 1000))

    def person(kind, user, door=doors):
        number = next(numbers)
        return kind(door(world.server, user), number, world, random.Random(seed * 1000 + number))

    return [
        person(people.Administrator, "ada"),
        person(people.Administrator, "ada"),
        *(person(people.Scientist, "sam") for _ in range(3)),
        person(people.Scientist, "dee"),
        *(person(people.Analyst, "ana") for _ in range(3)),
        person(people.Analyst, "ana", people.Http),
        person(people.Scientist, "sam", people.Http),
        person(people.Guest, "guest"),
        person(people.Guest, "guest", people.Http),
        person(people.Trainer, "dee"),
        person(people.Writer, "sam"),
    ]


def interrupt(world, number):
    """Kill -9, or SIGTERM every other time; then a new server on the same lake."""
    with world.stays:
        begun = time.monotonic()
        if number % 2 == 0:
            world.server.kill()
        elif (code := world.server.stop()) != 0:
            world.told.violation("stop", f"SIGTERM ended with {'a kill, as it took too long' if code is None else code}")
        start(world)
        world.told.say(f"{'SIGTERM' if number % 2 else 'kill -9'}, ready again after {time.monotonic() - begun:.1f} s")


def run(world, arguments, source, checks):
    """The mixed load until the time is over; when it began, when kills stopped and when it ended."""
    chance = random.Random(arguments.seed)
    editor = Editor(world, random.Random(arguments.seed + 2))
    threads = [*crowd(world, arguments.seed), editor]
    begun = time.monotonic()
    for thread in [*threads, source]:
        thread.start()
    kills, quiet_at = 0, begun + arguments.quiet_every
    kill_at = begun + arguments.kill_every * chance.random() if arguments.kill_every else float("inf")
    while (now := time.monotonic()) < begun + arguments.seconds + arguments.steady:
        if (code := world.server.died()) is not None:
            world.told.violation("died", f"the server ended by itself with {code}")
            world.server.kill()
            start(world)
        if now >= kill_at and now < begun + arguments.seconds:
            interrupt(world, kills)
            kills += 1
            kill_at = begun + arguments.kill_every * (kills + chance.random())
        if now >= quiet_at:
            with source.rests, world.stays:
                checks.quiet()
            quiet_at = time.monotonic() + arguments.quiet_every
        time.sleep(TICK_S)
    ended = time.monotonic()
    source.end.set()
    source.join()
    with world.stays:
        checks.quiet()
    world.end.set()
    for thread in threads:
        thread.join(people.PATIENCE_S)
    return (begun, begun + arguments.seconds, ended), editor.edits


def verify(world, checks):
    """After the run: the trail holds together, and what a new server and a foreign reader find is the same."""
    if (code := world.server.stop()) != 0:
        world.told.violation("stop", f"SIGTERM ended with {code}")
    for attempt in range(1 if world.store is None else 3):
        verified = world.server.tool("audit", "verify")
        if verified.returncode == 0 or attempt == 2 or world.store is None:
            break
    words = " ".join((verified.stdout + verified.stderr).split())
    if verified.returncode != 0:
        world.told.violation("audit", f"verify ended with {verified.returncode}: {words[:800]}")
    else:
        world.told.say(f"audit verify: {words[:200]}")
    checks.on_disk(*world.store.reader() if world.store else (world.folder, None))
    start(world)
    checks.quiet()
    world.told.say(f"audit trail: {checks.trail()} allowed statements, {sum(world.told.marks.values())} of them marked and delivered")
    world.server.stop()
    world.log.flush()
    log = pathlib.Path(world.log.name).read_text(errors="replace")
    for line in [line for line in log.splitlines() if "panicked" in line][:5]:
        world.told.violation("panic", line[:300])


def report(world, arguments, moments, edits, sampler):
    told, server = world.told, world.server
    print(f"\n{arguments.seconds:.0f} s and {arguments.steady:.0f} s without kills on {'a failing bucket' if world.store else 'disk'}, seed {arguments.seed}")
    for line in told.statements():
        print(line)
    print(f"files: {', '.join(f'{action} {count}' for action, count in sorted(told.files.items()))}; rows {', '.join(f'{table} {world.ledger.count(table)}' for table in instrument.TABLES)}")
    written = [state[0] == people.TAKEN for state in world.batches.values()]
    print(f"edits of policies {edits}; INSERTs acknowledged {sum(written)} of {len(written)}")
    print(f"kill -9: {server.kills}, SIGTERM: {server.terms} (longest {max(server.stops, default=0):.1f} s); starts that failed {server.failed_starts}; longest start {max(server.starts):.2f} s")
    for line in told.errors():
        print(f"expected errors {line}")
    store_errors = sum(count for (word, _), count in told.expected_errors.items() if word == "the store failed")
    statements = sum(map(len, told.times.values()))
    if 100 * store_errors > STORE_ERRORS_MAX * max(statements, 1):
        told.violation("error", f"{store_errors} of {statements} statements failed because of the store, more than {STORE_ERRORS_MAX} %")
    for begun, ended, what in ((*moments[:2], "with kills" if arguments.kill_every else "without kills"), (*moments[1:], "steady")):
        if ended - begun > 10:
            memory(told, sampler, begun, ended, what)
    if world.store:
        counts = world.store.close()
        print(f"faults: {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}")
    for line in told.shown:
        print(f"VIOLATION {line}")
    print("violations: " + (", ".join(f"{kind} {count}" for kind, count in sorted(told.violations.items())) or "0"))
    print("FAIL" if told.violations else "PASS", flush=True)


def quietly(told):
    """The client's driver complains on standard error about cursors whose server was killed."""
    if "Adbc" not in str(told.exc_value):
        sys.__unraisablehook__(told)


def memory(told, sampler, begun, ended, what):
    lines, growth = sampler.tell(begun, ended)
    print(f"{what}, {ended - begun:.0f} s:")
    for line in lines:
        print(f"  {line}")
    if growth is not None:
        print(f"  memory grew by {growth:+.1f} % from the second tenth to the last (flat: less than {GROWTH_MAX:.0f} %)")
        # A short run is all warming up.
        if growth >= GROWTH_MAX and ended - begun >= JUDGED_S:
            told.violation("memory", f"{what}: it grew by {growth:.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", lab.ROOT / "target"))
    parser.add_argument("--labhouse", type=pathlib.Path, default=target / "release" / "labhouse")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--steady", type=float, help="seconds of the same load without kills afterwards; default: a third of --seconds")
    parser.add_argument("--kill-every", type=float, default=60, help="0 = never")
    parser.add_argument("--quiet-every", type=float, default=120)
    parser.add_argument("--land-every", type=float, default=1.0, help="mean time between two things the instrument does")
    parser.add_argument("--takeover", type=float, default=2.0, help="seconds within which an edit of the policies must act")
    parser.add_argument("--settle", type=float, default=90, help="seconds after which, at rest, everything must be there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true", help="the lake is a bucket behind a proxy that injects faults")
    parser.add_argument("--faults", type=float, default=0.01, help="share of the requests that meet a fault")
    parser.add_argument("--faults-at", default="", help="a regular expression: only requests whose `METHOD /path` has it meet faults, such as '^PUT .*_delta_log'")
    parser.add_argument("--keep", action="store_true", help="leave the lab's folder there, as after a failure")
    arguments = parser.parse_args()
    sys.unraisablehook = quietly
    arguments.labhouse = arguments.labhouse.resolve()
    if arguments.steady is None:
        arguments.steady = arguments.seconds / 3 if arguments.kill_every else 0
    sys.setswitchinterval(0.002)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="labhouse-endurance-"))
    print(f"in {folder}", flush=True)
    world, sampler, told_all = None, None, False
    try:
        world = World(arguments, folder)
        from checks import Checks

        checks = Checks(world, arguments.settle)
        source = instrument.Instrument(world.place, world.ledger, world.told, world.server, random.Random(arguments.seed + 1), arguments.land_every)
        lay_out(world, random.Random(arguments.seed), source)
        sampler = lab.Sampler(world.server)
        sampler.start()
        moments, edits = run(world, arguments, source, checks)
        sampler.end.set()
        verify(world, checks)
        report(world, arguments, moments, edits, sampler)
        told_all = True
    finally:
        if world and world.server.process and world.server.process.poll() is None:
            world.server.process.kill()
        if world and world.store and not told_all:
            world.store.close()
        if told_all and not world.told.violations and not arguments.keep:
            shutil.rmtree(folder)
        else:
            print(f"left in {folder}", flush=True)
    return 1 if world.told.violations else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    sys.exit(main())
