"""Replacement: one version by the other under load, over and over, with a router in front. Nothing is lost or mixed.

Every other time the router is told before the old server is; the other times after, while the old one still drains, as
it is where a router learns late.
"""

import asyncio
from collections import Counter

from bench.load import FAILED, LOST, REFUSED, WRONG, Load, Question, run
from bench.reliability import models, processes, questions
from bench.reliability.findings import Result, at_least, none_of, note
from bench.reliability.processes import Nginx, Server
from bench.reliability.setup import Setup

RATE = 500.0
REPLACEMENTS = 20
DRAIN_SECONDS, LAG_SECONDS = 1.0, 0.5
BETWEEN_SECONDS = 1.0


def scenario(setup: Setup) -> Result:
    """v1, v2, v1, ... behind nginx."""
    bundles = [models.write(setup.store("replacement"), shift, version=str(n)) for n, shift in enumerate((0.0, 1.0), 1)]
    seen: Counter[bytes] = Counter()
    asked = [watched(question, seen) for question in questions.pool(bundles)]
    times = setup.times(REPLACEMENTS)
    stops: list[tuple[int, str]] = []

    async def begin(number: int) -> Server:
        path = bundles[number % 2].path
        return await asyncio.to_thread(processes.start, path, "--drain-seconds", str(DRAIN_SECONDS))

    async def replacements(nginx: Nginx, serving: Server) -> None:
        for number in range(1, times + 1):
            following = await begin(number)
            told_first = number % 2
            if told_first:
                nginx.route(following.port)
                await asyncio.sleep(0.1)  # the router's own time to take it in
            leaving = asyncio.create_task(asyncio.to_thread(serving.stop))
            if not told_first:
                await asyncio.sleep(LAG_SECONDS)
                nginx.route(following.port)
            stops.append(await leaving)
            serving = following
            setup.say(f"replacement {number} of {times}: {'router first' if told_first else 'router late'}")
            await asyncio.sleep(BETWEEN_SECONDS)
        running.append(serving)

    running: list[Server] = []

    async def scene() -> Load:
        serving = await begin(0)
        nginx = Nginx(serving.port)
        try:
            # A connection for each request: a router that takes in a configuration cuts its clients' idle ones.
            load = Load(nginx.port, asked, fresh=True)
            task = asyncio.create_task(replacements(nginx, serving))
            while not task.done():
                await load.at(RATE, 1.0)
            await task
            await load.settle()
        finally:
            nginx.close()
        return load

    load = run(scene)
    for server in running:
        processes.end(server.process)
    ends = load.tally.ends()
    return Result(
        "replacement",
        f"{times} replacements v1 ↔ v2 behind nginx at {RATE:g} requests/s, {sum(ends.values()):,} requests",
        (
            none_of("lost", ends[LOST]),
            none_of("answers of 5xx", ends[FAILED]),
            none_of("answers of no digest, of two, or with another version's prediction", ends[WRONG]),
            none_of("refused", ends[REFUSED]),
            at_least("versions seen", float(len(seen)), 2.0, digits=0),
            none_of(
                "servers that did not stop by themselves with exit code 0", sum(code != 0 for code, _ in stops), times
            ),
            none_of("requests that a stop cut off", sum(not said.endswith("cut_off=0") for _, said in stops)),
            note("p99", f"{load.tally.quantile(0.99):.1f} ms"),
        ),
        details={"reasons": dict(load.tally.reasons)},
    )


def watched(question: Question, seen: Counter[bytes]) -> Question:
    """The same question, whose answers' digests are counted."""

    def judge(head: bytes, body: bytes) -> str:
        start = head.find(questions.DIGEST) + len(questions.DIGEST)
        seen[head[start : head.find(b"\r\n", start)].strip()] += 1
        return question.judge(head, body)

    return Question(question.data, judge)
