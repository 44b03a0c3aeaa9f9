"""The shadow's process, started by the server: `python -m serving.shadow CHANNEL MEMORY FOLDER [KEYS]`.

It reads copies from the descriptor CHANNEL until nobody can send any more, and writes what came of them into the memory
of the descriptor MEMORY, behind whose counters lies the primary's manifest. With KEYS the bundle must be signed.
"""

import mmap
import os
import select
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from contracts import bundle
from contracts.bundle import Manifest
from contracts.errors import InputError
from serving.runtime import Model
from serving.shadow.copies import BYTES, Form
from serving.shadow.verdicts import REFUSED, STARTING, Verdicts

# Between two looks into the channel. Who waits in the channel is woken by every copy, at the cost of who sends it.
NAP_SECONDS = 0.02
REFUSAL = 2  # the exit code of a shadow that need not be started again


def main(channel: str, memory: str, folder: str, keys: str = "") -> int:
    """The exit code."""
    _step_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the server says when to end
    verdicts = Verdicts()
    shared = mmap.mmap(int(memory), 0)
    verdicts.sheet.place(memoryview(shared)[: verdicts.sheet.bytes])
    verdicts.is_now(STARTING)
    primary = msgspec.json.decode(shared[verdicts.sheet.bytes :], type=Manifest)
    try:
        loaded = bundle.load(Path(folder))
        if keys:
            from contracts import signature  # its library is loaded only where a key is set

            signature.verify(loaded, Path(keys).read_bytes())
        _require_same_columns(primary, loaded)
        model = Model(loaded)
        model.verify_golden()
    except InputError as error:
        print(f"shadow: {error}", file=sys.stderr, flush=True)
        verdicts.is_now(REFUSED)
        return REFUSAL
    verdicts.serves(loaded.digest)
    with socket.socket(fileno=int(channel)) as copies:
        Comparison(primary, model, verdicts).run(copies)
    return 0


class Comparison:
    """The shadow's answers beside the primary's."""

    def __init__(self, primary: Manifest, model: Model, verdicts: Verdicts) -> None:
        self._primary, self._model, self._verdicts = primary, model, verdicts
        self._form = Form(primary)
        self._failed = False

    def run(self, copies: socket.socket) -> None:
        """Until nobody can send any more.

        At most half of the time is worked: where processor time is rationed, it is the primary's too.
        """
        copies.setblocking(False)
        buffer = bytearray(BYTES)
        while True:
            select.select([copies], [], [])
            began = time.monotonic()
            with suppress(BlockingIOError):
                while time.monotonic() - began < NAP_SECONDS:
                    if not (length := copies.recv_into(buffer)):
                        return
                    self.compare(memoryview(buffer)[:length])
            time.sleep(max(NAP_SECONDS, time.monotonic() - began))

    def compare(self, copy: bytes | memoryview) -> None:
        """Answer one copy, and count how the answer differs."""
        verdicts = self._verdicts
        try:
            feeds, expected = self._form.read(copy)
            began = time.perf_counter()
            answers = self._model.run(feeds)
            verdicts.duration.observe(time.perf_counter() - began)
            self._count(expected, answers)
            verdicts.calls.add("compared")
        except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class but this
            verdicts.calls.add("failed")
            if not self._failed:  # once is enough: the others are counted
                self._failed = True
                where = traceback.extract_tb(error.__traceback__)[-1]
                # The kind and the place only: an exception's text may hold what a client sent.
                kind = type(error).__name__
                print(f"shadow: failure error={kind} at={where.filename}:{where.lineno}", file=sys.stderr, flush=True)

    def _count(self, expected: dict[str, np.ndarray], answers: dict[str, np.ndarray]) -> None:
        rows = len(next(iter(expected.values())))
        differing = decisions(self._primary, expected) != decisions(self._model.manifest, answers)
        for name, values in expected.items():
            difference = np.abs(answers[name].astype(np.float64) - values).reshape(rows, -1).max(axis=1)
            finite = np.isfinite(difference)
            self._verdicts.difference.observe_all(difference[finite])
            differing = differing | ~finite
        self._verdicts.rows.add("compared", rows)
        self._verdicts.rows.add("differing", int(differing.sum()))


def decisions(manifest: Manifest, answers: dict[str, np.ndarray]) -> np.ndarray:
    """What a model's answers decide, per row: a class; of a regression nothing, which is the same for all."""
    first = answers[manifest.outputs[0].name]
    if manifest.task == "regression":
        return np.zeros(len(first), np.int64)
    if first.ndim == 2:
        return first.argmax(axis=1)
    threshold = 0.5 if manifest.decision_threshold is None else manifest.decision_threshold
    return (first >= threshold).astype(np.int64)


def _require_same_columns(primary: Manifest, loaded: bundle.Bundle) -> None:
    place = loaded.path / "bundle.json"
    for side in ("inputs", "outputs"):
        columns, own = ({c.name: (c.dtype, c.width) for c in getattr(m, side)} for m in (primary, loaded.manifest))
        if differing := sorted(name for name in columns.keys() | own.keys() if columns.get(name) != own.get(name)):
            raise InputError(f"{place}: {side}: {differing[0]}: differs from the model that is served; shadow another")
    if primary.task != loaded.manifest.task:
        raise InputError(f"{place}: task: is not {primary.task}, as of the model that is served; shadow another")


def _step_back() -> None:
    """Whatever else wants to run on this machine goes first, and where memory runs out it is this process that goes."""
    os.nice(19)
    with suppress(AttributeError, OSError):  # on Linux there is less than the least priority
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
