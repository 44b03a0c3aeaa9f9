"""Alerts on a release that does not come to its end, from the Argo Rollouts controller's own metrics."""

from collections.abc import Iterator

from contracts.budgets import Budgets
from release.derived import promql
from release.derived.analysis import FLOOR, SEEN
from release.derived.promql import Scope
from release.derived.rules import SETTLING, TICKET, Alert

# Of one Rollout in ten minutes. Every release has one or two by itself, when the controller and the API server write at
# once (8 were seen in ten minutes with a release each minute); a missing plug-in gives 13 in the first 20 seconds.
ERRORS = 10


def alerts(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """Watched, refused, standing still, waiting for somebody, or with fewer pods than asked for."""
    deadline = budgets.canary.progress_deadline_seconds
    holding = _floor(scope)
    yield Alert(
        name="RolloutMetricsAbsent",
        expression=f"absent({scope.of('rollout_info')})",
        hold=SETTLING,
        severity=TICKET,
        summary="the Argo Rollouts controller says nothing about the Rollout",
        description="The controller is down, or is scraped without its own `namespace` label: nobody watches releases.",
    )
    yield Alert(
        name="RolloutAborted",
        expression=f"{promql.phase(scope, 'Abort')} == 1",
        severity=TICKET,
        summary="the release was aborted, and Git still asks for it",
        description="The version before answers everything. Git has to be put back before anything else is released.",
    )
    yield Alert(
        name="RolloutBroken",
        expression=(
            f"{promql.phase(scope, 'Error|Timeout|InvalidSpec')} == 1\n"
            f"or\nsum by (namespace, name) (increase({scope.of('rollout_reconcile_error')}[10m])) > {ERRORS}"
        ),
        hold="5m",
        severity=TICKET,
        summary="the controller cannot carry out the Rollout{{ with $labels.phase }}: {{ . }}{{ end }}",
        description="A wrong spec, a quota, a missing traffic router: what runs goes on, and no release gets through.",
    )
    yield Alert(
        name="RolloutStuck",
        expression=f"{promql.phase(scope, 'Progressing')} == 1\nunless on (namespace)\n{holding} == 1",
        hold=f"{2 * deadline}s",
        severity=TICKET,
        summary="the release has not moved for twice its deadline",
        description=f"The deadline is {deadline} s, and it does not count everything: an error of the router hides it.",
    )
    yield from _waiting(budgets, scope)
    yield Alert(
        name="ReplicasMissing",
        expression=(
            f"max by (namespace, name) ({scope.of('rollout_info_replicas_available')})\n<\n"
            f"max by (namespace, name) ({scope.of('rollout_info_replicas_desired')})"
        ),
        hold=SETTLING,
        severity=TICKET,
        summary="only {{ $value }} replicas are there, fewer than asked for",
        description="The cluster has no room, or pods do not get ready: the next loss of a machine will be felt.",
    )


def _floor(scope: Scope) -> str:
    """The traffic floor is being waited for, or that Prometheus sees the new version at all."""
    matchers = f'metric=~"{FLOOR}|{SEEN}"', 'phase="Running"'
    return f"max by (namespace) ({scope.of('analysis_run_metric_phase', *matchers)})"


def _waiting(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """Three ways to wait for a person, under one name: what to do is the same."""
    canary = budgets.canary
    pauses = len(canary.weights) * canary.pause_seconds
    longest = max(pauses, budgets.comparison.minutes * 60, budgets.blue_green.observe_seconds)
    paused = promql.phase(scope, "Paused")
    undecided = scope.of("analysis_run_info", 'phase="Inconclusive"')
    requests, minutes = canary.minimum_requests, f"{canary.patience_minutes:g}"
    for reason, said, expression, seconds in (
        ("traffic", f"not {requests} predictions in {minutes} minutes", _floor(scope), canary.patience_minutes * 60),
        ("undecided", "its analysis could not decide", f"{paused} == 1\nand on (namespace)\n{undecided}", pauses),
        ("paused", "paused for longer than any of its steps", paused, longest + 900),
    ):
        yield Alert(
            name="CanaryWaits",
            expression=f"{expression} == 1",
            hold=f"{seconds:g}s",
            severity=TICKET,
            labels={"reason": reason},
            summary=f"the release waits for a person: {said}",
            description="It is neither promoted nor sent back by itself, and answers its share meanwhile.",
        )
