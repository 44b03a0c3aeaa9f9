"""Where training keeps what it made: splits, models and what is known about them, each under the hash of its inputs.

What is there under the same hash is not written again; that is how a run with unchanged inputs ends at once.
"""

from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from kedro.io import AbstractDataset
from kedro.utils import load_obj
from kedro_datasets.ibis import FileDataset
from pyarrow import dataset as ds
from safetensors import SafetensorError

from contracts import atomic
from contracts.errors import InputError
from pipelines.datasets.documents import StructFile
from pipelines.datasets.tables import connection, readable, written
from pipelines.training import model as models
from pipelines.training.model import Model
from pipelines.training.splits import NAMES, Plan, Splits

T = TypeVar("T")
AGAIN = "run it again: `kedro run --pipelines training`"
ROW_GROUP = 16_384  # rows; what a shuffled reader has to hold at least
SHORT = 16  # hex digits of a hash that name a folder


class Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`splits.json`: it is there when all splits are, whole."""

    inputs_hash: str
    bytes: dict[str, int]


LIMITS = ("memory_limit", "threads", "temp_directory")  # of the run's DuckDB connection


class SplitFiles(FileDataset):
    """The splits as one Parquet file each, and `splits.json` beside them. Saves a plan, loads datasets of pyarrow."""

    def __init__(self, *, path: str, connection: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=path, connection=connection, metadata=metadata)
        self._folder = Path(path)
        self._note = self._folder / "splits.json"
        self._limits = {name: str(connection[name]) for name in LIMITS if name in connection}

    def load(self) -> Splits:
        note = self._written()
        if note is None or note.bytes != self._sizes():
            raise InputError(f"{self._folder}: splits: are not there, or not whole; {AGAIN}")
        files = {name: ds.dataset(self._file(name), format="parquet") for name in NAMES}
        return Splits(files, note.inputs_hash, self._limits)

    def save(self, data: Plan) -> None:
        note = self._written()
        if note is not None and note.inputs_hash == data.inputs_hash and note.bytes == self._sizes():
            return
        self._note.unlink(missing_ok=True)  # first: from here on they belong together no more
        for name in NAMES:
            with written(self._file(name)) as temporary, readable(self._file(name), name):
                connection(self).to_parquet(data[name], temporary, compression="zstd", row_group_size=ROW_GROUP)
        note = Written(inputs_hash=data.inputs_hash, bytes=self._sizes())
        atomic.write_bytes(self._note, msgspec.json.encode(note) + b"\n")

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"

    def _sizes(self) -> dict[str, int]:
        return {name: self._file(name).stat().st_size for name in NAMES if self._file(name).exists()}

    def _written(self) -> Written | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=Written)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise InputError(f"{self._note}: {error}; remove it and {AGAIN}") from error

    def _exists(self) -> bool:
        return self._written() is not None


class ModelStore:
    """Models by the hash of their inputs: a folder each, with `model.json` and `model.safetensors`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def folder(self, inputs_hash: str) -> Path:
        return self.path / inputs_hash[:SHORT]

    def find(self, inputs_hash: str) -> Model | None:
        """The model of these inputs, or None when there is none."""
        return self.read(inputs_hash) if self.folder(inputs_hash).is_dir() else None

    def read(self, inputs_hash: str) -> Model:
        """Raises InputError when it is missing or damaged."""
        folder = self.folder(inputs_hash)
        try:
            found = models.decode((folder / "model.json").read_bytes(), (folder / "model.safetensors").read_bytes())
        except (OSError, SafetensorError, msgspec.MsgspecError) as error:
            raise InputError(f"{folder}: the model cannot be read: {error}; remove the folder and {AGAIN}") from error
        if found.inputs_hash != inputs_hash:
            raise InputError(f"{folder}: inputs_hash: is {found.inputs_hash}; remove the folder and {AGAIN}")
        return found


