import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from bench.serving.open_loop import Load, summary

REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def server(reply: bytes, delay: float = 0.0) -> Iterator[int]:
    """Answers everything with `reply`, in two pieces, `delay` seconds after it was asked; gives its port."""
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            await asyncio.sleep(delay)
            writer.write(reply[:-1])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(reply[-1:])
        writer.close()

    listening = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_every_request_is_answered_at_the_rate_that_was_asked_for() -> None:
    with server(REPLY) as port:
        load = Load(port, REQUEST, connections=4)
        load.run(rate=200, seconds=0.25)
        found = summary(load, expected=50)
        load.close()
    assert (found["requests"], found["lost"], found["bad_status"]) == (50, 0, 0)
    due = sorted(moment for moment, _ in load.answered)
    assert {later - earlier for earlier, later in pairwise(due)} <= {4_999_999, 5_000_000, 5_000_001}


def test_a_request_that_had_to_wait_for_its_turn_is_measured_from_when_it_was_due() -> None:
    with server(REPLY, delay=0.02) as port:
        load = Load(port, REQUEST, connections=1)
        load.run(rate=100, seconds=0.2)  # twice what one connection can do
        load.close()
    waited = [answered - due for due, answered in load.answered]
    assert len(waited) == 20
    assert waited[-1] > 150e6  # the last one, due after 190 ms, is answered after 400 ms


def test_an_answer_that_is_not_200_is_counted() -> None:
    with server(REPLY.replace(b"200 OK", b"503 No")) as port:
        load = Load(port, REQUEST, connections=1)
        load.run(rate=100, seconds=0.05)
        load.close()
    assert summary(load, expected=5)["bad_status"] == 5


def test_what_the_machine_held_up_says_nothing_about_the_server() -> None:
    load = Load(0, REQUEST, connections=0)
    load.answered = [(0, 50_000), (1_000_000, 9_000_000), (10_000_000, 10_060_000)]
    load.gaps = [(2_000_000, 8_000_000)]
    found = summary(load, expected=3)
    assert found["held_up"] == 1
    assert found["p99"] == pytest.approx(60)
    assert found["p99_all"] == pytest.approx(8000)
