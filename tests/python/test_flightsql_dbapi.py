"""flightsql-dbapi 0.2.2 with SQLAlchemy 1.4: what Superset 6 connects with today."""

import urllib.parse

import flightsql.sqlalchemy  # noqa: F401, it registers the dialect
import pytest
import sqlalchemy

from conftest import password


@pytest.fixture()
def engine(uri):
    place = urllib.parse.urlparse(uri)
    return lambda user: sqlalchemy.create_engine(
        f"datafusion+flightsql://{user}:{password(user)}@{place.hostname}:{place.port}?insecure=True"
    )


def test_it_reads_with_the_types_it_knows(engine):
    with engine("sam").connect() as connection:
        rows = connection.execute("SELECT well, yield_pct, run_at FROM lab.chemistry.reactions LIMIT 5").fetchall()
        assert len(rows) == 5 and all(isinstance(row[0], str) and isinstance(row[1], float) for row in rows)


def test_it_lists_what_the_login_may_see(engine):
    inspector = sqlalchemy.inspect(engine("sam"))
    assert "chemistry" in inspector.get_schema_names()
    assert "reactions" in inspector.get_table_names(schema="chemistry")
    assert inspector.get_table_names(schema="assay") == []
    columns = {column["name"]: column["type"] for column in inspector.get_columns("reactions", schema="chemistry")}
    assert not isinstance(columns["well"], sqlalchemy.types.BLOB), "texts must not arrive as views or dictionaries"


def test_a_wrong_password_is_an_error(uri):
    place = urllib.parse.urlparse(uri)
    url = f"datafusion+flightsql://sam:wrong@{place.hostname}:{place.port}?insecure=True"
    with pytest.raises(Exception, match="(?i)login refused|unauthenticated"):
        sqlalchemy.create_engine(url).connect().execute("SELECT 1")
