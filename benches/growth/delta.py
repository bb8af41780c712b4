"""Delta tables written as files, without an engine: a million of them would take hours to crawl.

A tiny Parquet file is the same bytes each time but for its values, which lie plain in it (no compression, dictionary,
statistics or schema of Arrow), so a file costs no more than its writing. The log is what a table that grew has: commits of
at most COMMIT_FILES files each, and a checkpoint of the last version.
"""

import io
import json
import uuid

import numpy
import pyarrow
import pyarrow.parquet as parquet

FILE_ROWS = 10
COMMIT_FILES = 10_000
TYPES = {"int64": "long", "double": "double", "string": "string", "timestamp[us, tz=UTC]": "timestamp"}
MADE_MS = 1_750_000_000_000


class Tiny:
    """Files of FILE_ROWS readings: `id` goes on from file to file, `yield_pct` follows from it."""

    columns = (("id", "long"), ("yield_pct", "double"))

    def __init__(self):
        ids = numpy.arange(FILE_ROWS, dtype="<i8") + 0x5A5A_0000_0000
        yields = numpy.arange(FILE_ROWS, dtype="<f8") + 12_345.678
        out = io.BytesIO()
        parquet.write_table(
            pyarrow.table({"id": ids, "yield_pct": yields}),
            out,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            store_schema=False,
        )
        self.bytes = bytearray(out.getvalue())
        self.places = [self.bytes.index(values.tobytes()) for values in (ids, yields)]

    def file(self, number):
        first = number * FILE_ROWS
        ids = numpy.arange(first, first + FILE_ROWS, dtype="<i8")
        for place, values in zip(self.places, (ids, yield_of(ids))):
            self.bytes[place : place + 8 * FILE_ROWS] = values.tobytes()
        return self.bytes

    @staticmethod
    def stats(number):
        """Of all columns, as writers give them."""
        first = number * FILE_ROWS
        yields = [yield_of(id) for id in range(first, first + FILE_ROWS)]
        least, most = f'{{"id":{first},"yield_pct":{min(yields)}}}', f'{{"id":{first + FILE_ROWS - 1},"yield_pct":{max(yields)}}}'
        return f'{{"numRecords":{FILE_ROWS},"minValues":{least},"maxValues":{most},"nullCount":{{"id":0,"yield_pct":0}}}}'


def yield_of(ids):
    """Of each reading, from 0.0 to 99.9; exact, so that answers can be compared."""
    return (ids * 7 % 1000) / 10.0


def write_tiny(folder, files, in_time):
    """A table of so many files of FILE_ROWS rows."""
    (folder / "_delta_log").mkdir(parents=True)
    tiny, adds, version = Tiny(), [], 0
    where = f"{folder}/part-"
    checkpoint = Checkpoint(folder, Tiny.columns)
    for number in range(files):
        with open(f"{where}{number:08}.parquet", "wb", buffering=0) as file:
            file.write(tiny.file(number))
        adds.append((f"part-{number:08}.parquet", len(tiny.bytes), Tiny.stats(number)))
        if len(adds) == COMMIT_FILES or number == files - 1:
            commit(folder, version, adds, Tiny.columns if version == 0 else None)
            checkpoint.add(adds)
            adds, version = [], version + 1
            in_time(f"files were written ({number + 1:,} of {files:,})")
    checkpoint.close(version - 1)


def write_small(folder, rows):
    """A table of one file with these rows."""
    (folder / "_delta_log").mkdir(parents=True)
    columns = [(field.name, TYPES[str(field.type)]) for field in rows.schema]
    parquet.write_table(rows, folder / "part-0.parquet", store_schema=False)
    size = (folder / "part-0.parquet").stat().st_size
    commit(folder, 0, [("part-0.parquet", size, json.dumps({"numRecords": rows.num_rows}))], columns)


def commit(folder, version, adds, columns):
    lines = []
    if columns is not None:
        lines.append(json.dumps({"protocol": PROTOCOL}))
        lines.append(json.dumps({"metaData": meta(columns)}))
    lines += (
        f'{{"add":{{"path":"{path}","partitionValues":{{}},"size":{size},"modificationTime":{MADE_MS},"dataChange":true,"stats":{json.dumps(stats)}}}}}'
        for path, size, stats in adds
    )
    (folder / "_delta_log" / f"{version:020}.json").write_text("\n".join(lines) + "\n")


PROTOCOL = {"minReaderVersion": 1, "minWriterVersion": 2}


def meta(columns):
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in columns]
    schema = json.dumps({"type": "struct", "fields": fields})
    format = {"provider": "parquet", "options": {}}
    return {"id": str(uuid.uuid4()), "format": format, "schemaString": schema, "partitionColumns": [], "configuration": {}, "createdTime": MADE_MS}


TEXTS = pyarrow.map_(pyarrow.string(), pyarrow.string())
CHECKPOINT = pyarrow.schema(
    {
        "protocol": pyarrow.struct({"minReaderVersion": pyarrow.int32(), "minWriterVersion": pyarrow.int32()}),
        "metaData": pyarrow.struct(
            {
                "id": pyarrow.string(),
                "format": pyarrow.struct({"provider": pyarrow.string(), "options": TEXTS}),
                "schemaString": pyarrow.string(),
                "partitionColumns": pyarrow.list_(pyarrow.string()),
                "configuration": TEXTS,
                "createdTime": pyarrow.int64(),
            }
        ),
        "add": pyarrow.struct(
            {
                "path": pyarrow.string(),
                "partitionValues": TEXTS,
                "size": pyarrow.int64(),
                "modificationTime": pyarrow.int64(),
                "dataChange": pyarrow.bool_(),
                "stats": pyarrow.string(),
            }
        ),
    }
)


class Checkpoint:
    """All that a table is at one version, in one Parquet file."""

    def __init__(self, folder, columns):
        self.log, self.written = folder / "_delta_log", 0
        self.path = self.log / "checkpoint.tmp"
        self.writer = parquet.ParquetWriter(self.path, CHECKPOINT)
        told = meta(columns)
        told["format"]["options"], told["configuration"] = [], []
        self.write([{"protocol": PROTOCOL}, {"metaData": told}])

    def add(self, adds):
        self.write(
            {"add": {"path": path, "partitionValues": [], "size": size, "modificationTime": MADE_MS, "dataChange": False, "stats": stats}}
            for path, size, stats in adds
        )

    def write(self, actions):
        rows = pyarrow.Table.from_pylist(list(actions), schema=CHECKPOINT)
        self.writer.write_table(rows)
        self.written += rows.num_rows

    def close(self, version):
        self.writer.close()
        self.path.rename(self.log / f"{version:020}.checkpoint.parquet")
        (self.log / "_last_checkpoint").write_text(json.dumps({"version": version, "size": self.written}))
