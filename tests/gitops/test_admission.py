"""What the API server of a cluster refuses in the model's namespaces: KUBECONFIG names one, with gitops/platform applied.

Nothing is kept: everything is applied as a dry run, which goes through admission like the real thing.
"""

import copy
import json
import shutil
import subprocess

import pytest

from tests.gitops.manifests import IMAGE, of_kind, rollout
from tests.gitops.variants import Variant, rendered

pytestmark = pytest.mark.cluster
SHADOWED = Variant("staging", "canary", ("traffic-gateway-api", "shadow"))
DIGEST = "sha256:" + "a" * 64


def apply(document):
    """What kubectl says of a server-side dry run, and whether it was taken."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH: no API server was asked")
    command = ["kubectl", "create", "--dry-run=server", "--filename", "-"]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def pod():
    template = copy.deepcopy(rollout(rendered(Variant("staging", "basic")))["spec"]["template"])
    metadata = template["metadata"] | {"name": "tried", "namespace": rendered(SHADOWED)[0]["metadata"]["namespace"]}
    spec = template["spec"] | {"serviceAccountName": "default"}
    del spec["topologySpreadConstraints"]  # the label they count by is the controller's
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
def workloads():
    """A Rollout and a Deployment under names that no release has."""
    found = copy.deepcopy([*of_kind(rendered(SHADOWED), "Rollout"), *of_kind(rendered(SHADOWED), "Deployment")])
    for document in found:
        document["metadata"]["name"] = "tried"
    return found


def test_what_we_render_is_taken(pod, workloads):
    for document in [pod, *workloads]:
        taken, said = apply(document)
        assert taken, said


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (f"{IMAGE}:7", "an image without a digest"),
        (f"{IMAGE}:none", "an image without a digest"),
        (f"{IMAGE}:7@sha256:abc", "an image without a digest"),
        (f"registry.example.com/model:7@{DIGEST}", "an image from elsewhere"),
        (f"{IMAGE}-other:7@{DIGEST}", "an image from elsewhere"),
        (f"{IMAGE}/other:7@{DIGEST}", "an image from elsewhere"),
        (f"busybox@{DIGEST}", "an image from elsewhere"),
    ],
)
def test_an_image_that_is_not_ours_is_refused_in_pods_and_in_what_makes_them(pod, workloads, image, reason):
    pod["spec"]["containers"][0]["image"] = image
    for document in workloads:
        document["spec"]["template"]["spec"]["containers"][0]["image"] = image
    for document in [pod, *workloads]:
        taken, said = apply(document)
        assert not taken
        assert reason in said


def test_no_container_is_left_out(pod, workloads):
    other = {"name": "other", "image": "busybox:1", "securityContext": pod["spec"]["containers"][0]["securityContext"]}
    for holder in [pod["spec"], *(document["spec"]["template"]["spec"] for document in workloads)]:
        holder["initContainers"] = [other]
    for document in [pod, *workloads]:
        taken, said = apply(document)
        assert not taken
        assert "an image without a digest: busybox:1" in said


@pytest.mark.parametrize("label", ["app.kubernetes.io/name", "app.kubernetes.io/part-of", "owner"])
def test_a_pod_that_does_not_say_whose_it_is_is_refused(pod, label):
    del pod["metadata"]["labels"][label]
    taken, said = apply(pod)
    assert not taken
    assert "pods here carry the labels" in said


def _root(spec):
    spec["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}


def _privileged(spec):
    spec["containers"][0]["securityContext"] |= {"privileged": True, "allowPrivilegeEscalation": True}


def _host(spec):
    spec["hostNetwork"] = True


def _mount(spec):
    spec["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


@pytest.mark.parametrize("change", [_root, _privileged, _host, _mount])
def test_pod_security_refuses_the_rest(pod, change):
    change(pod["spec"])
    taken, said = apply(pod)
    assert not taken
    assert "PodSecurity" in said
