"""The instruments see what they are for: a load that is asked of a server that does everything wrong."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bench.load import FAILED, LOST, REFUSED, RIGHT, WRONG, Load, Question, run
from bench.reliability import mutants, wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"
PROBLEM = b"HTTP/1.1 503 Busy\r\nContent-Type: application/problem+json\r\n%sContent-Length: 2\r\n\r\n{}"
ASKED = Question(b"GET / HTTP/1.1\r\n\r\n", lambda head, body: "" if body == b"right" else "another answer")


def asked(answer: Callable[[asyncio.StreamWriter], Awaitable[None]], times: int = 20, **options: object) -> Load:
    """A load on a server that answers so; `options` are the load's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async def scene() -> Load:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        load = Load(server.sockets[0].getsockname()[1], [ASKED], connections=4, **options)
        await load.at(times * 4, 0.25)
        await load.settle()
        load.close()
        server.close()
        return load

    return run(scene)


def says(data: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def ends(data: bytes = b"") -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return answer


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (says(OK), RIGHT),
        (says(OK.replace(b"right", b"wrong")), WRONG),
        (says(OK + b"more"), WRONG),
        (says(PROBLEM % b"Retry-After: 1\r\n"), REFUSED),
        (says(PROBLEM % b""), FAILED),
        (says(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), FAILED),
        (ends(), LOST),
        (ends(OK[:-2]), LOST),
    ],
)
def test_every_request_ends_in_one_way(answer: Callable, end: str) -> None:
    assert asked(answer).tally.ends() == {end: 20}


def test_no_answer_in_time_is_a_lost_request() -> None:
    load = asked(says(b""), times=4, patience=0.2)
    assert load.tally.ends() == {LOST: 4}


def test_a_lost_request_is_asked_once_more_where_the_client_does_so() -> None:
    calls = iter(range(1000))

    async def every_other(writer: asyncio.StreamWriter) -> None:
        if next(calls) % 2:
            writer.write(OK)
        else:
            writer.close()

    load = asked(every_other, times=1, retry=True)
    assert load.tally.ends() == {RIGHT: 1}
    assert len(load.broken) == 1


def test_who_stands_still_is_not_spared_what_was_due_meanwhile() -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    # 80 a second over four connections that carry ten each: those due later wait ever longer for their turn.
    load = asked(slowly, times=20)
    assert load.tally.ends() == {RIGHT: 20}
    assert load.tally.quantile(0.99) > 250
    assert load.tally.quantile(0.01) < 150


def test_an_answer_that_is_no_answer_is_seen(tmp_path) -> None:
    headers = {b"x-bundle-digest": b"a", b"x-model-version": b"1", b"x-request-id": b"a", b"content-length": b"1"}
    whole = headers | {b"date": b"now"}
    assert wire.flaw(wire.Answer(200, whole, b"")) == ""
    assert wire.flaw(wire.Answer(200, headers, b"")) == "no date"
    assert wire.flaw(wire.Answer(500, whole, b"")) == "status 500"
    assert wire.flaw(wire.Answer(400, whole, b"{}")) == "400 is no problem document"
    problem = whole | {b"content-type": b"application/problem+json"}
    assert wire.flaw(wire.Answer(400, problem, b"{}")) == "400: not the members of a problem document"
    assert mutants.fault(0, "ready url=", "", tmp_path) == "served"
    assert mutants.fault(2, "", f"{tmp_path}/a: wrong\nTraceback\n", tmp_path) == "2 lines"
    assert mutants.fault(2, "", f"{tmp_path}/a: wrong\n", tmp_path) == ""
