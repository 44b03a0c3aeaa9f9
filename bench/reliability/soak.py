"""Soak: for minutes on end, as many requests as keep the budget. Nothing fails, nothing grows."""

import asyncio
import time
from collections import Counter

import numpy as np
from msgspec import Struct

from bench.load import Load, Tally, run
from bench.reliability import chart, models, processes, questions
from bench.reliability.findings import Finding, Result, at_most, none_of, note
from bench.reliability.processes import Server
from bench.reliability.setup import CLIENT_CORE, SERVER_CORE, Carried, Setup, highest_rate

CONNECTIONS = 64
MARGIN = 0.85  # of the highest rate of the search, whose steps last seconds: a neighbour's work must not decide
TRIALS = 4  # each at that share of the one before
LATE = 0.01  # of all answers may come later than the budget says
GROWTH_MEGABYTES = 1.0
SETTLING = 0.1  # share of the run that is not looked at: allocators fill their pools

Sample = tuple[float, float, int]  # seconds, megabytes, descriptors


class Held(Struct, frozen=True):
    """A rate that was asked for; `given_up`: the second in which it was clear that the budget would not be kept."""

    rate: float
    tally: Tally
    samples: list[Sample]
    given_up: float | None

    def told(self) -> str:
        """In words, for the report."""
        if self.given_up is None:
            return f"held, p99 {self.tally.quantile(0.99):,.1f} ms"
        return f"{LATE:.0%} of all answers were late after {self.given_up:,.0f} s; given up"


def scenario(setup: Setup) -> Result:
    """Find the rate, then hold it. What holds for seconds need not hold for minutes: then a lower one."""
    bundle = models.write(setup.store("soak"))
    asked = questions.pool([bundle])
    seconds = max(5.0, setup.minutes * 60)
    budget = setup.budgets.service.latency_p99_ms
    with processes.serving(bundle.path, core=SERVER_CORE) as server:
        processes.pin(CLIENT_CORE)

        async def scene() -> tuple[Carried, list[Held]]:
            search = Load(server.port, asked, CONNECTIONS)
            await search.warm()
            found = await highest_rate(setup, search, server, 1000.0, 2.0)
            search.close()
            trials: list[Held] = []
            while len(trials) < TRIALS and (not trials or trials[-1].given_up is not None):
                rate = MARGIN ** (len(trials) + 1) * found.rate
                setup.say(f"soak: {rate:,.0f}/s for {seconds:.0f} s")
                trials.append(await hold(server, Load(server.port, asked, CONNECTIONS), rate, seconds, budget))
            return found, trials

        found, trials = run(scene)
        processes.unpin()
        counted = server.metrics()
    last = trials[-1]
    earlier = [note(f"before, at {trial.rate:,.0f} requests/s", trial.told()) for trial in trials[:-1]]
    ends = sum((trial.tally.ends() for trial in trials[:-1]), Counter[str]())
    return Result(
        "soak",
        f"{last.rate:,.0f} requests/s for {seconds:.0f} s, {CONNECTIONS} connections, one core",
        (
            note(
                "highest rate within the budget", f"{found.rate:,.0f} requests/s (server {found.busy:.0%} of its core)"
            ),
            *earlier,
            *[none_of("not answered right, before", ends.total() - ends["right"], ends.total())][: len(earlier)],
            note("the clients themselves came late by at most", f"{last.tally.stall * 1000:.0f} ms"),
            *findings(last.tally, last.samples, budget),
            none_of("answers of 5xx by the server's count", int(sum(v for k, v in counted.items() if _is_5xx(k)))),
        ),
        charts={"soak": chart.soak(last.samples, last.tally)} if len(last.samples) > 2 else {},
        details={"reasons": dict(last.tally.reasons), "generator_stall_ms": round(last.tally.stall * 1000, 1)},
    )


async def hold(server: Server, load: Load, rate: float, seconds: float, budget: float) -> Held:
    """Ask at this rate until the time is over, or until too many answers are late for `budget`, in milliseconds."""
    await load.warm()
    samples: list[Sample] = []
    sampling = asyncio.create_task(sample(server, seconds, samples))
    asking = asyncio.create_task(load.at(rate, seconds))
    begin, late, looked_at, given_up = time.perf_counter(), 0, 0, None
    while given_up is None and not asking.done():
        await asyncio.wait({asking}, timeout=1.0)
        if looked_at < len(load.tally.seconds) - 2:
            late += int(np.count_nonzero(np.frombuffer(load.tally.seconds[looked_at].latencies) * 1000 > budget))
            looked_at += 1
        if late > LATE * rate * seconds and not asking.done():
            given_up = time.perf_counter() - begin
            asking.cancel()
            sampling.cancel()
    await asyncio.wait({asking, sampling})
    if given_up is None:
        asking.result()
        sampling.result()
    await load.settle()
    load.close()
    return Held(rate, load.tally, samples, given_up)


def findings(tally: Tally, samples: list[Sample], budget: float) -> tuple[Finding, ...]:
    """What a soak must show."""
    ends = tally.ends()
    late = samples[int(len(samples) * SETTLING) :]
    open_now = [descriptors for _, _, descriptors in late]
    return (
        none_of("not answered right", sum(ends.values()) - ends["right"], sum(ends.values())),
        at_most("p99", tally.quantile(0.99), budget, " ms"),
        note("p50", f"{tally.quantile(0.5):.2f} ms"),
        at_most("memory grown (slope × time)", growth(late), GROWTH_MEGABYTES, " MB", 2),
        note("memory at the end", f"{samples[-1][1]:.1f} MB"),
        at_most("descriptors: most minus least", max(open_now) - min(open_now), 2, digits=0),
    )


def growth(samples: list[Sample]) -> float:
    """Megabytes that memory grew by, on the straight line through the samples."""
    if len(samples) <= 2:
        return 0.0
    times, sizes = np.array([(at, size) for at, size, _ in samples]).T
    return float(np.polyfit(times, sizes, 1)[0] * (times[-1] - times[0]))


async def sample(server: Server, seconds: float, samples: list[Sample]) -> None:
    """Memory and descriptors of the server, some hundred times."""
    start = time.perf_counter()
    while (now := time.perf_counter() - start) < seconds - 0.1:
        samples.append((now, processes.memory(server.pid), processes.descriptors(server.pid)))
        await asyncio.sleep(max(0.25, seconds / 600))


def _is_5xx(name: str) -> bool:
    return name.startswith("ml_inference_requests_total{") and 'code="5' in name
