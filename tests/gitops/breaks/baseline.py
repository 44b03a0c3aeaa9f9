"""Pods that may do too much, and namespaces that let too much in."""

from tests.gitops.breaks.changes import CANARY, KEYS, ROUTED, Breaks, also, at, of, on, put, without
from tests.gitops.manifests import IMAGE, server


def args(*words):
    def change(manifests):
        kept = [word for word in server(manifests)["args"] if not word.startswith(("--drain", "--in-flight"))]
        server(manifests)["args"] = [*kept, *words]

    return change


def sent(source=None, ports=None, egress=None):
    def change(document):
        if egress is not None:
            document["spec"]["egress"] = egress
        if source is not None:
            document["spec"]["ingress"][0]["from"] = source
        if ports is not None:
            document["spec"]["ingress"][0]["ports"] = ports

    return of("NetworkPolicy", "allow-clients", change)


BREAKS: Breaks = {
    "nobody_is_root": [
        *on(
            CANARY,
            put("..securityContext.runAsNonRoot", None),
            put("..securityContext.runAsUser", 0),
            put("..securityContext.runAsUser", 999),
            put("securityContext.runAsUser", 0),
            put("securityContext.runAsNonRoot", False),
            put("..securityContext", None),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.securityContext.runAsUser", 0)),
        ),
    ],
    "nothing_is_written_but_tmp": [
        *on(
            CANARY,
            put("securityContext.readOnlyRootFilesystem", False),
            put("..volumes", [{"name": "tmp", "emptyDir": {}}]),
            put("..volumes", [{"name": "tmp", "hostPath": {"path": "/"}}]),
            put("volumeMounts", [{"name": "tmp", "mountPath": "/srv"}]),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.containers.0.securityContext", None)),
        ),
        *on(
            KEYS,
            put("..volumes.1.secret.defaultMode", 0o444),
            put("volumeMounts.1.readOnly", None),
            put("volumeMounts.1.mountPath", "/srv/keys"),
            put("volumeMounts.1.subPath", "api-keys.yml"),
        ),
    ],
    "no_privileges": [
        *on(
            CANARY,
            put("securityContext.allowPrivilegeEscalation", None),
            put("securityContext.privileged", True),
            put("securityContext.capabilities.drop", []),
            put("securityContext.capabilities.add", ["NET_ADMIN"]),
            put("..securityContext.seccompProfile", None),
            put("..hostNetwork", True),
            put("..hostPID", True),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.hostNetwork", True)),
        ),
    ],
    "no_token": [
        *on(
            CANARY,
            put("..automountServiceAccountToken", None),
            put("..serviceAccountName", "default"),
            of("ServiceAccount", "model", lambda d: d.pop("automountServiceAccountToken")),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.automountServiceAccountToken", None)),
        ),
    ],
    "requests_and_limits": [
        *on(
            CANARY,
            put("resources", None),
            put("resources.limits.memory", None),
            put("resources.requests.cpu", None),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.containers.0.resources", None)),
        ),
    ],
    "three_probes_on_the_management_port": [
        *on(
            CANARY,
            put("startupProbe", None),
            put("readinessProbe", None),
            put("livenessProbe", None),
            put("livenessProbe.httpGet.path", "/v2/health/ready"),
            put("readinessProbe.httpGet.port", "http"),
            put("startupProbe.failureThreshold", 3),
            put("ports", [{"name": "http", "containerPort": 8080}]),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.containers.0.livenessProbe", None)),
        ),
    ],
    "the_image_is_named_by_digest": [
        *on(
            CANARY,
            put("image", f"{IMAGE}:latest"),
            put("image", f"{IMAGE}:none"),
            put("image", "model-server@sha256:" + "a" * 64),
            put("..initContainers", [{"name": "sidecar", "image": "busybox"}]),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.spec.containers.0.image", f"{IMAGE}:none")),
            of(
                "Deployment",
                "model-shadow",
                at("spec.template.spec.containers.0.image", "example.com/x:1@sha256:" + "a" * 64),
            ),
        ),
    ],
    "one_pod_may_leave_at_a_time": [
        *on(
            CANARY,
            without("PodDisruptionBudget"),
            of("PodDisruptionBudget", "model", lambda d: d["spec"].update(maxUnavailable=2)),
            of("PodDisruptionBudget", "model", lambda d: d["spec"]["selector"].update(matchLabels={"app": "other"})),
        ),
    ],
    "pods_are_spread_per_version": [
        *on(
            CANARY,
            put("..topologySpreadConstraints", []),
            put("..topologySpreadConstraints", [{"matchLabelKeys": ["pod-template-hash"]}]),
        ),
    ],
    "the_network_is_closed": [
        *on(
            CANARY,
            without("NetworkPolicy"),
            of("NetworkPolicy", "default-deny", lambda d: d["spec"].update(policyTypes=["Ingress"])),
            sent(egress=[{}]),
            sent(source=[]),
            sent(source=[{"namespaceSelector": {}}]),
            sent(source=[{}]),
            sent(ports=[]),
            sent(ports=[{"port": "admin"}]),
            sent(ports=[{"port": "http"}, {"port": "management"}]),
        ),
    ],
    "draining_sums_up": [
        *on(
            CANARY,
            put("lifecycle", None),
            put("lifecycle.preStop.sleep.seconds", 1),
            put("..terminationGracePeriodSeconds", 15),
            put("..terminationGracePeriodSeconds", 5),
            args("--drain-seconds=1"),
            args("--in-flight-seconds=1"),
            args("--drain-seconds=5", "--in-flight-seconds=10"),
            args("--drain-seconds=1", "--in-flight-seconds=60"),
            args("--drain-seconds=1", "--drain-seconds=1", "--in-flight-seconds=1"),
        ),
    ],
    "the_template_holds_nothing_that_changes_with_a_commit": [
        *on(
            CANARY,
            put("/template.metadata.annotations", {"git-sha": "0" * 40}),
            put("/template.metadata.labels.version", "7"),
            put("env", [{"name": "GIT_SHA", "value": "0" * 40}]),
        ),
        *on(
            ROUTED,
            of("Deployment", "model-shadow", at("spec.template.metadata.annotations", {"at": "now"})),
        ),
    ],
    "everything_says_whose_it_is": [
        *on(
            CANARY,
            of("Service", "model", lambda d: d["metadata"]["labels"].pop("owner")),
            of("NetworkPolicy", "default-deny", lambda d: d["metadata"].pop("labels")),
        ),
        *on(
            ROUTED,
            of("HTTPRoute", "model", at("metadata.labels", None)),
        ),
    ],
    "nothing_of_the_cluster_and_no_secret": [
        *on(
            CANARY,
            also("Secret", "s"),
            of("Service", "model", lambda d: d["metadata"].update(namespace="default")),
            of("Service", "model", lambda d: d["metadata"].pop("namespace")),
        ),
    ],
}
