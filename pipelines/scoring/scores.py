"""Scores of a stream of rows: predictions beside the key, with the model that made them, batch after batch."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from contracts.bundle import Bundle
from contracts.errors import InputError
from pipelines.scoring.columns import columns
from serving.runtime import Model

VERSION, DIGEST = "model_version", "bundle_digest"


def score(rows: pa.RecordBatchReader, bundle: Bundle, keep: Sequence[str]) -> pa.RecordBatchReader:
    """Scores for `rows`, in their order: the columns `keep`, one per prediction, the version and digest of the model.

    Nothing is read before the result is; then one batch at a time. Raises InputError for a column that is missing or
    holds what the model does not take, when it is met.
    """
    wanted = [*keep, *(column.name for column in bundle.manifest.inputs)]
    if absent := [name for name in wanted if name not in rows.schema.names]:
        raise InputError(
            f"scoring: {absent[0]}: is not a column of the table; the model needs it: make the features again"
        )
    model = Model(bundle, threads=0)  # 0: as many as there are cores, nobody else is being served here
    kept = [rows.schema.field(name) for name in keep]
    predicted = [pa.field(name, pa.float32()) for name in names(bundle)]
    made = [pa.field(name, pa.string()) for name in (VERSION, DIGEST)]
    schema = pa.schema([*kept, *predicted, *made])
    return pa.RecordBatchReader.from_batches(schema, _scored(rows, model, list(keep), schema))


def names(bundle: Bundle) -> list[str]:
    """The prediction columns: an output's name, or `<output>_<class>` where it has several."""
    return [
        name if output.width == 1 else f"{output.name}_{bundle.manifest.classes[place]}"
        for output in bundle.manifest.outputs
        for place, name in enumerate([output.name] * output.width)
    ]


def _scored(rows: pa.RecordBatchReader, model: Model, keep: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    bundle = model.bundle
    for batch in rows:
        if not batch.num_rows:
            continue
        answers = model.predict(columns(batch, bundle.manifest.inputs))
        predictions = [
            np.ascontiguousarray(values)
            for output in bundle.manifest.outputs
            for values in answers[output.name].reshape(batch.num_rows, -1).T
        ]
        made = [pa.repeat(value, batch.num_rows) for value in (bundle.provenance.version, bundle.digest)]
        arrays = [*(batch.column(name) for name in keep), *map(pa.array, predictions), *made]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
