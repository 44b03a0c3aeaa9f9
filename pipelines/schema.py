"""The schema: what the tables hold, when each value is known, what is predicted, and from what.

`conf/base/schema.yml` typed. Expressions are SQL over one row, in DuckDB's dialect; times are UTC without a zone.
Nothing here knows a column by name: another table is another file.
"""

import datetime as dt
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlglot
import yaml
from msgspec import Meta

from contracts.errors import InputError
from pipelines.expressions import reads
from pipelines.parameters import Section, convert

FORMAT = 1
Span = Annotated[str, Meta(pattern="^[1-9][0-9]*[mhd]$")]  # 90m, 2h, 28d
Name = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
COLUMNS_OF_OURS = frozenset({"prediction_time", "label_known_at", "label", "block"})


class Column(Section, frozen=True, kw_only=True):
    """One column of a table, as the contract demands it."""

    type: Literal["string", "int64", "float64", "bool", "timestamp"]
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()
    pattern: str | None = None  # the whole value, as a regular expression
    known_at: str | None = None  # when this value is known, if later than its row


class Table(Section, frozen=True, kw_only=True):
    """One table. A file may have more columns; only these are kept."""

    columns: dict[Name, Column]
    key: tuple[Name, ...]
    derive: dict[Name, str] = {}  # further columns, each an expression over the row and what is derived before it
    known_at: str | None = None  # when the row is known; without it, always


class Label(Section, frozen=True, kw_only=True):
    """What is predicted."""

    expression: str
    known_at: str  # when it is known; also the earliest time at which a model may be trained on it
    policy: str  # which rows have one, for people
    missing: dict[str, str] = {}  # why a row has none -> the condition: counted in the ingestion report


class Prediction(Section, frozen=True, kw_only=True):
    """When and for which rows a prediction is made: one for each row of `table`."""

    table: Name
    time: str  # what the row is about happens at this time
    lead: Span  # prediction time = time - lead
    label: Label


class Join(Section, frozen=True, kw_only=True):
    """Another table seen from the predicted row: its columns are `<join>.<column>` in feature expressions.

    With `max_age` the latest row that was known at prediction time, if it is not older; without, the row with that key
    of a table that is always known. A row counts as known with its `known_at`, and when everything that is in `knows`
    is known; of the columns with a `known_at` of their own only those may be read.
    """

    table: Name
    match: dict[Name, Name]  # column of the predicted row -> column of that table
    max_age: Span | None = None
    knows: tuple[Name, ...] = ()

    def moment(self, table: Table) -> str | None:
        """When a row is known as this join wants it; None when it always is."""
        return moment(table, set(self.knows))


class History(Section, frozen=True, kw_only=True):
    """A statistic over the rows of `table` that share `by` with the predicted row and were known by then.

    A row counts from the moment when everything that `of` and `where` read is known, and not before `at`; the window
    reaches back from prediction time.
    """

    table: Name
    statistic: Literal["count", "sum", "mean"]
    window: Span
    by: tuple[Name, ...] = ()
    of: str | None = None  # not needed for count
    where: str | None = None
    at: str | None = None

    def moment(self, table: Table) -> str | None:
        """When a row begins to count; None when it always does."""
        columns = set().union(*(reads(text) for text in (self.of, self.where) if text))
        return moment(table, columns, self.at)


class Feature(Section, frozen=True, kw_only=True):
    """One model input: an expression over the row and its joins, or a history."""

    dtype: Literal["string", "float32", "int64", "bool"]
    source: Literal["request", "lookup"]
    description: str
    nullable: bool = False
    expression: str | None = None
    history: History | None = None


class Schema(Section, frozen=True, kw_only=True):
    """The whole document."""

    format: int
    task: Literal["binary", "multiclass", "regression"]
    target: str
    tables: dict[Name, Table]
    prediction: Prediction
    joins: dict[Name, Join] = {}
    features: dict[Name, Feature]
    segments: dict[Name, str] = {}  # for figures per group: expressions over the row and its joins
    block: str | None = None  # time whose UTC day groups rows that are not independent; prediction time if not given

    @property
    def spine(self) -> Table:
        return self.tables[self.prediction.table]


