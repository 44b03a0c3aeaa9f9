"""Rendering: manifests out of gitops/, and the parts of gitops/ that are derived from the budgets.

Derived files are committed, say that they are generated, and are checked by `render --check`. They are patches on the
objects of `gitops/base`, one component per environment.
"""

import math
from pathlib import Path

from contracts import atomic, budgets
from contracts.budgets import Budgets
from contracts.errors import InputError
from release import kustomize, pin

BUDGETS = "conf/base/budgets.yml"
HEADER = f"""\
# Generated from {BUDGETS} by `make render`: edit that file, not this one.
"""


def manifests(root: Path, environment: str) -> str:
    """What a cluster gets for an environment, as kustomize renders the working tree."""
    return kustomize.find().build(_folder(root, environment))


def environments(root: Path) -> list[str]:
    """The environments that gitops/ has, by name."""
    found = sorted(file.parent.name for file in (Path(root) / pin.ENVIRONMENTS).glob("*/kustomization.yaml"))
    if not found:
        raise InputError(
            f"{Path(root) / pin.ENVIRONMENTS}: holds no environment; give --repository the folder above gitops/"
        )
    return found


def derived(root: Path) -> dict[Path, str]:
    """Every derived file with what it must say now."""
    root = Path(root)
    return {
        root / pin.ENVIRONMENTS / environment / "derived" / "kustomization.yaml": component(
            budgets.load(root / BUDGETS, environment)
        )
        for environment in environments(root)
    }


def write(root: Path) -> list[Path]:
    """Write the derived files; gives those that changed."""
    changed = stale(root)
    for path, text in derived(root).items():
        if path in changed:
            atomic.write_text(path, text)
    return changed


def stale(root: Path) -> list[Path]:
    """The derived files that are missing or say something else than the budgets."""
    return [path for path, text in derived(root).items() if not path.is_file() or path.read_text() != text]


def replicas(budget: Budgets) -> int:
    """Enough for the throughput that is promised, and never fewer than the minimum."""
    needed = math.ceil(budget.service.throughput_rps / budget.scaling.requests_per_second_per_replica)
    return max(needed, budget.scaling.minimum_replicas)


def component(budget: Budgets) -> str:
    """The patches that follow from an environment's budgets."""
    drain, scaling = budget.drain, budget.scaling
    lag, flight, grace = drain.endpoint_lag_seconds, drain.in_flight_seconds, drain.termination_grace_seconds
    # Kept connections hear of it from their next answer. Half of the margin: so the sum stays below the grace period.
    goodbye = drain.margin_seconds // 2
    asked, carried = budget.service.throughput_rps, scaling.requests_per_second_per_replica
    return f"""\
{HEADER}apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - target: {{group: argoproj.io, version: v1alpha1, kind: Rollout, name: model}}
    patch: |-
      # {asked:g} requests/s at {carried:g} per replica, at least {scaling.minimum_replicas}
      - op: add
        path: /spec/replicas
        value: {replicas(budget)}
      # a request is what one replica may use: no neighbour's load decides its latency
      - op: add
        path: /spec/template/spec/containers/0/resources
        value:
          requests: {{cpu: "{scaling.cpu}", memory: {scaling.memory}}}
          limits: {{cpu: "{scaling.cpu}", memory: {scaling.memory}}}
      # leaving takes {lag} s until no router sends any more, {goodbye} s in which answers close kept connections, and
      # up to {flight} s for what is in flight: {lag + goodbye + flight} s of the {grace} s until the pod is killed
      - op: add
        path: /spec/template/spec/containers/0/lifecycle
        value: {{preStop: {{sleep: {{seconds: {lag}}}}}}}
      - op: add
        path: /spec/template/spec/containers/0/args/-
        value: --drain-seconds={goodbye}
      - op: add
        path: /spec/template/spec/containers/0/args/-
        value: --in-flight-seconds={flight}
      - op: add
        path: /spec/template/spec/terminationGracePeriodSeconds
        value: {grace}
"""


def _folder(root: Path, environment: str) -> Path:
    folder = (Path(root) / pin.path(environment)).parents[1]
    if not (folder / "kustomization.yaml").is_file():
        raise InputError(f"{folder}: is no environment; known: {', '.join(environments(root))}")
    return folder
