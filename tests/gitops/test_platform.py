"""What a cluster has before the first sync: pinned, applied by its administrators, and never part of the application."""

import re

import pytest
import yaml

from tests.gitops.manifests import ENVIRONMENTS, IMAGE, ROOT, documents, of_kind, rollout
from tests.gitops.policies.baseline import LABELS
from tests.gitops.variants import Variant, rendered

PLATFORM = ROOT / "gitops/platform"
CONTROLLERS = sorted((PLATFORM / "controllers").glob("*/kustomization.yaml"))
PINNED = re.compile(r"/(?:download/)?(v?\d+\.\d+\.\d+)/")
ADDRESS = re.compile(r"https://\S+")


@pytest.fixture(scope="module")
def platform():
    return documents(PLATFORM)


@pytest.fixture(scope="module")
def policy(platform):
    return of_kind(platform, "ValidatingAdmissionPolicy")[0]["spec"]


def namespaces():
    return {rendered(Variant(environment, "basic"))[0]["metadata"]["namespace"] for environment in ENVIRONMENTS}


# namespaces


def test_every_namespace_enforces_the_restricted_standard_in_a_pinned_version(platform):
    found = of_kind(platform, "Namespace")
    assert {one["metadata"]["name"] for one in found} >= namespaces()
    for labels in (one["metadata"]["labels"] for one in found):
        for mode in ("enforce", "audit", "warn"):
            assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
            assert labels[f"pod-security.kubernetes.io/{mode}-version"].startswith("v1.")


# admission: the rules themselves are tried against an API server (test_admission.py)


def test_refusals_hold_where_the_model_runs_and_are_refusals(platform):
    (binding,) = of_kind(platform, "ValidatingAdmissionPolicyBinding")
    assert "Deny" in binding["spec"]["validationActions"]
    assert binding["spec"]["policyName"] == of_kind(platform, "ValidatingAdmissionPolicy")[0]["metadata"]["name"]
    wanted = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"].items()
    bound = {
        one["metadata"]["name"] for one in of_kind(platform, "Namespace") if wanted <= one["metadata"]["labels"].items()
    }
    assert bound == namespaces()


def test_a_rule_that_cannot_be_evaluated_refuses(policy):
    assert policy["failurePolicy"] == "Fail"
    assert all("messageExpression" in one for one in policy["validations"])


def test_pods_are_looked_at_and_all_that_makes_them(policy):
    looked = {
        (group, kind)
        for rule in policy["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
    }
    assert looked >= {
        ("", "pods"),
        ("", "pods/ephemeralcontainers"),
        ("argoproj.io", "rollouts"),
        ("apps", "deployments"),
    }
    for rule in policy["matchConstraints"]["resourceRules"]:
        assert rule["operations"] == ["CREATE", "UPDATE"]


def test_the_registry_that_is_let_in_is_the_one_that_releases_name(policy):
    variables = {one["name"]: one["expression"] for one in policy["variables"]}
    assert yaml.safe_load(variables["repositories"]) == [IMAGE]
    assert set(yaml.safe_load(variables["required"])) == LABELS


# controllers


def test_what_comes_from_elsewhere_comes_in_a_version():
    found = [resource for file in CONTROLLERS for resource in yaml.safe_load(file.read_text())["resources"]]
    remote = [resource for resource in found if ADDRESS.match(resource)]
    assert len(remote) >= 4
    assert [address for address in remote if not PINNED.search(address)] == []
    for image in (i for file in CONTROLLERS for i in yaml.safe_load(file.read_text()).get("images", [])):
        assert re.fullmatch(r"v\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", image["newTag"])


def test_the_document_names_the_same_versions():
    text = (ROOT / "docs/deploy.md").read_text()
    for file in CONTROLLERS:
        for address in ADDRESS.findall(file.read_text()):
            for version in PINNED.findall(address):
                assert version.removeprefix("v") in text, f"{file}: {version}"


def test_nothing_of_it_is_synced_with_the_application():
    """A controller in the application's own sync would have it wait for the controller; and a CRD of this size is too
    large for an annotation, so only server-side apply takes it."""
    for file in (ROOT / "gitops").rglob("kustomization.yaml"):
        if "platform" in file.parts:
            assert all(
                "kubectl apply --server-side" in line
                for line in file.read_text().splitlines()
                if "kubectl apply" in line
            )
            continue
        document = yaml.safe_load(file.read_text())
        assert not any(
            "platform" in entry for entry in [*document.get("resources", []), *document.get("components", [])]
        )


def test_the_plugin_is_registered_by_the_name_that_rollouts_use():
    route = rollout(rendered(Variant("production", "canary", ("traffic-gateway-api",))))
    (used,) = route["spec"]["strategy"]["canary"]["trafficRouting"]["plugins"]
    patches = yaml.safe_load((PLATFORM / "controllers/gateway-api/kustomization.yaml").read_text())["patches"]
    config = next(p for p in (yaml.safe_load(patch["patch"]) for patch in patches) if p["kind"] == "ConfigMap")
    (registered,) = yaml.safe_load(config["data"]["trafficRouterPlugins"])
    assert registered["name"] == used
    assert registered["location"].startswith("file:///")


def test_prometheus_reaches_what_the_network_lets_in():
    files = {file.parent.name: yaml.safe_load(file.read_text()) for file in CONTROLLERS}
    home = files["prometheus"]["namespace"]
    sources = [
        source["namespaceSelector"]["matchLabels"]
        for one in of_kind(rendered(Variant("production", "basic")), "NetworkPolicy")
        for rule in one["spec"].get("ingress", [])
        for source in rule["from"]
        if "namespaceSelector" in source
    ]
    assert {"kubernetes.io/metadata.name": home} in sources
    assert f".{home}.svc:9090" in (PLATFORM / "controllers/argo-rollouts/kustomization.yaml").read_text()
