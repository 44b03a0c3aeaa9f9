"""What must hold for every environment's rendered manifests. A policy gives one line for each breach.

The Kubernetes baseline: no root, no writes, no privileges, no token, limits, probes, digests, disruption budget, spread,
closed network. And what Argo Rollouts and Argo CD do with certain fields, each a trap that others fell into.
"""

import re
from collections.abc import Callable, Iterator

from tests.gitops.manifests import of_kind, pod, rollout, server

POLICIES: dict[str, Callable[[list[dict]], Iterator[str]]] = {}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/part-of", "owner"}


def policy(rule):
    POLICIES[rule.__name__] = rule
    return rule


@policy
def nobody_is_root(rendered):
    for holder in (pod(rendered).get("securityContext", {}), server(rendered).get("securityContext", {})):
        if holder.get("runAsNonRoot") is False or holder.get("runAsUser", 10000) < 10000:
            yield "runs as root or as a user of the node"
    context = pod(rendered).get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not isinstance(context.get("runAsUser"), int):
        yield "runAsNonRoot with a numeric runAsUser is not said for the pod"


@policy
def nothing_is_written_but_tmp(rendered):
    if server(rendered).get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
        yield "the root filesystem can be written"
    for volume in pod(rendered).get("volumes", []):
        if set(volume) != {"name", "emptyDir"} or not volume["emptyDir"].get("sizeLimit"):
            yield f"volume {volume['name']} is not an emptyDir with a sizeLimit"
    if [mount["mountPath"] for mount in server(rendered).get("volumeMounts", [])] != ["/tmp"]:
        yield "something else than /tmp is mounted"


@policy
def no_privileges(rendered):
    context = server(rendered).get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privileges can be escalated"
    if context.get("privileged"):
        yield "the container is privileged"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "capabilities are kept"
    if pod(rendered).get("securityContext", {}).get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod(rendered).get(field):
            yield f"{field} is shared with the node"


