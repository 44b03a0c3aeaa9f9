"""Other ways to scale than on CPU alone, each a component to list: by requests in flight too, or by KEDA."""

from contracts.budgets import Budgets
from release.derived import promql
from release.derived.canary import COMPONENTS
from release.derived.identity import Identity
from release.derived.text import component

METRIC = "ml_inference_inflight"


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """The components hpa-inflight and keda of an environment."""
    scaling = budgets.scaling
    cpu, inflight = round(100 * scaling.cpu_utilisation), scaling.inflight_per_replica
    query = f"sum({promql.Scope(identity.namespace).of(METRIC)})"
    autoscaler = f"""\
  - target: {{group: autoscaling, version: v2, kind: HorizontalPodAutoscaler, name: model}}
    patch: |-
      # for a cluster that serves custom.metrics.k8s.io (prometheus-adapter): without it nothing would scale down again
      - op: add
        path: /spec/metrics/-
        value:
          type: Pods
          pods:
            metric: {{name: {METRIC}}}
            target: {{type: AverageValue, averageValue: "{inflight}"}}
"""
    scaled = f"""\
  - target: {{group: keda.sh, version: v1alpha1, kind: ScaledObject, name: model}}
    patch: |-
      - op: replace
        path: /spec/minReplicaCount
        value: {budgets.replicas}
      - op: replace
        path: /spec/maxReplicaCount
        value: {scaling.maximum_replicas}
      # when Prometheus does not answer: what the promised throughput takes
      - op: replace
        path: /spec/fallback/replicas
        value: {budgets.replicas}
      - op: replace
        path: /spec/triggers/0/metadata/value
        value: "{cpu}"
      - op: replace
        path: /spec/triggers/1/metadata/threshold
        value: "{inflight}"
      - op: replace
        path: /spec/triggers/1/metadata/query
        value: {query}
"""
    return {
        "hpa-inflight/kustomization.yaml": component(patches=autoscaler),
        "keda/kustomization.yaml": component(components=[f"{COMPONENTS}/keda"], patches=scaled),
    }
