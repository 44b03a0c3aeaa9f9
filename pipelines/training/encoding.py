"""How raw columns become what the network reads: codes for categories, float32 for numbers, NaN where one is missing.

Learned once from the training split, and small: it is kept beside the weights as JSON and becomes part of the ONNX
graph, so that the server cannot encode differently.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

MISSING, UNKNOWN, FIRST = 0, 1, 2  # codes of a category: nothing given, never seen (or too rare), the first known value


class Category(Struct, frozen=True, kw_only=True):
    """A column with an embedding. `values` have the codes 2, 3, ...; most frequent first."""

    name: str
    values: tuple[str | int, ...]
    missing: bool  # whether training saw missing values; where not, missing counts as unknown

    @property
    def size(self) -> int:
        return FIRST + len(self.values)

    @property
    def missing_code(self) -> int:
        return MISSING if self.missing else UNKNOWN

    @property
    def textual(self) -> bool:
        return not self.values or isinstance(self.values[0], str)


class Number(Struct, frozen=True, kw_only=True):
    """A numeric column (bool: 0 and 1) as training saw it; `edges` are distinct quantiles, from `low` up to `high`."""

    name: str
    fill: float  # the median, in place of a missing value
    mean: float
    std: float  # 1 where the column is constant
    low: float  # values outside are clipped
    high: float
    edges: tuple[float, ...]


class Target(Struct, frozen=True, kw_only=True):
    """What is predicted: `classes` of a multiclass task in code order; mean and standard deviation for a regression."""

    task: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def width(self) -> int:
        return len(self.classes) if self.task == "multiclass" else 1


class Encoding(Struct, frozen=True, kw_only=True):
    """All columns of a model, in the order in which the network reads them."""

    categories: tuple[Category, ...]
    numbers: tuple[Number, ...]
    target: Target

    @property
    def columns(self) -> list[str]:
        """Names of the raw columns needed, each once."""
        return list(
            dict.fromkeys([*(column.name for column in self.categories), *(column.name for column in self.numbers)])
        )


class Encoded(Struct, frozen=True):
    """Rows as arrays: `codes` int64 [n, categories], `numbers` float32 [n, numbers], `labels` [n].

    Labels are class numbers (int64) for a multiclass task, else float32.
    """

    codes: np.ndarray
    numbers: np.ndarray
    labels: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.labels)

    def take(self, which: np.ndarray | slice) -> "Encoded":
        return Encoded(self.codes[which], self.numbers[which], self.labels[which])

    def known(self) -> "Encoded":
        """Only the rows whose label is a class of training."""
        return self if self.labels.dtype != np.int64 or (self.labels >= 0).all() else self.take(self.labels >= 0)


def concatenate(parts: list[Encoded]) -> Encoded:
    """The rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    columns = ([getattr(part, name) for part in parts] for name in ("codes", "numbers", "labels"))
    return Encoded(*(np.concatenate(column) for column in columns))


def encode(batch: pa.RecordBatch | pa.Table, encoding: Encoding) -> Encoded:
    """Encode the raw columns and the label of a batch."""
    return Encoded(codes(batch, encoding), numbers(batch, encoding), labels(batch, encoding.target))


def codes(batch: pa.RecordBatch | pa.Table, encoding: Encoding) -> np.ndarray:
    """Codes of the categories, int64 [n, categories]."""
    found = np.empty((batch.num_rows, len(encoding.categories)), np.int64)
    for index, category in enumerate(encoding.categories):
        column = _flat(batch.column(category.name))
        known = pa.array(category.values, column.type)
        code = pc.fill_null(pc.add(pc.index_in(column, value_set=known), pa.scalar(FIRST, pa.int32())), UNKNOWN)
        found[:, index] = code.to_numpy(zero_copy_only=False)
        missing = pc.is_null(column)
        if category.textual:
            missing = pc.or_(missing, pc.fill_null(pc.equal(column, ""), True))
        found[missing.to_numpy(zero_copy_only=False), index] = category.missing_code
    return found


def numbers(batch: pa.RecordBatch | pa.Table, encoding: Encoding) -> np.ndarray:
    """Numbers as the server will give them, float32 [n, numbers], NaN where missing."""
    found = np.empty((batch.num_rows, len(encoding.numbers)), np.float32)
    for index, number in enumerate(encoding.numbers):
        found[:, index] = values(batch.column(number.name))
    return found


def values(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A numeric or boolean column as float32 [n], NaN where missing."""
    column = _flat(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def labels(batch: pa.RecordBatch | pa.Table, target: Target) -> np.ndarray:
    """The label as the loss takes it [n]: class numbers (int64, -1 for no class of training), or float32."""
    column = _flat(batch.column("label"))
    if target.task == "multiclass":
        index = pc.index_in(column.cast(pa.string()), value_set=pa.array(target.classes, pa.string()))
        return pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.array(column.cast(pa.float32()).to_numpy(zero_copy_only=False))  # a copy: torch wants to own it


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
