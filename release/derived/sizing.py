"""What every environment gets, whatever its strategy: how many pods, how large, how they leave."""

from contracts.budgets import Budgets
from release.derived.identity import Identity
from release.derived.text import component, rollout_patch


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """The component `derived` itself."""
    drain, scaling = budgets.drain, budgets.scaling
    lag, flight, grace = drain.endpoint_lag_seconds, drain.in_flight_seconds, drain.termination_grace_seconds
    # Kept connections hear of it from their next answer. Half of the margin: so the sum stays below the grace period.
    goodbye = drain.margin_seconds // 2
    asked, carried = budgets.service.throughput_rps, scaling.requests_per_second_per_replica
    resources = "".join(
        f"- op: add\n  path: /spec/template/spec/containers/0/resources/{part}/{name}\n  value: {value}\n"
        for part in ("requests", "limits")
        for name, value in (("cpu", f'"{scaling.cpu}"'), ("memory", scaling.memory))
    )
    rollout = f"""\
# a request is what one replica may use: no neighbour's load decides its latency
{resources}# leaving takes {lag} s until no router sends any more, {goodbye} s in which answers close kept connections,
# and up to {flight} s for what is in flight: {lag + goodbye + flight} s of the {grace} s until the pod is killed
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
- op: add
  path: /spec/progressDeadlineSeconds
  value: {budgets.canary.progress_deadline_seconds}
"""
    autoscaler = f"""\
  - target: {{group: autoscaling, version: v2, kind: HorizontalPodAutoscaler, name: model}}
    patch: |-
      # {asked:g} requests/s at {carried:g} per replica, at least {scaling.minimum_replicas}
      - op: replace
        path: /spec/minReplicas
        value: {budgets.replicas}
      - op: replace
        path: /spec/maxReplicas
        value: {scaling.maximum_replicas}
      - op: replace
        path: /spec/metrics/0/resource/target/averageUtilization
        value: {round(100 * scaling.cpu_utilisation)}
"""
    return {"kustomization.yaml": component(patches=rollout_patch(rollout) + autoscaler)}
