"""A process of the service: forked, and ended without ever coming back into its parent's code."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection

from contracts.errors import InputError
from serving.workers.patience import Patience

MANAGEMENT = -1  # the number of the child that is no worker


class Child:
    """A process that has to be there. `run` is what it does."""

    def __init__(self, number: int, run: Callable[[], None]) -> None:
        self.number, self.run = number, run
        self.pid = 0
        self.due = 0.0  # when to start it, if it is not there
        self.patience = Patience()
        self.beats, self.silent = 0, 0.0  # what it last said, and for how many seconds it has not said more

    @property
    def name(self) -> str:
        """As logs call it."""
        return "management" if self.number == MANAGEMENT else f"worker {self.number}"

    def start(self, signals: Collection[signal.Signals]) -> None:
        """Fork, with the parent's `signals` set back. Raises OSError where the system has no room for it."""
        self.patience.began()
        sys.stdout.flush()
        sys.stderr.flush()
        # None may come to the child while it has its parent's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        if not pid:
            self._live(signals)
        self.pid = pid

    def _live(self, signals: Collection[signal.Signals]) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in signals:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            os.setpgid(0, 0)  # what a terminal sends to all is for the supervisor to pass on
            self.run()
            code = 0
        except InputError:
            code = 2
        except BaseException:  # noqa: BLE001  nothing may return from here: the caller is the parent
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
