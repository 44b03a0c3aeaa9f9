"""Short real runs against a real server, each in a process of its own: Locust replaces parts of the standard library."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from contracts import report
from contracts.bundle import Bundle
from tests import bundles, servers
from tests.servers import Running


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[Running]:
    with servers.running(bundle.path) as running:
        yield running


def budgets(root: Path, folder: Path, **service: float) -> Path:
    """The repository's budgets, with a service that a busy machine can give, and what a test changes of it."""
    document = yaml.safe_load((root / "conf" / "base" / "budgets.yml").read_text(encoding="utf-8"))
    generous = {"latency_p50_ms": 1000, "latency_p99_ms": 5000, "throughput_rps": 1, "error_share": 0.01}
    document["service"] |= generous | service
    document["scaling"]["maximum_replicas"] = 10_000  # so that any throughput may be promised
    document["load_test"] |= {"warmup_seconds": 1, "rows_per_request": 2}
    document["environments"] = {"staging": {}}
    path = folder / "budgets.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def loadtest(url: str, bundle: Path, limits: Path, folder: Path, seconds: int = 1) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "loadtests", "--url", url, "--bundle", bundle, "--environment", "staging"]
    command += ["--budgets", limits, "--report", folder, "--seconds", str(seconds), "--users", "4"]
    return subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True, timeout=60, check=False)


def refusals(folder: Path) -> set[str]:
    return {check.name for check in report.load(folder / "loadtest.json").refusals}


def test_a_good_server_passes_and_the_report_shows_it(
    root: Path, tmp_path: Path, server: Running, bundle: Bundle
) -> None:
    before = server.metrics().get('ml_inference_requests_total{route="infer",code="200"}', 0)
    done = loadtest(server.url, bundle.path, budgets(root, tmp_path), tmp_path, seconds=3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"passed: {tmp_path / 'loadtest.html'}"
    result = report.load(tmp_path / "loadtest.json")
    assert (result.subject, result.facts["model version"]) == (bundle.digest, "1")
    asked = int(result.facts["requests"].replace(",", ""))
    page = server.metrics()
    # The warm-up is not counted in the report, and every request is counted by the server.
    assert asked < page['ml_inference_requests_total{route="infer",code="200"}'] - before
    assert page['ml_inference_batch_size_bucket{le="1"}'] == 0
    html = (tmp_path / "loadtest.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 2
    assert (tmp_path / "loadtest-locust.html").stat().st_size > 10_000


def test_budgets_that_are_too_tight_refuse(root: Path, tmp_path: Path, server: Running, bundle: Bundle) -> None:
    limits = budgets(root, tmp_path, latency_p50_ms=0.001, throughput_rps=1_000_000)
    done = loadtest(server.url, bundle.path, limits, tmp_path)
    assert done.returncode == 1
    assert refusals(tmp_path) == {"p50 latency, ms", "answers per second"}


def test_another_bundle_than_the_one_that_was_tested_is_refused(root: Path, tmp_path: Path, server: Running) -> None:
    other = bundles.write(tmp_path / "store", shift=1.0)
    done = loadtest(server.url, other.path, budgets(root, tmp_path), tmp_path)
    assert done.returncode == 1
    assert refusals(tmp_path) == {"bundle digest", "wrong answers"}
    assert report.load(tmp_path / "loadtest.json").subject == server.digest


def test_a_server_that_refuses_requests_is_refused(root: Path, tmp_path: Path, bundle: Bundle) -> None:
    with servers.running(bundle.path, "--maximum-rows", "1") as strict:
        done = loadtest(strict.url, bundle.path, budgets(root, tmp_path), tmp_path)
    assert done.returncode == 1
    assert "share of errors" in refusals(tmp_path)
    assert "status 413: " in done.stdout


class Quiet(SimpleHTTPRequestHandler):
    """A web server that is not ours."""

    def log_message(self, *_: object) -> None:
        pass


CASES = """
import json, sys
from loadtests.__main__ import main
for case in json.loads(sys.argv[1]):
    print(main(case), flush=True)
"""


def test_what_cannot_be_tested_is_refused_in_one_line(
    root: Path, tmp_path: Path, server: Running, bundle: Bundle
) -> None:
    options = {
        "--url": server.url,
        "--bundle": str(bundle.path),
        "--environment": "staging",
        "--budgets": str(budgets(root, tmp_path)),
        "--report": str(tmp_path / "report"),
    }
    other = str(bundles.write(tmp_path / "store", name="sunny-days").path)
    foreign = HTTPServer(("127.0.0.1", 0), Quiet)
    reasons = {
        "nobody answers there (": {"--url": "http://127.0.0.1:9"},
        "is not http://HOST:PORT": {"--url": "127.0.0.1:8080"},
        "is not http://HOST:PORT;": {"--url": "file:///etc/passwd"},
        "is not ready there: there is nothing at this path": {"--url": f"{server.url}/elsewhere"},
        "is not an inference server of ours (status 404)": {"--url": f"http://127.0.0.1:{foreign.server_port}"},
        "sunny-days is not ready there: there is no such model here": {"--bundle": other},
        "no such bundle": {"--bundle": str(tmp_path / "nothing")},
        "environments.moon: ": {"--environment": "moon"},
        "budgets.yml: ": {"--budgets": str(tmp_path / "nothing" / "budgets.yml")},
        "arguments: argument --users: must be at least 1": {"--users": "0"},
    }
    threading.Thread(target=foreign.serve_forever, daemon=True).start()
    cases = [[word for pair in {**options, **change}.items() for word in pair] for change in reasons.values()]
    command = [sys.executable, "-c", CASES, json.dumps(cases)]
    done = subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["2"] * len(cases)
    foreign.shutdown()
    foreign.server_close()
    for line, reason in zip(done.stderr.splitlines(), reasons, strict=True):
        assert reason in line
    assert not (tmp_path / "report").exists()


def test_the_clients_can_be_run_by_locust_itself(server: Running, bundle: Bundle) -> None:
    asked = 'ml_inference_requests_total{route="infer",code="200"}'
    enough = server.metrics().get(asked, 0) + 20
    command = [Path(sys.executable).parent / "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
    command += ["--host", server.url, "--users", "2", "--run-time", "60s", "--json"]
    environment = {**os.environ, "LOADTEST_BUNDLE": str(bundle.path), "LOADTEST_ROWS": "3"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=servers.ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) as locust:
        while server.metrics().get(asked, 0) < enough and locust.poll() is None:
            pass
        locust.terminate()
        output, errors = locust.communicate(timeout=30)
    assert locust.returncode == 0, errors
    (entry,) = json.loads(output)
    assert entry["num_requests"] >= 18
    assert entry["num_failures"] == 0
