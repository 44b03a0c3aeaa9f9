"""The dashboards of a release, version beside version, and of what all of it costs."""

from contracts.budgets import Budgets
from release.derived import drift, promql
from release.derived.analysis import PREDICTIONS
from release.derived.panels import BY_VERSION, CHOSEN, WINDOW, Dashboard, Panel, Query, Row, versions
from release.derived.promql import Scope
from release.derived.quantities import number

HASH = "rollouts_pod_template_hash"


def rollout(budgets: Budgets, scope: Scope) -> Dashboard:
    """How a release goes: the controller's view of it, and the versions beside each other."""
    return Dashboard(
        name="rollout",
        about="How a release goes: the controller's view of it, and the versions beside each other.",
        rows=(_controller(scope), _versions(budgets, scope)),
    )


def _controller(scope: Scope) -> Row:
    replicas = "rollout_info_replicas_"
    panels = (
        Panel(
            title="Phase",
            about="As the Argo Rollouts controller says it: Completed, Progressing, Paused, Abort, Timeout, Error.",
            queries=(Query(f"max by (name, phase) ({scope.of('rollout_info')})", "{{name}}: {{phase}}", now=True),),
            kind="stat",
            width=6,
        ),
        Panel(
            title="Phase over time",
            about="Each pause is a step of the release; an abort stays until Git is put back.",
            queries=(Query(f"max by (name, phase) ({scope.of('rollout_info')})", "{{name}}: {{phase}}"),),
            width=9,
        ),
        Panel(
            title="Replicas",
            about="Asked for, there, and already of the new version.",
            queries=tuple(
                Query(f"max by (name) ({scope.of(f'{replicas}{kind}')})", f"{{{{name}}}}: {kind}")
                for kind in ("desired", "available", "updated", "unavailable")
            ),
            width=9,
        ),
        Panel(
            title="Analyses",
            about="Runs by how they stand; Inconclusive waits for a person.",
            queries=(Query(f"count by (phase) ({scope.of('analysis_run_info')} == 1)", "{{phase}}"),),
        ),
        Panel(
            title="What they measure",
            about="Metrics of the runs that are there, by how they stand.",
            queries=(
                Query(
                    f"count by (metric, phase) ({scope.of('analysis_run_metric_phase')} == 1)", "{{metric}}: {{phase}}"
                ),
            ),
        ),
        Panel(
            title="What the controller did",
            about="Its events within an hour, and what it could not do.",
            queries=(
                Query(f"sum by (reason) (increase({scope.of('rollout_events_total')}[1h])) > 0", "{{reason}}"),
                Query(f"sum by (name) (increase({scope.of('rollout_reconcile_error')}[1h]))", "errors of {{name}}"),
                Query(f"sum by (reason) (increase({scope.of('notification_send_error')}[1h]))", "not sent: {{reason}}"),
            ),
        ),
    )
    return Row("The controller", panels)


