"""What Argo CD is told: only what it needs, and nothing that would keep a revert waiting."""

import copy

import pytest
import yaml

from tests.gitops.manifests import ENVIRONMENTS, ROOT, RUNS, documents, of_kind, set_pin
from tests.gitops.manifests import copy as gitops_copy
from tests.gitops.policies.routing import MANAGED
from tests.gitops.variants import ALL, rendered

ADDRESSED = "notifications.argoproj.io/subscribe."
# What a merge must not be able to hand out: rights, secrets, pods beside those that are rolled out.
NEVER = {"*", "Secret", "Role", "RoleBinding", "Pod", "Job", "CronJob", "Application", "AppProject", "ApplicationSet"}


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
    for kind in spec.get("namespaceResourceWhitelist") or [{"group": "*", "kind": "*"}]:
        if kind["group"] == "*" or kind["kind"] in NEVER:
            yield f"kind {kind['kind']}"
    if "orphanedResources" not in spec:
        yield "what lies in the namespaces beside git would not be seen"
    if spec.get("syncWindows"):
        yield "a window holds back a revert, too"


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
    ignored = template["spec"].get("ignoreDifferences", [])
    paths = [path for one in ignored if one["kind"] == "HTTPRoute" for path in one["jqPathExpressions"]]
    if ".spec.rules[].backendRefs[].weight" not in paths:
        yield "weights would be put back half a second after a release has moved them"
    if not any(f'startswith("{MANAGED}")' in path for path in paths):
        yield "the header's rule would be taken out, or its second one"
    if {one["kind"] for one in ignored} != {"HTTPRoute"} or any("jsonPointers" in one for one in ignored):
        yield "more is passed over than what a release moves"
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
        ("namespaceResourceWhitelist", [{"group": "", "kind": "Secret"}]),
        ("namespaceResourceWhitelist", [{"group": "*", "kind": "Service"}]),
        ("clusterResourceWhitelist", None),
        ("sourceRepos", ["https://example.com/a.git", "https://example.com/b.git"]),
        ("syncWindows", [{"kind": "deny", "schedule": "0 0 * * 6", "duration": "48h"}]),
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
        lambda t: t["spec"]["syncPolicy"]["automated"].pop("prune"),
        lambda t: t["spec"].pop("ignoreDifferences"),
        lambda t: t["spec"]["ignoreDifferences"][0]["jqPathExpressions"].pop(),
        lambda t: t["spec"]["ignoreDifferences"][0]["jqPathExpressions"].pop(0),
        lambda t: t["spec"]["ignoreDifferences"].append({"kind": "Service", "jqPathExpressions": [".spec.selector"]}),
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


def kinds(manifests):
    return {(document["apiVersion"].rpartition("/")[0], document["kind"]) for document in manifests}


def test_the_project_allows_every_kind_that_some_environment_may_have_and_no_other(project):
    allowed = {(kind["group"], kind["kind"]) for kind in project["spec"]["namespaceResourceWhitelist"]}
    assert allowed == set().union(*(kinds(rendered(variant)) for variant in ALL))


def settings(argocd, name):
    return next(one for one in of_kind(argocd, "ConfigMap") if one["metadata"]["name"] == name)["data"]


def test_a_pod_inside_a_rollout_is_compared_as_a_pod(argocd):
    """Else cpu: 1000m and "1" are drift."""
    known = settings(argocd, "argocd-cm")["resource.customizations.knownTypeFields.argoproj.io_Rollout"]
    assert yaml.safe_load(known) == [{"field": "spec.template.spec", "type": "core/v1/PodSpec"}]


def test_a_sync_that_hangs_ends(argocd):
    parameters = settings(argocd, "argocd-cmd-params-cm")
    assert 0 < int(parameters["controller.sync.timeout.seconds"]) <= 1800
    assert "controller.diff.server.side" not in parameters


def test_argo_cds_own_config_maps_keep_the_labels_that_it_finds_them_by(argocd):
    for one in of_kind(argocd, "ConfigMap"):
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "argocd"


def test_an_application_subscribes_to_what_is_configured_and_to_all_of_it(argocd, applications):
    config = settings(argocd, "argocd-notifications-cm")
    annotations = applications["spec"]["template"]["metadata"]["annotations"]
    subscribed = {key.removeprefix(ADDRESSED) for key in annotations if key.startswith(ADDRESSED)}
    triggers = {key.removeprefix("trigger.") for key in config if key.startswith("trigger.")}
    services = {key.removeprefix("service.") for key in config if key.startswith("service.")}
    assert subscribed == {f"{trigger}.{service}" for trigger in triggers for service in services}
    sent = {
        name for trigger in triggers for one in yaml.safe_load(config[f"trigger.{trigger}"]) for name in one["send"]
    }
    assert sent == {key.removeprefix("template.") for key in config if key.startswith("template.")}


def test_no_notification_makes_a_deployment_that_wants_to_be_the_newest(argocd):
    """GitHub merges the branch into a deployment's commit unless autoMerge is off: a revert's predecessor would fail."""
    for key, text in settings(argocd, "argocd-notifications-cm").items():
        if key.startswith("template."):
            assert yaml.safe_load(text)["github"].get("deployment", {"autoMerge": False})["autoMerge"] is False
