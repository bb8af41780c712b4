"""The PostgreSQL door with the clients people use: psycopg 3, asyncpg, SQLAlchemy on psycopg 3 and 2, psql.

What a person sees is compared with what the Flight door shows the same person: rows, and the texts of errors.
"""

import asyncio
import datetime
import decimal
import os
import subprocess
import urllib.parse

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg import errors

from conftest import password

PLACE = urllib.parse.urlparse(os.environ.get("LABHOUSE_POSTGRES", "postgresql://missing:1/lab"))
REACTIONS = "lab.chemistry.reactions"


@pytest.fixture()
def postgres():
    """postgres("sam") -> a psycopg connection that commits by itself."""
    opened = []

    def connect(user, **options):
        settings = {"autocommit": True, "password": password(user), "dbname": "lab", "connect_timeout": 30} | options
        opened.append(psycopg.connect(host=PLACE.hostname, port=PLACE.port, user=user, **settings))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture()
def rows(postgres):
    """rows("ana", sql) -> the rows that the PostgreSQL door shows."""
    return lambda user, sql, *values: postgres(user).execute(sql, *values).fetchall()


def psql(user, *arguments, fails=False):
    """What psql says to commands given with -c."""
    command = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", PLACE.hostname, "-p", str(PLACE.port), "-U", user, "lab"]
    for argument in arguments:
        command += ["-c", argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"PGPASSWORD": password(user)})
    assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stderr if fails else done.stdout


# ---- values ------------------------------------------------------------------------------------------------------------

VALUES = {
    "true": True,
    "CAST(7 AS SMALLINT)": 7,
    "CAST(-7 AS INT)": -7,
    "CAST(9007199254740993 AS BIGINT)": 9007199254740993,
    "CAST(0.25 AS REAL)": 0.25,
    "CAST(1e300 AS DOUBLE)": 1e300,
    "CAST('NaN' AS DOUBLE) = CAST('NaN' AS DOUBLE)": True,
    "CAST('-123.450' AS DECIMAL(10, 3))": decimal.Decimal("-123.450"),
    "CAST('0.00' AS DECIMAL(5, 2))": decimal.Decimal("0.00"),
    "CAST('12345678901234567890.12' AS DECIMAL(22, 2))": decimal.Decimal("12345678901234567890.12"),
    "'grün ''x'''": "grün 'x'",
    "''": "",
    "CAST(NULL AS VARCHAR)": None,
    "arrow_cast('\x01\x7f', 'Binary')": b"\x01\x7f",
    "DATE '2026-02-28'": datetime.date(2026, 2, 28),
    "DATE '1969-12-31'": datetime.date(1969, 12, 31),
    "TIMESTAMP '2026-02-28 12:34:56.789012'": datetime.datetime(2026, 2, 28, 12, 34, 56, 789012),
    "arrow_cast(TIMESTAMP '2026-02-28 12:34:56', 'Timestamp(Nanosecond, Some(\"+00:00\"))')": datetime.datetime(
        2026, 2, 28, 12, 34, 56, tzinfo=datetime.timezone.utc
    ),
    "TIME '12:34:56.5'": datetime.time(12, 34, 56, 500000),
    "INTERVAL '1 day 2 hours'": datetime.timedelta(days=1, hours=2),
    "TIMESTAMP '2026-01-02' - TIMESTAMP '2026-01-01'": datetime.timedelta(days=1),
    "make_array(1, NULL, 3)": [1, None, 3],
    "make_array('a,\"b\\', NULL, '')": ["a,\"b\\", None, ""],
    "make_array(CAST(1.5 AS DOUBLE))": [1.5],
    "named_struct('a', 1, 'b', 'x\"y')": {"a": 1, "b": 'x"y'},
    "make_array(named_struct('a', 1))": [{"a": 1}],
    "make_array(make_array(1, 2), make_array(3))": [[1, 2], [3]],
    "CAST(18446744073709551615 AS BIGINT UNSIGNED)": decimal.Decimal(18446744073709551615),
}


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_every_type_comes_as_pythons_own(postgres, binary):
    sam = postgres("sam")
    for sql, wanted in VALUES.items():
        with sam.cursor(binary=binary) as cursor:
            # A value bound makes it the protocol in steps, which alone has binary answers.
            (got, one) = cursor.execute(f"SELECT {sql} AS v, %s::int AS one", (1,)).fetchone()
        assert (got, type(got), one) == (wanted, type(wanted), 1), sql


