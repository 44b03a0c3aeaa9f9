"""Soak: for minutes on end, as many requests as keep the budget. Nothing fails, nothing grows."""

import asyncio
import time

import numpy as np

from bench.load import Load, Tally, run
from bench.reliability import chart, models, processes, questions
from bench.reliability.findings import Finding, Result, at_most, none_of, note
from bench.reliability.processes import Server
from bench.reliability.setup import CLIENT_CORE, SERVER_CORE, Carried, Setup, highest_rate

CONNECTIONS = 64
MARGIN = 0.85  # of the highest rate of the search, whose steps last seconds: a neighbour's work must not decide
GROWTH_MEGABYTES = 1.0
SETTLING = 0.1  # share of the run that is not looked at: allocators fill their pools

Sample = tuple[float, float, int]  # seconds, megabytes, descriptors


def scenario(setup: Setup) -> Result:
    """Find the rate, then hold it."""
    bundle = models.write(setup.store("soak"))
    asked = questions.pool([bundle])
    seconds = max(5.0, setup.minutes * 60)
    with processes.serving(bundle.path, core=SERVER_CORE) as server:
        processes.pin(CLIENT_CORE)

        async def scene() -> tuple[Carried, Load, list[Sample]]:
            search = Load(server.port, asked, CONNECTIONS)
            await search.warm()
            found = await highest_rate(setup, search, server, 1000.0, 2.0)
            search.close()
            load = Load(server.port, asked, CONNECTIONS)
            await load.warm()
            rate = MARGIN * found.rate
            setup.say(f"soak: {rate:,.0f}/s for {seconds:.0f} s")
            sampling = asyncio.create_task(sample(server, seconds))
            await load.at(rate, seconds)
            await load.settle()
            samples = await sampling
            load.close()
            return found, load, samples

        found, load, samples = run(scene)
        processes.unpin()
        counted = server.metrics()
    return Result(
        "soak",
        f"{MARGIN * found.rate:,.0f} requests/s for {seconds:.0f} s, {CONNECTIONS} connections, one core",
        (
            note(
                "highest rate within the budget", f"{found.rate:,.0f} requests/s (server {found.busy:.0%} of its core)"
            ),
            note("the clients themselves came late by at most", f"{load.tally.stall * 1000:.0f} ms"),
            *findings(load.tally, samples, setup.budgets.service.latency_p99_ms),
            none_of("answers of 5xx by the server's count", int(sum(v for k, v in counted.items() if _is_5xx(k)))),
        ),
        charts={"soak": chart.soak(samples, load.tally)} if len(samples) > 2 else {},
        details={"reasons": dict(load.tally.reasons), "generator_stall_ms": round(load.tally.stall * 1000, 1)},
    )


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
    times, sizes = np.array([(at, size) for at, size, _ in samples]).T
    return float(np.polyfit(times, sizes, 1)[0] * (times[-1] - times[0])) if len(samples) > 2 else 0.0


async def sample(server: Server, seconds: float) -> list[Sample]:
    """Memory and descriptors of the server, some hundred times."""
    samples, start = [], time.perf_counter()
    while (now := time.perf_counter() - start) < seconds - 0.1:
        samples.append((now, processes.memory(server.pid), processes.descriptors(server.pid)))
        await asyncio.sleep(max(0.25, seconds / 600))
    return samples


def _is_5xx(name: str) -> bool:
    return name.startswith("ml_inference_requests_total{") and 'code="5' in name
