"""The dashboard of the service: what clients get, against what was promised to them."""

from contracts.budgets import Budgets
from release.derived import objectives, promql
from release.derived.panels import BY_VERSION, CHOSEN, WINDOW, Dashboard, Panel, Query, Row, versions
from release.derived.promql import Scope
from release.derived.quantities import number


def service(budgets: Budgets, scope: Scope) -> Dashboard:
    """What clients get, against what was promised to them."""
    shown = Scope(scope.namespace, CHOSEN)
    return Dashboard(
        name="service",
        about="What clients get, against what was promised to them.",
        rows=(_promises(budgets, scope, shown), _answers(shown), _pods(budgets, scope)),
        variables=(versions(scope),),
    )


def _promises(budgets: Budgets, scope: Scope, shown: Scope) -> Row:
    promised = budgets.service
    left = scope.of("slo:error_budget_remaining:ratio")
    burning = f"{scope.of('slo:sli_error:ratio_rate1h')} / on (slo) {scope.of('slo:error_budget:ratio')}"
    fastest = max(burn.rate(budgets.objectives.window_days) for burn in objectives.BURNS)
    failing = f"{promql.failures(shown, WINDOW)} / {promql.requests(shown, WINDOW)}"
    panels = (
        Panel(
            title="Error budget left",
            about=f"Of the last {budgets.objectives.window_days} days; at 0 no more risk is taken.",
            queries=(Query(left, "{{slo}}"),),
            kind="stat",
            unit="percentunit",
            limit=0,
            limit_is_low=True,
            width=6,
        ),
        Panel(
            title="How fast it burns",
            about=f"Times as fast as would use it up in its window, over the last hour; {fastest:g} wakes somebody.",
            queries=(Query(burning, "{{slo}}"),),
            limit=fastest,
            width=9,
        ),
        Panel(
            title="Requests that failed",
            about="5xx, and answers for which the model had no number.",
            queries=(Query(failing, "failed"),),
            unit="percentunit",
            limit=promised.error_share,
            width=9,
        ),
        Panel(
            title="Time to answer",
            about=f"At the server, from request to answer; promised: p99 {promised.latency_p99_ms:g} ms.",
            queries=tuple(
                Query(promql.quantile(shown, share, WINDOW), name)
                for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            unit="s",
            limit=promised.latency_p99_ms / 1000,
            width=12,
        ),
        Panel(
            title="Requests",
            about=f"Predictions asked for; promised: {promised.throughput_rps:g} a second.",
            queries=(Query(promql.requests(shown, WINDOW, by="version"), BY_VERSION),),
            unit="reqps",
            stacked=True,
            width=12,
        ),
    )
    return Row("Promises", panels)


def _answers(shown: Scope) -> Row:
    stages = shown.total("ml_inference_stage_duration_seconds_sum", WINDOW, by="stage")
    calls = shown.total("ml_inference_stage_duration_seconds_count", WINDOW, by="stage")
    panels = (
        Panel(
            title="Answers by status",
            width=6,
            about="Of all routes, health and metadata too.",
            queries=(Query(shown.total("ml_inference_requests_total", WINDOW, by="code"), "{{code}}"),),
            unit="reqps",
        ),
        Panel(
            title="Refused",
            width=6,
            about="By the problem's code (docs/serving.md, Errors).",
            queries=(Query(shown.total("ml_inference_rejected_total", WINDOW, by="reason"), "{{reason}}"),),
            unit="reqps",
        ),
        Panel(
            title="Time by stage",
            width=6,
            about="Of one call of the model: reading the request, the model, writing the answer.",
            queries=(Query(f"{stages} / {calls}", "{{stage}}"),),
            unit="s",
        ),
        Panel(
            title="Together in one call of the model",
            width=6,
            about="Requests and rows of a batch, on average: the busier, the larger.",
            queries=tuple(
                Query(f"{shown.total(f'{name}_sum', WINDOW)} / {shown.total(f'{name}_count', WINDOW)}", legend)
                for name, legend in (("ml_inference_batch_requests", "requests"), ("ml_inference_batch_size", "rows"))
            ),
        ),
    )
    return Row("Answers", panels)


def _pods(budgets: Budgets, scope: Scope) -> Row:
    scaling, full = budgets.scaling, budgets.monitoring.saturation
    cores, memory = number(scaling.cpu, "scaling.cpu"), int(number(scaling.memory, "scaling.memory"))
    restarts = f"sum by (pod) (resets({scope.of('process_cpu_seconds_total')}[1h]))"
    workers = f"sum by (pod) (increase({scope.of('ml_worker_restarts_total')}[1h]))"
    panels = (
        Panel(
            title="Pods",
            about="Those that Prometheus reaches; the line is the most that there may be.",
            queries=(Query(scope.of("ml:replicas:count"), "scraped"),),
            limit=scaling.maximum_replicas,
        ),
        Panel(
            title="Processor time",
            about=f"Of {cores:g} cores each.",
            queries=(Query(promql.cpu(scope, WINDOW, cores), "{{pod}}"),),
            unit="percentunit",
            limit=full,
        ),
        Panel(
            title="Memory",
            about=f"Of {scaling.memory} each; at the limit the kernel kills it.",
            queries=(Query(promql.memory(scope, memory), "{{pod}}"),),
            unit="percentunit",
            limit=full,
        ),
        Panel(
            title="In flight",
            about=f"Requests that have come and wait; {scaling.inflight_per_replica} are planned for a replica.",
            queries=(Query(f"max by (pod) ({scope.of('ml_inference_inflight')})", "{{pod}}"),),
            limit=scaling.inflight_per_replica,
        ),
        Panel(
            title="Connections and descriptors",
            about="Of all pods.",
            queries=(
                Query(f"sum({scope.of('ml_inference_connections')})", "connections"),
                Query(f"sum({scope.of('process_open_fds')})", "descriptors"),
            ),
        ),
        Panel(
            title="Started again",
            about="Within an hour: containers, and workers where a pod has several.",
            queries=(
                Query(restarts, "container of {{pod}}"),
                Query(workers, "workers of {{pod}}"),
                Query(f"sum by (pod) ({scope.of('ml_workers')})", "workers of {{pod}} that are there"),
            ),
        ),
    )
    return Row("Pods", panels)
