"""The budgets: one document, typed; a wrong key or value is refused with file, key and reason."""

import copy

import pytest
import yaml

from contracts import budgets
from contracts.budgets import BudgetError

DOCUMENT = yaml.safe_load("""
format: 1
service: {availability: 0.999, latency_p50_ms: 20, latency_p99_ms: 100, throughput_rps: 200, error_share: 0.001}
load_test: {users: 8, seconds: 15, warmup_seconds: 2, rows_per_request: 1}
drain: {endpoint_lag_seconds: 5, in_flight_seconds: 10, margin_seconds: 5}
scaling: {requests_per_second_per_replica: 150, minimum_replicas: 2, maximum_replicas: 8, cpu_utilisation: 0.7,
          inflight_per_replica: 8, cpu: "1", memory: 512Mi}
canary: {weights: [5, 25, 50], initial_delay_seconds: 60, interval_seconds: 30, failure_limit: 2, window_seconds: 120,
         minimum_requests: 100, patience_minutes: 60, success_rate: 0.99, burn_rate: 3, prediction_shift: 0.25,
         progress_deadline_seconds: 600}
blue_green: {observe_seconds: 300, keep_seconds: 900}
comparison: {header: X-Variant, value: candidate, minutes: 60}
objectives: {window_days: 30}
monitoring: {scrape_seconds: 15, model_age_days: 90, label_lag_days: 14, saturation: 0.8,
             shadow_disagreement: 0.05}
cost: {currency: USD, replica_hour: 0.05, monthly_budget: 200}
data: {quarantine_share: 0.01}
quality: {metric: auc, floor: 0.7, baseline_margin: 0.005, champion_margin: 0.005, segment_margin: 0.02,
          calibration_error: 0.1, confidence: 0.95, resamples: 500}
model: {maximum_bytes: 1000, parity_tolerance: 0.0001, operators: [Add]}
drift: {psi: 0.25, minimum_rows: 500}
release: {timezone: UTC, freeze: [], quiet_hours: [], least_error_budget: 0.1}
environments:
  staging: {service: {throughput_rps: 100}, scaling: {minimum_replicas: 1}}
  production: {}
""")


@pytest.fixture
def write(tmp_path):
    def write(text=None, **changes):
        document = copy.deepcopy(DOCUMENT)
        for place, value in changes.items():
            *sections, key = place.split("__")
            section = document
            for name in sections:
                section = section[name]
            section[key] = value
        (tmp_path / "budgets.yml").write_text(yaml.safe_dump(document) if text is None else text)
        return tmp_path / "budgets.yml"

    return write


def test_this_repository_s_budgets_hold_for_every_environment(root):
    path = root / "conf" / "base" / "budgets.yml"
    for environment in (None, *yaml.safe_load(path.read_text())["environments"]):
        assert budgets.load(path, environment).format == budgets.FORMAT


def test_an_environment_differs_only_where_it_says_so(write):
    shared, staging = budgets.load(write()), budgets.load(write(), "staging")
    assert (shared.service.throughput_rps, staging.service.throughput_rps) == (200, 100)
    assert (shared.scaling.minimum_replicas, staging.scaling.minimum_replicas) == (2, 1)
    assert staging.service.latency_p99_ms == shared.service.latency_p99_ms
    assert staging.quality == shared.quality
    assert budgets.load(write(), "production") == shared


def test_the_grace_covers_the_whole_way_out(write):
    assert budgets.load(write()).drain.termination_grace_seconds == 5 + 10 + 5


def test_a_step_outlasts_the_analysis_that_would_stop_it(write):
    canary = budgets.load(write()).canary
    assert (canary.detection_seconds, canary.pause_seconds) == (60 + 2 * 30, 60 + 3 * 30)


def test_quick_budgets_are_possible(write):
    quick = {"initial_delay_seconds": 10, "interval_seconds": 5, "failure_limit": 1, "window_seconds": 15}
    path = write(monitoring__scrape_seconds=5, **{f"canary__{key}": value for key, value in quick.items()})
    assert budgets.load(path).canary.detection_seconds == 15


@pytest.mark.parametrize(("carried", "least", "replicas"), [(150, 2, 2), (100, 1, 2), (30, 1, 7), (1000, 3, 3)])
def test_replicas_carry_the_throughput_and_are_never_fewer_than_the_minimum(write, carried, least, replicas):
    path = write(scaling__requests_per_second_per_replica=carried, scaling__minimum_replicas=least)
    assert budgets.load(path).replicas == replicas


@pytest.mark.parametrize(("metric", "higher"), [("auc", True), ("r2", True), ("mae", False), ("log_loss", False)])
def test_which_way_is_better_follows_from_the_metric(write, metric, higher):
    assert budgets.load(write(quality__metric=metric)).quality.higher_is_better is higher


