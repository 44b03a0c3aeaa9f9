"""Steps: how a new version is let in, by whole pods or by a traffic router's weights. Numbers from the budgets.

Each step lasts one interval longer than the analysis needs to fail, and behind each stands the traffic floor: a version
goes on only when it has answered enough requests, and when Prometheus can be asked at all.
"""

import math
import textwrap
from fractions import Fraction

from contracts.budgets import Budgets, Canary
from release.derived import analysis
from release.derived.identity import Identity
from release.derived.text import component, rollout_patch

COMPONENTS = "../../../../components"
ROUTE = "canary-header"  # the managed route of components/traffic-gateway-api
PROBE = ("X-Canary", "always")  # who sends it is answered by the new version, from its first pod on
HASHES = {analysis.CANARY: "Latest", analysis.STABLE: "Stable"}


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """The strategies that go step by step."""
    named = f"{COMPONENTS}/traffic-gateway-api"
    return {
        "strategy-canary/kustomization.yaml": component(
            components=[f"{COMPONENTS}/strategy-canary", "../analysis"],
            patches=rollout_patch(_plan(budgets, by_pods(budgets))),
        ),
        "traffic-gateway-api/kustomization.yaml": component(
            components=[named], patches=rollout_patch(_plan(budgets, by_weight(budgets))) + _hostname(identity)
        ),
        "strategy-ab/kustomization.yaml": component(
            components=[f"{COMPONENTS}/strategy-ab", named, "../analysis"],
            patches=rollout_patch(_plan(budgets, by_header(budgets), compared=True)) + _hostname(identity),
        ),
    }


def by_pods(budgets: Budgets) -> list[str]:
    """Without a traffic router: the share is that of the pods."""
    steps = []
    for weight in budgets.canary.weights:
        new, old = pods(budgets.replicas, weight)
        share = f"{new / (new + old):.0%} of the requests"
        said = f"# of at least {budgets.replicas}: {new} new beside {old} old, {share}"
        steps += [f"{said}\n- setWeight: {weight}", *_look(budgets.canary)]
    return steps


def by_weight(budgets: Budgets) -> list[str]:
    """With a traffic router: one pod, reachable by header alone, then exact weights.

    The first weight comes before `matchTrafficWeight`: at weight 0 that takes the pod away, and the header's route.
    """
    first, *others = budgets.canary.weights
    steps = [
        "- setCanaryScale: {replicas: 1}",
        _header(*PROBE),
        f"- setWeight: {first}",
        "- setCanaryScale: {matchTrafficWeight: true}",
        *_look(budgets.canary),
    ]
    for weight in others:
        steps += [f"- setWeight: {weight}", *_look(budgets.canary)]
    return [*steps, f"- setHeaderRoute: {{name: {ROUTE}}}"]


def by_header(budgets: Budgets) -> list[str]:
    """A/B: who sends the header is answered by the new version, for as long as the comparison lasts; then everybody."""
    ab = budgets.comparison
    return [
        f"- setCanaryScale: {{weight: {budgets.canary.weights[-1]}}}",
        _header(ab.header, ab.value),
        *_look(budgets.canary, budgets.compared_seconds),
        f"- setHeaderRoute: {{name: {ROUTE}}}",
    ]


def pods(replicas: int, weight: int) -> tuple[int, int]:
    """New and old pods at a weight, as Argo Rollouts chooses them: whichever comes nearest, one pod more allowed."""
    wanted = Fraction(weight, 100)
    most, least = math.ceil(replicas * wanted), math.floor(replicas * wanted)
    options = [(most, replicas)] if most < replicas else []
    for total in (replicas, replicas + 1):
        options += [(most, total)] if total > replicas else []
        if least and total * wanted % 1 != Fraction(1, 2):
            options.append((least, total))
    new, total = min(options, key=lambda option: abs(Fraction(*option) - wanted))
    return new, total - new


def _hostname(identity: Identity) -> str:
    """By which one gateway tells namespaces apart. A name for the world is a patch of the environment's own."""
    return f"""\
  - target: {{group: gateway.networking.k8s.io, version: v1, kind: HTTPRoute, name: model}}
    patch: |-
      - op: add
        path: /spec/hostnames
        value: [{identity.namespace}.internal]
"""


def _look(canary: Canary, seconds: int = 0) -> list[str]:
    arguments = f"args: [{_argument(analysis.CANARY)}]"
    return [
        f"- pause: {{duration: {seconds or canary.pause_seconds}s}}",
        f"- analysis: {{templates: [{{templateName: {analysis.FLOOR}}}], {arguments}}}",
    ]


def _header(name: str, value: str) -> str:
    match = f"[{{headerName: {name}, headerValue: {{exact: {value}}}}}]"
    return f"- setHeaderRoute: {{name: {ROUTE}, match: {match}}}"


def _argument(name: str) -> str:
    return f"{{name: {name}, valueFrom: {{podTemplateHashValue: {HASHES[name]}}}}}"


def _plan(budgets: Budgets, steps: list[str], *, compared: bool = False) -> str:
    """Steps, and the analysis that goes on beside them from the first one on in which the new version may be asked."""
    canary = budgets.canary
    templates, failures, lasts = [analysis.SLO, analysis.SHIFT], canary.failure_limit, canary.pause_seconds
    if compared:
        templates, failures, lasts = [analysis.COMPARED], analysis.borne(budgets), budgets.compared_seconds
    detected = canary.initial_delay_seconds + failures * canary.interval_seconds
    named = ", ".join(f"{{templateName: {name}}}" for name in templates)
    starting = next(place for place, step in enumerate(steps) if step.startswith("- pause"))
    return f"""\
# A version that is bad from the start is taken back after {detected} s of measuring; a step lasts {lasts} s.
- op: add
  path: /spec/strategy/canary/steps
  value:
{textwrap.indent(chr(10).join(steps), "    ")}
- op: add
  path: /spec/strategy/canary/analysis
  value:
    startingStep: {starting}
    templates: [{named}]
    args:
      - {_argument(analysis.CANARY)}
      - {_argument(analysis.STABLE)}
"""
