import datetime as dt

import msgspec
import numpy as np
import pytest
from sklearn import metrics

from pipelines.training import evaluation
from pipelines.training.evaluation import Evaluation, Truth
from tests.training import small

QUALITY = msgspec.structs.replace(small.budgets.load("conf/base/budgets.yml").quality, resamples=200)


def truth(labels: np.ndarray, days: int = 20) -> Truth:
    day = np.arange(len(labels)) % days
    codes = (np.arange(len(labels)) % 10 == 0).astype(np.int32)
    return Truth(
        known=np.ones(len(labels), bool),
        labels=labels,
        day=day,
        dates=[dt.date(2024, 1, 1 + number) for number in range(days)],
        segments={"kind": (codes, ["often", "seldom"])},
    )


def test_figures_are_those_of_scikit_learn():
    found = small.finished("binary")
    splits, model = found.catalog.load("splits"), found.catalog.load("model")
    known = evaluation.truth(splits["test"], model.description.encoding.target)
    probability = np.concatenate(list(model.predict(splits["test"])))
    figures = found.catalog.load("evaluation").models["mlp"]

    assert {name: figure.value for name, figure in figures.items()} == pytest.approx(
        {
            "auc": metrics.roc_auc_score(known.labels, probability),
            "average_precision": metrics.average_precision_score(known.labels, probability),
            "log_loss": metrics.log_loss(known.labels, probability.astype(np.float64)),
            "brier": metrics.brier_score_loss(known.labels, probability),
            "accuracy": metrics.accuracy_score(known.labels, probability >= 0.5),
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("task", small.TASKS)
def test_the_model_and_two_baselines_have_every_figure_with_its_interval(task):
    found: Evaluation = small.finished(task).catalog.load("evaluation")

    assert set(found.models) == set(found.names) == {"mlp", found.linear, "boosting"}
    assert found.linear == ("linear" if task == "regression" else "logistic")
    for figures in found.models.values():
        assert set(figures) == set(evaluation.METRICS[task])
        assert all(figure.lower < figure.value < figure.upper for figure in figures.values())
    assert set(found.differences) == {found.linear, "boosting"}
    assert (found.calibration_error is None) == (task == "regression")
    assert sum(part.rows for part in found.calibration) == found.rows["test"]
    assert {segment.segment for segment in found.segments} == {"town"}


def test_a_difference_is_positive_where_the_model_is_better_whatever_the_metric():
    labels = np.random.default_rng(0).integers(0, 2, 2000)
    good, bad = np.where(labels == 1, 0.9, 0.1), np.full(2000, 0.5) + np.random.default_rng(1).normal(0, 0.01, 2000)
    _, differences = evaluation.measure(truth(labels), {"mlp": good, "logistic": bad}, "binary", QUALITY, 1)

    assert all(figure.lower > 0 for figure in differences["logistic"].values())


def test_a_figure_that_is_not_defined_is_left_out():
    models, _ = evaluation.measure(
        truth(np.ones(100, np.int64)), {"mlp": np.linspace(0.1, 0.9, 100)}, "binary", QUALITY, 1
    )

    assert "auc" not in models["mlp"]
    assert models["mlp"]["brier"].value > 0
    assert msgspec.json.decode(msgspec.json.encode(models), type=dict[str, dict[str, evaluation.Measured]]) == models


def test_days_that_differ_make_an_interval_wider_than_rows_would():
    random = np.random.default_rng(0)
    hard = np.arange(800) % 20 < 10  # on half of the days the score says the opposite
    labels = random.integers(0, 2, 800)
    score = np.where(hard, 1 - labels, labels) * 0.5 + random.random(800) * 0.5
    days = truth(labels)
    rows = msgspec.structs.replace(days, day=np.arange(800), dates=[dt.date(2024, 1, 1)] * 800)
    by_day, by_row = (
        evaluation.measure(t, {"mlp": score}, "binary", QUALITY, 1)[0]["mlp"]["accuracy"] for t in (days, rows)
    )

    assert by_day.upper - by_day.lower > 1.5 * (by_row.upper - by_row.lower)


def test_segments_with_few_rows_have_no_figures():
    labels = np.random.default_rng(0).integers(0, 2, 1000)
    predictions = {"mlp": np.random.default_rng(1).random(1000)}
    few, many = (
        [part.value for part in evaluation.measure_segments(truth(labels), predictions, QUALITY, 1, least)]
        for least in (200, 100)
    )

    assert few == ["often"]
    assert many == ["often", "seldom"]


def test_the_calibration_error_is_how_far_bins_lie_off():
    labels = np.random.default_rng(0).random(50_000) < 0.3
    right, wrong = (evaluation.calibration_curve(labels, np.full(50_000, p), "binary") for p in (0.3, 0.5))

    assert evaluation.calibration_error(right) < 0.02
    assert evaluation.calibration_error(wrong) == pytest.approx(0.2, abs=0.01)