INVALID = {
    "a value out of range": ({"service__error_share": 1.5}, "service.error_share: Expected `float` <= 1.0"),
    "a limit below zero": ({"service__latency_p99_ms": -1}, "service.latency_p99_ms: Expected `float` > 0.0"),
    "a text for a number": ({"drift__psi": "little"}, "drift.psi: Expected `float`, got `str`"),
    "a truth for a number": ({"quality__floor": True}, "quality.floor: Expected `float`, got `bool`"),
    "a floor that nothing reaches": ({"quality__floor": float("inf")}, "quality.floor: must be a finite number"),
    "a margin that is no number": (
        {"quality__baseline_margin": float("nan")},
        "quality.baseline_margin: must be a finite",
    ),
    "a misspelt key": ({"service__latency_p98_ms": 5}, "service: Object contains unknown field `latency_p98_ms`"),
    "a misspelt section": ({"drifts": {}}, "document: Object contains unknown field `drifts`"),
    "a metric nobody knows": ({"quality__metric": "vibes"}, "quality.metric: Invalid enum value 'vibes'"),
    "weights that do not rise": ({"canary__weights": [25, 5]}, "canary: weights must rise from step to step"),
    "a weight that is all": ({"canary__weights": [5, 100]}, "canary.weights[1]: Expected `int` <= 99"),
    "no weights": ({"canary__weights": []}, "canary.weights: Expected `array` of length >= 1"),
    "half a second": ({"canary__interval_seconds": 0.5}, "canary.interval_seconds: Expected `int`, got `float`"),
    "patience without an end": (
        {"canary__patience_minutes": float("inf")},
        "canary.patience_minutes: must be a finite",
    ),
    "a window without two samples": ({"monitoring__scrape_seconds": 60}, "document: canary.window_seconds must be"),
    "nothing to go back to": ({"blue_green__keep_seconds": 300}, "blue_green: keep_seconds must be more than"),
    "an observation that sees nothing": (
        {"blue_green__observe_seconds": 119},
        "document: blue_green.observe_seconds: a bad version takes 120 s",
    ),
    "an observation that a deadline ends": (
        {"blue_green__observe_seconds": 580},
        "document: blue_green.observe_seconds must end before canary.progress_deadline_seconds",
    ),
    "a header of two lines": ({"comparison__header": "X\nY"}, "comparison.header: Expected `str` matching regex"),
    "fewer replicas at most than at least": ({"scaling__maximum_replicas": 1}, "scaling: maximum_replicas 1 is below"),
    "fewer replicas than the promise takes": (
        {"scaling__requests_per_second_per_replica": 10},
        "document: scaling.maximum_replicas: service.throughput_rps takes 20",
    ),
    "a currency by its sign": ({"cost__currency": "$"}, "cost.currency: Expected `str` matching regex"),
    "a freeze that ends before it begins": (
        {"release__freeze": [{"from": "2026-12-23", "to": "2026-12-22", "why": "holidays"}]},
        "release.freeze[0]: to: 2026-12-22 is not after 2026-12-23",
    ),
    "a freeze at no moment": (
        {"release__freeze": [{"from": "Christmas", "to": "2026-12-22", "why": "holidays"}]},
        "release.freeze[0]: 'Christmas' is no moment, as 2026-12-23 or",
    ),
    "hours that YAML read as a number": (
        {"release__quiet_hours": [{"days": ["Fri"], "from": 960, "to": "24:00", "why": "weekend"}]},
        "release.quiet_hours[0].from: Expected `str`, got `int`",
    ),
    "a time zone nobody lives in": ({"release__timezone": "Moon/Sea"}, "release: timezone: 'Moon/Sea' is none"),
    "a newer format": ({"format": 2}, "format: is 2, this version reads 1"),
    "a section that is a list": ({"data": []}, "data: Expected `object`, got `array`"),
    "a wrong value in an environment": (
        {"environments__production": {"drain": {"margin_seconds": 0}}},
        "environments.production.drain.margin_seconds: Expected `int` >= 1",
    ),
    "a wrong key in an environment": (
        {"environments__production": {"drains": {}}},
        "environments.production: Object contains unknown field `drains`",
    ),
    "an environment that is no mapping": (
        {"environments__production": 3},
        "environments.production: must be a mapping",
    ),
    "environments that are a list": ({"environments": ["staging"]}, "environments: must map a name"),
}


@pytest.mark.parametrize(("changes", "line"), INVALID.values(), ids=INVALID)
def test_a_wrong_budget_is_named_by_file_key_and_reason(write, changes, line):
    path = write(**changes)
    with pytest.raises(BudgetError) as refused:
        budgets.load(path)
    assert str(refused.value).startswith(f"{path}: {line}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("section", [key for key in DOCUMENT if key != "environments"])
def test_no_section_has_a_default(write, section):
    text = yaml.safe_dump({key: value for key, value in DOCUMENT.items() if key != section})
    with pytest.raises(BudgetError, match=f"document: Object missing required field `{section}`"):
        budgets.load(write(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a mapping of sections"),
        ("- a list", "must be a mapping of sections"),
        ("a: [", "is not YAML"),
        ("a: 1\na: 2\n", "a is there twice"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_what_is_not_a_document_is_refused_in_one_line(write, text, reason):
    with pytest.raises(BudgetError, match=reason) as refused:
        budgets.load(write(text))
    assert "\n" not in str(refused.value)


def test_a_missing_file_says_what_it_is_for(tmp_path):
    with pytest.raises(BudgetError, match="No such file or directory; it says what good enough means"):
        budgets.load(tmp_path / "budgets.yml")


def test_an_unknown_environment_names_those_that_are_known(write):
    with pytest.raises(BudgetError, match=r"environments\.moon: is not there; known: production, staging"):
        budgets.load(write(), "moon")