class ModelFolder(AbstractDataset[Model, Model]):
    """The model that the last run made or named, in a store of all models."""

    def __init__(self, *, path: str) -> None:
        self._store = ModelStore(Path(path))
        self._latest = Path(path) / "latest.json"

    def load(self) -> Model:
        try:
            return self._store.read(msgspec.json.decode(self._latest.read_bytes(), type=dict[str, str])["inputs_hash"])
        except (OSError, KeyError, msgspec.MsgspecError) as error:
            raise InputError(f"{self._latest}: there is no model yet: {error}; {AGAIN}") from error

    def save(self, data: Model) -> None:
        with atomic.folder(self._store.folder(data.inputs_hash)) as temporary:
            description, weights = models.encode(data)
            (temporary / "model.json").write_bytes(description)
            (temporary / "model.safetensors").write_bytes(weights)
        atomic.write_bytes(self._latest, msgspec.json.encode({"inputs_hash": data.inputs_hash}) + b"\n")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._store.path)}

    def _exists(self) -> bool:
        return self._latest.exists()


class KnownModels(AbstractDataset[None, ModelStore]):
    """The store that `ModelFolder` writes to, to look a model up in."""

    def __init__(self, *, path: str) -> None:
        self._path = Path(path)

    def load(self) -> ModelStore:
        return ModelStore(self._path)

    def save(self, data: None) -> None:
        raise InputError(f"{self._path}: known models are only read; write to the dataset `model`")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class Kept(StructFile):
    """A struct with an `inputs_hash`, as JSON in `filepath`; also kept in `store` under that hash, for `Known`."""

    def __init__(self, *, filepath: str, struct: str, store: str) -> None:
        super().__init__(filepath=filepath, struct=struct)
        self._store = Path(store)

    def save(self, data: Any) -> None:
        StructFile(filepath=str(self._store / f"{data.inputs_hash[:SHORT]}.json"), struct=self._struct).save(data)
        super().save(data)


class KnownStructs(Generic[T]):
    """Structs by the hash of their inputs."""

    def __init__(self, path: Path, struct: type[T]) -> None:
        self._path, self._struct = path, struct

    def find(self, inputs_hash: str) -> T | None:
        """The struct of these inputs, or None when there is none or it is of another form than today's."""
        try:
            found = msgspec.json.decode((self._path / f"{inputs_hash[:SHORT]}.json").read_bytes(), type=self._struct)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return found if found.inputs_hash == inputs_hash else None  # type: ignore[attr-defined]


class Known(AbstractDataset[None, KnownStructs[Any]]):
    """The store that `Kept` writes to, to look a struct up in."""

    def __init__(self, *, store: str, struct: str) -> None:
        self._path, self._struct = Path(store), struct

    def load(self) -> KnownStructs[Any]:
        return KnownStructs(self._path, load_obj(self._struct))

    def save(self, data: None) -> None:
        raise InputError(f"{self._path}: is only read; write to the dataset that keeps it")

    def _describe(self) -> dict[str, Any]:
        return {"store": str(self._path), "struct": self._struct}


class Files(AbstractDataset[None, dict[str, bytes]]):
    """Files of the repository by their names within it, from patterns; raises InputError when a pattern fits none."""

    def __init__(self, *, patterns: list[str], root: str = ".") -> None:
        self._patterns, self._root = patterns, Path(root)

    def load(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for pattern in self._patterns:
            files = {
                path.relative_to(self._root).as_posix(): path.read_bytes() for path in sorted(self._root.glob(pattern))
            }
            if not files:
                raise InputError(f"conf/base/catalog_training.yml: patterns: {pattern} fits no file; correct it")
            found |= files
        return found

    def save(self, data: None) -> None:
        raise InputError(
            "conf/base/catalog_training.yml: files of the repository are only read; choose another dataset"
        )

    def _describe(self) -> dict[str, Any]:
        return {"patterns": self._patterns}
