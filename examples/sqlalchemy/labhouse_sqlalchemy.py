"""SQLAlchemy (1.4 and 2) for labhouse, over ADBC's Flight SQL driver.

    pip install ./examples/sqlalchemy
    sqlalchemy.create_engine("labhouse://sam:sam-demo@127.0.0.1:50051/?schema=chemistry")

In the URL: `tls=true` encrypts (`tls_verify=false` takes any certificate), `token=…` logs in with a token instead of a
password, `schema=…` is where tables without a schema are looked for. Works in Superset as the URL of a database.

The server commits each statement by itself, so commit and rollback of a connection do nothing: a write cannot be undone.
"""

import re

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as dbapi
import sqlalchemy
from sqlalchemy import exc, types
from sqlalchemy.dialects import registry
from sqlalchemy.engine import default
from sqlalchemy.sql import compiler

#: Arrow's names of types, as information_schema tells them, by their beginning.
TYPES = [
    ("Boolean", types.Boolean),
    ("Int8", types.SmallInteger),
    ("Int16", types.SmallInteger),
    ("UInt8", types.SmallInteger),
    ("Int32", types.Integer),
    ("UInt16", types.Integer),
    ("Int64", types.BigInteger),
    ("UInt", types.BigInteger),
    ("Float", types.Float),
    ("Utf8", types.Text),
    ("LargeUtf8", types.Text),
    ("Binary", types.LargeBinary),
    ("LargeBinary", types.LargeBinary),
    ("Date", types.Date),
    ("Time(", types.Time),
    ("Time32", types.Time),
    ("Time64", types.Time),
]


class LabhouseCompiler(compiler.SQLCompiler):
    def limit_clause(self, select, **kw):
        text = ""
        if select._limit_clause is not None:
            text += "\n LIMIT " + self.process(select._limit_clause, **kw)
        if select._offset_clause is not None:
            text += "\n OFFSET " + self.process(select._offset_clause, **kw)
        return text


class LabhousePreparer(compiler.IdentifierPreparer):
    def schema_for_object(self, named):
        """The server has no schema of a connection: a table without one is written with the URL's."""
        if named.schema is None and isinstance(named, sqlalchemy.sql.expression.TableClause):
            return self.dialect.default_schema_name
        return named.schema


class LabhouseDialect(default.DefaultDialect):
    name = "labhouse"
    driver = "adbc"
    default_paramstyle = "qmark"
    statement_compiler = LabhouseCompiler
    preparer = LabhousePreparer

    supports_statement_cache = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_alter = False
    supports_comments = False
    supports_sequences = False
    supports_default_values = False
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False
    supports_multivalues_insert = True
    postfetch_lastrowid = False
    insert_returning = update_returning = delete_returning = False
    max_identifier_length = 255

    @classmethod
    def import_dbapi(cls):
        return dbapi

    @classmethod
    def dbapi(cls):  # SQLAlchemy 1.4's name
        return dbapi

    def create_connect_args(self, url):
        query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
        scheme = "grpc+tls" if query.get("tls", "").lower() in ("1", "true", "yes") else "grpc"
        options = {}
        if query.get("token"):
            options[adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {query['token']}"
        elif url.username:
            options.update(username=url.username, password=url.password or "")
        if query.get("tls_verify", "").lower() in ("0", "false", "no"):
            options[adbc_driver_flightsql.DatabaseOptions.TLS_SKIP_VERIFY.value] = "true"
        self._schema = query.get("schema")
        return [f"{scheme}://{url.host or '127.0.0.1'}:{url.port or 50051}"], {"db_kwargs": options, "autocommit": True}

    def initialize(self, connection):
        self.default_schema_name = getattr(self, "_schema", None)
        self.server_version_info = (0, 1)

    # Nothing to begin, commit or roll back: each statement commits by itself.
    def do_begin(self, connection):
        pass

    def do_commit(self, connection):
        pass

    def do_rollback(self, connection):
        pass

    def do_ping(self, connection):
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        finally:
            cursor.close()
        return True

    def _rows(self, connection, sql, *values):
        return connection.exec_driver_sql(sql, values).fetchall()

    def get_schema_names(self, connection, **kw):
        sql = "SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 1"
        return [row[0] for row in self._rows(connection, sql)]

    def _tables(self, connection, schema, system):
        schema = schema or self.default_schema_name
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? ORDER BY 1"
        is_wanted = (schema == "system") == system
        return [row[0] for row in self._rows(connection, sql, schema)] if schema and is_wanted else []

    def get_table_names(self, connection, schema=None, **kw):
        return self._tables(connection, schema, False)

    def get_view_names(self, connection, schema=None, **kw):
        return self._tables(connection, schema, True)

    def has_table(self, connection, table_name, schema=None, **kw):
        sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ?"
        return bool(self._rows(connection, sql, schema or self.default_schema_name or "", table_name))

    def get_columns(self, connection, table_name, schema=None, **kw):
        sql = """SELECT column_name, data_type, is_nullable FROM information_schema.columns
                 WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position"""
        rows = self._rows(connection, sql, schema or self.default_schema_name or "", table_name)
        if not rows:
            raise exc.NoSuchTableError(f"{schema}.{table_name}" if schema else table_name)
        return [
            {"name": name, "type": type_of(told), "nullable": nullable == "YES", "default": None, "autoincrement": False}
            for name, told, nullable in rows
        ]

    def get_pk_constraint(self, connection, table_name, schema=None, **kw):
        return {"constrained_columns": [], "name": None}

    def get_foreign_keys(self, connection, table_name, schema=None, **kw):
        return []

    def get_indexes(self, connection, table_name, schema=None, **kw):
        return []

    def get_unique_constraints(self, connection, table_name, schema=None, **kw):
        return []

    def get_check_constraints(self, connection, table_name, schema=None, **kw):
        return []

    def get_table_comment(self, connection, table_name, schema=None, **kw):
        return {"text": None}

    def get_view_definition(self, connection, view_name, schema=None, **kw):
        return None


def type_of(told):
    """The SQLAlchemy type for one of Arrow's names."""
    if decimal := re.match(r"Decimal\d+\((\d+),\s*(-?\d+)\)", told):
        return types.Numeric(int(decimal[1]), int(decimal[2]))
    if told.startswith("Timestamp"):
        return types.DateTime(timezone='"' in told)
    for beginning, known in TYPES:
        if told.startswith(beginning):
            return known()
    return types.JSON() if told.startswith(("List", "Struct", "Map")) else types.NullType()


registry.register("labhouse", __name__, "LabhouseDialect")

if sqlalchemy.__version__ < "1.4":
    raise ImportError("labhouse_sqlalchemy needs SQLAlchemy 1.4 or 2")
