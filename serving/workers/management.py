"""The management port of several workers, in a process of its own: their metrics summed, their health together."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from contracts.bundle import Bundle
from serving import endpoints
from serving.endpoints import Readiness
from serving.http.server import Server
from serving.limits import Limits
from serving.metrics import Metrics, exposition
from serving.workers.board import READY, Board


class Together(Readiness):
    """Ready when every worker is."""

    def __init__(self, board: Board) -> None:
        self._board = board

    @property
    def ready(self) -> bool:  # type: ignore[override]  # asked, never set
        """Whether all want requests."""
        return self._board.ready


def summed(counters: Metrics, board: Board, gauges: Mapping[str, str]) -> Metrics:
    """Make `counters` the sum of what all workers have counted, whenever it is written out."""
    counters.refresh = lambda: counters.sheet.total([place.sheet for place in board.places])
    counters.gauges.update({name: (text, _sum_of(board, number)) for number, (name, text) in enumerate(gauges.items())})
    counters.gauges["ml_workers"] = (
        "Workers that want requests",
        lambda: sum(place.state == READY for place in board.places),
    )
    counters.more.append(lambda model: _workers(board, model))
    counters.process = Processes(board)
    return counters


async def serve(
    bundle: Bundle, counters: Metrics, board: Board, listener: socket.socket, lifeline: int, limits: Limits
) -> None:
    """Answer until told to stop, or until the supervisor is gone."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(lifeline, stop.set)
    server = Server(endpoints.management(bundle, counters, Together(board)), limits)
    server.listen_on(listener)
    await stop.wait()
    loop.remove_reader(lifeline)
    await server.close(1.0)


def _sum_of(board: Board, number: int) -> Callable[[], float]:
    return lambda: sum(place.gauges[number] for place in board.places)


def _workers(board: Board, model: Mapping[str, str]) -> Iterator[Iterable[str]]:
    text = "Workers that died and were started again"
    yield exposition.family("ml_worker_restarts_total", "counter", text, [(model, board.restarts)])


class Processes:
    """The process metrics, of all processes together. Memory that they share counts once."""

    def __init__(self, board: Board) -> None:
        self._board, self._cpu = board, 0.0

    def __call__(self, model: Mapping[str, str]) -> Iterator[Iterable[str]]:
        """The families."""
        dead = self._board.cpu_of_the_dead  # before the living: who dies meanwhile is missed once, not counted twice
        each = [found for pid in self._board.pids if (found := _process(pid))]
        if not each:
            return  # the system does not say
        cpu, memory, descriptors = (sum(kind) for kind in zip((dead, 0, 0), *each, strict=True))
        self._cpu = max(self._cpu, cpu)  # a counter never falls
        yield exposition.family("process_cpu_seconds_total", "counter", "CPU time", [({}, self._cpu)])
        yield exposition.family("process_resident_memory_bytes", "gauge", "Memory", [({}, memory)])
        yield exposition.family("process_open_fds", "gauge", "Open file descriptors", [({}, descriptors)])


def _process(pid: int) -> tuple[float, int, int] | None:
    """CPU seconds, memory and descriptors of a process, where the system says them."""
    place = Path("/proc") / str(pid)
    with suppress(OSError):  # it has ended just now
        after_name = (place / "stat").read_text().rpartition(")")[2].split()
        cpu = (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
        return cpu, _memory(place), sum(1 for _ in (place / "fd").iterdir())
    return None


def _memory(place: Path) -> int:
    with suppress(OSError):
        for line in (place / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
