"""An issuer of tokens for tests: key pairs, tokens, and a real server of public keys on 127.0.0.1."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://issuer.test/", "models"
KINDS = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def private(kid: str = "one", algorithm: str = "RS256") -> Any:
    """The private key of that name; made once."""
    return _private(kid, algorithm)


@cache
def _private(kid: str, algorithm: str) -> Any:
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def jwk(kid: str = "one", algorithm: str = "RS256", **more: Any) -> dict[str, Any]:
    """The public half, as a key set has it."""
    public = KINDS[algorithm].to_jwk(private(kid, algorithm).public_key(), as_dict=True)
    return {**public, "kid": kid, "use": "sig", **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys or (jwk(),)}).encode()


def claims(**other: Any) -> dict[str, Any]:
    """What a good token says, for a day (some are made when tests are collected); `None` takes a claim away."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 86_400, "scope": "predict metadata", **other}
    return {name: value for name, value in said.items() if value is not None}


def token(kid: str | None = "one", algorithm: str = "RS256", headers: dict | None = None, **other: Any) -> bytes:
    """A token signed by the key of that name."""
    named = {} if kid is None else {"kid": kid}
    key = private(kid or "one", algorithm)
    payload = json.dumps(claims(**other)).encode()  # as it is: `jwt.encode` would not make some of the wrong ones
    return jwt.PyJWS().encode(payload, key, algorithm, headers={**named, **(headers or {})}).encode()


class Answering:
    """A server of keys whose behaviour the test may change at any time; `asked` counts requests."""

    def __init__(self, answer: bytes | Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answer, self.asked, self.url = answer, 0, ""


@contextmanager
def serving(answer: bytes | Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Answering]:
    state = Answering(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            if callable(state.answer):
                state.answer(self)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(state.answer)))
            self.end_headers()
            self.wfile.write(state.answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/keys"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
