"""Small typed documents: configuration files that are read, and structs that are kept as JSON."""

from pathlib import Path
from typing import Any

import msgspec
from kedro.io import AbstractDataset
from kedro.utils import load_obj

from contracts import atomic
from contracts.errors import InputError


class Document(AbstractDataset[None, Any]):
    """A configuration file, read by a function that types it: `reader: contracts.budgets.load`."""

    def __init__(self, *, filepath: str, reader: str, load_args: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self._reader = reader
        self._load_args = load_args or {}

    def load(self) -> Any:
        return load_obj(self._reader)(self._path, **self._load_args)

    def save(self, data: None) -> None:
        raise InputError(f"{self._path}: is configuration, written by people; choose another dataset to write to")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "reader": self._reader}

    def _exists(self) -> bool:
        return self._path.exists()


class StructFile(AbstractDataset[msgspec.Struct, msgspec.Struct]):
    """A msgspec struct as JSON, readable and in a stable order: `struct: pipelines.training.identity.Identity`."""

    def __init__(self, *, filepath: str, struct: str) -> None:
        self._path = Path(filepath)
        self._struct = struct

    def load(self) -> msgspec.Struct:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=load_obj(self._struct))
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}; run the pipeline that makes it first") from error
        except msgspec.MsgspecError as error:
            raise InputError(f"{self._path}: {error}; run the pipeline that makes it again") from error

    def save(self, data: msgspec.Struct) -> None:
        document = msgspec.json.format(msgspec.json.encode(data, order="deterministic"), indent=1)
        atomic.write_bytes(self._path, document + b"\n")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "struct": self._struct}

    def _exists(self) -> bool:
        return self._path.exists()
