"""Bytes into requests. llhttp (through httptools) says what is HTTP/1.1; it is strict, and its leniencies stay off.

What llhttp leaves open is decided here, in wire order, before anything is read on: sizes, the target, Host,
Transfer-Encoding, Expect, Upgrade. docs/serving.md lists what is accepted and what is refused.
"""

from collections.abc import Callable
from typing import NoReturn

import httptools
from msgspec import Struct

from serving.exchange import Memo, Problem, Request
from serving.limits import Limits

IDLE, HEAD, BODY = "idle", "head", "body"
# A body cut into chunks of one byte takes six bytes on the wire for each; what takes more only wants to keep us busy.
CHUNK_OVERHEAD = 8

Deliver = Callable[[Request, str, bool], bool]


REMEMBERED_BYTES = 2048
SPECIAL = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Known(Struct, frozen=True):
    """A head that was read before: the same bytes mean the same request."""

    head: bytes
    total: int  # bytes of a request with it
    method: str
    path: str
    headers: dict[bytes, bytes]
    memo: Memo


class RequestParser:
    """Feeds on bytes, delivers whole requests.

    `deliver(request, version, keep_alive)` says whether to go on; `proceed()` is called when a client waits for leave
    to send its body. `phase` tells how far the request at hand has come, `requests` its number, `headers` what is known
    of it.
    """

    def __init__(self, limits: Limits, deliver: Deliver, proceed: Callable[[], None]) -> None:
        self.phase = IDLE
        self.requests = 0
        self.headers: dict[bytes, bytes] = {}
        self._limits, self._deliver, self._proceed = limits, deliver, proceed
        self._llhttp = httptools.HttpRequestParser(self)
        self._fed = 0  # bytes since the phase began
        self._refused: Problem | None = None
        self._stopped = False
        self._known: Known | None = None
        self._begins = False  # what is fed begins with a request
        self._plain = False  # the last request keeps the connection alive

    def recall(self, data: bytes) -> Request | None:
        """The request that these bytes are where they are a whole one and its head is known; else they are to be fed.

        It counts as read, and is not delivered.
        """
        known = self._known
        if known is None or len(data) != known.total or self.phase is not IDLE or not data.startswith(known.head):
            return None
        self.requests += 1
        self.headers = known.headers
        return Request(known.method, known.path, known.headers, data[len(known.head) :], known.memo)

    def feed(self, data: bytes) -> None:
        """Read on; raises Problem for what is refused, after which the connection holds nothing of use."""
        before = self.requests
        self._begins = self.phase == IDLE
        self._read(data)
        self._remember(data, before)

    def _remember(self, data: bytes, before: int) -> None:
        """Keep the head of a request that came alone and whole, and whose end its Content-Length alone decides.

        Clients send the same head again and again. What llhttp and we have found right once is right the next time.
        """
        if not (self._begins and self.phase == IDLE and self.requests == before + 1) or self._stopped:
            return
        headers = self.headers
        if not self._plain or self._version != "1.1" or not headers.keys().isdisjoint(SPECIAL):
            return
        length = int(headers.get(b"content-length", b"0"))
        head = data[: len(data) - length]
        if len(head) <= REMEMBERED_BYTES and head.endswith(b"\r\n\r\n") and head.find(b"\r\n\r\n") == len(head) - 4:
            path = _path(self._target)
            assert path is not None
            self._known = Known(head, len(data), self._method, path, headers, Memo())

    def _read(self, data: bytes) -> None:
        step = self._limits.head_bytes
        if len(data) <= step:
            self._feed(data)
        else:  # in pieces, so that a limit holds before memory is used
            for start in range(0, len(data), step):
                self._feed(data[start : start + step])

    def _feed(self, data: bytes) -> None:
        before = (self.requests, self.phase)
        self._execute(data)
        if (self.requests, self.phase) != before:
            self._fed = 0
            return
        self._fed += len(data)
        if self.phase == BODY:
            if self._fed > self._limits.body_bytes * CHUNK_OVERHEAD:
                raise self._body_too_large()
        elif self._fed > self._limits.head_bytes:
            raise self._head_too_large()

    def _execute(self, data: bytes) -> None:
        """Run llhttp, over and over where a client offers another protocol: go on in HTTP/1.1, as RFC 9110 allows.

        httptools would take the body for the other protocol's, so a new parser gets the same head without the offer.
        Clients that offer with every first request: java.net.http, curl --http2.
        """
        while (read := self._run(data)) is not None:
            headers = (name + b": " + value + b"\r\n" for name, value in self.headers.items() if name != b"upgrade")
            start = f"{self._method} ".encode() + self._target + f" HTTP/{self._version}\r\n".encode()
            data = start + b"".join(headers) + b"\r\n" + data[read:]
            self._llhttp = httptools.HttpRequestParser(self)
            self.phase, self.requests = IDLE, self.requests - 1

    def _run(self, data: bytes) -> int | None:
        """The place up to which llhttp read where it stopped at an offer; None where there was none."""
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return upgrade.args[0]
        except httptools.HttpParserCallbackError:
            if self._refused is not None:
                raise self._refused from None
            if not self._stopped:
                raise
        except httptools.HttpParserError as error:
            raise Problem(400, "malformed_http", f"{error}; speak HTTP/1.1, without TLS") from None
        return None

    def _refuse(self, problem: Problem) -> NoReturn:
        """Refuse from within a callback: llhttp would not let the problem itself through."""
        self._refused = problem
        raise _StoppedError

    # --- llhttp's callbacks, in wire order

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self.requests += 1
        self.headers = {}
        self._method, self._target = "", b""
        self._head_size = self._body_size = 0
        self._body: list[bytes] = []
        self._upgrade = False

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._head_size += len(part)
        if self._head_size > self._limits.head_bytes:
            self._refuse(self._head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._limits.head_bytes:
            self._refuse(self._head_too_large())
        if self.phase == BODY:
            return  # a trailer: nothing that decides something may come after the body
        name, value = name.lower(), value.rstrip(b" \t")
        if name not in self.headers:
            self.headers[name] = value
        elif name == b"host":
            self._refuse(Problem(400, "malformed_http", "Host is there twice; send it once"))
        else:
            self.headers[name] += b", " + value

    def on_headers_complete(self) -> None:
        self.phase = BODY
        self._version = self._llhttp.get_http_version()
        self._method = self._llhttp.get_method().decode()
        if self._version not in ("1.0", "1.1"):
            self._refuse(Problem(505, "unsupported_version", "speak HTTP/1.1 or HTTP/1.0"))
        if self._method == "CONNECT":
            self._refuse(Problem(501, "unsupported_method", "this is not a proxy"))
        self._upgrade = self._llhttp.should_upgrade()
        if not self._upgrade:
            self._check_head(self.headers)

    def on_body(self, part: bytes) -> None:
        self._body_size += len(part)
        if self._body_size > self._limits.body_bytes:
            self._refuse(self._body_too_large())
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._upgrade:
            return
        self.phase = IDLE
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        path = _path(self._target)
        if path is None:
            self._refuse(Problem(400, "malformed_http", "the request target is no URL; send a path"))
        request = Request(self._method, path, self.headers, body)
        self._plain = self._llhttp.should_keep_alive()
        self._stopped = not self._deliver(request, self._version, self._plain)
        if self._stopped:
            raise _StoppedError

    # --- what is decided before reading on

    def _check_head(self, headers: dict[bytes, bytes]) -> None:
        if b"host" not in headers and self._version == "1.1":
            self._refuse(Problem(400, "malformed_http", "Host is missing; HTTP/1.1 asks for it"))
        if (coding := headers.get(b"transfer-encoding")) is not None:
            if self._version == "1.0":
                self._refuse(Problem(400, "malformed_http", "HTTP/1.0 has no Transfer-Encoding; send Content-Length"))
            if coding.lower() != b"chunked":
                self._refuse(
                    Problem(501, "unsupported_transfer_encoding", "the only transfer encoding taken is chunked")
                )
        if int(headers.get(b"content-length", b"0")) > self._limits.body_bytes:
            self._refuse(self._body_too_large())
        if (expected := headers.get(b"expect")) is not None and self._version == "1.1":
            if expected.lower() != b"100-continue":
                self._refuse(Problem(417, "expectation_failed", "the only expectation met is 100-continue"))
            self._proceed()

    def _head_too_large(self) -> Problem:
        return Problem(431, "head_too_large", f"send at most {self._limits.head_bytes} bytes of target and headers")

    def _body_too_large(self) -> Problem:
        return Problem(413, "body_too_large", f"send at most {self._limits.body_bytes} bytes in a body")


class _StoppedError(Exception):
    """Ends llhttp's run over the data at hand."""


def _path(target: bytes) -> str | None:
    if not target.startswith(b"/"):  # absolute form, as proxies send it; "*" stays as it is
        try:
            target = httptools.parse_url(target).path or target
        except httptools.HttpParserInvalidURLError:
            return None
    return target.partition(b"?")[0].decode("latin-1")
