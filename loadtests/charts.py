"""Two small charts as SVG, without a library: bars of a distribution, a line over time."""

import math
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 720, 240, 56, 680, 32, 24
INK, SOFT, LIMIT = "#1f4e79", "#57606a", "#cf222e"


def distribution(values: list[float], limits: dict[str, float], unit: str, bins: int = 40) -> str:
    """How often values lie where, on a logarithmic scale; `limits` are drawn as lines with their names."""
    known = [value for value in (*values, *limits.values()) if 0 < value < math.inf]
    if not values or not known:
        return _frame("nothing was measured")
    low, high = math.log10(min(known)), math.log10(max(known) * 1.05)
    step = (high - low) / bins or 1.0
    counts = [0] * (bins + 1)
    for value in values:
        counts[min(max(int((math.log10(max(value, 1e-9)) - low) / step), 0), bins)] += 1
    tallest = max(counts)

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low or 1.0) * (RIGHT - LEFT)

    width = (RIGHT - LEFT) / bins
    bars = (
        f'<rect x="{LEFT + place * width:.1f}" y="{_y(count, tallest):.1f}" width="{width * 0.9:.1f}" '
        f'height="{HEIGHT - BOTTOM - _y(count, tallest):.1f}" fill="{INK}"/>'
        for place, count in enumerate(counts)
        if count
    )
    ticks = (_tick(x(value), f"{value:g} {unit}") for value in _round_values(10**low, 10**high))
    lines = (_limit(x(value), name) for name, value in limits.items())
    return _frame("", *bars, *ticks, *lines, _top(f"{tallest:,}"))


def over_time(values: list[float], limit: float, name: str) -> str:
    """A line with one point a second, and the limit that it must stay above."""
    if not values:
        return _frame("nothing was measured")
    tallest = max(*values, limit) * 1.05
    step = (RIGHT - LEFT) / max(len(values) - 1, 1)
    points = " ".join(f"{LEFT + place * step:.1f},{_y(value, tallest):.1f}" for place, value in enumerate(values))
    height = f"{_y(limit, tallest):.1f}"
    return _frame(
        "",
        f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="2"/>',
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="{height}" y2="{height}" stroke="{LIMIT}" stroke-dasharray="4"/>',
        f'<text x="{RIGHT}" y="{height}" dy="-4" text-anchor="end" fill="{LIMIT}">{escape(name)}</text>',
        _tick(LEFT, "0 s"),
        _tick(RIGHT, f"{len(values)} s"),
        _top(f"{tallest:,.0f}"),
    )


def _frame(text: str, *parts: str) -> str:
    base = HEIGHT - BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">'
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="{base}" y2="{base}" stroke="{SOFT}"/>'
        + (f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle" fill="{SOFT}">{escape(text)}</text>')
        + "".join(parts)
        + "</svg>"
    )


def _y(value: float, tallest: float) -> float:
    return TOP + (1 - value / (tallest or 1.0)) * (HEIGHT - BOTTOM - TOP)


def _tick(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle" fill="{SOFT}">{escape(text)}</text>'


def _top(text: str) -> str:
    return f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end" fill="{SOFT}">{escape(text)}</text>'


def _limit(x: float, name: str) -> str:
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{LIMIT}" stroke-dasharray="4"/>'
        f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="middle" fill="{LIMIT}">{escape(name)}</text>'
    )


def _round_values(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two values."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10**power for power in powers for factor in (1, 2, 5) if low <= factor * 10**power <= high]
