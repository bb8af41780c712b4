from dbt.adapters.base import available
from dbt.adapters.sql import SQLAdapter

from dbt.adapters.labhouse.connections import LabhouseConnectionManager


class LabhouseAdapter(SQLAdapter):
    ConnectionManager = LabhouseConnectionManager

    @classmethod
    def date_function(cls) -> str:
        return "now()"

    @classmethod
    def is_cancelable(cls) -> bool:
        return True

    @classmethod
    def convert_text_type(cls, agate_table, col_idx: int) -> str:
        return "varchar"

    @classmethod
    def convert_number_type(cls, agate_table, col_idx: int) -> str:
        kind = super().convert_number_type(agate_table, col_idx)
        return "double" if kind == "float8" else "bigint"

    @classmethod
    def convert_integer_type(cls, agate_table, col_idx: int) -> str:
        return "bigint"

    @classmethod
    def convert_datetime_type(cls, agate_table, col_idx: int) -> str:
        return "timestamp"

    def valid_incremental_strategies(self):
        return ["append", "merge"]

    @available
    def load_rows(self, relation, columns: str, agate_table) -> str:
        """Binds all rows of a seed to one INSERT: one commit."""
        marks = ", ".join("?" for _ in agate_table.column_names)
        sql = f"insert into {relation.render()} ({columns}) values ({marks})"
        rows = [tuple(plain(value) for value in row) for row in agate_table.rows]
        connection = self.connections.get_thread_connection()
        with self.connections.exception_handler(sql):
            cursor = connection.handle.cursor()
            cursor.executemany(sql, rows)
            cursor.close()
        return sql


def plain(value):
    """A value as Arrow takes it: agate's numbers are decimals of any length."""
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
