"""Quality gate: is the model good enough to be asked at all, and better than something simple?"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from contracts.budgets import Quality
from contracts.report import Check, Figure
from pipelines.validation import block_statistics, bootstrap, calibration, figures
from pipelines.validation.block_statistics import Statistic
from pipelines.validation.bootstrap import Interval
from pipelines.validation.window import NotRun, Segment, Window, not_run

GATE = "quality"
BASELINE = "logistic"
# The evaluation asked the trained network, the gate asks the bundle: rounding moves a metric less than this.
AGREEMENT = 0.001


class Asked(Struct, frozen=True, kw_only=True):
    """How figures are computed: the budget, the task, the class threshold and the seed of the resamples."""

    budget: Quality
    task: str
    threshold: float
    segment_rows: int
    seed: int


def check_quality(
    window: Window | NotRun, evaluated: float, baseline: float, asked: Asked
) -> tuple[list[Check], list[Figure]]:
    """Every check of the gate with its figures.

    `evaluated` and `baseline` are the budget's metric of the trained model and of the baseline on the same features,
    over the same test window, as training's evaluation found them.
    """
    metric, budget = asked.budget.metric, asked.budget
    names = (f"{metric} reaches the floor", f"{metric} beats the baseline", "evaluation agrees", "calibration error")
    if isinstance(window, NotRun):
        return not_run(GATE, names, window.reason), []
    found = measure(window, "candidate", asked)
    sign = 1 if budget.higher_is_better else -1
    ahead = sign * (found.value - baseline)
    apart = abs(found.value - evaluated)
    calibrated = calibration.measure(asked.task, window.label, window.predictions["candidate"])
    drawn = f"{budget.confidence:.0%} interval over {len(window.days)} days, {budget.resamples} resamples, seed {asked.seed}"
    checks = [
        _check(
            names[0], sign * (found.value - budget.floor) >= 0, found.value, budget.floor, f"{metric} {found}, {drawn}"
        ),
        _check(
            names[1],
            ahead >= budget.baseline_margin,
            ahead,
            budget.baseline_margin,
            f"{BASELINE} regression on the same features: {baseline:.4f}",
        ),
        _check(
            names[2],
            apart <= AGREEMENT,
            apart,
            AGREEMENT,
            f"training's evaluation says {evaluated:.4f}, the bundle {found.value:.4f}",
        ),
        _check(
            names[3],
            calibrated.error <= budget.calibration_error,
            calibrated.error,
            budget.calibration_error,
            f"{len(calibrated.rows)} bins of equal count",
        ),
    ]
    by_segment = {
        name: measure_segments(window, segment, "candidate", asked) for name, segment in window.segments.items()
    }
    checks += [_weakest(name, values, asked) for name, values in by_segment.items() if values]
    return checks, _figures(window, found, calibrated, by_segment, asked)


def measure(window: Window, model: str, asked: Asked) -> Interval:
    """The budget's metric over the whole window, with its day-block interval."""
    weights = bootstrap.day_weights(len(window.days), asked.budget.resamples, asked.seed)
    return bootstrap.interval(reduce(window, model, asked, slice(None)), weights, asked.budget.confidence)


def measure_segments(window: Window, segment: Segment, model: str, asked: Asked) -> dict[str, Interval]:
    """The same for every group with enough rows where it is defined (both classes occur), by name."""
    weights = bootstrap.day_weights(len(window.days), asked.budget.resamples, asked.seed)
    return {
        name: found
        for name, rows in groups(segment, asked.segment_rows)
        if not np.isnan(
            (found := bootstrap.interval(reduce(window, model, asked, rows), weights, asked.budget.confidence)).error
        )
    }


def reduce(window: Window, model: str, asked: Asked, rows: np.ndarray | slice) -> Statistic:
    """The budget's metric over some rows as a function of day weights."""
    return block_statistics.reduce(
        asked.budget.metric,
        window.label[rows],
        window.predictions[model][rows],
        window.block[rows],
        len(window.days),
        asked.threshold,
    )


def groups(segment: Segment, least: int) -> list[tuple[str, np.ndarray]]:
    """The groups of at least `least` rows, by name: (name, which rows)."""
    counts = np.bincount(segment.codes, minlength=len(segment.names))
    return sorted(
        (name, np.flatnonzero(segment.codes == code))
        for code, name in enumerate(segment.names)
        if counts[code] >= least
    )


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
    found: Interval,
    calibrated: calibration.Calibration,
    by_segment: Mapping[str, Mapping[str, Interval]],
    asked: Asked,
) -> list[Figure]:
    metric = asked.budget.metric
    rows = [figures.Row(name="all rows", value=found.value, lower=found.lower, upper=found.upper)]
    rows += [
        figures.Row(name=f"{segment} {name}", value=value.value, lower=value.lower, upper=value.upper)
        for segment, values in by_segment.items()
        for name, value in values.items()
    ]
    weeks, values = by_week(window, ["candidate"], asked)
    return [
        Figure(
            title=f"{metric} by segment",
            svg=figures.forest(rows, metric, asked.budget.floor),
            caption=f"Day-block {asked.budget.confidence:.0%} intervals; dashed: the floor",
        ),
        Figure(
            title=f"{metric} by week",
            svg=figures.timeline(weeks, values, metric),
            caption="Each week of the test window by itself",
        ),
        Figure(
            title="Reliability",
            svg=figures.reliability(calibrated.predicted, calibrated.observed, "predicted"),
            caption="What came (up) against what was said (across), bins of equal count; dashed: perfect",
        ),
    ]


def by_week(window: Window, models: list[str], asked: Asked) -> tuple[list[str], dict[str, list[float]]]:
    """The metric of each model in each week of the window: the Mondays, and the values by model."""
    mondays = np.array([day.toordinal() - day.weekday() for day in window.days])
    starts = np.unique(mondays)
    selected = (mondays == starts[:, None]).astype(np.float64)  # a week is a weighting of days
    names = [f"{window.days[int(np.argmax(week))]:%m-%d}" for week in selected]
    return names, {model: reduce(window, model, asked, slice(None))(selected).tolist() for model in models}


def _check(name: str, good: bool, value: float, threshold: float, detail: str) -> Check:
    return Check(
        gate=GATE, name=name, status="pass" if good else "fail", value=value, threshold=threshold, detail=detail
    )
