"""Whatever names something else names something that is there."""

import json
import re
from functools import cache

from tests.gitops.manifests import ROOT, of_kind, rollout
from tests.gitops.policies.registry import canary, pods, policy, steps, workloads

# Metrics of others: Argo Rollouts, Argo CD, Kubernetes, and what Prometheus says itself.
FOREIGN = re.compile(
    r"(rollout|analysis_run|notification|argocd|kube|kubelet|container|prometheus|node)_\w+|up|ALERTS\w*|scrape_\w+"
)
# What a pipeline of each installation exports, which joins labels that come later: docs/runbooks/labels-late.md.
ANNOUNCED = {"ml_label_lag_seconds"}
LANGUAGE = """
and or unless on ignoring by without group_left group_right bool offset inf nan start end
sum avg min max count group topk bottomk quantile stddev stdvar count_values
rate increase irate delta deriv resets changes predict_linear absent absent_over_time histogram_quantile
avg_over_time min_over_time max_over_time sum_over_time count_over_time quantile_over_time last_over_time present_over_time
vector scalar time timestamp clamp clamp_min clamp_max abs ceil floor round ln log2 exp sgn atan2 sort sort_desc
label_replace label_join
"""
WORDS = frozenset(LANGUAGE.split())


def names(rendered, kind):
    return {document["metadata"]["name"] for document in of_kind(rendered, kind)}


