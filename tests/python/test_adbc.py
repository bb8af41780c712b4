"""The ADBC driver, as analysts use it from Python, R and Go."""

import base64
import contextlib
import datetime
import decimal
import json
import pathlib
import threading
import time
import warnings

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa
import pytest

from conftest import password

READINGS = "lab.chemistry.plate_readings"
ROWS = 96 * 384


# ---- logging in


def test_right_password_is_let_in(value):
    assert value("ada", "SELECT 1") == 1


@pytest.mark.parametrize("user, secret", [("ada", "ada-dem"), ("ada", ""), ("nobody", "nobody-demo"), ("", "")])
def test_wrong_login_is_refused_the_same_way(uri, user, secret):
    def refusal(user, secret):
        with pytest.raises(flightsql.Error) as caught:
            with flightsql.connect(uri, db_kwargs={"username": user, "password": secret}, autocommit=True) as connection:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    cursor.fetchall()
        return str(caught.value)

    text = refusal(user, secret)
    assert "nauthenticated" in text or "nauthorized" in text, text
    assert "demo" not in text, "a refusal repeats no secret"
    if user and secret:
        # A wrong password and an unknown user cannot be told apart.
        assert refusal("nobody", "x") == refusal("ada", "x")


def test_no_login_at_all_is_refused(uri):
    with pytest.raises(flightsql.Error):
        with flightsql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()


# ---- types and values


def test_plain_types_arrive_as_every_client_can_read_them(query):
    table = query(
        "ada",
        """SELECT CAST(1 AS SMALLINT) AS small, CAST(2 AS INT) AS plain, CAST(3 AS BIGINT) AS big,
                  CAST(1.5 AS REAL) AS real, CAST(2.5 AS DOUBLE) AS double, true AS yes, 'Zürich µl 𝛼' AS words,
                  CAST('12345678901234567.89' AS DECIMAL(19, 2)) AS price, DATE '1969-07-20' AS day,
                  TIMESTAMP '2026-03-02T09:30:00.123456' AS moment, CAST(NULL AS INT) AS nothing""",
    )
    (row,) = table.to_pylist()
    assert row == {
        "small": 1,
        "plain": 2,
        "big": 3,
        "real": 1.5,
        "double": 2.5,
        "yes": True,
        "words": "Zürich µl 𝛼",
        "price": decimal.Decimal("12345678901234567.89"),
        "day": datetime.date(1969, 7, 20),
        "moment": datetime.datetime(2026, 3, 2, 9, 30, 0, 123456),
        "nothing": None,
    }
    assert table.schema.field("words").type == pa.string(), "no views on the wire"
    assert table.schema.field("price").type == pa.decimal128(19, 2)
    assert pa.types.is_timestamp(table.schema.field("moment").type)


def test_lists_and_structs_arrive(query):
    table = query("ada", "SELECT make_array(1, 2, NULL) AS l, named_struct('a', 'x', 'b', make_array('y', 'z')) AS s")
    assert table.to_pylist() == [{"l": [1, 2, None], "s": {"a": "x", "b": ["y", "z"]}}]
    assert table.schema.field("s").type.field("a").type == pa.string()
    assert table.schema.field("s").type.field("b").type.value_type == pa.string()


def test_nested_columns_of_landed_json_arrive(query):
    table = query("ada", "SELECT instrument, reagents FROM lab.chemistry.protocols ORDER BY plate_id LIMIT 1")
    (row,) = table.to_pylist()
    assert set(row["instrument"]) == {"name", "serial"}
    assert {reagent["role"] for reagent in row["reagents"]} == {"catalyst", "base", "solvent"}


def test_columns_of_landed_files_have_the_types_of_their_contents(query):
    schema = query("ada", f"SELECT * FROM {READINGS} LIMIT 0").schema
    types = {name: str(schema.field(name).type) for name in ["plate_id", "well", "row", "column", "run_at", "yield_pct"]}
    assert types == {
        "plate_id": "string",
        "well": "string",
        "row": "string",
        "column": "int64",
        "run_at": "timestamp[us]",
        "yield_pct": "double",
    }


