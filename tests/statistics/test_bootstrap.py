"""Intervals over days, and the correction for asking many segments."""

import numpy as np
import pytest

from pipelines.statistics import block_statistics, bootstrap
from pipelines.statistics.bootstrap import Interval


def noisy_days(seed: int, days: int = 60, rows: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Values whose day decides as much as their row; their true mean is zero."""
    random = np.random.default_rng(seed)
    return np.repeat(random.normal(size=days), rows) + random.normal(size=days * rows), np.repeat(np.arange(days), rows)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        values, block = noisy_days(seed)
        statistic = block_statistics.reduce("mae", np.zeros(len(values)), np.maximum(values + 100, 0), block, 60)
        found = bootstrap.interval(statistic, bootstrap.day_weights(60, 200, seed), 0.95)
        covered += found.lower <= 100 <= found.upper
    assert 88 <= covered <= 100  # 95 expected; rows resampled one by one would cover about 40


def test_the_same_seed_draws_the_same_days() -> None:
    assert (bootstrap.day_weights(30, 50, 7) == bootstrap.day_weights(30, 50, 7)).all()
    assert (bootstrap.day_weights(30, 50, 7) != bootstrap.day_weights(30, 50, 8)).any()
    assert (bootstrap.day_weights(30, 50, 7).sum(axis=1) == 30).all()


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert bootstrap.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert bootstrap.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert bootstrap.holm([]) == []


def test_a_difference_far_below_the_margin_is_beyond_doubt() -> None:
    worse = Interval(value=-0.1, lower=-0.12, upper=-0.08, error=0.01)
    equal = Interval(value=0.0, lower=-0.02, upper=0.02, error=0.01)
    assert bootstrap.p_value_below(worse, -0.02) < 1e-9
    assert bootstrap.p_value_below(equal, -0.02) > 0.9
