"""The graph, asked as a client asks it: named columns through onnxruntime."""

from collections.abc import Iterable

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.compute as pc

from contracts.bundle import Input


def session(model: bytes) -> ort.InferenceSession:
    """One thread: the same sums in the same order, whatever the machine."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are about its own optimisations
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def columns(batch: pa.RecordBatch | pa.Table, inputs: Iterable[Input]) -> dict[str, np.ndarray]:
    """The inputs out of a batch, each [n] in its dtype; a missing string is "", a missing number NaN."""
    return {column.name: _array(batch.column(column.name), column.dtype) for column in inputs}


def _array(column: pa.Array | pa.ChunkedArray, dtype: str) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if dtype == "string":
        return pc.fill_null(column, "").to_numpy(zero_copy_only=False).astype(object)
    if dtype == "float32" and pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    kind = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}[dtype]
    return column.cast(kind, safe=False).to_numpy(zero_copy_only=False)
