"""Small pictures for a report, as inline SVG: no script, no font of their own, the same bytes for the same numbers."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from msgspec import Struct

from pipelines.statistics.bootstrap import Interval

WIDTH, LEFT, RIGHT, TOP = 640, 150, 20, 24
ROW = 20
LONGEST = 22  # characters that fit left of the picture
INK, GRID, DOT, GOOD, BAD = "#333", "#ddd", "#0969da", "#1a7f37", "#cf222e"


class Row(Struct, frozen=True, kw_only=True):
    """One line of a forest plot: a value with its interval."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    bad: bool = False


def row(name: str, found: Interval, bad: bool = False) -> Row:
    """The line of an interval."""
    return Row(name=name, value=found.value, lower=found.lower, upper=found.upper, bad=bad)


def forest(rows: Sequence[Row], axis: str, line: float | None = None) -> str:
    """Values with their intervals, one below the other; `line` marks what they are held against."""
    numbers = [number for row in rows for number in (row.value, row.lower, row.upper) if number is not None]
    scale = _Scale([*numbers, *([] if line is None else [line])], LEFT, WIDTH - RIGHT)
    height = TOP + ROW * len(rows) + 40
    parts = _vertical_axis(scale, TOP, height - 36, axis, height)
    if line is not None:
        parts.append(_line(scale(line), TOP - 6, scale(line), height - 36, BAD, "4 3"))
    for place, row in enumerate(rows):
        y = TOP + ROW * place + ROW / 2
        colour = BAD if row.bad else DOT
        name = row.name if len(row.name) <= LONGEST else f"{row.name[: LONGEST - 1]}…"
        parts.append(_text(LEFT - 8, y + 4, name, "end"))
        if row.lower is not None and row.upper is not None:
            parts.append(_line(scale(row.lower), y, scale(row.upper), y, colour, width=2))
        parts.append(f'<circle cx="{scale(row.value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    return _picture(height, parts, axis)


def reliability(predicted: np.ndarray, observed: np.ndarray, axis: str) -> str:
    """What came against what was said, with the diagonal of perfect calibration."""
    size, left, bottom = 320, 60, 340
    numbers = [*predicted.tolist(), *observed.tolist()]
    across, up = _Scale(numbers, left, left + size), _Scale(numbers, bottom, bottom - size)
    parts = _vertical_axis(across, bottom - size, bottom, axis, bottom + 40)
    for tick in up.ticks():
        parts += [
            _line(left, up(tick), left + size, up(tick), GRID),
            _text(left - 6, up(tick) + 4, _number(tick), "end"),
        ]
    parts.append(_line(across(up.low), up(up.low), across(up.high), up(up.high), INK, "4 3"))
    points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(predicted, observed, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{DOT}" stroke-width="2"/>')
    parts += [
        f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="4" fill="{DOT}"/>'
        for x, y in zip(predicted, observed, strict=True)
    ]
    return _picture(bottom + 40, parts, "reliability")


def timeline(names: Sequence[str], series: Mapping[str, Sequence[float]], axis: str) -> str:
    """Lines over time, one per series; NaN leaves a gap."""
    colours = (DOT, GOOD, BAD)
    left, right, bottom, height = 60, WIDTH - RIGHT, 200, 250
    numbers = [value for values in series.values() for value in values if np.isfinite(value)]
    up = _Scale(numbers, bottom, TOP)
    across = _Scale([0, max(len(names) - 1, 1)], left, right)
    parts = []
    for tick in up.ticks():
        parts += [_line(left, up(tick), right, up(tick), GRID), _text(left - 6, up(tick) + 4, _number(tick), "end")]
    for place in range(0, len(names), max(len(names) // 6, 1)):
        parts.append(_text(across(place), bottom + 18, names[place], "middle"))
    for (name, values), colour in zip(series.items(), colours, strict=False):
        for run in _runs(values):
            points = " ".join(f"{across(place):.1f},{up(values[place]):.1f}" for place in run)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{left + 120 * list(series).index(name)}" y="{height - 8}" fill="{colour}">{escape(name)}</text>'
        )
    parts.append(_text(right, height - 8, axis, "end"))
    return _picture(height, parts, axis)


class _Scale:
    """From numbers to pixels, with room at both ends."""

    def __init__(self, numbers: Sequence[float], start: float, end: float) -> None:
        low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self.low, self.high = low - room, high + room
        self._start, self._end = start, end

    def __call__(self, number: float) -> float:
        return self._start + (number - self.low) / (self.high - self.low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Four to nine round numbers."""
        step = 10 ** np.floor(np.log10(self.high - self.low))
        step *= next((part for part in (0.2, 0.5, 1.0) if (self.high - self.low) / (step * part) <= 8), 2.0)
        first = np.ceil(self.low / step)
        return [float(round(number * step, 10)) for number in np.arange(first, np.floor(self.high / step) + 1)]


def _runs(values: Sequence[float]) -> list[list[int]]:
    """The places of finite values, in unbroken runs."""
    runs: list[list[int]] = [[]]
    for place, value in enumerate(values):
        if np.isfinite(value):
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _vertical_axis(scale: _Scale, top: float, bottom: float, axis: str, height: float) -> list[str]:
    parts = []
    for tick in scale.ticks():
        parts += [
            _line(scale(tick), top, scale(tick), bottom, GRID),
            _text(scale(tick), bottom + 16, _number(tick), "middle"),
        ]
    middle = (scale(scale.low) + scale(scale.high)) / 2
    return [*parts, _text(middle, height - 4, axis, "middle")]


def _picture(height: float, parts: Sequence[str], label: str) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
    style = f'role="img" aria-label="{escape(label)}" font-family="system-ui, sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "", width: float = 1) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashes}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:.4g}"