BOUND = [
    ("%s::bigint + 1", 41, 42),
    ("%s::double / 2", 3.0, 1.5),
    ("%s || '!'", "grün", "grün!"),
    ("%s::boolean", True, True),
    ("CAST(%s AS DECIMAL(10, 2))", decimal.Decimal("1.20"), decimal.Decimal("1.20")),
    ("%s::date + INTERVAL '1 day'", datetime.date(2026, 2, 28), None),
    ("%s::timestamp", datetime.datetime(2026, 2, 28, 1, 2, 3), datetime.datetime(2026, 2, 28, 1, 2, 3)),
    ("%s::varchar", None, None),
    ("%s", "alone", "alone"),
    ("array_length(%s)", [1, 2, 3], None),
]


@pytest.mark.parametrize("form", ["%s", "%t", "%b"])
def test_values_are_bound_as_text_and_in_binary(postgres, form):
    sam = postgres("sam")
    for sql, value, wanted in BOUND:
        got = sam.execute(f"SELECT {sql.replace('%s', form)} AS v", (value,)).fetchone()[0]
        assert wanted is None or got == wanted, sql
    like = f"SELECT count(*) FROM {REACTIONS} WHERE yield_pct > {form} AND status = {form}"
    (count,) = sam.execute(like, (50.0, "released")).fetchone()
    assert count == sam.execute(f"SELECT count(*) FROM {REACTIONS} WHERE yield_pct > 50 AND status = 'released'").fetchone()[0]
    assert count > 0


def test_wrong_values_are_refused_and_the_connection_goes_on(postgres):
    sam = postgres("sam")
    for sql, values in [("SELECT CAST('x' AS INT)", None), ("SELECT 1 FROM nowhere.nothing", None), ("SELEKT 1", None)]:
        with pytest.raises(psycopg.Error):
            sam.execute(sql, values)
        assert sam.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(errors.UndefinedTable):
        sam.execute("SELECT 1 FROM nowhere.nothing")
    with pytest.raises(errors.UndefinedColumn):
        sam.execute(f"SELECT nothing FROM {REACTIONS}")
    with pytest.raises(errors.SyntaxError):
        sam.execute("SELEKT 1")


# ---- who sees what -----------------------------------------------------------------------------------------------------

QUESTIONS = [
    f"SELECT count(*) FROM {REACTIONS}",
    f"SELECT status, count(*) AS n, round(avg(yield_pct), 6) AS mean FROM {REACTIONS} GROUP BY 1 ORDER BY 1",
    f"SELECT * FROM {REACTIONS} ORDER BY plate_id, well LIMIT 50",
    "SELECT scaffold_smiles, count(*) AS n FROM chemistry.reactions GROUP BY 1 ORDER BY 1",
    "SELECT * FROM lab.chemistry.protocols ORDER BY plate_id LIMIT 5",
    "SELECT count(*) FROM lab.assay.ic50",
    "SELECT count(*) FROM lab.chemistry.plate_readings",
    "SELECT operator FROM lab.chemistry.protocols LIMIT 1",
    "SELECT count(*) FROM lab.nothing.there",
    "SELECT no_such_column FROM lab.chemistry.protocols",
    f"SELECT sum(1 / (yield_pct - yield_pct)) FROM {REACTIONS}",
    "SELECT count(*) > 0 FROM system.audit",
    "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 1, 2",
    "SELECT predict_yield('a')",
]


def plain(value):
    """A value as both doors may say it."""
    if isinstance(value, (dict, list, float, decimal.Decimal)):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


