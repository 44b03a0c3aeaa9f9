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
    """Step up until an answer is missing or the latency budget is broken, twice in a row, then in smaller steps."""
    best, rate, step = Carried(0.0, 0.0, 0.0, 0.0), first, 1.5
    while True:
        tried = await _carried(setup, load, server, rate, seconds) or await _carried(setup, load, server, rate, seconds)
        if tried:
            best = tried
        elif not best.rate and rate > 1:
            rate /= 4  # it was too much from the start
        elif step > 1.3:
            step, rate = 1.15, best.rate
        else:
            return best
        rate *= step


async def _carried(setup: Setup, load: Load, server: Server, rate: float, seconds: float) -> Carried | None:
    """Ask at this rate; None when the budget is broken."""
    used = processes.cpu(server.pid)
    begin, end = await load.at(rate, seconds)
    busy = (processes.cpu(server.pid) - used) / seconds
    await load.settle()
    service = setup.budgets.service
    p50, p99 = load.tally.quantile(0.5, begin, end), load.tally.quantile(0.99, begin, end)
    kept = (
        set(load.tally.ends(begin, end)) == {RIGHT} and p50 <= service.latency_p50_ms and p99 <= service.latency_p99_ms
    )
    setup.say(f"{rate:,.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, server {busy:.0%}{'' if kept else ': too much'}")
    return Carried(rate, p50, p99, busy) if kept else None
