"""What Argo CD is told: only what it needs, and nothing that would keep a revert waiting."""

import copy

import pytest
import yaml

from tests.gitops.manifests import ENVIRONMENTS, ROOT, RUNS, documents, of_kind, set_pin
from tests.gitops.manifests import copy as gitops_copy


@pytest.fixture(scope="module")
def argocd():
    return documents(ROOT / "gitops" / "argocd")


@pytest.fixture
def project(argocd):
    return copy.deepcopy(of_kind(argocd, "AppProject")[0])


@pytest.fixture
def applications(argocd):
    return copy.deepcopy(of_kind(argocd, "ApplicationSet")[0])


def project_breaches(project):
    spec = project["spec"]
    if any("*" in source for source in spec["sourceRepos"]) or len(spec["sourceRepos"]) != 1:
        yield "more than one repository"
    for destination in spec["destinations"]:
        if "*" in destination["namespace"] or "*" in destination.get("server", ""):
            yield "every namespace"
    if spec.get("clusterResourceWhitelist") != []:
        yield "kinds of the whole cluster"
    for kind in spec.get("namespaceResourceWhitelist") or [{"kind": "*"}]:
        if "*" in kind["kind"] or kind["kind"] in ("Secret", "Role", "RoleBinding"):
            yield f"kind {kind['kind']}"


def application_breaches(applications):
    """Each of these was a trap for somebody: see docs/release.md."""
    template = applications["spec"]["template"]
    annotations, sync = template["metadata"].get("annotations", {}), template["spec"]["syncPolicy"]
    options = sync.get("syncOptions", [])
    for option in ("ServerSideApply=true", "RespectIgnoreDifferences=true", "PruneLast=true"):
        if option in options:
            yield option
    for option in ("ApplyOutOfSyncOnly=true", "CreateNamespace=false"):
        if option not in options:
            yield f"{option} is missing"
    if annotations.get("argocd.argoproj.io/compare-options") != "ServerSideDiff=false":
        yield "server-side diff takes the controller's selectors for drift"
    if "argocd.argoproj.io/manifest-generate-paths" in annotations:
        yield "a commit that lands during a sync would be lost"
    if sync.get("automated") != {"prune": True, "selfHeal": True}:
        yield "a revert would not be synced by itself"
    if applications["spec"].get("syncPolicy", {}).get("preserveResourcesOnDeletion") is not True:
        yield "an environment that goes back to nothing would be torn down"


def test_the_project_allows_only_what_it_needs(project):
    assert list(project_breaches(project)) == []


def test_the_applications_have_none_of_the_known_traps(applications):
    assert list(application_breaches(applications)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sourceRepos", ["*"]),
        ("destinations", [{"namespace": "*", "server": "https://kubernetes.default.svc"}]),
        ("clusterResourceWhitelist", [{"group": "*", "kind": "*"}]),
        ("namespaceResourceWhitelist", [{"group": "*", "kind": "*"}]),
        ("namespaceResourceWhitelist", []),
    ],
)
def test_a_project_that_allows_more_is_seen(project, key, value):
    project["spec"][key] = value
    assert list(project_breaches(project))


@pytest.mark.parametrize(
    "broken",
    [
        lambda t: t["spec"]["syncPolicy"]["syncOptions"].append("ServerSideApply=true"),
        lambda t: t["spec"]["syncPolicy"]["syncOptions"].append("RespectIgnoreDifferences=true"),
        lambda t: t["spec"]["syncPolicy"]["syncOptions"].append("PruneLast=true"),
        lambda t: t["spec"]["syncPolicy"]["syncOptions"].remove("ApplyOutOfSyncOnly=true"),
        lambda t: t["spec"]["syncPolicy"]["automated"].update(selfHeal=False),
        lambda t: t["metadata"].pop("annotations"),
        lambda t: t["metadata"]["annotations"].update({"argocd.argoproj.io/manifest-generate-paths": "."}),
    ],
)
def test_an_application_with_a_trap_is_seen(applications, broken):
    broken(applications["spec"]["template"])
    assert list(application_breaches(applications))


def selected(applications, release_file: str) -> bool:
    """Does the generator's selector take a release file? By the rules of Argo CD 3.6: keys of the flattened file."""
    flat = {}

    def flatten(prefix, value):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if items is None:
            flat[prefix] = str(value)
        else:
            for key, inner in items:
                flatten(f"{prefix}.{key}" if prefix else str(key), inner)

    flatten("", yaml.safe_load(release_file))
    (generator,) = applications["spec"]["generators"]
    rules = {
        "Exists": lambda e: e["key"] in flat,
        "NotIn": lambda e: flat.get(e["key"]) not in e["values"],
    }
    return all(rules[e["operator"]](e) for e in generator["selector"]["matchExpressions"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_gets_its_application_with_its_first_digest(tmp_path, applications, environment):
    folder = gitops_copy(tmp_path)
    file = folder / "gitops" / "envs" / environment / "release" / "kustomization.yaml"
    assert not selected(applications, file.read_text())
    set_pin(folder, environment, RUNS)
    assert selected(applications, file.read_text())
    assert not selected(applications, file.read_text().replace("newTag", "newTagg"))


def test_project_applications_environments_and_namespaces_name_the_same_places(project, applications):
    rendered = {e: documents(ROOT / "gitops" / "envs" / e) for e in ENVIRONMENTS}
    namespaces = {e: manifests[0]["metadata"]["namespace"] for e, manifests in rendered.items()}
    template = applications["spec"]["template"]["spec"]
    pattern = "{{ index .path.segments 2 }}"
    assert {template["destination"]["namespace"].replace(pattern, e) for e in ENVIRONMENTS} == set(namespaces.values())
    assert template["source"]["path"] == f"gitops/envs/{pattern}"
    assert {d["namespace"] for d in project["spec"]["destinations"]} == set(namespaces.values())
    assert {d["server"] for d in project["spec"]["destinations"]} == {template["destination"]["server"]}
    assert project["spec"]["sourceRepos"] == [template["source"]["repoURL"]]
    assert applications["spec"]["generators"][0]["git"]["repoURL"] == template["source"]["repoURL"]
    assert applications["spec"]["generators"][0]["git"]["revision"] == template["source"]["targetRevision"]
    assert template["project"] == project["metadata"]["name"]
    platform = documents(ROOT / "gitops" / "platform")
    assert {d["metadata"]["name"] for d in of_kind(platform, "Namespace")} >= set(namespaces.values())
    allowed = {(k["group"], k["kind"]) for k in project["spec"]["namespaceResourceWhitelist"]}
    for manifests in rendered.values():
        used = {(d["apiVersion"].rpartition("/")[0], d["kind"]) for d in manifests}
        assert used <= allowed


def test_every_namespace_enforces_the_restricted_standard_in_a_pinned_version():
    for namespace in of_kind(documents(ROOT / "gitops" / "platform"), "Namespace"):
        labels = namespace["metadata"]["labels"]
        for mode in ("enforce", "audit", "warn"):
            assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
            assert labels[f"pod-security.kubernetes.io/{mode}-version"].startswith("v1.")
