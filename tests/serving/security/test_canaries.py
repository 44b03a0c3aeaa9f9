"""What clients send stays with us: marked values go through every endpoint and every way to fail, and turn up nowhere."""

import hashlib
import http.client
import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from contracts.bundle import Bundle
from tests import bundles, servers
from tests.serving.security.canaries import CARD, EMAIL, NUMBER, STRANGER, WHOLE, found
from tests.serving.security.issuer import AUDIENCE, ISSUER, jwk, jwks, token

KEY = "slipway_" + os.urandom(20).hex()
GOOD = token(sub=EMAIL, card=CARD).decode()
FORGED = token("stranger", sub=EMAIL).decode()
EXPIRED = token(exp=1, sub=EMAIL).decode()
KEY_ID, OTHER_ID = "tenant-zebra-key", "tenant-okapi-key"

CANARIES = {
    "e-mail": EMAIL,
    "card": CARD,
    "number": str(NUMBER),
    "whole number": str(WHOLE),
    "stranger's key": STRANGER,
    "key": KEY,
    "good token": GOOD.rpartition(".")[2],
    "forged token": FORGED.rpartition(".")[2],
    "expired token": EXPIRED.rpartition(".")[2],
    "claims": GOOD.split(".")[1],
    "key id": KEY_ID,
    "other key id": OTHER_ID,
}
MODEL = "/v2/models/rainy-days"
PATHS = (
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    MODEL,
    f"{MODEL}/ready",
    f"{MODEL}/infer",
    f"{MODEL}/versions/1/infer",
    "/invocations",
    "/openapi.json",
    "/docs",
    "/ping",
    "/health",
    "/version",
    "/metrics",
    "/",
    f"/v2/models/{EMAIL}",
    f"/v2/models/{CARD}/infer",
    f"{MODEL}/versions/{EMAIL}/infer",
    f"/{EMAIL}/{STRANGER}",
    "/v2/health/live/",
    f"/v2%2fmodels/{EMAIL.replace('@', '%40')}",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
CREDENTIALS = {
    "none": {},
    "key": {"X-Api-Key": KEY},
    "bearer key": {"Authorization": f"Bearer {KEY}"},
    "token": {"Authorization": f"Bearer {GOOD}"},
    "stranger": {"X-Api-Key": STRANGER},
    "forged": {"Authorization": f"Bearer {FORGED}"},
    "expired": {"Authorization": f"Bearer {EXPIRED}"},
    "basic": {"Authorization": f"Basic {STRANGER}"},
    "both": {"Authorization": f"Bearer {STRANGER}", "X-Api-Key": EMAIL},
}
ROWS = {"station": [EMAIL, CARD], "temperature": [NUMBER, 1.5], "hour": [WHOLE, 4], "holiday": [True, False]}


def infer(**changes: object) -> bytes:
    document = json.loads(servers.body(ROWS))
    return json.dumps({**document, **changes}).encode()


def column(which: str, **changes: object) -> bytes:
    document = json.loads(servers.body(ROWS))
    document["inputs"] = [{**each, **(changes if each["name"] == which else {})} for each in document["inputs"]]
    return json.dumps(document).encode()


def binary(data: bytes, **parameters: object) -> tuple[bytes, dict[str, str]]:
    head = json.loads(servers.body(ROWS))
    station = {
        "name": "station",
        "datatype": "BYTES",
        "shape": [2],
        "parameters": {"binary_data_size": len(data), **parameters},
    }
    head["inputs"][0] = station
    text = json.dumps(head).encode()
    return text + data, {"Inference-Header-Content-Length": str(len(text))}


def as_bytes(*values: str) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value.encode() for value in values)


