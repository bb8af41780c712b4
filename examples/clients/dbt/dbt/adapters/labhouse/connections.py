"""Connections to labhouse over ADBC. Each statement commits by itself, so beginning and committing do nothing."""

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional, Tuple

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as dbapi
from dbt.adapters.contracts.connection import AdapterResponse, Connection, ConnectionState, Credentials
from dbt.adapters.sql import SQLConnectionManager
from dbt_common.exceptions import DbtDatabaseError, DbtRuntimeError

#: Statements that give rows, behind any comments; all others are run for their effect.
READS = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*(?:\n|$)|\()*(?:select|with|values|show|describe|explain)\b", re.I | re.S)


@dataclass
class LabhouseCredentials(Credentials):
    uri: str = "grpc://127.0.0.1:50051"
    user: str = ""
    password: str = ""
    #: In place of user and password.
    token: Optional[str] = None

    _ALIASES = {"username": "user", "pass": "password"}

    @property
    def type(self) -> str:
        return "labhouse"

    @property
    def unique_field(self) -> str:
        return self.uri

    def _connection_keys(self) -> Tuple[str, ...]:
        return ("uri", "user", "database", "schema")


class Cursor:
    """A cursor of ADBC that runs a statement which writes at once, and not when its result is fetched."""

    def __init__(self, connection):
        self._cursor = connection.cursor()
        self.rowcount = -1

    def execute(self, sql: str, bindings: Any = None):
        if READS.match(sql):
            self._cursor.execute(sql, bindings)
            self.rowcount = self._cursor.rowcount
        elif bindings:
            self._cursor.executemany(sql, [bindings])
            self.rowcount = self._cursor.rowcount
        else:
            statement = self._cursor.adbc_statement
            statement.set_sql_query(sql)
            self.rowcount = statement.execute_update()

    def executemany(self, sql: str, rows):
        self._cursor.executemany(sql, rows)
        self.rowcount = len(rows)

    @property
    def description(self):
        return self._cursor.description

    def fetchall(self):
        return self._cursor.fetchall()

    def fetchmany(self, size):
        return self._cursor.fetchmany(size)

    def close(self):
        self._cursor.close()


class Handle:
    def __init__(self, credentials: LabhouseCredentials):
        if credentials.token:
            header = adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value
            login = {header: f"Bearer {credentials.token}"}
        else:
            login = {"username": credentials.user, "password": credentials.password}
        self._connection = dbapi.connect(credentials.uri, db_kwargs=login, autocommit=True)

    def cursor(self):
        return Cursor(self._connection)

    def cancel(self):
        self._connection.adbc_cancel()

    def rollback(self):
        pass

    def close(self):
        self._connection.close()


class LabhouseConnectionManager(SQLConnectionManager):
    TYPE = "labhouse"

    @contextmanager
    def exception_handler(self, sql: str):
        try:
            yield
        except dbapi.Error as error:
            raise DbtDatabaseError(str(error).strip()) from error
        except DbtRuntimeError:
            raise
        except Exception as error:
            raise DbtRuntimeError(str(error)) from error

    @classmethod
    def open(cls, connection: Connection) -> Connection:
        if connection.state != ConnectionState.OPEN:
            try:
                connection.handle = Handle(connection.credentials)
            except dbapi.Error as error:
                connection.state = ConnectionState.FAIL
                raise DbtDatabaseError(str(error).strip()) from error
            connection.state = ConnectionState.OPEN
        return connection

    def cancel(self, connection: Connection):
        connection.handle.cancel()

    def begin(self):
        connection = self.get_thread_connection()
        connection.transaction_open = True
        return connection

    def commit(self):
        connection = self.get_thread_connection()
        connection.transaction_open = False
        return connection

    @classmethod
    def get_response(cls, cursor: Any) -> AdapterResponse:
        rows = cursor.rowcount
        return AdapterResponse(_message="OK" if rows < 0 else f"OK {rows}", rows_affected=rows)