def _versions(budgets: Budgets, scope: Scope) -> Row:
    requests = promql.requests(scope, WINDOW, by="version")
    bad = scope.total("ml_inference_requests_total", WINDOW, promql.ASKED, promql.BAD, by="version")
    grid = scope.total(PREDICTIONS, WINDOW, by="version, output, bin")
    side_by_side = f"{grid} / on (version, output) group_left sum by (version, output) ({grid}) > 0"
    panels = (
        Panel(
            title="Share of the requests",
            about=f"By version; the steps are {', '.join(map(str, budgets.canary.weights))} %, then all.",
            queries=(Query(f"{requests} / on () group_left sum({requests})", BY_VERSION),),
            unit="percentunit",
            stacked=True,
        ),
        Panel(
            title="Requests that failed, by version",
            about=f"Below {budgets.canary.success_rate:g} good ones the new version is taken back.",
            queries=(Query(f"{bad} / {requests}", BY_VERSION),),
            unit="percentunit",
            limit=round(1 - budgets.canary.success_rate, 12),
        ),
        Panel(
            title="p99 by version",
            about=f"Promised: {budgets.service.latency_p99_ms:g} ms.",
            queries=(Query(promql.quantile(scope, 0.99, WINDOW, by="version"), BY_VERSION),),
            unit="s",
            limit=budgets.service.latency_p99_ms / 1000,
        ),
        Panel(
            title="Pods by version",
            width=6,
            about="Those that Prometheus reaches.",
            queries=(Query(f"count by (version) ({scope.of('ml_model_info')})", BY_VERSION),),
        ),
        Panel(
            title="Predictions that moved, by version",
            width=6,
            about="Stability index against each version's own training data.",
            queries=(Query(scope.of(f"ml_prediction:psi_{drift.WINDOW}"), "{{output}} ({{version}})"),),
            limit=budgets.drift.psi,
        ),
        Panel(
            title="Predictions beside each other",
            width=6,
            about="In bins that every version has, as the analysis compares them; a bin's name is its upper edge.",
            queries=(Query(side_by_side, "{{bin}} ({{version}})"),),
            kind="bargauge",
            unit="percentunit",
        ),
        Panel(
            title="Requests by ReplicaSet",
            width=6,
            about="By pod template hash, as the analysis counts them.",
            queries=(Query(promql.requests(scope, WINDOW, by=HASH), f"{{{{{HASH}}}}}"),),
            unit="reqps",
        ),
    )
    return Row("Version beside version", panels)


def cost(budgets: Budgets, scope: Scope) -> Dashboard:
    """What it costs, and whether that much is needed."""
    money, scaling = budgets.cost, budgets.scaling
    cores = number(scaling.cpu, "scaling.cpu")
    replicas, an_hour = scope.of("ml:replicas:count"), scope.of("ml:cost:per_hour")
    shown = Scope(scope.namespace, CHOSEN)
    panels = (
        Panel(
            title="A month, if it goes on like this",
            about=f"At the rate of the last day; the budget is {money.monthly_budget:g} {money.currency}.",
            queries=(Query(scope.of("ml:cost:per_month"), "a month"),),
            kind="stat",
            unit=f"currency{money.currency}",
            limit=money.monthly_budget,
        ),
        Panel(
            title="An hour",
            about=f"{money.replica_hour:g} {money.currency} for each replica.",
            queries=(Query(an_hour, "all replicas"),),
            unit=f"currency{money.currency}",
        ),
        Panel(
            title="A million predictions",
            about="What they cost at this traffic: the busier, the cheaper.",
            queries=(Query(f"{an_hour} / on () ({promql.predictions(scope, WINDOW)} * 3600) * 1e6", "a million"),),
            unit=f"currency{money.currency}",
        ),
        Panel(
            title="Replicas",
            width=6,
            about=f"Between {budgets.replicas} and {scaling.maximum_replicas}.",
            queries=(Query(replicas, "replicas"),),
            limit=scaling.maximum_replicas,
        ),
        Panel(
            title="Requests for each replica",
            width=6,
            about=f"{scaling.requests_per_second_per_replica:g} a second are planned.",
            queries=(Query(f"{promql.requests(scope, WINDOW)} / on () group_right {replicas}", "a replica"),),
            unit="reqps",
            limit=scaling.requests_per_second_per_replica,
        ),
        Panel(
            title="Processor time that is used",
            width=6,
            about="Of what is paid for; the rest waits for a burst.",
            queries=(Query(f"avg({promql.cpu(scope, WINDOW, cores)})", "used"),),
            unit="percentunit",
            limit=scaling.cpu_utilisation,
        ),
        Panel(
            title="Predictions",
            width=6,
            about="Rows that went through the model, by version.",
            queries=(Query(shown.total("ml_inference_batch_size_sum", WINDOW, by="version"), BY_VERSION),),
            unit="reqps",
            stacked=True,
        ),
    )
    return Dashboard(
        name="cost",
        about="What it costs, and whether that much is needed.",
        rows=(Row("Cost", panels),),
        variables=(versions(scope),),
    )
