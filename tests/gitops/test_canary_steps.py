"""Steps and times: what the budgets say is what the Rollout does, and the times add up to those in docs/delivery.md."""

import copy
import shutil
import subprocess

import pytest
import yaml

from release import derived
from release.derived import analysis, canary
from tests.gitops.budgeted import IDENTITY, budgeted
from tests.gitops.manifests import ENVIRONMENTS, rollout
from tests.gitops.variants import ALL, FULL, Variant, rendered

EVERY_STRATEGY = [*FULL, *(variant for variant in ALL if not variant.extras)]

QUICK = {
    "canary__weights": (50,),
    "canary__initial_delay_seconds": 10,
    "canary__interval_seconds": 5,
    "canary__failure_limit": 1,
    "canary__window_seconds": 15,
    "monitoring__scrape_seconds": 5,
}
STEPPED = ("canary", "traffic-gateway-api", "ab")


def plan(name, **changes):
    """Steps and background analysis of a derived strategy."""
    file = "traffic-gateway-api" if name == "traffic-gateway-api" else f"strategy-{name}"
    patches = yaml.safe_load(derived.files(budgeted(**changes), IDENTITY)[f"{file}/kustomization.yaml"])["patches"]
    operations = {one["path"]: one["value"] for one in yaml.safe_load(patches[0]["patch"])}
    return operations["/spec/strategy/canary/steps"], operations["/spec/strategy/canary/analysis"]


def pauses(steps):
    return [int(step["pause"]["duration"].removesuffix("s")) for step in steps if "pause" in step]


def weights(steps):
    return [step["setWeight"] for step in steps if "setWeight" in step]


@pytest.mark.parametrize(("changes", "detection", "pause"), [({}, 120, 150), (QUICK, 15, 20)])
def test_a_step_outlasts_the_analysis_that_would_stop_it(changes, detection, pause):
    """The first measurement comes after the delay; the one that is too many, `failure_limit` intervals later."""
    found = budgeted(**changes).canary
    for name in ("canary", "traffic-gateway-api"):
        steps, _ = plan(name, **changes)
        assert found.detection_seconds == detection
        assert pauses(steps) == [pause] * len(found.weights)
        assert pauses(steps)[0] >= found.initial_delay_seconds + (found.failure_limit + 1) * found.interval_seconds


def test_time_to_full_production_and_exposure():
    """Three steps of 150 s are 7.5 minutes of waiting; what is bad from the start is seen in 2 minutes, at 5 %."""
    steps, _ = plan("traffic-gateway-api")
    assert sum(pauses(steps)) == 450
    assert weights(steps) == [5, 25, 50]
    assert budgeted().canary.detection_seconds * weights(steps)[0] / 100 == 6  # seconds' worth of all requests


@pytest.mark.parametrize("name", STEPPED)
@pytest.mark.parametrize("changes", [{}, QUICK], ids=["usual", "quick"])
def test_no_version_goes_on_unseen(name, changes):
    """Behind every pause stands the traffic floor, and nothing but a success of it leads on."""
    steps, _ = plan(name, **changes)
    for place, step in enumerate(steps):
        if "pause" in step:
            (named,) = steps[place + 1]["analysis"]["templates"]
            assert named == {"templateName": analysis.FLOOR}
    assert pauses(steps)
    assert not any(step.get("pause", ...) == {} for step in steps)  # a person is asked by an alert, not by a step


@pytest.mark.parametrize("name", STEPPED)
def test_analysis_begins_with_the_first_step_in_which_the_version_is_asked(name):
    """Earlier it would measure a version without traffic, later it would leave one unwatched."""
    steps, background = plan(name)
    starting = background["startingStep"]
    assert "pause" in steps[starting]
    assert not pauses(steps[:starting])
    assert weights(steps[:starting]) or name == "ab"
    wanted = [analysis.COMPARED] if name == "ab" else [analysis.SLO, analysis.SHIFT]
    assert [one["templateName"] for one in background["templates"]] == wanted
    assert {one["valueFrom"]["podTemplateHashValue"] for one in background["args"]} == {"Latest", "Stable"}


def test_with_a_router_the_warm_pod_is_kept_and_the_header_s_route_goes_at_the_end():
    steps, _ = plan("traffic-gateway-api")
    kinds = [next(iter(step.items())) for step in steps]
    matching = kinds.index(("setCanaryScale", {"matchTrafficWeight": True}))
    assert kinds.index(("setWeight", 5)) < matching  # at weight 0 it would scale the new version to nothing
    assert kinds[0] == ("setCanaryScale", {"replicas": 1})
    assert kinds[1][0] == "setHeaderRoute"
    assert kinds[-1] == ("setHeaderRoute", {"name": kinds[1][1]["name"]})


def test_a_comparison_lasts_as_long_as_it_is_told_and_never_less_than_the_analysis_needs():
    steps, _ = plan("ab", comparison__minutes=30, comparison__header="X-Model", comparison__value="b")
    assert pauses(steps) == [1800]
    route = next(step["setHeaderRoute"] for step in steps if "setHeaderRoute" in step)
    assert route["match"] == [{"headerName": "X-Model", "headerValue": {"exact": "b"}}]
    assert pauses(plan("ab", comparison__minutes=1)[0]) == [150]


