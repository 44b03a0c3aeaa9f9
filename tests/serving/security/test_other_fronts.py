"""The same guard behind gRPC and behind an ASGI server: same keys, same refusals, and nothing given away either."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from contracts.bundle import Bundle
from tests import bundles, servers
from tests.serving.security.asking import eventually
from tests.serving.security.canaries import CARD, EMAIL, STRANGER, found
from tests.serving.security.issuer import AUDIENCE, ISSUER, jwk, jwks, token

grpc = pytest.importorskip("grpc")
KEY = "slipway_" + os.urandom(20).hex()
FORGED = token("stranger", sub=EMAIL).decode()
CANARIES = {"e-mail": EMAIL, "card": CARD, "stranger's key": STRANGER, "key": KEY, "token": FORGED.rpartition(".")[2]}
BUNDLE_TENSORS = {"station": "BYTES", "temperature": "FP32", "hour": "INT64", "holiday": "BOOL"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("credentials")
    line = {"id": "one", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "scopes": ["predict"]}
    (folder / "keys.json").write_text(json.dumps({"format": 1, "keys": [line]}))
    (folder / "jwks.json").write_bytes(jwks(jwk()))
    return folder


class Remote:
    """A client that writes messages by hand."""

    def __init__(self, address: str) -> None:
        from serving.grpc import messages

        self.kinds, self.channel = messages.classes(), grpc.insecure_channel(address)

    def call(self, method: str, message: object, answer: str, *metadata: tuple[str, str]) -> tuple[str, str]:
        """Status and everything else that came back."""
        call = self.channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(self.kinds, answer).FromString,
        )
        try:
            reply, state = call.with_call(message, metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            return error.code().name, f"{error.details()} {error.trailing_metadata()}"
        return "OK", f"{reply} {state.trailing_metadata()}"

    def raw(self, method: str, data: bytes) -> tuple[str, str]:
        """What comes back for bytes that are no message."""
        call = self.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            return "OK", str(call(data, timeout=10))
        except grpc.RpcError as error:
            return error.code().name, f"{error.details()} {error.trailing_metadata()}"

    def infer(
        self, *metadata: tuple[str, str], model: str = "rainy-days", names: dict[str, str] | None = None
    ) -> tuple[str, str]:
        message = self.kinds.ModelInferRequest(model_name=model)
        contents = {
            "station": {"bytes_contents": [EMAIL.encode()]},
            "temperature": {"fp32_contents": [1.5]},
            "hour": {"int64_contents": [3]},
            "holiday": {"bool_contents": [True]},
        }
        for name, datatype in BUNDLE_TENSORS.items():
            sent = (names or {}).get(name, name)
            message.inputs.add(name=sent, datatype=datatype, shape=[1], contents=contents[name])
        return self.call("ModelInfer", message, "ModelInferResponse", *metadata)


def test_grpc_asks_the_same_guard_and_gives_nothing_away(bundle: Bundle, files: Path, environments) -> None:
    flags = [f"--api-keys={files / 'keys.json'}", f"--jwt-issuer={ISSUER}", f"--jwt-audience={AUDIENCE}"]
    flags += [f"--jwt-jwks={files / 'jwks.json'}", "--grpc-port=0"]
    process = servers.start(bundle.path, *flags, interpreter=environments["train"])
    try:
        said = process.stdout.readline()
        assert said.startswith("ready "), said + process.stderr.read()
        remote = Remote(dict(pair.split("=", 1) for pair in said.split()[1:])["grpc"])
        empty = remote.kinds.ServerMetadataRequest()
        key, good = ("x-api-key", KEY), ("authorization", f"Bearer {token().decode()}")
        answers = {
            "live": remote.call("ServerLive", empty, "ServerLiveResponse"),
            "nothing": remote.infer(),
            "key": remote.infer(key),
            "bearer key": remote.infer(("authorization", f"Bearer {KEY}")),
            "token": remote.infer(good),
            "stranger": remote.infer(("x-api-key", STRANGER)),
            "forged": remote.infer(("authorization", f"Bearer {FORGED}")),
            "basic": remote.infer(("authorization", f"Basic {STRANGER}")),
            "metadata by key": remote.call("ServerMetadata", empty, "ServerMetadataResponse", key),
            "metadata by token": remote.call("ServerMetadata", empty, "ServerMetadataResponse", good),
            "another model": remote.infer(key, model=EMAIL),
            "another column": remote.infer(key, names={"station": EMAIL}),
            "another type": remote.infer(key, names={"station": "temperature", "temperature": "station"}),
            "no message": remote.raw("/inference.GRPCInferenceService/ModelInfer", EMAIL.encode()),
            "broken text": remote.raw(
                "/inference.GRPCInferenceService/ModelMetadata", b"\x0a\x30" + EMAIL.encode() + b"\xff" * 20
            ),
            "too large": remote.raw("/inference.GRPCInferenceService/ModelInfer", CARD.encode() * 200_000),
            "no method": remote.raw(f"/inference.GRPCInferenceService/{CARD}", b""),
            "more metadata": remote.infer(key, ("x-canary", CARD), ("user-agent", EMAIL)),
        }
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    expected = {"nothing": "UNAUTHENTICATED", "stranger": "UNAUTHENTICATED", "forged": "UNAUTHENTICATED"}
    expected |= {"basic": "UNAUTHENTICATED", "metadata by key": "PERMISSION_DENIED", "another model": "NOT_FOUND"}
    expected |= {"another column": "INVALID_ARGUMENT", "another type": "INVALID_ARGUMENT"}
    expected |= {"too large": "RESOURCE_EXHAUSTED", "no method": "UNIMPLEMENTED"}
    statuses = {name: status for name, (status, _) in answers.items() if status != "OK"}
    assert {statuses.pop("no message"), statuses.pop("broken text")} <= {"INVALID_ARGUMENT", "UNKNOWN"}
    assert statuses == expected
    print(err)
    texts = {name: text.encode() for name, (_, text) in answers.items()}
    assert list(found({**texts, "standard output": out.encode(), "standard error": err.encode()}, CANARIES)) == []


def test_an_asgi_server_has_the_same_guard(bundle: Bundle, files: Path) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"SLIPWAY_BUNDLE": str(bundle.path), "SLIPWAY_API_KEYS": str(files / "keys.json")}
    command = [sys.executable, "-m", "uvicorn", "serving.asgi:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=servers.ROOT, env={**os.environ, **settings}, stdout=-1, stderr=-1)
    url = f"http://127.0.0.1:{port}"
    rows = servers.body({"station": [EMAIL], "temperature": [1.5], "hour": [3], "holiday": [True]})

    def live() -> bool:
        try:
            return requests.get(f"{url}/v2/health/live", timeout=1).ok
        except requests.ConnectionError:
            return False

    try:
        assert eventually(live, 30)
        tries = [
            {},
            {"X-Api-Key": STRANGER},
            {"X-Api-Key": KEY},
            {"Authorization": f"bearer {KEY}"},
            {"X-Api-Key": EMAIL},
        ]
        answers = [
            requests.post(f"{url}/v2/models/rainy-days/infer", rows, headers=headers, timeout=10) for headers in tries
        ]
        answers.append(requests.get(f"{url}/v2", headers={"X-Api-Key": KEY}, timeout=10))
        answers.append(requests.get(f"{url}/{EMAIL}?{CARD}", headers={"X-Api-Key": KEY}, timeout=10))
        assert [answer.status_code for answer in answers] == [401, 401, 200, 200, 401, 403, 404]
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    texts = {str(number): str(answer.headers).encode() + answer.content for number, answer in enumerate(answers)}
    assert list(found({**texts, "standard output": out, "standard error": err}, CANARIES)) == []


def test_an_asgi_server_takes_only_signed_bundles_where_a_key_is_set(bundle: Bundle, tmp_path: Path) -> None:
    from contracts import signature

    pytest.importorskip("uvicorn")
    private, public = tmp_path / "ours.pem", tmp_path / "ours.pub"
    assert signature.main(["new-key", "--private", str(private), "--public", str(public)]) == 0
    settings = {"SLIPWAY_BUNDLE": str(bundle.path), "SLIPWAY_VERIFY_KEY": str(public)}
    command = [sys.executable, "-m", "uvicorn", "serving.asgi:app", "--port", "0"]
    done = subprocess.Popen(command, cwd=servers.ROOT, env={**os.environ, **settings}, stdout=-1, stderr=-1)
    try:
        _, err = done.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        done.kill()
        done.communicate()
        pytest.fail("it serves a bundle that nobody signed")
    assert done.returncode != 0
    assert b"only signed bundles are taken" in err
