"""A real registry (distribution) for a while, and what stands in front of it: whoever gives tokens, and a bad line."""

import base64
import contextlib
import datetime as dt
import http.client
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

ISSUER, SERVICE = "tokens.example.com", "registry.example.com"
PROGRAMS = ("registry", "docker-registry")
PATIENCE_SECONDS = 20


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@dataclass
class Asked:
    """What a server here was asked."""

    method: str
    path: str
    authorization: str = ""


@dataclass
class Served:
    """A server of ours: where it is, and all that it was asked."""

    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(folder: Path, realm: str = "", certificate: Path | None = None) -> Iterator[str]:
    """A registry with its data in `folder`; with a realm, it wants a token from there, signed so. Its host:port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder.mkdir(parents=True)
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": address, "secret": "tests"},  # pragma: allowlist secret
    }
    if realm:
        named = {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(certificate)}
        settings["auth"] = {"token": named}
    (folder / "config.yml").write_text(yaml.safe_dump(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program(), "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        _ready(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def tokens(user: str, token: str, certificate: Path) -> Iterator[Served]:
    """Gives anybody a token to read with, and one to write with to who shows user and token; 401 to who shows others."""
    served = Served(0)
    signed = _signer(certificate)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        scope = parse_qs(urlsplit(handler.path).query).get("scope", [""])[0]
        kind, name, actions = scope.split(":")
        shown = handler.headers.get("Authorization", "")
        known = f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"
        if shown and shown != known:
            return _answer(handler, 401, {"details": "who are you?"})
        may = [each for each in actions.split(",") if each == "pull" or shown == known]
        return _answer(handler, 200, {"token": signed([{"type": kind, "name": name, "actions": may}])})

    with _serving(served, answer):
        yield served


@contextlib.contextmanager
def in_front_of(address: str, trouble: Callable[[Asked, int], str]) -> Iterator[Served]:
    """A line to the registry: `trouble` says of each request (and how often it came): cut, busy, wrong, or nothing."""
    served = Served(0)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = served.asked[-1]
        times = sum((each.method, each.path) == (asked.method, asked.path) for each in served.asked)
        what = trouble(asked, times)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if what == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)
            return None
        if what == "busy":
            return _answer(handler, 503, {"errors": [{"code": "UNAVAILABLE", "message": "later"}]})
        connection = http.client.HTTPConnection(address, timeout=20)
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "host"}
        connection.request(handler.command, handler.path, body, headers | {"Host": served.address})
        got = connection.getresponse()
        data = got.read()
        if what == "cut after":
            handler.connection.shutdown(socket.SHUT_RDWR)
            return None
        if what == "wrong":
            data = data[::-1]
        handler.send_response(got.status)
        for name, value in got.getheaders():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data if handler.command != "HEAD" else b"")
        return connection.close()

    with _serving(served, answer):
        yield served


@contextlib.contextmanager
def _serving(served: Served, answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            served.asked.append(Asked(self.command, self.path, self.headers.get("Authorization", "")))
            answer(self)
            self.close_connection = True

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._any
            raise AttributeError(name)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.port = server.server_port
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _signer(certificate: Path) -> Callable[[list[dict]], str]:
    """Signs what somebody may do, as the registry wants it; writes the certificate that it is told to believe."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)]), dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, SHA256())
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    chain = [base64.b64encode(made.public_bytes(Encoding.DER)).decode()]

    def signed(access: list[dict]) -> str:
        at = int(time.time())
        claims = {"iss": ISSUER, "sub": "", "aud": SERVICE, "iat": at, "nbf": at - 10, "exp": at + 60}
        return jwt.encode(claims | {"jti": str(at), "access": access}, key, "ES256", {"x5c": chain})

    return signed


def _answer(handler: BaseHTTPRequestHandler, status: int, document: dict) -> None:
    data = json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def _ready(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"registry: is not ready: {log.read_text()[-2000:]}")
