"""The route, and the shadow that hangs on it."""

from tests.gitops.manifests import of_kind, rollout
from tests.gitops.policies.registry import policy

MANAGED = "canary-header"  # how the names of rules begin that a release adds


def rules(rendered):
    return [rule for route in of_kind(rendered, "HTTPRoute") for rule in route["spec"]["rules"]]


def mirrors(rendered):
    return [f["requestMirror"] for rule in rules(rendered) for f in rule.get("filters", []) if "requestMirror" in f]


@policy
def what_the_api_server_would_fill_in_is_written_out(rendered):
    wanted: list[tuple[str, dict, set[str]]] = []
    for route in of_kind(rendered, "HTTPRoute"):
        wanted += [("parentRef", ref, {"group", "kind", "name", "namespace"}) for ref in route["spec"]["parentRefs"]]
    for rule in rules(rendered):
        wanted += [("backendRef", ref, {"group", "kind", "name", "port", "weight"}) for ref in rule["backendRefs"]]
        for match in rule.get("matches", [{}]):
            wanted.append(("path", match.get("path", {}), {"type", "value"}))
            wanted += [("header", header, {"type", "name", "value"}) for header in match.get("headers", [])]
    for mirror in mirrors(rendered):
        wanted.append(("mirror", mirror["backendRef"], {"group", "kind", "name", "port"}))
    for what, found, fields in wanted:
        if fields - set(found):
            yield f"{what}: {sorted(fields - set(found))} would be filled in, and stay a difference for Argo CD"


@policy
def the_route_is_where_a_release_begins_and_ends(rendered):
    for rule in rules(rendered):
        weights = {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}
        if weights != {"model-stable": 100, "model-canary": 0}:
            yield f"weights in git: {weights}"


@policy
def rules_have_names_of_their_own(rendered):
    names = [rule.get("name", "") for rule in rules(rendered)]
    if "" in names or len(names) != len(set(names)):
        yield "rules without a name, or with the same"
    if any(name.startswith(MANAGED) for name in names):
        yield "a rule that Argo CD would pass over, and a release take away"


@policy
def environments_share_a_gateway_by_their_names(rendered):
    for route in of_kind(rendered, "HTTPRoute"):
        hosts = route["spec"].get("hostnames", [])
        if not hosts or not all(route["metadata"]["namespace"] in host for host in hosts):
            yield "a route for every host: two environments at one Gateway would answer for each other"


@policy
def who_changes_the_route_wakes_the_rollout(rendered):
    annotations = rollout(rendered)["metadata"].get("annotations", {})
    if of_kind(rendered, "HTTPRoute") and "routing/rules" not in annotations:
        yield "weights that a sync sets back would stay so until something else happens"
    if mirrors(rendered) and "routing/shadow" not in annotations:
        yield "the shadow comes without a word to the Rollout"


@policy
def a_shadow_is_nobody_elses_pod_and_answers_nobody(rendered):
    services = {one["metadata"]["name"]: one["spec"]["selector"] for one in of_kind(rendered, "Service")}
    labels = rollout(rendered)["spec"]["template"]["metadata"]["labels"]
    for mirror in mirrors(rendered):
        if set(mirror) != {"backendRef"}:
            yield "percent and fraction are passed over by some gateways, without a word: all or nothing"
        if services.get(mirror["backendRef"]["name"], {}).items() <= labels.items():
            yield "mirrored to the pods that answer already"
    shadows = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(rendered, "Deployment")]
    if len(shadows) != len(mirrors(rendered)):
        yield "a shadow without copies, or copies without a shadow"
    for shadow in shadows:
        for name, selector in services.items():
            if selector.items() <= shadow.items() and name != shadow["app.kubernetes.io/name"]:
                yield f"Service {name} sends clients to the shadow"
