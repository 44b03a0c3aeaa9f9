"""Routes that stay different for ever, send too much, or to the wrong pods."""

from tests.gitops.breaks.changes import ROUTED, Breaks, at, of, on, without
from tests.gitops.manifests import rollout


def route(path, value):
    return of("HTTPRoute", "model", at("spec." + path, value))


def service(name, path, value):
    return of("Service", name, at("spec." + path, value))


def silent(key):
    return lambda manifests: rollout(manifests)["metadata"]["annotations"].pop(key)


def greedy(manifests):
    """A Service for everything that is part of the same."""
    label = "app.kubernetes.io/part-of"
    of("Service", "model", lambda d: d["spec"].update(selector={label: d["metadata"]["labels"][label]}))(manifests)


MIRROR = "rules.0.filters.0.requestMirror."

BREAKS: Breaks = {
    "what_the_api_server_would_fill_in_is_written_out": on(
        ROUTED,
        route("parentRefs.0.group", None),
        route("rules.0.backendRefs.0.weight", None),
        route("rules.0.backendRefs.1.kind", None),
        route("rules.0.backendRefs.1.group", None),
        route("rules.0.matches", None),
        route("rules.0.matches.0.path.type", None),
        route("rules.0.matches.0.headers", [{"name": "X", "value": "y"}]),
        route(MIRROR + "backendRef.group", None),
    ),
    "the_route_is_where_a_release_begins_and_ends": on(
        ROUTED,
        route("rules.0.backendRefs.0.weight", 95),
        route("rules.0.backendRefs.1.name", "model"),
    ),
    "rules_have_names_of_their_own": on(
        ROUTED,
        route("rules.0.name", None),
        route("rules.0.name", "canary-header"),
        of("HTTPRoute", "model", lambda d: d["spec"]["rules"].append(d["spec"]["rules"][0])),
    ),
    "environments_share_a_gateway_by_their_names": on(
        ROUTED,
        route("hostnames", None),
        route("hostnames", ["models.example.com"]),
    ),
    "who_changes_the_route_wakes_the_rollout": on(ROUTED, silent("routing/rules"), silent("routing/shadow")),
    "a_shadow_is_nobody_elses_pod_and_answers_nobody": on(
        ROUTED,
        route(MIRROR + "backendRef.name", "model-canary"),
        route(MIRROR + "percent", 10),
        route("rules.0.filters", None),
        without("Deployment"),
        service("model-shadow", "selector", {"app.kubernetes.io/name": "model"}),
        greedy,
        of("Deployment", "model-shadow", at("spec.template.metadata.labels", {"app.kubernetes.io/name": "model"})),
    ),
}
