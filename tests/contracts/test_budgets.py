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
scaling: {requests_per_second_per_replica: 150, minimum_replicas: 2, cpu: "1", memory: 512Mi}
data: {quarantine_share: 0.01}
quality: {metric: auc, floor: 0.7, baseline_margin: 0.005, champion_margin: 0.005, segment_margin: 0.02,
          calibration_error: 0.1, confidence: 0.95, resamples: 500}
model: {maximum_bytes: 1000, parity_tolerance: 0.0001, operators: [Add]}
drift: {psi: 0.25, minimum_rows: 500}
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
