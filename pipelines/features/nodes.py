"""The feature table: every row that has a label, with what was known at its prediction time."""

import datetime as dt
import logging
from collections.abc import Iterator

import ibis
import pyarrow as pa

from contracts.errors import InputError
from pipelines import expressions
from pipelines.features.parameters import Parameters
from pipelines.features.point_in_time import compute, prediction_time
from pipelines.schema import Schema, span

logger = logging.getLogger(__name__)
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (UTC without a zone, as everywhere in the tables)
LABEL_TYPES = {"binary": "BIGINT", "multiclass": "VARCHAR", "regression": "DOUBLE"}


def build(tables: dict[str, ibis.Table], schema: Schema, parameters: Parameters) -> pa.RecordBatchReader:
    """The feature table, in the order of prediction time and key, as a stream that is worked out part by part.

    Raises InputError when no row has a label, or when a feature is missing that may not be.
    """
    label = schema.prediction.label
    labelled = expressions.extend(
        tables[schema.prediction.table],
        {
            "prediction_time": prediction_time(schema),
            "label": f"CAST({label.expression} AS {LABEL_TYPES[schema.task]})",
            "label_known_at": label.known_at,
        },
    )
    labelled = labelled.filter(labelled.label.notnull(), labelled.label_known_at.notnull())
    starts = _starts(labelled, span(parameters.part))
    if not starts:
        raise InputError("schema.yml: prediction.label.expression: no row has a label; correct it, or the source")
    parts = (_part(labelled, tables, schema, start, start + span(parameters.part)) for start in starts)
    head = next(parts)
    return pa.RecordBatchReader.from_batches(head.schema, _batches(head, parts))


def _part(
    labelled: ibis.Table, tables: dict[str, ibis.Table], schema: Schema, start: dt.datetime, end: dt.datetime
) -> pa.Table:
    """The rows whose prediction time lies in [start, end)."""
    key = list(schema.spine.key)
    spine = labelled.filter(labelled.prediction_time >= start, labelled.prediction_time < end)
    found = compute(spine, tables, schema, within=(start, end))
    found = found.join(spine.select(*key, "label", "label_known_at"), key)
    first = [*key, "prediction_time", "label_known_at", "label", "block"]
    rest = [name for name in found.columns if name not in first]
    part = found.select(*first, *rest).order_by(["prediction_time", *key]).to_pyarrow()
    for name, feature in schema.features.items():
        if not feature.nullable and (missing := part[name].null_count):
            raise InputError(
                f"schema.yml: features.{name}: is missing in {missing} of {len(part)} rows from {start:%Y-%m-%d} on; "
                "set nullable: true there, or correct its expression"
            )
    logger.info("features from %s: %s rows", f"{start:%Y-%m-%d}", f"{len(part):,}")
    return part


def _starts(labelled: ibis.Table, length: dt.timedelta) -> list[dt.datetime]:
    """Where the parts begin that hold a row; the same for the same length, wherever the data begin."""
    seconds = int(length.total_seconds())
    number = labelled.select(part=labelled.prediction_time.epoch_seconds() // seconds).distinct().order_by("part")
    return [EPOCH + part * length for part in number.to_pyarrow()["part"].to_pylist()]


def _batches(head: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    yield from head.to_batches()
    for part in rest:
        yield from part.to_batches()
