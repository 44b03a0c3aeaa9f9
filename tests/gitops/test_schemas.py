"""Every manifest is valid where it goes: Kubernetes' own kinds by its published schemas, Argo's by their CRDs."""

import copy
import json
import os
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.gitops.manifests import ENVIRONMENTS, ROOT, documents, of_kind, rollout

OLDEST, NEWEST = "1.34", "1.37"  # what gitops/ is written for
OWN = {"", "apps", "batch", "policy", "autoscaling"}
OTHERS = ["gitops/argocd", "gitops/platform", "gitops/workflows"]
FOLDERS = [*(f"gitops/envs/{environment}" for environment in ENVIRONMENTS), *OTHERS]


def group(document):
    return document["apiVersion"].rpartition("/")[0]


def is_own(document):
    return group(document) in OWN or group(document).endswith(".k8s.io")


@pytest.fixture(scope="module")
def rendered():
    return {folder: documents(ROOT / folder) for folder in FOLDERS}


@pytest.fixture(scope="module")
def schemas():
    folder = os.environ.get("CRD_SCHEMAS")
    if not folder:
        pytest.skip(
            "CRD_SCHEMAS names no folder of CRD schemas (group/kind_version.json): custom resources not validated"
        )
    return Path(folder)


def custom(schemas, document):
    version = document["apiVersion"].rpartition("/")[2]
    schema = json.loads((schemas / group(document) / f"{document['kind'].lower()}_{version}.json").read_text())
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(document)
    ]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubernetes_own_kinds_are_valid(rendered, folder, version):
    for document in filter(is_own, rendered[folder]):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_pods_are_valid_although_a_rollout_holds_them(rendered, version):
    """The Rollout's schema is looser about pods than Kubernetes is; a Deployment's is not."""
    for environment in ENVIRONMENTS:
        spec = rollout(rendered[f"gitops/envs/{environment}"])["spec"]
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "model"},
            "spec": {key: spec[key] for key in ("selector", "template")},
        }
        kubernetes_validate.validate(deployment, version, strict=True)


def test_a_misspelt_field_is_seen(rendered):
    service = copy.deepcopy(of_kind(rendered["gitops/envs/staging"], "Service")[0])
    service["spec"]["selektor"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, NEWEST, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_custom_resources_are_valid(rendered, schemas, folder):
    for document in rendered[folder]:
        if not is_own(document):
            assert custom(schemas, document) == []


def test_a_misspelt_field_of_a_custom_resource_is_seen(rendered, schemas):
    broken = copy.deepcopy(rollout(rendered["gitops/envs/staging"]))
    broken["spec"]["strategy"]["canary"]["stableServices"] = "model-stable"
    assert custom(schemas, broken)


def test_every_document_was_rendered_and_parsed(rendered):
    assert all(len(found) >= 2 for found in rendered.values())
    sources = [file for file in (ROOT / "gitops").rglob("*.yaml") if "workflows" not in file.parts]
    assert all(document for file in sources for document in yaml.safe_load_all(file.read_text()))
