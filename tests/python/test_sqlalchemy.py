"""The SQLAlchemy dialect of examples/sqlalchemy, with whichever SQLAlchemy is on the path: the suite runs it with 2 and 1.4."""

import datetime
import os
import urllib.parse

import labhouse_sqlalchemy  # noqa: F401, it registers the dialect
import pytest
import sqlalchemy
from sqlalchemy import func, literal_column, select

from conftest import password

WANTED = os.environ.get("LABHOUSE_SQLALCHEMY", "2")


@pytest.fixture()
def engine(uri):
    place = urllib.parse.urlparse(uri)
    made = []

    def engine(user, secret=None):
        url = f"labhouse://{user}:{secret or password(user)}@{place.hostname}:{place.port}/?schema=chemistry"
        made.append(sqlalchemy.create_engine(url))
        return made[-1]

    yield engine
    for one in made:
        one.dispose()


def test_it_is_the_version_this_run_is_about():
    assert sqlalchemy.__version__.startswith(WANTED)


def test_tables_are_listed_and_reflected_as_the_login_may_see_them(engine):
    inspector = sqlalchemy.inspect(engine("sam"))
    assert "chemistry" in inspector.get_schema_names() and "assay" not in inspector.get_schema_names()
    assert "reactions" in inspector.get_table_names() and "reactions" in inspector.get_table_names(schema="chemistry")
    assert inspector.has_table("reactions", schema="chemistry") and not inspector.has_table("ic50", schema="assay")
    columns = {column["name"]: column["type"] for column in inspector.get_columns("reactions")}
    assert isinstance(columns["yield_pct"], sqlalchemy.Float) and isinstance(columns["run_at"], sqlalchemy.DateTime)
    with pytest.raises(sqlalchemy.exc.NoSuchTableError):
        sqlalchemy.Table("ic50", sqlalchemy.MetaData(schema="assay"), autoload_with=engine("sam"))
    ana = sqlalchemy.inspect(engine("ana"))
    assert "operator" not in {column["name"] for column in ana.get_columns("protocols")}


def test_expressions_run_with_parameters_limits_and_groups(engine):
    sam = engine("sam")
    table = sqlalchemy.Table("reactions", sqlalchemy.MetaData(), autoload_with=sam)
    with sam.connect() as connection:
        # A literal: two parameters of one value are two expressions to GROUP BY.
        days = func.date_trunc(literal_column("'month'"), table.c.run_at).label("month")
        query = (
            select(days, func.avg(table.c.yield_pct).label("mean"), func.count().label("n"))
            .where(table.c.yield_pct.between(0, 100), table.c.run_at >= datetime.datetime(2000, 1, 1))
            .group_by(days)
            .order_by(days)
            .limit(3)
            .offset(1)
        )
        rows = connection.execute(query).fetchall()
        assert rows and all(0 <= row.mean <= 100 and row.n > 0 for row in rows)
        assert isinstance(rows[0].month, datetime.datetime)
        injected = "x' OR '1'='1"
        assert connection.execute(select(func.count()).where(table.c.well == injected)).scalar() == 0
        wells = connection.execute(select(table.c.well).where(table.c.well.in_(["A1", "B2"])).distinct()).fetchall()
        assert {row[0] for row in wells} <= {"A1", "B2"}


def test_writes_happen_and_refusals_are_errors(engine):
    with engine("ada").connect() as connection:
        connection.exec_driver_sql("CREATE TABLE lab.chemistry.by_alchemy (id BIGINT, name VARCHAR)")
        table = sqlalchemy.Table("by_alchemy", sqlalchemy.MetaData(schema="chemistry"), autoload_with=connection)
        connection.execute(table.insert(), [{"id": 1, "name": "a"}, {"id": 2, "name": "ü"}])
        assert connection.execute(select(table).order_by(table.c.id)).fetchall() == [(1, "a"), (2, "ü")]
        connection.execute(table.update().where(table.c.id == 1).values(name="b"))
        connection.execute(table.delete().where(table.c.id == 2))
        assert connection.execute(select(table)).fetchall() == [(1, "b")]
    with engine("ana").connect() as connection, pytest.raises(sqlalchemy.exc.DBAPIError):
        connection.exec_driver_sql("DROP TABLE lab.chemistry.by_alchemy")
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        engine("sam", "wrong").connect()


def test_pandas_like_reading_by_arrow(engine):
    """What data frames use: the driver's own Arrow table, without a copy through rows."""
    raw = engine("sam").raw_connection()
    with raw.cursor() as cursor:
        cursor.execute("SELECT plate_id, well FROM lab.chemistry.plate_readings LIMIT 10")
        assert cursor.fetch_arrow_table().num_rows == 10
    raw.close()
