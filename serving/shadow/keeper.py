"""Starts the shadow, starts it again when it died, and ends it. Its channel and its counters outlive it."""

import asyncio
import logging
import mmap
import os
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic

import msgspec

from contracts.bundle import Manifest
from contracts.errors import InputError
from serving.metrics import Metrics
from serving.shadow.copies import Feed, Form
from serving.shadow.verdicts import ABSENT, REFUSED, Verdicts
from serving.workers.patience import Patience

log = logging.getLogger(__name__)

CHANNEL_BYTES = 1024 * 1024  # or as many as the system allows; a service may be rationed by memory
TICK_SECONDS = 0.5
REFUSAL = 2


class Shadow:
    """One for a service, however many workers send to it: made before they are forked, kept by who does not serve.

    `tick` is to be called now and then, in one process only.
    """

    def __init__(self, folder: Path, manifest: Manifest, keys: Path | None = None) -> None:
        """`keys`: public keys (PEM), with one of which this bundle too must be signed."""
        self._arguments = [str(folder), *([str(keys)] if keys else [])]
        self._form, self._verdicts = Form(manifest), Verdicts()
        self._memory = _memory()
        size = self._verdicts.sheet.bytes
        os.write(self._memory, bytes(size) + msgspec.json.encode(manifest))
        self._verdicts.sheet.place(memoryview(mmap.mmap(self._memory, 0))[:size])
        # Both ends stay open here, so that the death of the shadow closes nothing, and nobody sends into nothing.
        self._sending, self._receiving = _channel()
        self._sending.setblocking(False)
        self._sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHANNEL_BYTES)
        self._process: subprocess.Popen | None = None
        self._starts = 0
        self._due = 0.0
        self._patience = Patience()

    def feed(self, counters: Metrics) -> Feed:
        """What copies calls of the model to the shadow, and counts among `counters`, before these are placed."""
        feed = Feed(self._form, self._sending, self._verdicts)
        counters.extend(feed.calls, feed.rows)
        counters.more.append(lambda model: self._verdicts.families(feed.calls, feed.rows, model))
        return feed

    def tick(self) -> None:
        """Start it if it is not there and it is time to."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            if code == REFUSAL:
                self._verdicts.is_now(REFUSED)
                self._due = float("inf")
                return
            self._verdicts.is_now(ABSENT)
            wait = self._patience.wait()
            self._due = monotonic() + wait
            log.error("the shadow ended with code %s; it is started again in %g s", code, wait)
        if self._process is None and self._due <= monotonic():
            self._start()

    async def tend(self) -> None:
        """Look after it until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_SECONDS)

    def end(self) -> None:
        """End it; it has nothing to lose."""
        self._due = float("inf")
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._verdicts.is_now(ABSENT)

    def _start(self) -> None:
        descriptors = (self._receiving.fileno(), self._memory)
        command = [sys.executable, "-m", "serving.shadow", *map(str, descriptors), *self._arguments]
        self._patience.began()
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=descriptors)
        except OSError as error:
            self._due = monotonic() + self._patience.wait()
            log.error("the shadow cannot be started: %s", error.strerror)
            return
        if self._starts:
            self._verdicts.restarted()
        self._starts += 1


def _channel() -> tuple[socket.socket, socket.socket]:
    """A way for messages, which come out as they went in."""
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except (AttributeError, OSError) as error:
        raise InputError("arguments: --shadow: this system has no channel for it; run a second server") from error


def _memory() -> int:
    """A descriptor of memory that processes can share."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("shadow", os.MFD_CLOEXEC)
    import tempfile  # elsewhere than on Linux

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
