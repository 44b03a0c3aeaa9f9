"""Who gets what of the outputs that one call of the model has for several requests."""

from collections.abc import Iterable
from math import isfinite

import msgspec
import numpy as np
from msgspec import Struct

from serving.exchange import Problem

Answers = dict[str, np.ndarray]
FEW = 16


class Shared:
    """The outputs of one call, and as text or bytes once somebody wants them so: for all at the price of one."""

    __slots__ = ("answers", "raw", "rows", "texts")

    def __init__(self, answers: Answers, rows: int) -> None:
        self.answers, self.rows = answers, rows
        self.texts: dict[str, list[bytes]] = {}
        self.raw: dict[str, bytes] = {}


class Part(Struct, frozen=True, gc=False, eq=False):
    """One request's part of the outputs of a call."""

    shared: Shared
    start: int
    stop: int
    rows: int

    def __getitem__(self, name: str) -> np.ndarray:
        """An output: float32 [rows], or [rows, width]."""
        return self.shared.answers[name][self.start : self.stop]

    def raw(self, name: str) -> bytes:
        """An output as float32, little-endian, row after row."""
        shared = self.shared
        data = shared.raw.get(name)
        if data is None:
            data = shared.raw[name] = shared.answers[name].astype("<f4", copy=False).tobytes()
        size = len(data) // shared.rows if shared.rows else 0
        return data[self.start * size : self.stop * size]

    def text(self, name: str) -> bytes:
        """An output as numbers in JSON with commas between them, row after row."""
        shared, rows = self.shared, self.rows
        if rows == shared.rows:
            return _text(shared.answers[name])
        texts = shared.texts.get(name)
        if texts is None:
            texts = shared.texts[name] = _text(shared.answers[name]).split(b",")
        width = len(texts) // shared.rows
        if width == rows == 1:
            return texts[self.start]
        return b",".join(texts[self.start * width : self.stop * width])


def all_finite(answers: Answers) -> bool:
    """Whether every number of the outputs is one."""
    return all(map(_finite, answers.values()))


def sound(part: Part, names: Iterable[str]) -> Part | Problem:
    """The part, or the problem that the model has no answer in it that is a number."""
    for name in names:
        finite = np.isfinite(part[name])
        if not finite.all():
            row = int(np.argwhere(~finite)[0][0])
            detail = f"the model has no finite answer for row {row}; its inputs are far from what it was trained on"
            return Problem(422, "no_finite_answer", detail, field=name)
    return part


def _text(answer: np.ndarray) -> bytes:
    return msgspec.json.encode(answer.ravel().tolist())[1:-1]


def _finite(answer: np.ndarray) -> bool:
    if answer.size <= FEW:  # numpy takes longer to start than this to end
        return isfinite(sum(answer.ravel().tolist()))
    return bool(np.isfinite(answer).all())
