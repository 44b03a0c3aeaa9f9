"""The parts of one serving process put together, for whichever fronts are to carry it."""

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from contracts import bundle
from contracts.bundle import Bundle
from contracts.errors import InputError
from serving import endpoints
from serving.application import Application, served_version
from serving.batching import Batcher
from serving.endpoints import Readiness
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from serving.scheduling import Scheduler
from serving.security import guard

if TYPE_CHECKING:
    from serving.shadow import Shadow

MANAGEMENT_LIMITS = Limits(connections=100, body_bytes=1024)
GOLDEN_SECONDS = 20.0  # a start takes half a second; a graph may also be made never to end


class Site(Struct, frozen=True, kw_only=True):
    """What a front needs: an application for clients and one for the platform, and what belongs to them."""

    clients: Application
    platform: Application
    readiness: Readiness
    counters: Metrics
    batcher: Batcher
    limits: Limits


def verified(options: argparse.Namespace) -> Bundle:
    """The bundle that the options name, verified, its signature too where a key is set; raises InputError."""
    loaded = bundle.load(options.bundle, options.digest)
    if options.verify_key is not None:
        from contracts import signature  # its library is loaded only where a key is set

        try:
            keys = options.verify_key.read_bytes()
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); name a file of public keys"
            raise InputError(f"{options.verify_key}: --verify-key: {reason}") from error
        signature.verify(loaded, keys)
    return loaded


def shadowed(options: argparse.Namespace, verified: Bundle) -> "Shadow | None":
    """The shadow that the options name, if they do. One for all workers: it is there before they are."""
    if not options.shadow:
        return None
    from serving.shadow import Shadow  # only where there is one

    return Shadow(options.shadow, verified.manifest, options.verify_key)


def assemble(
    options: argparse.Namespace, verified: Bundle, scheduler: Scheduler, shadow: "Shadow | None" = None
) -> Site:
    """A verified bundle, ready to be asked; raises InputError for what the options ask in vain."""
    limits = Limits(
        rows=options.maximum_rows,
        body_bytes=options.maximum_body_bytes,
        connections=options.maximum_connections,
        queue=options.queue_requests,
        deadline_seconds=options.deadline_seconds,
    )
    with _in_time(verified):
        model = Model(verified, options.threads)
        model.verify_golden()
    readiness, counters = Readiness(), Metrics(verified, served_version(verified))
    batcher = Batcher(model, counters, limits, scheduler, together=options.batching)
    if shadow:
        batcher.observers.append(shadow.feed(counters).observe)
    who = guard.from_options(options)
    return Site(
        clients=endpoints.inference(model, counters, readiness, limits, batcher, who),
        platform=endpoints.management(verified, counters, readiness),
        readiness=readiness,
        counters=counters,
        batcher=batcher,
        limits=limits,
    )


@contextmanager
def _in_time(verified: Bundle) -> Iterator[None]:
    """Refuse a graph that does not come to an end: nothing can call it off, so the process ends in its midst."""

    def refuse() -> None:
        reason = f"its golden rows are not answered after {GOLDEN_SECONDS:g} s"
        print(f"{verified.path}/model.onnx: {reason}; build the bundle again", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(GOLDEN_SECONDS, refuse)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
