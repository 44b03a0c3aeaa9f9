"""What was seen while the server was asked."""

import math
from collections import Counter

from msgspec import Struct


class Observations(Struct, kw_only=True):
    """The measured part of a run, without the warm-up. An answer is one that came in time with status 200."""

    seconds: float
    latencies: list[float]  # of answers, milliseconds
    per_second: list[int]  # answers in each second of the run
    errors: Counter[str]  # requests without an answer, by reason
    wrong: Counter[str]  # answers that were not right, by reason
    digests: Counter[str]
    versions: Counter[str]
    golden: int  # golden rows that were asked for, and answered rightly

    @property
    def requests(self) -> int:
        """All of them."""
        return len(self.latencies) + self.errors.total()

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def error_share(self) -> float:
        """Requests without an answer, of all."""
        return self.errors.total() / self.requests if self.requests else 1.0

    def percentile(self, share: float) -> float:
        """The latency that `share` of the answers did not exceed (nearest rank); infinite without any."""
        if not self.latencies:
            return math.inf
        return sorted(self.latencies)[max(math.ceil(share * len(self.latencies)) - 1, 0)]
