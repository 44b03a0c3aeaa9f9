"""Counters in flat memory: what several processes have counted is the sum of their memories, cell by cell.

A cell has eight bytes and is written as one, so that what a process had counted is whole even when it is killed.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

BYTES = 8


class Cells:
    """One counter's cells, whole numbers and fractions apart: in memory of its own until it is moved."""

    def __init__(self, whole: int, fractions: int = 0) -> None:
        self.needs = (whole, fractions)
        self.move(*_views(bytearray(BYTES * max(whole + fractions, 1)), whole))

    def move(self, whole: "memoryview[int]", fractions: "memoryview[float]") -> None:
        """Go on counting there, with what is there."""
        self.whole, self.fractions = whole, fractions


class Histogram(Cells):
    """Counts below bounds. Not thread-safe: the event loop's thread is the only one that counts."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(len(bounds) + 1, 1)
        self.bounds = bounds

    def observe(self, value: float) -> None:
        """Count one value."""
        self.whole[bisect_left(self.bounds, value)] += 1
        self.fractions[0] += value

    def observe_all(self, values: np.ndarray) -> None:
        """Count many values."""
        for place, count in enumerate(np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.whole))):
            self.whole[place] += int(count)
        self.fractions[0] += float(values.sum())

    @property
    def counts(self) -> list[int]:
        """By bound, above the last one at the end."""
        return self.whole.tolist()

    @property
    def total(self) -> float:
        """The sum of all values."""
        return self.fractions[0]


class Tally(Cells):
    """Counts by two words of fixed vocabularies, whose last words stand for every other."""

    def __init__(self, first: Iterable[str], second: Iterable[int]) -> None:
        self.first, self.second = tuple(first), tuple(second)
        keys = [(one, other) for one in self.first for other in self.second]
        super().__init__(len(keys))
        self._cell = {key: number for number, key in enumerate(keys)}

    def cell(self, first: str, second: int) -> int:
        """The place in `whole` of two words of the vocabularies."""
        return self._cell[first, second]

    def add(self, first: str, second: int) -> None:
        """Count one."""
        try:
            self.whole[self._cell[first, second]] += 1
        except KeyError:
            known = (
                first if first in self.first else self.first[-1],
                second if second in self.second else self.second[-1],
            )
            self.whole[self._cell[known]] += 1

    def counts(self) -> Counter[tuple[str, int]]:
        """What was counted at least once."""
        return Counter({key: count for key, count in zip(self._cell, self.whole.tolist(), strict=True) if count})


class Words(Cells):
    """Counts by the words of a fixed vocabulary, whose last word stands for every other."""

    def __init__(self, words: Iterable[str]) -> None:
        self._cell = {word: number for number, word in enumerate(words)}
        super().__init__(len(self._cell))

    def add(self, word: str, times: int = 1) -> None:
        """Count one, or several."""
        self.whole[self._cell.get(word, -1)] += times

    def counts(self) -> Counter[str]:
        """What was counted at least once."""
        return +Counter(self.all())

    def all(self) -> dict[str, int]:
        """Every word, whether or not it was ever counted."""
        return dict(zip(self._cell, self.whole.tolist(), strict=True))


class Sheet:
    """The memory of one process for all its counters: first the whole numbers of all, then the fractions of all.

    Counters that need the same in the same order give the same sheet, in every process.
    """

    def __init__(self, counters: Sequence[Cells]) -> None:
        self._counters = tuple(counters)
        self._whole = sum(counter.needs[0] for counter in self._counters)
        self.bytes = BYTES * sum(sum(counter.needs) for counter in self._counters)
        self.place(bytearray(self.bytes))

    def place(self, memory: bytearray | memoryview) -> None:
        """Let all counters count in this memory, of `bytes` bytes, from what is there."""
        whole, fractions = _views(memory, self._whole)
        self._memory = memory
        at, beyond = 0, 0
        for counter in self._counters:
            end, far = at + counter.needs[0], beyond + counter.needs[1]
            counter.move(whole[at:end], fractions[beyond:far])
            at, beyond = end, far

    def total(self, memories: Sequence[memoryview]) -> None:
        """Become the sum of these."""
        split = BYTES * self._whole
        for kind, part in ((np.int64, slice(0, split)), (np.float64, slice(split, self.bytes))):
            sums = np.sum([np.frombuffer(memory[part], kind) for memory in memories], axis=0, dtype=kind)
            memoryview(self._memory)[part] = sums.tobytes()


def _views(memory: bytearray | memoryview, whole: int) -> tuple["memoryview[int]", "memoryview[float]"]:
    view = memoryview(memory)
    return view.cast("q")[:whole], view.cast("d")[whole:]
