from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from contracts import budgets
from contracts.budgets import Budgets
from contracts.bundle import Bundle
from contracts.report import Report
from loadtests import charts
from loadtests.observations import Observations
from loadtests.verdict import verdict
from tests import bundles


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def limits(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Budgets:
    """The repository's budgets with the service that these tests are about."""
    known = budgets.load(root / "conf" / "base" / "budgets.yml")
    service = budgets.Service(
        availability=0.999, latency_p50_ms=20, latency_p99_ms=100, throughput_rps=200, error_share=0.01
    )
    return budgets.msgspec.structs.replace(known, service=service)


def seen(bundle: Bundle, **change: object) -> Observations:
    """Two good seconds of 300 answers each."""
    good: dict = {
        "seconds": 2.0,
        "latencies": [10.0] * 590 + [90.0] * 10,
        "per_second": [300, 300],
        "errors": Counter(),
        "wrong": Counter(),
        "digests": Counter({bundle.digest: 600}),
        "versions": Counter({"1": 600}),
        "golden": 60,
    }
    return Observations(**{**good, **change})


def statuses(report: Report) -> dict[str, str]:
    return {check.name: check.status for check in report.checks}


def test_a_server_within_its_budgets_passes(bundle: Bundle, limits: Budgets) -> None:
    report = verdict(seen(bundle), limits, bundle, {})
    assert report.passed
    assert report.subject == bundle.digest
    assert [check.value for check in report.checks[:4]] == [10.0, 90.0, 300.0, 0.0]


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"latencies": [21.0] * 600}, {"p50 latency, ms"}),
        ({"latencies": [10.0] * 590 + [101.0] * 10}, {"p99 latency, ms"}),
        ({"seconds": 4.0}, {"answers per second"}),
        ({"errors": Counter({"status 503": 7})}, {"share of errors"}),
        ({"digests": Counter({"sha256:other": 600})}, {"bundle digest"}),
        ({"wrong": Counter({"probability differs": 1})}, {"wrong answers"}),
        (
            {"latencies": [], "errors": Counter({"ConnectionRefusedError": 9}), "digests": Counter(), "golden": 0},
            {"p50 latency, ms", "p99 latency, ms", "answers per second", "share of errors", "bundle digest"},
        ),
    ],
)
def test_each_budget_that_is_broken_refuses(bundle: Bundle, limits: Budgets, change: dict, failing: set[str]) -> None:
    report = verdict(seen(bundle, **change), limits, bundle, {})
    assert not report.passed
    assert {name for name, status in statuses(report).items() if status == "fail"} == failing


def test_a_budget_that_is_just_met_is_met(bundle: Bundle, limits: Budgets) -> None:
    edge = seen(bundle, latencies=[20.0] * 594 + [100.0] * 6, seconds=3.0, errors=Counter({"status 500": 6}))
    assert verdict(edge, limits, bundle, {}).passed


def test_golden_rows_that_were_never_asked_refuse(bundle: Bundle, limits: Budgets) -> None:
    report = verdict(seen(bundle, golden=0), limits, bundle, {})
    assert statuses(report)["wrong answers"] == "not_run"
    assert not report.passed


def test_two_bundles_behind_one_address_refuse(bundle: Bundle, limits: Budgets) -> None:
    report = verdict(seen(bundle, digests=Counter({bundle.digest: 599, "sha256:other": 1})), limits, bundle, {})
    assert statuses(report)["bundle digest"] == "fail"
    assert report.subject == bundle.digest


def test_percentiles_are_latencies_that_were_measured(bundle: Bundle) -> None:
    known = seen(bundle, latencies=[float(n) for n in range(100, 0, -1)])
    assert [known.percentile(share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [1.0, 1.0], [0.01, 3.0, 40_000.0]])
def test_charts_can_be_drawn_of_anything(values: list[float]) -> None:
    for svg in (charts.distribution(values, {"a < b": 5.0}, "ms"), charts.over_time(values, 2.0, "a < b")):
        ElementTree.fromstring(svg)
        assert "nan" not in svg
        assert "inf" not in svg


def test_every_value_is_in_the_distribution_once() -> None:
    svg = charts.distribution([1.0, 1.0, 1.0, 50.0], {}, "ms")
    assert svg.count("<rect") == 2
