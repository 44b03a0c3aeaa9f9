"""Arrow columns as the model's runtime takes them: numpy arrays by the names of the manifest."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from contracts.bundle import Input


def columns(batch: pa.RecordBatch | pa.Table, inputs: Iterable[Input]) -> dict[str, np.ndarray]:
    """The model's inputs out of `batch`, each of length n.

    A missing string is None and a missing number NaN. Whole numbers for a float32 input become doubles first: the
    table's type says "rounding is meant", where the server refuses a whole number that float32 cannot hold.
    """
    return {column.name: _values(batch.column(column.name), column.dtype) for column in inputs}


def _values(values: pa.Array | pa.ChunkedArray, dtype: str) -> np.ndarray:
    if dtype == "float32" and pa.types.is_integer(values.type):
        values = values.cast(pa.float64(), safe=False)
    if isinstance(values, pa.ChunkedArray):
        return values.to_numpy()
    return values.to_numpy(zero_copy_only=False)
