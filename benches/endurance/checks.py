"""What must hold when nothing is under way, and what the lake holds when the server is gone."""

import collections
import re
import time

import people
import rows
from instrument import TABLES

PAUSE_S = 0.5


class Checks:
    def __init__(self, world, settle_s):
        self.world, self.told, self.ledger, self.settle_s = world, world.told, world.ledger, settle_s
        self.admin = people.Flight(world.server, "ada")
        # What was told once is not waited for again.
        self.known = set()

    def ask(self, sql):
        """An administrator's question, asked again as long as an error is excused."""
        deadline = time.monotonic() + self.settle_s
        while True:
            begun = time.monotonic()
            try:
                return self.admin.ask(sql)
            except people.Refused as error:
                self.told.error("check", f"{error} <- {sql[:160]}", begun)
                if time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_S)

    def until(self, what, look, patience_s=None):
        """Looks until there is nothing wrong that was not told before; what is wrong at the end is a violation."""
        begun = time.monotonic()
        while problems := [problem for problem in look() if problem not in self.known]:
            if time.monotonic() - begun > (self.settle_s if patience_s is None else patience_s):
                self.known.update(problems)
                kind, text = problems[0]
                return self.told.violation(kind, f"{what}, after {time.monotonic() - begun:.0f} s: {len(problems)} problems, the first: {text}")
            time.sleep(PAUSE_S)
        return None

    def quiet(self):
        """The instrument rests and the server stays: everything that landed is there exactly once."""
        begun = time.monotonic()
        for table in TABLES:
            self.until(f"at rest, {table}", lambda table=table: self.table(table))
        self.until("at rest, quarantine", self.quarantine)
        self.until("at rest, acknowledged statements", self.notes, patience_s=0)
        self.until("at rest, materialized view", self.view)
        if waiting := self.ledger.waiting():
            self.told.violation("lost", f"at rest: never seen: {', '.join(waiting[:5])}")
        total = sum(self.ledger.count(table) for table in TABLES)
        self.told.say(f"at rest: {total} rows of {len(self.ledger.files)} files checked in {time.monotonic() - begun:.1f} s")

    def table(self, table):
        begun = time.monotonic()
        ids = self.ask(f"SELECT id FROM {table}").column(0).to_numpy()
        problems = self.ledger.judge(table, ids, begun, time.monotonic(), rows.ALL, whole=True, strict=True)
        if not problems and len(ids) != self.ledger.count(table):
            problems = [("wrong", f"{table}: {len(ids)} rows, {self.ledger.count(table)} are right")]
        return problems

    def quarantine(self):
        listed = {str(path).removeprefix("landing/") for path in self.ask("SELECT path FROM lab.system.quarantine").column(0).to_pylist()}
        wanted = self.ledger.broken()
        extra = [("quarantine", f"{path} is in quarantine and is not broken: {self.why(path)}") for path in sorted(listed - wanted)]
        return extra + [("quarantine", f"{path} is broken and not in quarantine") for path in sorted(wanted - listed)]

    def why(self, path):
        return self.ask(f"SELECT reason FROM lab.system.quarantine WHERE path LIKE '%{path}'").column(0).to_pylist()

    def notes(self):
        with self.world.lock:
            batches = {batch: state[0] for batch, state in self.world.batches.items()}
        answer = self.ask(f"SELECT batch, count(*), count(DISTINCT id) FROM {people.NOTES} GROUP BY 1")
        there = {batch: (count, different) for batch, count, different in zip(*(column.to_pylist() for column in answer.columns))}
        problems = []
        for batch, state in batches.items():
            count, different = there.get(batch, (0, 0))
            if count != different or count not in (0, people.BATCH):
                problems.append(("doubled", f"{people.NOTES}: batch {batch} has {count} rows, {different} different ones"))
            elif state == people.TAKEN and not count:
                problems.append(("lost", f"{people.NOTES}: batch {batch} was acknowledged and is not there"))
            elif state == people.REFUSED and count:
                problems.append(("doubled", f"{people.NOTES}: of batch {batch} its writer heard \"{people.NOT_TAKEN}; try again\", and it is there: trying again doubles it"))
        return problems

    def view(self):
        answer = self.ask(f"SELECT department, n FROM {people.VIEW}")
        told = dict(zip(answer.column(0).to_pylist(), answer.column(1).to_pylist()))
        wanted = self.ledger.by_department("lab.chemistry.counts")
        return [] if told == wanted else [("wrong", f"{people.VIEW}: {told}, right is {wanted}")]

    def trail(self):
        """Each statement that was answered is in the audit trail."""
        texts = self.ask("SELECT statement FROM lab.system.audit WHERE event = 'statement' AND verdict = 'allowed' AND statement IS NOT NULL").column(0).to_pylist()
        audited = collections.Counter(mark for text in texts for mark in re.findall(r"\b[mc]\d+(?:_\d+)?\b", text))
        missing = [mark for mark, count in self.told.marks.items() if audited[mark] < count]
        if missing:
            self.told.violation("audit", f"{len(missing)} statements were answered and are not in the trail, such as {missing[:5]}")
        return len(texts)

    def on_disk(self, lake, options):
        """What a reader that knows nothing of labhouse finds in the lake."""
        from deltalake import DeltaTable

        for table in TABLES:
            read = DeltaTable(f"{lake}/tables/{table.removeprefix('lab.').replace('.', '/')}", storage_options=options)
            ids = read.to_pyarrow_table(columns=["id"]).column(0).to_numpy()
            now = time.monotonic()
            for kind, text in self.ledger.judge(table, ids, now, now, rows.ALL, strict=True)[:5]:
                self.told.violation(kind, f"on disk: {text}")
