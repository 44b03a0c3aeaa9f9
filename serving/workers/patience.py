"""How long to wait before something that died is started again."""

from time import monotonic

FIRST, LONGEST = 0.5, 30.0  # seconds
SETTLED = 10.0  # seconds that it must have lived for the next death to be a first one


class Patience:
    """No wait at first; twice as long each time for what keeps dying."""

    def __init__(self) -> None:
        self._wait = 0.0
        self._began = monotonic()

    def began(self) -> None:
        """It was started."""
        self._began = monotonic()

    def wait(self) -> float:
        """It died: the seconds to wait now."""
        if monotonic() - self._began > SETTLED:
            self._wait = 0.0
        wait, self._wait = self._wait, min(max(2 * self._wait, FIRST), LONGEST)
        return wait
