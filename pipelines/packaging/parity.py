"""Parity: the bundle's graph gives what the trained network gives, over every row of the test split."""

import numpy as np
from msgspec import Struct
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from pipelines.packaging import inference
from pipelines.training import batches, encoding
from pipelines.training.model import Model

FORMAT = 1
ROWS = 8192  # at a time


class Parity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data/parity.json`: the largest difference between PyTorch and onnxruntime.

    `maximum_error` is `maximum_absolute_error` / `scale`; the scale is 1 for probabilities and the target's standard
    deviation for a regression, so that one tolerance serves both.
    """

    format: int = FORMAT
    inputs_hash: str
    digest: str
    rows: int
    maximum_absolute_error: float
    scale: float
    maximum_error: float


def measure(bundle: Bundle, model: Model, test: ds.Dataset) -> Parity:
    """Ask both for every row, in parts."""
    learned = model.description.encoding
    names = [column.name for column in bundle.manifest.inputs]
    answer, session, largest, rows = model.module(), inference.session(bundle.model), 0.0, 0
    for batch in batches.raw(test, [*names, "label"], ROWS):
        if batch.num_rows:
            torch = answer.of(encoding.encode(batch, learned))
            onnx = session.run([bundle.manifest.outputs[0].name], inference.columns(batch, bundle.manifest.inputs))[0]
            differences = np.abs(torch.astype(np.float64) - onnx)
            largest = max(largest, float(np.nan_to_num(differences, nan=np.inf).max()))  # NaN agrees with nothing
            rows += batch.num_rows
    scale = learned.target.std if learned.target.task == "regression" else 1.0
    return Parity(
        inputs_hash=model.inputs_hash,
        digest=bundle.digest,
        rows=rows,
        maximum_absolute_error=largest,
        scale=scale,
        maximum_error=largest / scale,
    )
