"""What all threads tell: how long statements took, what went wrong, and whether it was allowed to."""

import collections
import re
import threading
import time

SHOWN = 40


class Told:
    def __init__(self, excused):
        # excused(begun, ended, text): the word for why this error was to be expected, or None.
        self.excused = excused
        self.lock = threading.Lock()
        self.times = collections.defaultdict(list)
        self.expected_errors = collections.Counter()
        self.violations = collections.Counter()
        self.shown, self.known = [], set()
        self.files = collections.Counter()
        # Marks of statements that were answered, which the audit trail has to hold.
        self.marks = collections.Counter()
        self.start = time.monotonic()

    def took(self, kind, begun, mark=None):
        with self.lock:
            self.times[kind].append(time.monotonic() - begun)
            if mark:
                self.marks[mark] += 1

    def error(self, kind, text, begun):
        ended = time.monotonic()
        word = self.excused(begun, ended, text)
        if word is None:
            self.violation("error", f"{kind}, {ended - begun:.1f} s after its begin: {text[:400]}")
        else:
            with self.lock:
                self.expected_errors[word, kind] += 1

    def landed(self, action):
        with self.lock:
            self.files[action] += 1

    def violation(self, kind, text):
        """Counts it; shows it unless the same was shown before, asked by another statement."""
        with self.lock:
            self.violations[kind] += 1
            line, what = f"[{time.monotonic() - self.start:7.1f} s] {kind}: {text}", text.split(" <- ")[0]
            new = what not in self.known and len(self.shown) < SHOWN
            if new:
                self.known.add(what)
                self.shown.append(line)
        if new:
            print(f"VIOLATION {line}", flush=True)

    def say(self, text):
        print(f"[{time.monotonic() - self.start:7.1f} s] {text}", flush=True)

    def statements(self):
        """A line for each kind of statement."""
        lines = [f"{'statement':<14}{'count':>9}{'p50 ms':>10}{'p99 ms':>10}{'longest ms':>12}"]
        everything = []
        for kind, took in sorted(self.times.items()):
            lines.append(self._line(kind, took))
            everything += took
        return lines + [self._line("all", everything)] if everything else lines

    @staticmethod
    def _line(kind, took):
        took = sorted(took)
        p50, p99 = took[len(took) // 2], took[min(len(took) * 99 // 100, len(took) - 1)]
        return f"{kind:<14}{len(took):>9}{1e3 * p50:>10.1f}{1e3 * p99:>10.1f}{1e3 * took[-1]:>12.1f}"

    def errors(self):
        by_word = collections.defaultdict(dict)
        for (word, kind), count in self.expected_errors.items():
            by_word[word][kind] = count
        return [f"{word}: {sum(kinds.values())} ({', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))})" for word, kinds in sorted(by_word.items())]


def plain(error):
    """An error in one line, without what the client's library adds."""
    return re.sub(r"\s+", " ", str(error))[:600]
