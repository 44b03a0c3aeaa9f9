"""The node of the scoring pipeline."""

import datetime as dt

import pyarrow as pa
from ibis import Table

from contracts.bundle import Bundle
from contracts.errors import InputError
from pipelines.schema import Schema
from pipelines.scoring import scores
from pipelines.scoring.parameters import Parameters
from pipelines.training.parameters import Parameters as Training


def score(
    feature_table: Table, bundle: Bundle, schema: Schema, parameters: Parameters, training: Training
) -> pa.RecordBatchReader:
    """Scores for the rows predicted from `since` to before `until`, the test window by default; a stream."""
    since = parameters.since or training.train_until
    until = parameters.until or training.test_until
    if until <= since:
        raise InputError(f"conf/base/parameters_scoring.yml: scoring.until: {until} is not after since, {since}")
    keep = [*schema.spine.key, "prediction_time"]
    needed = [*keep, *(column.name for column in bundle.manifest.inputs)]
    if absent := [name for name in needed if name not in feature_table.columns]:
        raise InputError(
            f"feature_table: {absent[0]}: is missing, the model needs it; run `kedro run --pipelines features`"
        )
    time = feature_table.prediction_time
    rows = feature_table.filter((time >= _midnight(since)) & (time < _midnight(until)))[list(dict.fromkeys(needed))]
    return scores.score(rows.to_pyarrow_batches(chunk_size=parameters.batch_rows), bundle, keep)


def _midnight(day: dt.date) -> dt.datetime:
    """The start of a UTC day, without a zone as all times of the feature table."""
    return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001
