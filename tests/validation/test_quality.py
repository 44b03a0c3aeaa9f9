"""The quality gate refuses a model that is too weak, no better than something simple, or dishonest; not a good one."""

import msgspec
import numpy as np
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from contracts.report import Check
from pipelines.validation import metric, quality, window
from pipelines.validation.metric import Asked
from pipelines.validation.window import NotRun, Window
from tests import bundles
from tests.validation import station


def refused(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if check.refused}


def value(predicted: Window, asked: Asked) -> float:
    return metric.value(metric.statistic(predicted, "candidate", asked), predicted)


def judge(predicted: Window, **changes: float) -> list[Check]:
    found = value(predicted, station.asked())
    given = {"evaluated": found, "baseline": found - 0.02} | changes
    return quality.check_quality(predicted, given["evaluated"], given["baseline"], station.asked())[0]


def with_predictions(predicted: Window, values: np.ndarray) -> Window:
    return msgspec.structs.replace(predicted, predictions={"candidate": values})


@pytest.mark.parametrize("seed", range(5))
def test_a_good_model_passes_on_clean_resamples(model: Bundle, seed: int, tmp_path) -> None:
    split = station.dataset(station.rows(model, station.DAYS["test"], seed=seed), tmp_path, "test")
    assert refused(judge(window.predict(split, {"candidate": model}, 4096))) == set()


def test_guessing_does_not_reach_the_floor(predicted: Window) -> None:
    guesses = np.random.default_rng(0).random(predicted.rows)
    assert "auc reaches the floor" in refused(judge(with_predictions(predicted, guesses)))


def test_a_model_that_a_baseline_matches_is_refused(predicted: Window) -> None:
    found = value(predicted, station.asked())
    assert refused(judge(predicted, baseline=found - 0.004)) == {"auc beats the baseline"}


def test_an_evaluation_of_another_model_is_noticed(predicted: Window) -> None:
    assert refused(judge(predicted, evaluated=0.5)) == {"evaluation agrees"}


def test_probabilities_that_mean_something_else_are_refused(predicted: Window) -> None:
    bold = predicted.predictions["candidate"].astype(float) ** 4  # the order stays, and so does the AUC
    assert refused(judge(with_predictions(predicted, bold))) == {"calibration error"}


def test_a_weak_segment_is_advice(predicted: Window) -> None:
    codes = predicted.segments["station"].codes
    east = codes == predicted.segments["station"].names.index("east")
    values = np.where(east, 1 - predicted.predictions["candidate"], predicted.predictions["candidate"])
    checks, figures = quality.check_quality(with_predictions(predicted, values), 0.8, 0.6, station.asked())
    weakest = next(check for check in checks if check.name == "weakest station")
    assert weakest.status == "warn"
    assert not weakest.refused
    assert weakest.detail.startswith("east: ")
    assert [figure.title for figure in figures] == ["auc by segment", "auc by week", "Reliability"]
    assert all(figure.svg.startswith("<svg") and len(figure.svg) < 20_000 for figure in figures)


def test_without_predictions_every_check_did_not_run() -> None:
    checks, figures = quality.check_quality(NotRun(reason="the guard refuses"), 0.8, 0.7, station.asked())
    assert len(refused(checks)) == 4
    assert {check.detail for check in checks} == {"the guard refuses"}
    assert figures == []


@pytest.mark.parametrize(("task", "name"), [("multiclass", "log_loss"), ("regression", "rmse")])
def test_other_tasks_are_judged_by_their_metrics(
    task: str, name: str, model: Bundle, splits: dict[str, ds.Dataset], tmp_path
) -> None:
    other = bundles.write(tmp_path / "store", task)
    rows = splits["test"].to_table()
    values = (
        ["some" if label else "none" for label in rows.column("label").to_pylist()]
        if task == "multiclass"
        else rows.column("temperature").fill_null(0)
    )
    split = station.dataset(station.replace(rows, "label", values), tmp_path, "test")
    predicted = window.predict(split, {"candidate": other}, 4096)
    budget = msgspec.structs.replace(station.BUDGETS.quality, metric=name, floor=99.0, calibration_error=1.0)
    asked = station.asked(budget=budget, task=task)
    found = value(predicted, asked)
    good = quality.check_quality(predicted, found, found + 1, asked)[0]  # lower is better: the baseline is worse
    assert refused(good) - {"calibration error"} == set()
    assert "auc" not in " ".join(check.name for check in good)
    bad = quality.check_quality(predicted, found, found - 1, asked)[0]
    assert f"{name} beats the baseline" in refused(bad)
