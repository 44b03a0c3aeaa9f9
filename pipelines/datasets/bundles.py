"""The store of bundles and the reports about them."""

from pathlib import Path
from typing import Any

import msgspec
from kedro.io import AbstractDataset
from msgspec import Struct

from contracts import atomic, bundle, report
from contracts.bundle import Bundle, Contents
from contracts.errors import InputError
from contracts.report import Report


class Latest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`latest.json` in the store: the bundle that the last run made or named. `path` is a folder in the store."""

    digest: str
    path: str


class Bundles(AbstractDataset[Contents | Bundle, Bundle]):
    """A folder of bundles, each under its digest's name, and `latest.json`.

    Saving contents writes a bundle (once per digest) and makes it the latest; saving a bundle that lies in the store
    only makes it the latest. Loads the latest one, verified.
    """

    def __init__(self, *, path: str) -> None:
        self._store = Path(path)

    def load(self) -> Bundle:
        pointer = latest(self._store)
        return bundle.load(self._store / pointer.path, pointer.digest)

    def save(self, data: Contents | Bundle) -> None:
        made = data if isinstance(data, Bundle) else bundle.write(self._store, data)
        pointer = Latest(digest=made.digest, path=made.path.name)
        atomic.write_bytes(self._store / "latest.json", msgspec.json.encode(pointer) + b"\n")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._store)}

    def _exists(self) -> bool:
        return (self._store / "latest.json").exists()


class Reports(AbstractDataset[Report, Report]):
    """A report as `<stem>.{json,xml,md,html}`.

    With `bundles:` (the store's folder) the report is about a bundle: it lies in a folder named after its subject's
    digest, and the one about the latest bundle is loaded.
    """

    def __init__(self, *, path: str, stem: str, bundles: dict[str, str] | None = None) -> None:
        self._folder = Path(path)
        self._stem = stem
        self._store = Path(bundles["path"]) if bundles else None

    def load(self) -> Report:
        return report.load(self._about(latest(self._store).digest if self._store else "") / f"{self._stem}.json")

    def save(self, data: Report) -> None:
        report.write(data, self._about(data.subject if self._store else ""), self._stem)

    def _about(self, subject: str) -> Path:
        return self._folder / bundle.short(subject) if subject else self._folder

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder), "stem": self._stem}

    def _exists(self) -> bool:
        if self._store and not (self._store / "latest.json").exists():
            return False
        return (self._about(latest(self._store).digest if self._store else "") / f"{self._stem}.json").exists()


def latest(store: Path) -> Latest:
    """Which bundle of the store is the latest; raises InputError when there is none yet."""
    file = Path(store) / "latest.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Latest)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; there is no bundle yet, make one: `kedro run`") from error
    except msgspec.MsgspecError as error:
        raise InputError(f"{file}: {error}; make the bundle again: `kedro run --pipelines packaging`") from error
