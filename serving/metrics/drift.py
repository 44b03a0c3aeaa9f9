"""How what comes in and goes out is distributed, in the bins of the bundle's reference profile.

Counted in batches with numpy (about a microsecond a row), exposed at scrape. Only counts leave the process.
"""

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from contracts.bundle import Bundle, CategoricalProfile, Input, NumericProfile
from serving.metrics.cells import Cells

BATCH_ROWS = 256
CATEGORIES = 20  # per feature; more bins say less about drift: the noise of an index grows with their number
SERIES = 1500  # for all features of one server
OTHER, MISSING = "__other__", "__missing__"
# Bins for predictions that do not depend on the version, so that one version can be held against another. Of a share,
# 20 equal ones; of a number whose range nobody knows, powers of two on both sides of zero.
SHARES = [place / 20 for place in range(1, 20)]
NUMBERS = [*(-(2.0**power) for power in range(20, -7, -1)), 0.0, *(2.0**power for power in range(-6, 21))]
GRIDS = {"binary": SHARES, "multiclass": SHARES, "regression": NUMBERS}
UNSEEN = -1  # in place of a bin

Values = np.ndarray | list[str]


class Bins(Cells):
    """The counts of one feature or output. `labels` name the bins; the last one is for missing values."""

    def __init__(self, labels: list[str], reference: list[int]) -> None:
        self.labels = [*labels, MISSING]
        self.reference = np.array(reference, np.float64) / max(sum(reference), 1)
        super().__init__(len(self.labels) + 1)

    def move(self, whole: "memoryview[int]", fractions: "memoryview[float]") -> None:
        """Go on counting there."""
        super().move(whole, fractions)
        self.counts: np.ndarray = np.frombuffer(whole, np.int64)[:-1]

    @property
    def unseen(self) -> int:
        """Values that training never saw."""
        return int(self.whole[-1])

    def add(self, values: Values) -> None:
        """Count a batch; of text also as a list."""
        self.counts += np.bincount(self.places(values), minlength=len(self.labels))

    def places(self, values: Values) -> np.ndarray:
        """The bin of each value."""
        raise NotImplementedError


class NumericBins(Bins):
    """Bins between edges; a label is the bin's upper edge, which belongs to it."""

    def __init__(self, profile: NumericProfile) -> None:
        # Edges that are equal (quantiles of a column with many equal values) would be bins of one name.
        self._edges, firsts = np.unique(np.array(profile.edges, np.float64), return_index=True)
        counts = np.add.reduceat(profile.counts, [*firsts, len(profile.edges)]).tolist()
        super().__init__([*map(repr, self._edges.tolist()), "+Inf"], [*counts, profile.missing])

    def places(self, values: Values) -> np.ndarray:
        numbers = np.asarray(values, np.float64)
        return np.where(np.isnan(numbers), len(self.labels) - 1, np.searchsorted(self._edges, numbers, side="left"))


class Places(dict[str, int]):
    """The bin of each category that training saw."""

    def __missing__(self, name: str) -> int:
        return UNSEEN


class CategoricalBins(Bins):
    """The most frequent categories of training, the rest as other. `unseen` counts what training never saw."""

    def __init__(self, profile: CategoricalProfile, column: Input) -> None:
        frequent = sorted(profile.counts, key=lambda name: -profile.counts[name])[:CATEGORIES]
        kept = [profile.counts[name] for name in frequent]
        other = profile.other + sum(profile.counts.values()) - sum(kept)
        super().__init__([*frequent, OTHER], [*kept, other, profile.missing])
        self._other = len(frequent)
        self._place = Places.fromkeys(column.categories or profile.counts, self._other)
        self._place.update({name: place for place, name in enumerate(frequent)})
        self._place[""] = len(frequent) + 1
        self.open = column.dtype == "string"  # a value may come that training never saw

    def places(self, values: Values) -> np.ndarray:
        names = values if isinstance(values, list) else values.tolist()
        if not self.open:
            names = [str(name).lower() for name in names]  # true, false
        places = np.fromiter(map(self._place.__getitem__, names), np.int64, len(names))
        unseen = places == UNSEEN
        if self.open:
            self.whole[-1] += int(np.count_nonzero(unseen))
        places[unseen] = self._other
        return places