frame = {"columns": [*ROWS], "data": [list(row) for row in zip(*ROWS.values(), strict=True)]}
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "right": (infer(), {}),
    "not JSON": (f'{{"inputs": [{EMAIL}]}}'.encode(), {}),
    "cut off": (infer()[:-20], {}),
    "text": (EMAIL.encode(), {}),
    "JSON text": (json.dumps(EMAIL).encode(), {}),
    "number": (str(WHOLE).encode(), {}),
    "list": (json.dumps([EMAIL]).encode(), {}),
    "invalid UTF-8": (infer()[:40] + b"\xff" + EMAIL.encode(), {}),
    "a member of its own": (infer(**{EMAIL: CARD}), {}),
    "parameters": (infer(parameters={EMAIL: CARD}), {}),
    "parameters of another type": (infer(parameters=EMAIL), {}),
    "id of another type": (infer(id=[EMAIL]), {}),
    "output that is not there": (infer(outputs=[{"name": EMAIL}]), {}),
    "output of another type": (infer(outputs=EMAIL), {}),
    "text for a number": (column("temperature", data=[EMAIL, CARD]), {}),
    "text for a whole number": (column("hour", data=[EMAIL, 1]), {}),
    "text for a truth": (column("holiday", data=[EMAIL, True]), {}),
    "number for a text": (column("station", data=[WHOLE, NUMBER]), {}),
    "fraction for a whole number": (column("hour", data=[NUMBER, 1]), {}),
    "too large": (column("temperature", data=[1e308, NUMBER]), {}),
    "too few": (column("station", data=[EMAIL]), {}),
    "deep": (column("station", data=[[[EMAIL]], [[CARD]]]), {}),
    "another datatype": (column("station", datatype=EMAIL), {}),
    "shape of text": (column("station", shape=[EMAIL]), {}),
    "shape of another size": (column("station", shape=[WHOLE]), {}),
    "unknown column": (column("station", name=EMAIL), {}),
    "column without a name": (column("station", name=[EMAIL]), {}),
    "no such column and one too many": (
        infer(inputs=[{"name": CARD, "datatype": "BYTES", "shape": [1], "data": [EMAIL]}]),
        {},
    ),
    "missing": (column("station", data=[None, EMAIL]), {}),
    "binary": binary(as_bytes(EMAIL, CARD)),
    "binary cut off": binary(as_bytes(EMAIL, CARD)[:-3]),
    "binary of another length": binary(as_bytes(EMAIL, CARD), binary_data_size=7),
    "binary length of text": binary(as_bytes(EMAIL, CARD), binary_data_size=EMAIL),
    "binary and wrong head": (infer(), {"Inference-Header-Content-Length": EMAIL}),
    "compressed": (infer(), {"Content-Encoding": EMAIL}),
    "split": (json.dumps({"dataframe_split": frame}).encode(), {}),
    "split of unknown": (json.dumps({"dataframe_split": {"columns": [EMAIL], "data": [[CARD]]}}).encode(), {}),
    "split, ragged": (json.dumps({"dataframe_split": {**frame, "data": [[EMAIL]]}}).encode(), {}),
    "records": (json.dumps({"dataframe_records": [dict.fromkeys(ROWS, EMAIL)]}).encode(), {}),
    "records of unknown": (json.dumps({"dataframe_records": [{EMAIL: CARD}]}).encode(), {}),
    "inputs": (json.dumps({"inputs": {**ROWS, EMAIL: [CARD]}}).encode(), {}),
    "instances": (json.dumps({"instances": [EMAIL]}).encode(), {}),
    "a format of its own": (json.dumps({EMAIL: CARD}).encode(), {}),
    "CSV": (f"station,temperature,hour,holiday\n{EMAIL},{NUMBER},3,true\n".encode(), {"Content-Type": "text/csv"}),
    "CSV, wrong": (
        f"station,temperature,hour,holiday\nx,{EMAIL},{NUMBER},{CARD}\n".encode(),
        {"Content-Type": "text/csv"},
    ),
    "CSV of unknown": (f"{EMAIL}\n{CARD}\n".encode(), {"Content-Type": "text/csv"}),
    "CSV, quoted": (f'station,"{EMAIL}\n'.encode(), {"Content-Type": "text/csv"}),
    "another type": (infer(), {"Content-Type": f"text/{EMAIL}"}),
    "charset": (infer(), {"Content-Type": f"application/json; charset={CARD}"}),
}
HEADERS = {
    "X-Request-Id": f"<{EMAIL}>",
    "User-Agent": EMAIL,
    "Cookie": f"card={CARD}",
    "Referer": f"https://x/{EMAIL}",
    "traceparent": CARD,
}
RAW = [
    f"{EMAIL} / HTTP/1.1\r\nHost: a\r\n\r\n",
    f"GET {EMAIL} HTTP/1.1\r\nHost: a\r\n\r\n",
    f"GET /{EMAIL} {CARD}\r\n\r\n",
    f"GET / HTTP/{CARD}\r\n\r\n",
    f"GET /v2 HTTP/1.1\r\n{EMAIL}: {CARD}\r\n\r\n",
    f"GET /v2 HTTP/1.1\r\nHost: a\r\nX Y: {CARD}\r\n\r\n",
    f"GET /v2 HTTP/1.1\r\nHost: {EMAIL}\r\nHost: {CARD}\r\n\r\n",
    f"POST {MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {EMAIL}\r\n\r\n",
    f"POST {MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {WHOLE}\r\n\r\n",
    f"POST {MODEL}/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {EMAIL}\r\n\r\n",
    f"POST {MODEL}/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{EMAIL}\r\n",
    f"POST {MODEL}/infer HTTP/1.1\r\nHost: a\r\nExpect: {EMAIL}\r\nContent-Length: 3\r\n\r\n",
    f"GET /v2 HTTP/1.1\r\nHost: a\r\nUpgrade: {EMAIL}\r\nConnection: Upgrade\r\n\r\n",
    f"GET /v2 HTTP/1.1\r\nHost: a\r\nX-Long: {EMAIL * 2000}\r\n\r\n",
    f"CONNECT {EMAIL}:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    f"\x16\x03\x01{EMAIL}",
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("credentials")
    lines = [
        {"id": KEY_ID, "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "scopes": ["predict", "metadata"]},
        {"id": OTHER_ID, "sha256": hashlib.sha256(b"slipway_other").hexdigest(), "scopes": ["predict"]},
    ]
    (folder / "keys.json").write_text(json.dumps({"format": 1, "keys": lines}))
    (folder / "jwks.json").write_bytes(jwks(jwk()))
    issuer = [f"--jwt-issuer={ISSUER}", f"--jwt-audience={AUDIENCE}", f"--jwt-jwks={folder / 'jwks.json'}"]
    return [f"--api-keys={folder / 'keys.json'}", *issuer]


def asked(port: int) -> Iterator[tuple[str, int, bytes]]:
    """Every request there is: its name, and status and text of the answer, heads included."""
    for credential, headers in CREDENTIALS.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        requests = [
            (method, path, b"" if method in ("GET", "HEAD") else infer(), {}) for method in METHODS for path in PATHS
        ]
        requests += [("GET", f"{path}?key={STRANGER}&mail={EMAIL}", b"", {}) for path in PATHS]
        requests += [
            ("POST", path, body, more) for path in (f"{MODEL}/infer", "/invocations") for body, more in BODIES.values()
        ]
        for method, path, body, more in requests:
            connection.request(
                method, path, body or None, {"Content-Type": "application/json", **HEADERS, **headers, **more}
            )
            response = connection.getresponse()
            text = str(response.headers).encode() + response.read()
            yield f"{credential} {method} {path} {body[:60]!r}", response.status, text
        connection.close()
    for request in RAW:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(request.encode("latin-1"))
            with suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
            text = b""
            with suppress(OSError):
                while part := raw.recv(65536):
                    text += part
            yield f"raw {request[:60]!r}", int(text.split()[1]) if text else 0, text


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("other"), shift=0.5)


@pytest.mark.parametrize("more", [(), ("--workers=2", "--shadow")], ids=["one process", "two workers and a shadow"])
def test_nothing_that_a_client_sent_turns_up_anywhere(
    bundle: Bundle, other: Bundle, flags: list[str], more: tuple[str, ...]
) -> None:
    process = servers.start(bundle.path, *flags, *more, *([other.path] if "--shadow" in more else []))
    try:
        said = process.stdout.readline()
        assert said.startswith("ready "), said + process.stderr.read()
        urls = dict(pair.split("=", 1) for pair in said.split()[1:])
        statuses: dict[int, int] = {}
        texts: dict[str, bytes] = {}
        for name, status, text in asked(int(urls["url"].rpartition(":")[2])):
            statuses[status] = statuses.get(status, 0) + 1
            texts[name] = text
        for path in ("/metrics", f"/{EMAIL}", "/v2/health/ready"):
            request = urllib.request.Request(
                urls["management"] + path, headers={"User-Agent": EMAIL, "X-Api-Key": STRANGER}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    texts[f"management {path}"] = answer.read()
            except urllib.error.HTTPError as error:
                texts[f"management {path}"] = error.read()
    finally:
        process.terminate()
        output = process.communicate(timeout=30)
    texts["standard output"], texts["standard error"] = said.encode() + output[0].encode(), output[1].encode()
    assert list(found(texts, CANARIES)) == []
    # The test has been where it wanted to be: there were right answers, refusals of each kind, and no failure of ours.
    assert {200, 400, 401, 404, 405} <= statuses.keys()
    assert statuses.keys() <= {0, 200, 400, 401, 404, 405, 408, 413, 415, 417, 422, 431, 501, 505}
    assert sum(statuses.values()) > 2000
    assert b"ml_feature_unseen_category_total" in texts["management /metrics"]


def test_the_search_finds_what_is_there() -> None:
    leaks = {
        "plain": f"row 1: {EMAIL} is no number",
        "in JSON": json.dumps({"error": EMAIL}),
        "in part": f"…{EMAIL[-12:]}",
        "upper case": CARD + EMAIL.upper(),
        "hashed": hashlib.sha256(KEY.encode()).hexdigest(),
        "claims": GOOD,
        "number": msgspec.json.encode({"value": NUMBER}).decode(),
    }
    assert {
        line.partition(":")[0] for line in found({name: text.encode() for name, text in leaks.items()}, CANARIES)
    } == {*leaks}
    assert list(found({"nothing": b"row 1 is not a number"}, CANARIES)) == []


def test_a_server_that_cannot_start_says_no_more(bundle: Bundle, tmp_path) -> None:
    (tmp_path / "keys.yml").write_text(f"format: 1\nkeys:\n  - {{id: x, sha256: {KEY}, scopes: [{STRANGER}]}}\n")
    command = [
        servers.python(),
        "-m",
        "serving",
        "--bundle",
        bundle.path,
        "--api-keys",
        tmp_path / "keys.yml",
        "--port",
        "0",
    ]
    done = subprocess.run([*command, "--management-port", "0"], cwd=servers.ROOT, capture_output=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert b"see docs/security.md" in done.stderr
    assert list(found({"standard output": done.stdout, "standard error": done.stderr}, CANARIES)) == []
