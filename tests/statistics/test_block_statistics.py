"""Metrics as functions of day weights: the same numbers as scikit-learn's over the rows that the weights stand for."""

import numpy as np
import pytest
from sklearn import metrics

from pipelines.statistics import block_statistics, bootstrap

DAYS = 12
REFERENCES = {
    "auc": metrics.roc_auc_score,
    "average_precision": metrics.average_precision_score,
    "brier": metrics.brier_score_loss,
    "log_loss": metrics.log_loss,
    "accuracy": lambda label, score: metrics.accuracy_score(label, score >= 0.5),
    "macro_f1": lambda label, score: metrics.f1_score(label, score >= 0.5, average="macro"),
    "r2": metrics.r2_score,
    "mae": metrics.mean_absolute_error,
    "rmse": metrics.root_mean_squared_error,
}
SEVERAL = {
    "auc": lambda label, score: metrics.roc_auc_score(label, score, multi_class="ovr", average="macro"),
    "brier": lambda label, score: ((score - np.eye(3)[label]) ** 2).sum(axis=1).mean(),
    "log_loss": metrics.log_loss,
    "accuracy": lambda label, score: metrics.accuracy_score(label, score.argmax(axis=1)),
    "macro_f1": lambda label, score: metrics.f1_score(label, score.argmax(axis=1), average="macro"),
}


def rows(decimals: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    score = np.round(random.random(600), decimals)
    return (random.random(600) < score).astype(int), score, random.integers(0, DAYS, 600)


def resampled(block: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rows that a resample holds: each day as often as its weight says."""
    return np.concatenate(
        [np.flatnonzero(block == day) for day, times in enumerate(weights) for _ in range(int(times))]
    )


@pytest.mark.parametrize("metric", REFERENCES)
@pytest.mark.parametrize("decimals", [1, 3])  # one decimal: many ties
def test_a_metric_of_resampled_days_is_that_of_their_rows(metric: str, decimals: int) -> None:
    label, score, block = rows(decimals)
    weights = bootstrap.day_weights(DAYS, 3, seed=1)
    found = block_statistics.reduce(metric, label, score, block, DAYS)(weights)
    expected = [
        REFERENCES[metric](label[chosen], score[chosen]) for chosen in (resampled(block, row) for row in weights)
    ]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", SEVERAL)
def test_a_metric_of_several_classes_is_the_reference_one(metric: str) -> None:
    random = np.random.default_rng(5)
    score = random.dirichlet([1, 2, 3], 500)
    label = (random.random((500, 1)) > score.cumsum(axis=1)).sum(axis=1)
    block = random.integers(0, DAYS, 500)
    weights = bootstrap.day_weights(DAYS, 2, seed=1)
    found = block_statistics.reduce(metric, label, score, block, DAYS)(weights)
    expected = [SEVERAL[metric](label[chosen], score[chosen]) for chosen in (resampled(block, row) for row in weights)]
    assert found == pytest.approx(expected, rel=1e-6)


def test_bins_instead_of_every_score_move_an_auc_by_less_than_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    label, score, block = rows(9)
    monkeypatch.setattr(block_statistics, "HISTOGRAM_CELLS", 1)  # 256 bins for 600 scores
    found = block_statistics.reduce("auc", label, score, block, DAYS)(np.ones((1, DAYS)))[0]
    assert found == pytest.approx(metrics.roc_auc_score(label, score), abs=1 / 512)


def test_an_auc_of_one_class_is_not_defined() -> None:
    statistic = block_statistics.reduce("auc", np.ones(10), np.linspace(0, 1, 10), np.zeros(10, int), 1)
    assert np.isnan(statistic(np.ones((1, 1)))).all()


def test_better_knows_which_way_a_metric_points() -> None:
    assert block_statistics.better("auc", np.array([0.8]), np.array([0.7])) > 0
    assert block_statistics.better("rmse", np.array([0.8]), np.array([0.7])) < 0
