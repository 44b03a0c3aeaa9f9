"""A listening port with its connections: who is admitted, who has been slow for too long, how all of them end."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

from contracts.errors import InputError
from serving.exchange import Handler
from serving.http.connection import Connection
from serving.limits import Limits

BACKLOG = 1024
# Between closing the port and closing idle connections: what is on its way on them is still answered, with
# `Connection: close`. Closed at once, a connection whose request lies unread in the socket would be reset.
LAST_LOOK_SECONDS = 0.1
TICK_SECONDS = 1.0
YIELD_SECONDS = 0.001  # for which a client is left to a process with fewer connections


def open_port(host: str, port: int) -> socket.socket:
    """A port (0: any free one) on which clients can connect; raises InputError when it cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
        raise InputError(f"{host}:{port}: port: {reason}; stop what holds it or choose another one") from error
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """The URL of an open port."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server:
    """Serves `handler` on one port. While `draining`, every answer asks its client to connect anew, elsewhere."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler, self.limits = handler, limits
        self.draining = False
        self.date = b""  # the value of the Date header
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.idle_deadline = self.now() + limits.idle_seconds
        self._connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._share: Callable[[int], bool] | None = None
        self._joining: set[asyncio.Task] = set()
        self._ticks: asyncio.Task | None = None
        self._empty = asyncio.Event()

    async def listen(self, host: str, port: int) -> str:
        """Open the port (0: any free one) and give its URL; raises InputError when it cannot be had."""
        return self.listen_on(open_port(host, port))

    def listen_on(self, listener: socket.socket, share: Callable[[int], bool] | None = None) -> str:
        """Accept from an open port and give its URL. Of a port that several processes share, one client at a time.

        `share` says, given how many connections there are here, whether it is this process's turn to take one.
        """
        self._socket, self._share = listener, share
        self._loop.add_reader(listener, self._accept)
        self._ticks = self._loop.create_task(self._tick())
        return address(listener)

    async def close(self, seconds: float) -> int:
        """Listen no more, answer what has begun, for at most `seconds`; gives how many connections were cut off."""
        self.draining = True
        await self._stop_listening()
        if self._connections:
            await asyncio.sleep(LAST_LOOK_SECONDS)
        for connection in list(self._connections):
            connection.finish()
        if self._connections:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                pass
        left = [connection for connection in self._connections if connection.busy]
        for connection in list(self._connections):
            connection.transport.abort()
        if self._ticks:
            self._ticks.cancel()
        return len(left)

    def admit(self, connection: Connection) -> bool:
        """Keep a new connection in view; says whether it may ask anything."""
        self._connections.add(connection)
        if len(self._connections) > 2 * self.limits.connections:
            connection.transport.abort()  # not even a refusal: those still reading theirs are as many as the clients
        return len(self._connections) <= self.limits.connections

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def waiting(self) -> int:
        """Clients that wait for the answer to a request of which all has come."""
        return sum(connection.waits for connection in self._connections)

    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def _accept(self) -> None:
        """Accept whoever waits.

        asyncio's own listener cannot be closed without losing those who have connected and are not yet accepted.
        """
        assert self._socket is not None
        if self._share and not self._share(len(self._connections) + len(self._joining)):
            self._loop.remove_reader(self._socket)  # it would be called at once, again
            self._loop.call_later(YIELD_SECONDS, self._listen_again)
            return
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                try:
                    accepted, _ = self._socket.accept()
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        raise
                    self._loop.remove_reader(self._socket)  # it would be called at once, again; `_tick` tries anew
                    return
                accepted.setblocking(False)
                joining = self._loop.create_task(self._loop.connect_accepted_socket(self._connect, accepted))
                self._joining.add(joining)
                joining.add_done_callback(self._joining.discard)
                if self._share:
                    return  # whoever still waits is another one's, or ours when we are called again

    def _listen_again(self) -> None:
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._accept)

    def _connect(self) -> Connection:
        return Connection(self)

    async def _stop_listening(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._share = None
            self._accept()
            self._socket.close()  # from here on new clients are refused
            self._socket = None
        if self._joining:
            await asyncio.wait(self._joining)

    async def _tick(self) -> None:
        """Once in a while: the date, and the deadlines. One sweep costs less than a timer for every request."""
        while True:
            self.date = formatdate(usegmt=True).encode()
            now = self.now()
            self.idle_deadline = now + TICK_SECONDS + self.limits.idle_seconds  # until the next tick
            for connection in [connection for connection in self._connections if connection.deadline < now]:
                connection.expire()
            self._listen_again()
            await asyncio.sleep(TICK_SECONDS)
