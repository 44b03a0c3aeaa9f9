"""Which pipeline waits for which, read off the datasets that pass from one to the other."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath

from kedro.io.catalog_config_resolver import CatalogConfigResolver
from kedro.pipeline import Pipeline
from msgspec import Struct

from contracts.errors import InputError

IN_MEMORY = frozenset({"MemoryDataset", "SharedMemoryDataset"})


class Crossing(Struct, frozen=True, order=True):
    """A dataset that one pipeline makes and another reads."""

    maker: str
    reader: str
    dataset: str


def crossings(pipelines: Mapping[str, Pipeline]) -> tuple[Crossing, ...]:
    """Every dataset that leaves the pipeline that makes it; one transcoded as `name@format` is the dataset `name`."""
    makers = {_name(dataset): name for name, pipeline in pipelines.items() for dataset in pipeline.all_outputs()}
    read = {(name, _name(dataset)) for name, pipeline in pipelines.items() for dataset in pipeline.inputs()}
    return tuple(
        sorted(
            Crossing(makers[dataset], reader, dataset)
            for reader, dataset in read
            if makers.get(dataset, reader) != reader
        )
    )


def waits_for(pipelines: Mapping[str, Pipeline]) -> dict[str, tuple[str, ...]]:
    """For each pipeline, in an order in which they can run, those it has to wait for.

    What follows from the others is left out: if c waits for b and b for a, c does not name a. Raises InputError when
    two pipelines wait for each other.
    """
    direct = {
        name: dict.fromkeys(sorted(c.maker for c in crossings(pipelines) if c.reader == name)) for name in pipelines
    }
    try:
        order = tuple(TopologicalSorter(direct).static_order())
    except CycleError as error:
        circle = ", ".join(dict.fromkeys(error.args[1]))
        raise InputError(
            f"pipelines: {circle}: each waits for what another of them makes; move a node into another pipeline"
        ) from error
    before: dict[str, set[str]] = {}
    for name in order:
        before[name] = set(direct[name]).union(*(before[maker] for maker in direct[name]))
    return {
        name: tuple(maker for maker in direct[name] if not any(maker in before[other] for other in direct[name]))
        for name in order
    }


def check_persistent(passing: Iterable[Crossing], catalog: CatalogConfigResolver, volume: str, conf: str) -> None:
    """Each pipeline runs in a pod of its own: what passes between two has to lie where both see it.

    That is the folder `volume`, or an address with a scheme, as in `s3://`. Raises InputError for the first dataset
    that is only in memory or lies elsewhere.
    """
    for crossing in passing:
        entry = catalog.resolve_pattern(crossing.dataset)
        kind = str(entry.get("type", "MemoryDataset"))
        reason = "is kept in memory" if kind.rpartition(".")[2] in IN_MEMORY else _outside(entry, volume)
        if reason:
            raise InputError(
                f"{conf}/catalog.yml: {crossing.dataset}: {reason}, but {crossing.maker} makes it and "
                f"{crossing.reader} reads it, each in a pod of its own; give it a place under {volume}/"
            )


def _outside(entry: Mapping[str, object], volume: str) -> str | None:
    places = [value for key in ("filepath", "path") if isinstance(value := entry.get(key), str)]
    wrong = [place for place in places if "://" not in place and not PurePosixPath(place).is_relative_to(volume)]
    return f"lies in {wrong[0]}" if wrong else None


def _name(dataset: str) -> str:
    return dataset.partition("@")[0]
