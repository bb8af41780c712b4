"""The PostgreSQL door with psycopg 3 and SQLAlchemy 2: parameters in text and binary, types, reflection, errors."""

import datetime
import decimal
import os
import urllib.parse

import psycopg
import pytest
import sqlalchemy

from conftest import password

URL = urllib.parse.urlparse(os.environ.get("LABHOUSE_POSTGRES", "postgresql://127.0.0.1:5432/lab"))


def connect(user, **more):
    where = {"host": URL.hostname, "port": URL.port, "dbname": "lab", "user": user, "password": password(user)}
    return psycopg.connect(**where, connect_timeout=60, autocommit=True, **more)


@pytest.fixture()
def sam():
    with connect("sam") as connection:
        yield connection


@pytest.fixture()
def engine():
    def engine(user):
        return sqlalchemy.create_engine(
            f"postgresql+psycopg://{user}:{password(user)}@{URL.hostname}:{URL.port}/lab"
        )

    return engine


@pytest.mark.parametrize("binary", [False, True])
def test_values_come_as_python_values(sam, binary):
    sql = """
        SELECT true AS b, CAST(7 AS SMALLINT) AS s, CAST(8 AS INT) AS i, CAST(9 AS BIGINT) AS l, 1.5::double precision AS d,
               CAST('1234567890.123' AS DECIMAL(20, 3)) AS n, 'äöü' AS t, DATE '2000-02-29' AS day,
               TIMESTAMP '1999-12-31 23:59:59.5' AS ts, CAST(NULL AS BIGINT) AS nothing,
               make_array(1, 2, NULL) AS numbers, make_array('a,b', 'c"d') AS texts, X'01ff' AS bytes
    """
    with sam.cursor(binary=binary) as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    assert row[:6] == (True, 7, 8, 9, 1.5, decimal.Decimal("1234567890.123"))
    assert row[6:9] == ("äöü", datetime.date(2000, 2, 29), datetime.datetime(1999, 12, 31, 23, 59, 59, 500000))
    assert row[9:12] == (None, [1, 2, None], ["a,b", 'c"d'])
    assert bytes(row[12]) == b"\x01\xff"


@pytest.mark.parametrize("kind", ["%s", "%b", "%t"])
def test_parameters_are_bound_and_rebound(sam, kind):
    sql = f'SELECT DISTINCT "column" FROM lab.chemistry.plate_readings WHERE "column" = {kind}'
    with sam.cursor() as cursor:
        # Often enough that the driver prepares it on the server.
        for column in list(range(1, 13)):
            assert cursor.execute(sql, (column,)).fetchall() == [(column,)]


def test_parameters_of_many_types(sam):
    with sam.cursor() as cursor:
        value = cursor.execute("SELECT %s + 1, %s || 'x', %s", (41, "a", decimal.Decimal("1.50"))).fetchone()
        assert value == (42, "ax", decimal.Decimal("1.50"))
        since = datetime.datetime(2000, 1, 1)
        assert cursor.execute("SELECT count(*) > 0 FROM chemistry.plate_readings WHERE run_at > %s", (since,)).fetchone() == (True,)
        assert cursor.execute("SELECT count(*) FROM chemistry.plate_readings WHERE well = ANY(%s)", (["A1", "B2"],)).fetchone()[0] > 0
        injected = "x' OR '1'='1"
        assert cursor.execute("SELECT count(*) FROM chemistry.plate_readings WHERE well = %s", (injected,)).fetchone() == (0,)


def test_many_rows_come_in_portions(sam):
    with sam.cursor() as cursor:
        rows = cursor.execute("SELECT value, repeat('x', 100) FROM generate_series(1, 50000)").fetchall()
    assert len(rows) == 50000 and rows[-1][0] == 50000


def test_two_statements_at_once_are_answered_one_after_the_other(sam):
    with sam.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2")
        assert cursor.fetchone() == (1,)
        assert cursor.nextset() and cursor.fetchone() == (2,)


