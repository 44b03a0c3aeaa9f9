"""Which pipelines there are, by convention: every folder of this package that has a `pipeline.py`.

A pipeline is imported when it is asked for, so that `kedro run --pipelines data` runs where torch is not installed.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from kedro.pipeline import Pipeline

PACKAGE = Path(__file__).parent
DATA = ("ingestion", "features")
TRAIN = ("training", "packaging", "validation", "registration")


def names() -> tuple[str, ...]:
    """The pipelines that have a folder, in the order of the alphabet."""
    return tuple(sorted(file.parent.name for file in PACKAGE.glob("*/pipeline.py")))


class Registry(Mapping[str, Pipeline]):
    """Each pipeline by its name, `data`, `train`, and `__default__` (both, one after the other)."""

    def __init__(self) -> None:
        found = names()
        self._parts: dict[str, tuple[str, ...]] = {name: (name,) for name in found}
        for name, parts in {"data": DATA, "train": TRAIN, "__default__": (*DATA, *TRAIN)}.items():
            self._parts[name] = tuple(part for part in parts if part in found)

    def __getitem__(self, name: str) -> Pipeline:
        parts = self._parts[name]
        return sum((import_module(f"pipelines.{part}.pipeline").create_pipeline() for part in parts), Pipeline([]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def register_pipelines() -> Mapping[str, Pipeline]:
    """What Kedro calls."""
    return Registry()
