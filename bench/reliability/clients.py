"""Clients: hundreds of slow ones and a crowd of bad requests, while a healthy client stays within its budget."""

import asyncio
import json
import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from bench.load import RIGHT, Load, run
from bench.reliability import answers, misuse, models, processes, questions, wire
from bench.reliability.findings import Finding, Result, at_most, none_of, note
from bench.reliability.misuse import Misuse
from bench.reliability.models import Oracle
from bench.reliability.setup import Setup
from bench.reliability.tensors import Probe

RATE = 200.0
SLOW = 500
HEAD_SECONDS, BODY_SECONDS = 10.0, 30.0  # the server's patience, as docs/serving.md promises it
GRACE_SECONDS = 3.0


def scenario(setup: Setup) -> Result:
    """Everything at once, with one healthy client beside it."""
    bundle = models.write(setup.store("clients"))
    slow = setup.times(SLOW, 50)
    patience = BODY_SECONDS + GRACE_SECONDS

    async def scene() -> tuple[Load, tuple[int, int], list[str], list[str]]:
        load = Load(server.port, questions.pool([bundle]), 16)
        await load.warm()
        quiet = await load.at(RATE, setup.seconds(10.0, 3.0))
        setup.say(f"{slow} slow clients")
        drip = pool.submit(slow_clients, server.port, slow)
        bad = pool.submit(misused, server.port, bundle.model)
        while not drip.done() or not bad.done():
            await load.at(RATE, 1.0)
        await load.settle()
        return load, quiet, drip.result(), bad.result()

    # In processes of their own: the healthy client must not wait for them on its own side.
    spawn = multiprocessing.get_context("spawn")
    with processes.serving(bundle.path) as server, ProcessPoolExecutor(2, spawn) as pool:
        for ready in [pool.submit(time.sleep, 0.5) for _ in range(2)]:
            ready.result()
        before = processes.descriptors(server.pid)
        load, quiet, slow_ends, wrong = run(scene)
        load.close()
        wire.say(server.port, [b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"])
        left = processes.descriptors(server.pid) - before
    ends, budget = load.tally.ends(), setup.budgets.service.latency_p99_ms
    count = len(list(misuse.all_of()))
    findings: list[Finding] = [
        none_of("slow clients that were not told 408", sum(end != "408" for end in slow_ends), slow),
        none_of("bad requests that did not get what they must", len(wrong), count),
        none_of("healthy client: not answered right", sum(ends.values()) - ends[RIGHT], sum(ends.values())),
        at_most("healthy client: p99 meanwhile", load.tally.quantile(0.99, quiet[1]), budget, " ms"),
        note("healthy client: p99 before", f"{load.tally.quantile(0.99, *quiet):.1f} ms"),
        at_most("descriptors left over", float(left), 2.0, digits=0),
        *(note(f"wrong {number}", text) for number, text in enumerate(wrong[:8], 1)),
    ]
    load_said = (
        f"{slow} slow clients for up to {patience:.0f} s, {count} bad or odd requests, {RATE:g} healthy requests/s"
    )
    details: dict[str, object] = {"slow": dict(Counter(slow_ends)), "wrong": wrong, "reasons": dict(load.tally.reasons)}
    return Result("clients", load_said, tuple(findings), details=details)


def slow_clients(port: int, count: int) -> list[str]:
    """So many of them at once; how each ended."""

    async def scene() -> list[str]:
        return list(await asyncio.gather(*(slow_client(port, number % 3) for number in range(count))))

    return asyncio.run(scene())


async def slow_client(port: int, kind: int) -> str:
    """Sends a head, a body or a chunked body, a byte a second; gives the status it got, or how it ended."""
    starts = (
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" % questions.PATH.encode(),
        b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" % questions.PATH.encode(),
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(reader.read())
    writer.write(starts[kind])
    limit = (HEAD_SECONDS if kind == 0 else BODY_SECONDS) + GRACE_SECONDS
    for _ in range(int(limit)):
        done, _pending = await asyncio.wait([reading], timeout=1.0)
        if done:
            break
        writer.write(b"a")
    writer.close()
    if not reading.done():
        reading.cancel()
        return f"still there after {limit:.0f} s"
    try:
        answer = wire.one(reading.result())
    except ConnectionError as error:
        return type(error).__name__
    return f"{answer[0].status}" if answer else "an end without an answer"


def misused(port: int, model: bytes) -> list[str]:
    """Every bad request on a connection of its own; what did not get what it must."""
    oracle = Oracle(model)
    return [f"{case.name}: {reason}" for case in misuse.all_of() if (reason := fault(port, case, oracle))]


def fault(port: int, case: Misuse, oracle: Oracle) -> str:
    """What is wrong about the answer to this request, or ""."""
    heard = wire.say(port, [questions.request(case.body, case.headers)])
    if len(heard.answers) != 1:
        return f"{len(heard.answers)} answers"
    answer = heard.answers[0]
    if reason := wire.flaw(answer):
        return reason
    document = json.loads(answer.body)
    if answer.status != case.status:
        return f"status {answer.status}, not {case.status}: {answer.body[:300].decode()}"
    if case.code and document["code"] != case.code:
        return f"code {document['code']}, not {case.code}"
    if case.field and document.get("field") != case.field:
        return f"field {document.get('field')}, not {case.field}"
    if case.status == 200:
        return answers.difference(Probe(case.body, "", True, case.rows), document, oracle)
    return ""
