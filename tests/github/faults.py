"""What goes wrong on the way: refusals, errors, slow and cut connections, before or after the work was done."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

# Moments of a request: it came, it is answered but the answer is not sent yet.
BEFORE, AFTER = "before", "after"


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and path match, at a moment of theirs."""

    match: str = ""  # a pattern searched in `METHOD /path`
    code: int = 0  # answered instead; 0: none is
    message: str = "Server Error"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # waited before the answer
    cut: bool = False  # the connection ends without an answer
    partly: bool = False  # ... in the middle of one
    moment: str = BEFORE
    times: int = 1
    does: Callable[[], object] | None = None  # somebody else is faster

    @classmethod
    def many(cls, match: str = "", code: int = 429, wait: int = 0, times: int = 1) -> "Fault":
        """A rate limit that says how long to wait."""
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        return cls(match, code, message, {"retry-after": str(wait)}, times=times)


class Faults:
    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.met: list[tuple[str, Fault]] = []
        self.watch: Callable[[str, str], object] | None = None  # told `METHOD /path` and the moment of every request
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        self.waiting += faults

    def clear(self) -> None:
        self.waiting.clear()

    def of(self, line: str, moment: str) -> Fault | None:
        if self.watch:
            self.watch(line, moment)
        with self._lock:
            for fault in self.waiting:
                if fault.moment == moment and fault.times and re.search(fault.match, line):
                    fault.times -= 1
                    self.met.append((line, fault))
                    return fault
        return None