def test_a_result_without_rows_has_its_schema(query):
    full = query("ada", f"SELECT * FROM {READINGS} LIMIT 1")
    empty = query("ada", f"SELECT * FROM {READINGS} WHERE plate_id = 'no such plate'")
    assert empty.num_rows == 0
    assert empty.schema.equals(full.schema)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT upper(plate_id) AS u, concat(well, '-') AS c FROM lab.chemistry.plate_readings LIMIT 3",
        "SELECT plate_id AS x FROM lab.chemistry.plate_readings UNION ALL SELECT CAST(1 AS VARCHAR) LIMIT 3",
        "SELECT 1 AS n UNION ALL SELECT 2.5 UNION ALL SELECT NULL",
        "SELECT count(*), sum(yield_pct), max(run_at) FROM lab.chemistry.plate_readings",
        "SELECT CASE WHEN row = 'A' THEN 'rim' END AS place FROM lab.chemistry.plate_readings LIMIT 3",
        "SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') AS coded",
        "SELECT * FROM lab.chemistry.protocols LIMIT 1",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
    ],
)
def test_the_announced_schema_is_the_one_that_comes(connect, sql):
    with connect("ada").cursor() as cursor:
        announced = cursor.adbc_execute_schema(sql)
    with connect("ada").cursor() as cursor:
        cursor.execute(sql)
        came = cursor.fetch_arrow_table().schema
    with connect("ada").cursor() as cursor:
        prepared = cursor.adbc_prepare(sql)
        cursor.execute(sql)
        assert cursor.fetch_arrow_table().schema.equals(came), "prepared and plain agree"
    assert announced.equals(came), f"{announced}\n---\n{came}"
    assert prepared is None or len(prepared) == 0, "no parameters"


def test_a_large_result_arrives_whole(query, value):
    table = query("ada", f"SELECT plate_id, well, yield_pct FROM {READINGS}")
    assert table.num_rows == ROWS
    assert len(set(zip(table["plate_id"].to_pylist(), table["well"].to_pylist()))) == ROWS
    total = sum(cell for cell in table["yield_pct"].to_pylist() if cell is not None)
    assert total == pytest.approx(value("ada", f"SELECT sum(yield_pct) FROM {READINGS}"))


def test_a_million_rows_arrive_in_a_stream(connect):
    sql = f"SELECT a.plate_id, a.well, b.well AS other FROM {READINGS} a JOIN {READINGS} b ON a.plate_id = b.plate_id"
    rows = 0
    with connect("ada").cursor() as cursor:
        cursor.execute(f"{sql} WHERE a.row < 'D'")
        for batch in cursor.fetch_record_batch():
            rows += batch.num_rows
    assert rows == 96 * (3 * 24) * 384


# ---- parameters


@pytest.mark.parametrize("mark", ["?", "$1"])
def test_a_parameter_of_each_kind(query, mark):
    sql = f"SELECT count(*) AS n FROM {READINGS} WHERE plate_id = {mark}"
    assert query("ada", sql, ("P0007",)).to_pylist() == [{"n": 384}]
    assert query("ada", sql, ("P' OR '1'='1",)).to_pylist() == [{"n": 0}], "a value is never read as SQL"


def test_two_parameters_keep_their_places(value):
    sql = f"SELECT count(*) FROM {READINGS} WHERE plate_id = ? AND row = ?"
    assert value("ada", sql, ("P0007", "C")) == 24
    assert value("ada", sql, ("C", "P0007")) == 0
    sql = f"SELECT count(*) FROM {READINGS} WHERE row = $2 AND plate_id = $1"
    assert value("ada", sql, ("P0007", "C")) == 24


def test_numbers_dates_and_nulls_as_parameters(value):
    assert value("ada", f"SELECT count(*) FROM {READINGS} WHERE \"column\" <= ?", (2,)) == 96 * 16 * 2
    start = datetime.datetime(2026, 6, 30)
    assert value("ada", f"SELECT count(DISTINCT plate_id) FROM {READINGS} WHERE run_at >= ?", (start,)) >= 1
    assert value("ada", f"SELECT count(*) FROM {READINGS} WHERE plate_id = ?", (None,)) == 0


def test_a_prepared_statement_is_bound_again_and_again(connect):
    with connect("ada").cursor() as cursor:
        counts = []
        sql = f"SELECT count(*) FROM {READINGS} WHERE plate_id = ? AND \"column\" = ?"
        cursor.adbc_prepare(sql)
        for column in (1, 24, 25):
            cursor.execute(sql, ("P0001", column))
            counts.append(cursor.fetchone()[0])
    assert counts == [16, 16, 0]


def test_a_missing_parameter_is_an_error_that_says_so(error_of):
    text = error_of("ada", f"SELECT count(*) FROM {READINGS} WHERE plate_id = ?")
    assert "arameter" in text or "laceholder" in text, text


