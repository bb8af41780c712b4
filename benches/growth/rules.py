"""Axis `rules`: a policy.csv of N lines (grants, denials, patterns, tags, roles, filters, masks). What loading, a statement and
explaining cost.
"""

import contextlib
import os
import time

import delta
import lab
import pyarrow

SIZE = "rules"
SIZES = (100, 1_000, 10_000, 100_000)
ROWS = 1_000
# Beside the table that is asked, which rules by pattern and by tag have to be held against.
OTHER_TABLES = 20
# Roles of which `ana` holds a few, as people do.
ROLES_MAX = 1_000
HELD = 5
ACTS_S = 60
TABLE = "lab.growth.readings"
OWN = lab.POLICY + "p2, role:reader, growth, lab/growth/readings, permissive, half\np3, role:reader, growth, lab/growth/readings/operator, hidden\n"
DENIED = "p, user:ana, growth, lab/growth/readings/**, select, deny\n"
FILTERS = """\
[filter.half]
table = "lab/growth/*"
sql = "id < 500"
[filter.released]
table = "lab/growth/*"
sql = "id >= 0"
[mask.hidden]
column = "lab/growth/*/operator"
kind = "null"
"""


@contextlib.contextmanager
def opened(bench):
    yield lambda rules, row: measure(bench, rules, row)


def measure(bench, rules, row):
    text = policy(rules)
    with bench.lake(text, FILTERS) as lake:
        lake.users("ada", "ana")
        for name in ("readings", *(f"t{number}" for number in range(OTHER_TABLES))):
            delta.write_small(lake.table(name), pyarrow.table({"id": range(ROWS), "operator": ["eve"] * ROWS}))
        checked = bench.command("policy", "check", "--config", lake.config).or_limit("labhouse policy check")
        row |= {"policy.csv, MiB": len(text) / 2**20, "people with a role": members(text)} | checked.told("labhouse policy check")
        with lake.serve() as server, server.session("ada") as ada, server.session("ana") as ana:
            row |= lab.Cost(server.ready_s, server.ready_processor_s).told("start to ready", "s")
            server.until(ada, f"SELECT count(*) FROM {TABLE}", [(ROWS,)])
            row |= {"then, MiB": lab.memory(server.pid)}
            # The first statement of a person works out his decisions; later ones remember them.
            row |= server.cost(ana, f"SELECT count(*) FROM {TABLE}", [(500,)], repeat=0).told("ana's first statement")
            one = server.cost(ana, lambda n: f"SELECT id, operator FROM {TABLE} WHERE id = {n}", lambda n: [(n, None)])
            row |= one.told("one row, filtered and masked")
            lab.check("a row that is filtered", lab.cells(ana(f"SELECT id FROM {TABLE} WHERE id = 500")), [])
            cost = server.cost(ada, f"EXPLAIN POLICY FOR ana ON {TABLE}", True, rows=lambda table: told(table, "half", "hidden"))
            row |= cost.told("EXPLAIN POLICY FOR ana")
            try:
                everybody = f"EXPLAIN POLICY FOR ALL ON {TABLE}"
                row |= server.cost(ada, everybody, True, rows=lambda table: told(table, "ana"), repeat=0).told("EXPLAIN POLICY FOR ALL")
            except lab.Limit as limit:  # the number of people has a bound of its own
                server.alive()
                bench.met.append(f"at {rules:,}: {limit}")
            row |= {"until an edit acts, s": acts(server, lake, text, ana)}
            lab.check("what the edit is not about", lab.cells(ada(f"SELECT count(*) FROM {TABLE}")), [(ROWS,)])
            row |= {"peak, MiB": lab.memory(server.pid, "VmHWM")}


def acts(server, lake, text, ana):
    """Until a line that closes the table to ana has closed it."""
    edited = lake.policies / "policy.csv.new"
    edited.write_text(text + DENIED)
    begun = time.monotonic()
    os.replace(edited, lake.policies / "policy.csv")
    while time.monotonic() - begun < ACTS_S:
        try:
            ana(f"SELECT count(*) FROM {TABLE}")
        except lab.Limit:
            server.alive()
            return time.monotonic() - begun
        time.sleep(0.01)
    raise lab.Limit(f"time: an edit does not act after {ACTS_S} s")


def told(table, *words):
    """Whether an explanation names what it has to."""
    text = str(table.to_pylist())
    return all(word in text for word in words) or text[:300]


def members(text):
    return len({line.split(",")[1] for line in text.splitlines() if line.startswith("g, user:")})


def policy(rules):
    """Lines as administrators mix them; none but the first few is about ana's rows."""
    lines = OWN.splitlines()
    roles = max(HELD, min(ROLES_MAX, rules // 20))
    lines += [f"g, user:ana, role:r{number * roles // HELD}, growth" for number in range(HELD)]
    for n in range(max(0, rules - len(lines))):
        # Another role for each line of a kind, all kinds for each role.
        role = f"role:r{(n // 10 + n) % roles}"
        match n % 10:
            case 0:
                lines.append(f"p, {role}, growth, lab/*/t{n}/**, select, allow")
            case 1:
                lines.append(f"p, {role}, growth, lab/growth/t{n}/secret_*, select, deny")
            case 2:
                lines.append(f"p, {role}, growth, tag:project=p{n} & sensitivity=public, select, allow")
            case 3:
                lines.append(f"g, user:u{n}, {role}, growth")
            case 4:
                lines.append(f"p2, {role}, growth, lab/growth/t{n}, restrictive, released")
            case 5:
                lines.append(f"p3, {role}, growth, lab/growth/t{n}/operator, hidden")
            case _:
                lines.append(f"p, {role}, growth, lab/growth/t{n}/c, select|insert, allow")
    return "\n".join(lines) + "\n"
