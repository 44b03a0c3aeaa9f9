"""A registry of container images, as small as the workflows need it: blobs and manifests in memory, over real HTTP.

What the commands make of it is tested in tests/release; here it is where one job leaves what another one fetches.
"""

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PLACE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>blobs|manifests|referrers)/(?P<what>[^/]*(?:/.*)?)")


class Registry:
    """What was pushed: by repository, blobs by digest and manifests by digest and tag."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}

    def digests(self, name: str) -> set[str]:
        return {what for at, what in self.manifests if at == name and what.startswith("sha256:")}


@contextlib.contextmanager
def running() -> Iterator[Registry]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    registry = Registry(f"127.0.0.1:{server.server_port}")
    server.registry = registry  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def registry(self) -> Registry:
        return self.server.registry  # type: ignore[attr-defined]

    def log_message(self, *arguments: object) -> None:
        pass

    def say(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        found = PLACE.fullmatch(urlsplit(self.path).path)
        if not found:
            self.say(200 if self.path == "/v2/" else 404)
            return
        key = (found["name"], found["what"])
        if found["kind"] == "blobs" and key in self.registry.blobs:
            self.say(200, self.registry.blobs[key], Content_Type="application/octet-stream")
        elif found["kind"] == "manifests" and key in self.registry.manifests:
            kind, data = self.registry.manifests[key]
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self.say(200, data, Content_Type=kind, Docker_Content_Digest=digest)
        else:
            self.say(404)

    do_HEAD = do_GET  # noqa: N815 - its name in http.server

    def do_POST(self) -> None:
        self.body()
        self.say(202, Location=f"{self.path}1")

    def do_PUT(self) -> None:
        url, data = urlsplit(self.path), self.body()
        found = PLACE.fullmatch(url.path)
        assert found
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if found["kind"] == "blobs":
            if parse_qs(url.query)["digest"] != [digest]:
                self.say(400)
                return
            self.registry.blobs[(found["name"], digest)] = data
        else:
            stored = (self.headers["Content-Type"], data)
            self.registry.manifests[(found["name"], digest)] = stored
            self.registry.manifests[(found["name"], found["what"])] = stored
        self.say(201, Docker_Content_Digest=digest)