# ---- metadata


def test_get_objects_at_every_depth(connect):
    connection = connect("ada")
    for depth in ["catalogs", "db_schemas", "tables", "columns", "all"]:
        catalogs = connection.adbc_get_objects(depth=depth).read_all().to_pylist()
        lab = next(catalog for catalog in catalogs if catalog["catalog_name"] == "lab")
        if depth == "catalogs":
            continue
        schemas = {schema["db_schema_name"]: schema for schema in lab["catalog_db_schemas"]}
        assert {"chemistry", "chembl", "preclinical", "adme", "assay"} <= set(schemas)
        if depth == "db_schemas":
            continue
        tables = {table["table_name"]: table for table in schemas["chemistry"]["db_schema_tables"]}
        assert {"plate_readings", "protocols", "reactions", "virtual_library"} <= set(tables)
        if depth == "tables":
            continue
        columns = [column["column_name"] for column in tables["plate_readings"]["table_columns"]]
        assert {"plate_id", "well", "yield_pct"} <= set(columns)


def test_get_objects_takes_its_filters(connect):
    connection = connect("ada")
    catalogs = connection.adbc_get_objects(
        catalog_filter="lab", db_schema_filter="chem%", table_name_filter="plate%", column_name_filter="yield%"
    )
    (lab,) = catalogs.read_all().to_pylist()
    found = {
        (schema["db_schema_name"], table["table_name"])
        for schema in lab["catalog_db_schemas"]
        for table in schema["db_schema_tables"] or []
    }
    assert ("chemistry", "plate_readings") in found
    assert all(schema.startswith("chem") and table.startswith("plate") for schema, table in found), found
    assert connection.adbc_get_objects(catalog_filter="nowhere").read_all().num_rows == 0


def test_table_types_table_schema_and_info(connect, query):
    connection = connect("ada")
    assert {"BASE TABLE", "TABLE", "VIEW"} & set(connection.adbc_get_table_types())
    schema = connection.adbc_get_table_schema("plate_readings", catalog_filter="lab", db_schema_filter="chemistry")
    assert schema.equals(query("ada", f"SELECT * FROM {READINGS} LIMIT 0").schema)
    with pytest.raises(flightsql.Error):
        connection.adbc_get_table_schema("no_such_table", catalog_filter="lab", db_schema_filter="chemistry")
    info = connection.adbc_get_info()
    assert info["vendor_name"] and info["vendor_version"], info


# ---- errors, and going on after them


@pytest.mark.parametrize(
    "sql, word",
    [
        ("SELEC 1", "SELEC"),
        ("SELECT * FROM lab.chemistry.no_such_table", "no_such_table"),
        ("SELECT no_such_column FROM lab.chemistry.plate_readings", "no_such_column"),
        ("SELECT no_such_function(1)", "no_such_function"),
        ("SELECT 1; SELECT 2", ""),
        ("SELECT CAST('x' AS INT)", "x"),
        ("COPY (SELECT 1) TO '/tmp/stolen.csv'", "COPY"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "EXTERNAL"),
        ("SET datafusion.execution.batch_size = 1", "SET"),
    ],
)
def test_a_statement_that_cannot_run_says_why_and_the_connection_goes_on(error_of, value, sql, word):
    text = error_of("ada", sql)
    assert word in text, text
    assert "panicked" not in text and "/src/" not in text, text
    assert value("ada", "SELECT 1") == 1


def test_cancelling_ends_a_running_statement(uri):
    # Its own connection: cancelling must not disturb the shared one. 36,864³ rows would run for days.
    endless = f"SELECT sum(a.yield_pct * b.yield_pct * c.yield_pct) FROM {READINGS} a, {READINGS} b, {READINGS} c"
    credentials = {"username": "ada", "password": password("ada")}
    with flightsql.connect(uri, db_kwargs=credentials, autocommit=True) as connection:
        cursor = connection.cursor()
        ended = threading.Event()
        outcome = []

        def run():
            try:
                cursor.execute(endless)
                outcome.append(cursor.fetch_arrow_table())
            except Exception as error:
                outcome.append(error)
            ended.set()

        runner = threading.Thread(target=run, daemon=True)
        runner.start()
        deadline = time.monotonic() + 60
        while not ended.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(flightsql.Error):
                cursor.adbc_cancel()  # again and again: the first may come before the statement has begun
            ended.wait(0.2)
        assert ended.is_set(), "the statement did not end"
        assert isinstance(outcome[0], Exception), outcome
        with connection.cursor() as after:
            after.execute("SELECT 1")
            assert after.fetchall() == [(1,)]


