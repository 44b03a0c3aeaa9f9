"""Every manifest is valid where it goes: Kubernetes' own kinds by its published schemas, the others by their CRDs."""

import copy
import json
import os
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.gitops.manifests import ROOT, documents, of_kind, rollout
from tests.gitops.variants import ALL, Variant, rendered

OLDEST, NEWEST = "1.34", "1.37"  # what gitops/ is written for
OWN = {"", "apps", "batch", "policy", "autoscaling"}
FOREIGN = {"gateway.networking.k8s.io"}  # a custom resource, whatever its name
OTHERS = ["gitops/argocd", "gitops/platform", "gitops/platform/controllers/notifications", "gitops/workflows"]
# What is applied together with a file from elsewhere: looked at file by file, since nothing here fetches.
REMOTE = [
    file
    for file in sorted((ROOT / "gitops/platform/controllers").rglob("*.yaml"))
    if file.name != "kustomization.yaml" and file.parent.name != "notifications"
]
PLACES: list[Variant | str] = [*ALL, *OTHERS, *(str(file.relative_to(ROOT)) for file in REMOTE)]


def group(document):
    return document["apiVersion"].rpartition("/")[0]


def is_own(document):
    return group(document) in OWN or (group(document).endswith(".k8s.io") and group(document) not in FOREIGN)


@cache
def kubernetes_takes(text):
    """Variants share most of their documents; each is looked at once."""
    for version in (OLDEST, NEWEST):
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    return True


@cache
def manifests(place):
    if isinstance(place, Variant):
        return rendered(place)
    path = ROOT / place
    return documents(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


@pytest.fixture(scope="module")
def schemas():
    folder = os.environ.get("CRD_SCHEMAS")
    if not folder:
        pytest.skip(
            "CRD_SCHEMAS names no folder of CRD schemas (group/kind_version.json): custom resources not validated"
        )
    return Path(folder)


@cache
def schema(folder, kind, version, owner):
    return json.loads((folder / owner / f"{kind.lower()}_{version}.json").read_text())


def schema_of(schemas, document):
    return schema(schemas, document["kind"], document["apiVersion"].rpartition("/")[2], group(document))


def custom(schemas, document):
    """What the API server would refuse, or take out because it does not know it."""
    return refused(schemas, json.dumps(document))


@cache
def refused(schemas, text):
    document = json.loads(text)
    found = schema_of(schemas, document)
    validator = jsonschema.Draft202012Validator(found)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] + list(
        unknown(found, document, document["kind"])
    )


def unknown(found, value, path):
    """Fields that the schema does not name; the API server drops them without a word."""
    if isinstance(value, dict) and "properties" in found and "additionalProperties" not in found:
        for key, inner in value.items():
            if key in found["properties"]:
                yield from unknown(found["properties"][key], inner, f"{path}.{key}")
            elif not found.get("x-kubernetes-preserve-unknown-fields") and path.count("."):
                yield f"{path}.{key} is not a field"
    elif isinstance(value, list) and isinstance(found.get("items"), dict):
        for place, inner in enumerate(value):
            yield from unknown(found["items"], inner, f"{path}.{place}")


def filled_in(found, value, path, in_list=False):
    """What the API server would add inside of lists: there, Argo CD compares whole lists, and sees it as drift."""
    if isinstance(value, dict):
        for key, field in found.get("properties", {}).items():
            if key in value:
                yield from filled_in(field, value[key], f"{path}.{key}", in_list)
            elif in_list and "default" in field:
                yield f"{path}.{key} would become {field['default']!r}"
    elif isinstance(value, list) and isinstance(found.get("items"), dict):
        for place, inner in enumerate(value):
            yield from filled_in(found["items"], inner, f"{path}.{place}", in_list=True)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_kubernetes_own_kinds_are_valid(place):
    assert all(kubernetes_takes(json.dumps(document)) for document in filter(is_own, manifests(place)))


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_pods_are_valid_although_a_rollout_holds_them(variant):
    """The Rollout's schema is looser about pods than Kubernetes is; a Deployment's is not."""
    spec = rollout(rendered(variant))["spec"]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model"},
        "spec": {key: spec[key] for key in ("selector", "template")},
    }
    assert kubernetes_takes(json.dumps(deployment))


def test_a_misspelt_field_is_seen():
    service = copy.deepcopy(of_kind(rendered(ALL[0]), "Service")[0])
    service["spec"]["selektor"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, NEWEST, strict=True)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_custom_resources_are_valid(schemas, place):
    for document in manifests(place):
        if not is_own(document):
            assert custom(schemas, document) == []


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_nothing_in_a_list_is_left_to_be_filled_in(schemas, variant):
    for document in rendered(variant):
        if not is_own(document):
            assert list(filled_in(schema_of(schemas, document), document, document["kind"])) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["strategy"]["canary"].update(stableServices="model-stable"),
        lambda spec: spec["strategy"]["canary"]["steps"].append({"setWait": 5}),
        lambda spec: spec["template"]["spec"]["containers"][0].update(imagePullPolicies="Always"),
        lambda spec: spec.update(minReadySeconds="five"),
    ],
)
def test_a_misspelt_field_of_a_custom_resource_is_seen(schemas, change):
    broken = copy.deepcopy(rollout(rendered(Variant("staging", "canary"))))
    change(broken["spec"])
    assert custom(schemas, broken)


def test_a_default_that_is_left_out_is_seen(schemas):
    (route,) = of_kind(copy.deepcopy(rendered(Variant("staging", "canary", ("traffic-gateway-api",)))), "HTTPRoute")
    del route["spec"]["parentRefs"][0]["kind"], route["spec"]["rules"][0]["backendRefs"][0]["weight"]
    assert list(filled_in(schema_of(schemas, route), route, "HTTPRoute")) == [
        "HTTPRoute.spec.parentRefs.0.kind would become 'Gateway'",
        "HTTPRoute.spec.rules.0.backendRefs.0.weight would become 1",
    ]


def test_every_document_was_rendered_and_parsed():
    assert all(manifests(place) for place in PLACES)
    sources = [file for file in (ROOT / "gitops").rglob("*.yaml") if "workflows" not in file.parts]
    assert all(document for file in sources for document in yaml.safe_load_all(file.read_text()))
