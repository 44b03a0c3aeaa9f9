"""A real server: a process in the environment it is shipped with, asked by real clients and by raw sockets."""

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from contracts.bundle import Bundle
from serving.__main__ import main
from serving.runtime import Model
from tests import bundles, servers
from tests.servers import Running, body

INFER = "/v2/models/rainy-days/infer"
ROWS = {"station": ["north", None], "temperature": [1.5, None], "hour": [3, 4], "holiday": [True, False]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[Running]:
    with servers.running(bundle.path, "--maximum-body-bytes", "100000") as running:
        yield running


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> list[float]:
    return Model(bundle).predict(ROWS)["probability"].tolist()


def raw(server: Running, *parts: bytes) -> socket.socket:
    """A connection on which these bytes were sent, each in a packet of its own."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in parts:
        connection.sendall(part)
    return connection


def answers(connection: socket.socket, count: int = 1, method: str = "POST") -> list[tuple[int, dict, bytes]]:
    """The next answers on a connection, as status, headers and body."""
    found = []
    with connection.makefile("rb") as stream:
        connection_like = type("Stream", (), {"makefile": lambda self, mode: stream})()
        for _ in range(count):
            response = http.client.HTTPResponse(connection_like, method=method)
            response.close = lambda: None  # the stream is the connection's, not one answer's
            response.begin()
            length = int(response.headers["content-length"])
            found.append(
                (response.status, dict(response.headers.items()), stream.read(length) if method != "HEAD" else b"")
            )
    return found


def until_refused(server: Running) -> None:
    """Wait until the port is closed."""
    with suppress(ConnectionError):
        while True:
            raw(server).close()


def infer(data: bytes, headers: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n"
    return head % (INFER.encode(), headers, len(data)) + data


def probabilities(answer: bytes) -> list[float]:
    return json.loads(answer)["outputs"][0]["data"]


def test_a_client_is_answered_over_and_over_on_one_connection(server: Running, expected: list[float]) -> None:
    with requests.Session() as session:
        for _ in range(20):
            response = session.post(server.url + INFER, data=body(ROWS, id="7"), timeout=10)
            assert probabilities(response.content) == expected
            assert response.headers["X-Bundle-Digest"] == server.digest
            assert "Date" in response.headers
    assert server.metrics()["ml_inference_connections{}"] <= 2


def test_the_answer_is_the_same_from_the_server_and_from_the_runtime(server: Running, bundle: Bundle) -> None:
    golden = bundle.golden
    response = requests.post(server.url + INFER, data=body(golden.inputs), timeout=10)
    assert probabilities(response.content) == pytest.approx(
        golden.outputs["probability"], abs=golden.absolute_tolerance
    )


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    sent = (
        b"".join(infer(body(ROWS, id=str(number))) for number in range(50)) + infer(b"{") + infer(body(ROWS, id="last"))
    )
    got = answers(raw(server, sent), 52)
    assert [json.loads(data)["id"] for status, _, data in got if status == 200] == [*map(str, range(50)), "last"]
    assert got[50][0] == 400


def test_a_request_in_packets_of_one_byte_is_answered(server: Running, expected: list[float]) -> None:
    data = infer(body(ROWS))
    ((status, _, answer),) = answers(raw(server, *(data[at : at + 1] for at in range(len(data)))))
    assert (status, probabilities(answer)) == (200, expected)


def test_a_chunked_body_is_a_body(server: Running, expected: list[float]) -> None:
    data = body(ROWS)
    chunks = (data[at : at + 7] for at in range(0, len(data), 7))
    response = requests.post(server.url + INFER, data=chunks, timeout=10)
    assert probabilities(response.content) == expected


def test_a_client_that_waits_for_leave_gets_it(server: Running, expected: list[float]) -> None:
    data = body(ROWS)
    request = infer(data, b"Expect: 100-continue\r\n")
    connection = raw(server, request[: -len(data)])
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(data)
    assert probabilities(answers(connection)[0][2]) == expected


def test_an_offer_of_another_protocol_is_passed_over(server: Running, expected: list[float]) -> None:
    offer = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"
    data = infer(body(ROWS), offer)
    for parts in ([data + infer(body(ROWS))], [data[:-5], data[-5:] + infer(body(ROWS))]):
        assert [probabilities(answer) for _, _, answer in answers(raw(server, *parts), 2)] == [expected] * 2


def test_head_is_get_without_a_body(server: Running) -> None:
    head = b"HEAD /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
    connection = raw(server, head + b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    first, _, rest = connection.makefile("rb").read().decode().partition("\r\n\r\n")
    second, _, body = rest.partition("\r\n\r\n")
    assert second.startswith("HTTP/1.1 200 OK\r\n")
    length = f"content-length: {len(body)}"
    assert length in first.splitlines()
    assert length in second.splitlines()


def test_an_old_client_is_answered_and_let_go(server: Running) -> None:
    connection = raw(server, b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    text = connection.makefile("rb").read().decode()
    assert text.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\nconnection: close\r\n" in text
    kept = raw(server, b"GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert [headers["connection"] for _, headers, _ in answers(kept, 2)] == ["keep-alive"] * 2


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "malformed_http"),
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400, "malformed_http"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 50_000, 431, "head_too_large"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", 413, "body_too_large"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "unsupported_transfer_encoding",
        ),
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_ends(
    server: Running, data: bytes, status: int, code: str
) -> None:
    connection = raw(server, data)
    ((found, headers, document),) = answers(connection)
    assert (found, headers["connection"], json.loads(document)["code"]) == (status, "close", code)
    assert headers["x-bundle-digest"] == server.digest
    assert connection.recv(1) == b""


def test_a_body_that_is_too_large_is_refused_while_it_is_still_being_sent(server: Running) -> None:
    # A reset instead of an answer would raise here: the client must be able to read why.
    response = requests.post(server.url + INFER, data=b"x" * 2_000_000, timeout=10)
    assert response.status_code == 413
    assert server.metrics()['ml_inference_rejected_total{reason="body_too_large"}'] >= 1


def test_a_client_that_leaves_amid_a_request_is_forgotten(server: Running) -> None:
    for _ in range(5):
        raw(server, infer(body(ROWS))[:-10]).close()
    connection = raw(server, infer(body(ROWS)))
    assert answers(connection)[0][0] == 200
    assert server.metrics()["ml_inference_inflight{}"] == 0


def test_a_request_that_is_still_being_sent_is_not_in_flight(server: Running) -> None:
    """Slow clients would else look like a server that hangs, and take a release back with it."""
    half = [raw(server, infer(body(ROWS))[:size]) for size in (10, 100, -10) for _ in range(5)]
    assert answers(raw(server, infer(body(ROWS))))[0][0] == 200
    assert server.metrics()["ml_inference_connections{}"] >= len(half)
    assert server.metrics()["ml_inference_inflight{}"] == 0
    for connection in half:
        connection.close()


def test_metrics_are_on_the_management_port_with_health(server: Running) -> None:
    assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 404
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert requests.get(server.management + path, timeout=10).status_code == 200
    before = server.metrics()['ml_inference_requests_total{route="infer",code="200"}']
    requests.post(server.url + INFER, data=body(ROWS), timeout=10)
    page = server.metrics()
    assert page['ml_inference_requests_total{route="infer",code="200"}'] == before + 1
    assert page["ml_inference_duration_seconds_count{}"] >= before + 1
    assert page['ml_feature_missing_total{feature="temperature"}'] > 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process cannot be set here")
def test_out_of_descriptors_it_waits_until_there_are_some(bundle: Bundle, expected: list[float]) -> None:
    with servers.running(bundle.path) as server:
        used = int(server.metrics()["process_open_fds"])
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 2, used + 2))
        held = [raw(server, infer(body(ROWS))) for _ in range(10)]
        assert answers(held[0])[0][0] == 200
        for connection in held:
            connection.close()
        assert probabilities(answers(raw(server, infer(body(ROWS))))[0][2]) == expected
        server.process.terminate()
        assert server.process.communicate(timeout=20)[1] == ""


# --- how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_finishes_what_has_begun(bundle: Bundle, expected: list[float], number: int) -> None:
    with servers.running(bundle.path, "--drain-seconds", "30") as server:
        data = infer(body(ROWS))
        begun, idle = raw(server, data[:-10]), raw(server)
        assert answers(raw(server, data))[0][0] == 200
        server.process.send_signal(number)
        assert server.process.stdout.readline() == "draining seconds=30\n"
        assert requests.get(f"{server.management}/v2/health/ready", timeout=10).status_code == 503
        assert requests.get(f"{server.management}/v2/health/live", timeout=10).status_code == 200
        ((status, headers, answer),) = answers(raw(server, data))  # routers that have not let go yet
        assert (status, headers["connection"], probabilities(answer)) == (200, "close", expected)
        server.process.send_signal(number)  # no need to wait for routers
        assert idle.recv(1) == b""
        until_refused(server)
        begun.sendall(data[-10:])
        ((status, headers, answer),) = answers(begun)
        assert (status, headers["connection"], probabilities(answer)) == (200, "close", expected)
        begun.close()
        output, errors = server.process.communicate(timeout=20)
        assert (server.process.returncode, output, errors) == (0, "stopped cut_off=0\n", "")


@pytest.mark.parametrize("uvloop", [True, False])
def test_stopped_under_load_it_answers_until_every_client_was_told_to_go(bundle: Bundle, uvloop: bool) -> None:
    asked = threading.Semaphore(0)

    def ask(port: int) -> bool:
        """Ask over and over on one connection, until told to go elsewhere."""
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while True:
            client.request("POST", INFER, body(ROWS))
            answer = client.getresponse()
            assert len(probabilities(answer.read())) == 2
            asked.release()
            if answer.getheader("connection") == "close":
                return True

    with servers.running(bundle.path, "--drain-seconds", "30", uvloop=uvloop) as server, ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, server.port) for _ in range(8)]
        for _ in range(100):
            asked.acquire()
        server.process.terminate()
        assert all(client.result() for client in clients)
        server.process.terminate()
        output, errors = server.process.communicate(timeout=20)
        assert (server.process.returncode, errors) == (0, "")
        assert output.endswith("stopped cut_off=0\n")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there are no such signals here")
@pytest.mark.parametrize("uvloop", [True, False])
def test_who_has_connected_before_the_port_closes_is_answered(
    bundle: Bundle, expected: list[float], uvloop: bool
) -> None:
    with servers.running(bundle.path, uvloop=uvloop) as server:
        server.process.send_signal(signal.SIGSTOP)  # so that nobody is accepted
        waiting = [raw(server, infer(body(ROWS))) for _ in range(50)]
        server.process.terminate()
        server.process.send_signal(signal.SIGCONT)
        for connection in waiting:
            ((status, _, answer),) = answers(connection)
            assert (status, probabilities(answer)) == (200, expected)
        assert server.process.communicate(timeout=20)[1] == ""
        assert server.process.returncode == 0


def test_a_request_that_never_ends_does_not_hold_the_server_for_ever(bundle: Bundle) -> None:
    with servers.running(bundle.path, "--in-flight-seconds", "0.1") as server:
        begun = raw(server, infer(body(ROWS))[:-10])
        answers(raw(server, infer(body(ROWS))))  # and so the first one was read, too
        server.process.terminate()
        output, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, output.splitlines()[-1]) == (0, "stopped cut_off=1")
        begun.close()


# --- how it does not begin


def test_a_bundle_that_was_changed_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = bundles.write(tmp_path / "store")
    for file in ("model.onnx", "golden.json", "bundle.json", "reference_profile.json"):
        copy = tmp_path / file
        shutil.copytree(original.path, copy)
        data = bytearray((copy / file).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / file).write_bytes(data)
        assert main(["--bundle", str(copy), "--digest", original.digest]) == 2
    (tmp_path / "model.onnx" / "model.onnx").write_bytes(b"")
    assert main(["--bundle", str(tmp_path / "model.onnx")]) == 2
    assert main(["--bundle", str(tmp_path / "nothing")]) == 2
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 6)
    assert "model.onnx/model.onnx: onnxruntime refuses it" in errors
    assert "no such bundle" in errors


def test_a_port_that_is_taken_is_named(server: Running, bundle: Bundle) -> None:
    for taken, ports in ((server.url, (server.port, 0)), (server.management, (0, int(server.management[-5:])))):
        process = servers.start(bundle.path, ports=ports)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
        assert errors.startswith(f"{taken.removeprefix('http://')}: port: is in use; ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "eighty"], "argument --port: invalid port value"),
        (["--port", "70000"], "argument --port: must be between 0 and 65535"),
        (["--drain-seconds", "nan"], "argument --drain-seconds: must be a number of seconds"),
        (["--threads", "0"], "argument --threads: must be at least 1"),
        (["--what"], "unrecognized arguments: --what"),
        (["--host", "192.0.2.1"], "192.0.2.1:8080: port: cannot be opened"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(["--bundle", str(bundle.path), *arguments]) == 2
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert reason in errors


def test_nothing_is_written_anywhere_and_no_telemetry_begins(bundle: Bundle, tmp_path: Path) -> None:
    # onnxruntime makes a device id in the home directory when it is imported with telemetry on.
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    with servers.running(bundle.path, environment=environment) as server:
        assert requests.post(server.url + INFER, data=body(ROWS), timeout=10).status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_serving_needs_nothing_of_the_pipelines(bundle: Bundle) -> None:
    script = "import sys, serving.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [servers.python(), "-c", script], cwd=servers.ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"pipelines", "kedro", "mlflow", "pandas", "torch", "onnx", "yaml", "requests", "release"}
    assert {"serving", "contracts", "onnxruntime"} <= loaded
