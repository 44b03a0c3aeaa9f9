"""Copies of what the primary was asked and answered, on their way to the shadow."""

import socket
from collections.abc import Mapping
from time import monotonic

import msgspec
import numpy as np
from msgspec import Struct

from contracts.bundle import Manifest
from serving.metrics.cells import Words
from serving.shadow.verdicts import SERVING, Verdicts

ROWS = 128  # of one call, at most; the first ones stand for the others
BYTES = 128 * 1024  # of one copy, at most
PAUSE_SECONDS = 0.02  # without a try, once the channel was full
DTYPES = {"float32": np.dtype(np.float32), "int64": np.dtype(np.int64), "bool": np.dtype(np.bool_)}


class Copy(Struct, array_like=True):
    """One call of the model. Columns stand in the manifest's order, numbers as their bytes."""

    texts: list[list[str]]
    numbers: list[bytes]
    outputs: list[bytes]


class Form:
    """How a manifest's columns stand in a copy."""

    def __init__(self, manifest: Manifest) -> None:
        self.texts = [column.name for column in manifest.inputs if column.dtype == "string"]
        self.numbers = [
            (column.name, DTYPES[column.dtype], column.width) for column in manifest.inputs if column.dtype != "string"
        ]
        self.outputs = [(output.name, output.width) for output in manifest.outputs]
        self._number_names = [name for name, _, _ in self.numbers]
        self._output_names = [name for name, _ in self.outputs]
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Copy).decode

    def write(self, feeds: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], rows: int) -> bytes:
        """What a call took and gave, for at most `ROWS` of its rows."""
        if rows > ROWS:
            feeds = {name: array[:ROWS] for name, array in feeds.items()}
            answers = {name: array[:ROWS] for name, array in answers.items()}
        texts = [feeds[name].tolist() for name in self.texts]
        numbers = [feeds[name].tobytes() for name in self._number_names]
        return self._encode(Copy(texts, numbers, [answers[name].tobytes() for name in self._output_names]))

    def read(self, data: bytes | memoryview) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The feeds and answers of a copy."""
        copy = self._decode(data)
        feeds = {name: np.array(values, object) for name, values in zip(self.texts, copy.texts, strict=True)}
        for (name, dtype, width), values in zip(self.numbers, copy.numbers, strict=True):
            feeds[name] = _shaped(np.frombuffer(values, dtype), width)
        outputs = zip(self.outputs, copy.outputs, strict=True)
        return feeds, {name: _shaped(np.frombuffer(values, np.float32), width) for (name, width), values in outputs}


class Feed:
    """The primary's side. Never waits, never raises; what does not fit is dropped and counted."""

    def __init__(self, form: Form, channel: socket.socket, verdicts: Verdicts) -> None:
        self.calls = Words(("sent", "dropped"))
        self.rows = Words(("left_out", "dropped"))
        self._write, self._send, self._shadow = form.write, channel.send, verdicts.state
        self._until = 0.0  # nothing is tried

    def observe(self, feeds: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], rows: int) -> None:
        """Copy one call of the model to the shadow, if it can take it."""
        if self._shadow.whole[0] == SERVING and monotonic() > self._until:
            try:
                copy = self._write(feeds, answers, rows)
                if len(copy) <= BYTES:
                    self._send(copy)
                    self.calls.add("sent")
                    self.rows.add("left_out", max(rows - ROWS, 0))
                    return
            except Exception:  # noqa: BLE001  most often the channel is full; whatever it is, it is not the primary's
                self._until = monotonic() + PAUSE_SECONDS
        self.calls.add("dropped")
        self.rows.add("dropped", rows)


def _shaped(values: np.ndarray, width: int) -> np.ndarray:
    return values.reshape(-1, width) if width > 1 else values
