"""Lines over time as SVG, without a plotting library."""

from collections.abc import Sequence

from bench.load import Tally

WIDTH, HEIGHT, LEFT, TOP = 720, 150, 60, 30


def soak(samples: Sequence[tuple[float, float, int]], tally: Tally) -> str:
    """Memory, and p99 of each second, over the soak."""
    memory = [(at, size) for at, size, _ in samples]
    latency = [(float(at), tally.quantile(0.99, at, at + 1)) for at in range(len(tally.seconds) - 1)]
    panels = [panel(0, "resident memory, MB", memory), panel(1, "p99, ms", [p for p in latency if p[1] == p[1]])]
    size = f'width="{WIDTH + LEFT + 20}" height="{2 * (HEIGHT + 60)}"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(panels)}</svg>\n'


def panel(number: int, title: str, points: Sequence[tuple[float, float]]) -> str:
    """One line from zero up, with its axes."""
    if not points:
        return ""
    across, up = max(at for at, _ in points) or 1.0, max(value for _, value in points) * 1.1 or 1.0
    top = TOP + number * (HEIGHT + 60)
    line = " ".join(
        f"{LEFT + at / across * WIDTH:.1f},{top + HEIGHT - value / up * HEIGHT:.1f}" for at, value in points
    )
    frame = f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>'
    marks = "".join(
        f'<text x="{LEFT - 6}" y="{top + HEIGHT - share * HEIGHT + 4:.0f}" text-anchor="end">{up * share:.4g}</text>'
        for share in (0.0, 0.5, 1.0)
    )
    end = f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 16}" text-anchor="end">{across:.0f} s</text>'
    name = f'<text x="{LEFT}" y="{top - 8}">{title}</text>'
    return f'{frame}{marks}{end}{name}<polyline points="{line}" fill="none" stroke="#1f6feb"/>'
