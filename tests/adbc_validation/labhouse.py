"""What the validation suite of the ADBC drivers (github.com/adbc-drivers/validation) must know of labhouse.

The suite's statements are rewritten where labhouse's SQL or Delta's types have another word for the same, so that its
checks still check something; what is left out says why.
"""

import json
import pathlib
import re
import tempfile

import adbc_drivers_validation
from adbc_drivers_validation import model

# Checks that cannot pass, and why.
EXPECTED = {
    "TestConnection::test_get_info[": "the driver's wheel does not know its own version",
    "TestConnection::test_set_current_schema": "who may make a table in a schema may choose it, and ada may make any",
    "TestIngest::test_createappend_schema_mismatch": "a column that a table has not is NOT_FOUND here, not ALREADY_EXISTS",
    "TestIngest::test_ingest_then_query": "the driver takes what was bound to the bulk load for bound to the query, too",
    "TestStatement::test_parameter_execute": "the driver forgets what was bound before it prepares",
}
SKIPPED = {
    "time": "Delta has no time of day",
    "decimal_scale_negative": "Delta has no decimals of negative scale",
    "timestamp8": "Delta keeps microseconds",
    "timestamp9": "Delta keeps microseconds",
    "timestamp7": "Delta keeps microseconds",
}
UNITS = {"tss:": 1_000_000, "tsm:": 1_000, "tsn:": 0.001}
WORDS = (
    (r"from_hex\(('[^']*')\)", r"decode(\1, 'hex')"),
    # A typed literal has nanoseconds; a text takes the column's own.
    (r"TIMESTAMP(?: WITH TIME ZONE)? ('[^']*')", r"\1"),
)
LITERALS = (
    (r"from_hex\(('[^']*')\)", r"decode(\1, 'hex')"),
    (r"TIMESTAMP WITH TIME ZONE ('[^']*')", r"arrow_cast(\1, 'Timestamp(Microsecond, Some(\"UTC\"))')"),
    (r"TIMESTAMP ('[^']*')", r"arrow_cast(\1, 'Timestamp(Microsecond, None)')"),
    (r"TIME ('[^']*')", r"arrow_cast(\1, 'Time64(Microsecond)')"),
)


class Labhouse(model.DriverQuirks):
    name = "labhouse"
    driver = "adbc_driver_flightsql"
    driver_name = "ADBC Flight SQL Driver - Go"
    vendor_name = "labhouse"
    vendor_version = re.compile(r"\d+\.\d+\.\d+")
    short_version = "1"
    features = model.DriverFeatures(
        connection_get_table_schema=True,
        connection_set_current_schema=True,
        connection_transactions=True,
        get_objects=True,
        statement_bind=True,
        statement_bulk_ingest=True,
        statement_bulk_ingest_schema=True,
        statement_execute_schema=True,
        statement_get_parameter_schema=True,
        statement_prepare=True,
        statement_rows_affected=True,
        statement_rows_affected_ddl=True,
        current_catalog="lab",
        current_schema="chemistry",
        secondary_schema="assay",
        # The driver is not one of the suite's own.
        quirk_foundry=False,
    )
    setup = model.DriverSetup(
        database={
            "uri": model.FromEnv("LABHOUSE_FLIGHT"),
            "username": "ada",
            "password": "ada-demo",
            "adbc.flight.sql.rpc.call_header.labhouse-transactions": "on",
        },
    )

    def __init__(self):
        self.rewritten = tempfile.TemporaryDirectory()
        base = pathlib.Path(adbc_drivers_validation.__file__).parent / "queries"
        for case in base.rglob("*.txtcase"):
            text = rewritten(case.stem, case.parent.name, case.read_text())
            to = pathlib.Path(self.rewritten.name) / case.relative_to(base)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(text)

    @property
    def queries_paths(self):
        return (pathlib.Path(self.rewritten.name),)

    def is_table_not_found(self, table_name, error):
        return "not found" in str(error) and (table_name is None or table_name in str(error))

    def split_statement(self, statement):
        return [part for part in re.split(r";\s*(?:\n|$)", statement) if part.strip()]


def rewritten(stem, kind, text):
    """A case in labhouse's words."""
    parts = re.split(r"^// part: (\w+)\n", text, flags=re.MULTILINE)
    cases = dict(zip(parts[1::2], parts[2::2]))
    skip = next((why for begin, why in SKIPPED.items() if re.fullmatch(rf"{begin}(_.*|tz)?", stem)), None)
    if skip and kind != "literal":
        cases["metadata"] = f"skip = {json.dumps(skip)}\n" + cases.get("metadata", "")
    for name in cases:
        if name.endswith("query") or name == "query":
            for word, other in LITERALS if kind == "literal" else WORDS:
                cases[name] = re.sub(word, other, cases[name])
    if kind == "ingest" and "input_schema" in cases:
        # What comes back is what went in, unless the case says otherwise.
        cases.setdefault("expected_schema", cases["input_schema"])
        cases.setdefault("expected", cases["input"])
    unit = re.search("ts[smn]:", cases.get("expected_schema", ""))
    if kind != "literal":
        # Delta keeps microseconds, and an instant in UTC.
        schema = re.sub("ts[smn]:", "tsu:", cases.get("expected_schema", ""))
        cases["expected_schema"] = re.sub('"tsu:[^"]+"', '"tsu:UTC"', schema)
    if unit and kind != "literal":
        factor = UNITS[unit[0]]
        cases["expected"] = "\n".join(scaled(line, factor) for line in cases["expected"].splitlines())
    return "".join(f"// part: {name}\n{part}\n" for name, part in cases.items() if part)


def scaled(line, factor):
    if not line.startswith("{"):
        return line
    row = json.loads(line)
    for name, value in row.items():
        if name != "idx" and isinstance(value, int):
            row[name] = value * factor if factor >= 1 else int(value / abs(value or 1)) * (abs(value) // 1000)
    return json.dumps(row)


QUIRKS = [Labhouse()]