class ClassBins(Bins):
    """The class that each row's scores are highest for; of more than `CATEGORIES` the rest as other."""

    def __init__(self, names: list[str]) -> None:
        self._width, labels = len(names), names[:CATEGORIES]
        labels += [OTHER] if self._width > CATEGORIES else []
        super().__init__(labels, [0] * (len(labels) + 1))

    def places(self, values: Values) -> np.ndarray:
        scores = np.asarray(values).reshape(-1, self._width)
        places = np.minimum(scores.argmax(1), len(self.labels) - 2)
        return np.where(np.isnan(scores).any(1), len(self.labels) - 1, places)


class Drift:
    """The bins of a bundle's inputs and outputs, as many as `SERIES` allows; `untracked` inputs have none."""

    def __init__(self, bundle: Bundle) -> None:
        columns = {column.name: column for column in bundle.manifest.inputs if column.width == 1}
        single = [output.name for output in bundle.manifest.outputs if output.width == 1]
        predictions = bundle.profile.predictions.items()
        self.outputs = {name: NumericBins(profile) for name, profile in predictions if name in single}
        edges = GRIDS[bundle.manifest.task]
        grid = NumericProfile(edges=edges, counts=[0] * (len(edges) + 1), missing=0)
        self.grids: dict[str, Bins] = {name: NumericBins(grid) for name in single}
        if bundle.manifest.task == "multiclass":
            for output in bundle.manifest.outputs:
                if output.width > 1:
                    self.grids[output.name] = ClassBins(_classes(bundle.manifest.classes, output.width))
        self.features: dict[str, Bins] = {}
        left = SERIES
        for name, profile in bundle.profile.inputs.items():
            if name in columns:
                bins: Bins
                if isinstance(profile, NumericProfile):
                    bins = NumericBins(profile)
                else:
                    bins = CategoricalBins(profile, columns[name])
                left -= 2 * len(bins.labels) + 2
                if left >= 0:
                    self.features[name] = bins
        self.untracked = len(bundle.manifest.inputs) - len(self.features)
        self._waiting: list[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]] = []
        self._rows = 0

    def bins(self) -> tuple[Bins, ...]:
        """All counters."""
        return *self.features.values(), *self.outputs.values(), *self.grids.values()

    def observe(self, feeds: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], rows: int) -> None:
        """Take note of one call's columns and predictions; they are counted when enough have come together."""
        self._waiting.append((feeds, answers))
        self._rows += rows
        if self._rows >= BATCH_ROWS:
            self.count()

    def count(self) -> None:
        """Count what waits."""
        if self._waiting:
            waiting, self._waiting, self._rows = self._waiting, [], 0
            for name, bins in self.features.items():
                bins.add(_joined([feeds[name] for feeds, _ in waiting]))
            for name, grid in self.grids.items():
                values = _joined([answers[name] for _, answers in waiting])
                grid.add(values)
                if name in self.outputs:
                    self.outputs[name].add(values)

    def unseen(self) -> Iterator[tuple[str, int]]:
        """The categorical features, with how often a value came that training never saw."""
        for name, bins in self.features.items():
            if isinstance(bins, CategoricalBins) and bins.open:
                yield name, bins.unseen


def _classes(names: tuple[str, ...], width: int) -> list[str]:
    """What the classes are called, where they have a name each; else their numbers."""
    return list(names) if len(set(names)) == len(names) == width else [str(place) for place in range(width)]


def _joined(arrays: list[np.ndarray]) -> Values:
    """The values of arrays of one type; several times faster than numpy where they are many and short."""
    if arrays[0].dtype == object:
        return list(chain.from_iterable(array.tolist() for array in arrays))
    try:
        return np.frombuffer(b"".join(arrays), arrays[0].dtype)  # type: ignore[arg-type]  # they are buffers
    except TypeError:  # one of them is a view with gaps
        return np.concatenate(arrays)
