"""What Argo Rollouts and Argo CD do with certain fields, each a trap that others fell into."""

from tests.gitops.manifests import of_kind, rollout, server
from tests.gitops.policies.registry import canary, policy, steps

WAVES = ("argocd.argoproj.io/sync-wave", "argocd.argoproj.io/hook")
# Each makes a sync wait for health, replace what controllers write, or apply in a way that takes selectors over.
OPTIONS = ("ServerSideApply=true", "PruneLast=true", "Replace=true", "Force=true")


@policy
def there_is_one_strategy(rendered):
    strategy = rollout(rendered)["spec"].get("strategy", {})
    if len(strategy) != 1 or not set(strategy) <= {"canary", "blueGreen"}:
        yield "not exactly one strategy"


@policy
def a_version_that_does_not_come_up_is_given_up(rendered):
    spec = rollout(rendered)["spec"]
    if spec.get("progressDeadlineAbort") is not True:
        yield "progressDeadlineAbort is off by default: a version that crashes would stay, degraded"
    startup = server(rendered).get("startupProbe", {})
    longest = startup.get("failureThreshold", 3) * startup.get("periodSeconds", 10)
    if spec.get("progressDeadlineSeconds", 0) <= longest + spec.get("minReadySeconds", 0):
        yield "given up before it may have started"


@policy
def a_revert_is_fast_and_nothing_else_is(rendered):
    spec = rollout(rendered)["spec"]
    if spec.get("rollbackWindow") != {"revisions": 1}:
        yield "a wider window lets a version that was never stable skip its analysis"
    if spec.get("revisionHistoryLimit", 10) < 2:
        yield "the version to go back to may be gone"
    if canary(rendered).get("dynamicStableScale"):
        yield "dynamicStableScale: an abort would wait for pods"
    if spec.get("minReadySeconds", 0) not in (1, 2):
        yield "minReadySeconds: each pod that comes back after an abort waits for it (0: its first answer is believed)"


@policy
def pods_outlive_their_traffic(rendered):
    strategy = canary(rendered)
    if strategy.get("abortScaleDownDelaySeconds") == 0:
        yield "abortScaleDownDelaySeconds: 0 makes the canary Service flap"
    if "trafficRouting" in strategy:
        for field in ("scaleDownDelaySeconds", "abortScaleDownDelaySeconds"):
            if strategy.get(field, 30) < 30:
                yield f"{field}: pods go before every router has heard"


@policy
def blue_green_can_go_back_and_is_measured_before(rendered):
    strategy = rollout(rendered)["spec"].get("strategy", {}).get("blueGreen")
    if strategy is None:
        return
    if "previewReplicaCount" in strategy:
        yield "previewReplicaCount: analysis before the switch may be left out (AR#4728)"
    if strategy.get("scaleDownDelaySeconds", 30) < 600:
        yield "the old version is gone before anybody can have decided to revert"
    for field in ("prePromotionAnalysis", "postPromotionAnalysis"):
        if not strategy.get(field, {}).get("templates"):
            yield f"no {field}"


@policy
def capacity_never_falls_below_what_is_promised(rendered):
    strategy = canary(rendered)
    if strategy and "trafficRouting" not in strategy and strategy.get("maxUnavailable", "25%") != 0:
        yield "a new version may take pods away before its own are there"


@policy
def replicas_are_the_autoscalers_or_are_fixed(rendered):
    fixed = rollout(rendered)["spec"].get("replicas")
    scalers = [(one["spec"]["minReplicas"], one["spec"]) for one in of_kind(rendered, "HorizontalPodAutoscaler")]
    scalers += [(one["spec"]["minReplicaCount"], one["spec"]) for one in of_kind(rendered, "ScaledObject")]
    if scalers and fixed is not None:
        yield "replicas in git: Argo CD would set them back whenever the autoscaler moved them"
    if len(scalers) > 1 or not (scalers or fixed):
        yield f"{len(scalers)} autoscalers, and {fixed} replicas"
    for least, spec in scalers:
        if least < 1:
            yield "scaled to nothing"
        target = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "name": rollout(rendered)["metadata"]["name"],
        }
        if spec["scaleTargetRef"] != target:
            yield "scales something else than the Rollout"


@policy
def steps_are_those_that_the_router_can_do(rendered):
    routed = "trafficRouting" in canary(rendered)
    managed = {route["name"] for route in canary(rendered).get("trafficRouting", {}).get("managedRoutes", [])}
    for step in steps(rendered):
        if "setMirrorRoute" in step:
            yield "setMirrorRoute: the Gateway API plug-in takes it and does nothing"
        if not routed and set(step) & {"setCanaryScale", "setHeaderRoute"}:
            yield f"{next(iter(step))} without a traffic router: the Rollout would be refused"
        if routed and "setHeaderRoute" in step and step["setHeaderRoute"]["name"] not in managed:
            yield "a header rule that is not among managedRoutes"


@policy
def the_canary_is_scaled_by_weight_only_once_it_has_one(rendered):
    weighed = False
    for step in steps(rendered):
        weighed = weighed or step.get("setWeight", 0) > 0
        if step.get("setCanaryScale", {}).get("matchTrafficWeight") and not weighed:
            yield "matchTrafficWeight at weight 0 takes the canary's pods and its header rule away"


@policy
def analysis_begins_once_there_is_traffic(rendered):
    background = canary(rendered).get("analysis")
    if background is None:
        return
    weighed = [i for i, step in enumerate(steps(rendered)) if step.get("setWeight", 0) > 0]
    headed = [i for i, step in enumerate(steps(rendered)) if step.get("setHeaderRoute", {}).get("match")]
    first = (weighed or headed or [len(steps(rendered))])[0]
    if background.get("startingStep", 0) <= first:
        yield "a version that nobody asks yet would be judged"


@policy
def a_bad_version_is_found_out_in_its_first_step(rendered):
    """Pause >= initialDelay + (failureLimit + 1) * interval: else it walks on before it can have failed."""
    names = {one["templateName"] for one in canary(rendered).get("analysis", {}).get("templates", [])}
    templates = {one["metadata"]["name"]: one["spec"] for one in of_kind(rendered, "AnalysisTemplate")}
    needed = [
        seconds(metric.get("initialDelay", "0s")) + (metric.get("failureLimit", 0) + 1) * seconds(metric["interval"])
        for name in names & set(templates)
        for metric in templates[name]["metrics"]
    ]
    pauses = [step["pause"] for step in steps(rendered) if "pause" in step]
    for pause in pauses:
        if "duration" not in pause:
            yield "a pause that only a person ends"
    if needed and (not pauses or seconds(pauses[0].get("duration", "0s")) < max(needed)):
        yield f"the first pause is shorter than the {max(needed)} s that it takes to fail"


def seconds(text: str | int) -> int:
    if isinstance(text, int) or text.isdigit():
        return int(text)
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


@policy
def a_sync_never_waits_for_the_rollout(rendered):
    for document in rendered:  # with more than one wave, or a hook, a sync lasts until everything is healthy
        for key in document["metadata"].get("annotations", {}):
            if key in WAVES or key.startswith("helm.sh/hook"):
                yield f"{document['kind']} {document['metadata']['name']} has {key}"


@policy
def nothing_is_applied_in_a_way_of_its_own(rendered):
    for document in rendered:
        said = document["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options", "")
        if any(option in said for option in OPTIONS):
            yield f"{document['kind']} {document['metadata']['name']} asks for {said}"
