"""What every client test shares: where the server is, who may log in, and how a statement is sent by hand.

The Rust suite (or a person) starts a demo lab and sets

    LABHOUSE_FLIGHT    grpc://host:port
    LABHOUSE_DIR       the demo's folder, with `landing/`, `tables/` and `policies/`

A missing variable ends the run as an error: tests that silently do not run prove nothing.
"""

import base64
import os
import pathlib

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import pyarrow.flight as flight
import pytest

# No call of a test waits longer than this: a server that hangs is a failure, not a pause. Training may take its 30 s.
PATIENCE_S = 300
DEADLINES = {
    option.value: str(PATIENCE_S)
    for option in (
        adbc_driver_flightsql.ConnectionOptions.TIMEOUT_QUERY,
        adbc_driver_flightsql.ConnectionOptions.TIMEOUT_FETCH,
        adbc_driver_flightsql.ConnectionOptions.TIMEOUT_UPDATE,
    )
}


def pytest_configure(config):
    if config.option.collectonly:
        return
    missing = [name for name in ("LABHOUSE_FLIGHT", "LABHOUSE_DIR") if not os.environ.get(name)]
    if missing:
        pytest.exit(f"set {' and '.join(missing)}: these tests need a running demo lab", returncode=4)


def password(user):
    return os.environ.get(f"LABHOUSE_PASSWORD_{user.upper()}", f"{user}-demo")


@pytest.fixture(scope="session")
def uri():
    return os.environ["LABHOUSE_FLIGHT"]


@pytest.fixture(scope="session")
def lab_dir():
    return pathlib.Path(os.environ["LABHOUSE_DIR"])


@pytest.fixture(scope="session")
def connect(uri):
    """connect("ada") -> an ADBC connection, one for each user and closed at the end."""
    opened = {}

    def connect(user):
        if user not in opened:
            credentials = {"username": user, "password": password(user)}
            opened[user] = flightsql.connect(uri, db_kwargs=credentials, conn_kwargs=DEADLINES, autocommit=True)
        return opened[user]

    yield connect
    for connection in opened.values():
        connection.close()


@pytest.fixture(scope="session")
def query(connect):
    """query("ada", "SELECT 1") -> a pyarrow table."""

    def query(user, sql, parameters=None):
        with connect(user).cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetch_arrow_table()

    return query


@pytest.fixture(scope="session")
def value(query):
    """value("ada", "SELECT 1") -> the one value of a result of one row and one column."""

    def value(user, sql, parameters=None):
        table = query(user, sql, parameters)
        assert (table.num_rows, table.num_columns) == (1, 1), f"{sql} gave {table.num_rows} x {table.num_columns}"
        return table.column(0)[0].as_py()

    return value


@pytest.fixture(scope="session")
def error_of(connect):
    """error_of("guest", sql) -> the text of the error the statement must end in."""

    def error_of(user, sql, parameters=None):
        with connect(user).cursor() as cursor, pytest.raises(Exception) as caught:
            cursor.execute(sql, parameters)
            cursor.fetch_arrow_table()
        return str(caught.value)

    return error_of


@pytest.fixture()
def client(uri):
    with flight.connect(uri) as client:
        yield client


def basic(user, secret=None):
    """Call options that log in with this very call."""
    pair = f"{user}:{password(user) if secret is None else secret}".encode()
    return flight.FlightCallOptions(headers=[(b"authorization", b"Basic " + base64.b64encode(pair))])


def bearer(client, user):
    """Call options with the token a login gives."""
    return flight.FlightCallOptions(headers=[client.authenticate_basic_token(user, password(user))])


def command(kind, *fields):
    """A Flight SQL command as bytes: `Any{type_url, value}` around a message whose fields 1, 2, … are strings."""
    message = b"".join(length_delimited(number, text.encode()) for number, text in enumerate(fields, 1))
    url = f"type.googleapis.com/arrow.flight.protocol.sql.{kind}".encode()
    return length_delimited(1, url) + length_delimited(2, message)


def statement(sql):
    return flight.FlightDescriptor.for_command(command("CommandStatementQuery", sql))


def length_delimited(number, content):
    length, varint = len(content), bytearray()
    while length >= 0x80:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return bytes([number << 3 | 2]) + bytes(varint) + content
