"""`python -m serving --bundle DIR`: verify a bundle, serve it, and go away without losing a request."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from contracts.bundle import Bundle
from contracts.errors import InputError
from serving import assembly
from serving.application import served_version
from serving.arguments import arguments
from serving.http.server import Server
from serving.metrics import Metrics
from serving.scheduling import EventLoop
from serving.workers.seat import Seat

if TYPE_CHECKING:
    from serving.shadow import Shadow

GARBAGE = 50_000  # new objects that hold others, until the garbage collector looks at them


async def serve(
    options: argparse.Namespace, verified: Bundle, shadow: "Shadow | None" = None, seat: Seat | None = None
) -> None:
    """Listen, say so, wait for the signal, drain. With a seat: as one of several workers."""
    site = assembly.assemble(options, verified, EventLoop(asyncio.get_running_loop()), shadow)
    counters, readiness = site.counters, site.readiness
    clients = Server(site.clients, site.limits)
    counters.gauges["ml_inference_inflight"] = ("Requests that have come and are not answered", clients.waiting)
    counters.gauges["ml_inference_connections"] = ("Connections of clients", clients.connections)
    stop = Stop()
    said = ""
    if seat:
        seat.count(counters)
        seat.orphaned(stop.at_once)
        clients.listen_on(seat.listener, seat.share)
    else:
        said = f"url={await clients.listen(options.host, options.port)}"
        platform = Server(site.platform, assembly.MANAGEMENT_LIMITS)
        said += f" management={await platform.listen(options.host, options.management_port)}"
    remote = None
    if options.grpc_port is not None:
        from serving.grpc.server import GrpcServer  # an extra: its libraries need not be there

        remote = GrpcServer(site.clients, site.limits, shared=seat is not None)
        said += f" grpc={await remote.listen(options.host, options.grpc_port)}"

    # What is there now stays: the garbage collector need not look at it ever again. What requests leave behind goes by
    # itself, so that it need not look often either.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)
    readiness.ready = True
    if seat:
        seat.ready(counters, said)
    else:
        what = f"model={verified.manifest.name} version={served_version(verified)} digest={verified.digest}"
        _say(f"ready {said} {what}")
    tending = asyncio.create_task(shadow.tend()) if shadow and not seat else None

    await stop.asked.wait()
    readiness.ready = False
    clients.draining = True
    if seat:
        seat.draining()
    else:
        _say(f"draining seconds={options.drain_seconds:g}")
    await stop.hurried(options.drain_seconds)
    # Both at once: one after the other they would need twice the time, in which a supervisor loses patience.
    end_of_remote = remote.close(options.in_flight_seconds) if remote else asyncio.sleep(0)
    cut, _ = await asyncio.gather(clients.close(options.in_flight_seconds), end_of_remote)
    if tending:
        tending.cancel()
    if seat:
        seat.left(counters, cut)
    else:
        await platform.close(1.0)
        _say(f"stopped cut_off={cut}")


def serve_with_workers(options: argparse.Namespace, verified: Bundle, shadow: "Shadow | None") -> int:
    """Several workers under a supervisor; the exit code."""
    if not hasattr(os, "fork"):
        raise InputError("arguments: --workers: this system has no fork; start several servers behind a proxy")
    if options.grpc_port == 0:
        raise InputError("arguments: --grpc-port: 0 would be another port in each worker; name one")
    from serving.workers import supervisor

    loop_factory = _loop_factory()  # imports what all workers then share

    def work(seat: Seat) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(serve(options, verified, shadow, seat))

    counters = Metrics(verified, served_version(verified))
    if shadow:
        shadow.feed(counters)

    return supervisor.run(
        supervisor.Service(
            bundle=verified,
            version=served_version(verified),
            counters=counters,
            workers=options.workers,
            host=options.host,
            port=options.port,
            management_port=options.management_port,
            management_limits=assembly.MANAGEMENT_LIMITS,
            drain_seconds=options.drain_seconds,
            in_flight_seconds=options.in_flight_seconds,
            work=work,
            say=_say,
            tick=shadow.tick if shadow else None,
        )
    )


class Stop:
    """SIGTERM and SIGINT: the first asks to stop, a second one not to wait for routers."""

    def __init__(self) -> None:
        self.asked, self._again = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._signalled)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._signalled))

    async def hurried(self, seconds: float) -> None:
        """Wait, at most until the second signal."""
        try:
            await asyncio.wait_for(self._again.wait(), seconds)
        except TimeoutError:
            pass

    def at_once(self) -> None:
        """Ask to stop, and not to wait."""
        self.asked.set()
        self._again.set()

    def _signalled(self) -> None:
        (self._again if self.asked.is_set() else self.asked).set()


def main(line: Sequence[str] | None = None) -> int:
    """The exit code: 0 after a clean stop, 2 when arguments, port or bundle were refused."""
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    with contextlib.ExitStack() as stack:
        try:
            options = arguments().parse_args(line)
            verified = assembly.verified(options)
            if shadow := assembly.shadowed(options, verified):
                stack.callback(shadow.end)
            if options.workers > 1:
                return serve_with_workers(options, verified, shadow)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve(options, verified, shadow))
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # there is none for Windows; everything works without it, only slower
        return asyncio.SelectorEventLoop
    return uvloop.new_event_loop


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # that nobody listens is no reason to end otherwise
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