# ---- writing


def test_a_table_is_made_filled_and_read_back(connect, value):
    with connect("ada").cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE lab.scratch.adbc_made AS SELECT 1 AS n, 'one' AS word")
        cursor.fetchall()
        cursor.execute("INSERT INTO lab.scratch.adbc_made VALUES (2, 'two')")
        cursor.fetchall()
    assert value("ada", "SELECT count(*) FROM lab.scratch.adbc_made") == 2
    assert value("ada", "SELECT word FROM lab.scratch.adbc_made WHERE n = 2") == "two"


@pytest.mark.parametrize("user", ["guest", "ana"])
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE lab.scratch.stolen AS SELECT 1 AS n",
        "INSERT INTO lab.chemistry.plate_readings SELECT * FROM lab.chemistry.plate_readings",
    ],
)
def test_who_may_not_write_is_refused(error_of, value, user, sql):
    before = value("ada", f"SELECT count(*) FROM {READINGS}")
    assert error_of(user, sql)
    assert value("ada", f"SELECT count(*) FROM {READINGS}") == before


def test_ingest_is_allowed_or_refused_as_the_policy_says(connect, value):
    data = pa.table({"n": [1, 2, 3], "word": ["a", None, "c"]})

    def ingest(user, rows, mode, table="ingested", schema="scratch"):
        with connect(user).cursor() as cursor:
            return cursor.adbc_ingest(table, rows, mode=mode, catalog_name="lab", db_schema_name=schema)

    for user in ["guest", "ana", "dee"]:
        with pytest.raises(flightsql.Error):
            ingest(user, data, "create")
    assert ingest("ada", data, "replace") == 3
    count = "SELECT count(*) FROM lab.scratch.ingested"
    assert value("ada", count) == 3
    assert value("ada", f"{count} WHERE word IS NULL") == 1
    with pytest.raises(flightsql.Error, match="there already"):
        ingest("ada", data, "create")
    # Columns are found by name; one that is not brought is NULL, one that is not there is refused.
    assert ingest("ada", pa.table({"word": ["d"]}), "append") == 1
    assert value("ada", f"{count} WHERE n IS NULL AND word = 'd'") == 1
    with pytest.raises(flightsql.Error, match="no column nonsense"):
        ingest("ada", pa.table({"nonsense": [1]}), "append")
    with pytest.raises(flightsql.Error, match="n"):
        ingest("ada", pa.table({"n": ["no number"]}), "append")
    with pytest.raises(flightsql.Error, match="not found"):
        ingest("ada", data, "append", table="absent")
    with pytest.raises(flightsql.Error, match="not found|may not"):
        ingest("guest", data, "append")
    assert value("ada", count) == 4
    assert ingest("ada", data.slice(0, 1), "replace") == 1
    assert value("ada", count) == 1
    for table, schema in [("Bad Name", "scratch"), ("queries", "system"), ("../x", "scratch")]:
        with pytest.raises(flightsql.Error):
            ingest("ada", data, "create", table=table, schema=schema)
    with connect("ada").cursor() as cursor:
        assert cursor.executescript("DROP TABLE lab.scratch.ingested") is None


def test_a_connection_has_a_schema_when_it_chooses_one(uri):
    credentials = {"username": "ada", "password": password("ada")}
    with flightsql.connect(uri, db_kwargs=credentials, autocommit=True) as connection:
        assert connection.adbc_current_catalog == "lab"
        assert connection.adbc_current_db_schema == ""
        with connection.cursor() as cursor, pytest.raises(flightsql.Error, match="not found"):
            cursor.execute("SELECT count(*) FROM plate_readings")
        connection.adbc_current_db_schema = "chemistry"
        assert connection.adbc_current_db_schema == "chemistry"
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM plate_readings WHERE plate_id = ?", ("P0007",))
            assert cursor.fetchone() == (384,)
        with pytest.raises(flightsql.Error):
            connection.adbc_current_db_schema = "no_such_schema!"
        with pytest.raises(flightsql.Error):
            connection.adbc_current_catalog = "nowhere"
        connection.adbc_current_db_schema = "scratch"
        with connection.cursor() as cursor:
            assert cursor.adbc_ingest("of_session", pa.table({"n": [1, 2]}), mode="replace") == 2
            cursor.execute("SELECT sum(n) FROM of_session")
            assert cursor.fetchone() == (3,)


