"""Rollouts that lose requests, promote unseen, or keep a revert waiting."""

from tests.gitops.breaks.changes import (
    AB,
    BLUEGREEN,
    CANARY,
    FIXED,
    KEDA,
    ROUTED,
    Breaks,
    also,
    annotated,
    at,
    of,
    on,
    put,
    step,
    without,
)

HEADER = {"name": "canary-header", "match": [{"headerName": "X", "headerValue": {"exact": "y"}}]}

BREAKS: Breaks = {
    "there_is_one_strategy": on(
        CANARY,
        put("/strategy", {}),
        put("/strategy.blueGreen", {"activeService": "model"}),
        put("/strategy", {"rollingUpdate": {}}),
    ),
    "a_version_that_does_not_come_up_is_given_up": on(
        CANARY,
        put("/progressDeadlineAbort", None),
        put("/progressDeadlineAbort", False),
        put("/progressDeadlineSeconds", 60),
        put("/progressDeadlineSeconds", None),
    ),
    "a_revert_is_fast_and_nothing_else_is": on(
        CANARY,
        put("/rollbackWindow", None),
        put("/rollbackWindow.revisions", 3),
        put("/revisionHistoryLimit", 1),
        put("/strategy.canary.dynamicStableScale", True),
        put("/minReadySeconds", 5),
        put("/minReadySeconds", None),
    ),
    "pods_outlive_their_traffic": [
        *on(CANARY, put("/strategy.canary.abortScaleDownDelaySeconds", 0)),
        *on(
            ROUTED,
            put("/strategy.canary.abortScaleDownDelaySeconds", 5),
            put("/strategy.canary.scaleDownDelaySeconds", 5),
        ),
    ],
    "blue_green_can_go_back_and_is_measured_before": on(
        BLUEGREEN,
        put("/strategy.blueGreen.previewReplicaCount", 1),
        put("/strategy.blueGreen.scaleDownDelaySeconds", None),
        put("/strategy.blueGreen.prePromotionAnalysis", None),
        put("/strategy.blueGreen.postPromotionAnalysis.templates", []),
    ),
    "capacity_never_falls_below_what_is_promised": on(
        CANARY,
        put("/strategy.canary.maxUnavailable", None),
        put("/strategy.canary.maxUnavailable", 1),
    ),
    "replicas_are_the_autoscalers_or_are_fixed": [
        *on(
            FIXED,
            put("/replicas", 0),
            put("/replicas", None),
            also("HorizontalPodAutoscaler", "model", spec={"minReplicas": 1, "scaleTargetRef": {}}),
        ),
        *on(
            CANARY,
            put("/replicas", 3),
            without("HorizontalPodAutoscaler"),
            of("HorizontalPodAutoscaler", "model", at("spec.minReplicas", 0)),
            of("HorizontalPodAutoscaler", "model", at("spec.scaleTargetRef.kind", "Deployment")),
        ),
        *on(
            KEDA,
            of("ScaledObject", "model", at("spec.minReplicaCount", 0)),
            of("ScaledObject", "model", at("spec.scaleTargetRef.name", "other")),
            also("HorizontalPodAutoscaler", "model", spec={"minReplicas": 1, "scaleTargetRef": {}}),
        ),
    ],
    "steps_are_those_that_the_router_can_do": [
        *on(
            CANARY,
            step(0, {"setCanaryScale": {"replicas": 1}}),
            step(0, {"setHeaderRoute": HEADER}),
            step(0, {"setMirrorRoute": {"name": "mirror", "percentage": 100}}),
        ),
        *on(
            ROUTED,
            step(0, {"setMirrorRoute": {"name": "mirror", "percentage": 100}}),
            put("/strategy.canary.trafficRouting.managedRoutes", []),
        ),
    ],
    "the_canary_is_scaled_by_weight_only_once_it_has_one": on(
        ROUTED,
        step(0, {"setCanaryScale": {"matchTrafficWeight": True}}),
        step(2, {"setCanaryScale": {"matchTrafficWeight": True}}),
    ),
    "analysis_begins_once_there_is_traffic": [
        *on(
            CANARY,
            put("/strategy.canary.analysis.startingStep", 0),
            put("/strategy.canary.analysis.startingStep", None),
        ),
        *on(ROUTED, put("/strategy.canary.analysis.startingStep", 2)),
        *on(AB, put("/strategy.canary.analysis.startingStep", 1)),
    ],
    "a_bad_version_is_found_out_in_its_first_step": on(
        CANARY,
        step(1, {"pause": {"duration": "10s"}}),
        step(1, {"pause": {}}),
        put("/strategy.canary.steps", [{"setWeight": 5}]),
        of("AnalysisTemplate", "slo", at("spec.metrics.0.failureLimit", 20)),
        of("AnalysisTemplate", "slo", at("spec.metrics.0.interval", "5m")),
    ),
    "a_sync_never_waits_for_the_rollout": on(
        CANARY,
        annotated("Service", "argocd.argoproj.io/sync-wave", "1"),
        annotated("Rollout", "argocd.argoproj.io/hook", "PostSync"),
        annotated("Rollout", "helm.sh/hook", "post-install"),
    ),
    "nothing_is_applied_in_a_way_of_its_own": on(
        CANARY,
        annotated("Service", "argocd.argoproj.io/sync-options", "ServerSideApply=true"),
        annotated("NetworkPolicy", "argocd.argoproj.io/sync-options", "PruneLast=true"),
        annotated("Rollout", "argocd.argoproj.io/sync-options", "Replace=true"),
    ),
}