@policy
def services_lead_to_pods(rendered):
    labels = [template["metadata"]["labels"] for template in workloads(rendered)]
    ports = {port["name"] for pod in pods(rendered) for port in pod["containers"][0].get("ports", [])}
    for service in of_kind(rendered, "Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        if not any(spec["selector"].items() <= each.items() for each in labels):
            yield f"Service {name} selects no pod"
        if any(port["targetPort"] not in ports for port in spec["ports"]):
            yield f"Service {name} sends to a port that is not there"
    for one in of_kind(rendered, "NetworkPolicy"):
        selector = one["spec"]["podSelector"].get("matchLabels", {})
        if not any(selector.items() <= each.items() for each in labels):
            yield f"NetworkPolicy {one['metadata']['name']} is about no pod"
    for kind in ("Rollout", "Deployment"):
        for one in of_kind(rendered, kind):
            selector = one["spec"]["selector"]["matchLabels"]
            if not selector.items() <= one["spec"]["template"]["metadata"]["labels"].items():
                yield f"{kind} {one['metadata']['name']} selects other pods than its own"
    accounts = names(rendered, "ServiceAccount")
    if any(pod["serviceAccountName"] not in accounts for pod in pods(rendered)):
        yield "the service account does not exist"


@policy
def the_rollout_names_services_and_routes_that_exist(rendered):
    services = names(rendered, "Service")
    strategy = next(iter(rollout(rendered)["spec"].get("strategy", {}).values()), {})
    pairs = [("stableService", "canaryService"), ("activeService", "previewService")]
    for pair in pairs:
        named = [strategy[field] for field in pair if field in strategy]
        for name in named:
            if name not in services:
                yield f"Service {name} does not exist"
        if len(named) == 2 and named[0] == named[1]:
            yield f"{pair[0]} and {pair[1]} are one Service"
    plugins = strategy.get("trafficRouting", {}).get("plugins", {})
    for route in (route for plugin in plugins.values() for route in plugin["httpRoutes"]):
        if route["name"] not in names(rendered, "HTTPRoute"):
            yield f"HTTPRoute {route['name']} does not exist"
    if of_kind(rendered, "HTTPRoute") and not plugins:
        yield "a route whose weights nobody moves"


@policy
def routes_lead_to_services(rendered):
    ports = {s["metadata"]["name"]: {p["port"] for p in s["spec"]["ports"]} for s in of_kind(rendered, "Service")}
    for rule in (rule for route in of_kind(rendered, "HTTPRoute") for rule in route["spec"]["rules"]):
        mirrored = [f["requestMirror"]["backendRef"] for f in rule.get("filters", []) if "requestMirror" in f]
        for ref in [*rule["backendRefs"], *mirrored]:
            if ref["port"] not in ports.get(ref["name"], set()):
                yield f"no Service {ref['name']} with port {ref['port']}"


@policy
def templates_exist_and_get_their_arguments(rendered):
    found = {one["metadata"]["name"]: one["spec"] for one in of_kind(rendered, "AnalysisTemplate")}
    blue = rollout(rendered)["spec"].get("strategy", {}).get("blueGreen", {})
    uses = [canary(rendered).get("analysis"), *(step.get("analysis") for step in steps(rendered))]
    uses += [blue.get("prePromotionAnalysis"), blue.get("postPromotionAnalysis")]
    for use in filter(None, uses):
        given = {arg["name"] for arg in use.get("args", [])}
        for name in (template["templateName"] for template in use["templates"]):
            if name not in found:
                yield f"AnalysisTemplate {name} does not exist"
                continue
            wanted = {
                arg["name"] for arg in found[name].get("args", []) if "value" not in arg and "valueFrom" not in arg
            }
            if not wanted <= given:
                yield f"AnalysisTemplate {name} is not given {sorted(wanted - given)}"
    for name, spec in found.items():
        used = set(re.findall(r"\{\{\s*args\.([\w-]+)\s*\}\}", json.dumps(spec["metrics"])))
        if used != {arg["name"] for arg in spec.get("args", [])}:
            yield f"AnalysisTemplate {name} declares other arguments than it uses"


@policy
def secrets_that_are_mounted_are_fetched(rendered):
    """Where external-secrets is listed; without it they are made by hand (docs/deploy.md)."""
    fetched = {one["spec"]["target"]["name"] for one in of_kind(rendered, "ExternalSecret")}
    volumes = [volume for pod in pods(rendered) for volume in pod.get("volumes", []) if "secret" in volume]
    mounted = {volume["secret"]["secretName"] for volume in volumes}
    pulled = {ref["name"] for one in of_kind(rendered, "ServiceAccount") for ref in one.get("imagePullSecrets", [])}
    if fetched and not mounted | pulled <= fetched:
        yield f"nobody fetches {sorted((mounted | pulled) - fetched)}"
    if not mounted <= {"model-api-keys", "model-verify-key"}:
        yield f"a secret that no document speaks of: {sorted(mounted)}"
    for pod in pods(rendered):
        folders = {mount["mountPath"] for one in pod["containers"] for mount in one.get("volumeMounts", [])}
        for word in (word for one in pod["containers"] for word in one.get("args", [])):
            file = word.partition("=")[2]
            if file.startswith("/etc/") and file.rpartition("/")[0] not in folders:
                yield f"{word} names a file that is not mounted"


@policy
def monitors_find_pods(rendered):
    for monitor in of_kind(rendered, "PodMonitor"):
        chosen = [t for t in workloads(rendered) if selects(monitor["spec"]["selector"], t["metadata"]["labels"])]
        if not chosen:
            yield f"PodMonitor {monitor['metadata']['name']} selects no pod"
        for template in workloads(rendered):
            ports = {port["name"] for one in template["spec"]["containers"] for port in one.get("ports", [])}
            if "management" in ports and template not in chosen:
                yield f"nobody scrapes {template['metadata']['labels']['app.kubernetes.io/name']}"
        ports = {port["name"] for t in chosen for one in t["spec"]["containers"] for port in one.get("ports", [])}
        if not {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= ports:
            yield f"PodMonitor {monitor['metadata']['name']} asks a port that is not there"
        if "rollouts-pod-template-hash" not in monitor["spec"].get("podTargetLabels", []):
            yield f"PodMonitor {monitor['metadata']['name']}: versions could not be told apart"


def selects(selector, labels):
    """A selector of labels; of the ways to say it, those two that are used here."""
    wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
    wanted += [
        (each["key"], each["values"]) for each in selector.get("matchExpressions", []) if each["operator"] == "In"
    ]
    return all(labels.get(key) in values for key, values in wanted)


@policy
def metrics_exist(rendered):
    recorded = {rule["record"] for rule in rules(rendered) if "record" in rule}
    for place, query in queries(rendered):
        for name in used(query):
            known = name in recorded | exported() | ANNOUNCED or FOREIGN.fullmatch(name)
            if not known:
                yield f"{place}: {name} is exported by nobody"


@policy
def alerts_lead_to_a_runbook(rendered):
    for rule in rules(rendered):
        if "alert" not in rule:
            continue
        url = rule.get("annotations", {}).get("runbook_url", "")
        path = re.sub(r"^https://[^/]+/[^/]+/[^/]+/blob/[^/]+/", "", url).partition("#")[0]
        if not path.startswith("docs/runbooks/") or not (ROOT / path).is_file():
            yield f"{rule['alert']}: runbook_url {url!r} leads nowhere"
        if not {"severity", "owner"} <= set(rule.get("labels", {})):
            yield f"{rule['alert']}: how bad, and whose?"


def rules(rendered):
    groups = [group for one in of_kind(rendered, "PrometheusRule") for group in one["spec"]["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def queries(rendered):
    """Every PromQL expression, with the place it stands in."""
    for template in of_kind(rendered, "AnalysisTemplate"):
        for metric in template["spec"]["metrics"]:
            if "prometheus" in metric["provider"]:
                yield f"{template['metadata']['name']}/{metric['name']}", metric["provider"]["prometheus"]["query"]
    for rule in rules(rendered):
        yield rule.get("alert", rule.get("record")), rule["expr"]
    for config in of_kind(rendered, "ConfigMap"):
        files = {file: text for file, text in config.get("data", {}).items() if file.endswith(".json")}
        for file, text in files.items():
            yield from ((f"{config['metadata']['name']}/{file}", query) for query in expressions(json.loads(text)))
    yield from scaling(rendered)


def scaling(rendered):
    for scaler in of_kind(rendered, "ScaledObject"):
        found = (trigger["metadata"] for trigger in scaler["spec"]["triggers"] if trigger["type"] == "prometheus")
        yield from (("ScaledObject", trigger["query"]) for trigger in found)
    for scaler in of_kind(rendered, "HorizontalPodAutoscaler"):
        found = (metric["pods"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Pods")
        yield from (("HorizontalPodAutoscaler", pods["metric"]["name"]) for pods in found)


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr" and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def used(query: str) -> set[str]:
    """Names of metrics in a query: what is left when strings, labels, times and words of the language are taken out."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', str(query))
    text = re.sub(r"#.*", "", text)
    text = re.sub(r"\{[^{}]*\}", "{}", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\boffset\s+\S+", " ", text)
    found = set(re.findall(r"(?<![\w:.$])[a-zA-Z_:][\w:]*", text))
    return {name for name in found if name not in WORDS and name.lower() not in WORDS}


@cache
def exported() -> frozenset[str]:
    """What the server exports, as its own source names it; a histogram by its three series."""
    text = "".join(file.read_text() for file in sorted((ROOT / "serving").rglob("*.py")))
    found = set(re.findall(r'"((?:ml|process)_[a-z0-9_]+)"', text))
    series = {f"{name}_{end}" for name in found for end in ("bucket", "sum", "count")}
    return frozenset(found | series)
