"""Medians, spread, and ratios of servers that were measured in the same round."""

from collections.abc import Iterable
from statistics import median

from msgspec import Struct

from bench.serving.contestants import ANCHOR
from bench.serving.rounds import RATE, Measured

# MLServer has no binary tensors over REST: JSON is the best that it offers for the same rows.
BEST_OF_ANCHOR = {"binary32": "json32"}


class Statistic(Struct, frozen=True):
    """The median over the rounds, and the lowest and highest value."""

    median: float
    lowest: float
    highest: float
    rounds: int

    @property
    def spread(self) -> float:
        """How far the extremes lie apart, as a share of the median."""
        return (self.highest - self.lowest) / self.median if self.median else 0.0


class Table:
    """What was measured, to be asked for statistics."""

    def __init__(self, found: Iterable[Measured]) -> None:
        self._values: dict[tuple[str, str, str, str], dict[int, float]] = {}
        for each in found:
            key = (each.scenario, each.cell, each.server, each.metric)
            self._values.setdefault(key, {})[each.round] = each.value

    @property
    def keys(self) -> list[tuple[str, str, str, str]]:
        """Scenario, cell, server, metric of everything there is."""
        return list(self._values)

    def of(self, scenario: str, cell: str, server: str, metric: str) -> Statistic | None:
        """The statistic of one figure; None where it was not measured."""
        return _statistic(self._values.get((scenario, cell, server, metric), {}).values())

    def ratio(self, scenario: str, metric: str, over: tuple[str, str], under: tuple[str, str]) -> Statistic | None:
        """The statistic of the ratios within each round of `over` to `under`, each a (cell, server).

        Within a round both have seen the same machine. Rounds in which one of them is missing do not count.
        """
        above = self._values.get((scenario, *over, metric), {})
        below = self._values.get((scenario, *under, metric), {})
        return _statistic([above[number] / below[number] for number in above if below.get(number)])

    def times_anchor(self, scenario: str, cell: str, server: str) -> Statistic | None:
        """How many times MLServer's throughput; None of itself."""
        if server == ANCHOR:
            return None
        return self.ratio(scenario, RATE, (cell, server), (BEST_OF_ANCHOR.get(cell, cell), ANCHOR))


def _statistic(values: Iterable[float]) -> Statistic | None:
    ordered = sorted(values)
    return Statistic(median(ordered), ordered[0], ordered[-1], len(ordered)) if ordered else None
