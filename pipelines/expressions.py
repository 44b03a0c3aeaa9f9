"""SQL expressions over one row, written in configuration, put onto an Ibis table.

They are written in DuckDB's dialect and translated to the one of the table's backend. A column of a join is written
`<join>.<column>`; in the table it is one column of exactly that name.
"""

from collections.abc import Mapping

import ibis
import sqlglot
from ibis.util import gen_name
from sqlglot import expressions as sql

DIALECT = "duckdb"


def reads(expression: str) -> set[str]:
    """The columns that an expression reads; raises sqlglot's error when it is not SQL."""
    return {_name(column) for column in sqlglot.parse_one(expression, read=DIALECT).find_all(sql.Column)}


def extend(table: ibis.Table, columns: Mapping[str, str]) -> ibis.Table:
    """`table` with one more column per expression, each seeing only what the table has already."""
    return _select(table, [sql.Star()], columns) if columns else table


def project(table: ibis.Table, columns: Mapping[str, str]) -> ibis.Table:
    """Only these columns, each by its expression."""
    return _select(table, [], columns)


def _select(table: ibis.Table, first: list[sql.Expression], columns: Mapping[str, str]) -> ibis.Table:
    selected = [*first, *(sql.alias_(_flat(text), name, quoted=True) for name, text in columns.items())]
    name = gen_name("rows")  # of its own, since one expression is put onto another
    query = sqlglot.select(*selected).from_(sql.to_identifier(name, quoted=True))
    return table.alias(name).sql(query.sql(DIALECT), dialect=DIALECT)


def _flat(text: str) -> sql.Expression:
    def flatten(node: sql.Expression) -> sql.Expression:
        return sql.column(_name(node), quoted=True) if isinstance(node, sql.Column) else node

    return sqlglot.parse_one(text, read=DIALECT).transform(flatten)


def _name(column: sql.Column) -> str:
    return f"{column.table}.{column.name}" if column.table else column.name
