"""What packaging reads beside the data: the bundles that are there, and the state of the repository."""

from pathlib import Path
from typing import Any

import msgspec
from kedro.io import AbstractDataset
from msgspec import Struct

from contracts import bundle
from contracts.bundle import Bundle, BundleError
from contracts.errors import InputError
from pipelines.tracking import git_state


class BundleStore:
    """Bundles by the inputs that they were made from."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, inputs_hash: str) -> Bundle | None:
        """The bundle of these inputs, verified, or None. Raises InputError when it is there and damaged."""
        for file in sorted(self._path.glob("[0-9a-f]*/provenance.json")):
            if _inputs_hash(file) == inputs_hash:
                try:
                    return bundle.load(file.parent)
                except BundleError as error:
                    raise InputError(f"{error}; first remove {file.parent}") from error
        return None


class KnownBundles(AbstractDataset[None, BundleStore]):
    """The store that the dataset `bundle` writes to, to look a bundle up in."""

    def __init__(self, *, path: str) -> None:
        self._path = Path(path)

    def load(self) -> BundleStore:
        return BundleStore(self._path)

    def save(self, data: None) -> None:
        raise InputError(f"{self._path}: known bundles are only read; write to the dataset `bundle`")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class Commit(Struct, frozen=True, kw_only=True):
    """Which commit the files are of, and whether something is not committed."""

    sha: str
    dirty: bool


class Repository(AbstractDataset[None, Commit]):
    """The state of the git repository in `path`."""

    def __init__(self, *, path: str = ".") -> None:
        self._path = Path(path)

    def load(self) -> Commit:
        state = git_state(self._path)
        return Commit(sha=state["git_sha"], dirty=state["git_dirty"] == "true")

    def save(self, data: None) -> None:
        raise InputError(f"{self._path}: the repository is only read; commit with git")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


def _inputs_hash(file: Path) -> str | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]).get("inputs_hash")
    except msgspec.MsgspecError:
        return None  # some other bundle is damaged; whoever loads it will say so
