"""A split as a stream of encoded batches: never more rows in memory than the shuffle buffer and one row group.

The training split lies on disk in an order that a hash of the key gives (splits.py), so reading it in order is already
reading it shuffled; each epoch additionally takes the row groups in another order and shuffles within the buffer.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow import dataset as ds

from pipelines.training import encoding as encodings
from pipelines.training.encoding import Encoded, Encoding


def raw(split: ds.Dataset, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The named columns in file order, in batches of at most `rows` rows."""
    for group in groups(split):
        yield from group.to_table(columns=columns, use_threads=False).to_batches(rows)


def groups(split: ds.Dataset) -> list[ds.ParquetFileFragment]:
    """The row groups, in file order. One by one: a scanner over a whole file reads ahead of whoever asks."""
    return [group for fragment in split.get_fragments() for group in fragment.split_by_row_group()]


def head(split: ds.Dataset, columns: list[str], rows: int) -> pa.Table:
    """The first `rows` rows; of the training split a uniform sample, since it lies shuffled."""
    parts, missing = [], rows
    for batch in raw(split, columns, rows):
        parts.append(batch.slice(0, missing))
        missing -= batch.num_rows
        if missing <= 0:
            break
    return pa.Table.from_batches(parts)


def ordered(split: ds.Dataset, encoding: Encoding, rows: int) -> Iterator[Encoded]:
    """Every row once, in file order."""
    for batch in raw(split, [*encoding.columns, "label"], rows):
        if batch.num_rows:
            yield encodings.encode(batch, encoding)


def shuffled(
    split: ds.Dataset, encoding: Encoding, rows: int, buffer: int, seed: int | tuple[int, ...]
) -> Iterator[Encoded]:
    """Every row with a known label once, in an order that `seed` gives, in batches of `rows` rows (the last one less).

    Holds at most `buffer` rows plus one row group plus a batch.
    """
    random = np.random.default_rng(seed)
    there = groups(split)
    columns = [*encoding.columns, "label"]
    held: list[Encoded] = []
    for index in random.permutation(len(there)):
        held.append(encodings.encode(there[index].to_table(columns=columns, use_threads=False), encoding).known())
        if sum(part.rows for part in held) >= buffer:
            whole, rest = _batches(held, rows, random)
            yield from whole
            held = [rest]
    whole, rest = _batches(held, rows, random)
    yield from whole
    if rest.rows:
        yield rest


def _batches(held: list[Encoded], rows: int, random: np.random.Generator) -> tuple[Iterator[Encoded], Encoded]:
    """The held rows, mixed, as whole batches and a rest."""
    buffer = encodings.concatenate(held)
    order = random.permutation(buffer.rows)
    whole = buffer.rows // rows * rows
    return (buffer.take(order[at : at + rows]) for at in range(0, whole, rows)), buffer.take(order[whole:])