@pytest.mark.parametrize("value", [7, 2.5, "text", True, None, datetime.date(2026, 3, 2), b"bytes", decimal.Decimal("1.50")])
def test_a_bound_value_comes_back(query, value):
    (row,) = query("ada", "SELECT ? AS x", (value,)).to_pylist()
    assert row == {"x": value}


def test_one_large_batch_is_ingested_whole(uri, value):
    rows = 3_000_000
    data = pa.table({"n": pa.array(range(rows), pa.int64()), "x": pa.array([0.5]).take(pa.array([0] * rows, pa.int32()))})
    # The driver's own limit is 16 MiB.
    larger = {adbc_driver_flightsql.DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(100 << 20)}
    login = {"username": "ada", "password": password("ada")} | larger
    with flightsql.connect(uri, db_kwargs=login, autocommit=True) as connection, connection.cursor() as cursor:
        batch = data.combine_chunks().to_batches()[0]
        assert batch.num_rows == rows and batch.nbytes > 40 << 20
        assert cursor.adbc_ingest("large", batch, mode="replace", db_schema_name="scratch") == rows
    assert value("ada", "SELECT sum(n) FROM lab.scratch.large") == rows * (rows - 1) // 2


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, None]),
        pa.array([1, None], pa.int8()),
        pa.array([1, None], pa.int16()),
        pa.array([1, None], pa.int32()),
        pa.array([1, None], pa.uint8()),
        pa.array([1, None], pa.uint32()),
        pa.array([1.5, None], pa.float32()),
        pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)),
        pa.array(["x", None], pa.large_string()),
        pa.array(["x", None], pa.string_view()),
        pa.array([b"x", None], pa.binary()),
        pa.array([b"x", None], pa.large_binary()),
        pa.array([b"x", None], pa.binary_view()),
        pa.array([b"xy", None], pa.binary(2)),
        pa.array([datetime.date(2026, 1, 2), None]),
        pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("s")),
        pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("ms")),
        pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("ns")),
        pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), None], pa.timestamp("us", "UTC")),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([[1, 2], None]),
        pa.array([{"a": 1}, None]),
    ],
    ids=lambda array: str(array.type).replace(" ", ""),
)
def test_every_type_that_a_table_can_hold_is_ingested_and_bound(connect, query, array):
    def same(left, right):
        return [x if not isinstance(x, float) else pytest.approx(x) for x in left] == right

    wanted = array.to_pylist()
    with connect("ada").cursor() as cursor:
        cursor.adbc_ingest("typed", pa.table({"n": [0, 1], "x": array}), mode="replace", db_schema_name="scratch")
        assert same(wanted, query("ada", "SELECT x FROM lab.scratch.typed ORDER BY n")["x"].to_pylist())
        # The same values bound, with the types that the client has.
        cursor.execute("DELETE FROM lab.scratch.typed")
        cursor.fetchall()
        cursor.executemany("INSERT INTO lab.scratch.typed VALUES (?, ?)", pa.table({"0": [0, 1], "1": array}))
    assert same(wanted, query("ada", "SELECT x FROM lab.scratch.typed ORDER BY n")["x"].to_pylist())


@pytest.mark.parametrize("array", [pa.array([datetime.time(1, 2)]), pa.array([1], pa.duration("s"))], ids=["time", "duration"])
def test_a_type_that_no_table_holds_is_refused_by_name(connect, array):
    with connect("ada").cursor() as cursor, pytest.raises(flightsql.Error, match="(?i)time|duration"):
        cursor.adbc_ingest("untyped", pa.table({"x": array}), mode="create", db_schema_name="scratch")


