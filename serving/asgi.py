"""The other front: `serving.asgi:app` carries the same application under any ASGI 3 server, with its TLS and HTTP/2.

    SLIPWAY_BUNDLE=data/bundles/<16 hex> uvicorn serving.asgi:app

Settings are the flags of `python -m serving` as environment variables: `--maximum-rows 100` is
`SLIPWAY_MAXIMUM_ROWS=100`, a flag without a value is `true`. Ports, workers, connections and the end of the process
are the ASGI server's to decide. With `SLIPWAY_MANAGEMENT_PORT` metrics and probes have a port of their own.
"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from contracts.errors import InputError
from serving import assembly
from serving.arguments import arguments
from serving.asking import ask, joined
from serving.assembly import Site
from serving.exchange import Problem, Request
from serving.http.server import Server
from serving.scheduling import EventLoop

PREFIX = "SLIPWAY_"
MANAGEMENT = f"{PREFIX}MANAGEMENT_PORT"
# Flags that say what here the ASGI server decides.
THEIRS = ("PORT", "WORKERS", "GRPC_PORT", "DRAIN_SECONDS", "IN_FLIGHT_SECONDS", "MAXIMUM_CONNECTIONS")

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Front:
    """An ASGI 3 application. It needs the lifespan protocol: the bundle is verified before the first request."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._site: Site | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The life of the application, or one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as at_the_end:
            try:
                site = self._site = await self._start(at_the_end)
            except InputError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            site.readiness.ready = False
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self, at_the_end: AsyncExitStack) -> Site:
        asked = options(self._environment)
        bundle = assembly.verified(asked)
        shadow = assembly.shadowed(asked, bundle)
        if shadow:
            at_the_end.callback(shadow.end)
            at_the_end.callback(asyncio.create_task(shadow.tend()).cancel)
        site = assembly.assemble(asked, bundle, EventLoop(asyncio.get_running_loop()), shadow)
        site.batcher.at_once = False
        if MANAGEMENT in self._environment:
            platform = Server(site.platform, assembly.MANAGEMENT_LIMITS)
            await platform.listen(asked.host, asked.management_port)
            at_the_end.push_async_callback(platform.close, 1.0)
        site.readiness.ready = True
        return site

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        site = self._site
        if site is None:
            raise RuntimeError("the bundle is not loaded; start the ASGI server with its lifespan protocol on")
        headers = joined(scope["headers"])
        try:
            async with asyncio.timeout(site.limits.body_seconds):
                body = await read(receive, headers, site.limits.body_bytes)
        except TimeoutError:
            late = Problem(408, "slow_client", "the request's body did not come in time; send it again")
            response = site.clients.refuse(late, headers)
        except Problem as problem:
            response = site.clients.refuse(problem, headers)
            if scope.get("http_version") == "2":
                await discard(receive, site.limits.linger_seconds)
        else:
            if body is None:  # the client has gone
                return
            response = await ask(site.clients, Request(scope["method"], path(scope), headers, body))
        told = [*response.headers, (b"content-length", b"%d" % len(response.body))]
        await send({"type": "http.response.start", "status": response.status, "headers": told})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})


def options(environment: Mapping[str, str]) -> argparse.Namespace:
    """The command line that an environment stands for, read; raises InputError in one line."""
    line = []
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        if name.removeprefix(PREFIX) in THEIRS:
            raise InputError(f"{name}: is for the ASGI server to decide; tell it, and unset this")
        flag = "--" + name.removeprefix(PREFIX).lower().replace("_", "-")
        line += [flag] if value == "true" else [f"{flag}={value}"]
    return arguments().parse_args(line)


async def read(receive: Receive, headers: Mapping[bytes, bytes], maximum: int) -> bytes | None:
    """The body, or None where the client went away; raises Problem, before reading it, for one that is too large."""
    too_large = Problem(413, "body_too_large", f"send at most {maximum} bytes in a body")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > maximum:
        raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > maximum:
            raise too_large
        more = message.get("more_body", False)
    return b"".join(parts)


async def discard(receive: Receive, seconds: float) -> None:
    """Let what still comes of a body pass by.

    Over HTTP/2, ASGI servers stumble over data of a request that is already answered, together with the connection and
    all the other requests on it (seen with hypercorn and granian).
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive()).get("more_body"):
                pass


def path(scope: Message) -> str:
    """The path as it was sent, where the server tells, without the prefix that the application is mounted under."""
    raw = scope.get("raw_path")
    sent = raw.decode("latin-1") if raw else scope["path"]
    return sent.removeprefix(scope.get("root_path", "")) or "/"


app = Front(os.environ)
