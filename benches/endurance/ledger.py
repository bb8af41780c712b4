"""What must be in each table at any moment, and whether an answer agrees with that.

A file has versions. While one takes the place of another an answer may hold either, whole; from the first answer that
held the new one on, no answer may hold the old. What the instrument did is noted before it does it.
"""

import dataclasses
import threading
import time

import numpy as np

import rows


@dataclasses.dataclass
class Version:
    number: int
    count: int
    landed: float
    # Written in place, so a sweep may see its beginning.
    grows: bool = False
    confirmed: float | None = None
    expected: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class File:
    number: int
    table: str
    path: str
    versions: list
    broken: bool = False
    removed: bool = False
    # Its path before a renaming that the crawler has not followed yet. What would be done to it meanwhile could not be told from
    # a removal and a new file, of which both keep their rows.
    moved_from: str | None = None
    # A bucket knows no renaming: between copy and deletion there are two objects, until both are seen as one again.
    may_be_twice: bool = False


class Ledger:
    def __init__(self, tables):
        self.lock = threading.Lock()
        self.tables = tables
        self.files = {}
        self.of_table = {table: [] for table in tables}
        self.most_rows = dict.fromkeys(tables, 0)

    def new_file(self, table, path):
        with self.lock:
            number = len(self.files) + 1
            file = self.files[number] = File(number, table, path, [])
            self.of_table[table].append(file)
            return file

    def begin(self, file, count, grows=False, broken=False):
        """A version is about to be written: the numbers of its rows."""
        with self.lock:
            number = len(file.versions) + 1
            file.versions.append(Version(number, 0 if broken else count, time.monotonic(), grows))
            file.broken = broken
            return rows.ids_of(file.number, number, count)

    def expected(self, file, version, rule):
        """How many rows of a version a rule shows."""
        if rule.name not in version.expected:
            ids = rows.ids_of(file.number, version.number, version.count)
            version.expected[rule.name] = int(rule.visible(ids).sum())
        return version.expected[rule.name]

    def judge(self, table, ids, begun, ended, rule, whole=False, strict=False):
        """What is wrong with the numbers that an answer holds. `whole`: whoever sees all asked for all, which confirms.

        `strict`: nothing is under way, so each file is there once, in its last version."""
        unique, times = np.unique(np.asarray(ids, dtype=np.int64), return_counts=True)
        keys, counts = np.unique(unique // rows.VERSION, return_counts=True)
        seen = {}
        for key, count in zip(keys.tolist(), counts.tolist()):
            seen.setdefault(key // (rows.FILE // rows.VERSION), {})[key % (rows.FILE // rows.VERSION)] = count
        doubled = set((unique[times > 1] // rows.FILE).tolist())
        problems = []
        with self.lock:
            own = list(self.of_table[table])
            known = {file.number for file in own}
            problems += [("invented", f"{table}: rows of file {number}, which is not there") for number in seen if number not in known]
            for file in own:
                if file.number in doubled and (strict or not file.may_be_twice):
                    problems.append(("doubled", f"{table}: rows of {file.path} more than once"))
                problems += self._judge_file(file, seen.get(file.number, {}), begun, ended, rule, strict)
                if whole:
                    self._confirm(file, seen.get(file.number, {}), ended, file.number in doubled)
            self.most_rows[table] = max(self.most_rows[table], len(ids))
        return problems

    def _judge_file(self, file, seen, begun, ended, rule, strict):
        candidates = self._candidates(file, begun, ended, strict)
        for candidate in candidates:
            wanted = {}
            if candidate is not None and (count := self.expected(file, candidate, rule)):
                wanted = {candidate.number: count}
            if seen == wanted:
                return []
            growing = candidate is not None and candidate.grows and candidate.confirmed is None and not strict
            if growing and set(seen) <= {candidate.number} and sum(seen.values()) <= sum(wanted.values()):
                return []
        possible = ["nothing" if c is None else f"{self.expected(file, c, rule)} of version {c.number}" for c in candidates]
        held = ", ".join(f"{count} of version {number}" for number, count in seen.items()) or "nothing"
        few = sum(seen.values()) < min((0 if c is None else self.expected(file, c, rule)) for c in candidates)
        text = f"{file.table}: {file.path} (file {file.number}): rows seen: {held}; possible under {rule.name}: {' or '.join(possible)}"
        return [("lost" if few or not seen else "wrong", text)]

    def _candidates(self, file, begun, ended, strict):
        """The versions that an answer asked between two moments may hold; None: not there yet."""
        if strict:
            return file.versions[-1:] or [None]
        confirmed = max((v.number for v in file.versions if v.confirmed is not None and v.confirmed < begun), default=0)
        possible = [v for v in file.versions if v.number >= confirmed and v.landed < ended]
        return possible if confirmed else [None, *possible]

    def _confirm(self, file, seen, ended, twice):
        for version in file.versions:
            if version.confirmed is None and version.count and seen.get(version.number) == version.count:
                version.confirmed = ended
        if file.moved_from is None and not twice:
            file.may_be_twice = False

    def follow(self, paths):
        """The crawler's list of files: which renamings it has followed."""
        with self.lock:
            for file in self.files.values():
                if file.moved_from is not None and file.path in paths and file.moved_from not in paths:
                    file.moved_from = None

    def waiting(self):
        """Files whose last version nobody has seen yet."""
        with self.lock:
            return [
                f"{file.path} version {file.versions[-1].number}"
                for file in self.files.values()
                if file.versions and not file.broken and file.versions[-1].confirmed is None
            ]

    def broken(self):
        with self.lock:
            return {file.path for file in self.files.values() if file.broken}

    def count(self, table):
        """Rows that a table has when nothing is under way."""
        with self.lock:
            return sum(file.versions[-1].count for file in self.of_table[table] if file.versions)

    def by_department(self, table):
        with self.lock:
            held = [rows.ids_of(f.number, f.versions[-1].number, f.versions[-1].count) for f in self.of_table[table] if f.versions]
        names, counts = np.unique(rows.departments(np.concatenate(held)), return_counts=True)
        return dict(zip(names.tolist(), counts.tolist()))


class Timeline:
    """Which rule was in force when."""

    def __init__(self, takeover_s):
        self.takeover_s = takeover_s
        self.lock = threading.Lock()
        self.spans = []

    def put(self, rules, write):
        """An edit: `rules` by table, and what writes it. From its beginning on it may act; a moment after it, it must."""
        begun = time.monotonic()
        with self.lock:
            # Noted as possible before it is written, and as certain afterwards.
            self.spans.append([begun, None, rules])
        write()
        with self.lock:
            if len(self.spans) > 1:
                self.spans[-2][1] = time.monotonic()

    def between(self, begun, ended, table):
        """The rules of a table that may have decided an answer."""
        with self.lock:
            found = [
                rules[table]
                for start, end, rules in reversed(self.spans[-200:])
                if start <= ended and (end is None or end + self.takeover_s >= begun)
            ]
        return list(dict.fromkeys(found))
