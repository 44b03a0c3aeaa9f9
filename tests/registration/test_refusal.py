"""Registration stops, in one line, before anything reaches MLflow."""

import socket
import time
from pathlib import Path

import msgspec
import pytest

from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check, Report
from pipelines.registration.parameters import Parameters
from tests import bundles

FAILED = Check(gate="quality", name="auc reaches the floor", status="fail", detail="no better than a coin")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


def gates(model: Bundle, *checks: Check) -> Report:
    return Report(title="Gates", subject=model.digest, checks=checks)


def test_refused_gates_stop_it_with_their_names_and_the_report(model: Bundle) -> None:
    from pipelines.registration import nodes

    with pytest.raises(InputError, match=f"data/reports/{model.short_digest}/gates.html.*auc reaches the floor"):
        nodes.require_passed(model, gates(model, FAILED), Parameters())


def test_a_report_without_checks_stops_it(model: Bundle) -> None:
    from pipelines.registration import nodes

    with pytest.raises(InputError, match="no check"):
        nodes.require_passed(model, gates(model), Parameters())


def test_the_report_of_another_bundle_stops_it_even_when_forced(model: Bundle, tmp_path: Path) -> None:
    from pipelines.registration import nodes

    other = bundles.write(tmp_path, shift=1.0)
    with pytest.raises(InputError, match="kedro run --pipelines validation"):
        nodes.require_passed(model, gates(other), Parameters(force_reason="because"))


def test_a_reason_lets_a_refused_bundle_through(model: Bundle) -> None:
    from pipelines.registration import nodes

    report = gates(model, FAILED)
    assert nodes.require_passed(model, report, Parameters(force_reason="the demo shows a bad release")) is report


def test_a_server_that_is_gone_is_one_line_within_seconds(model: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    from pipelines.registration import nodes

    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    trained = msgspec.structs.replace(
        model, provenance=msgspec.structs.replace(model.provenance, mlflow_run_id="0" * 32)
    )
    started = time.monotonic()
    try:
        with pytest.raises(InputError) as gone:
            nodes.register(trained, gates(model), Parameters())
    finally:
        mlflow.set_tracking_uri(before)
    assert time.monotonic() - started < 10
    assert "\n" not in str(gone.value)
    assert uri in str(gone.value)
