"""Service level objectives: their recording rules, and alerts on how fast their error budgets burn.

Windows and shares are those of Google's SRE workbook, chapter 5: two windows each, a long one that says that it matters
and a short one that says that it still goes on. What a share is in burn rates follows from the objective's own window.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from contracts.budgets import Budgets
from contracts.errors import InputError
from release.derived import promql
from release.derived.promql import Scope
from release.derived.rules import PAGE, TICKET, Alert, Record

QUICK = ("5m", "30m", "1h")  # computed with every evaluation
SLOW = ("2h", "6h", "1d", "3d")  # and these not as often: they move slowly and cost more
# By how many bad answers a long window must show before anybody is called: else one alone would do it at night.
BAD_AT_LEAST = 10
LATENCY_SHARE = 0.99  # what `latency_p99_ms` says


class Burn(Struct, frozen=True):
    """An alert when this share of the budget is used up within the long window."""

    share: float
    long: str
    hours: int  # of the long one
    short: str
    severity: str

    def rate(self, window_days: int) -> float:
        """Times as fast as would use up just the budget in its window."""
        return self.share * window_days * 24 / self.hours


BURNS = (
    Burn(0.02, "1h", 1, "5m", PAGE),
    Burn(0.05, "6h", 6, "30m", PAGE),
    Burn(0.10, "1d", 24, "2h", TICKET),
    Burn(0.10, "3d", 72, "6h", TICKET),
)


class Objective(Struct, frozen=True):
    """A share of all events that must be good, and how to count them."""

    name: str
    target: float
    alert: str
    what: str  # of an event that is not good
    bad: Callable[[str], str]  # window -> a second
    total: Callable[[str], str]

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 12)


def of(budgets: Budgets, scope: Scope) -> tuple[Objective, ...]:
    """The promises of `service` as objectives; raises InputError for one that could never be seen to burn."""
    seconds = budgets.service.latency_p99_ms / 1000
    found = (
        Objective(
            name="availability",
            target=budgets.service.availability,
            alert="AvailabilityBudgetBurns",
            what="failed",
            bad=lambda window: promql.failures(scope, window),
            total=lambda window: promql.requests(scope, window),
        ),
        Objective(
            name="latency",
            target=LATENCY_SHARE,
            alert="LatencyBudgetBurns",
            what=f"took longer than {budgets.service.latency_p99_ms:g} ms",
            bad=lambda window: promql.slow(scope, window, seconds),
            total=lambda window: promql.answered(scope, window),
        ),
    )
    fastest = max(burn.rate(budgets.objectives.window_days) for burn in BURNS)
    for objective in found:
        if fastest * objective.budget >= 1:
            raise InputError(
                f"conf/base/budgets.yml: {objective.name}: of a target of {objective.target:g} nothing can burn "
                f"{fastest:g} times too fast; give more than {1 - 1 / fastest:.3f}, or a shorter objectives.window_days"
            )
    return found


def records(budgets: Budgets, scope: Scope, windows: tuple[str, ...]) -> Iterator[Record]:
    """The share of bad events in each window, and how many they were."""
    for objective in of(budgets, scope):
        labels = {"namespace": scope.namespace, "slo": objective.name}
        for window in windows:
            bad = Record(f"slo:sli_error:rate{window}", objective.bad(window), labels)
            counted = scope.of(bad.name, f'slo="{objective.name}"')
            yield bad
            # sum() has no labels, and what was recorded has: so one side is matched by none
            share = f"{counted}\n/ on () group_left\n{objective.total(window)}"
            yield Record(f"slo:sli_error:ratio_rate{window}", share, labels)
        if "5m" in windows:
            yield Record("slo:sli_total:rate5m", objective.total("5m"), labels)
            yield Record("slo:objective:ratio", f"vector({objective.target:g})", labels)
            yield Record("slo:error_budget:ratio", f"vector({objective.budget:g})", labels)


def period(budgets: Budgets, scope: Scope) -> Iterator[Record]:
    """The whole window: bad answers over all answers. A mean of shares would weigh a quiet night like noon."""
    days = f"{budgets.objectives.window_days}d"
    for objective in of(budgets, scope):
        labels = {"namespace": scope.namespace, "slo": objective.name}
        own = f'slo="{objective.name}"'
        bad, total = scope.of("slo:sli_error:rate5m", own), scope.of("slo:sli_total:rate5m", own)
        ratio = f"sum_over_time({bad}[{days}])\n/\nsum_over_time({total}[{days}])"
        yield Record(f"slo:sli_error:ratio_rate{days}", ratio, labels)
        used = scope.of(f"slo:sli_error:ratio_rate{days}", own)
        yield Record("slo:error_budget_remaining:ratio", f"1 - {used} / {objective.budget:g}", labels)


def alerts(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """Four speeds for each objective, under one name: what to do is the same."""
    for objective in of(budgets, scope):
        own = f'slo="{objective.name}"'
        for burn in BURNS:
            rate = burn.rate(budgets.objectives.window_days)
            limit = f"{rate * objective.budget:.6g}"
            long, short = (scope.of(f"slo:sli_error:ratio_rate{w}", own) for w in (burn.long, burn.short))
            bad = f"{scope.of(f'slo:sli_error:rate{burn.long}', own)} * {burn.hours * 3600}"
            yield Alert(
                name=objective.alert,
                expression=f"{long} > {limit}\nand\n{short} > {limit}\nand\n{bad} >= {BAD_AT_LEAST}",
                severity=burn.severity,
                labels={"slo": objective.name, "long": burn.long, "short": burn.short},
                summary=f"{{{{ $value | humanizePercentage }}}} of the answers in {burn.long} {objective.what}",
                description=(
                    f"{objective.budget * 100:g} % may, over {budgets.objectives.window_days} days; the budget burns "
                    f"more than {rate:g} times as fast, and still did in the last {burn.short}."
                ),
            )
