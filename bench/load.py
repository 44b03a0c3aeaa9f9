"""Open-loop load over HTTP/1.1: requests go out when they are due, whether or not the ones before were answered.

A latency counts from the time a request was due, so that a server that stands still is not spared the requests it kept
from being sent. Every request ends in exactly one way:

right     200, and what it says was found right (`Question.judge`)
refused   429, 503 or 504 by the server's own decision: a problem document
wrong     200 with anything else than the right answer
failed    any other status
lost      no answer: refused or reset connections, an end amid an answer, no answer in time

One connection carries one request at a time; a request that could be sent on no connection is lost, too.
"""

import asyncio
import gc
import re
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from time import perf_counter
from typing import Any, cast

import numpy as np
from msgspec import Struct

RIGHT, REFUSED, WRONG, FAILED, LOST = "right", "refused", "wrong", "failed", "lost"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n")
REFUSALS = (b"429", b"503", b"504")


class Question(Struct):
    """A whole request; `judge` gets the lower-case head and the body of a 200, and says why it is wrong, or ""."""

    data: bytes
    judge: Callable[[bytes, bytes], str]


class Second:
    """How the requests ended that were due in one second; latencies in seconds, of right answers."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.latencies = array("d")


class Tally:
    """How all requests ended, by the second in which they were due, and why those did that are not right."""

    def __init__(self) -> None:
        self.seconds: list[Second] = []
        self.reasons: Counter[str] = Counter()
        self.stall = 0.0  # the longest time for which the generator itself came too late

    def second(self, number: int) -> Second:
        """The second of this number."""
        while len(self.seconds) <= number:
            self.seconds.append(Second())
        return self.seconds[number]

    def ends(self, first: int = 0, last: int | None = None) -> Counter[str]:
        """How the requests of these seconds ended."""
        total: Counter[str] = Counter()
        for second in self.seconds[first:last]:
            total.update(second.ends)
        return total

    def quantile(self, share: float, first: int = 0, last: int | None = None) -> float:
        """A quantile of the latencies of these seconds, in milliseconds; NaN where nothing was right."""
        parts = [np.frombuffer(second.latencies) for second in self.seconds[first:last] if second.latencies]
        return float(np.quantile(np.concatenate(parts), share) * 1000) if parts else float("nan")


class Load:
    """Asks `questions` in turn, over up to `connections` connections that are kept, or one for each request (`fresh`).

    With `retry` a lost request is asked once more, on another connection; what is counted is how it ended then.
    """

    def __init__(
        self,
        port: int,
        questions: Sequence[Question],
        connections: int = 64,
        patience: float = 5.0,
        retry: bool = False,
        fresh: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.port, self.patience, self.retry, self.fresh, self.host = port, patience, retry, fresh, host
        self.tally, self.begun = Tally(), perf_counter()
        self.broken: list[tuple[int, float]] = []  # connections that ended unanswered: local port, when they were asked
        self.clients: set[Client] = set()
        self._questions, self._connections = cycle(questions), connections
        self._idle: list[Client] = []
        self._waiting: deque[Due] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def warm(self) -> None:
        """Open all connections before the first request is due."""
        while len(self.clients) + len(self._opening) < self._connections:
            self._open()
        await asyncio.gather(*self._opening)
        self.begun = perf_counter()

    async def at(self, rate: float, seconds: float) -> tuple[int, int]:
        """Ask `rate` times a second; gives the numbers of the first second and of that after the last."""
        first = len(self.tally.seconds)
        start = perf_counter()
        self.begun = start - first
        count, sent, swept = int(rate * seconds), 0, start
        while sent < count:
            now = perf_counter()
            due = min(count, int((now - start) * rate) + 1)
            if due > sent:
                self.tally.stall = max(self.tally.stall, now - (start + sent / rate) - 1 / rate)
            for number in range(sent, due):
                self._ask(Due(start + number / rate, next(self._questions)))
            sent = due
            if now - swept > 0.05:
                self._sweep(now)
                swept = now
            # Timers go by milliseconds; the last one is spent on looking at the clock, or latencies would be off by it.
            wait = start + sent / rate - perf_counter()
            await asyncio.sleep(wait - 0.001 if wait > 0.002 else 0)
        return first, first + max(1, round(seconds))

    async def settle(self) -> None:
        """Wait until every request has ended."""
        while self._waiting or self._opening or any(client.due for client in self.clients):
            self._sweep(perf_counter())
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """End the connections."""
        for client in list(self.clients):
            client.transport.abort()

    def in_flight(self, ports: Iterable[int]) -> int:
        """How many requests are unanswered on connections with these local ports."""
        wanted = set(ports)
        return sum(1 for client in self.clients if client.due and client.port in wanted)

    # --- what a connection tells

    def free(self, client: "Client") -> None:
        """A connection can take the next request."""
        if self._waiting:
            client.send(self._waiting.popleft())
        else:
            self._idle.append(client)

    def answered(self, due: "Due", head: bytes, body: bytes, more: int) -> None:
        """A request has its answer: lower-case head, body, and how many bytes came after it."""
        self.end(due, *verdict(due.question, head, body, more))

    def end(self, due: "Due", how: str, reason: str = "") -> None:
        """A request has ended."""
        if how == LOST and self.retry and not due.asked_again:
            due.asked_again, due.sent = True, perf_counter()
            self.tally.reasons[f"first try lost: {reason}"] += 1
            self._ask(due)
            return
        second = self.tally.second(max(0, int(due.at - self.begun + 1e-6)))
        second.ends[how] += 1
        if how == RIGHT:
            second.latencies.append(perf_counter() - due.at)
        else:
            self.tally.reasons[f"{how}: {reason}"] += 1

    def gone(self, client: "Client", reason: str) -> None:
        """A connection has ended; what it had not answered is lost."""
        self.clients.discard(client)
        if client in self._idle:
            self._idle.remove(client)
        if client.due:
            due, client.due = client.due, None
            self.broken.append((client.port, due.sent))
            self.end(due, LOST, reason)
        if self._waiting and not self.fresh:
            self._open()

    # --- what goes out

    def _ask(self, due: "Due") -> None:
        if self.fresh:
            self._open(due)
        elif self._idle:
            self._idle.pop().send(due)
        else:
            self._waiting.append(due)
            if len(self.clients) + len(self._opening) < self._connections:
                self._open()

    def _open(self, due: "Due | None" = None) -> None:
        task = self._loop.create_task(self._connect(due))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, due: "Due | None") -> None:
        try:
            async with asyncio.timeout(self.patience):
                _, client = await self._loop.create_connection(lambda: Client(self), self.host, self.port)
        except (OSError, TimeoutError) as error:
            reason = f"no connection: {type(error).__name__}"
            if due is None and self._waiting:
                due = self._waiting.popleft()
            if due is not None:
                self.end(due, LOST, reason)
            return
        if due is None:
            self.free(client)
        else:
            client.send(due)

    def _sweep(self, now: float) -> None:
        """Give up what took too long."""
        while self._waiting and now - self._waiting[0].sent > self.patience:
            self.end(self._waiting.popleft(), LOST, "no connection was free in time")
        for client in [client for client in self.clients if client.due and now - client.due.sent > self.patience]:
            self.clients.discard(client)
            due, client.due = cast(Due, client.due), None
            client.transport.abort()
            self.end(due, LOST, "no answer in time")


class Due:
    """A request that was due at a time."""

    __slots__ = ("asked_again", "at", "question", "sent")

    def __init__(self, at: float, question: Question) -> None:
        self.at, self.question, self.sent, self.asked_again = at, question, at, False


class Client(asyncio.Protocol):
    """One connection, with at most one request on it."""

    transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self._load, self._data, self.due, self.port = load, b"", cast("Due | None", None), 0
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.port = transport.get_extra_info("sockname")[1]
        self._load.clients.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        said = "amid an answer" if self._data else "without an answer"
        self._load.gone(self, f"{type(error).__name__ if error else 'end of connection'} {said}")

    def send(self, due: Due) -> None:
        """Ask."""
        if self.transport.is_closing() or self._done:
            due.sent = perf_counter()
            self._load._ask(due)
            return
        self.due = due
        due.sent = perf_counter()
        self.transport.write(due.question.data)

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._data = data
            return
        head = data[: end + 2].lower()
        length = LENGTH.search(head)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(data) < size:
            self._data = data
            return
        due, self.due, self._data = self.due, None, b""
        if due is None:  # an answer to nothing: 408 or 503 of a server that lets go
            self._leave()
            return
        self._load.answered(due, head, data[end + 4 : size], len(data) - size)
        if self._load.fresh or b"\r\nconnection: close\r\n" in head:
            self._leave()
        else:
            self._load.free(self)

    def _leave(self) -> None:
        self._done = True
        self._load.clients.discard(self)
        self.transport.close()


def verdict(question: Question, head: bytes, body: bytes, more: int = 0) -> tuple[str, str]:
    """How a request ended whose answer is this, and why."""
    status = head[9:12]
    if more:
        return WRONG, "bytes after the answer"
    if status == b"200":
        reason = question.judge(head, body)
        return (WRONG, reason) if reason else (RIGHT, "")
    if status in REFUSALS and b"\r\ncontent-type: application/problem+json\r\n" in head:
        if status != b"504" and b"\r\nretry-after:" not in head:
            return FAILED, f"{status.decode()} without Retry-After"
        return REFUSED, status.decode()
    return FAILED, status.decode(errors="replace")


def run(scene: Callable[[], Any]) -> Any:
    """Run a scene, a coroutine function, on uvloop, with the garbage collector out of the way."""
    import uvloop

    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scene())
    finally:
        gc.enable()
        gc.unfreeze()
