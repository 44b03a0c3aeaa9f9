"""The encoding, learned from a bounded sample of the training split.

All of it comes from one table in file order with numpy and pyarrow, in one thread, so that neither the number of
threads nor the order in which they finish can change a digit.
"""

import logging
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import InputError
from pipelines.training import encoding as encodings
from pipelines.training.encoding import Category, Encoding, Number, Target
from pipelines.training.parameters import Encoding as Parameters

logger = logging.getLogger(__name__)


def learn(sample: pa.Table, columns: Sequence[str], target: Target, how: Parameters) -> Encoding:
    """Learn how to encode `columns` of `sample`.

    Strings become categories: the `most_categories` frequent values, of those in at least `least_rows` rows. Integers
    of at most `integer_levels` distinct values become a category too, beside being a number. All but strings are
    numbers, with up to `bins` quantile bins. A string without a frequent value is left out, with a warning. A column
    without any value is refused.
    """
    categories, numbers = [], []
    for name in columns:
        column = sample.column(name)
        if column.null_count == len(column):
            raise InputError(
                f"training: {name}: has no value in the training window; take it out of the features in the schema"
            )
        text = _is_text(column.type)
        if text or _is_level(column, how.integer_levels):
            category = _category(name, column, how)
            if category.values:
                categories.append(category)
            elif text:
                logger.warning("%s: no value is in %d rows or more: the model does without it", name, how.least_rows)
        if not text:
            numbers.append(_number(name, encodings.values(column), how.bins))
    if not categories and not numbers:
        raise InputError("training: features: no column is left to learn from; choose others in the schema")
    return Encoding(categories=tuple(categories), numbers=tuple(numbers), target=target)


def target(sample: pa.Table, task: str) -> Target:
    """What the label is: its classes, or its mean and standard deviation; refused when there is nothing to learn."""
    column = sample.column("label")
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    if distinct < 2:
        way_out = "widen it, or check the label's expression in the schema"
        raise InputError(f"training: label: has {distinct} distinct value in the training window; {way_out}")
    if task == "binary":
        if not set(pc.unique(column).to_pylist()) <= {0, 1}:  # False and True are equal to them
            way_out = "change the label's expression or the task in the schema"
            raise InputError(f"training: label: a binary task needs 0 and 1; {way_out}")
        return Target(task=task)
    if task == "multiclass":
        return Target(task=task, classes=tuple(sorted(pc.unique(column.cast(pa.string())).to_pylist())))
    found = column.cast(pa.float64()).to_numpy()
    return Target(task=task, mean=float(found.mean()), std=float(found.std()))


def frequencies(column: pa.ChunkedArray) -> list[tuple[str | int, int]]:
    """Values with their counts, most frequent first, equal counts by value; missing ones (null, "") left out."""
    counted = [(entry["values"], entry["counts"]) for entry in pc.value_counts(column).to_pylist()]
    return sorted((entry for entry in counted if entry[0] not in (None, "")), key=lambda entry: (-entry[1], entry[0]))


def _category(name: str, column: pa.ChunkedArray, how: Parameters) -> Category:
    counted = frequencies(column)
    missing = len(column) > sum(count for _, count in counted)
    return Category(
        name=name,
        values=tuple(value for value, count in counted[: how.most_categories] if count >= how.least_rows),
        missing=missing,
    )


def _number(name: str, column: np.ndarray, bins: int) -> Number:
    known = column[np.isfinite(column)].astype(np.float64)
    if not len(known):
        raise InputError(
            f"training: {name}: has no finite value in the training window; take it out of the features in the schema"
        )
    spread = float(known.std())
    edges = _apart(np.quantile(known, np.linspace(0, 1, bins + 1)).astype(np.float32), spread * 1e-6)
    return Number(
        name=name,
        fill=float(np.float32(np.median(known))),
        mean=float(known.mean()),
        std=spread if spread > 0 else 1.0,
        low=edges[0],
        high=edges[-1],
        edges=tuple(edges),
    )


def _apart(edges: np.ndarray, least: float) -> list[float]:
    """Ascending edges without those so close to their neighbour that a slope between them would be infinite."""
    kept = [float(edges[0])]
    for edge in edges[1:]:
        if edge - kept[-1] > least:
            kept.append(float(edge))
    return kept


def _is_level(column: pa.ChunkedArray, most: int) -> bool:
    return pa.types.is_integer(column.type) and pc.count_distinct(column).as_py() <= most


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
