"""A worker's side: what a process does differently when it serves beside others."""

import asyncio
import os
import socket
from collections.abc import Callable

import msgspec
from msgspec import Struct

from serving.metrics import Metrics
from serving.workers.board import DRAINING, GAUGES, READY, Board

REPORT_SECONDS = 0.5  # between two looks at gauges: how old their sums may be
COURTESIES = 5  # in a row, of a millisecond each: then a client is taken though others have fewer


class Message(Struct, frozen=True, omit_defaults=True):
    """What a worker says to its supervisor."""

    worker: int
    gauges: dict[str, str] | None = None  # it is ready, and these are its gauges, with what they say
    said: str = ""  # by a worker that is ready, of where else it listens
    refused: str = ""  # why it cannot start
    cut_off: int = 0  # connections, when it stopped


class Seat:
    """A worker's place among its like: the port they share, their board, the lines to the supervisor.

    `lifeline` is a descriptor that becomes readable when the supervisor is gone, however it went.
    """

    def __init__(self, board: Board, number: int, listener: socket.socket, lifeline: int, voice: int) -> None:
        self.listener, self.lifeline, self.number = listener, lifeline, number
        self._board, self._voice = board, voice
        self._place = board.places[number]
        self._courtesies = 0
        self._report: asyncio.Task | None = None

    def share(self, connections: int) -> bool:
        """Whether to take a client, with so many here already: not while another worker has fewer.

        Clients stay connected for long and are few behind a proxy; who happens to wake first would get most of them.
        """
        self._place.connections = connections
        fewer = any(place.connections < connections for place in self._board.places if place.state == READY)
        if fewer and self._courtesies < COURTESIES:
            self._courtesies += 1
            return False
        self._courtesies = 0
        return True

    def count(self, counters: Metrics) -> None:
        """Count on the board from now on."""
        if len(self._place.sheet) != counters.sheet.bytes:
            raise ValueError("a worker has other counters than the board has room for")
        counters.sheet.place(self._place.sheet)

    def ready(self, counters: Metrics, said: str = "") -> None:
        """Everything is verified and this worker accepts clients; `said` is of other ports than the shared one."""
        if len(counters.gauges) > GAUGES:
            raise ValueError(f"{len(counters.gauges)} gauges, the board has room for {GAUGES}")
        self._report = asyncio.create_task(self._reports(counters))
        self._place.state = READY
        gauges = {name: text for name, (text, _) in counters.gauges.items()}
        self._say(Message(self.number, gauges=gauges, said=said))

    def draining(self) -> None:
        """This worker wants no more requests."""
        self._place.state = DRAINING

    def left(self, counters: Metrics, cut_off: int) -> None:
        """This worker has closed its connections, of which it cut off so many."""
        if self._report:
            self._report.cancel()
        counters.drift.count()
        self._say(Message(self.number, cut_off=cut_off))

    def refuse(self, reason: str) -> None:
        """This worker cannot start."""
        self._say(Message(self.number, refused=reason[:2000]))

    def orphaned(self, then: Callable[[], None]) -> None:
        """Have `then` called in this loop when the supervisor is gone."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self.lifeline)
            then()

        loop.add_reader(self.lifeline, gone)

    async def _reports(self, counters: Metrics) -> None:
        """What cannot be counted where it happens is written down now and then."""
        read = [value for _, value in counters.gauges.values()]
        while True:
            self._place.beat()
            counters.drift.count()
            for number, value in enumerate(read):
                self._place.gauges[number] = value()
            await asyncio.sleep(REPORT_SECONDS)

    def _say(self, message: Message) -> None:
        try:
            os.write(self._voice, msgspec.json.encode(message) + b"\n")  # short enough to be one piece in a pipe
        except BrokenPipeError:
            pass  # there is no supervisor any more
