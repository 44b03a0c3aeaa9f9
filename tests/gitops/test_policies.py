"""Each policy holds for every environment, and sees a copy that was broken in the way it is for."""

import copy

import pytest

from tests.gitops.manifests import ENVIRONMENTS, IMAGE, RUNS, documents, of_kind, pod, rollout, server, set_pin
from tests.gitops.manifests import copy as gitops_copy
from tests.gitops.policies import POLICIES, breaches


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = gitops_copy(tmp_path_factory.mktemp("policies"))
    for environment in ENVIRONMENTS:
        set_pin(folder, environment, RUNS)
    return {environment: documents(folder / "gitops" / "envs" / environment) for environment in ENVIRONMENTS}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", POLICIES)
def test_it_holds(rendered, environment, name):
    assert breaches(name, rendered[environment]) == []


def put(path, value):
    """Set a field of the server's container; `..` at the start: of the pod; `/` at the start: of the Rollout's spec."""

    def change(manifests):
        place, keys = server(manifests), path
        if path.startswith(".."):
            place, keys = pod(manifests), path[2:]
        elif path.startswith("/"):
            place, keys = rollout(manifests)["spec"], path[1:]
        *parents, last = keys.split(".")
        for key in parents:
            place = place[key]
        if value is None:
            place.pop(last)
        else:
            place[last] = value

    return change


def of(kind, name, change):
    """Change one document's spec."""

    def apply(manifests):
        change(next(d for d in of_kind(manifests, kind) if d["metadata"]["name"] == name))

    return apply


def without(kind):
    def change(manifests):
        manifests[:] = [document for document in manifests if document["kind"] != kind]

    return change


def annotated(kind, key, value):
    def change(manifests):
        of_kind(manifests, kind)[0]["metadata"]["annotations"] = {key: value}

    return change


def args(*words):
    def change(manifests):
        kept = [word for word in server(manifests)["args"] if not word.startswith(("--drain", "--in-flight"))]
        server(manifests)["args"] = [*kept, *words]

    return change


def secret(manifests):
    manifests.append({"kind": "Secret", "metadata": {"name": "s", "namespace": manifests[0]["metadata"]["namespace"]}})


def sent(source=None, ports=None, egress=None):
    def change(document):
        if egress is not None:
            document["spec"]["egress"] = egress
        if source is not None:
            document["spec"]["ingress"][0]["from"] = source
        if ports is not None:
            document["spec"]["ingress"][0]["ports"] = ports

    return of("NetworkPolicy", "allow-clients", change)


