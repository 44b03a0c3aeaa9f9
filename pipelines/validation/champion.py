"""Champion gate: is the new model at least as good as what runs now, for everybody, and can today's clients ask it?

Both bundles answer the same rows of the test window. The difference of the budget's metric gets a day-block paired
bootstrap interval, and the new one goes on if and only if its lower end is above minus `champion_margin`. A segment
refuses it when it is worse by more than `segment_margin` beyond doubt, with Holm's correction for asking many segments.
"""

import numpy as np
from msgspec import Struct

from contracts.bundle import Bundle
from contracts.report import Check, Figure, Status
from pipelines.statistics import bootstrap
from pipelines.statistics.block_statistics import Statistic
from pipelines.statistics.bootstrap import Interval
from pipelines.validation import figures, metric
from pipelines.validation.metric import Asked
from pipelines.validation.window import NotRun, Window, not_run

GATE = "champion"
COMPARED = ("not worse than the champion", "no segment worse")
FIRST = "no champion was named: this is a first release (validation.champion)"


class Running(Struct, frozen=True, kw_only=True):
    """What runs now, if anything does."""

    bundle: Bundle | None


class Difference(Struct, frozen=True, kw_only=True):
    """A segment's difference, positive where the candidate is better, and its p-value after Holm's correction."""

    name: str
    found: Interval
    adjusted: float


def check_champion(
    candidate: Bundle, champion: Bundle | None, window: Window | NotRun, accepted: tuple[str, ...], asked: Asked
) -> tuple[list[Check], list[Figure]]:
    """Every check of the gate with its figures. `accepted` names inputs whose change the clients are ready for."""
    if champion is None:
        names = (*COMPARED, "inputs are compatible")
        return [Check(gate=GATE, name=name, status="not_run", detail=FIRST, blocking=False) for name in names], []
    checks = [_compatible(candidate, champion, accepted)]
    if problem := _incomparable(candidate, champion):
        return not_run(GATE, COMPARED, problem) + checks, []
    if isinstance(window, NotRun):
        return not_run(GATE, COMPARED, window.reason) + checks, []
    if "champion" not in window.predictions:
        return not_run(GATE, COMPARED, window.unanswered["champion"]) + checks, []
    both = {model: metric.statistic(window, model, asked) for model in ("candidate", "champion")}
    whole = metric.interval(metric.difference(both["candidate"], both["champion"], asked), window, asked)
    segments = _segments(window, asked)
    compared = [_not_worse(window, both, whole, asked), _no_segment_worse(segments, asked)]
    return compared + checks, _figures(window, both, whole, segments, asked)


def _compatible(candidate: Bundle, champion: Bundle, accepted: tuple[str, ...]) -> Check:
    """During a canary the same client's request may reach either version, so both must take the same columns."""
    problems = [problem for name, problem in _changes(candidate, champion) if name not in accepted]
    way_out = "; clients that are ready for it can be declared: validation.accepted_input_changes"
    status: Status = "fail" if problems else "pass"
    return Check(
        gate=GATE, name="inputs are compatible", status=status, detail=problems[0] + way_out if problems else ""
    )


def _changes(candidate: Bundle, champion: Bundle) -> list[tuple[str, str]]:
    """What differs for a client, as (column, sentence)."""
    new = {column.name: column for column in candidate.manifest.inputs}
    old = {column.name: column for column in champion.manifest.inputs}
    found = []
    for name in sorted(new.keys() | old.keys()):
        if name not in old:
            found.append((name, f"{name} is a new column: a client of what runs does not send it"))
        elif name not in new:
            found.append((name, f"{name} is gone: a client of what runs still sends it, and it would be refused"))
        elif new[name].dtype != old[name].dtype:
            found.append((name, f"{name} is {new[name].dtype} now, {old[name].dtype} in what runs"))
        elif old[name].nullable and not new[name].nullable:
            found.append((name, f"{name} may no longer be missing: a client of what runs may leave it out"))
    outputs = [(output.name, output.dtype, output.width) for output in candidate.manifest.outputs]
    if outputs != [(output.name, output.dtype, output.width) for output in champion.manifest.outputs]:
        found.append(("outputs", "the outputs have other names or shapes than those of what runs"))
    return found


