"""Quality gate: is the model good enough to be asked at all, and better than something simple?"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from contracts.errors import InputError
from contracts.report import Check, Figure, Status
from pipelines.statistics.block_statistics import Statistic
from pipelines.statistics.bootstrap import Interval
from pipelines.validation import calibration, figures, metric
from pipelines.validation.calibration import Calibration
from pipelines.validation.metric import Asked
from pipelines.validation.window import NotRun, Segment, Window, not_run

GATE = "quality"
# The evaluation asked the trained network, the gate asks the bundle: rounding moves a metric less than this.
AGREEMENT = 0.001
CANDIDATE = "candidate"
TRAINED = "mlp"  # what training's evaluation calls the model that became the bundle


class Measured(Protocol):
    """A figure of the evaluation."""

    @property
    def value(self) -> float: ...


class Evaluation(Protocol):
    """What training found: pipelines.training.evaluation.Evaluation, whose module needs torch, which no gate needs."""

    @property
    def models(self) -> Mapping[str, Mapping[str, Measured]]: ...
    @property
    def linear(self) -> str: ...


def evaluated(evaluation: Evaluation, model: str, name: str) -> float:
    """A model's metric over the test window; raises InputError when the task has no such metric."""
    figures_of_model = evaluation.models[model]
    if name not in figures_of_model:
        known = ", ".join(figures_of_model)
        raise InputError(f"conf/base/budgets.yml: quality.metric: this task has no {name}; choose one of {known}")
    return figures_of_model[name].value


def check_quality(
    window: Window | NotRun, evaluated: float, baseline: float, asked: Asked
) -> tuple[list[Check], list[Figure]]:
    """Every check of the gate with its figures.

    `evaluated` and `baseline` are the budget's metric of the trained model and of the linear baseline on the same
    features, over the same test window, as training's evaluation found them.
    """
    name, budget = asked.budget.metric, asked.budget
    names = (f"{name} reaches the floor", f"{name} beats the baseline", "evaluation agrees", "calibration error")
    if isinstance(window, NotRun):
        return not_run(GATE, names, window.reason), []
    whole = metric.statistic(window, CANDIDATE, asked)
    found = metric.interval(whole, window, asked)
    sign = 1 if budget.higher_is_better else -1
    ahead, apart = sign * (found.value - baseline), abs(found.value - evaluated)
    calibrated = calibration.measure(asked.task, window.label, window.predictions[CANDIDATE])
    details = (
        f"{found}, {asked.how}",
        f"a linear model on the same features reaches {baseline:.4f}",
        f"training's evaluation says {evaluated:.4f}, the bundle {found.value:.4f}",
        f"{len(calibrated.rows)} bins of equal count",
    )
    answers = (
        (sign * (found.value - budget.floor) >= 0, found.value, budget.floor),
        (ahead >= budget.baseline_margin, ahead, budget.baseline_margin),
        (apart <= AGREEMENT, apart, AGREEMENT),
        (calibrated.error <= budget.calibration_error, calibrated.error, budget.calibration_error),
    )
    checks = [_check(name, *answer, detail) for name, answer, detail in zip(names, answers, details, strict=True)]
    segments = {name: measure_segment(window, segment, asked) for name, segment in window.segments.items()}
    checks += [_weakest(name, values, asked) for name, values in segments.items() if values]
    return checks, _figures(window, whole, found, calibrated, segments, asked)


def measure_segment(window: Window, segment: Segment, asked: Asked) -> dict[str, Interval]:
    """The metric of every group with enough rows where it is defined (both classes occur), by name."""
    found = {
        name: metric.interval(metric.statistic(window, CANDIDATE, asked, rows), window, asked)
        for name, rows in metric.groups(segment, asked)
    }
    return {name: interval for name, interval in found.items() if not np.isnan(interval.error)}


def _weakest(segment: str, values: Mapping[str, Interval], asked: Asked) -> Check:
    """Advice: a small group may stay below the floor of the whole and still be served better than by nothing."""
    sign = 1 if asked.budget.higher_is_better else -1
    name = min(values, key=lambda group: sign * values[group].value)
    low = sign * (values[name].value - asked.budget.floor) < 0
    return Check(
        gate=GATE,
        name=f"weakest {segment}",
        status="warn" if low else "pass",
        value=values[name].value,
        threshold=asked.budget.floor,
        detail=f"{name}: {values[name]}; {len(values)} groups of at least {asked.segment_rows} rows",
        blocking=False,
    )


def _figures(
    window: Window,
    whole: Statistic,
    found: Interval,
    calibrated: Calibration,
    segments: Mapping[str, Mapping[str, Interval]],
    asked: Asked,
) -> list[Figure]:
    name = asked.budget.metric
    rows = [figures.row("all rows", found)]
    rows += [
        figures.row(f"{segment} {group}", each)
        for segment, values in segments.items()
        for group, each in values.items()
    ]
    weeks, values = metric.by_week(window.days, {CANDIDATE: whole})
    return [
        Figure(
            title=f"{name} by segment",
            svg=figures.forest(rows, name, asked.budget.floor),
            caption=f"{asked.how}; dashed: the floor",
        ),
        Figure(
            title=f"{name} by week",
            svg=figures.timeline(weeks, values, name),
            caption="Each week of the test window by itself",
        ),
        Figure(
            title="Reliability",
            svg=figures.reliability(calibrated.predicted, calibrated.observed, "predicted"),
            caption="What came (up) against what was said (across), bins of equal count; dashed: perfect",
        ),
    ]


def _check(name: str, good: bool, value: float, threshold: float, detail: str) -> Check:
    status: Status = "pass" if good else "fail"
    return Check(gate=GATE, name=name, status=status, value=value, threshold=threshold, detail=detail)
