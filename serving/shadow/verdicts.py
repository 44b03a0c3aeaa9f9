"""What became of the copies, in memory that the shadow writes and the primary reads."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from serving.metrics import SECONDS, exposition
from serving.metrics.cells import Cells, Histogram, Sheet, Words

ABSENT, STARTING, SERVING, REFUSED = range(4)
_RESTARTS, _DIGEST = 1, slice(2, 6)  # cells of `state`, after the state itself
DIFFERENCES = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 10.0, 100.0, 1000.0)


class Verdicts:
    """The shadow's counters."""

    def __init__(self) -> None:
        self.state = Cells(6)
        self.calls = Words(("compared", "failed"))
        self.rows = Words(("compared", "differing"))
        self.difference, self.duration = Histogram(DIFFERENCES), Histogram(SECONDS)
        self.sheet = Sheet((self.state, self.calls, self.rows, self.difference, self.duration))

    def is_now(self, state: int) -> None:
        """ABSENT, STARTING, SERVING or REFUSED."""
        self.state.whole[0] = state

    def restarted(self) -> None:
        """The shadow was started again."""
        self.state.whole[_RESTARTS] += 1

    def serves(self, digest: str) -> None:
        """The shadow is ready, with the bundle of this digest."""
        self.state.whole[_DIGEST] = memoryview(bytes.fromhex(digest.removeprefix("sha256:"))).cast("q")
        self.is_now(SERVING)

    def families(self, calls: Words, rows: Words, model: Mapping[str, str]) -> Iterator[Iterable[str]]:
        """All metrics of the shadow; `calls` and `rows` are the primary's part, as it counted them."""
        state, restarts, *digest = self.state.whole.tolist()
        text = "Calls of the model, by what became of their copies"
        yield _counters("ml_shadow_requests_total", text, model, calls, self.calls)
        yield _counters("ml_shadow_rows_total", "Rows, by what became of their copies", model, rows, self.rows)
        text = "Absolute difference between an output of the shadow and of the model"
        yield exposition.histogram("ml_shadow_difference", text, model, self.difference)
        text = "Time of one call of the shadow"
        yield exposition.histogram("ml_shadow_duration_seconds", text, model, self.duration)
        text = "Whether the shadow takes copies"
        yield exposition.family("ml_shadow_up", "gauge", text, [(model, int(state == SERVING))])
        text = "Whether the shadow refused to start; its log line says why"
        yield exposition.family("ml_shadow_refused", "gauge", text, [(model, int(state == REFUSED))])
        text = "Times that the shadow died and was started again"
        yield exposition.family("ml_shadow_restarts_total", "counter", text, [(model, restarts)])
        if any(digest):
            named = {**model, "digest": "sha256:" + np.array(digest, np.int64).tobytes().hex()}
            yield exposition.family("ml_shadow_info", "gauge", "What is the shadow", [(named, 1)])


def _counters(name: str, text: str, model: Mapping[str, str], *parts: Words) -> Iterator[str]:
    counts = sorted(count for part in parts for count in part.all().items())
    return exposition.family(name, "counter", text, [({**model, "outcome": what}, n) for what, n in counts])
