"""Components by their sources: what rendering no longer shows."""

import hashlib
import json
import re

import pytest
import yaml

from serving.arguments import arguments
from tests.gitops.manifests import ENVIRONMENTS, ROOT, RUNS, copy, documents, rollout, server, set_pin
from tests.gitops.policies.registry import pods
from tests.gitops.variants import ALL, EXTRAS, ROUTE, STRATEGIES, Variant, everything, rendered

COMPONENTS = ROOT / "gitops/components"
KUSTOMIZATIONS = [
    file for file in sorted((ROOT / "gitops").rglob("kustomization.yaml")) if "controllers" not in file.parts
]


def routing(spec):
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]


def test_a_change_of_the_route_is_said_on_the_rollout():
    """A sync of the route sets its weights back, and only a change of the Rollout makes the controller look at once."""
    spec = yaml.safe_load((COMPONENTS / ROUTE / "httproute.yaml").read_text())["spec"]
    (found,) = {
        rollout(rendered(variant))["metadata"]["annotations"]["routing/rules"]
        for variant in ALL
        if ROUTE in variant.extras
    }
    assert found == routing(spec), f'components/{ROUTE}/kustomization.yaml: routing/rules must be "{routing(spec)}"'
    spec["rules"][0]["timeouts"] = {"request": "5s"}
    assert found != routing(spec)


def patches():
    for file in KUSTOMIZATIONS:
        for patch in yaml.safe_load(file.read_text()).get("patches", []):
            yield file.parent.name, patch


def whole_lists(patch):
    """Whether a patch of a Rollout would replace lists: it has no merge keys for anything but a Deployment."""
    document = yaml.safe_load(patch["patch"])
    if isinstance(document, list) or document["kind"] != "Rollout":
        return False
    return bool(
        set(document) - {"apiVersion", "kind", "metadata"} or set(document["metadata"]) - {"name", "annotations"}
    )


def test_rollouts_are_patched_place_by_place():
    assert [name for name, patch in patches() if whole_lists(patch)] == []
    assert whole_lists(
        {"patch": "{kind: Rollout, metadata: {name: model}, spec: {template: {spec: {containers: []}}}}"}
    )


@pytest.mark.parametrize("name", ["gpu", "api-keys", "verify-key", "external-secrets"])
def test_a_component_only_adds(name):
    """Whatever it is listed with, in whatever order, it takes nothing away."""
    for patch in yaml.safe_load((COMPONENTS / name / "kustomization.yaml").read_text())["patches"]:
        assert {step["op"] for step in yaml.safe_load(patch["patch"])} == {"add"}


def test_extras_may_be_listed_in_any_order():
    extras = everything("basic")
    one, other = (rendered(Variant("staging", "basic", order)) for order in (extras, tuple(reversed(extras))))

    def settled(manifests):
        spec = json.loads(json.dumps(rollout(manifests)["spec"]["template"]["spec"]))
        for key in ("args", "volumeMounts"):
            spec["containers"][0][key] = sorted(spec["containers"][0][key], key=str)
        spec["volumes"] = sorted(spec["volumes"], key=str)
        return spec

    assert settled(one) == settled(other)
    assert {doc["kind"] for doc in one} == {doc["kind"] for doc in other}


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_the_server_understands_what_it_is_told(variant):
    for words in [
        server(rendered(variant))["args"],
        *(pod["containers"][0]["args"] for pod in pods(rendered(variant))),
    ]:
        options = vars(arguments().parse_args(words))
        assert str(options["bundle"]) == "/srv/bundle"
        assert (options["api_keys"] is not None) == ("--api-keys" in " ".join(words))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_gpu_comes_beside_what_the_budgets_give(environment):
    plain, added = (server(rendered(Variant(environment, "basic", extras))) for extras in ((), ("gpu",)))
    assert added["resources"]["limits"].pop("nvidia.com/gpu") == "1"
    assert added["resources"] == plain["resources"]


def test_the_shadow_runs_what_one_line_says():
    text = (COMPONENTS / "shadow/kustomization.yaml").read_text()
    assert len(re.findall(r"newTag: ", text)) == 1
    assert yaml.safe_load(text)["images"][0]["name"] == "model-shadow"
    released = yaml.safe_load((ROOT / "gitops/envs/staging/release/kustomization.yaml").read_text())["images"][0]
    assert yaml.safe_load(text)["images"][0]["newName"] == released["newName"]


def test_credentials_are_named_by_the_documents_that_explain_them():
    """A secret that is mounted, and how it is made, stand in docs/deploy.md."""
    text = (ROOT / "docs/deploy.md").read_text()
    for name in ("model-api-keys", "model-verify-key", "model-pull"):
        assert name in text
    assert {"api-keys", "verify-key", "external-secrets"} <= set(EXTRAS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_monitoring_is_one_line_with_every_strategy(environment, strategy):
    """No environment lists it as it is shipped: a cluster without the Prometheus operator knows none of its kinds."""
    alone = rendered(Variant(environment, strategy))
    watched = rendered(Variant(environment, strategy, ("monitoring",)))
    added = [one for one in watched if one not in alone]
    assert [one for one in alone if one not in watched] == []
    assert {one["kind"] for one in added} == {"PodMonitor", "PrometheusRule", "ConfigMap"}
    assert {one["metadata"]["namespace"] for one in added} == {rollout(alone)["metadata"]["namespace"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_line_goes_where_the_environment_s_comment_says(tmp_path, environment):
    root = copy(tmp_path / "repository")
    set_pin(root, environment, RUNS)
    file = root / "gitops/envs" / environment / "kustomization.yaml"
    assert "derived/monitoring" not in yaml.safe_load(file.read_text())["components"]
    assert file.read_text().count("\n  - derived #") == 1
    file.write_text(file.read_text().replace("\n  - derived #", "\n  - derived/monitoring\n  - derived #"))
    assert {"PodMonitor", "PrometheusRule"} <= {one["kind"] for one in documents(file.parent)}
