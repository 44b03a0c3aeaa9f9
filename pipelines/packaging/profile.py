"""`reference_profile.json`: how inputs and predictions were distributed in training, for drift.

Counted over the first rows of the training split, a uniform sample of it since it lies shuffled.
"""

import numpy as np
import pyarrow as pa

from contracts.bundle import CategoricalProfile, Input, Manifest, NumericProfile, ReferenceProfile
from pipelines.packaging import inference
from pipelines.packaging.parameters import Parameters
from pipelines.training.encoder import frequencies

ROWS = 8192  # predicted at a time


def describe(sample: pa.Table, model: bytes, manifest: Manifest, parameters: Parameters) -> ReferenceProfile:
    """Profiles of every input, and of every output of width 1, over `sample`."""
    return ReferenceProfile(
        rows=sample.num_rows,
        inputs={column.name: _input(sample, column, parameters) for column in manifest.inputs},
        predictions={
            name: numeric(values, parameters.profile_bins) for name, values in _predict(sample, model, manifest).items()
        },
    )


def numeric(values: np.ndarray, bins: int) -> NumericProfile:
    """Bins of about equal count. NaN is missing; infinities are in the outer bins, and in no moment."""
    known = values[~np.isnan(values)].astype(np.float64)
    finite = known[np.isfinite(known)]
    if not len(finite):
        return NumericProfile(edges=[], counts=[len(known)], missing=len(values) - len(known))
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return NumericProfile(
        edges=edges.tolist(),
        counts=counts.tolist(),
        missing=len(values) - len(known),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        mean=float(finite.mean()),
        std=float(finite.std()),
    )


def categorical(column: pa.ChunkedArray, most: int) -> CategoricalProfile:
    """The `most` frequent values by name, the others together; true and false of a boolean in JSON's spelling."""
    counted = frequencies(column.cast(pa.string()))
    total = sum(count for _, count in counted)
    kept = {str(value): count for value, count in counted[:most]}
    return CategoricalProfile(counts=kept, other=total - sum(kept.values()), missing=len(column) - total)


def _input(sample: pa.Table, column: Input, parameters: Parameters) -> NumericProfile | CategoricalProfile:
    if column.dtype in ("string", "bool"):
        return categorical(sample.column(column.name), parameters.profile_categories)
    return numeric(inference.columns(sample, [column])[column.name], parameters.profile_bins)


def _predict(sample: pa.Table, model: bytes, manifest: Manifest) -> dict[str, np.ndarray]:
    names = [output.name for output in manifest.outputs if output.width == 1]
    session = inference.session(model)
    parts = [
        session.run(names, inference.columns(batch, manifest.inputs)) for batch in sample.to_batches(ROWS) if names
    ]
    return {name: np.concatenate([part[index] for part in parts]) for index, name in enumerate(names)}
