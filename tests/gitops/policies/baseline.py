"""The Kubernetes baseline, for every pod: no root, no writes, no privileges, no token, limits, probes, digests, disruption
budget, spread, closed network, and whose it is.
"""

import re

from tests.gitops.manifests import of_kind, rollout, server
from tests.gitops.manifests import pod as pod_of_the_rollout
from tests.gitops.policies.registry import containers, pods, policy, workloads

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/part-of", "owner"}
CREDENTIALS = "/etc/model/"


@policy
def nobody_is_root(rendered):
    for pod in pods(rendered):
        context = pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not isinstance(context.get("runAsUser"), int):
            yield "runAsNonRoot with a numeric runAsUser is not said for the pod"
        for holder in (context, *(one.get("securityContext", {}) for one in pod["containers"])):
            if holder.get("runAsNonRoot") is False or holder.get("runAsUser", 10000) < 10000:
                yield "runs as root or as a user of the node"


@policy
def nothing_is_written_but_tmp(rendered):
    for one in containers(rendered):
        if one.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield "the root filesystem can be written"
    for pod in pods(rendered):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for name, volume in volumes.items():
            if set(volume) == {"name", "emptyDir"} and not volume["emptyDir"].get("sizeLimit"):
                yield f"volume {name} may fill the node"
            elif set(volume) not in ({"name", "emptyDir"}, {"name", "secret"}):
                yield f"volume {name} is neither an emptyDir nor a Secret"
            elif volume.get("secret", {}).get("defaultMode", 0o440) != 0o440:
                yield f"the secret in volume {name} can be read by more than the pod's group"
        for mount in (mount for one in pod["containers"] for mount in one.get("volumeMounts", [])):
            credential = "secret" in volumes.get(mount["name"], {})
            if credential and (mount.get("readOnly") is not True or not mount["mountPath"].startswith(CREDENTIALS)):
                yield f"{mount['mountPath']} is not a folder below {CREDENTIALS} that can only be read"
            if credential and "subPath" in mount:
                yield f"{mount['mountPath']} would never see another secret"
            if not credential and mount["mountPath"] != "/tmp":
                yield f"{mount['mountPath']} is mounted"


@policy
def no_privileges(rendered):
    for one in containers(rendered):
        context = one.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False:
            yield "privileges can be escalated"
        if context.get("privileged"):
            yield "the container is privileged"
        capabilities = context.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield "capabilities are kept"
    for pod in pods(rendered):
        if pod.get("securityContext", {}).get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield "no seccomp profile"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(field):
                yield f"{field} is shared with the node"


@policy
def no_token(rendered):
    for pod in pods(rendered):
        if pod.get("automountServiceAccountToken") is not False:
            yield "the pod mounts a token"
        if pod.get("serviceAccountName", "default") == "default":
            yield "the pod runs as the namespace's default account"
    for account in of_kind(rendered, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "the service account hands out a token"


@policy
def requests_and_limits(rendered):
    for resources in (one.get("resources", {}) for one in containers(rendered)):
        for part in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if not resources.get(part, {}).get(resource):
                    yield f"no {resource} in {part}"


@policy
def three_probes_on_the_management_port(rendered):
    for one in (pod["containers"][0] for pod in pods(rendered)):
        ports = {port["name"]: port["containerPort"] for port in one.get("ports", [])}
        if ports != {"http": 8080, "management": 8081}:
            yield f"ports are {ports}"
        for name in PROBES:
            if one.get(name, {}).get("httpGet", {}).get("port") != "management":
                yield f"no {name} on the management port"
        paths = {name: one.get(name, {}).get("httpGet", {}).get("path") for name in PROBES}
        if paths["livenessProbe"] == paths["readinessProbe"]:
            yield "a pod that is only not ready would be restarted"
        startup = one.get("startupProbe", {})
        if startup.get("failureThreshold", 3) * startup.get("periodSeconds", 10) < 60:
            yield "less than a minute to start"


@policy
def the_image_is_named_by_digest(rendered):
    images = [one["image"] for one in containers(rendered)]
    for image in images:  # tag and digest in one line: a promotion is one line (gitops.md 34)
        if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?/[a-z0-9._/-]+:[\w.-]+@sha256:[0-9a-f]{64}", image):
            yield f"{image} is not registry/name:tag@sha256:<64 hex>"
    if len({image.partition("@")[0].rpartition(":")[0] for image in images}) != 1:
        yield "images of several repositories"
    if any("initContainers" in pod for pod in pods(rendered)):
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
    spread = pod_of_the_rollout(rendered).get("topologySpreadConstraints", [])
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
        name = one["metadata"]["name"]
        if one["spec"].get("egress"):
            yield f"{name} lets something out"
        for rule in one["spec"].get("ingress", []):
            if not rule.get("from") or not rule.get("ports"):
                yield f"{name} lets everybody in, or to every port"
            if any(source in ({}, {"namespaceSelector": {}}) for source in rule.get("from", [])):
                yield f"{name} lets every namespace in"
            if not {port.get("port") for port in rule.get("ports", [])} <= ports:
                yield f"{name} opens a port that is not there"
            if {port.get("port") for port in rule.get("ports", [])} == {"http", "management"}:
                yield f"{name} gives clients the management port"


@policy
def draining_sums_up(rendered):
    sleep = server(rendered).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    words = [word.partition("=") for word in server(rendered)["args"] if word.endswith(tuple("0123456789"))]
    drains, flights = ([int(v) for k, _, v in words if k == key] for key in ("--drain-seconds", "--in-flight-seconds"))
    grace = pod_of_the_rollout(rendered).get("terminationGracePeriodSeconds", 30)
    if sleep < 3:
        yield f"preStop sleeps {sleep} s: requests of those who have not heard yet would be lost"
    if len(drains) != 1 or len(flights) != 1:
        yield "the server is not told how long it may take to leave"
    elif not sleep + drains[0] + flights[0] < grace:
        yield f"{sleep} s + {drains[0]} s + {flights[0]} s is not less than {grace} s, after which the pod is killed"


@policy
def the_template_holds_nothing_that_changes_with_a_commit(rendered):
    for template in workloads(rendered):
        if template["metadata"].get("annotations"):
            yield "annotations in the template"
        if set(template["metadata"]["labels"]) != LABELS:
            yield f"labels in the template: {sorted(template['metadata']['labels'])}"
    for one in containers(rendered):
        if one.get("env") or one.get("envFrom"):
            yield "environment variables: settings belong into the image or the arguments, where digest or git show them"


@policy
def everything_says_whose_it_is(rendered):
    for document in rendered:
        if not set(document["metadata"].get("labels", {})) >= LABELS:
            yield f"{document['kind']} {document['metadata']['name']} lacks one of {sorted(LABELS)}"


@policy
def nothing_of_the_cluster_and_no_secret(rendered):
    namespaces = {document["metadata"].get("namespace") for document in rendered}
    if len(namespaces) != 1 or None in namespaces:
        yield f"namespaces: {namespaces}"
    for document in rendered:
        if document["kind"] in ("Secret", "Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            yield f"a {document['kind']}"
