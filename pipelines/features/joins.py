"""Other tables seen from the predicted row: the row with its key, or the latest one that was known by then."""

import ibis

from pipelines import expressions
from pipelines.features.history import Within
from pipelines.schema import Join, Schema, Table, early, span


def add(rows: ibis.Table, tables: dict[str, ibis.Table], schema: Schema, within: Within | None = None) -> ibis.Table:
    """`rows` with a column `<join>.<column>` for every column that a join makes visible, NULL where no row fits."""
    for name, join in schema.joins.items():
        table = schema.tables[join.table]
        if join.max_age is None:
            rows = _row_with_key(rows, tables[join.table], name, join, table)
        else:
            rows = _latest_row(rows, tables[join.table], name, join, table, within)
    return rows


def _row_with_key(rows: ibis.Table, other: ibis.Table, name: str, join: Join, table: Table) -> ibis.Table:
    seen = other.select(**_columns(other, name, join, table), **_match(other, name, join))
    matched = [rows[here] == seen[f"{name}:{here}"] for here in join.match]
    return rows.left_join(seen, matched).select(rows, *(seen[column] for column in _columns(other, name, join, table)))


def _latest_row(
    rows: ibis.Table, other: ibis.Table, name: str, join: Join, table: Table, within: Within | None
) -> ibis.Table:
    assert join.max_age is not None
    known = f"{name}:known_at"
    other = expressions.extend(other, {known: join.moment(table) or "NULL"})
    if within is not None:
        other = other.filter(other[known] >= within[0] - span(join.max_age), other[known] <= within[1])
    # Of rows that became known in the same moment the one with the greatest key, so that the answer is always the same.
    order = [ibis.desc(other[column]) for column in table.key]
    rank = ibis.row_number().over(group_by=[*set(join.match.values()), known], order_by=order)
    other = other.mutate(rank=rank).filter(ibis._.rank == 0)
    columns = _columns(other, name, join, table)
    seen = other.select(other[known], **columns, **_match(other, name, join))
    matched = [rows[here] == seen[f"{name}:{here}"] for here in join.match]
    latest = rows.asof_join(seen, rows.prediction_time >= seen[known], matched)
    oldest = latest.prediction_time - ibis.interval(seconds=int(span(join.max_age).total_seconds()))
    fresh = latest[known] >= oldest
    return latest.select(*rows.columns, **{column: ibis.ifelse(fresh, latest[column], None) for column in columns})


def _columns(other: ibis.Table, name: str, join: Join, table: Table) -> dict[str, ibis.Value]:
    return {f"{name}.{column}": other[column] for column in early(table, join.knows)}


def _match(other: ibis.Table, name: str, join: Join) -> dict[str, ibis.Value]:
    return {f"{name}:{here}": other[there] for here, there in join.match.items()}
