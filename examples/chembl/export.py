#!/usr/bin/env python3
"""The tables of a ChEMBL release's SQLite database as files for a landing folder.

    export.py chembl_36_sqlite.tar.gz|chembl_36.db LANDING [TABLE …]

Writes LANDING/TABLE/TABLE_0001.csv and so on, PART_LINES rows each, and beside them a _labhouse.toml with the types that the
database declares, so that a text of digits stays text; a BLOB is written in hexadecimal digits. Without names all tables with rows are written. Files appear whole
or not at all. Prints one line a table. Needs nothing but Python 3.
"""

import csv
import os
import re
import sqlite3
import sys
import tarfile
import tempfile

PART_LINES = int(os.environ.get("PART_LINES", "500000"))
# Declared types by how their names begin; others (dates among them) are found out by the crawler.
KINDS = {
    "VARCHAR": "text", "CHAR": "text", "TEXT": "text", "CLOB": "text", "NVARCHAR": "text",
    "INT": "integer", "BIGINT": "integer", "SMALLINT": "integer", "TINYINT": "integer",
    "NUMERIC": "number", "DECIMAL": "number", "REAL": "number", "FLOAT": "number", "DOUBLE": "number",
}


def kind(declared):
    """The crawler's word for a declared type, or None."""
    return next((kind for name, kind in KINDS.items() if declared.upper().startswith(name)), None)


def heading(name):
    """A column's name as the table will have it."""
    return re.sub("[^a-z0-9_]+", "_", name.lower()).strip("_") or "column"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def whole(path, write):
    """Writes under a hidden name that the crawler does not look at, then renames."""
    aside = os.path.join(os.path.dirname(path), ".loading")
    with open(aside, "w", encoding="utf-8", newline="") as out:
        write(out)
    os.replace(aside, path)


def export(database, landing, table):
    columns = database.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    rows = database.execute(f"SELECT * FROM {quoted(table)}")
    part = rows.fetchmany(PART_LINES)
    if not part:
        return 0
    folder = os.path.join(landing, table.lower())
    os.makedirs(folder, exist_ok=True)
    types = [f'{heading(name)} = "{kind(declared)}"\n' for _, name, declared, *_ in columns if kind(declared)]
    whole(os.path.join(folder, "_labhouse.toml"), lambda out: out.writelines(["[types]\n", *types]))
    total = number = 0
    while part:
        number += 1

        def write(out, part=part):
            lines = csv.writer(out, lineterminator="\n")
            lines.writerow([heading(name) for _, name, *_ in columns])
            lines.writerows([value.hex() if isinstance(value, bytes) else value for value in row] for row in part)

        whole(os.path.join(folder, f"{table.lower()}_{number:04}.csv"), write)
        total += len(part)
        part = rows.fetchmany(PART_LINES)
    return total


def main(source, landing, *names):
    lake = os.path.dirname(os.path.dirname(os.path.abspath(landing)))
    with tempfile.TemporaryDirectory(dir=lake, prefix=".chembl-") as own:
        path = source
        if ".tar" in os.path.basename(source):
            with tarfile.open(source) as packed:
                inside = next((member for member in packed if member.isfile() and member.name.endswith(".db")), None)
                if inside is None:
                    sys.exit(f"export.py: {source} holds no *.db")
                path = os.path.join(own, "chembl.db")
                with packed.extractfile(inside) as data, open(path, "wb") as out:
                    while block := data.read(1 << 24):
                        out.write(block)
        database = sqlite3.connect(f"file:{os.path.abspath(path)}?mode=ro", uri=True)
        there = [name for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")]
        for name in names:
            if name.lower() not in [known.lower() for known in there]:
                sys.exit(f"export.py: {source} has no table {name}; it has {', '.join(there)}")
        wanted = {name.lower() for name in names}
        for table in there:
            if not wanted or table.lower() in wanted:
                print(f"{source}: {table} -> lab.chembl.{table.lower()}, {export(database, landing, table)} rows", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