@pytest.mark.parametrize("user", ["ada", "sam", "ana", "dee", "guest"])
def test_each_sees_what_the_flight_door_shows_and_is_refused_in_the_same_words(postgres, query, user):
    door = postgres(user)
    compared = 0
    for sql in QUESTIONS:
        try:
            told = [tuple(map(plain, row.values())) for row in query(user, sql).to_pylist()]
        except Exception as flight:
            with pytest.raises(psycopg.Error) as here:
                door.execute(sql)
            assert here.value.diag.message_primary in str(flight), sql
            continue
        compared += 1
        assert [tuple(map(plain, row)) for row in door.execute(sql).fetchall()] == told, sql
    assert compared >= (2 if user == "guest" else 5) or user == "guest"


def test_hidden_and_absent_are_the_same(postgres):
    ana = postgres("ana")

    def refused(sql):
        with pytest.raises(psycopg.Error) as caught:
            ana.execute(sql)
        return caught.value.sqlstate, caught.value.diag.message_primary

    hidden = refused("SELECT * FROM lab.assay.ic50")
    absent = refused("SELECT * FROM lab.assay.ic51")
    assert hidden == (absent[0], absent[1].replace("ic51", "ic50"))
    assert refused("SELECT operator FROM lab.chemistry.protocols")[0] == refused("SELECT operatur FROM lab.chemistry.protocols")[0]
    for question in [
        "SELECT count(*) FROM pg_class WHERE relname = '{}'",
        "SELECT to_regclass('assay.{}')",
        "SELECT 'assay.{}'::regclass",
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname = '{}'",
        "SELECT has_table_privilege('assay.{}', 'SELECT')",
        "SELECT count(*) FROM pg_tables WHERE tablename = '{}'",
    ]:
        hidden, absent = (ana.execute(question.format(name)).fetchall() for name in ("ic50", "ic51"))
        assert hidden == absent, question
    assert postgres("ada").execute("SELECT count(*) FROM pg_class WHERE relname = 'ic50'").fetchone() == (1,)


def test_the_catalog_holds_what_the_person_sees_and_no_more(rows, query):
    for user in ["ada", "sam", "ana", "dee", "guest"]:
        shown = query(user, "SHOW TABLES").to_pylist()
        wanted = {(t["table_schema"], t["table_name"]) for t in shown if t["table_schema"] != "information_schema"}
        sql = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        assert set(rows(user, sql)) == wanted, user
    columns = "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'chemistry.protocols'::regclass ORDER BY a.attnum"
    ada, ana = ([name for (name,) in rows(user, columns)] for user in ("ada", "ana"))
    assert "operator" in ada and ana == [name for name in ada if name != "operator"]


# ---- the connection ----------------------------------------------------------------------------------------------------


def test_a_login_is_checked_and_refused_in_one_text(postgres):
    said = set()
    for user, secret in [("sam", "wrong"), ("nobody", "nobody-demo"), ("sam", "")]:
        with pytest.raises(psycopg.OperationalError) as caught:
            postgres(user, password=secret or " ")
        said.add(str(caught.value).split("FATAL:")[-1].strip())
    assert len(said) == 1 and "login refused" in said.pop()
    with pytest.raises(psycopg.OperationalError, match="only database"):
        postgres("sam", dbname="other")
    assert postgres("sam", dbname="sam").execute("SELECT current_database(), current_user").fetchone() == ("lab", "sam")


