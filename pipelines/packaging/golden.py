"""`golden.json`: rows of the test split with the answers that this model gives, to be reproduced wherever it runs."""

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import dataset as ds

from contracts.bundle import Golden, Input, Manifest
from pipelines.packaging import inference
from pipelines.training.encoding import Target

UNSEEN = "never seen in training"


def choose(test: ds.Dataset, manifest: Manifest, rows: int) -> dict[str, list[Any]]:
    """Rows spread evenly over the test split; then one where all is missing that may be, one of unseen categories."""
    places = np.unique(np.linspace(0, test.count_rows() - 1, rows - 2).astype(np.int64))
    taken = test.take(pa.array(places), columns=[column.name for column in manifest.inputs])
    found: dict[str, list[Any]] = {}
    for column in manifest.inputs:
        absent = None if column.nullable else _instead(column)
        values = [
            value if _is_given(value) else absent for value in inference.columns(taken, [column])[column.name].tolist()
        ]
        missing = None if column.nullable else values[0]
        unseen = UNSEEN if column.dtype == "string" else values[0]
        found[column.name] = [*values, missing, unseen]
    return found


def answer(model: bytes, inputs: dict[str, list[Any]], manifest: Manifest, target: Target, tolerance: float) -> Golden:
    """The golden rows with their answers.

    `tolerance` is for a probability: float32 sums in another order (another CPU) differ by some 1e-7 in a score, and
    budgets ask for 1e-4 at most. A regression's is that share of the target's standard deviation.
    """
    feeds = {column.name: _array(inputs[column.name], column) for column in manifest.inputs}
    outputs = inference.session(model).run([output.name for output in manifest.outputs], feeds)
    return Golden(
        inputs=inputs,
        outputs={output.name: found.tolist() for output, found in zip(manifest.outputs, outputs, strict=True)},
        absolute_tolerance=tolerance * (target.std if manifest.task == "regression" else 1.0),
        relative_tolerance=tolerance,
    )


def _is_given(value: Any) -> bool:
    """Neither missing nor infinite, which JSON cannot say."""
    return value != "" and not (isinstance(value, float) and not np.isfinite(value))


def _instead(column: Input) -> Any:
    """A value for a row that has none where there must be one."""
    return UNSEEN if column.dtype == "string" else column.minimum or 0.0


def _array(values: list[Any], column: Input) -> np.ndarray:
    if column.dtype == "string":
        return np.array(["" if value is None else value for value in values], object)
    kind = {"float32": np.float32, "int64": np.int64, "bool": np.bool_}[column.dtype]
    return np.array([np.nan if value is None else value for value in values], kind)
