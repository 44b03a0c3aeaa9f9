"""The ASGI adapter by itself: what it reads and refuses before the application sees a request, and how it lives."""

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InputError
from serving.asgi import Front, options
from tests import bundles
from tests.servers import body

ROWS = {"station": ["north"], "temperature": [1.5], "hour": [3], "holiday": [True]}
INFER = "/v2/models/rainy-days/infer"


class Host:
    """An ASGI server in a few lines: sends a request in parts, keeps what it is told."""

    def __init__(self, front: Front) -> None:
        self.front, self.sent, self.received = front, [], 0
        self.incoming: asyncio.Queue = asyncio.Queue()
        self.told: asyncio.Queue = asyncio.Queue()

    async def __aenter__(self) -> "Host":
        self.life = asyncio.create_task(self.front({"type": "lifespan"}, self.incoming.get, self.told.put))
        await self.incoming.put({"type": "lifespan.startup"})
        self.started = await self.told.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.incoming.put({"type": "lifespan.shutdown"})
        await self.life
        self.stopped = None if self.told.empty() else await self.told.get()

    async def ask(
        self, method: str, path: str, *parts: bytes, headers: Mapping[str, str] | None = None, **scope: Any
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
        messages.append({"type": "http.request", "body": parts[-1] if parts else b""})
        self.received, sent = 0, []

        async def receive() -> dict:
            self.received += 1
            return messages.pop(0)

        async def send(message: dict) -> None:
            sent.append(message)

        about = {"type": "http", "method": method, "path": path, "headers": pairs, **scope}
        await self.front(about, receive, send)
        start, body = sent
        return start["status"], dict(start["headers"]), body["body"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("store")).path


def started(bundle: Path, **settings: str) -> Host:
    return Host(Front({"PATH": "", "SLIPWAY_BUNDLE": str(bundle), **settings}))


def test_a_body_that_comes_in_parts_is_answered(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle) as host:
            assert host.started == {"type": "lifespan.startup.complete"}
            data = body(ROWS)
            status, headers, answer = await host.ask("POST", INFER, data[:7], b"", data[7:])
            assert (status, headers[b"content-length"]) == (200, b"%d" % len(answer))
            assert json.loads(answer)["model_name"] == "rainy-days"
        assert host.stopped == {"type": "lifespan.shutdown.complete"}

    asyncio.run(story())


def test_a_body_that_is_too_large_is_refused_before_it_is_read(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle, SLIPWAY_MAXIMUM_BODY_BYTES="100") as host:
            told = await host.ask("POST", INFER, b"x" * 101, headers={"Content-Length": "101"})
            assert (told[0], json.loads(told[2])["code"], host.received) == (413, "body_too_large", 0)
            told = await host.ask("POST", INFER, *[b"x" * 60] * 10)
            assert (told[0], json.loads(told[2])["code"], host.received) == (413, "body_too_large", 2)
            # Over HTTP/2 what still comes is let pass by, for the sake of the other requests on the connection.
            told = await host.ask("POST", INFER, *[b"x" * 60] * 10, http_version="2")
            assert (told[0], json.loads(told[2])["code"], host.received) == (413, "body_too_large", 10)

    asyncio.run(story())


def test_a_client_that_goes_away_is_not_answered(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle) as host:
            parts = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
            sent: list = []

            async def receive() -> dict:
                return parts.pop(0)

            async def send(message: dict) -> None:
                sent.append(message)

            await host.front({"type": "http", "method": "POST", "path": INFER, "headers": []}, receive, send)
            assert sent == []

    asyncio.run(story())


def test_head_has_the_length_and_no_body(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle) as host:
            _, headers, whole = await host.ask("GET", "/v2")
            status, same, nothing = await host.ask("HEAD", "/v2")
            assert (status, nothing, same[b"content-length"]) == (200, b"", headers[b"content-length"])
            assert len(whole) == int(headers[b"content-length"])

    asyncio.run(story())


def test_a_path_is_read_as_it_was_sent_below_where_the_application_is_mounted(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle) as host:
            below = {"raw_path": b"/models/v2/models/rainy%2Ddays/ready", "root_path": "/models"}
            assert (await host.ask("GET", "/models/v2/models/rainy-days/ready", **below))[0] == 200
            assert (await host.ask("GET", "/nowhere"))[0] == 404
            assert (await host.ask("GET", "/models", root_path="/models"))[0] == 404

    asyncio.run(story())


def test_headers_that_come_twice_are_one(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle) as host:
            pairs = [(b"X-Request-Id", b"a"), (b"x-request-id", b"b")]
            sent: list = []

            async def receive() -> dict:
                return {"type": "http.request"}

            async def send(message: dict) -> None:
                sent.append(message)

            await host.front({"type": "http", "method": "GET", "path": "/v2", "headers": pairs}, receive, send)
            assert dict(sent[0]["headers"])[b"x-request-id"] != b"a"  # "a, b" is no sane id

    asyncio.run(story())


def test_a_bundle_that_is_refused_ends_the_start_with_one_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with started(tmp_path / "nothing") as host:
            assert host.started["type"] == "lifespan.startup.failed"
            assert "no such bundle" in host.started["message"]
            assert "\n" not in host.started["message"]
            with pytest.raises(RuntimeError, match="lifespan"):
                await host.ask("GET", "/v2")

    asyncio.run(story())


def test_a_websocket_is_turned_away(bundle: Path) -> None:
    async def story() -> None:
        async with started(bundle) as host:
            sent: list = []

            async def send(message: dict) -> None:
                sent.append(message)

            await host.front({"type": "websocket"}, send, send)
            assert sent[-1] == {"type": "websocket.close"}

    asyncio.run(story())


def test_metrics_have_a_port_of_their_own_when_asked_for(bundle: Path) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with started(bundle, SLIPWAY_MANAGEMENT_PORT=str(port)) as host:
            await host.ask("POST", INFER, body(ROWS))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = await reader.read()
            writer.close()
            assert b'ml_inference_requests_total{model="rainy-days",version="1",route="infer",code="200"} 1' in text
            assert (await host.ask("GET", "/metrics"))[0] == 404

    asyncio.run(story())


def test_settings_are_the_flags_of_the_command_line(bundle: Path) -> None:
    settings = {"SLIPWAY_BUNDLE": str(bundle), "SLIPWAY_MAXIMUM_ROWS": "7", "SLIPWAY_NO_BATCHING": "true", "HOME": "/"}
    read = options(settings)
    assert (read.bundle, read.maximum_rows, read.batching) == (bundle, 7, False)
    with pytest.raises(InputError, match="--bundle"):
        options({})
    with pytest.raises(InputError, match="SLIPWAY_PORT: is for the ASGI server"):
        options({**settings, "SLIPWAY_PORT": "1"})
    with pytest.raises(InputError, match="--mystery=1"):
        options({**settings, "SLIPWAY_MYSTERY": "1"})
