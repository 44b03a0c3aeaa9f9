"""The stand-in over real HTTP: the REST interface, and git's own smart protocol at /owner/name.git."""

import base64
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

# Every module that answers something.
from tests.github import access, checks, git_data, issues, protection, pulls, settings  # noqa: F401
from tests.github.access import who
from tests.github.description import Call, description
from tests.github.faults import AFTER, BEFORE, Fault
from tests.github.hub import NAME, OWNER, Asked, Hub, RefusedError, Token
from tests.github.repository import ConflictError, MissingError

PER_PAGE = 30
GIT = re.compile(r"/(?P<name>[^/]+/[^/]+?)(?:\.git)?/(?P<service>info/refs|git-upload-pack|git-receive-pack)")


class CutError(Exception):
    """The connection ends here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def do(self) -> None:
        try:
            self._do()
        except (CutError, ConnectionError):
            self.close_connection = True
            # A reset, not an orderly end: what a cable that is pulled looks like.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Nothing: `hub.asked` has it."""

    def _do(self) -> None:
        hub, place = self.server.hub, urlsplit(self.path)
        data = self._read()
        line = f"{self.command} {place.path}"
        if found := GIT.fullmatch(place.path):
            self._git(found, place.query, data)
            return
        code, body, more, partly = 0, None, {}, False
        for moment in (BEFORE, AFTER):
            if fault := hub.faults.of(line, moment):
                partly = partly or fault.partly
                if said := self._meet(fault):
                    code, body, more = said
            if moment == BEFORE and not code:
                code, body, more = self._answer(data)
        hub.asked.append(Asked(self.command, place.path, code, _json(data)))
        self._send(code, body, more, cut=partly)

    def _meet(self, fault: Fault) -> tuple[int, Any, dict[str, str]] | None:
        if fault.seconds:
            time.sleep(fault.seconds)
        if fault.does:
            fault.does()
        if fault.cut:
            raise CutError
        return (fault.code, {"message": fault.message}, fault.headers) if fault.code else None

    def _read(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            data = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _answer(self, data: bytes) -> tuple[int, Any, dict[str, str]]:
        hub, line = self.server.hub, f"{self.command} {self.path}"
        call = description().find(self.command, self.path, _json(data))
        if call is None:
            hub.violations.append(f"{line}: no such operation in the cut of the description (tests/github/cut.py)")
            return 404, {"message": "Not Found", "documentation_url": "", "status": "404"}, {}
        wrong = description().wrong_in_request(call)
        with hub.lock:
            try:
                token = who(hub, self.headers.get("authorization") or "", call.operation)
                if wrong:
                    hub.violations += [f"{line}: {each}" for each in wrong]
                    raise RefusedError(422, "Validation Failed", errors=[{"code": "invalid", "message": wrong[0]}])
                code, body = hub.handle(call, token)
            except RefusedError as error:
                code, body = error.code, error.body
            except (MissingError, ConflictError) as error:
                code, body = 422, {"message": str(error), "documentation_url": ""}
            except Exception as error:
                hub.violations.append(f"{line}: {error!r} in the stand-in")
                raise
        hub.violations += [
            f"{line}: answer {each}" for each in description().wrong_in_answer(call.operation, code, body)
        ]
        return code, *self._page(call, code, body)

    def _page(self, call: Call, code: int, body: Any) -> tuple[Any, dict[str, str]]:
        """Only a page of a list, and where the others are."""
        described = {each["name"] for each in call.operation.parameters}
        if code != 200 or "per_page" not in described:
            return body, {}
        key = (
            next((key for key, value in body.items() if isinstance(value, list)), None)
            if isinstance(body, dict)
            else ""
        )
        if key is None:
            return body, {}
        rows = body[key] if key else body
        size = min(int(call.query.get("per_page", PER_PAGE)), self.server.hub.page_size)
        page, last = int(call.query.get("page", 1)), max(1, -(-len(rows) // size))
        link = {}
        if page < last:
            address = f"{self.server.hub.url}{urlsplit(self.path).path}"
            to = {
                name: f"<{address}?{urlencode(call.query | {'page': n})}>"
                for name, n in (("next", page + 1), ("last", last))
            }
            link = {"link": ", ".join(f'{value}; rel="{name}"' for name, value in to.items())}
        cut = rows[(page - 1) * size : page * size]
        return ({**body, key: cut} if key else cut), link

    def _send(self, code: int, body: Any, more: dict[str, str], cut: bool = False) -> None:
        hub = self.server.hub
        text = "" if body is None else json.dumps(body).replace("https://api.github.com", hub.url)
        data = text.encode()
        lines = [f"HTTP/1.1 {code} {'OK' if code < 400 else 'No'}"]
        headers = {
            "content-type": "application/json; charset=utf-8",
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "4999",
            "x-ratelimit-reset": str(int(time.time()) + 3600),
            "x-github-request-id": "STAND:IN",
        } | more
        if code != 204:
            headers["content-length"] = str(len(data))
        lines += [f"{key}: {value}" for key, value in headers.items()]
        whole = "\r\n".join([*lines, "", ""]).encode() + data  # in one write: half of it waits for the other side else
        self.wfile.write(whole[: len(whole) - max(1, len(data) // 2)] if cut else whole)
        self.wfile.flush()
        if cut:
            raise CutError

    def _git(self, found: re.Match[str], query: str, data: bytes) -> None:
        """git-http-backend, for whoever has a token (as password, as actions/checkout does it)."""
        hub, line = self.server.hub, f"{self.command} {urlsplit(self.path).path}"
        fault = hub.faults.of(line, BEFORE)
        if fault and (said := self._meet(fault)):
            self._send(*said)
            return
        service = query.partition("service=")[2] or found["service"]
        write = service == "git-receive-pack"
        if len(self.headers.get_all("authorization") or ()) > 1:
            self._send(400, {"message": "Duplicate header: Authorization"}, {})
            return
        token = _basic(hub, self.headers.get("authorization") or "")
        if token is None or found["name"].lower() != hub.full_name.lower():
            self._send(401, {"message": "Requires authentication"}, {"www-authenticate": 'Basic realm="GitHub"'})
            return
        if not token.allows("contents", write):
            self._send(403, {"message": "Permission denied"}, {})
            return
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(hub.git.path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{hub.git.path.name}/{found['service']}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_USER": token.login,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": "*",
        }
        done = subprocess.run(["git", "http-backend"], input=data, env=environment, capture_output=True, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        said = dict(each.split(": ", 1) for each in head.decode().split("\r\n") if ": " in each)
        code = int(said.pop("Status", "200").split()[0])
        hub.asked.append(Asked("GIT" if not write else "PUSH", urlsplit(self.path).path, code))
        lines = [f"HTTP/1.1 {code} OK", *(f"{key}: {value}" for key, value in said.items())]
        self.wfile.write("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body)


def _basic(hub: Hub, header: str) -> Token | None:
    kind, _, value = header.partition(" ")
    if kind.lower() == "basic":
        value = base64.b64decode(value).decode().partition(":")[2]
    return hub.tokens.get(value)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: Hub, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.hub = hub
        hub.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is what some tests are about; what breaks in the stand-in is a violation."""


@contextmanager
def running(path: Path, owner: str = OWNER, name: str = NAME, port: int = 0) -> Iterator[Hub]:
    """A stand-in before the bare repository at `path`, until the end of the block."""
    hub = Hub(path, owner, name)
    server = Server(hub, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