@pytest.mark.parametrize(
    ("replicas", "weight", "new", "old"),
    [
        (1, 5, 1, 1),
        (1, 50, 1, 1),
        (2, 5, 1, 2),
        (2, 50, 1, 1),
        (3, 25, 1, 3),
        (3, 34, 1, 2),
        (3, 50, 2, 2),
        (4, 25, 1, 3),
        (4, 50, 2, 2),
        (10, 18, 2, 9),
        (10, 24, 3, 8),
        (10, 99, 10, 1),
    ],
)
def test_whole_pods_at_a_weight_are_those_that_argo_rollouts_chooses(replicas, weight, new, old):
    """Cases of its own tests (utils/replicaset/canary_test.go, with surge). All of 1 to 40 replicas and 1 to 99 % were
    compared once with its function."""
    assert canary.pods(replicas, weight) == (new, old)


def test_without_a_router_the_shares_that_whole_pods_give_are_written_beside_the_weights():
    said = derived.files(budgeted(scaling__minimum_replicas=2), IDENTITY)["strategy-canary/kustomization.yaml"]
    assert "# of at least 2: 1 new beside 2 old, 33% of the requests\n          - setWeight: 5\n" in said
    assert "# of at least 2: 1 new beside 1 old, 50% of the requests\n          - setWeight: 50\n" in said


@pytest.mark.parametrize("changes", [{}, {"blue_green__observe_seconds": 310}, QUICK], ids=["usual", "uneven", "quick"])
def test_blue_green_is_measured_for_as_long_as_it_is_observed_and_before_anything_ends_it(changes):
    found = budgeted(**changes)
    counted = analysis.measurements(found, found.blue_green.observe_seconds)
    last = found.canary.initial_delay_seconds + (counted - 1) * found.canary.interval_seconds
    assert found.blue_green.observe_seconds <= last < found.blue_green.observe_seconds + found.canary.interval_seconds
    assert counted > found.canary.failure_limit  # or the bad ones could not be too many
    assert last < found.blue_green.keep_seconds
    assert last < found.canary.progress_deadline_seconds  # which Argo Rollouts counts on during the observation


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_version_before_stays_while_the_new_one_is_observed(environment):
    spec = rollout(rendered(Variant(environment, "bluegreen")))["spec"]["strategy"]["blueGreen"]
    assert "previewReplicaCount" not in spec
    assert spec["autoPromotionEnabled"] is True
    assert spec["prePromotionAnalysis"]["templates"] == [{"templateName": analysis.SEEN}]
    assert [one["templateName"] for one in spec["postPromotionAnalysis"]["templates"]] == [
        analysis.OBSERVED,
        analysis.FLOOR,
    ]


LINT = ["kubectl-argo-rollouts", "lint", "-f"]


@pytest.fixture
def lint(tmp_path):
    """What `kubectl argo rollouts lint`, which has the controller's own validation, says of manifests; nothing when well."""
    if not shutil.which(LINT[0]):
        pytest.skip(f"{LINT[0]} is not on PATH: the controller's own validation is not run")

    def lint(manifests):
        (tmp_path / "manifests.yaml").write_text(yaml.safe_dump_all(manifests))
        done = subprocess.run([*LINT, str(tmp_path / "manifests.yaml")], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr if done.returncode else ""

    return lint


@pytest.mark.parametrize("variant", EVERY_STRATEGY, ids=str)
def test_argo_rollouts_itself_finds_nothing_wrong(lint, variant):
    assert lint(rendered(variant)) == ""


def test_argo_rollouts_itself_finds_what_is_wrong(lint):
    manifests = copy.deepcopy(rendered(Variant("production", "canary")))
    rollout(manifests)["spec"]["strategy"]["canary"]["steps"][0]["setWeight"] = 200
    assert "setWeight" in lint(manifests)
    manifests = copy.deepcopy(rendered(Variant("production", "canary")))
    rollout(manifests)["spec"]["strategy"]["canary"]["steps"].insert(0, {"setHeaderRoute": {"name": "x"}})
    assert lint(manifests)  # without a router there is no such step


def test_whoever_may_go_on_by_weight_is_stopped_by_any_metric():
    """One quick look at the whole: every number of the analysis is one of the budgets."""
    written = derived.files(budgeted(**QUICK), IDENTITY)
    for metric in yaml.safe_load(written["analysis/slo.yaml"])["spec"]["metrics"]:
        assert (metric["initialDelay"], metric["interval"], metric["failureLimit"]) == ("10s", "5s", 1)
        assert metric["consecutiveErrorLimit"] == 2
        window = {"error-budget-burn": "", "scrape-lost": "[40s]"}.get(metric["name"], "[15s]")
        assert window in metric["provider"]["prometheus"]["query"]
