"""Names that lead nowhere."""

from tests.gitops.breaks.changes import (
    BLUEGREEN,
    CANARY,
    INFLIGHT,
    KEDA,
    KEYS,
    MONITORED,
    ROUTED,
    SHADOWED,
    Breaks,
    at,
    metric,
    of,
    on,
    put,
    without,
)
from tests.gitops.manifests import of_kind

QUERY = "provider.prometheus.query"


def rule(field, value):
    """Of the first alert."""

    def change(manifests):
        groups = [group for one in of_kind(manifests, "PrometheusRule") for group in one["spec"]["groups"]]
        at(field, value)(next(rule for group in groups for rule in group["rules"] if "alert" in rule))

    return change


def dashboard(manifests):
    config = of_kind(manifests, "ConfigMap")[0]
    file = next(iter(config["data"]))
    config["data"][file] = '{"panels": [{"targets": [{"expr": "rate(ml_requests_total[5m])"}]}]}'


BREAKS: Breaks = {
    "services_lead_to_pods": [
        *on(
            CANARY,
            put("/selector.matchLabels", {"app": "other"}),
            put("..serviceAccountName", "other"),
            of("Service", "model", at("spec.selector", {"app": "other"})),
            of("Service", "model", at("spec.ports.0.targetPort", "web")),
            of("NetworkPolicy", "allow-metrics", at("spec.podSelector.matchLabels", {"app": "other"})),
        ),
        *on(ROUTED, of("Deployment", "model-shadow", at("spec.selector.matchLabels", {"app": "other"}))),
    ],
    "the_rollout_names_services_and_routes_that_exist": [
        *on(
            CANARY,
            put("/strategy.canary.stableService", "stable"),
            put("/strategy.canary.canaryService", "model-stable"),
        ),
        *on(BLUEGREEN, put("/strategy.blueGreen.previewService", "preview"), without("Service", "model")),
        *on(
            ROUTED, of("HTTPRoute", "model", at("metadata.name", "other")), put("/strategy.canary.trafficRouting", None)
        ),
    ],
    "routes_lead_to_services": on(
        ROUTED,
        of("HTTPRoute", "model", at("spec.rules.0.backendRefs.0.port", 8080)),
        of("HTTPRoute", "model", at("spec.rules.0.backendRefs.1.name", "canary")),
        without("Service", "model-shadow"),
    ),
    "templates_exist_and_get_their_arguments": [
        *on(
            CANARY,
            without("AnalysisTemplate", "slo"),
            without("AnalysisTemplate", "traffic-floor"),
            put("/strategy.canary.analysis.args", []),
            of("AnalysisTemplate", "slo", at("spec.args", [])),
            metric("slo", **{QUERY: "vector({{args.hash}})"}),
        ),
        *on(BLUEGREEN, put("/strategy.blueGreen.prePromotionAnalysis.templates", [{"templateName": "smoke"}])),
    ],
    "secrets_that_are_mounted_are_fetched": on(
        KEYS,
        without("ExternalSecret", "model-api-keys"),
        without("ExternalSecret", "model-pull"),
        put("..volumes.1.secret.secretName", "keys"),
        put("volumeMounts.1.mountPath", "/etc/model/other"),
    ),
    "monitors_find_pods": [
        *on(
            MONITORED,
            of("PodMonitor", "model", at("spec.selector.matchLabels", {"app": "other"})),
            of("PodMonitor", "model", at("spec.selector.matchExpressions.0.values", ["model-shadow"])),
            of("PodMonitor", "model", at("spec.podMetricsEndpoints.0.port", "metrics")),
            of("PodMonitor", "model", at("spec.podTargetLabels", [])),
        ),
        *on(SHADOWED, of("PodMonitor", "model", at("spec.selector.matchExpressions.0.values", ["model"]))),
    ],
    "metrics_exist": [
        *on(CANARY, metric("slo", **{QUERY: 'sum(rate(model_requests_total{pod="x"}[1m]))'})),
        *on(INFLIGHT, of("HorizontalPodAutoscaler", "model", at("spec.metrics.1.pods.metric.name", "inflight"))),
        *on(KEDA, of("ScaledObject", "model", at("spec.triggers.1.metadata.query", "sum(ml_inflight)"))),
        *on(MONITORED, rule("expr", "slo:unknown:ratio > 1"), dashboard),
    ],
    "alerts_lead_to_a_runbook": on(
        MONITORED,
        rule("annotations.runbook_url", "https://github.com/o/r/blob/main/docs/runbooks/none.md"),
        rule("annotations", {}),
        rule("labels", {"severity": "page"}),
    ),
}