def test_transactions_hold_reads_and_the_changes_of_one_table(postgres):
    ada, other = postgres("ada", autocommit=False), postgres("ada")
    table = "lab.chemistry.in_transaction"
    other.execute(f"CREATE TABLE {table} (n BIGINT)")

    def seen(connection):
        return connection.execute(f"SELECT coalesce(sum(n), 0) FROM {table}").fetchone()[0]

    assert ada.execute("SELECT 1").fetchone() == (1,)
    assert ada.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    ada.execute(f"INSERT INTO {table} VALUES (%s)", (1,))
    ada.execute(f"INSERT INTO {table} VALUES (2)")
    assert (seen(ada), seen(other)) == (3, 0)
    ada.rollback()
    assert seen(ada) == 0
    # psycopg's nested blocks are savepoints.
    with ada.transaction():
        ada.execute(f"INSERT INTO {table} VALUES (10)")
        with pytest.raises(ZeroDivisionError), ada.transaction():
            ada.execute(f"UPDATE {table} SET n = 11")
            assert seen(ada) == 11
            raise ZeroDivisionError
        assert seen(ada) == 10
        with pytest.raises(errors.UndefinedTable), ada.transaction():
            ada.execute("SELECT 1 FROM lab.chemistry.nowhere")
        with ada.transaction():
            ada.execute(f"INSERT INTO {table} VALUES (20)")
    ada.commit()
    assert seen(other) == 30
    # An error ends it: nothing but its rollback is taken.
    ada.execute(f"INSERT INTO {table} VALUES (1000)")
    with pytest.raises(errors.ActiveSqlTransaction, match="autocommit"):
        ada.execute("CREATE TABLE lab.chemistry.made_in_transaction (n BIGINT)")
    with pytest.raises(errors.InFailedSqlTransaction):
        ada.execute("SELECT 1")
    ada.rollback()
    with pytest.raises(errors.InvalidSavepointSpecification):
        ada.execute("ROLLBACK TO nowhere")
    ada.rollback()
    # Somebody else changed the table meanwhile.
    ada.execute(f"UPDATE {table} SET n = 0")
    other.execute(f"INSERT INTO {table} VALUES (5)")
    with pytest.raises(errors.SerializationFailure):
        ada.commit()
    assert ada.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert seen(ada) == 35
    ada.rollback()
    # Who leaves without COMMIT leaves nothing.
    left = postgres("ada", autocommit=False)
    left.execute(f"INSERT INTO {table} VALUES (7)")
    left.close()
    assert seen(other) == 35
    assert other.execute("SELECT count(*) FROM pg_class WHERE relname = 'made_in_transaction'").fetchone() == (0,)
    other.execute(f"DROP TABLE {table}")


def test_statements_that_write_have_their_tags(postgres):
    ada = postgres("ada")
    table = "lab.chemistry.written_by_postgres"

    def tag(sql, *values):
        return ada.execute(sql, *values).statusmessage

    assert tag(f"CREATE TABLE {table} (id BIGINT, name VARCHAR)") == "CREATE TABLE"
    assert tag(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')") == "INSERT 0 3"
    assert tag(f"INSERT INTO {table} VALUES (%s, %s)", (4, "d")) == "INSERT 0 1"
    assert tag(f"UPDATE {table} SET name = %s WHERE id > %s", ("z", 2)) == "UPDATE 2"
    assert tag(f"DELETE FROM {table} WHERE id = 1") == "DELETE 1"
    assert tag(f"SELECT * FROM {table}") == "SELECT 3"
    assert ada.execute(f"SELECT name FROM {table} ORDER BY id").fetchall() == [("b",), ("z",), ("z",)]
    with ada.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(n, "many") for n in range(10, 13)])
        assert cursor.rowcount == 3
    with pytest.raises(errors.FeatureNotSupported, match="one by one"):
        ada.execute(f"DELETE FROM {table}; SELECT 1")
    assert tag(f"DROP TABLE {table}") == "DROP TABLE"
    with pytest.raises(errors.InsufficientPrivilege):
        postgres("ana").execute("CREATE TABLE lab.chemistry.by_ana (n BIGINT)")


def test_large_results_come_in_parts(postgres):
    sam = postgres("sam", autocommit=False)
    (all_rows,) = sam.execute("SELECT count(*) FROM lab.chemistry.plate_readings").fetchone()
    with sam.cursor(name="readings") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT plate_id, well FROM lab.chemistry.plate_readings WHERE well <> %s", ("nowhere",))
        first = cursor.fetchmany(10)
        assert len(first) == 10 and len(first) + sum(1 for _ in cursor) == all_rows
    sam.rollback()
    with postgres("sam").cursor() as cursor:
        streamed = cursor.stream("SELECT well FROM lab.chemistry.plate_readings LIMIT 500")
        assert sum(1 for _ in streamed) == 500


def test_many_statements_in_a_pipeline(postgres):
    sam = postgres("sam")
    with sam.pipeline():
        cursors = [sam.execute("SELECT %s::int AS n", (n,)) for n in range(200)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(200))
    with pytest.raises(psycopg.Error), sam.pipeline():
        sam.execute("SELECT 1")
        sam.execute("SELECT 1 FROM nowhere.nothing")
        sam.execute("SELECT 2")
    assert sam.execute("SELECT 3").fetchone() == (3,)


