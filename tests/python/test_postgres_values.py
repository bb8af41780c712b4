"""Values in PostgreSQL's own spelling: zones that a type does not have, bytes, patterns, and what tools ask of the catalog."""

import datetime
import os
import urllib.parse

import psycopg
import psycopg2
import pytest
from psycopg import errors

from conftest import password

PLACE = urllib.parse.urlparse(os.environ.get("LABHOUSE_POSTGRES", "postgresql://missing:1/lab"))
REACTIONS = "lab.chemistry.reactions"


@pytest.fixture(scope="module")
def ada():
    with psycopg.connect(host=PLACE.hostname, port=PLACE.port, user="ada", password=password("ada"), dbname="lab", autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def two():
    connection = psycopg2.connect(host=PLACE.hostname, port=PLACE.port, user="ada", password=password("ada"), dbname="lab")
    connection.autocommit = True
    yield connection
    connection.close()


def one(connection, sql, *values):
    return connection.execute(sql, *values).fetchone()[0]


def text_of_no_type(ada, sql, text):
    """A text whose type the client leaves to the server, as pgjdbc sends dates and times."""
    return ada.pgconn.exec_params(sql.encode(), [text.encode()]).get_value(0, 0)


def test_a_zone_is_left_out_where_the_type_has_none(ada):
    day, moment = datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4, 5)
    assert one(ada, "SELECT '2024-01-02 03:04:05+01'::timestamp") == moment
    assert one(ada, "SELECT TIMESTAMP '2024-01-02 03:04:05-07:30'") == moment
    assert one(ada, "SELECT '2024-01-02 +00'::date") == day
    assert one(ada, "SELECT DATE '2024-01-02 +01'") == day
    for sql, text, wanted in [
        ("SELECT ($1::timestamp)::text", "2024-01-02 03:04:05+01", b"2024-01-02T03:04:05"),
        ("SELECT ($1::date)::text", "2024-01-02 +01", b"2024-01-02"),
        ("SELECT count(*) FROM (SELECT '2024-01-02 03:04:05'::timestamp AS t) AS s WHERE t = $1::timestamp", "2024-01-02 03:04:05+01", b"1"),
    ]:
        got = text_of_no_type(ada, sql, text)
        assert got and got.replace(b" ", b"T").startswith(wanted), (sql, got)
    # With a zone it is a moment.
    ada.execute("CREATE OR REPLACE TABLE lab.assay.moments (plain TIMESTAMP, day DATE)")
    ada.pgconn.exec_params(b"INSERT INTO lab.assay.moments VALUES ($1, $2)", [b"2024-01-02 03:04:05+01", b"2024-01-02 +01"])
    assert ada.execute("SELECT * FROM lab.assay.moments").fetchall() == [(moment, day)]
    assert text_of_no_type(ada, "SELECT count(*) FROM lab.assay.moments WHERE plain = $1", "2024-01-02 03:04:05+01") == b"1"
    assert text_of_no_type(ada, "SELECT count(*) FROM lab.assay.moments WHERE plain = $1", "2024-01-02 02:04:05+01") == b"0"


def test_bytes_are_those_that_were_meant(ada, two):
    assert one(ada, r"SELECT '\x01ff'::bytea") == b"\x01\xff"
    assert one(ada, r"SELECT 'a\\b\001'::bytea") == b"a\\b\x01"
    assert one(ada, "SELECT 'plain'::bytea") == b"plain"
    for bad in (r"'\x0'", r"'\xzz'", r"'a\9'"):
        with pytest.raises(errors.FeatureNotSupported, match="hexadecimal"):
            ada.execute(f"SELECT {bad}::bytea")
    ada.execute("CREATE OR REPLACE TABLE lab.assay.raw_bytes (b BYTEA)")
    with two.cursor() as cursor:
        cursor.execute("INSERT INTO lab.assay.raw_bytes VALUES (%s)", (psycopg2.Binary(b"\x01\xff\\"),))
    ada.execute("INSERT INTO lab.assay.raw_bytes VALUES (%s)", (b"\x02\x00",))
    assert sorted(bytes(row[0]) for row in ada.execute("SELECT b FROM lab.assay.raw_bytes").fetchall()) == [b"\x01\xff\\", b"\x02\x00"]


def test_patterns_are_read_or_refused(ada):
    assert one(ada, "SELECT to_char(TIMESTAMP '2024-03-02 14:05:06', 'YYYY-MM')") == "2024-03"
    assert one(ada, "SELECT to_char(TIMESTAMP '2024-03-02 14:05:06', 'DD.MM.YY HH24:MI:SS')") == "02.03.24 14:05:06"
    moment = datetime.datetime(2025, 1, 2, 3, 4, 5, 250000)
    assert one(ada, "SELECT TO_TIMESTAMP('2025-01-02 03:04:05.250000', 'YYYY-MM-DD HH24:MI:SS.US')") == moment
    assert one(ada, "SELECT TO_TIMESTAMP('2025-01-02', 'YYYY-MM-DD')") == datetime.datetime(2025, 1, 2)
    assert one(ada, "SELECT TO_DATE('02.01.2025', 'DD.MM.YYYY')") == datetime.date(2025, 1, 2)
    # Superset's filter of a time.
    assert one(ada, f"SELECT count(*) FROM {REACTIONS} WHERE run_at >= TO_TIMESTAMP('2000-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')") > 0
    for sql in ("to_char(now(), 'Month')", "to_char(1.5, '99D9')", "to_date('1', 'J')", "to_char(now(), 'YYYY' || 'MM')"):
        with pytest.raises(errors.FeatureNotSupported, match="patterns"):
            ada.execute(f"SELECT {sql}")
    # The engine's own patterns stay.
    assert one(ada, "SELECT to_char(TIMESTAMP '2024-03-02 14:05:06', '%Y')") == "2024"


@pytest.mark.parametrize("sql", [
    "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE 1 = 1",
    "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname",
    "SELECT c.oid,c.* FROM pg_catalog.pg_class c ORDER BY c.relname",
    "SELECT t.oid,t.* FROM pg_catalog.pg_type t",
])
def test_dbeaver_reads_the_number_and_every_column(ada, sql):
    cursor = ada.execute(sql)
    rows = cursor.fetchall()
    assert rows and [column.name for column in cursor.description][:2] == ["oid", "oid"]
    assert all(row[0] == row[1] for row in rows)


def test_what_pgjdbc_asks_of_the_server(ada):
    assert one(ada, "SELECT setting FROM pg_catalog.pg_settings WHERE name='max_index_keys'") == "32"
    assert one(ada, "SELECT array_upper(current_schemas(false), 1)") == 1
    assert ada.execute("SELECT 1, 1").fetchall() == [(1, 1)]
