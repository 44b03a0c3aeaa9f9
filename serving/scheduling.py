"""When work is done: at the end of this turn of the event loop, later, or in a thread beside it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")
Call = Callable[[], None]


class Scheduler(Protocol):
    """What the application needs of whoever drives it. Everything is called back in the caller's thread."""

    def soon(self, call: Call) -> object:
        """Call at the end of this turn, when everything that has arrived was looked at."""

    def later(self, seconds: float, call: Call) -> Call:
        """Call when the time has passed; gives a function that calls it off."""

    def beside(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Work in a thread, one piece of work after the other, and call back with what came of it."""


class EventLoop:
    """The scheduler of an asyncio event loop that is running."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread: ThreadPoolExecutor | None = None
        self.soon = loop.call_soon

    def later(self, seconds: float, call: Call) -> Call:
        """Call when the time has passed; gives a function that calls it off."""
        return self._loop.call_later(seconds, call).cancel

    def beside(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Work in a thread, one piece of work after the other, and call back with what came of it."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._thread.submit(work).add_done_callback(lambda future: self._hand_over(future, done))

    def _hand_over(self, future: "Future[T]", done: Callable[[T], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: done(future.result()))
