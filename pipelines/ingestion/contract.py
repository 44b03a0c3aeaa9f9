"""One table against its contract: every value typed, every row that breaks it with the first reason why."""

import ibis
from msgspec import Struct

from contracts.errors import InputError
from pipelines import expressions
from pipelines.schema import Column, Table

# A cast that gives NULL instead of an error. Times are UTC without a zone: a zone or offset in the text is applied (a
# cast to TIMESTAMP would drop it), a text without one is UTC.
CASTS = {
    "string": "NULLIF(CAST({0} AS VARCHAR), '')",
    "int64": "TRY_CAST({0} AS BIGINT)",
    "float64": "TRY_CAST({0} AS DOUBLE)",
    "bool": "TRY_CAST({0} AS BOOLEAN)",
    "timestamp": "TRY_CAST({0} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'",
}
REASON = "reason"


class Checked(Struct, frozen=True):
    """A table after its check.

    `kept` are the typed rows that keep the contract, `refused` the source's rows that do not, each with its `reason`;
    `reasons` counts those.
    """

    kept: ibis.Table
    refused: ibis.Table
    rows: int
    reasons: dict[str, int]

    @property
    def refusals(self) -> int:
        return sum(self.reasons.values())


def check(name: str, source: ibis.Table, table: Table) -> Checked:
    """Hold `source` against its contract.

    Raises InputError for a missing column and for a table without rows: no row of it could keep the contract.
    """
    if missing := [column for column in table.columns if column not in source.columns]:
        found = ", ".join(source.columns)
        raise InputError(f"{name}: {missing[0]}: the source has no such column; it has {found}")
    marked = _mark(source, table)
    repeated = _repeated(marked, table)
    if repeated is not None:
        marked = _mark_repeated(marked, repeated, table)
    counts = marked.group_by(REASON).aggregate(rows=ibis._.count()).order_by(REASON).to_pyarrow().to_pylist()
    rows = sum(count["rows"] for count in counts)
    if not rows:
        raise InputError(f"{name}: the source is empty; check the file that conf/base/catalog.yml names")
    kept = marked.filter(marked[REASON].isnull())
    kept = expressions.project(kept, {column: f'"{_typed(column)}"' for column in table.columns})
    for derived, expression in table.derive.items():  # one after the other: each may read the one before
        kept = expressions.extend(kept, {derived: expression})
    return Checked(
        kept=kept,
        refused=marked.filter(marked[REASON].notnull()).select(*source.columns, REASON),
        rows=rows,
        reasons={count[REASON]: count["rows"] for count in counts if count[REASON] is not None},
    )


def _mark(source: ibis.Table, table: Table) -> ibis.Table:
    """The source with each column typed, beside it as it was, and the first reason why the row breaks the contract."""
    typed = expressions.extend(
        source, {_typed(name): CASTS[column.type].format(f'"{name}"') for name, column in table.columns.items()}
    )
    reasons = [reason for name, column in table.columns.items() for reason in _reasons(name, column)]
    return expressions.extend(typed, {REASON: f"CASE {' '.join(reasons)} ELSE CAST(NULL AS VARCHAR) END"})


def _reasons(name: str, column: Column) -> list[str]:
    raw, value = f'"{name}"', f'"{_typed(name)}"'
    given = f"NULLIF(CAST({raw} AS VARCHAR), '') IS NOT NULL"
    found = [(f"{given} AND {value} IS NULL", f"is not {column.type}")]
    if column.type == "int64":  # a cast of 1.5 rounds
        found.append((f"TRY_CAST({raw} AS DOUBLE) <> {value}", "is not int64"))
    if column.type == "float64":
        found.append((f"NOT isfinite({value})", "is not a finite number"))
    if not column.nullable:
        found.append((f"{value} IS NULL", "is missing"))
    if column.minimum is not None:
        found.append((f"{value} < {column.minimum!r}", f"is below {column.minimum:g}"))
    if column.maximum is not None:
        found.append((f"{value} > {column.maximum!r}", f"is above {column.maximum:g}"))
    if column.allowed:
        found.append((f"{value} NOT IN ({', '.join(map(_quoted, column.allowed))})", "is not an allowed value"))
    if column.pattern is not None:
        found.append((f"NOT regexp_full_match({value}, {_quoted(column.pattern)})", f"does not match {column.pattern}"))
    return [f"WHEN {condition} THEN {_quoted(f'{name}: {reason}')}" for condition, reason in found]


def _repeated(marked: ibis.Table, table: Table) -> ibis.Table | None:
    """The keys that more than one sound row has, held in memory: there are none, or few."""
    key = {name: marked[_typed(name)] for name in table.key}
    sound = marked.filter(marked[REASON].isnull()).select(**key)
    found = sound.group_by(list(table.key)).having(ibis._.count() > 1).aggregate().to_pyarrow()
    return ibis.memtable(found) if len(found) else None


def _mark_repeated(marked: ibis.Table, repeated: ibis.Table, table: Table) -> ibis.Table:
    """Rows that share a key are all refused: which one is right, nobody can say from here."""
    twin = repeated.mutate(twin=True).rename({_typed(name): name for name in table.key})
    joined = marked.left_join(twin, [_typed(name) for name in table.key])
    reason = f"{', '.join(table.key)}: more than one row has this key"
    together = ibis.coalesce(joined[REASON], ibis.ifelse(joined.twin, reason, None))
    return joined.mutate(**{REASON: together}).select(*marked.columns)


def _typed(name: str) -> str:
    return f"typed.{name}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
