"""Memory that all processes of one service see: how each worker is, and what it has counted.

Every cell has one writer. What a worker counted stays when it dies: the next one in its place goes on from there, so
that sums never fall and nothing is counted twice.
"""

import mmap
from collections.abc import Sequence
from time import monotonic

from serving.metrics.cells import BYTES

ABSENT, STARTING, READY, DRAINING = range(4)
GAUGES = 32  # of one worker, at most
_PID, _STATE, _CONNECTIONS, _BEATS, _HEAD = range(5)  # cells before a place's gauges and counters
_STOPPING, _RESTARTS, _MANAGEMENT, _SUPERVISOR = range(4)


class Place:
    """One worker's part of the board."""

    def __init__(self, memory: memoryview) -> None:
        self._head = memory[: _HEAD * BYTES].cast("q")
        self.gauges = memory[_HEAD * BYTES : (_HEAD + GAUGES) * BYTES].cast("d")
        self.sheet = memory[(_HEAD + GAUGES) * BYTES :]  # of its Metrics

    @property
    def pid(self) -> int:
        """The worker's process, 0 when there is none."""
        return self._head[_PID]

    @pid.setter
    def pid(self, pid: int) -> None:
        self._head[_PID] = pid

    @property
    def state(self) -> int:
        """ABSENT, STARTING, READY or DRAINING."""
        return self._head[_STATE]

    @state.setter
    def state(self, state: int) -> None:
        self._head[_STATE] = state

    @property
    def connections(self) -> int:
        """As the worker last counted them."""
        return self._head[_CONNECTIONS]

    @connections.setter
    def connections(self, connections: int) -> None:
        self._head[_CONNECTIONS] = connections

    @property
    def beats(self) -> int:
        """How often the worker has said that it is well."""
        return self._head[_BEATS]

    def beat(self) -> None:
        """The worker is well."""
        self._head[_BEATS] += 1

    def leave(self) -> None:
        """The worker is gone; what it counted stays."""
        self._head[_PID], self._head[_STATE], self._head[_CONNECTIONS] = 0, ABSENT, 0
        for gauge in range(GAUGES):
            self.gauges[gauge] = 0.0


class Board:
    """The places of all workers, and what their supervisor has to say. Shared with every process forked later."""

    def __init__(self, workers: int, sheet_bytes: int) -> None:
        size = (_HEAD + GAUGES) * BYTES + sheet_bytes
        own = 5 * BYTES
        memory = memoryview(mmap.mmap(-1, own + workers * size))
        self._own, self._seconds = memory[: 4 * BYTES].cast("q"), memory[4 * BYTES : own].cast("d")
        self.places: Sequence[Place] = [
            Place(memory[start : start + size]) for start in range(own, own + workers * size, size)
        ]
        self.began = monotonic()

    @property
    def ready(self) -> bool:
        """Whether every worker wants requests."""
        return not self.stopping and all(place.state == READY for place in self.places)

    @property
    def stopping(self) -> bool:
        """Whether the service goes away."""
        return bool(self._own[_STOPPING])

    def stop(self) -> None:
        """The service goes away."""
        self._own[_STOPPING] = 1

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return self._own[_RESTARTS]

    def restarted(self) -> None:
        """A worker was started again."""
        self._own[_RESTARTS] += 1

    @property
    def cpu_of_the_dead(self) -> float:
        """CPU seconds of processes that have ended."""
        return self._seconds[0]

    def ended(self, cpu_seconds: float) -> None:
        """A process has ended that used so much."""
        self._seconds[0] += cpu_seconds

    @property
    def pids(self) -> list[int]:
        """The processes of the service that live."""
        pids = [*(place.pid for place in self.places), self._own[_MANAGEMENT], self._own[_SUPERVISOR]]
        return [pid for pid in pids if pid]

    def note(self, supervisor: int, management: int) -> None:
        """The processes beside the workers; 0 for one that is not there."""
        self._own[_SUPERVISOR], self._own[_MANAGEMENT] = supervisor, management
