"""The guard where it stands: a real server process, asked over HTTP."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from contracts import signature
from contracts.bundle import Bundle
from serving.security.tokens import LEEWAY_SECONDS
from tests import bundles, servers
from tests.servers import Running
from tests.serving.security.asking import eventually
from tests.serving.security.issuer import AUDIENCE, ISSUER, Answering, jwk, jwks, serving, token

PREDICTOR, READER, NEXT = "slipway_predictor", "slipway_reader", "slipway_next"
MODEL = "/v2/models/rainy-days"
ROWS = {"station": ["north"], "temperature": [1.5], "hour": [3], "holiday": [True]}
OPEN = ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", "/docs", "/ping")
METADATA = ("/v2", MODEL, "/openapi.json")


def write(path: Path, **keys: list[str]) -> None:
    lines = [
        {"id": key, "sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": scopes}
        for key, scopes in keys.items()
    ]
    path.with_suffix(".new").write_text(json.dumps({"format": 1, "keys": lines}))
    path.with_suffix(".new").replace(path)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def key_server() -> Iterator[Answering]:
    with serving(jwks(jwk("one", "EdDSA"))) as server:
        yield server


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write(path, **{PREDICTOR: ["predict"], READER: ["metadata"]})
    return path


@pytest.fixture(scope="module")
def flags(key_file: Path, key_server: Answering) -> list[str]:
    issuer = [f"--jwt-issuer={ISSUER}", f"--jwt-audience={AUDIENCE}", f"--jwt-jwks={key_server.url}"]
    return [f"--api-keys={key_file}", *issuer]


@pytest.fixture(scope="module")
def server(bundle: Bundle, flags: list[str]) -> Iterator[Running]:
    with servers.running(bundle.path, *flags) as running:
        yield running


def predict(server: Running, headers: dict[str, str], session: requests.Session | None = None) -> requests.Response:
    asked = (session or requests).post(
        server.url + f"{MODEL}/infer", data=servers.body(ROWS), headers=headers, timeout=10
    )
    assert asked.status_code != 200 or len(asked.json()["outputs"][0]["data"]) == 1
    return asked


def signed(kid: str = "one", **other: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(kid, 'EdDSA', **other).decode()}"}


@pytest.mark.parametrize("path", OPEN)
def test_health_and_the_page_are_open(server: Running, path: str) -> None:
    assert requests.get(server.url + path, timeout=10).status_code == 200


@pytest.mark.parametrize("path", METADATA)
def test_metadata_ask_for_their_scope(server: Running, path: str) -> None:
    statuses = [
        requests.get(server.url + path, headers={"X-Api-Key": key} if key else {}, timeout=10).status_code
        for key in (None, "slipway_stranger", PREDICTOR, READER)
    ]
    assert statuses == [401, 401, 403, 200]


def test_predictions_ask_for_theirs(server: Running) -> None:
    for make in (lambda key: {"X-Api-Key": key}, lambda key: {"Authorization": f"Bearer {key}"}):
        assert [predict(server, make(key)).status_code for key in (PREDICTOR, READER, "x")] == [200, 403, 401]
    assert predict(server, {}).status_code == 401
    assert predict(server, signed()).status_code == 200
    assert predict(server, signed(scope="metadata")).status_code == 403
    assert predict(server, signed(exp=1)).status_code == 401
    for path in ("/invocations", f"{MODEL}/versions/1/infer"):
        assert requests.post(server.url + path, data=servers.body(ROWS), timeout=10).status_code == 401


def test_a_refusal_is_a_problem_with_a_challenge(server: Running) -> None:
    refused = predict(server, {"X-Api-Key": "slipway_stranger"})
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="models", error="invalid_token"')
    assert {"X-Bundle-Digest", "X-Request-Id"} <= refused.headers.keys()
    assert (refused.json()["status"], refused.json()["code"]) == (401, "invalid_credential")
    assert requests.head(server.url + "/v2", timeout=10).status_code == 401


def test_requests_on_one_connection_are_checked_one_by_one(server: Running) -> None:
    from tests.serving.test_server import answers, raw

    keys = (READER, "x", PREDICTOR, READER)
    sent = "".join(f"GET /v2 HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n" for key in keys)
    assert [status for status, _, _ in answers(raw(server, sent.encode()), 4)] == [200, 401, 403, 200]


def test_a_stranger_s_body_is_not_looked_at(server: Running) -> None:
    asked = requests.post(server.url + f"{MODEL}/infer", data=b"{not JSON", timeout=10)
    assert asked.status_code == 401


def test_a_header_that_comes_twice_is_no_credential(server: Running) -> None:
    from tests.serving.test_server import answers, raw

    twice = f"GET /v2 HTTP/1.1\r\nHost: a\r\nX-Api-Key: {READER}\r\nX-Api-Key: {READER}\r\n\r\n"
    assert answers(raw(server, twice.encode()))[0][0] == 401


def test_the_management_port_asks_for_nothing_and_counts_refusals_by_reason(server: Running) -> None:
    before = server.metrics()
    predict(server, {})
    predict(server, {"X-Api-Key": READER})
    after = server.metrics()
    for reason in ("unauthorized", "forbidden"):
        name = f'ml_inference_rejected_total{{reason="{reason}"}}'
        assert after[name] == before.get(name, 0) + 1


@pytest.mark.slow  # the least time between two readings of the keys is not ours to change in a process
def test_a_server_of_keys_that_hangs_slows_nobody(server: Running, key_server: Answering) -> None:
    known = signed(jti="remembered")
    assert predict(server, known).status_code == 200
    good, key_server.answer = key_server.answer, lambda handler: time.sleep(3)
    try:
        asked = key_server.asked
        assert eventually(lambda: predict(server, signed("two")).status_code == 503 and key_server.asked > asked, 20)
        started = time.perf_counter()
        statuses = [
            predict(server, headers).status_code for headers in (known, {"X-Api-Key": PREDICTOR}, signed("two")) * 10
        ]
        assert statuses == [200, 200, 503] * 10
        assert time.perf_counter() - started < 2
    finally:
        key_server.answer = good
    refused = predict(server, signed("two"))
    assert (refused.json()["code"], int(refused.headers["Retry-After"]) >= 1) == ("keys_unavailable", True)


@pytest.mark.parametrize("more", [(), ("--workers=2",)], ids=["one process", "two workers"])
def test_keys_are_rotated_under_a_running_server(bundle: Bundle, tmp_path: Path, more: tuple[str, ...]) -> None:
    path = tmp_path / "keys.json"
    write(path, **{PREDICTOR: ["predict"]})

    def statuses(key: str) -> set[int]:  # a connection each, so that every worker is asked
        return {predict(server, {"X-Api-Key": key}).status_code for _ in range(20)}

    with servers.running(bundle.path, f"--api-keys={path}", *more) as server:
        assert (statuses(PREDICTOR), statuses(NEXT)) == ({200}, {401})
        write(path, **{PREDICTOR: ["predict"], NEXT: ["predict"]})
        assert eventually(lambda: statuses(NEXT) == {200})
        assert statuses(PREDICTOR) == {200}
        path.write_text("{")
        said = iter(server.process.stderr.readline, "")
        for _ in range(2 if more else 1):  # a line of every process
            assert next(line for line in said if "stay in force" in line)
        assert (statuses(PREDICTOR), statuses(NEXT)) == ({200}, {200})
        write(path, **{NEXT: ["predict"]})
        assert eventually(lambda: statuses(PREDICTOR) == {401})
        assert statuses(NEXT) == {200}


def test_a_verdict_that_is_remembered_with_a_head_ends_with_the_key(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, **{PREDICTOR: ["predict"], NEXT: ["predict"]})

    with servers.running(bundle.path, f"--api-keys={path}") as server, requests.Session() as kept:

        def status() -> int:  # the same bytes on the same connection
            return predict(server, {"X-Api-Key": PREDICTOR}, kept).status_code

        assert [status() for _ in range(3)] == [200] * 3
        write(path, **{NEXT: ["predict"]})
        assert eventually(lambda: status() == 401)
        assert predict(server, {"X-Api-Key": NEXT}, kept).status_code == 200
        write(path, **{PREDICTOR: ["metadata"]})
        assert eventually(lambda: status() == 403)


def test_a_key_with_a_rate_and_a_token_are_looked_at_each_time(
    bundle: Bundle, tmp_path: Path, key_server: Answering
) -> None:
    path = tmp_path / "keys.json"
    digest = hashlib.sha256(PREDICTOR.encode()).hexdigest()
    limited = {"id": "limited", "sha256": digest, "scopes": ["predict"], "requests_per_second": 2}
    path.write_text(json.dumps({"format": 1, "keys": [limited]}))
    issuer = [f"--jwt-issuer={ISSUER}", f"--jwt-audience={AUDIENCE}", f"--jwt-jwks={key_server.url}"]
    with servers.running(bundle.path, f"--api-keys={path}", *issuer) as server, requests.Session() as kept:
        statuses = [predict(server, {"X-Api-Key": PREDICTOR}, kept).status_code for _ in range(5)]
        assert (statuses[:2], set(statuses[3:])) == ([200, 200], {429})
        short = signed(exp=time.time() + 2 - LEEWAY_SECONDS)
        assert predict(server, short, kept).status_code == 200
        assert eventually(lambda: predict(server, short, kept).status_code == 401)


def test_without_flags_everybody_may_ask_and_nothing_is_loaded_for_it(bundle: Bundle) -> None:
    with servers.running(bundle.path) as server:
        assert predict(server, {"X-Api-Key": "anything"}).status_code == 200
        maps = Path(f"/proc/{server.process.pid}/maps")
        if maps.exists():
            assert "cryptography" not in maps.read_text()


def refused(bundle: Bundle, *more: str) -> str:
    """The one line with which the server does not start."""
    process = servers.start(bundle.path, *more)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert len(error.splitlines()) == 1
    return error


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--api-keys=nowhere.yml"], "nowhere.yml: cannot be read"),
        ([f"--jwt-issuer={ISSUER}"], "belong together"),
        (
            [f"--jwt-issuer={ISSUER}", "--jwt-audience=a", "--jwt-jwks=http://issuer.test/"],
            "must be a file or an https URL",
        ),
        (
            [f"--jwt-issuer={ISSUER}", "--jwt-audience=a", "--jwt-jwks=x", "--jwt-algorithms=HS256"],
            "HS256: is not taken",
        ),
        (["--verify-key=nowhere.pem"], "nowhere.pem"),
    ],
)
def test_flags_that_protect_nothing_are_refused_before_the_port_opens(
    bundle: Bundle, more: list[str], said: str
) -> None:
    assert said in refused(bundle, *more)


def test_only_a_bundle_signed_by_us_is_served(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "store")
    pems = [(tmp_path / f"{name}.pem", tmp_path / f"{name}.pub") for name in ("ours", "theirs")]
    for private, public in pems:
        assert signature.main(["new-key", "--private", str(private), "--public", str(public)]) == 0
    (ours, our_public), (theirs, _) = pems
    flag = f"--verify-key={our_public}"
    assert "only signed bundles are taken" in refused(bundle, flag)
    signature.sign(bundle.path, theirs.read_bytes())
    assert "is not this bundle's by key" in refused(bundle, flag)
    assert "PRIVATE KEY is not a public key" in refused(bundle, f"--verify-key={ours}")
    signature.sign(bundle.path, ours.read_bytes())
    for more in ((), ("--workers=2",)):
        with servers.running(bundle.path, flag, *more) as server:
            assert predict(server, {}).status_code == 200
    (bundle.path / "golden.json").write_bytes((bundle.path / "golden.json").read_bytes() + b" ")
    assert "is not this bundle's by key" in refused(bundle, flag)


def test_a_key_from_the_command_opens_the_server(bundle: Bundle, tmp_path: Path) -> None:
    command = [servers.python(), "-m", "serving.security.keys", "new", "--id", "new", "--scope", "predict"]
    made = subprocess.run(command, cwd=servers.ROOT, check=True, capture_output=True, text=True, timeout=60)
    key, line = (text.partition(": ")[2].strip() for text in made.stdout.splitlines())
    (tmp_path / "keys.yml").write_text(f"format: 1\nkeys:\n  {line}\n")
    with servers.running(bundle.path, f"--api-keys={tmp_path / 'keys.yml'}") as server:
        assert predict(server, {"X-Api-Key": key}).status_code == 200
