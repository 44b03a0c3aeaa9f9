"""The splits as tables of a small DuckDB, for questions over all rows: what does not fit into memory is spilled."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
from pyarrow import dataset as ds

from pipelines.interruption import interruptible


@contextmanager
def opened(splits: Mapping[str, ds.Dataset]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection where each split is a table of its name; it has the limits of the run's own connection."""
    with tempfile.TemporaryDirectory() as spill:
        limits: dict[str, str] = getattr(splits, "duckdb", {})  # as the dataset of the splits gives them
        connection = duckdb.connect(config={"temp_directory": spill, **limits})
        interruptible(connection)
        try:
            for name, split in splits.items():
                if isinstance(split, ds.FileSystemDataset):
                    # DuckDB reads the files itself: asked through pyarrow, that would read far ahead of it.
                    connection.from_parquet(list(split.files)).create_view(name)
                else:
                    connection.register(name, split)
            yield connection
        finally:
            connection.close()


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'