def test_many_rows_bound_to_an_insert_are_one_commit(connect, value):
    version = "SELECT version FROM lab.system.commits WHERE table_schema = 'scratch' AND table_name = 'many'"
    with connect("ada").cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE lab.scratch.many (n BIGINT, word VARCHAR, at TIMESTAMP)")
        cursor.fetchall()
        before = value("ada", version)
        rows = [(n, None if n % 3 else f"w{n}", datetime.datetime(2026, 1, 1, 0, 0, n % 60)) for n in range(1000)]
        cursor.executemany("INSERT INTO lab.scratch.many VALUES (?, ?, ?)", rows)
        assert value("ada", version) == before + 1
        # Some rows by names, and one that fits not: none of them is there.
        cursor.executemany("INSERT INTO lab.scratch.many (word, n) VALUES (?, ?)", [("a", -1), ("b", -2)])
        with pytest.raises(flightsql.Error):
            cursor.executemany("INSERT INTO lab.scratch.many (n) VALUES (?)", [("1",), ("none",)])
    assert value("ada", "SELECT count(*) FROM lab.scratch.many") == 1002
    assert value("ada", "SELECT count(word) FROM lab.scratch.many") == 336
    assert value("ada", "SELECT sum(n) FROM lab.scratch.many WHERE at IS NULL") == -3


def test_a_writer_behind_a_filter_brings_only_rows_he_sees(connect, value):
    """ana has no insert grant on reactions: the same rows are refused as by INSERT."""
    rows = pa.table({"status": ["released"], "yield_pct": [1.0]})
    before = value("ada", "SELECT count(*) FROM lab.chemistry.reactions")
    for user in ["ana", "dee", "guest"]:
        with connect(user).cursor() as cursor, pytest.raises(flightsql.Error):
            cursor.adbc_ingest("reactions", rows, mode="append", catalog_name="lab", db_schema_name="chemistry")
    assert value("ada", "SELECT count(*) FROM lab.chemistry.reactions") == before


def test_transactions_for_who_asks(uri):
    credentials = {"username": "ada", "password": "ada-demo"}
    asks = credentials | {"adbc.flight.sql.rpc.call_header.labhouse-transactions": "on"}
    with flightsql.connect(uri, db_kwargs=credentials, autocommit=True) as other, warnings.catch_warnings():
        warnings.simplefilter("error")
        with other.cursor() as see, flightsql.connect(uri, db_kwargs=asks) as ada, ada.cursor() as cursor:
            table = "lab.chemistry.adbc_in_transaction"
            see.execute(f"CREATE TABLE {table} (n BIGINT)")

            def seen(by):
                by.execute(f"SELECT count(*) FROM {table}")
                return by.fetchone()[0]

            # The driver keeps this statement over the transactions of its connection.
            for round in range(3):
                cursor.executemany(f"INSERT INTO {table} VALUES (?)", [(1,), (2,)])
                ada.commit()
                assert seen(see) == 2 * (round + 1)
            cursor.execute(f"DELETE FROM {table}")
            cursor.execute(f"INSERT INTO {table} VALUES (7)")
            assert (seen(cursor), seen(see)) == (1, 6)
            ada.rollback()
            assert (seen(cursor), seen(see)) == (6, 6)
            cursor.execute(f"DELETE FROM {table} WHERE n = 1")
            see.execute(f"DELETE FROM {table} WHERE n = 2")
            # After a commit that fails the Go driver has no transaction any more: the connection is done with.
            with pytest.raises(flightsql.Error, match="somebody else"):
                ada.commit()
            assert seen(see) == 3
            see.execute(f"DROP TABLE {table}")
    # Without asking the driver says that there are none, and each statement commits by itself.
    with pytest.warns(Warning, match="autocommit"), flightsql.connect(uri, db_kwargs=credentials) as plain:
        with plain.cursor() as cursor:
            cursor.execute("CREATE TABLE lab.chemistry.adbc_without AS SELECT 1 AS n")
        plain.rollback()
        with plain.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM lab.chemistry.adbc_without")
            assert cursor.fetchone() == (1,)
            cursor.execute("DROP TABLE lab.chemistry.adbc_without")


# ---- Substrait


def test_a_substrait_plan_gives_what_its_query_gives(connect):
    """A plan of another engine, as `record_plans.py` keeps it, in place of SQL."""
    path = pathlib.Path(__file__).parent.parent / "suite" / "substrait_plans.jsonl"
    recorded = [json.loads(line) for line in path.read_text().splitlines()]
    grouped = next(plan for plan in recorded if plan["producer"] == "datafusion" and "GROUP BY status" in plan["sql"])
    for user in ["ada", "ana"]:
        with connect(user).cursor() as cursor:
            cursor.execute(grouped["sql"])
            wanted = cursor.fetchall()
            cursor.execute(base64.b64decode(grouped["plan"]))
            assert sorted(cursor.fetchall()) == sorted(wanted)
            with pytest.raises(flightsql.Error, match="ubstrait"):
                cursor.execute(b"\xff\xff\xff")
                cursor.fetchall()
