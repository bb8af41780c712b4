import adbc_driver_flightsql
import adbc_driver_manager.dbapi as dbapi
import pytest
from adbc_drivers_validation.tests.conftest import *  # noqa: F403
from adbc_drivers_validation.tests.conftest import pytest_collection_modifyitems as of_suite

import labhouse


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session, config, items):
    of_suite(session, config, items)
    for item in items:
        for name, why in labhouse.EXPECTED.items():
            if name in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=why, strict=True))


class Statement:
    """A statement that prepares what is to be bound: the driver binds to nothing else."""

    def __init__(self, statement):
        self.statement = statement
        self.is_query = False

    def __getattr__(self, name):
        return getattr(self.statement, name)

    def set_sql_query(self, sql):
        self.is_query = True
        self.statement.set_sql_query(sql)

    def bind(self, *values):
        if self.is_query:
            self.statement.prepare()
        self.statement.bind(*values)

    def bind_stream(self, *values):
        if self.is_query:
            self.statement.prepare()
        self.statement.bind_stream(*values)


@pytest.fixture(scope="session")
def driver(request):
    return labhouse.QUIRKS[0]


@pytest.fixture(scope="session")
def driver_path(driver):
    return adbc_driver_flightsql._driver_path()


@pytest.fixture(scope="session")
def conn_factory(driver, driver_path, db_kwargs):
    """The suite's, with a schema chosen: labhouse has no default one."""

    def cursor(connection):
        made = dbapi.Connection.cursor(connection)
        made.__class__ = Cursor
        return made

    def connect():
        connection = dbapi.connect(driver=driver_path, db_kwargs=db_kwargs, autocommit=True)
        connection.adbc_current_db_schema = driver.features.current_schema
        connection.cursor = lambda **_: cursor(connection)
        return connection

    return connect


class Cursor(dbapi.Cursor):
    @property
    def adbc_statement(self):
        if not isinstance(self.__dict__.get("_proxy"), Statement):
            self._proxy = Statement(self._stmt)
        return self._proxy
