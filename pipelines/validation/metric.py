"""The budget's metric over the test window: of all rows, of each segment, of each week."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from contracts.budgets import Quality
from pipelines.statistics import block_statistics, bootstrap
from pipelines.statistics.block_statistics import Statistic
from pipelines.statistics.bootstrap import Interval
from pipelines.validation.window import Segment, Window

EVERY_ROW = slice(None)


class Asked(Struct, frozen=True, kw_only=True):
    """How figures are computed: the budget, the task, the class threshold, how small a segment may be, the seed."""

    budget: Quality
    task: str
    threshold: float
    segment_rows: int
    seed: int

    @property
    def how(self) -> str:
        """How intervals are made, for people."""
        return f"{self.budget.confidence:.0%} interval, {self.budget.resamples} resamples of days, seed {self.seed}"


def statistic(window: Window, model: str, asked: Asked, rows: np.ndarray | slice = EVERY_ROW) -> Statistic:
    """The metric of a model over some rows, as a function of day weights."""
    return block_statistics.reduce(
        asked.budget.metric,
        window.label[rows],
        window.predictions[model][rows],
        window.block[rows],
        len(window.days),
        asked.threshold,
    )


def difference(one: Statistic, other: Statistic, asked: Asked) -> Statistic:
    """How much better `one` is, as a function of day weights: both see the same resampled days."""
    return lambda weights: block_statistics.better(asked.budget.metric, one(weights), other(weights))


def value(found: Statistic, window: Window) -> float:
    """The statistic over the days as they are."""
    return float(found(np.ones((1, len(window.days))))[0])


def interval(found: Statistic, window: Window, asked: Asked) -> Interval:
    """The statistic with its day-block interval."""
    weights = bootstrap.day_weights(len(window.days), asked.budget.resamples, asked.seed)
    return bootstrap.interval(found, weights, asked.budget.confidence)


def groups(segment: Segment, asked: Asked) -> list[tuple[str, np.ndarray]]:
    """The groups with enough rows, by name: (name, which rows)."""
    counts = np.bincount(segment.codes, minlength=len(segment.names))
    return sorted(
        (name, np.flatnonzero(segment.codes == code))
        for code, name in enumerate(segment.names)
        if counts[code] >= asked.segment_rows
    )


def by_week(days: Sequence[dt.date], statistics: Mapping[str, Statistic]) -> tuple[list[str], dict[str, list[float]]]:
    """The statistics in each week that has days: its first day, and the values by name."""
    mondays = np.array([day.toordinal() - day.weekday() for day in days])
    weeks = (mondays == np.unique(mondays)[:, None]).astype(np.float64)  # a week is a weighting of days
    names = [f"{days[int(np.argmax(week))]:%m-%d}" for week in weeks]
    return names, {name: found(weeks).tolist() for name, found in statistics.items()}
