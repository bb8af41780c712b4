"""What rows there are: every value of a row follows from its number, and the number tells file, version and place.

So nothing has to be remembered but how many rows each version of a file has, and any answer can be judged row by row.
"""

import dataclasses

import numpy as np

FILE, VERSION = 10_000_000, 1_000
DEPARTMENTS = np.array(["north", "south", "east", "west"])
VISIBILITIES = np.array(["open", "open", "secret"])
OPERATORS = np.array(["mara.lindt", "jo.brandt", "li.wei", "ines.costa", "tom.reed"])
SMILES = np.array(["c1ccccc1Br", "COc1ccccc1Cl", "Cc1ccncc1", "CC(=O)Nc1ccccc1", "FC(F)(F)c1ccccc1", "c1ccsc1"])
COLUMNS = ("id", "department", "visibility", "operator", "scaffold_smiles", "run_at", "dose", "temperature_c", "amount")


def mixed(ids):
    """64 bits that differ from number to number (splitmix64)."""
    z = np.asarray(ids, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _part(ids, shift, count):
    return ((mixed(ids) >> np.uint64(shift)) % np.uint64(count)).astype(np.int64)


def departments(ids):
    return DEPARTMENTS[_part(ids, 3, len(DEPARTMENTS))]


def visibilities(ids):
    return VISIBILITIES[_part(ids, 9, len(VISIBILITIES))]


def smiles(ids):
    return SMILES[_part(ids, 15, len(SMILES))]


def ids_of(file, version, count):
    return file * FILE + version * VERSION + np.arange(count, dtype=np.int64)


def columns(ids):
    """All columns of these rows, by name."""
    dose, temperature = _part(ids, 21, 100) / 4 + 0.5, 20 + 5 * _part(ids, 27, 13)
    moments = np.datetime64("2026-03-01T08:00:00") + (_part(ids, 33, 90 * 1440)).astype("timedelta64[m]")
    values = (
        ids,
        departments(ids),
        visibilities(ids),
        OPERATORS[_part(ids, 39, len(OPERATORS))],
        smiles(ids),
        moments,
        dose,
        temperature,
        np.round(2 * dose + 0.3 * temperature + _part(ids, 45, 1000) / 500 + 0.001, 3),
    )
    return dict(zip(COLUMNS, values))


@dataclasses.dataclass(frozen=True)
class Rule:
    """What the analyst may see of a table: as SQL for filters.toml and as a judge of rows. Without SQL: nothing at all."""

    name: str
    sql: str | None
    sees: object

    def visible(self, ids):
        if self.sql is None:
            return np.zeros(len(ids), dtype=bool)
        return self.sees(departments(ids), visibilities(ids))


RULES = (
    Rule("open", "visibility = 'open'", lambda d, v: v == "open"),
    Rule("north_open", "visibility = 'open' AND department = 'north'", lambda d, v: (v == "open") & (d == "north")),
    Rule("two", "department IN ('north', 'south')", lambda d, v: (d == "north") | (d == "south")),
    Rule("open_or_west", "visibility = 'open' OR department = 'west'", lambda d, v: (v == "open") | (d == "west")),
    Rule("secret_east", "visibility = 'secret' AND department = 'east'", lambda d, v: (v == "secret") & (d == "east")),
    Rule("closed", None, None),
)
# Who sees all of it.
ALL = Rule("all", "true", lambda d, v: np.ones(len(d), dtype=bool))