ENDLESS = "SELECT count(*) FROM lab.chemistry.plate_readings a, lab.chemistry.plate_readings b, lab.chemistry.plate_readings c"


def test_a_statement_is_cancelled_by_its_key(postgres):
    import threading

    sam, ada = postgres("sam"), postgres("ada")
    ended = []

    def run():
        try:
            sam.execute(ENDLESS)
        except psycopg.Error as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    running = "SELECT count(*) FROM system.queries WHERE state = 'running' AND principal = 'sam'"
    while ada.execute(running).fetchone()[0] == 0:
        pass
    sam.cancel_safe(timeout=30)
    thread.join(60)
    assert not thread.is_alive() and isinstance(ended[0], errors.QueryCanceled)
    assert sam.execute("SELECT 1").fetchone() == (1,)
    while ada.execute(running).fetchone()[0] > 0:
        pass


def test_settings_are_shown_and_what_changes_nothing_is_told(postgres):
    sam = postgres("sam", application_name="test")
    told = []
    sam.add_notice_handler(lambda notice: told.append(notice.message_primary))
    assert sam.execute("SHOW application_name").fetchone() == ("test",)
    sam.execute("SET extra_float_digits = 3")
    sam.execute("SET statement_timeout = '5s'")
    assert len(told) == 1 and "statement_timeout" in told[0]
    assert sam.execute("SHOW statement_timeout").fetchone() == ("5s",)
    assert sam.execute("SELECT current_setting('server_version_num')").fetchone() == ("160006",)
    with pytest.raises(errors.InvalidParameterValue):
        sam.execute("SET client_encoding = 'LATIN1'")
    with pytest.raises(errors.FeatureNotSupported):
        sam.execute("SET ROLE lake_admin")
    sam.execute("SET search_path TO chemistry")
    assert sam.execute("SELECT count(*) FROM reagent_lots").fetchone()[0] > 0
    assert sam.execute("SELECT current_schema()").fetchone() == ("chemistry",)
    sam.execute("DISCARD ALL")
    with pytest.raises(errors.UndefinedTable):
        sam.execute("SELECT count(*) FROM reagent_lots")


