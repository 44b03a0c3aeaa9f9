"""The issuer's server of keys, as it is in life: it rotates, goes away, is slow, talks nonsense. Requests never wait for it."""

import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from contracts.errors import InputError
from serving.security import jwks as key_sets
from serving.security.guard import Guard
from serving.security.tokens import Tokens
from tests.serving.security.asking import ask, bearer, eventually, header
from tests.serving.security.issuer import AUDIENCE, ISSUER, jwk, jwks, serving, token

ALLOWED = frozenset({"EdDSA"})
MINIMUM = 0.1  # seconds between two readings, in these tests
AT_ONCE = 0.3  # seconds; a request that waited for the server of keys would take longer in these tests


def key(kid):
    return jwk(kid, "EdDSA")


def signed(kid, **other):
    return token(kid, "EdDSA", **other)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(key_sets, "MINIMUM_SECONDS", MINIMUM)
    monkeypatch.setattr(key_sets, "TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def server():
    with serving(jwks(key("one"))) as server:
        yield server


@pytest.fixture
def guards():
    made = []

    def guard(url: str) -> Guard:
        made.append(Guard(tokens=Tokens(ISSUER, AUDIENCE, url, ALLOWED)))
        return made[-1]

    yield guard
    for each in made:
        each.close()


def status_at_once(guard: Guard, credential: bytes) -> int:
    started = time.perf_counter()
    status = bearer(guard, credential)[0]
    assert time.perf_counter() - started < AT_ONCE
    return status


def may_be_read_again(guard: Guard) -> None:
    """Wait out the least time between two readings."""
    assert eventually(lambda: time.monotonic() > guard._tokens._key_set._due)


def test_the_first_request_finds_the_keys(guards, server):
    assert bearer(guards(server.url), signed("one"))[0] == 200
    assert server.asked == 1


def test_a_new_key_is_fetched_when_a_token_names_it(guards, server):
    guard = guards(server.url)
    server.answer = jwks(key("one"), key("two"))
    may_be_read_again(guard)
    problem = ask(guard, authorization=b"Bearer " + signed("two"))
    assert (problem.status, problem.code, header(problem, b"retry-after")) == (503, "keys_unavailable", b"1")
    assert eventually(lambda: bearer(guard, signed("two"))[0] == 200)
    assert bearer(guard, signed("one"))[0] == 200
    assert server.asked == 2


def test_an_old_key_is_good_until_the_issuer_takes_it_away(guards, server, monkeypatch):
    monkeypatch.setattr(key_sets, "REFRESH_SECONDS", {"url": MINIMUM, "file": MINIMUM})
    guard, remembered = guards(server.url), signed("one")
    assert bearer(guard, remembered)[0] == 200
    server.answer = jwks(key("two"))
    assert eventually(lambda: bearer(guard, signed("two"))[0] == 200)
    assert eventually(lambda: bearer(guard, remembered)[0] == 401)


def test_a_key_that_is_another_one_under_the_same_name_is_not_mixed_up(guards, server, monkeypatch):
    monkeypatch.setattr(key_sets, "REFRESH_SECONDS", {"url": MINIMUM, "file": MINIMUM})
    guard, remembered = guards(server.url), signed("one")
    assert bearer(guard, remembered)[0] == 200
    server.answer = jwks({**key("two"), "kid": "one"})
    assert eventually(lambda: bearer(guard, remembered)[0] == 401)


def test_unknown_keys_ask_the_server_seldom(guards, server):
    guard = guards(server.url)
    began = time.monotonic()
    statuses = [status_at_once(guard, signed("one", jti=str(n))) for n in range(3)]
    assert statuses == [200] * 3
    refused = [bearer(guard, signed(f"unknown {number % 7}"))[0] for number in range(300)]
    assert set(refused) <= {401, 503}
    assert server.asked <= 2 + (time.monotonic() - began) / MINIMUM


def test_a_stranger_s_key_is_refused_once_the_keys_are_fresh(guards, server):
    guard = guards(server.url)
    assert bearer(guard, signed("stranger"))[0] == 401
    assert server.asked == 1


def down(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.close()


def failing(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(500)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/other")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * 65536)
    except OSError:
        pass


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")


BROKEN = {
    "another protocol": nonsense,
    "down": down,
    "failing": failing,
    "redirecting": elsewhere,
    "endless": endless,
    "dripping": dripping,
    "empty": b"",
    "html": b"<html>",
    "not utf-8": b'{"keys": "\xff"}',
    "no keys": b'{"keys": []}',
    "keys of another kind": jwks(jwk("one", "RS256")),
    "a list": b"[]",
    "deep": b'{"keys":' + b"[" * 100_000,
    "deep elsewhere": b'{"other":' + b"[" * 100_000,
    "too large": b" " * (key_sets.MAXIMUM_BYTES + 1),
    "cut off": jwks(key("one"))[:-5],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_was_read_stays_while_the_server_is_broken(guards, server, monkeypatch, caplog, broken):
    monkeypatch.setattr(key_sets, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(key_sets, "REFRESH_SECONDS", {"url": MINIMUM, "file": MINIMUM})
    guard = guards(server.url)
    server.answer = broken
    asked = server.asked
    assert eventually(lambda: server.asked >= asked + 2)  # one reading has failed in full
    assert status_at_once(guard, signed("one")) == 200
    # Whether this one is good cannot be told, and that is no reason to send its owner away for good.
    assert status_at_once(guard, signed("two")) == 503
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the 1 public keys read before stay in force"
    ]
    server.answer = jwks(key("one"), key("two"))
    assert eventually(lambda: bearer(guard, signed("two"))[0] == 200)
    assert eventually(lambda: len(caplog.records) == 2)
    assert "can be read again" in caplog.messages[1]


def test_a_server_that_does_not_answer_delays_nobody(guards, server, monkeypatch):
    silent = threading.Event()
    guard = guards(server.url)
    server.answer = lambda handler: silent.wait(5)
    may_be_read_again(guard)
    statuses = {status_at_once(guard, signed("two")) for _ in range(50)}
    assert statuses == {503}
    assert status_at_once(guard, signed("one")) == 200
    silent.set()


def test_a_server_that_is_down_at_the_start_is_asked_again(guards, monkeypatch):
    with serving(down) as server:
        guard = guards(server.url)
        assert status_at_once(guard, signed("one")) == 503
        server.answer = jwks(key("one"))
        assert eventually(lambda: bearer(guard, signed("one"))[0] == 200)


def test_nobody_listens_at_the_start(guards, caplog):
    with serving(b"") as server:
        url = server.url
    started = time.perf_counter()
    guard = guards(url)
    assert time.perf_counter() - started < 2
    assert status_at_once(guard, signed("one")) == 503
    assert caplog.messages == ["the 0 public keys read before stay in force: URLError"]


def test_a_file_of_keys_is_read_again(guards, tmp_path, monkeypatch):
    monkeypatch.setattr(key_sets, "REFRESH_SECONDS", {"url": 300.0, "file": MINIMUM})
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(key("one")))
    guard = guards(str(path))
    assert bearer(guard, signed("one"))[0] == 200
    path.write_bytes(jwks(key("two")))
    assert eventually(lambda: bearer(guard, signed("one"))[0] == 401)
    assert bearer(guard, signed("two"))[0] == 200


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://issuer.test/keys", "must be a file or an https URL"),
        ("ftp://issuer.test/keys", "must be a file or an https URL"),
        ("file:///etc/passwd", "must be a file or an https URL"),
        ("https://user:" + "pass@issuer.test/keys", "must be a file or an https URL"),
        ("https://", "must be a file or an https URL"),
        ("http://[", "must be a file or an https URL"),
        ("http://127.0.0.1@evil.test/keys", "must be a file or an https URL"),
        ("nothing.json", "cannot be read"),
    ],
)
def test_a_source_that_nobody_should_trust_is_refused(guards, source, said):
    with pytest.raises(InputError, match=said) as refused:
        guards(source)
    assert "\n" not in str(refused.value)
    assert "pass@" not in str(refused.value)


def test_a_file_without_keys_is_refused_at_the_start(guards, tmp_path):
    for content in (b"", b"{}", jwks(jwk("one", "RS256"))):
        (tmp_path / "jwks.json").write_bytes(content)
        with pytest.raises(InputError, match="--jwt-jwks: "):
            guards(str(tmp_path / "jwks.json"))
