"""`python -m serving --bundle DIR`: verify a bundle, serve it, and go away without losing a request."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from contracts import bundle
from contracts.bundle import Bundle
from contracts.errors import InputError
from serving import endpoints
from serving.application import served_version
from serving.batching import Batcher
from serving.endpoints import Readiness
from serving.http.server import Server
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from serving.scheduling import EventLoop
from serving.workers.seat import Seat

MANAGEMENT_LIMITS = Limits(connections=100, body_bytes=1024)


class Arguments(argparse.ArgumentParser):
    """Refuses bad arguments as every bad input is refused: in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"arguments: {message}; see python -m serving --help")


def arguments() -> Arguments:
    """The command line."""
    limits = Limits()
    parser = Arguments(prog="python -m serving", description="Serve one bundle over the Open Inference Protocol v2.")
    add = parser.add_argument
    add("--bundle", type=Path, required=True, help="folder of the bundle")
    add("--digest", help="sha256:<64 hex> that the bundle must have")
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=port, default=8080, help="for clients; 0 takes a free one (default %(default)s)")
    add("--management-port", type=port, default=8081, help="for metrics and probes (default %(default)s)")
    add(
        "--drain-seconds",
        type=seconds,
        default=0.0,
        help="how long to go on answering, not ready, after SIGTERM, so that routers can let go (default %(default)s)",
    )
    add(
        "--in-flight-seconds",
        type=seconds,
        default=10.0,
        help="how long requests that have begun may then still take (default %(default)s)",
    )
    add("--threads", type=count, default=1, help="of onnxruntime for one call (default %(default)s)")
    add("--workers", type=count, default=1, help="processes that answer, on one port (default %(default)s)")
    add("--maximum-rows", type=count, default=limits.rows, help="in one request (default %(default)s)")
    add("--maximum-body-bytes", type=count, default=limits.body_bytes, help="(default %(default)s)")
    add(
        "--queue-requests",
        type=count,
        default=limits.queue,
        help="that may wait for the model; beyond them 503 at once (default %(default)s)",
    )
    add(
        "--deadline-seconds",
        type=seconds,
        default=limits.deadline_seconds,
        help="for an answer, else 504 (default %(default)s)",
    )
    add(
        "--no-batching",
        dest="batching",
        action="store_false",
        help="call the model for every request alone, to compare",
    )
    add("--maximum-connections", type=count, default=limits.connections, help="(default %(default)s)")
    return parser


async def serve(options: argparse.Namespace, verified: Bundle, seat: Seat | None = None) -> None:
    """Verify, listen, say so, wait for the signal, drain. With a seat: as one of several workers."""
    limits = Limits(
        rows=options.maximum_rows,
        body_bytes=options.maximum_body_bytes,
        connections=options.maximum_connections,
        queue=options.queue_requests,
        deadline_seconds=options.deadline_seconds,
    )
    model = Model(verified, options.threads)
    model.verify_golden()

    readiness, counters = Readiness(), Metrics(verified, served_version(verified))
    batcher = Batcher(model, counters, limits, EventLoop(asyncio.get_running_loop()), together=options.batching)
    clients = Server(endpoints.inference(model, counters, readiness, limits, batcher), limits)
    counters.gauges["ml_inference_inflight"] = ("Requests that have begun and are not answered", clients.busy)
    counters.gauges["ml_inference_connections"] = ("Connections of clients", clients.connections)
    stop = Stop()
    if seat:
        seat.count(counters)
        seat.orphaned(stop.at_once)
        clients.listen_on(seat.listener, seat.share)
    else:
        url = await clients.listen(options.host, options.port)
        platform = Server(endpoints.management(verified, counters, readiness), MANAGEMENT_LIMITS)
        management = await platform.listen(options.host, options.management_port)

    # What is there now stays: the garbage collector need not look at it ever again.
    gc.collect()
    gc.freeze()
    readiness.ready = True
    if seat:
        seat.ready(counters)
    else:
        what = f"model={verified.manifest.name} version={served_version(verified)} digest={verified.digest}"
        _say(f"ready url={url} management={management} {what}")

    await stop.asked.wait()
    readiness.ready = False
    clients.draining = True
    if seat:
        seat.draining()
    else:
        _say(f"draining seconds={options.drain_seconds:g}")
    await stop.hurried(options.drain_seconds)
    cut = await clients.close(options.in_flight_seconds)
    if seat:
        seat.left(counters, cut)
    else:
        await platform.close(1.0)
        _say(f"stopped cut_off={cut}")


def serve_with_workers(options: argparse.Namespace, verified: Bundle) -> int:
    """Several workers under a supervisor; the exit code."""
    if not hasattr(os, "fork"):
        raise InputError("arguments: --workers: this system has no fork; start several servers behind a proxy")
    from serving.workers import supervisor

    def work(seat: Seat) -> None:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(options, verified, seat))

    return supervisor.run(
        supervisor.Service(
            bundle=verified,
            version=served_version(verified),
            workers=options.workers,
            host=options.host,
            port=options.port,
            management_port=options.management_port,
            management_limits=MANAGEMENT_LIMITS,
            drain_seconds=options.drain_seconds,
            in_flight_seconds=options.in_flight_seconds,
            work=work,
            say=_say,
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
    try:
        options = arguments().parse_args(line)
        verified = bundle.load(options.bundle, options.digest)
        if options.workers > 1:
            return serve_with_workers(options, verified)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(options, verified))
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
    print(line, flush=True)


def port(text: str) -> int:
    """A port number."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be between 0 and 65535")
    return number


def count(text: str) -> int:
    """A positive number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def seconds(text: str) -> float:
    """A length of time."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds, at least 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
