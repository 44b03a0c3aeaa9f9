"""Starts the workers of a service, starts them again when they die, and ends them without losing a request.

Workers are forked, not spawned: after everything is imported and the bundle verified, before there is a session, a
thread or an event loop. All of them, those that are started later too, serve the very bytes that were verified.
"""

import asyncio
import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable
from time import monotonic
from types import FrameType

import msgspec
from msgspec import Struct

from contracts.bundle import Bundle
from contracts.errors import InputError
from serving.http.server import address, open_port
from serving.limits import Limits
from serving.metrics import Metrics
from serving.workers import management
from serving.workers.board import READY, STARTING, Board
from serving.workers.child import MANAGEMENT, Child
from serving.workers.seat import Message, Seat

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
WATCH_SECONDS = 1.0  # between two looks at whether workers are well


class Service(Struct, frozen=True, kw_only=True):
    """What is to run: `work` serves in a worker, until it is told to stop; `ready` is said when all of them do."""

    bundle: Bundle
    version: str
    counters: Metrics  # of all together, with the same counters as each worker has
    workers: int
    host: str
    port: int
    management_port: int
    management_limits: Limits
    drain_seconds: float  # that workers go on answering after they were told to stop
    in_flight_seconds: float  # that they may then still take
    work: Callable[[Seat], None]
    say: Callable[[str], None]
    grace_seconds: float = 5.0  # beyond that; who has not ended then is killed
    stuck_seconds: float = 30.0  # without a sign of life; a worker whose event loop stands still is killed then
    tick: Callable[[], None] | None = None  # called now and then


def run(service: Service) -> int:
    """Serve until told to stop; the exit code. Raises InputError when a port, or the bundle in a worker, is refused."""
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(open_port(service.host, service.port))
        platform = stack.enter_context(open_port(service.host, service.management_port))
        gc.collect()
        gc.freeze()  # what is there now stays: no collection may touch it, and so copy it into every worker
        supervisor = Supervisor(service, clients, platform)
        stack.callback(supervisor.end)
        return supervisor.run()


