"""One client's connection: bytes in, answers out in the order asked, nobody waited for longer than the limits allow."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

from serving.exchange import Handler, Problem, Request, Response
from serving.http.parser import HEAD, IDLE, RequestParser
from serving.limits import Limits

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    handler: Handler
    limits: Limits
    draining: bool
    date: bytes
    now: Callable[[], float]

    def admit(self, connection: "Connection") -> bool:
        """Keep a new connection in view; says whether it may ask anything."""

    def forget(self, connection: "Connection") -> None:
        """A connection has ended."""


class Connection(asyncio.Protocol):
    """A client. `deadline` is in the loop's time; the server asks `expire` when it is over."""

    transport: asyncio.Transport

    def __init__(self, server: Host) -> None:
        self._server = server
        self._parser = RequestParser(server.limits, self._answer, self._proceed)
        self._out: list[bytes] = []
        self._closing = False  # nothing that comes from here on is read
        self._readable = True  # by the client: it takes what we write
        self._discarded = 0
        self.deadline = server.now() + server.limits.idle_seconds

    @property
    def busy(self) -> bool:
        """Whether a request has begun and is not answered."""
        return self._parser.phase != IDLE and not self._closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            detail = "the server has as many connections as it takes; try again, or another one"
            self._refuse(Problem(503, "too_many_connections", detail, headers=((b"retry-after", b"1"),)))

    def connection_lost(self, error: Exception | None) -> None:
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._discard(data)
        else:
            self._read(data)

    def pause_writing(self) -> None:
        """The client does not read its answers: neither do we read its requests."""
        self._readable = False
        self.transport.pause_reading()
        self.deadline = self._server.now() + self._server.limits.body_seconds

    def resume_writing(self) -> None:
        """The client reads again."""
        self._readable = True
        self.transport.resume_reading()
        self.deadline = self._server.now() + self._patience()

    def expire(self) -> None:
        """The deadline is over: a request that is still coming is refused, everything else is closed."""
        if self._closing or not self._readable:
            self.transport.abort()
        elif self._parser.phase == IDLE:
            self.finish()
        else:
            part = "head" if self._parser.phase == HEAD else "body"
            self._refuse(Problem(408, "slow_client", f"the request's {part} did not come in time; send it again"))

    def finish(self) -> None:
        """Close now when idle; a request that has begun is answered first, with `Connection: close`."""
        if not self.busy:
            self._closing = True
            self.transport.close()

    def _read(self, data: bytes) -> None:
        before = (self._parser.requests, self._parser.phase)
        try:
            self._parser.feed(data)
        except Problem as problem:
            self._refuse(problem)
            return
        if self._closing:
            self._close()
            return
        if (self._parser.requests, self._parser.phase) != before:
            self.deadline = self._server.now() + self._patience()
        self._flush()  # last, since it may pause writing, which has a deadline of its own

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._server.limits.body_bytes:
            self.transport.abort()

    def _answer(self, request: Request, version: str, keep_alive: bool) -> bool:
        close = self._server.draining or not keep_alive
        response = self._server.handler.handle(request)
        connection = b"close" if close else b"keep-alive" if version == "1.0" else b""
        self._put(response, connection, with_body=request.method != "HEAD")
        self._closing = close
        return not close

    def _proceed(self) -> None:
        self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, problem: Problem) -> None:
        self._put(self._server.handler.refuse(problem, self._parser.headers), b"close", with_body=True)
        self._closing = True
        self._close()

    def _put(self, response: Response, connection: bytes, with_body: bool) -> None:
        lines = [STATUS_LINES[response.status], b"content-length: %d\r\ndate: " % len(response.body), self._server.date]
        lines += [b"\r\n%s: %s" % header for header in response.headers]
        if connection:
            lines += [b"\r\nconnection: ", connection]
        lines += [b"\r\n\r\n", response.body if with_body else b""]
        self._out.append(b"".join(lines))

    def _flush(self) -> None:
        if self._out:
            self.transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()

    def _close(self) -> None:
        """Send what is to be sent, then the end, and go on discarding for a while what the client still sends.

        Closing at once would reset the connection while data are on their way, and the client would never see why.
        """
        self._flush()
        self.deadline = self._server.now() + self._server.limits.linger_seconds
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _patience(self) -> float:
        limits = self._server.limits
        if self._parser.phase == IDLE:
            return limits.idle_seconds
        return limits.head_seconds if self._parser.phase == HEAD else limits.body_seconds