def test_what_there_is_not_is_said(postgres):
    ada = postgres("ada")
    for sql in ["COPY (SELECT 1) TO STDOUT", "LISTEN x", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"]:
        with pytest.raises(psycopg.Error):
            ada.execute(sql)
        assert ada.execute("SELECT 1").fetchone() == (1,)


def test_the_trail_and_the_log_name_this_door(postgres):
    ada = postgres("ada", application_name="who-asks")
    ada.execute("SELECT 4711 AS marked").fetchall()
    sql = "SELECT count(*) FROM system.audit WHERE door = 'postgres' AND event = 'login' AND principal = 'ada'"
    assert ada.execute(sql).fetchone()[0] >= 1
    assert ada.execute("SELECT count(*) FROM system.queries WHERE sql LIKE 'SELECT 4711%'").fetchone()[0] == 1


# ---- other clients -----------------------------------------------------------------------------------------------------


def test_asyncpg_prepares_reads_and_pages():
    async def run():
        async with asyncpg.create_pool(
            host=PLACE.hostname, port=PLACE.port, user="sam", password=password("sam"), database="lab", min_size=1, max_size=2
        ) as pool:
            async with pool.acquire() as sam:
                row = await sam.fetchrow(
                    "SELECT $1::bigint + 1 AS n, $2::varchar AS t, DATE '2026-02-28' AS d, "
                    "CAST('1.50' AS DECIMAL(6, 2)) AS x, make_array(1, 2) AS l, named_struct('a', 1) AS s",
                    41,
                    "grün",
                )
                assert dict(row) == {
                    "n": 42,
                    "t": "grün",
                    "d": datetime.date(2026, 2, 28),
                    "x": decimal.Decimal("1.50"),
                    "l": [1, 2],
                    "s": '{"a":1}',
                }
                count = await sam.fetchval(f"SELECT count(*) FROM {REACTIONS} WHERE yield_pct > $1", 50.0)
                assert count > 0
                with pytest.raises(asyncpg.UndefinedTableError):
                    await sam.fetch("SELECT * FROM lab.assay.ic50")
                async with sam.transaction():
                    read = [row async for row in sam.cursor("SELECT well FROM lab.chemistry.plate_readings LIMIT 250", prefetch=50)]
                assert len(read) == 250
                statement = await sam.prepare("SELECT lot FROM lab.chemistry.reagent_lots WHERE lot = $1")
                assert [a.name for a in statement.get_attributes()] == ["lot"]
                assert await statement.fetch("nothing") == []
            async with pool.acquire() as again:
                assert await again.fetchval("SELECT 1") == 1

    asyncio.run(run())


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemys_own_dialect_reflects_and_reads(driver):
    def engine(user):
        url = f"postgresql+{driver}://{user}:{password(user)}@{PLACE.hostname}:{PLACE.port}/lab"
        return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)

    inspector = sqlalchemy.inspect(engine("sam"))
    assert "chemistry" in inspector.get_schema_names() and "assay" not in inspector.get_schema_names()
    assert "reactions" in inspector.get_table_names(schema="chemistry")
    assert inspector.has_table("reactions", schema="chemistry") and not inspector.has_table("ic50", schema="assay")
    columns = {column["name"]: column["type"] for column in inspector.get_columns("reactions", schema="chemistry")}
    assert isinstance(columns["yield_pct"], sqlalchemy.Float) and isinstance(columns["run_at"], sqlalchemy.DateTime)
    assert inspector.get_pk_constraint("reactions", schema="chemistry")["constrained_columns"] == []
    assert inspector.get_foreign_keys("reactions", schema="chemistry") == []
    assert inspector.get_indexes("reactions", schema="chemistry") == []
    with pytest.raises(sqlalchemy.exc.NoSuchTableError):
        sqlalchemy.Table("ic50", sqlalchemy.MetaData(schema="assay"), autoload_with=engine("sam"))
    ana = {column["name"] for column in sqlalchemy.inspect(engine("ana")).get_columns("protocols", schema="chemistry")}
    assert "operator" not in ana and ana
    reactions = sqlalchemy.Table("reactions", sqlalchemy.MetaData(schema="chemistry"), autoload_with=engine("sam"))
    with engine("sam").connect() as sam:
        chosen = sqlalchemy.select(reactions.c.well, reactions.c.yield_pct).where(reactions.c.yield_pct > 50).limit(3)
        assert len(sam.execute(chosen).all()) == 3
        counted = sqlalchemy.select(sqlalchemy.func.count()).select_from(reactions).where(reactions.c.status.in_(["released"]))
        assert sam.execute(counted).scalar_one() > 0


def test_psql_lists_and_describes():
    assert "chemistry|reactions|table|labhouse" in psql("sam", r"\dt")
    assert "ic50" not in psql("sam", r"\dt") and "ic50" in psql("ada", r"\dt *.*")
    assert "chemistry|reactions" in psql("sam", r"\dt chemistry.*") and "system|alerts|view" in psql("sam", r"\dv")
    schemas = psql("sam", r"\dn")
    assert "chemistry|labhouse" in schemas and "assay" not in schemas
    assert psql("sam", r"\l").startswith("lab|labhouse|UTF8")
    described = psql("ana", r"\d chemistry.protocols")
    assert "run_id" in described or "plate_id" in described
    assert "operator" not in described and "operator" in psql("ada", r"\d chemistry.protocols")
    assert "double precision" in psql("sam", r"\d+ chemistry.reactions")
    for command in [r"\d", r"\di", r"\du", r"\df", r"\dx", r"\ds", r"\dT", r"\dp", r"\l+", r"\dd", r"\conninfo", r"\encoding"]:
        psql("sam", command)
    assert psql("sam", "SELECT 1 AS a; SELECT 'x' AS b").split() == ["1", "x"]
    assert psql("sam", "BEGIN", "SELECT 5", "COMMIT").split() == ["BEGIN", "5", "COMMIT"]
    assert "did not find any relation" in psql("sam", r"\d assay.ic50", fails=True).lower()
    assert "not found; SHOW TABLES" in psql("sam", "SELECT * FROM assay.ic50", fails=True)