def _incomparable(candidate: Bundle, champion: Bundle) -> str | None:
    new, old = candidate.manifest, champion.manifest
    if (new.task, new.target, new.classes) != (old.task, old.target, old.classes):
        return (
            f"the champion predicts {old.task} {old.target}, the candidate {new.task} {new.target}: nothing to compare"
        )
    return None


def _segments(window: Window, asked: Asked) -> list[Difference]:
    found: dict[str, Interval] = {}
    for segment, codes in window.segments.items():
        for name, rows in metric.groups(codes, asked):
            new, old = (metric.statistic(window, model, asked, rows) for model in ("candidate", "champion"))
            found[f"{segment} {name}"] = metric.interval(metric.difference(new, old, asked), window, asked)
    found = {name: interval for name, interval in found.items() if not np.isnan(interval.error)}
    p_values = [bootstrap.p_value_below(interval, -asked.budget.segment_margin) for interval in found.values()]
    return [
        Difference(name=name, found=interval, adjusted=adjusted)
        for (name, interval), adjusted in zip(found.items(), bootstrap.holm(p_values), strict=True)
    ]


def _not_worse(window: Window, both: dict[str, Statistic], whole: Interval, asked: Asked) -> Check:
    new, old = (metric.value(both[model], window) for model in ("candidate", "champion"))
    detail = (
        f"{asked.budget.metric} {new:.4f} against {old:.4f}: difference {whole.value:+.4f} "
        f"[{whole.lower:+.4f}, {whole.upper:+.4f}] over {len(window.days)} days, {asked.how}"
    )
    margin = -asked.budget.champion_margin
    status: Status = "pass" if whole.lower > margin else "fail"  # NaN fails too
    return Check(gate=GATE, name=COMPARED[0], status=status, value=whole.lower, threshold=margin, detail=detail)


def _worse(segment: Difference, asked: Asked) -> bool:
    return segment.adjusted < 1 - asked.budget.confidence


def _no_segment_worse(segments: list[Difference], asked: Asked) -> Check:
    margin = -asked.budget.segment_margin
    if not segments:
        detail = f"no segment has {asked.segment_rows} rows in which the metric is defined"
        return Check(gate=GATE, name=COMPARED[1], status="not_run", detail=detail, blocking=False)
    lowest = min(segments, key=lambda segment: (segment.adjusted, segment.found.value))
    detail = (
        f"{lowest.name}: difference {lowest.found.value:+.4f} [{lowest.found.lower:+.4f}, {lowest.found.upper:+.4f}], "
        f"p = {lowest.adjusted:.3g} after Holm's correction for {len(segments)} segments"
    )
    status: Status = "fail" if _worse(lowest, asked) else "pass"
    return Check(gate=GATE, name=COMPARED[1], status=status, value=lowest.found.value, threshold=margin, detail=detail)


def _figures(
    window: Window, both: dict[str, Statistic], whole: Interval, segments: list[Difference], asked: Asked
) -> list[Figure]:
    name = asked.budget.metric
    rows = [figures.row("all rows", whole)]
    rows += [figures.row(segment.name, segment.found, bad=_worse(segment, asked)) for segment in segments]
    weeks, values = metric.by_week(window.days, both)
    return [
        Figure(
            title=f"Candidate minus champion, {name} (right is better)",
            svg=figures.forest(rows, f"difference of {name}", -asked.budget.champion_margin),
            caption=f"Paired by day, {asked.how}; dashed: how much worse all rows may be",
        ),
        Figure(title=f"Candidate and champion, {name} by week", svg=figures.timeline(weeks, values, name)),
    ]
