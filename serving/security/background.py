"""Work beside the event loop that recurs: reading what has changed, so that no request ever waits for it."""

import logging
import os
import threading
import weakref
from collections.abc import Callable

log = logging.getLogger(__name__)

AFTER_A_FAILURE = 10.0


class Background:
    """Calls `step` in a thread of its own, over and over; `step` gives the seconds until it wants to be called again.

    A process that was forked has no threads but its first one: there, the thread is started anew.
    """

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self._name, self._step, self._closed = name, step, False
        self._start()
        if hasattr(os, "register_at_fork"):
            start = weakref.WeakMethod(self._start)
            os.register_at_fork(after_in_child=lambda: (method := start()) and method())

    def wake(self) -> None:
        """Ask for a step now, without waiting for it."""
        self._woken.set()

    def close(self) -> None:
        """No more steps, after the one that may be under way."""
        self._closed = True
        self._woken.set()

    def _start(self) -> None:
        self._woken = threading.Event()
        if not self._closed:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while not self._closed:
            try:
                seconds = self._step()
            except Exception as error:  # noqa: BLE001  what is read anew every few seconds must not end with one failure
                log.error("failure in=%s error=%s", self._name, type(error).__name__)
                seconds = AFTER_A_FAILURE
            self._woken.wait(seconds)
            self._woken.clear()
