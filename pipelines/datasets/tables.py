"""Tables as Ibis expressions on one DuckDB connection: the sources, and Parquet files that a run writes.

All datasets of a run that name the same `connection:` share one connection (Kedro's ibis datasets do that), so its
memory limit holds for the whole run, and what does not fit goes to the spill folder.
"""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset
from kedro_datasets.ibis import FileDataset

from contracts.errors import InputError
from pipelines.interruption import interruptible
from pipelines.parameters import Section, convert

ROW_GROUP = 65_536  # rows; what a reader has to hold at least


class Source(Section, frozen=True, kw_only=True):
    """One source table: a file, or a pattern that several files of one table match."""

    path: str
    format: Literal["csv", "csv.zip", "parquet"]
    null: str = ""  # what stands for "missing" in a CSV file; an empty field always does


class SourceTables(AbstractDataset[None, dict[str, ibis.Table]]):
    """The source tables by name, as they are: CSV columns are text, Parquet columns have the file's types.

    Raises InputError for a file that is missing or cannot be read.
    """

    def __init__(self, *, tables: dict[str, Any], unpacked: dict[str, str], connection: dict[str, Any]) -> None:
        self._sources = convert(tables, dict[str, Source], "conf/base/catalog.yml", "sources.tables")
        self._unpacked = Path(unpacked["path"])
        self._files = FileDataset(filepath="unused", connection=connection)

    def load(self) -> dict[str, ibis.Table]:
        return {name: self._read(name, source) for name, source in self._sources.items()}

    def save(self, data: None) -> None:
        raise InputError("conf/base/catalog.yml: sources: are only read; choose another dataset to write to")

    def _read(self, name: str, source: Source) -> ibis.Table:
        path = Path(source.path)
        if not any(path.parent.glob(path.name)):
            raise InputError(
                f"{path}: {name}: there is no such file; correct conf/base/catalog.yml: sources.tables.{name}.path"
            )
        backend = connection(self._files)
        with readable(path, name):
            if source.format == "parquet":
                return backend.read_parquet(str(path))
            if source.format == "csv.zip":
                path = self._unpack(path, name)
            return backend.read_csv(str(path), all_varchar=True, header=True, nullstr=["", source.null])

    def _unpack(self, path: Path, name: str) -> Path:
        """DuckDB reads no zip: its one member is unpacked, once per content."""
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) != 1:
                    raise InputError(f"{path}: {name}: holds {len(members)} files, not one; pack each table by itself")
                target = self._unpacked / f"{name}-{members[0].CRC:08x}.csv"
                if not target.exists():
                    with written(target) as temporary, archive.open(members[0]) as packed, temporary.open("wb") as file:
                        shutil.copyfileobj(packed, file, 1 << 20)
                return target
        except zipfile.BadZipFile as error:
            raise InputError(f"{path}: {name}: is not a zip file: {error}; fetch it again") from error

    def _describe(self) -> dict[str, Any]:
        return {name: source.path for name, source in self._sources.items()}


class ParquetTable(FileDataset):
    """One table in one Parquet file, written whole or not at all.

    Saves an Ibis expression, or a stream of record batches from a node that works in parts.
    """

    def load(self) -> ibis.Table:
        return read_parquet(self, Path(self._filepath))

    def save(self, data: ibis.Table | pa.RecordBatchReader) -> None:
        write_parquet(self, data, Path(self._filepath))


class Tables(FileDataset):
    """A folder with one Parquet file per table; loads and saves a dictionary by name."""

    def __init__(self, *, path: str, connection: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=path, connection=connection, metadata=metadata)

    def load(self) -> dict[str, ibis.Table]:
        folder = Path(self._filepath)
        files = sorted(folder.glob("*.parquet"))
        if not files:
            raise InputError(f"{folder}: holds no table yet; make them: `kedro run --pipelines ingestion`")
        return {file.stem: read_parquet(self, file) for file in files}

    def save(self, data: Mapping[str, ibis.Table]) -> None:
        folder = Path(self._filepath)
        for name, table in data.items():
            write_parquet(self, table, folder / f"{name}.parquet")
        for file in folder.glob("*.parquet"):
            if file.stem not in data:
                file.unlink()

    def _exists(self) -> bool:
        return any(Path(self._filepath).glob("*.parquet"))


def connection(dataset: FileDataset) -> ibis.BaseBackend:
    """The dataset's DuckDB connection; makes its spill folder, which DuckDB expects to be there."""
    backend = dataset.connection
    if spill := backend.settings["temp_directory"]:
        Path(spill).mkdir(parents=True, exist_ok=True)
    interruptible(backend.con)
    return backend


def read_parquet(dataset: FileDataset, path: Path) -> ibis.Table:
    """The file as a table; raises InputError when it is missing or no Parquet file."""
    if not path.exists():
        raise InputError(f"{path}: is not there; run the pipeline that makes it first, or the whole one: `kedro run`")
    with readable(path, path.stem):
        return connection(dataset).read_parquet(str(path))


def write_parquet(dataset: FileDataset, data: ibis.Table | pa.RecordBatchReader, path: Path) -> None:
    """Write a table or a stream to `path`, whole or not at all, the same bytes for the same rows in the same order."""
    with written(path) as temporary, readable(path, path.stem):
        if isinstance(data, pa.RecordBatchReader):
            with pq.ParquetWriter(temporary, data.schema, compression="zstd") as writer:
                for batch in data:
                    writer.write_batch(batch, row_group_size=ROW_GROUP)
        else:
            # Ours is a temporary file already: another one of DuckDB's would be left behind by an interruption.
            options = {"compression": "zstd", "row_group_size": ROW_GROUP, "use_tmp_file": False}
            connection(dataset).to_parquet(data, temporary, **options)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` that takes its place when the block ends without an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written: {reason}; free some space or choose another place") from error


@contextmanager
def readable(path: Path, name: str) -> Iterator[None]:
    """What DuckDB says about a file or about its limits, as one line; a mistake in our SQL keeps its trace."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        way_out = "raise memory_limit, or free space in the spill folder (conf/base/globals.yml: duckdb)"
        raise InputError(f"{path}: {name}: {_first_line(error)}; {way_out}") from error
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise InputError(f"{path}: {name}: {_first_line(error)}; mend the file, or free space there") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
