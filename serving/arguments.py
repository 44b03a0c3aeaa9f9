"""The command line of the server."""

import argparse
from pathlib import Path
from typing import NoReturn

from contracts.errors import InputError
from serving.limits import Limits
from serving.security import guard


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
    guard.add_arguments(parser)
    add("--shadow", type=Path, metavar="DIR", help="a second bundle that gets a copy of what was answered, to compare")
    add("--verify-key", type=Path, metavar="FILE", help="public keys (PEM); the bundle must be signed with one of them")
    add("--grpc-port", type=port, metavar="N", help="speak gRPC too, on this port; needs requirements/serve-grpc.txt")
    return parser


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
