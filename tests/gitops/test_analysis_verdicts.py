"""What an answer of Prometheus means: the conditions of the AnalysisTemplates over a table of answers, decided here and by
the expression engine that Argo Rollouts has, and what becomes of a version that answers so. The table of docs/delivery.md.
"""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from msgspec import Struct

from release import derived
from release.derived import analysis
from tests.gitops.budgeted import IDENTITY, budgeted
from tests.gitops.manifests import ENVIRONMENTS, of_kind
from tests.gitops.variants import STRATEGIES, Variant, rendered

NONE, NAN, INF = (), (math.nan,), (math.inf,)
ENGINE = Path(__file__).parent / "conditions"
CONDITION = re.compile(
    r"len\(result\) > 0 && !isNaN\(result\[0\]\) && !isInf\(result\[0\]\) && result\[0\] (>=|<=) (\S+)"
)

# metric -> answers that are well, answers that are not
TABLE = {
    "success-rate": ([1, 0.99, 0.999], [0, 0.95, 0.9899]),
    "latency-p99": ([0, 0.1, 0.02], [1, 0.101, 0.25]),
    "in-flight": ([0, 8, 32], [33, 250]),
    "scrape-lost": ([0], [1, 3]),
    "error-budget-burn": ([0, 1, 3], [3.1, 50]),
    "prediction-shift": ([0, 0.25], [1, 0.26]),
    "traffic-floor": ([100, 1e9], [-1, 0, 1, 99]),
    "seen": ([1, 2], [0]),
}
NEVER_WELL = (NONE, NAN, INF, (-math.inf,))  # no data, no number, an endless one: for every metric


@pytest.fixture(scope="module")
def metrics():
    written = analysis.files(budgeted(), IDENTITY)
    return {
        metric["name"]: metric
        for name in (analysis.SLO, analysis.SHIFT, analysis.FLOOR, analysis.SEEN)
        for metric in yaml.safe_load(written[f"analysis/{name}.yaml"])["spec"]["metrics"]
    }


def holds(condition, answers):
    """The condition's verdict; it has the one form that is known here."""
    comparison, limit = CONDITION.fullmatch(condition).groups()
    if not answers or math.isnan(answers[0]) or math.isinf(answers[0]):
        return False
    return answers[0] >= float(limit) if comparison == ">=" else answers[0] <= float(limit)


CASES = [
    (name, answers, verdict)
    for name, (well, sick) in TABLE.items()
    for answers, verdict in (
        *(((answer,), True) for answer in well),
        *(((answer,), False) for answer in sick),
        *((answers, False) for answers in NEVER_WELL),
    )
]


@pytest.mark.parametrize(("name", "answers", "well"), CASES)
def test_the_verdict_on_an_answer(metrics, name, answers, well):
    assert holds(metrics[name]["successCondition"], answers) is well


def test_every_metric_is_in_the_table(metrics):
    assert set(TABLE) == set(metrics)


