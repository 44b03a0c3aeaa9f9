"""How many pods there may be, and when there are more: every number from the budgets, whoever does the scaling."""

import pytest
import yaml

from contracts import budgets
from release import derived
from tests.gitops.budgeted import IDENTITY, budgeted
from tests.gitops.manifests import ENVIRONMENTS, ROOT, of_kind, rollout
from tests.gitops.variants import STRATEGIES, Variant, rendered


def scaler(environment, kind, *extras):
    (found,) = of_kind(rendered(Variant(environment, "canary", extras)), kind)
    return found["spec"]


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def budget(environment):
    return budgets.load(ROOT / "conf/base/budgets.yml", environment)


def test_the_autoscaler_has_the_numbers_of_the_budgets(environment, budget):
    spec = scaler(environment, "HorizontalPodAutoscaler")
    assert (spec["minReplicas"], spec["maxReplicas"]) == (budget.replicas, budget.scaling.maximum_replicas)
    (metric,) = spec["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["averageUtilization"] == round(100 * budget.scaling.cpu_utilisation)


def test_requests_in_flight_come_on_top_where_a_cluster_measures_them(environment, budget):
    cpu, pods = scaler(environment, "HorizontalPodAutoscaler", "hpa-inflight")["metrics"]
    assert [cpu] == scaler(environment, "HorizontalPodAutoscaler")["metrics"]
    assert pods["pods"]["metric"]["name"] == "ml_inference_inflight"
    target = {"type": "AverageValue", "averageValue": str(budget.scaling.inflight_per_replica)}
    assert pods["pods"]["target"] == target


def test_keda_stands_in_for_the_autoscaler_with_the_same_numbers(environment, budget):
    manifests = rendered(Variant(environment, "canary", ("keda",)))
    assert of_kind(manifests, "HorizontalPodAutoscaler") == []
    spec = scaler(environment, "ScaledObject", "keda")
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (budget.replicas, budget.scaling.maximum_replicas)
    assert spec["fallback"]["replicas"] == budget.replicas
    cpu, inflight = spec["triggers"]
    assert cpu["metadata"]["value"] == str(round(100 * budget.scaling.cpu_utilisation))
    assert inflight["metadata"]["threshold"] == str(budget.scaling.inflight_per_replica)
    namespace = yaml.safe_load((ROOT / "gitops/envs" / environment / "kustomization.yaml").read_text())["namespace"]
    own = f'namespace="{namespace}",rollouts_pod_template_hash!=""'  # a shadow's pods add no replicas
    assert inflight["metadata"]["query"] == f"sum(ml_inference_inflight{{{own}}})"
    behaviour = scaler(environment, "HorizontalPodAutoscaler")["behavior"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == behaviour


def test_where_nobody_measures_pods_there_are_as_many_as_the_throughput_takes(environment, budget):
    """An autoscaler without metrics-server is Degraded for Argo CD, and the application with it."""
    for strategy in STRATEGIES:
        manifests = rendered(Variant(environment, strategy, ("fixed-replicas",)))
        assert of_kind(manifests, "HorizontalPodAutoscaler") == []
        assert rollout(manifests)["spec"]["replicas"] == budget.replicas


@pytest.mark.parametrize(
    ("throughput", "carried", "least", "replicas"), [(200, 150, 2, 2), (900, 150, 2, 6), (10, 5, 3, 3)]
)
def test_the_minimum_carries_the_promised_throughput(throughput, carried, least, replicas):
    given = {"service__throughput_rps": throughput, "scaling__requests_per_second_per_replica": carried}
    written = derived.files(budgeted(**given, scaling__minimum_replicas=least), IDENTITY)
    patches = yaml.safe_load(written["kustomization.yaml"])["patches"]
    operations = {one["path"]: one["value"] for patch in patches for one in yaml.safe_load(patch["patch"])}
    assert operations["/spec/minReplicas"] == replicas
    assert "/spec/replicas" not in operations
