"""The feature function: a row, and what was known at its prediction time. One for a table and for a single point."""

from collections.abc import Mapping
from typing import Any

import ibis

from contracts.errors import InputError
from pipelines import expressions
from pipelines.features import history, joins
from pipelines.features.history import Within
from pipelines.schema import Feature, Schema, early, span

SQL_TYPES = {"string": "VARCHAR", "float32": "DOUBLE", "int64": "BIGINT", "bool": "BOOLEAN"}
COLUMN_TYPES = {"timestamp": "timestamp(6)"}


def compute(
    spine: ibis.Table, tables: dict[str, ibis.Table], schema: Schema, within: Within | None = None
) -> ibis.Table:
    """The features of every row of `spine`.

    `spine` has the columns of the prediction's table that are known with its row; any others are not looked at. Gives
    the key, `prediction_time`, `block` (a date), `segment_<name>` and the features by name and type, in no order.
    `within`: the earliest and latest prediction time, when the caller knows them; only what they can see is read.
    """
    rows = expressions.extend(spine.select(*early(schema.spine)), {"prediction_time": prediction_time(schema)})
    seen = joins.add(rows, tables, schema, within)
    seen = history.add(seen, tables, schema, within)
    columns = {name: f'"{name}"' for name in (*schema.spine.key, "prediction_time")}
    columns["block"] = f"CAST({schema.block or 'prediction_time'} AS DATE)"
    columns |= {f"segment_{name}": f"CAST({expression} AS VARCHAR)" for name, expression in schema.segments.items()}
    columns |= {name: _typed(name, feature) for name, feature in schema.features.items()}
    return expressions.project(seen, columns)


def point(request: Mapping[str, Any], tables: dict[str, ibis.Table], schema: Schema) -> dict[str, Any]:
    """The features of one row that is not in any table: `request` has its columns by name, times as UTC.

    Raises InputError for a column that is missing and may not be.
    """
    backend = next(iter(tables.values())).get_backend()
    values = {}
    for name in early(schema.spine):
        if (column := schema.spine.columns.get(name)) is not None:
            if request.get(name) is None and not column.nullable:
                raise InputError(f"request: {name}: is missing; send it, or allow that in schema.yml")
            values[name] = ibis.literal(request.get(name), COLUMN_TYPES.get(column.type, column.type))
    spine = backend.sql("SELECT 1 AS one").select(**values)
    for name in early(schema.spine):
        if name in schema.spine.derive:
            spine = expressions.extend(spine, {name: schema.spine.derive[name]})
    time = expressions.project(spine, {"time": prediction_time(schema)}).to_pyarrow()["time"][0].as_py()
    found = compute(spine, tables, schema, within=(time, time)).to_pyarrow().to_pylist()[0]
    return {name: found[name] for name in schema.features}


def prediction_time(schema: Schema) -> str:
    """The expression that gives it."""
    return f"({schema.prediction.time}) - INTERVAL {int(span(schema.prediction.lead).total_seconds())} SECOND"


def _typed(name: str, feature: Feature) -> str:
    value = f"CAST({feature.expression or _quoted(history.column(name))} AS {SQL_TYPES[feature.dtype]})"
    # A division by zero is not a number, and no number is what "missing" means.
    return f"CASE WHEN isfinite({value}) THEN {value} END" if feature.dtype == "float32" else value


def _quoted(column: str) -> str:
    return f'"{column}"'
