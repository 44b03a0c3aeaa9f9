"""One client's connection: bytes in, answers out in the order asked, nobody waited for longer than the limits allow."""

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

from msgspec import Struct

from serving.exchange import Handler, Problem, Request, Response
from serving.http.parser import HEAD, IDLE, RequestParser
from serving.limits import Limits

LENGTH = b"\r\ncontent-length: %d\r\ndate: "
LENGTHS = [LENGTH % size for size in range(2048)]  # written out, of the sizes that most answers have
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    handler: Handler
    limits: Limits
    draining: bool
    date: bytes
    now: Callable[[], float]
    idle_deadline: float  # of a connection that was busy just now; `now` is not asked for each request

    def admit(self, connection: "Connection") -> bool:
        """Keep a new connection in view; says whether it may ask anything."""

    def forget(self, connection: "Connection") -> None:
        """A connection has ended."""


class Connection(asyncio.Protocol):
    """A client. `deadline` is in the loop's time; the server asks `expire` when it is over."""

    transport: asyncio.Transport

    def __init__(self, server: Host) -> None:
        self._server, self._handle = server, server.handler.handle
        self._parser = RequestParser(server.limits, self._ask, self._proceed)
        self._slots: deque[Slot] = deque()  # requests that are not answered, in the order asked
        self._later: deque[tuple[Request, Slot]] = deque()  # of these, the last ones, where they are too many
        self._handing_over = False
        self._closing = False  # nothing that comes from here on is read
        self._ending = False  # what is to be answered is answered, and then it ends
        self._readable = True  # by the client: it takes what we write
        self._lost = False
        self._paused = False  # we do not read: too much of what it asked is not answered
        self._discarded = 0
        self.deadline = server.now() + server.limits.idle_seconds

    @property
    def busy(self) -> bool:
        """Whether a request has begun and is not answered."""
        return bool(self._slots) or (self._parser.phase != IDLE and not self._closing)

    @property
    def waits(self) -> bool:
        """Whether a whole request has come and is not answered: how slowly a client sends is no load of ours."""
        return bool(self._slots)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            detail = "the server has as many connections as it takes; try again, or another one"
            self._refuse(Problem(503, "too_many_connections", detail, headers=((b"retry-after", b"1"),)))

    def connection_lost(self, error: Exception | None) -> None:
        self._slots.clear()
        self._later.clear()
        self._lost = True
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._discard(data)
        elif (request := self._parser.recall(data)) is None:
            self._read(data)
        else:
            if self._readable:
                self.deadline = self._server.idle_deadline
            self._ask(request, "1.1", True)
            if len(self._slots) > 1:
                self._hold_back()

    def pause_writing(self) -> None:
        """The client does not read its answers: neither do we read its requests."""
        self._readable = False
        self.transport.pause_reading()
        self.deadline = self._server.now() + self._server.limits.body_seconds

    def resume_writing(self) -> None:
        """The client reads again."""
        self._readable = True
        self._paused = self._paused and self._full()
        if not self._paused:
            self.transport.resume_reading()
        self.deadline = self._server.now() + self._patience()

    def expire(self) -> None:
        """The deadline is over: a request that is still coming is refused, everything else is closed."""
        if self._slots and self._readable:
            return  # it is we who are slow; whoever answers has a deadline of his own
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

    def answer(self, slot: "Slot", response: Response) -> None:
        """Take the answer of a slot, and send what is ready, in the order asked."""
        if self._lost:
            return
        slots, server = self._slots, self._server
        if server.draining and slots[-1] is slot:
            slot.close = self._closing = self._ending = True
        if slots[0] is not slot:
            slot.answer = self._written(response, slot)
            return
        self.transport.write(self._written(response, slot))
        slots.popleft()
        while slots and (ready := slots[0].answer) is not None:
            slots.popleft()
            self.transport.write(ready)
        if self._later:
            self._hand_over()
        if self._ending and not slots:
            self._close()
        elif self._paused and self._readable and not self._full():
            self._paused = False
            self.transport.resume_reading()

    def _read(self, data: bytes) -> None:
        parser = self._parser
        requests, phase = parser.requests, parser.phase
        try:
            parser.feed(data)
        except Problem as problem:
            self._refuse(problem)
            return
        if self._closing:
            return
        if (parser.requests != requests or parser.phase != phase) and self._readable:
            self.deadline = self._server.now() + self._patience()
        self._hold_back()

    def _hold_back(self) -> None:
        """Read no more where as much is asked as may be asked at once."""
        if self._full() and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _full(self) -> bool:
        return len(self._slots) >= self._server.limits.pipelined

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._server.limits.body_bytes:
            self.transport.abort()

    def _ask(self, request: Request, version: str, keep_alive: bool) -> bool:
        close = not keep_alive
        slot = Slot(self, close, version == "1.0", request.method == "HEAD")
        self._slots.append(slot)
        if close:
            self._closing = self._ending = True
        if len(self._slots) <= self._server.limits.pipelined:
            self._handle(request, slot)
        else:  # one read may hold many: they wait here, and not in the queue that is everybody's
            self._later.append((request, slot))
        return not self._closing

    def _hand_over(self) -> None:
        """Ask what was held back, as there is room for it now. Answers that come at once do not pile up calls."""
        if self._handing_over:
            return
        self._handing_over = True
        while self._later and len(self._slots) - len(self._later) < self._server.limits.pipelined:
            self._handle(*self._later.popleft())
        self._handing_over = False

    def _proceed(self) -> None:
        slot = Slot(self)
        slot.answer = b"HTTP/1.1 100 Continue\r\n\r\n"
        if self._slots:  # in its place among the answers
            self._slots.append(slot)
        else:
            self.transport.write(slot.answer)

    def _refuse(self, problem: Problem) -> None:
        self._closing = self._ending = True
        slot = Slot(self, close=True)
        self._slots.append(slot)
        slot(self._server.handler.refuse(problem, self._parser.headers))

    def _written(self, response: Response, slot: "Slot") -> bytes:
        """The bytes of an answer; a client of HTTP/1.0 is told when the connection stays open."""
        head, body = response.head, response.body
        if not head.written:
            headers = [b"%s: %s\r\n" % header for header in head.headers]
            head.written = b"".join((STATUS_LINES[head.status], *headers, b"x-request-id: "))
        size = len(body)
        length = LENGTHS[size] if size < len(LENGTHS) else LENGTH % size
        if not (slot.close or slot.old or slot.head_only):
            return b"".join((head.written, response.request_id, length, self._server.date, b"\r\n\r\n", body))
        connection = b"\r\nconnection: close" if slot.close else b"\r\nconnection: keep-alive" if slot.old else b""
        body = b"" if slot.head_only else body
        return b"".join((head.written, response.request_id, length, self._server.date, connection, b"\r\n\r\n", body))

    def _close(self) -> None:
        """Send the end, and go on discarding for a while what the client still sends.

        Closing at once would reset the connection while data are on their way, and the client would never see why.
        """
        self.deadline = self._server.now() + self._server.limits.linger_seconds
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _patience(self) -> float:
        limits, phase = self._server.limits, self._parser.phase
        if phase == IDLE:
            return limits.idle_seconds
        return limits.head_seconds if phase == HEAD else limits.body_seconds


class Slot(Struct, eq=False):
    """The place of one answer in a connection's order; called with the response when that is there."""

    connection: Connection
    close: bool = False
    old: bool = False  # HTTP/1.0
    head_only: bool = False
    answer: bytes | None = None

    def __call__(self, response: Response) -> None:
        self.connection.answer(self, response)