BREAKS = {
    "nobody_is_root": [
        put("..securityContext.runAsNonRoot", None),
        put("..securityContext.runAsUser", 0),
        put("..securityContext.runAsUser", 999),
        put("securityContext.runAsUser", 0),
        put("securityContext.runAsNonRoot", False),
        put("..securityContext", None),
    ],
    "nothing_is_written_but_tmp": [
        put("securityContext.readOnlyRootFilesystem", False),
        put("..volumes", [{"name": "tmp", "emptyDir": {}}]),
        put("..volumes", [{"name": "tmp", "hostPath": {"path": "/"}}]),
        put("volumeMounts", [{"name": "tmp", "mountPath": "/srv"}]),
    ],
    "no_privileges": [
        put("securityContext.allowPrivilegeEscalation", None),
        put("securityContext.privileged", True),
        put("securityContext.capabilities.drop", []),
        put("securityContext.capabilities.add", ["NET_ADMIN"]),
        put("..securityContext.seccompProfile", None),
        put("..hostNetwork", True),
        put("..hostPID", True),
    ],
    "no_token": [
        put("..automountServiceAccountToken", None),
        put("..serviceAccountName", "default"),
        of("ServiceAccount", "model", lambda d: d.pop("automountServiceAccountToken")),
    ],
    "requests_and_limits": [
        put("resources", None),
        put("resources.limits.memory", None),
        put("resources.requests.cpu", None),
    ],
    "three_probes_on_the_management_port": [
        put("startupProbe", None),
        put("readinessProbe", None),
        put("livenessProbe", None),
        put("livenessProbe.httpGet.path", "/v2/health/ready"),
        put("readinessProbe.httpGet.port", "http"),
        put("startupProbe.failureThreshold", 3),
        put("ports", [{"name": "http", "containerPort": 8080}]),
    ],
    "the_image_is_named_by_digest": [
        put("image", f"{IMAGE}:latest"),
        put("image", f"{IMAGE}:none"),
        put("image", "model-server@sha256:" + "a" * 64),
        put("..initContainers", [{"name": "sidecar", "image": "busybox"}]),
    ],
    "one_pod_may_leave_at_a_time": [
        without("PodDisruptionBudget"),
        of("PodDisruptionBudget", "model", lambda d: d["spec"].update(maxUnavailable=2)),
        of("PodDisruptionBudget", "model", lambda d: d["spec"]["selector"].update(matchLabels={"app": "other"})),
    ],
    "pods_are_spread_per_version": [
        put("..topologySpreadConstraints", []),
        put("..topologySpreadConstraints", [{"matchLabelKeys": ["pod-template-hash"]}]),
    ],
    "the_network_is_closed": [
        without("NetworkPolicy"),
        of("NetworkPolicy", "default-deny", lambda d: d["spec"].update(policyTypes=["Ingress"])),
        sent(egress=[{}]),
        sent(source=[]),
        sent(source=[{"namespaceSelector": {}}]),
        sent(source=[{}]),
        sent(ports=[]),
        sent(ports=[{"port": "admin"}]),
        sent(ports=[{"port": "http"}, {"port": "management"}]),
    ],
    "draining_sums_up": [
        put("lifecycle", None),
        put("lifecycle.preStop.sleep.seconds", 1),
        put("..terminationGracePeriodSeconds", 15),
        put("..terminationGracePeriodSeconds", 5),
        args("--drain-seconds=1"),
        args("--in-flight-seconds=1"),
        args("--drain-seconds=5", "--in-flight-seconds=10"),
        args("--drain-seconds=1", "--in-flight-seconds=60"),
        args("--drain-seconds=1", "--drain-seconds=1", "--in-flight-seconds=1"),
    ],
    "the_template_holds_nothing_that_changes_with_a_commit": [
        put("/template.metadata.annotations", {"git-sha": "0" * 40}),
        put("/template.metadata.labels.version", "7"),
        put("env", [{"name": "GIT_SHA", "value": "0" * 40}]),
    ],
    "everything_says_whose_it_is": [
        of("Service", "model", lambda d: d["metadata"]["labels"].pop("owner")),
        of("NetworkPolicy", "default-deny", lambda d: d["metadata"].pop("labels")),
    ],
    "references_lead_somewhere": [
        put("/strategy.canary.stableService", "stable"),
        put("/strategy.canary.canaryService", "model-stable"),
        put("/selector.matchLabels", {"app": "other"}),
        put("..serviceAccountName", "other"),
        of("Service", "model", lambda d: d["spec"].update(selector={"app": "other"})),
        of("Service", "model", lambda d: d["spec"]["ports"][0].update(targetPort="web")),
        of("NetworkPolicy", "allow-metrics", lambda d: d["spec"]["podSelector"].update(matchLabels={"app": "other"})),
    ],
    "there_is_one_strategy": [
        put("/strategy", {}),
        put("/strategy.blueGreen", {"activeService": "model"}),
    ],
    "a_version_that_does_not_come_up_is_given_up": [
        put("/progressDeadlineAbort", None),
        put("/progressDeadlineSeconds", 60),
    ],
    "a_revert_is_fast_and_nothing_else_is": [
        put("/rollbackWindow", None),
        put("/rollbackWindow.revisions", 3),
        put("/revisionHistoryLimit", 1),
        put("/strategy.canary.dynamicStableScale", True),
        put("/strategy.canary.abortScaleDownDelaySeconds", 0),
    ],
    "capacity_never_falls_below_what_is_promised": [
        put("/strategy.canary.maxUnavailable", None),
        put("/replicas", None),
    ],
    "a_sync_never_waits_for_the_rollout": [
        annotated("Service", "argocd.argoproj.io/sync-wave", "1"),
        annotated("Rollout", "argocd.argoproj.io/hook", "PostSync"),
    ],
    "services_are_not_applied_server_side": [
        annotated("Service", "argocd.argoproj.io/sync-options", "ServerSideApply=true"),
    ],
    "nothing_of_the_cluster_and_no_secret": [
        secret,
        of("Service", "model", lambda d: d["metadata"].update(namespace="default")),
        of("Service", "model", lambda d: d["metadata"].pop("namespace")),
    ],
}
CASES = [
    pytest.param(name, broken, id=f"{name}-{i}") for name, all_of in BREAKS.items() for i, broken in enumerate(all_of)
]


@pytest.mark.parametrize(("name", "broken"), CASES)
def test_a_broken_copy_is_seen(rendered, name, broken):
    manifests = copy.deepcopy(rendered["production"])
    broken(manifests)
    assert breaches(name, manifests)


def test_every_policy_was_seen_to_fail():
    assert set(BREAKS) == set(POLICIES)