@pytest.mark.skipif(
    not shutil.which("go"), reason="Go is not here: the verdicts of Argo Rollouts' own engine are not run"
)
def test_the_engine_of_argo_rollouts_decides_the_same(metrics):
    asked = [(metrics[name]["successCondition"], [repr(float(a)) for a in answers]) for name, answers, _ in CASES]
    # What the guards are for: without them, nothing is an error of the measurement, which is tried again, and Inf passes.
    asked += [("result[0] >= 0.99", []), ("result[0] >= 0.99", ["inf"]), ("result[0] >= 0.99", ["nan"])]
    done = subprocess.run(
        ["go", "run", "."], cwd=ENGINE, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the engine cannot be built here: {' '.join(done.stderr.split())[:200]}")
    *decided, nothing, endless, no_number = done.stdout.splitlines()
    assert decided == [str(well).lower() for _, _, well in CASES]
    assert nothing.startswith("error: ")
    assert (endless, no_number) == ("true", "false")


class Outcome(Struct, frozen=True):
    """What a metric says after its measurements, and after how many seconds."""

    phase: str
    seconds: int


def outcome(metric, verdicts, retry=analysis.RETRY_SECONDS):
    """As Argo Rollouts assesses a metric (its analysis/analysis.go): `verdicts` are True, False, or None for an error."""
    failed = errors = successes = 0
    at = seconds(metric.get("initialDelay", "0s"))
    for number, verdict in enumerate(verdicts, start=1):
        failed += verdict is False
        errors = errors + 1 if verdict is None else 0
        successes = successes + 1 if verdict else 0
        if 0 <= metric["failureLimit"] < failed:
            return Outcome("Failed", at)
        if errors > metric["consecutiveErrorLimit"]:
            return Outcome("Error", at)
        if successes and successes >= metric.get("consecutiveSuccessLimit", math.inf):
            return Outcome("Successful", at)
        if number >= metric.get("count", math.inf):
            return Outcome("Successful", at)
        at += retry if verdict is None else seconds(metric["interval"])
    return Outcome("Running", at)


def seconds(text):
    return int(text.removesuffix("s"))


SLOW = ("success-rate", "latency-p99", "in-flight", "scrape-lost", "error-budget-burn", "prediction-shift")


@pytest.mark.parametrize("name", SLOW)
def test_a_version_that_is_bad_from_the_start_is_sent_back_within_the_detection_time(metrics, name):
    assert outcome(metrics[name], [False] * 10) == Outcome("Failed", 60 + 2 * 30)
    assert outcome(metrics[name], [False] * 10).seconds == budgeted().canary.detection_seconds


@pytest.mark.parametrize("name", SLOW)
def test_two_bad_measurements_are_borne_and_a_third_is_not_however_far_apart(metrics, name):
    assert outcome(metrics[name], [False, True, True, False, True]).phase == "Running"
    assert outcome(metrics[name], [False, True, True, False, True, False]).phase == "Failed"


DAY = 24 * 60


@pytest.mark.parametrize(
    ("minutes", "borne", "detection"), [(1, 2, 120), (60, 2, 120), (DAY, 28, 900), (3 * DAY, 86, 2640)]
)
def test_a_comparison_bears_a_hundredth_of_its_measurements_and_never_fewer_than_a_canary(minutes, borne, detection):
    """Counted over days, two bad ones would send any version back; a bad one costs a hundredth of the time, and a minute."""
    found = budgeted(comparison__minutes=minutes)
    written = derived.files(found, IDENTITY)
    for metric in yaml.safe_load(written[f"analysis/{analysis.COMPARED}.yaml"])["spec"]["metrics"]:
        assert metric["failureLimit"] == borne
        assert "count" not in metric
        assert outcome(metric, [False] * 1000) == Outcome("Failed", detection)
        assert detection <= found.canary.initial_delay_seconds + max(0.01 * minutes * 60, 60)
        # One bad one in an hour, over the whole of it.
        rarely = [place % 120 != 0 for place in range(minutes * 2)]
        assert outcome(metric, rarely).phase == "Running"
        twice = [place % 60 != 0 for place in range(minutes * 2)]
        assert outcome(metric, twice).phase == ("Failed" if minutes > 60 else "Running")
    assert f"taken back after {detection} s of measuring" in written["strategy-ab/kustomization.yaml"]


def test_a_comparison_judges_by_all_that_a_canary_is_judged_by(metrics):
    written = derived.files(budgeted(), IDENTITY)
    for name in (analysis.COMPARED, analysis.OBSERVED):
        compared = {one["name"]: one for one in yaml.safe_load(written[f"analysis/{name}.yaml"])["spec"]["metrics"]}
        assert set(compared) == set(SLOW)
        for key, one in compared.items():
            assert one["provider"] == metrics[key]["provider"]
            assert one["successCondition"] == metrics[key]["successCondition"]


@pytest.mark.parametrize("name", TABLE)
def test_when_prometheus_is_away_a_version_is_sent_back_within_the_time_of_a_step(metrics, name):
    away = outcome(metrics[name], [None] * 100)
    begun = seconds(metrics[name].get("initialDelay", "0s"))
    assert away.phase == "Error"
    assert away.seconds - begun <= budgeted().canary.pause_seconds
    assert outcome(metrics[name], [*[None] * 5, True, *[None] * 5]).phase != "Error"


@pytest.mark.parametrize("name", ["traffic-floor", "seen"])
def test_what_holds_a_version_never_sends_it_back_and_lets_it_go_as_soon_as_it_may(metrics, name):
    assert outcome(metrics[name], [False] * 1000).phase == "Running"
    assert outcome(metrics[name], [False, False, True]) == Outcome("Successful", 60)
    assert outcome(metrics[name], [True]) == Outcome("Successful", 0)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_is_inconclusive_and_nothing_is_a_job(environment, strategy):
    """Inconclusive pauses a release, and while it is paused a failing background analysis does not send it back. An image
    that cannot be pulled makes a job's measurement inconclusive."""
    for template in of_kind(rendered(Variant(environment, strategy)), "AnalysisTemplate"):
        for metric in template["spec"]["metrics"]:
            assert "failureCondition" not in metric
            assert "inconclusiveLimit" not in metric
            assert list(metric["provider"]) == ["prometheus"]
            assert "address" not in metric["provider"]["prometheus"]  # the controller's, for all namespaces
            assert CONDITION.fullmatch(metric["successCondition"])
            # Both disabled, or a count that contradicts the limits: the controller refuses such a metric.
            assert metric["failureLimit"] >= 0 or metric.get("consecutiveSuccessLimit", 0) > 0