def load(path: Path) -> Schema:
    """Read and check the schema; raises InputError with file, key, reason and way out.

    Refused too: a feature that would read a value which is known only after prediction time.
    """
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; nothing runs without it") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}; correct it") from error
    schema = convert(document, Schema, str(path))
    for key, reason in problems(schema):
        raise InputError(f"{path}: {key}: {reason}")
    return schema


def problems(schema: Schema) -> Iterator[tuple[str, str]]:
    """Everything that does not fit together, as (key, reason; way out)."""
    if schema.format != FORMAT:
        yield "format", f"is {schema.format}, this version reads {FORMAT}; see docs/data.md"
    yield from _tables(schema)
    yield from _prediction(schema)
    yield from _joins(schema)
    yield from _features(schema)


def span(text: Span) -> dt.timedelta:
    """`90m`, `2h` or `28d` as a length of time."""
    return dt.timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[text[-1]]: int(text[:-1])})


def moment(table: Table, columns: set[str], at: str | None = None) -> str | None:
    """When these columns of a row are known, and not before `at`, as one expression; None when they always are.

    NULL when one of the times is missing: what never happened is never known.
    """
    times = {table.columns[name].known_at for name in stored(table, columns)} | {table.known_at, at}
    found = sorted(f"({time})" for time in times if time)
    if len(found) < 2:
        return found[0] if found else None
    missing = " OR ".join(f"{time} IS NULL" for time in found)
    return f"CASE WHEN {missing} THEN NULL ELSE greatest({', '.join(found)}) END"


def early(table: Table, knows: Collection[str] = ()) -> tuple[str, ...]:
    """The columns of a row, stored and derived, that are known with it, or as soon as those in `knows` are."""
    return tuple(name for name in (*table.columns, *table.derive) if _late(table, {name}) <= set(knows))


def stored(table: Table, columns: set[str]) -> set[str]:
    """Which stored columns these come from, through `derive`."""
    found = columns & set(table.columns)
    for name in columns & set(table.derive):
        found |= stored(table, reads(table.derive[name]))
    return found


def _tables(schema: Schema) -> Iterator[tuple[str, str]]:
    for name, table in schema.tables.items():
        place = f"tables.{name}"
        known = set(table.columns)
        for key in table.key:
            if key not in known:
                yield f"{place}.key", f"{key} is no column of it; {_known(known)}"
            elif table.columns[key].nullable:
                yield f"{place}.key", f"{key} may be missing; a key may not: drop `nullable` there"
        for derived, expression in table.derive.items():
            if derived in table.columns:
                yield f"{place}.derive.{derived}", "is a column of the file too; choose another name"
            yield from _expression(f"{place}.derive.{derived}", expression, known)
            known.add(derived)
        for column, contract in table.columns.items():
            yield from _expression(f"{place}.columns.{column}.known_at", contract.known_at, known)
        yield from _expression(f"{place}.known_at", table.known_at, known)


def _prediction(schema: Schema) -> Iterator[tuple[str, str]]:
    prediction = schema.prediction
    if prediction.table not in schema.tables:
        yield "prediction.table", f"{prediction.table} is no table; {_known(schema.tables)}"
        return
    known = _names(schema.spine)
    yield from _expression("prediction.time", prediction.time, known)
    yield from _early("prediction.time", prediction.time, schema.spine)
    yield from _expression("prediction.label.expression", prediction.label.expression, known)
    yield from _expression("prediction.label.known_at", prediction.label.known_at, known)
    for reason, condition in prediction.label.missing.items():
        yield from _expression(f"prediction.label.missing.{reason}", condition, known)
    yield from _expression("block", schema.block, known)


def _joins(schema: Schema) -> Iterator[tuple[str, str]]:
    for name, join in schema.joins.items():
        place = f"joins.{name}"
        if join.table not in schema.tables:
            yield f"{place}.table", f"{join.table} is no table; {_known(schema.tables)}"
            continue
        table = schema.tables[join.table]
        for column in join.knows:
            yield from _expression(f"{place}.knows", column, _names(table))
        for here, there in join.match.items():
            yield from _expression(f"{place}.match", here, _names(schema.spine))
            yield from _early(f"{place}.match.{here}", here, schema.spine)
            yield from _expression(f"{place}.match.{here}", there, _names(table))
        if join.max_age is None and join.moment(table):
            yield place, f"{join.table} has rows that become known one by one; say how old one may be: max_age"
        if join.max_age is not None and not join.moment(table):
            yield f"{place}.max_age", f"needs a time: tables.{join.table}.known_at is not set; set it, or drop max_age"
        if join.max_age is None and set(join.match.values()) != set(table.key):
            yield (
                f"{place}.match",
                f"must name the whole key of {join.table}: {', '.join(table.key)}; else two rows may fit",
            )


