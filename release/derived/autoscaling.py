"""Other ways to scale than on CPU alone, each a component: by requests in flight too, by KEDA, or not at all."""

from contracts.budgets import Budgets
from release.derived import promql
from release.derived.canary import COMPONENTS
from release.derived.identity import Identity
from release.derived.text import component, rollout_patch

METRIC = "ml_inference_inflight"


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """The components hpa-inflight, keda and fixed-replicas of an environment."""
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
    fixed = f"""\
  # Without metrics-server: Argo CD calls an autoscaler that cannot measure Degraded, and the application with it.
  - patch: |
      apiVersion: autoscaling/v2
      kind: HorizontalPodAutoscaler
      metadata:
        name: model
      $patch: delete
{rollout_patch(f"- op: add{chr(10)}  path: /spec/replicas{chr(10)}  value: {budgets.replicas}{chr(10)}")}"""
    return {
        "fixed-replicas/kustomization.yaml": component(patches=fixed),
        "hpa-inflight/kustomization.yaml": component(patches=autoscaler),
        "keda/kustomization.yaml": component(components=[f"{COMPONENTS}/keda"], patches=scaled),
    }
