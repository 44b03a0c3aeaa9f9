"""What every scenario is given, and the search for the rate that a server can carry."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench.load import RIGHT, Load
from bench.reliability import processes
from bench.reliability.processes import Server
from contracts.budgets import Budgets

FULL_MINUTES = 10.0
SERVER_CORE, CLIENT_CORE = 0, 1


class Setup(Struct, frozen=True):
    """Where to work and how much to do; `share` is 1 for a full run."""

    scratch: Path
    minutes: float
    budgets: Budgets
    say: Callable[[str], None]

    @property
    def share(self) -> float:
        return min(1.0, self.minutes / FULL_MINUTES)

    def times(self, full: int, least: int = 2) -> int:
        """How often something is done."""
        return max(least, round(full * self.share))

    def seconds(self, full: float, least: float = 3.0) -> float:
        """How long something is done."""
        return max(least, full * self.share)

    def store(self, name: str) -> Path:
        """A folder for bundles."""
        return self.scratch / name


class Carried(Struct, frozen=True):
    """The highest rate that kept the budget, in requests a second, with the server's share of its core at that rate."""

    rate: float
    p50: float
    p99: float
    busy: float


async def highest_rate(setup: Setup, load: Load, server: Server, first: float, seconds: float) -> Carried:
    """Step up until an answer is missing or the latency budget is broken, then once between the last two steps."""
    service = setup.budgets.service
    best, rate, step = Carried(0.0, 0.0, 0.0, 0.0), first, 1.5
    while True:
        used = processes.cpu(server.pid)
        begin, end = await load.at(rate, seconds)
        busy = (processes.cpu(server.pid) - used) / seconds
        await load.settle()
        ends = load.tally.ends(begin, end)
        p50, p99 = load.tally.quantile(0.5, begin, end), load.tally.quantile(0.99, begin, end)
        kept = set(ends) == {RIGHT} and p50 <= service.latency_p50_ms and p99 <= service.latency_p99_ms
        setup.say(f"{rate:,.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, server {busy:.0%}{'' if kept else ': too much'}")
        if kept:
            best = Carried(rate, p50, p99, busy)
        elif step > 1.3 and best.rate:
            step, rate = 1.15, best.rate
        elif best.rate or rate < 1:
            return best
        else:
            rate /= 4  # it was too much from the start
        rate *= step