def _features(schema: Schema) -> Iterator[tuple[str, str]]:
    if not schema.features:
        yield "features", "there is none; a model needs an input"
    spine = schema.spine
    row = _names(spine) | {"prediction_time"}
    row |= {f"{name}.{column}" for name, join in schema.joins.items() for column in _names(schema.tables[join.table])}
    for name, feature in schema.features.items():
        place = f"features.{name}"
        if name in COLUMNS_OF_OURS or name.startswith("segment_"):
            yield place, "is a name that the feature table needs itself; choose another one"
        if name in spine.key and (feature.expression or "") != name:
            yield place, "is a key column; a feature of that name must be that column"
        if (feature.expression is None) == (feature.history is None):
            yield place, "needs an expression or a history, and not both"
        elif feature.expression is not None:
            yield from _expression(place, feature.expression, row)
            yield from _early(place, feature.expression, spine)
            yield from _early_joined(place, feature.expression, schema)
        else:
            yield from _history(place, feature, schema)
    for name, expression in schema.segments.items():
        yield from _expression(f"segments.{name}", expression, row)
        yield from _early(f"segments.{name}", expression, spine)
        yield from _early_joined(f"segments.{name}", expression, schema)


def _history(place: str, feature: Feature, schema: Schema) -> Iterator[tuple[str, str]]:
    history = feature.history
    assert history is not None
    if history.table not in schema.tables:
        yield f"{place}.history.table", f"{history.table} is no table; {_known(schema.tables)}"
        return
    table = schema.tables[history.table]
    for column in history.by:
        yield from _expression(f"{place}.history.by", column, _names(table))
        yield from _expression(f"{place}.history.by", column, _names(schema.spine))
        yield from _early(f"{place}.history.by", column, schema.spine)
    for part in ("of", "where", "at"):
        yield from _expression(f"{place}.history.{part}", getattr(history, part), _names(table))
    if (history.of is None) != (history.statistic == "count"):
        yield (
            f"{place}.history.of",
            "is what is averaged, added or taken; count has none, the others need it",
        )
    if not history.moment(table):
        yield f"{place}.history", f"{history.table} is always known, so it has no past; set its known_at, or `at` here"
    if history.statistic != "count" and not feature.nullable:
        yield f"{place}.nullable", "must be true: where there is no such row, there is no value"


def _early(place: str, expression: str | None, spine: Table) -> Iterator[tuple[str, str]]:
    """A value of the predicted row may be read only if it has no known_at of its own: it is known with its row."""
    for column in sorted(_late(spine, _columns(expression))):
        yield (
            place,
            f"reads {column}, known only at {spine.columns[column].known_at}; drop it, or use a history",
        )


def _early_joined(place: str, expression: str, schema: Schema) -> Iterator[tuple[str, str]]:
    for column in sorted(_columns(expression)):
        name, _, there = column.rpartition(".")
        if (join := schema.joins.get(name)) is not None and join.table in schema.tables:
            for late in sorted(_late(schema.tables[join.table], {there}) - set(join.knows)):
                yield place, f"reads {column}: {late} is known after its row; put it into joins.{name}.knows"


def _late(table: Table, columns: set[str]) -> set[str]:
    return {name for name in stored(table, columns) if table.columns[name].known_at}


def _expression(place: str, expression: str | None, known: set[str]) -> Iterator[tuple[str, str]]:
    if expression is None:
        return
    try:
        unknown = reads(expression) - known
    except sqlglot.errors.SqlglotError as error:
        yield place, f"is not SQL: {' '.join(str(error).split())}; see docs/data.md"
        return
    if unknown:
        yield place, f"{sorted(unknown)[0]} is not there; {_known(known)}"


def _columns(expression: str | None) -> set[str]:
    try:
        return reads(expression) if expression else set()
    except sqlglot.errors.SqlglotError:
        return set()  # reported by _expression


def _names(table: Table) -> set[str]:
    return set(table.columns) | set(table.derive)


def _known(names: Any) -> str:
    return f"known: {', '.join(sorted(names))}"
