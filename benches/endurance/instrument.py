"""An instrument: files land, are replaced, renamed, removed and put back, and now and then one is broken."""

import base64
import http.client
import io
import os
import pathlib
import threading
import time
import zipfile
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import rows

# Tables by what their files are; the last one lies where only the administrator and the data scientist may look.
TABLES = {
    "lab.chemistry.counts": "csv",
    "lab.chemistry.spectra": "parquet",
    "lab.chemistry.assays": "xlsx",
    "lab.preclinical.cages": "csv",
}
# Reached within the first minutes of an hour: what grows afterwards is not for want of rest.
FILES_MAX = 40
ROWS = (8, 90)
# What happens how often.
ACTIONS = {"new": 8, "replace": 10, "rename": 4, "remove": 2, "put_back": 3, "break": 1, "mend": 1}
BROKEN_MAX = 12


def csv(columns):
    names = list(columns)
    texts = [np.asarray(columns[name]).astype(str) for name in names]
    lines = [",".join(names), *(",".join(cells) for cells in zip(*texts))]
    return ("\n".join(lines) + "\n").encode()


def parquet(columns):
    out = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), out)
    return out.getvalue()


def xlsx(columns):
    """The smallest workbook that is one."""
    names = list(columns)
    lists = [np.asarray(columns[name]).tolist() if name != "run_at" else np.asarray(columns[name]).astype(str).tolist() for name in names]

    def cell(value):
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        return f"<c><v>{value}</v></c>"

    lines = [f"<row>{''.join(map(cell, line))}</row>" for line in [names, *zip(*lists)]]
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006"
    package = "http://schemas.openxmlformats.org/package/2006"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}/relationships"><sheets><sheet name="Results" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + text)
    return out.getvalue()


WRITERS = {"csv": csv, "parquet": parquet, "xlsx": xlsx}


def broken(kind, content):
    """What no reader can take for a table of that kind."""
    if kind != "csv":
        return content[: len(content) // 2]
    lines = content.decode().splitlines()
    # Words where the table has numbers, in all rows: the file is a mistake.
    words = [",".join(["mislabelled" if at in (0, 6, 7, 8) else cell for at, cell in enumerate(line.split(","))]) for line in lines[1:]]
    return "\n".join([lines[0], *words, ""]).encode()


class Folder:
    """The landing zone of a lake on disk."""

    renames = True

    def __init__(self, landing):
        self.landing = pathlib.Path(landing)
        self.staging = self.landing.parent / "instrument"
        self.staging.mkdir(exist_ok=True)

    def put(self, path, content):
        whole = self.staging / "file"
        whole.write_bytes(content)
        target = self.landing / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(whole, target)

    def put_slowly(self, path, content):
        target = self.landing / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for at in range(0, len(content), 1 + len(content) // 4):
                file.write(content[at : at + 1 + len(content) // 4])
                file.flush()
                time.sleep(0.05)

    def rename(self, old, new):
        os.replace(self.landing / old, self.landing / new)

    def remove(self, path):
        (self.landing / path).unlink()


class Instrument(threading.Thread):
    def __init__(self, place, ledger, told, server, chance, pause_s):
        super().__init__(daemon=True)
        self.place, self.ledger, self.told, self.server, self.chance, self.pause_s = place, ledger, told, server, chance, pause_s
        self.end, self.rests = threading.Event(), threading.Lock()
        # What is in each file now, for putting back what was removed.
        self.contents = {}

    def run(self):
        try:
            while not self.end.wait(self.chance.uniform(0.2, 1.8) * self.pause_s):
                with self.rests:
                    if not self.end.is_set():
                        self.act()
        except Exception as error:  # noqa: BLE001: whatever it is, the run is worth nothing without the instrument
            self.told.violation("script", f"the instrument broke: {error!r}")
            raise

    def first(self):
        """A file for each table, so that all are there before people come."""
        for table in TABLES:
            for _ in range(FILES_MAX // 4):
                self.new(table)

    def act(self):
        table = self.chance.choice(list(TABLES))
        files = self.ledger.of_table[table]
        there = [file for file in files if not file.removed and not file.broken and file.moved_from is None]
        removed = [file for file in files if file.removed]
        marred = [file for file in files if file.broken]
        action = self.chance.choices(list(ACTIONS), ACTIONS.values())[0]
        if action == "new" and len(files) < FILES_MAX:
            self.new(table)
        elif action == "break" and len(marred) < BROKEN_MAX:
            self.new(table, is_broken=True)
        elif action == "mend" and marred:
            self.write(self.chance.choice(marred), table)
        elif action == "put_back" and removed:
            file = self.chance.choice(removed)
            self.place.put(file.path, self.contents[file.number])
            file.removed = False
        elif action == "rename" and there:
            self.rename(self.chance.choice(there))
        elif action == "remove" and there and len(removed) < FILES_MAX // 8:
            file = self.chance.choice(there)
            # Rows of a file that vanishes before it was ever read are nowhere: it is not asked for here.
            if file.versions[-1].confirmed is not None:
                self.place.remove(file.path)
                file.removed = True
        elif there:
            action = "replace"
            self.write(self.chance.choice(there), table)
        else:
            return
        self.told.landed(action)

    def new(self, table, is_broken=False):
        folder = table.removeprefix("lab.").replace(".", "/")
        name = f"{'odd' if is_broken else 'run'}_{self.chance.randrange(10**9):09d}.{TABLES[table]}"
        self.write(self.ledger.new_file(table, f"{folder}/{name}"), table, is_broken)

    def write(self, file, table, is_broken=False):
        count = self.chance.randint(*ROWS)
        slowly = self.place.renames and not is_broken and TABLES[table] == "csv" and self.chance.random() < 0.2
        through_door = not slowly and self.chance.random() < 0.15 and "chemistry" in table
        ids = self.ledger.begin(file, count, grows=slowly, broken=is_broken)
        content = WRITERS[TABLES[table]](rows.columns(ids))
        if is_broken:
            content = broken(TABLES[table], content)
        self.contents[file.number] = content
        if slowly:
            self.place.put_slowly(file.path, content)
        elif not through_door or not self.upload(file.path, content):
            self.place.put(file.path, content)

    def upload(self, path, content):
        """Through the server's door, as the scientist; false when it does not answer."""
        begun = time.monotonic()
        login = base64.b64encode(b"sam:sam-demo").decode()
        try:
            door = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
            door.request("PUT", f"/api/landing/{path}", content, {"Authorization": f"Basic {login}"})
            answer = door.getresponse()
            text = answer.read().decode(errors="replace")
            door.close()
        except (OSError, http.client.HTTPException) as error:
            self.told.error("upload", f"{type(error).__name__}: {error}", begun)
            return False
        if answer.status >= 300:
            self.told.error("upload", f"{answer.status} {text}", begun)
            return False
        self.told.took("upload", begun)
        return True

    def rename(self, file):
        if file.versions[-1].confirmed is None:
            return
        stem, ending = file.path.rsplit(".", 1)
        new = f"{stem.split('-', 1)[0]}-{self.chance.randrange(10**6):06d}.{ending}"
        old = file.path
        with self.ledger.lock:
            file.moved_from, file.path, file.may_be_twice = old, new, not self.place.renames
        self.place.rename(old, new)
