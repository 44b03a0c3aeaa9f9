"""What the API server itself refuses, whoever asks, and what Argo CD's project refuses."""

import copy
import json

import pytest
import yaml

from release import render
from tests.e2e.cluster import kubectl, wait
from tests.e2e.site import ARGOCD

pytestmark = pytest.mark.cluster


@pytest.fixture
def pod(site, stable):
    """A pod as the environment's Rollout makes them, which would be let in."""
    objects = list(yaml.safe_load_all(render.manifests(site.repository.root, stable)))
    rollout = next(each for each in objects if each["kind"] == "Rollout")
    template = copy.deepcopy(rollout["spec"]["template"])
    image = f"{site.repository.image}@{site.images.image('good-1')}"
    template["spec"]["containers"][0]["image"] = image
    meta = {"name": "asked", "namespace": site.namespace(stable), "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def ask(document):
    """What the API server says to it; nothing is made."""
    done = kubectl("create", "--dry-run=server", "-f", "-", data=json.dumps(document), check=False)
    return done.returncode, " ".join(done.stderr.split())


def without_digest(pod):
    container = pod["spec"]["containers"][0]
    container["image"] = f"{container['image'].partition('@')[0]}:latest"


def from_elsewhere(pod):
    container = pod["spec"]["containers"][0]
    container["image"] = f"registry.example.com/model@{container['image'].partition('@')[2]}"


def as_root(pod):
    pod["spec"]["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}


def with_privileges(pod):
    pod["spec"]["containers"][0]["securityContext"]["privileged"] = True


REFUSED = {
    "a root container": (as_root, "runAsNonRoot"),
    "a privileged container": (with_privileges, "privileged"),
    "a tag without a digest": (without_digest, "without a digest"),
    "a foreign registry": (from_elsewhere, "from elsewhere"),
}


def test_a_pod_as_the_environment_makes_them_is_let_in(pod):
    code, said = ask(pod)
    assert code == 0, said


@pytest.mark.parametrize(("change", "word"), REFUSED.values(), ids=REFUSED)
def test_the_api_server_refuses(pod, figures, change, word):
    change(pod)
    code, said = ask(pod)
    figures.put(f"h: {change.__name__.replace('_', ' ')}", {"refused": said[-400:]})
    assert code != 0
    assert word in said


@pytest.fixture
def stranger(site):
    """An application in the project, of a folder on a branch of its own; taken away afterwards."""
    made = []

    def make(name, namespace, document):
        git = site.repository.git
        git("checkout", "-q", "-B", f"e2e/{name}")
        folder = site.repository.root / "gitops/e2e" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "object.yaml").write_text(yaml.safe_dump(document))
        git("add", "-A", "gitops/e2e")
        git("commit", "-q", "-m", name)
        git("push", "-q", "-f", "origin", f"HEAD:e2e/{name}")
        git("checkout", "-q", "main")
        application = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": f"e2e-{name}", "namespace": ARGOCD},
            "spec": {
                "project": site.applications,
                "source": {
                    "repoURL": site.repository.url,
                    "targetRevision": f"e2e/{name}",
                    "path": f"gitops/e2e/{name}",
                },
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "syncPolicy": {"automated": {}},
            },
        }
        made.append(f"e2e-{name}")
        kubectl("apply", "--server-side", "-f", "-", data=json.dumps(application))
        return f"e2e-{name}"

    yield make
    for name in made:
        kubectl("-n", ARGOCD, "delete", "application", name, "--ignore-not-found", check=False)


def refusal(site, name):
    """What Argo CD says against an application, once it says something."""
    status = (site.cluster.get("application", ARGOCD, name) or {}).get("status", {})
    said = [each["message"] for each in status.get("conditions", []) if each["type"].endswith("Error")]
    results = status.get("operationState", {}).get("syncResult", {}).get("resources", [])  # it goes on trying
    return " ".join([*said, *(each.get("message", "") for each in results if each.get("status") == "SyncFailed")])


def configuration(namespace):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e2e", "namespace": namespace}, "data": {}}


def test_the_project_refuses_a_foreign_namespace(site, stable, stranger, figures):
    name = stranger("namespace", "default", configuration("default"))
    said = wait("a refusal", lambda: refusal(site, name), 60)
    figures.put("h: a foreign namespace", {"refused": said[:400]})
    assert "not permitted" in said or "do not match" in said
    assert site.cluster.get("configmap", "default", "e2e") is None


def test_the_project_refuses_a_kind_of_the_cluster(site, stable, stranger, figures):
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "e2e"},
        "rules": [],
    }
    name = stranger("kind", site.namespace(stable), role)
    said = wait("a refusal", lambda: refusal(site, name), 90)
    figures.put("h: a cluster-wide kind", {"refused": said[:400]})
    assert "not permitted" in said
    assert site.cluster.ask("apis/rbac.authorization.k8s.io/v1/clusterroles/e2e") is None
