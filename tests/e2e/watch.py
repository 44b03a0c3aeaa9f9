"""What an environment went through, with the moments."""

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.cluster import LOOK, Unreachable


class Watch(threading.Thread):
    """Looks at an environment all the time and keeps every change."""

    def __init__(self, look: Callable[[], dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self._look = look
        self.ended = threading.Event()
        self.changes: list[tuple[float, dict[str, Any]]] = []

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                said = self._look()
            except Unreachable:
                said = {"phase": "API server away"}
            if not self.changes or self.changes[-1][1] != said:
                self.changes.append((time.time(), said))
            self.ended.wait(LOOK)

    def first(self, matches: Callable[[dict[str, Any]], bool], after: float = 0.0) -> float | None:
        """The first moment at which a state was seen."""
        return next((at for at, said in self.changes if at >= after and matches(said)), None)
