"""A client that asks at a fixed rate whatever comes back, and measures from the moment a request was due.

usage: python open_loop.py PORT RATE SECONDS CONNECTIONS < the request, as it goes over the wire

It never sleeps: on a core of its own it looks at the clock and the sockets in turn, which takes some microseconds. When
the machine takes the core away, that is seen as a gap between two looks, and the requests under way in it are counted
apart (`held_up`): their time says nothing about the server. Prints one line of JSON. Standard library only.
"""

import gc
import json
import select
import socket
import sys
from time import perf_counter_ns

GAP = 150_000  # nanoseconds between two looks; with nothing in the way it is some 10,000
PATIENCE = 5_000_000_000  # nanoseconds that the last answers may take


class Load:
    """The requests of one run: when each was due, when it was answered."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self._request = request
        self._poll = select.poll()
        self._sockets: dict[int, socket.socket] = {}
        self._due: dict[int, int] = {}  # by socket: what is under way there
        self._rest: dict[int, bytes] = {}
        for _ in range(connections):
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            self._sockets[client.fileno()] = client
            self._rest[client.fileno()] = b""
            self._poll.register(client, select.POLLIN)
        self._idle = list(self._sockets)
        self.answered: list[tuple[int, int]] = []  # due, answered
        self.gaps: list[tuple[int, int]] = []
        self.bad_status = 0

    def run(self, rate: float, seconds: float) -> None:
        """Ask `rate` times a second for `seconds`, then wait for what is under way."""
        total, step = int(rate * seconds), 1e9 / rate
        begin = last = perf_counter_ns()
        sent = 0
        end = begin + int(seconds * 1e9) + PATIENCE
        while len(self.answered) < total and last < end:
            now = perf_counter_ns()
            if now - last > GAP:
                self.gaps.append((last, now))
            last = now
            while sent < total and self._idle and now >= (due := begin + int(sent * step)):
                place = self._idle.pop()
                self._due[place] = due
                self._sockets[place].send(self._request)
                sent += 1
            for place, _ in self._poll.poll(0):
                self._read(place)

    def close(self) -> None:
        """End all connections."""
        for client in self._sockets.values():
            client.close()

    def _read(self, place: int) -> None:
        data = self._sockets[place].recv(65536)
        if not data:
            raise ConnectionError("the server has closed a connection")
        data = self._rest[place] + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _length(data[:head]):
            self._rest[place] = data
            return
        self._rest[place] = b""
        self.answered.append((self._due.pop(place), perf_counter_ns()))
        self.bad_status += data[9:12] != b"200"
        self._idle.append(place)


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"\r\ncontent-length:") + 17
    end = lowered.find(b"\r\n", start)
    return int(lowered[start : end if end > 0 else len(lowered)])


def summary(load: Load, expected: int) -> dict[str, float]:
    """Microseconds at the median and the 99th percentile: of all, and of those that no gap fell into."""
    times = [answered - due for due, answered in load.answered]
    clean, gaps, place = [], load.gaps, 0
    for due, answered in sorted(load.answered):
        while place < len(gaps) and gaps[place][1] < due:
            place += 1
        if not any(start < answered and due < end for start, end in gaps[place : place + 50]):
            clean.append(answered - due)
    return {
        "requests": len(times),
        "lost": expected - len(times),
        "bad_status": load.bad_status,
        "held_up": len(times) - len(clean),
        "p50": _percentile(clean, 0.50),
        "p99": _percentile(clean, 0.99),
        "p99_all": _percentile(times, 0.99),
    }


def _percentile(values: list[int], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1e3 if ordered else float("nan")


def main(port: int, rate: float, seconds: float, connections: int) -> None:
    """Warm up, measure, say what was found."""
    request = sys.stdin.buffer.read()
    warm = Load(port, request, connections)
    warm.run(rate, 0.3)
    warm.close()
    gc.disable()
    load = Load(port, request, connections)
    load.run(rate, seconds)
    print(json.dumps(summary(load, int(rate * seconds))))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
