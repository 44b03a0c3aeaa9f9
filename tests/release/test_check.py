"""May something new go out now: asked of the budgets, and of a real Prometheus that evaluates the rendered rules."""

import contextlib
import itertools
import os
import re
import shutil
import subprocess

import pytest

from bench.monitoring import prometheus, rendered
from bench.monitoring.prometheus import Target

CHRISTMAS = "{from: 2026-12-23, to: 2027-01-02, why: holidays}"
FRIDAY = '{days: [Fri], from: "16:00", to: "24:00", why: weekend}'


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch):
    for name in ("PROMETHEUS_URL", "PROMETHEUS_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def decided(alone):
    """A repository whose budgets say so, whatever freezes its owners have today."""

    def decided(freeze="", quiet_hours=""):
        place = alone.path / "conf/base/budgets.yml"
        said = f"release: {{timezone: UTC, freeze: [{freeze}], quiet_hours: [{quiet_hours}], least_error_budget: 0.1}}"
        text = re.sub(r"^release:.*?(?=^\S)", f"{said}\n\n", place.read_text(), flags=re.M | re.S)
        place.write_text(text)
        return alone

    return decided


@pytest.fixture
def open_(decided):
    return decided()


def test_nothing_speaks_against_it_by_itself(open_):
    outcome = open_.run("check", "production")
    assert outcome.code == 0
    assert outcome.output.endswith("production: may be released to\n")


def test_a_freeze_refuses_with_its_reason(decided):
    outcome = decided(freeze=CHRISTMAS).run("check", "production", "--at", "2026-12-25T12:00")
    assert outcome.code == 1
    assert "frozen from 2026-12-23 to 2027-01-02: holidays\n" in outcome.output
    assert outcome.output.endswith("production: not now\n")


def test_quiet_hours_refuse(decided):
    repository = decided(quiet_hours=FRIDAY)
    assert repository.run("check", "production", "--at", "2026-11-27T17:00").code == 1
    assert repository.run("check", "production", "--at", "2026-11-27T15:00").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--labels", "rollback"], 0),
        (["--labels", "production, rollback"], 0),
        (["--branch", "rollback/production/0123456789ab"], 0),
        (["--labels", "rollbacks,no-rollback"], 1),
        (["--branch", "feature/rollback/x"], 1),
    ],
)
def test_a_rollback_goes_in_all_the_same(decided, words, code):
    outcome = decided(freeze=CHRISTMAS).run("check", "production", "--at", "2026-12-25T12:00", *words)
    assert outcome.code == code
    assert ("a rollback goes in" in outcome.output) is (code == 0)


def test_without_a_prometheus_the_budget_is_unknown_which_only_strict_refuses(open_):
    outcome = open_.run("check", "production")
    assert "error budget: unknown, since PROMETHEUS_URL names no Prometheus" in outcome.output
    assert outcome.code == 0
    assert open_.run("check", "production", "--strict").code == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://127.0.0.1:9/with/a/path/"])
def test_a_prometheus_that_does_not_answer_is_unknown_too(open_, monkeypatch, address):
    monkeypatch.setenv("PROMETHEUS_URL", address)
    outcome = open_.run("check", "production")
    assert outcome.code == 0
    assert "gave no answer" in outcome.output


def test_an_address_that_is_none_is_refused(open_, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_URL", "file:///etc/passwd")
    assert open_.run("check", "production").code == 2


@pytest.mark.parametrize("words", [["moon"], ["production", "--at", "tomorrow"]])
def test_what_is_not_known_is_one_line(open_, words):
    outcome = open_.run("check", *words)
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)


@contextlib.contextmanager
def watching(folder, failing):
    """A Prometheus with the rendered rules of production, over servers of whose answers so many of a thousand fail."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not on PATH; it comes with Prometheus 3: not run")
    monitoring = rendered.read("production")
    rules = rendered.write(monitoring, folder / "rules.yml", interval="1s")
    own = f'namespace="{monitoring.namespace}",rollouts_pod_template_hash="5kxz8wqn4m"'
    count = itertools.count(1)

    def page():
        n = next(count) * 1000
        good, bad = n * (1000 - failing) // 1000, n * failing // 1000
        return "".join(
            f"{line}\n"
            for line in (
                "# TYPE ml_inference_requests_total counter",
                f'ml_inference_requests_total{{{own},route="infer",code="200"}} {good}',
                f'ml_inference_requests_total{{{own},route="infer",code="500"}} {bad}',
                "# TYPE ml_inference_duration_seconds histogram",
                f'ml_inference_duration_seconds_bucket{{{own},le="0.1"}} {n}',
                f'ml_inference_duration_seconds_bucket{{{own},le="+Inf"}} {n}',
                f"ml_inference_duration_seconds_count{{{own}}} {n}",
                f"ml_inference_duration_seconds_sum{{{own}}} {n / 100}",
            )
        )

    with (
        prometheus.page(page) as address,
        prometheus.running(folder, [Target(address, {}, honor_labels=True)], [rules]) as found,
    ):
        found.wait_for('slo:error_budget_remaining:ratio{slo="availability"}')
        yield found.url


@pytest.mark.parametrize(("failing", "code", "said"), [(0, 0, "100 % is left"), (2, 1, "-100 % is left")])
def test_a_real_prometheus_says_what_is_left(open_, monkeypatch, tmp_path, failing, code, said):
    """Of a thousand answers one may fail; with two the whole budget is gone, and as much again."""
    with watching(tmp_path, failing) as url:
        monkeypatch.setenv("PROMETHEUS_URL", url)
        outcome = open_.run("check", "production", "--strict")
        elsewhere = open_.run("check", "staging")
    assert outcome.code == code, outcome.output
    assert f"error budget, availability: {said}, at least 10 % is wanted" in outcome.output
    assert re.search("error budget, latency: 100 % is left", outcome.output)
    assert "Prometheus has no series of" in elsewhere.output
    assert elsewhere.code == 0


def test_make_check_is_the_same(root):
    done = subprocess.run(
        ["make", "-n", "check", "ENV=production"], cwd=root, env=os.environ, capture_output=True, text=True, check=False
    )
    assert "release check production" in done.stdout
