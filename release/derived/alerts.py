"""Every alert of an environment, and the rules that they and the dashboards stand on.

What an alert means and what to do about it: its page in docs/runbooks. All of them: docs/monitoring.md.
"""

from collections.abc import Iterator

from contracts.budgets import Budgets
from release.derived import drift, objectives, promql, rollouts
from release.derived.promql import Scope
from release.derived.quantities import number
from release.derived.rules import PAGE, SETTLING, TICKET, Alert, Group, Record

BUDGETS = "conf/base/budgets.yml"
DAY_SECONDS = 86_400


def groups(budgets: Budgets, namespace: str) -> tuple[Group, ...]:
    """All rules of an environment, in the order in which they need each other."""
    scope = Scope(namespace)
    quick, slow = (
        tuple(objectives.records(budgets, scope, windows)) for windows in (objectives.QUICK, objectives.SLOW)
    )
    return (
        Group("objectives", "30s", quick),
        Group("objectives-slow", "2m", (*slow, *objectives.period(budgets, scope))),
        Group("objectives-alerts", "30s", tuple(objectives.alerts(budgets, scope))),
        Group("drift", drift.STEP, (*drift.records(scope), *drift.alerts(budgets, scope))),
        Group("cost", "1m", (*cost_records(budgets, scope), *cost(budgets, scope))),
        Group("model", "30s", tuple(model(budgets, scope))),
        Group("saturation", "30s", tuple(saturation(budgets, scope))),
        Group("rollout", "30s", tuple(rollouts.alerts(budgets, scope))),
        Group("shadow", "1m", tuple(drift.shadow(budgets, scope))),
    )


def cost_records(budgets: Budgets, scope: Scope) -> Iterator[Record]:
    """What runs, and what it costs at the price in the budgets."""
    labels = {"namespace": scope.namespace}
    yield Record("ml:replicas:count", promql.pods(scope), labels)
    price = f"{scope.of('ml:replicas:count')} * {budgets.cost.replica_hour:g}"
    yield Record("ml:cost:per_hour", price, labels | {"currency": budgets.cost.currency})
    month = f"avg_over_time({scope.of('ml:cost:per_hour')}[1d]) * {promql.HOURS_A_MONTH}"
    yield Record("ml:cost:per_month", month, labels)


def cost(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """More than the budget allows, if it goes on like today."""
    yield Alert(
        name="CostAboveBudget",
        expression=f"{scope.of('ml:cost:per_month')} > {budgets.cost.monthly_budget:g}",
        hold="1h",
        severity=TICKET,
        summary=f"at the rate of the last day a month costs {{{{ $value | printf `%.0f` }}}} {budgets.cost.currency}",
        description=(
            f"The budget is {budgets.cost.monthly_budget:g} {budgets.cost.currency}, at "
            f"{budgets.cost.replica_hour:g} for an hour of one replica ({BUDGETS}, `cost`)."
        ),
    )


def model(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """Whether the model is seen at all, how old it is, and whether its servers stay up."""
    days, lag = budgets.monitoring.model_age_days, budgets.monitoring.label_lag_days
    yield Alert(
        name="ModelMetricsAbsent",
        expression=f"absent({scope.of('ml_model_info')})",
        hold="5m",
        severity=PAGE,
        summary="no server of the model is seen by Prometheus",
        description="Either nothing serves, or nobody is watching what does: no other alert of the model can fire.",
    )
    yield Alert(
        name="PodNotScraped",
        expression=f"{scope.of('up')} == 0",
        hold="5m",
        severity=TICKET,
        summary="{{ $labels.pod }} does not give its metrics",
        description="It hangs, or its management port is not reachable for Prometheus. It counts in no figure.",
    )
    yield Alert(
        name="WorkersRestart",
        expression=(
            f"sum by (pod) (increase({scope.of('ml_worker_restarts_total')}[30m])) > 2\n"
            f"or\nsum by (pod) (resets({scope.of('process_cpu_seconds_total')}[30m])) > 2"
        ),
        severity=TICKET,
        summary="{{ $labels.pod }} was started again {{ $value | printf `%.0f` }} times within half an hour",
        description="A worker that died, or the whole container: a counter that begins anew tells.",
    )
    yield Alert(
        name="ModelOld",
        expression=f"max by (model, version) ({scope.of('ml_model_age_seconds')}) > {days * DAY_SECONDS}",
        hold="1h",
        severity=TICKET,
        summary="version {{ $labels.version }} was built {{ $value | humanizeDuration }} ago",
        description=f"After {days} days a model is to be trained again, or somebody says why not.",
    )
    yield Alert(
        name="LabelsLate",
        # Nothing in this repository exports it yet: the monitoring pipeline, which joins labels to predictions, will.
        expression=f"max by (model) ({scope.of('ml_label_lag_seconds')}) > {lag * DAY_SECONDS}",
        hold="1h",
        severity=TICKET,
        summary="the last label came in {{ $value | humanizeDuration }} ago",
        description=f"More than {lag} days: how good the model is now is not known, and drift alone cannot say.",
    )


def saturation(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """Too much asked of what is there."""
    scaling, full = budgets.scaling, budgets.monitoring.saturation
    cores = number(scaling.cpu, f"{BUDGETS}: scaling.cpu")
    cpu = promql.cpu(scope, "5m", cores)
    yield Alert(
        name="RequestsRefused",
        expression=f"{scope.total('ml_inference_rejected_total', '5m', promql.REFUSED, by='reason')} > 0",
        hold="5m",
        severity=TICKET,
        summary="{{ $value | printf `%.1f` }} requests a second are refused: {{ $labels.reason }}",
        description="A queue, the connections or a deadline are at their limit; clients get 503 or 504.",
    )
    yield Alert(
        name="CpuSaturated",
        expression=f"{cpu} > {full:g}",
        hold=SETTLING,
        severity=TICKET,
        summary="{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its processor time",
        description=f"More than {full:.0%} of {cores:g} cores: latency grows, and a burst finds no room.",
    )
    yield Alert(
        name="MemoryNearLimit",
        expression=f"{promql.memory(scope, int(number(scaling.memory, f'{BUDGETS}: scaling.memory')))} > {full:g}",
        hold=SETTLING,
        severity=TICKET,
        summary="{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its memory",
        description=f"More than {full:.0%} of {scaling.memory}; at the limit the kernel kills it.",
    )
    yield Alert(
        name="InFlightHigh",
        expression=f"avg({scope.of('ml_inference_inflight')}) > {scaling.inflight_per_replica}",
        hold=SETTLING,
        severity=TICKET,
        summary="{{ $value | printf `%.1f` }} requests are in flight in a replica, on average",
        description=f"Planned are {scaling.inflight_per_replica}, and adding replicas has not helped, or could not.",
    )
    yield Alert(
        name="AtMaximumReplicas",
        expression=(
            f"{promql.pods(scope)} >= {scaling.maximum_replicas}\nand on ()\navg({cpu}) > {scaling.cpu_utilisation:g}"
        ),
        hold=SETTLING,
        severity=TICKET,
        summary="all {{ $value }} replicas that may be are there, and they are busy",
        description=f"More than {scaling.cpu_utilisation:.0%} of their processor time, and no more may be added.",
    )
