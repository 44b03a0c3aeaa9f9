"""What the story needs to know about this repository's data: `conf/base/demo.yml`, typed."""

from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

from contracts.errors import InputError


class Chapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training: how it is called and until when it learns and is tested (ISO dates, UTC, exclusive)."""

    name: str
    train_until: str
    test_until: str

    @property
    def parameters(self) -> str:
        return f"training.train_until={self.train_until},training.test_until={self.test_until}"


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broken delivery: in `table`, the values of `columns` are put on the wrong rows, as a bad join would."""

    table: str
    columns: tuple[str, ...]


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `conf/base/demo.yml`."""

    first: Chapter
    second: Chapter
    fault: Fault


def load(path: Path) -> Plan:
    """Read the plan; raises InputError with file, key and reason."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Plan)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; it says which months the demo trains on") from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
