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
    # A short readahead: the default of 16 batches is most of a small split.
    yield from split.to_batches(columns=columns, batch_size=rows, batch_readahead=2, fragment_readahead=1)


def head(split: ds.Dataset, columns: list[str], rows: int) -> pa.Table:
    """The first `rows` rows; of the training split a uniform sample, since it lies shuffled."""
    return split.head(rows, columns=columns, batch_size=16384, batch_readahead=2, fragment_readahead=1)


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
    groups = [group for fragment in split.get_fragments() for group in fragment.split_by_row_group()]
    columns = [*encoding.columns, "label"]
    held: list[Encoded] = []
    for index in random.permutation(len(groups)):
        held.append(encodings.encode(groups[index].to_table(columns=columns, use_threads=False), encoding).known())
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
