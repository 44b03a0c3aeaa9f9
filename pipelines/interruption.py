"""Ctrl-C and SIGTERM, also while somebody else's code works who does not look out for them.

DuckDB may hold the main thread until a query ends: where another thread has taken its only task, it waits for that
without looking for signals, and Python's handler runs in the main thread alone. And a KeyboardInterrupt that is raised
while C code asks for an attribute, as it does when pandas is imported, is swallowed there. So a thread of ours waits
for signals, calls off what the connections do, and sends the signal once more where nobody has taken it.
"""

import os
import signal
import socket
import threading
from time import monotonic
from typing import Any
from weakref import WeakSet

import duckdb

AGAIN_SECONDS = 2.0  # longer than it takes to clear up
LOOK_SECONDS = 0.05

_connections: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()


def interruptible(connection: duckdb.DuckDBPyConnection) -> None:
    """Let signals call off what this connection does."""
    _connections.add(connection)


class Interruption:
    """Makes Ctrl-C and SIGTERM a KeyboardInterrupt, for the main thread; `came` says whether there was one."""

    def __init__(self) -> None:
        self.came = 0
        self._taken = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)
        told, self._tells = socket.socketpair()
        self._tells.setblocking(False)
        signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._look_after, args=(told,), name="interruption", daemon=True).start()

    def taken(self) -> None:
        """The run is ending: no signal is sent again."""
        self._taken.set()

    def _interrupt(self, number: int, frame: Any) -> None:
        self.came += 1
        raise KeyboardInterrupt

    def _look_after(self, told: socket.socket) -> None:
        while (number := told.recv(1)[0]) not in (signal.SIGINT, signal.SIGTERM):
            pass  # somebody else's
        sent = 1
        while not self._taken.is_set():
            until = monotonic() + AGAIN_SECONDS
            while monotonic() < until and not self._taken.wait(LOOK_SECONDS):
                if self.came < sent:  # the main thread has not even heard of it
                    for connection in list(_connections):
                        connection.interrupt()
            if not self._taken.is_set():
                os.kill(os.getpid(), number)
                sent += 1
