"""The day-block bootstrap: intervals that know how much the days differ, and a correction for asking often."""

from statistics import NormalDist

import numpy as np
from msgspec import Struct

from pipelines.statistics.block_statistics import Statistic


class Interval(Struct, frozen=True, kw_only=True):
    """A figure with its percentile interval; `error` is the resamples' standard deviation."""

    value: float
    lower: float
    upper: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.lower:.4f}, {self.upper:.4f}]"


def day_weights(days: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of `days` is drawn in each resample, [resamples, days]: as many draws as there are days."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(days, np.full(days, 1 / days), size=resamples).astype(np.float64)


def interval(statistic: Statistic, weights: np.ndarray, confidence: float) -> Interval:
    """The statistic over the days as they are, with its percentile interval over the resamples.

    Resamples where it is not defined (a rare class that was not drawn) are left out; NaN when nothing is left.
    """
    value = float(statistic(np.ones((1, weights.shape[1])))[0])
    draws = statistic(weights)
    draws = draws[~np.isnan(draws)]
    if len(draws) < 2:
        return Interval(value=value, lower=np.nan, upper=np.nan, error=np.nan)
    lower, upper = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value=value, lower=float(lower), upper=float(upper), error=float(draws.std(ddof=1)))


def p_value_below(found: Interval, margin: float) -> float:
    """How likely a difference as low as this one is if the truth is `margin` or more (one-sided).

    The normal approximation with the bootstrap's standard error: shares of resamples cannot be smaller than one over
    their number, and a correction over many segments needs smaller ones.
    """
    if not found.error > 0:
        return 1.0 if not found.value < margin else 0.0
    return NormalDist().cdf((found.value - margin) / found.error)


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979), in the order given: the family-wise error stays below the level."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted.tolist()