def test_errors_are_of_their_kind_and_the_connection_goes_on(sam):
    for sql, kind in [
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("SELECT * FROM chemistry.nothing", psycopg.errors.UndefinedTable),
        ("SELECT nothing FROM chemistry.reactions", psycopg.errors.UndefinedColumn),
        ("DROP TABLE chemistry.reagent_lots", psycopg.errors.InsufficientPrivilege),
        ("SAVEPOINT x", psycopg.errors.FeatureNotSupported),
        ("SELECT repeat('x', 2000000000)", psycopg.errors.InsufficientResources),
    ]:
        with sam.cursor() as cursor, pytest.raises(kind):
            cursor.execute(sql)
        assert sam.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_of_reads_is_fine_and_a_write_in_one_is_refused():
    with connect("ada") as ada:
        ada.autocommit = False
        assert ada.execute("SELECT 1").fetchone() == (1,)
        ada.commit()
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="autocommit"):
            ada.execute("INSERT INTO chemistry.reagent_lots SELECT * FROM chemistry.reagent_lots WHERE false")
        ada.rollback()
        assert ada.execute("SELECT 2").fetchone() == (2,)


def test_what_is_hidden_is_in_no_catalog():
    with connect("guest") as guest:
        for table in ["pg_class", "pg_attribute", "pg_tables", "information_schema.tables"]:
            where = " WHERE table_schema <> 'information_schema'" if table.startswith("inf") else ""
            assert guest.execute(f"SELECT count(*) FROM {table}{where}").fetchone() == (0,), table
    with connect("ana") as ana, connect("ada") as ada:
        sql = "SELECT count(*) FROM pg_attribute WHERE attname = 'operator'"
        assert ana.execute(sql).fetchone() == (0,) and ada.execute(sql).fetchone()[0] > 0


def test_sqlalchemy_reflects_and_reads(engine):
    sam = engine("sam")
    inspector = sqlalchemy.inspect(sam)
    assert "chemistry" in inspector.get_schema_names() and "assay" not in inspector.get_schema_names()
    assert "reactions" in inspector.get_table_names(schema="chemistry")
    assert inspector.has_table("reactions", schema="chemistry") and not inspector.has_table("ic50", schema="assay")
    columns = {column["name"]: column["type"] for column in inspector.get_columns("reactions", schema="chemistry")}
    assert isinstance(columns["yield_pct"], sqlalchemy.Double | sqlalchemy.Float), columns
    assert inspector.get_pk_constraint("reactions", schema="chemistry")["constrained_columns"] == []
    assert inspector.get_foreign_keys("reactions", schema="chemistry") == []
    assert inspector.get_indexes("reactions", schema="chemistry") == []
    with sam.connect() as connection:
        table = sqlalchemy.Table("reactions", sqlalchemy.MetaData(schema="chemistry"), autoload_with=connection)
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(table.c.yield_pct > 50)
        assert connection.execute(query).scalar() > 0


QUESTIONS_OF_TOOLS = [
    # Grafana
    "SELECT current_setting('server_version_num')::int/100 as version",
    "SELECT quote_ident(table_name) as \"table\" FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') ORDER BY 1",
    "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE quote_ident(table_name) = 'reactions'",
    # DBeaver
    "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate ORDER BY db.datname",
    "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname",
    "SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass WHERE c.relkind not in ('i','I','c')",
    "SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) WHERE NOT a.attisdropped ORDER BY a.attnum",
    "select * from pg_catalog.pg_settings where name='standard_conforming_strings'",
    "SELECT * FROM pg_catalog.pg_roles a LEFT JOIN pg_catalog.pg_shdescription d ON d.objoid = a.oid ORDER BY a.rolname",
    # Metabase and pgjdbc
    "SELECT nspname AS TABLE_SCHEM, current_database() AS TABLE_CATALOG FROM pg_catalog.pg_namespace WHERE nspname <> 'pg_toast' ORDER BY TABLE_SCHEM",
    "SELECT t.typname, t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON (t.typnamespace = n.oid) WHERE n.nspname != 'pg_toast'",
    "SHOW TRANSACTION ISOLATION LEVEL",
    "SELECT version()",
    "SELECT current_user, session_user, current_schema(), current_database()",
]


@pytest.mark.parametrize("sql", QUESTIONS_OF_TOOLS)
def test_questions_of_tools_are_answered(sam, sql):
    with sam.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()