class Supervisor:
    """The parent. It does nothing but wait: for signals, for the death of a child, for what workers say."""

    def __init__(self, service: Service, clients: socket.socket, platform: socket.socket) -> None:
        self._service, self._clients, self._platform = service, clients, platform
        self._board = Board(service.workers, service.counters.sheet.bytes)
        self._workers = [Child(number, self._worker(number)) for number in range(service.workers)]
        self._management = Child(MANAGEMENT, self._manage)
        self._gauges: dict[str, str] = {}
        self._said = ""  # by workers, of where else they listen
        self._ready: set[int] = set()
        self._refused = ""
        self._cut_off = 0
        self._stops = 0
        self._watched = monotonic()
        self._rest = b""  # of what workers say, not yet a whole line
        self._voice, self._voice_of_workers = os.pipe()
        self._lifeline, self._life = os.pipe()
        os.set_blocking(self._voice, False)
        self._signals, wake = socket.socketpair()
        self._signals.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._voice, selectors.EVENT_READ)
        self._selector.register(self._signals, selectors.EVENT_READ)

    def run(self) -> int:
        """Until told to stop; the exit code."""
        # The descriptor first: a signal that came between the two would be taken and never noted.
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, _noted)
        self._board.note(os.getpid(), 0)
        service = self._service
        while len(self._ready) < service.workers and not self._stops:
            self._turn(self._workers)
            if self._refused:
                raise InputError(self._refused)
        children = [*self._workers, self._management]
        if not self._stops:
            self._start(self._management)
            manifest, digest = service.bundle.manifest, service.bundle.digest
            what = f"model={manifest.name} version={service.version} digest={digest} workers={service.workers}"
            service.say(f"ready url={address(self._clients)} management={address(self._platform)}{self._said} {what}")
        while not self._stops:
            self._turn(children)
        return self._stop()

    def end(self) -> None:
        """Leave no process behind, whatever happened."""
        for child in (*self._workers, self._management):
            if child.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                child.pid = 0
        signal.set_wakeup_fd(-1)

    def _stop(self) -> int:
        self._board.stop()
        # Ours must not be the last hold on the port: it would go on taking clients whom nobody accepts.
        self._clients.close()
        service = self._service
        service.say(f"draining seconds={service.drain_seconds:g}")
        told, grace = 0, service.grace_seconds
        deadline = monotonic() + service.drain_seconds + service.in_flight_seconds + grace
        while any(child.pid for child in self._workers) and monotonic() < deadline:
            while told < self._stops:
                told += 1
                for child in self._workers:
                    if child.pid:
                        os.kill(child.pid, signal.SIGTERM)
            self._turn([], deadline)
        killed = [child for child in self._workers if child.pid]
        if self._management.pid:
            os.kill(self._management.pid, signal.SIGTERM)
            while self._management.pid and monotonic() < deadline + grace:
                self._turn([], deadline + grace)
        self._hear()
        for child in killed:
            log.error("%s did not end in time and is killed", child.name)
        self._service.say(f"stopped cut_off={self._cut_off}")
        return 1 if killed else 0

    def _turn(self, wanted: list[Child], deadline: float = float("inf")) -> None:
        """Start who is due among `wanted`, then wait for the next thing to happen, and take note of it."""
        for child in wanted:
            if not child.pid and child.due <= monotonic():
                self._start(child)
        self._watch()
        if self._service.tick:
            self._service.tick()
        due = (deadline, self._watched + WATCH_SECONDS, *(child.due for child in wanted if not child.pid))
        self._selector.select(max(min(due) - monotonic(), 0.0))
        with contextlib.suppress(BlockingIOError):
            numbers = self._signals.recv(4096)
            self._stops += sum(number in (signal.SIGTERM, signal.SIGINT) for number in numbers)
        self._hear()
        self._bury()

    def _watch(self) -> None:
        """End workers that stand still.

        What counts is how long this process has watched, not the time of day: it may have been stopped as well.
        """
        if monotonic() < self._watched + WATCH_SECONDS:
            return
        self._watched = monotonic()
        for child in self._workers:
            place = self._board.places[child.number]
            still = place.state == READY and place.beats == child.beats
            child.beats, child.silent = place.beats, child.silent + WATCH_SECONDS if still else 0.0
            if child.silent >= self._service.stuck_seconds:
                child.silent = 0.0
                log.error("%s has stood still for %g s and is killed", child.name, self._service.stuck_seconds)
                os.kill(child.pid, signal.SIGKILL)

    def _start(self, child: Child) -> None:
        place = None if child.number == MANAGEMENT else self._board.places[child.number]
        if place:
            place.state = STARTING  # before it is there: READY is its to say
        try:
            child.start(SIGNALS)
        except OSError as error:
            child.due = monotonic() + child.patience.wait()
            log.error("%s cannot be started: %s", child.name, error.strerror)
            return
        if not place:
            self._board.note(os.getpid(), child.pid)
            return
        place.pid = child.pid
        if child.number in self._ready:
            self._board.restarted()

    def _bury(self) -> None:
        """Take note of who has died."""
        for child in (*self._workers, self._management):
            if not child.pid:
                continue
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if not pid:
                continue
            self._hear()  # its last words
            self._board.ended(used.ru_utime + used.ru_stime)
            child.pid = 0
            if child.number == MANAGEMENT:
                self._board.note(os.getpid(), 0)
            else:
                self._board.places[child.number].leave()
            if self._stops:
                continue
            wait = child.patience.wait()
            child.due = monotonic() + wait
            how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"code {os.WEXITSTATUS(status)}"
            if child.number in self._ready or child.number == MANAGEMENT:
                log.error("%s ended with %s; it is started again in %g s", child.name, how, wait)
            else:
                self._refused = self._refused or f"workers: {child.name}: ended with {how}; its log says why"

    def _hear(self) -> None:
        """Take note of what workers say."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._voice, 65536):
                self._rest += part
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            message = msgspec.json.decode(line, type=Message)
            self._cut_off += message.cut_off
            if message.gauges is not None:
                self._ready.add(message.worker)
                self._gauges, self._said = message.gauges, message.said
            if message.refused and message.worker in self._ready:
                log.error("worker %s cannot start again: %s", message.worker, message.refused)
            elif message.refused:
                self._refused = message.refused

    def _enter(self) -> None:
        """In a child: let go of what is its parent's."""
        self._selector.close()
        self._signals.close()
        self._wake.close()
        os.close(self._life)
        os.close(self._voice)

    def _worker(self, number: int) -> Callable[[], None]:
        def work() -> None:
            self._enter()
            self._platform.close()
            seat = Seat(self._board, number, self._clients, self._lifeline, self._voice_of_workers)
            try:
                self._service.work(seat)
            except InputError as error:
                seat.refuse(str(error))
                raise

        return work

    def _manage(self) -> None:
        self._enter()
        self._clients.close()
        os.close(self._voice_of_workers)
        service, board = self._service, self._board
        counters = management.summed(service.counters, board, self._gauges)
        limits = service.management_limits
        with asyncio.Runner() as runner:
            runner.run(management.serve(service.bundle, counters, board, self._platform, self._lifeline, limits))


def _noted(number: int, frame: FrameType | None) -> None:
    """Nothing: that there is a handler makes Python write the signal's number to the wakeup descriptor."""