@policy
def no_token(rendered):
    if pod(rendered).get("automountServiceAccountToken") is not False:
        yield "the pod mounts a token"
    for account in of_kind(rendered, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "the service account hands out a token"
    if pod(rendered).get("serviceAccountName", "default") == "default":
        yield "the pod runs as the namespace's default account"


@policy
def requests_and_limits(rendered):
    resources = server(rendered).get("resources", {})
    for part in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if not resources.get(part, {}).get(resource):
                yield f"no {resource} in {part}"


@policy
def three_probes_on_the_management_port(rendered):
    ports = {port["name"]: port["containerPort"] for port in server(rendered).get("ports", [])}
    if ports != {"http": 8080, "management": 8081}:
        yield f"ports are {ports}"
    for name in PROBES:
        if server(rendered).get(name, {}).get("httpGet", {}).get("port") != "management":
            yield f"no {name} on the management port"
    paths = {name: server(rendered).get(name, {}).get("httpGet", {}).get("path") for name in PROBES}
    if paths["livenessProbe"] == paths["readinessProbe"]:
        yield "a pod that is only not ready would be restarted"
    startup = server(rendered).get("startupProbe", {})
    if startup.get("failureThreshold", 3) * startup.get("periodSeconds", 10) < 60:
        yield "less than a minute to start"


@policy
def the_image_is_named_by_digest(rendered):
    image = server(rendered)["image"]
    if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?/[a-z0-9._/-]+:[\w.-]+@sha256:[0-9a-f]{64}", image):
        yield f"{image} is not registry/name:tag@sha256:<64 hex>"
    if "initContainers" in pod(rendered):
        yield "another image than the one that is promoted runs, too"


@policy
def one_pod_may_leave_at_a_time(rendered):
    labels = rollout(rendered)["spec"]["template"]["metadata"]["labels"]
    budgets = of_kind(rendered, "PodDisruptionBudget")
    if [budget["spec"].get("maxUnavailable") for budget in budgets] != [1]:
        yield "no disruption budget of one pod"
    for budget in budgets:
        if not budget["spec"]["selector"]["matchLabels"].items() <= labels.items():
            yield "the disruption budget covers other pods"


@policy
def pods_are_spread_per_version(rendered):
    spread = pod(rendered).get("topologySpreadConstraints", [])
    if not spread:
        yield "pods may all lie on one node"
    for constraint in spread:  # pod-template-hash is a Deployment's label: here it would match nothing
        if constraint.get("matchLabelKeys") != ["rollouts-pod-template-hash"]:
            yield "versions are counted together"


@policy
def the_network_is_closed(rendered):
    found = of_kind(rendered, "NetworkPolicy")
    closed = [one["spec"] for one in found if one["spec"]["podSelector"] == {}]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in closed:
        yield "what is not allowed is not denied"
    ports = {port["name"] for port in server(rendered).get("ports", [])}
    for one in found:
        if one["spec"].get("egress"):
            yield f"{one['metadata']['name']} lets something out"
        for rule in one["spec"].get("ingress", []):
            if not rule.get("from") or not rule.get("ports"):
                yield f"{one['metadata']['name']} lets everybody in, or to every port"
            if any(source in ({}, {"namespaceSelector": {}}) for source in rule.get("from", [])):
                yield f"{one['metadata']['name']} lets every namespace in"
            if not {port.get("port") for port in rule.get("ports", [])} <= ports:
                yield f"{one['metadata']['name']} opens a port that is not there"
            if {port.get("port") for port in rule.get("ports", [])} == {"http", "management"}:
                yield f"{one['metadata']['name']} gives clients the management port"


@policy
def draining_sums_up(rendered):
    sleep = server(rendered).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    words = [word.partition("=") for word in server(rendered)["args"] if word.endswith(tuple("0123456789"))]
    drains, flights = ([int(v) for k, _, v in words if k == key] for key in ("--drain-seconds", "--in-flight-seconds"))
    grace = pod(rendered).get("terminationGracePeriodSeconds", 30)
    if sleep < 3:
        yield f"preStop sleeps {sleep} s: requests of those who have not heard yet would be lost"
    if len(drains) != 1 or len(flights) != 1:
        yield "the server is not told how long it may take to leave"
    elif not sleep + drains[0] + flights[0] < grace:
        yield f"{sleep} s + {drains[0]} s + {flights[0]} s is not less than {grace} s, after which the pod is killed"


@policy
def the_template_holds_nothing_that_changes_with_a_commit(rendered):
    metadata = rollout(rendered)["spec"]["template"]["metadata"]
    if metadata.get("annotations"):
        yield "annotations in the template"
    if set(metadata["labels"]) != LABELS:
        yield f"labels in the template: {sorted(metadata['labels'])}"
    if server(rendered).get("env") or server(rendered).get("envFrom"):
        yield "environment variables: settings belong into the image or the arguments, where the digest or git shows them"


@policy
def everything_says_whose_it_is(rendered):
    for document in rendered:
        if not set(document["metadata"].get("labels", {})) >= LABELS:
            yield f"{document['kind']} {document['metadata']['name']} lacks one of {sorted(LABELS)}"


@policy
def references_lead_somewhere(rendered):
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(rendered, "Service")}
    labels = rollout(rendered)["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in server(rendered).get("ports", [])}
    canary = rollout(rendered)["spec"].get("strategy", {}).get("canary", {})
    for field in ("stableService", "canaryService"):
        if field in canary and canary[field] not in services:
            yield f"{field} {canary[field]} does not exist"
    if canary.get("stableService") == canary.get("canaryService"):
        yield "stable and canary are one Service"
    for name, spec in services.items():
        if not spec["selector"].items() <= labels.items():
            yield f"Service {name} selects no pod"
        if any(port["targetPort"] not in ports for port in spec["ports"]):
            yield f"Service {name} sends to a port that is not there"
    if not rollout(rendered)["spec"]["selector"]["matchLabels"].items() <= labels.items():
        yield "the Rollout selects other pods than its own"
    if pod(rendered)["serviceAccountName"] not in {a["metadata"]["name"] for a in of_kind(rendered, "ServiceAccount")}:
        yield "the service account does not exist"
    for one in of_kind(rendered, "NetworkPolicy"):
        if not one["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items():
            yield f"NetworkPolicy {one['metadata']['name']} is about other pods"


@policy
def there_is_one_strategy(rendered):
    if len(rollout(rendered)["spec"].get("strategy", {})) != 1:
        yield "not exactly one strategy"


@policy
def a_version_that_does_not_come_up_is_given_up(rendered):
    spec = rollout(rendered)["spec"]
    if spec.get("progressDeadlineAbort") is not True:
        yield "progressDeadlineAbort is off by default: a version that crashes would stay, degraded"
    startup = server(rendered).get("startupProbe", {})
    if spec.get("progressDeadlineSeconds", 600) <= startup.get("failureThreshold", 3) * startup.get(
        "periodSeconds", 10
    ):
        yield "given up before it may have started"


@policy
def a_revert_is_fast_and_nothing_else_is(rendered):
    spec = rollout(rendered)["spec"]
    if spec.get("rollbackWindow") != {"revisions": 1}:
        yield "a wider window lets a version that was never stable skip its analysis"
    if spec.get("revisionHistoryLimit", 10) < 2:
        yield "the version to go back to may be gone"
    canary = spec.get("strategy", {}).get("canary", {})
    if canary.get("dynamicStableScale"):
        yield "dynamicStableScale: an abort would wait for pods"
    if canary.get("abortScaleDownDelaySeconds") == 0:
        yield "abortScaleDownDelaySeconds: 0 makes the canary Service flap"


@policy
def capacity_never_falls_below_what_is_promised(rendered):
    canary = rollout(rendered)["spec"].get("strategy", {}).get("canary", {})
    if "trafficRouting" not in canary and canary.get("maxUnavailable", "25%") != 0:
        yield "a new version may take pods away before its own are there"
    if rollout(rendered)["spec"].get("replicas", 0) < 1:
        yield "no replicas"


@policy
def a_sync_never_waits_for_the_rollout(rendered):
    for document in rendered:  # with more than one wave, or a hook, a sync lasts until everything is healthy
        for key in document["metadata"].get("annotations", {}):
            if key in ("argocd.argoproj.io/sync-wave", "argocd.argoproj.io/hook") or key.startswith("helm.sh/hook"):
                yield f"{document['kind']} {document['metadata']['name']} has {key}"


@policy
def services_are_not_applied_server_side(rendered):
    for document in rendered:  # the whole selector would be taken over, and the controller's hash with it
        options = document["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options", "")
        if "ServerSideApply=true" in options:
            yield f"{document['kind']} {document['metadata']['name']} asks for server-side apply"


@policy
def nothing_of_the_cluster_and_no_secret(rendered):
    namespaces = {document["metadata"].get("namespace") for document in rendered}
    if len(namespaces) != 1 or None in namespaces:
        yield f"namespaces: {namespaces}"
    for document in rendered:
        if document["kind"] in ("Secret", "Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            yield f"a {document['kind']}"


def breaches(name: str, rendered: list[dict]) -> list[str]:
    return list(POLICIES[name](rendered))
