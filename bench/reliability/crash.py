"""Crash: a worker is killed under load, over and over. Only what was in its hands is lost, and one more try gets it."""

import asyncio
import os
import signal
import time
from collections import Counter

from msgspec import Struct

from bench.load import LOST, RIGHT, Load, Question, run
from bench.reliability import models, processes, questions
from bench.reliability.findings import Finding, Result, at_least, at_most, none_of, note
from bench.reliability.processes import Server
from bench.reliability.setup import Setup

WORKERS, CONNECTIONS = 2, 64
KILLS = 20
WIDTH, ROWS, RATE = 1024, 8, 300.0  # answers that take about a millisecond, so that some are under way when it happens
RESTART_SECONDS = 10.0
ROUND_SECONDS = 5.5  # so that a worker is older than ten seconds when its turn comes again


class Kill(Struct):
    """What one kill did."""

    in_flight: int  # at the worker, when it was killed
    lost: int  # of those that were sent before
    afterwards: int  # sent on its connections before their end was seen
    elsewhere: int  # lost on other connections
    ends: Counter[str]
    reasons: Counter[str]
    seconds: float  # until there were as many workers again
    fallen: list[str]  # counters that were smaller afterwards


def scenario(setup: Setup) -> Result:
    """SIGKILL, again and again."""
    what = f"SIGKILL of one of {WORKERS} workers under {RATE:g} requests/s"
    if not processes.knows("--workers"):
        return Result("crash", what, not_run="this server has no --workers")
    bundle = models.write(setup.store("crash"), width=WIDTH)
    asked = questions.pool([bundle], 200, ROWS)
    times = setup.times(KILLS)

    async def scene() -> list[Kill]:
        kills = []
        for number in range(1, times + 1):
            kills.append(await kill(server, asked))
            setup.say(f"kill {number} of {times}: lost {kills[-1].lost} of {kills[-1].in_flight} in flight")
        return kills

    with processes.serving(bundle.path, "--workers", str(WORKERS)) as server:
        kills: list[Kill] = run(scene)
        counted = server.metrics()['ml_inference_requests_total{route="infer",code="200"}']
    return Result("crash", f"{what}, {times} times", findings(kills, counted))


def findings(kills: list[Kill], counted: float) -> tuple[Finding, ...]:
    """What the kills must show together."""
    ends = sum((kill.ends for kill in kills), Counter())
    lost, in_flight = sum(kill.lost for kill in kills), sum(kill.in_flight for kill in kills)
    afterwards = sum(kill.afterwards for kill in kills)
    return (
        note("lost at the first try", f"{lost} of {in_flight} in flight, {afterwards} sent until the end was seen"),
        none_of(
            "kills that lost more than was in flight", sum(kill.lost > kill.in_flight for kill in kills), len(kills)
        ),
        none_of("lost at workers that were not killed", sum(kill.elsewhere for kill in kills)),
        none_of("lost by a client that tries once more", ends[LOST], sum(ends.values())),
        none_of("neither right nor lost", sum(ends.values()) - ends[RIGHT] - ends[LOST]),
        none_of("counters that fell", sum(len(kill.fallen) for kill in kills)),
        at_least("answers by the server's count, less those that clients got", counted - ends[RIGHT], 0, digits=0),
        at_most("the same, at most what was lost", counted - ends[RIGHT], float(lost + afterwards), digits=0),
        at_most("longest time until all workers were back", max(kill.seconds for kill in kills), RESTART_SECONDS, " s"),
    )


async def kill(server: Server, asked: list[Question]) -> Kill:
    """Some seconds of load, a kill amid them, and the wait until everything is as before."""
    load = Load(server.port, asked, CONNECTIONS, retry=True)
    await load.warm()
    before = await asyncio.to_thread(server.metrics)
    running = asyncio.create_task(load.at(RATE, ROUND_SECONDS))
    await asyncio.sleep(1.0)
    held = {pid: await asyncio.to_thread(processes.ports, pid) for pid in workers(server)}
    victim = min(held, key=processes.started)  # the oldest: who dies young is started anew ever later
    await asyncio.sleep(0.2)
    while not (in_flight := load.in_flight(held[victim])) and not running.done():
        await asyncio.sleep(0)  # until it has something in its hands
    os.kill(victim, signal.SIGKILL)
    begun = time.perf_counter()
    while len(found := workers(server)) < WORKERS or victim in found:
        if time.perf_counter() - begun > 2 * RESTART_SECONDS:
            break
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - begun
    await running
    await load.settle()
    after = await asyncio.to_thread(server.metrics)
    load.close()
    there = [sent for port, sent in load.broken if port in held[victim]]
    lost = sum(sent <= begun for sent in there)
    elsewhere = len(load.broken) - len(there)
    ends, reasons = load.tally.ends(), load.tally.reasons
    return Kill(in_flight, lost, len(there) - lost, elsewhere, ends, reasons, seconds, fallen(before, after))


def workers(server: Server) -> list[int]:
    """The processes that listen for clients, besides the supervisor."""
    return [pid for pid in processes.descendants(server.pid) if _listens(pid, server.port)]


def _listens(pid: int, port: int) -> bool:
    try:
        return port in processes.listening(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False


def fallen(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """Counters that are smaller than they were."""
    counters = ("_total", "_count", "_sum", "_bucket")
    names = [name for name in before if name.partition("{")[0].endswith(counters) and not name.startswith("process_")]
    return [name for name in names if after.get(name, 0.0) < before[name]]
