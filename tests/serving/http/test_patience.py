"""How long a client may take, and how many there may be, with limits small enough to be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from serving import endpoints
from serving.batching import Batcher
from serving.endpoints import Readiness
from serving.http.server import Server
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from serving.scheduling import EventLoop
from tests import bundles

Scene = Callable[[Server, Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]], Awaitable[None]]


def play(store: Path, limits: Limits, scene: Scene) -> Metrics:
    """A scene with a server in this process."""
    model = Model(bundles.write(store))
    counters = Metrics(model.bundle, "1")

    async def run() -> None:
        batcher = Batcher(model, counters, limits, EventLoop(asyncio.get_running_loop()))
        server = Server(endpoints.inference(model, counters, Readiness(), limits, batcher), limits)
        port = int((await server.listen("127.0.0.1", 0)).rpartition(":")[2])
        await scene(server, lambda: asyncio.open_connection("127.0.0.1", port))
        await server.close(1.0)

    asyncio.run(asyncio.wait_for(run(), 20))
    return counters


def test_slow_clients_are_told_and_let_go_while_others_are_served(tmp_path: Path) -> None:
    async def scene(server: Server, connect: Callable) -> None:
        slow_head, head_out = await connect()
        slow_body, body_out = await connect()
        idle, _ = await connect()
        head_out.write(b"GET /v2 HTTP/1.1\r\nHo")
        body_out.write(b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123")
        quick, quick_out = await connect()
        quick_out.write(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await quick.readline()) == b"HTTP/1.1 200 OK\r\n"
        assert b"request's head" in await slow_head.read()
        assert b"request's body" in await slow_body.read()
        assert await idle.read() == b""
        assert server.waiting() == 0

    limits = Limits(head_seconds=0.1, body_seconds=0.1, idle_seconds=0.1, linger_seconds=0.1)
    counters = play(tmp_path, limits, scene)
    assert counters.rejected == {"slow_client": 2}


def test_a_byte_now_and_then_does_not_buy_time(tmp_path: Path) -> None:
    async def scene(server: Server, connect: Callable) -> None:
        answer, out = await connect()
        reading = asyncio.create_task(answer.read())
        out.write(b"GET /v2 HTTP/1.1\r\nA: ")
        while not reading.done():
            out.write(b"b")
            await asyncio.sleep(0.02)
        assert reading.result().startswith(b"HTTP/1.1 408 ")

    play(tmp_path, Limits(head_seconds=0.5, linger_seconds=0.1), scene)


def test_a_client_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    async def scene(server: Server, connect: Callable) -> None:
        _, out = await connect()
        request = b"GET /v2/models/rainy-days HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
        out.transport.set_write_buffer_limits(high=0)
        try:
            while True:
                out.write(request)
                await asyncio.wait_for(out.drain(), 1.0)
        except (TimeoutError, ConnectionError):  # the server stopped reading, and then had enough
            pass
        while server.connections():
            await asyncio.sleep(0.02)

    counters = play(tmp_path, Limits(body_seconds=0.1), scene)
    assert counters.requests["model", 200] < 100_000


def test_too_many_connections_are_told_so_and_room_is_used_again(tmp_path: Path) -> None:
    async def scene(server: Server, connect: Callable) -> None:
        first = await connect()
        second = await connect()
        third, _ = await connect()
        refusal = await third.read()
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in refusal
        first[1].close()
        while server.connections() > 1:
            await asyncio.sleep(0.02)
        fourth, out = await connect()
        for stream, writer in (second, (fourth, out)):
            writer.write(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await stream.readline()) == b"HTTP/1.1 200 OK\r\n"

    play(tmp_path, Limits(connections=2, linger_seconds=0.1), scene)
