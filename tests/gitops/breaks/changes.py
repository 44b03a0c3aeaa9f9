"""Changes to rendered manifests, in place; and the variants that they are made to."""

from collections.abc import Callable

from tests.gitops.manifests import of_kind, pod, rollout, server
from tests.gitops.variants import Variant

Change = Callable[[list[dict]], object]
Breaks = dict[str, list[tuple[Variant, Change]]]

CANARY = Variant("production", "canary")
ROUTED = Variant("production", "canary", ("traffic-gateway-api", "shadow"))
AB = Variant("production", "ab")
BLUEGREEN = Variant("production", "bluegreen")
FIXED = Variant("production", "canary", ("fixed-replicas",))
KEDA = Variant("production", "canary", ("keda",))
INFLIGHT = Variant("production", "canary", ("hpa-inflight",))
MONITORED = Variant("production", "canary", ("monitoring",))
SHADOWED = Variant("production", "canary", ("traffic-gateway-api", "shadow", "monitoring"))
KEYS = Variant("production", "canary", ("external-secrets", "api-keys", "verify-key"))


def on(variant: Variant, *changes: Change) -> list[tuple[Variant, Change]]:
    return [(variant, change) for change in changes]


def at(path: str, value: object) -> Callable[[dict], None]:
    """Set a field by its dotted path, numbers being places in lists; None takes it out."""

    def change(place):
        *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
        for key in parents:
            place = place[key]
        if value is None:
            place.pop(last)
        else:
            place[last] = value

    return change


def put(path: str, value: object) -> Change:
    """Set a field of the server's container; `..` at the start: of the pod; `/` at the start: of the Rollout's spec."""
    if path.startswith(".."):
        return lambda manifests: at(path[2:], value)(pod(manifests))
    if path.startswith("/"):
        return lambda manifests: at(path[1:], value)(rollout(manifests)["spec"])
    return lambda manifests: at(path, value)(server(manifests))


def of(kind: str, name: str, change: Callable[[dict], object]) -> Change:
    """Change one document."""
    return lambda manifests: change(next(d for d in of_kind(manifests, kind) if d["metadata"]["name"] == name))


def without(kind: str, name: str = "") -> Change:
    def change(manifests):
        manifests[:] = [
            d for d in manifests if d["kind"] != kind or d["metadata"]["name"] != (name or d["metadata"]["name"])
        ]

    return change


def annotated(kind: str, key: str, value: str) -> Change:
    return lambda manifests: of_kind(manifests, kind)[0]["metadata"].setdefault("annotations", {}).update({key: value})


def also(kind: str, name: str, **more: object) -> Change:
    def change(manifests):
        metadata = {"name": name, "namespace": manifests[0]["metadata"]["namespace"]}
        manifests.append({"kind": kind, "metadata": metadata, **more})

    return change


def step(place: int, value: dict) -> Change:
    return lambda manifests: rollout(manifests)["spec"]["strategy"]["canary"]["steps"].insert(place, value)


def metric(template: str, place: int = 0, **fields: object) -> Change:
    """Set fields of one metric of an AnalysisTemplate; None takes one out."""

    def change(document):
        for key, value in fields.items():
            at(key, value)(document["spec"]["metrics"][place])

    return of("AnalysisTemplate", template, change)
