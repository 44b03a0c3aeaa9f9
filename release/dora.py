"""The four figures of DORA for an environment, from merges and reverts in git: no tool has to be told anything.

- deployment frequency: promotions that came into the target branch, a week;
- lead time: from the commit that the model was trained from (the bundle's provenance) to the merge that released it;
- change failure rate: how many of them were taken back, by whatever means;
- time to restore: from such a merge to the merge of its revert. Longer than the outage, since a canary is sent back by
  the cluster before git follows, and honest about what a person had to wait for.
"""

import statistics
from collections.abc import Sequence

from msgspec import Struct

from release import history, pin, table
from release.forge import Forge
from release.git import Git
from release.history import Step
from release.landing import Line
from release.pin import Pin
from release.promotion import TRAINED_FROM, release_file

DAY, WEEK = 86400.0, 7 * 86400.0


class Dora(Struct, frozen=True, kw_only=True):
    """Figures over `days` until now; None where there is nothing to count. Times are medians, in seconds."""

    environment: str
    days: float
    deployments: int
    deployments_per_week: float
    lead_time_seconds: float | None
    lead_times_known: int  # of the deployments: a model from an unknown commit has none
    taken_back: int
    change_failure_rate: float | None
    time_to_restore_seconds: float | None


def measure(git: Git, forge: Forge, environment: str, days: float, now: float) -> Dora:
    """The figures of the `days` before `now` (seconds since 1970). Raises InputError for an unknown environment."""
    tip = forge.tip()
    release_file(git, tip, pin.path(environment), forge.target)
    steps = history.steps(git, tip, environment)
    line = Line.of(git, tip)
    merged = {step.commit: line.landing(step.commit).time for step in steps}
    back = history.returns(steps)
    backwards = {each.step.commit for each in back}
    recent = [
        step
        for step in steps
        if step.after.digest
        and step.after.digest != (step.before or Pin()).digest
        and step.commit not in backwards
        and step.before is not None
        and now - days * DAY <= merged[step.commit] <= now
    ]
    counted = {step.commit for step in recent}
    failed = [each for each in back if each.released and each.released.commit in counted]
    leads = [float(merged[step.commit] - began) for step in recent if (began := _began(git, tip, step)) is not None]
    restores = [float(merged[each.step.commit] - merged[each.released.commit]) for each in failed if each.released]
    return Dora(
        environment=environment,
        days=days,
        deployments=len(recent),
        deployments_per_week=len(recent) * WEEK / (days * DAY),
        lead_time_seconds=_median(leads),
        lead_times_known=len(leads),
        taken_back=len(failed),
        change_failure_rate=len(failed) / len(recent) if recent else None,
        time_to_restore_seconds=_median(restores),
    )


def text(found: Sequence[Dora]) -> str:
    """A column for each environment."""
    days = f"last {found[0].days:g} days"
    rows = [
        ("deployments", *(str(each.deployments) for each in found)),
        ("deployment frequency", *(f"{each.deployments_per_week:.2g} a week" for each in found)),
        ("lead time (median)", *(_span(each.lead_time_seconds) for each in found)),
        ("change failure rate", *(_rate(each) for each in found)),
        ("time to restore (median)", *(_span(each.time_to_restore_seconds) for each in found)),
    ]
    return table.columns((days, *(each.environment for each in found)), rows)


def _began(git: Git, tip: str, step: Step) -> float | None:
    """When the code was committed that the model was trained from; None where this repository does not know."""
    named = step.trailers.get(TRAINED_FROM, "")
    if not named:
        return None
    if (commit := git.commit(named)) is None or not git.contains(tip, commit):
        return None
    return float(git.text("log", "-1", "--no-show-signature", "--format=%ct", commit))


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _span(seconds: float | None) -> str:
    return "" if seconds is None else table.duration(seconds)


def _rate(found: Dora) -> str:
    rate = found.change_failure_rate
    return "" if rate is None else f"{rate * 100:.0f} % ({found.taken_back} of {found.deployments})"
