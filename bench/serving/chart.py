"""The figures as one SVG: a panel for each question, a bar for each server, our own drawing."""

from html import escape

from msgspec import Struct

from bench.serving import terminal
from bench.serving.contestants import ANCHOR, EVERYBODY, FLOOR, OURS
from bench.serving.medians import Table
from bench.serving.rounds import CPU, MEMORY, P99, RATE, SERVER, START

COLUMN, GAP, NAME, VALUE, BAR, HEAD = 500, 40, 158, 118, 17, 46
WIDTH = 2 * COLUMN + 3 * GAP
PAPER, INK, SOFT, LINE = "#ffffff", "#1f2328", "#57606a", "#d0d7de"
COLOURS = {OURS: "#1f6feb", FLOOR: "#8c959f", ANCHOR: "#bf8700"}
VARIANT, OTHER = "#79b8ff", "#d4a72c"


class Panel(Struct, frozen=True):
    """One question: a figure of some servers, the better the longer or the shorter the bar."""

    title: str
    scenario: str
    cell: str
    metric: str
    unit: str
    servers: tuple[str, ...]
    scale: float = 1.0


PEERS = ("fastapi", "mlserver", "kserve", "mlflow")
PANELS = (
    Panel("1 row, 64 connections: answers a second", "tensor", "c64", RATE, "/s", (FLOOR, OURS, "ours-asgi", *PEERS)),
    Panel("1 row, 1 connection: answers a second", "tensor", "c1", RATE, "/s", (FLOOR, OURS, "ours-asgi", *PEERS)),
    Panel("32 rows of JSON: answers a second", "tensor", "json32", RATE, "/s", (FLOOR, OURS, *PEERS)),
    Panel("raw columns, 64 connections: answers a second", "columns", "c64", RATE, "/s", (FLOOR, OURS, *PEERS)),
    Panel("32 rows as binary tensors: answers a second", "tensor", "binary32", RATE, "/s", (OURS, "kserve")),
    Panel("heavier network, 64 connections: answers a second", "heavy", "c64", RATE, "/s", (OURS, "ours-unbatched")),
    Panel("p99 at 1,000 requests/s (less is better)", "tensor", "rate1000", P99, "ms", (FLOOR, OURS, *PEERS), 1e-3),
    Panel("processor time of an answer, c=64 (less is better)", "tensor", "c64", CPU, "µs", (FLOOR, OURS, *PEERS)),
    Panel("start to first answer (less is better)", "tensor", SERVER, START, "s", (OURS, *PEERS)),
    Panel("memory (less is better)", "tensor", SERVER, MEMORY, "MB", (OURS, *PEERS)),
)


def draw(table: Table, note: str) -> str:
    """The whole picture; panels without figures are left out."""
    panels = [(panel, _bars(table, panel)) for panel in PANELS]
    panels = [(panel, bars) for panel, bars in panels if bars]
    parts, top = [], 92.0
    for place in range(0, len(panels), 2):
        pair = panels[place : place + 2]
        for side, (panel, bars) in enumerate(pair):
            parts.append(_panel(table, panel, bars, GAP + side * (COLUMN + GAP), top))
        top += HEAD + max(len(bars) for _, bars in pair) * (BAR + 7) + 22
    head = (
        f'<text x="{GAP}" y="44" font-size="21" font-weight="600" fill="{INK}">'
        "The inference server beside others</text>"
        f'<text x="{GAP}" y="66" font-size="12.5" fill="{SOFT}">{escape(note)}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" role="img" '
        'aria-label="Throughput, latency, start and memory of the inference server and of others" '
        'font-family="system-ui, -apple-system, Segoe UI, sans-serif">'
        f'<rect width="{WIDTH}" height="{top:.0f}" fill="{PAPER}"/>{head}{"".join(parts)}</svg>\n'
    )


def _bars(table: Table, panel: Panel) -> list[tuple[str, float, float, float]]:
    """Server, median, lowest, highest, in the panel's unit."""
    seen = ((name, table.of(panel.scenario, panel.cell, name, panel.metric)) for name in panel.servers)
    return [
        (name, each.median * panel.scale, each.lowest * panel.scale, each.highest * panel.scale)
        for name, each in seen
        if each
    ]


def _panel(table: Table, panel: Panel, bars: list[tuple[str, float, float, float]], left: float, top: float) -> str:
    longest = max(highest for _, _, _, highest in bars) or 1.0
    room = COLUMN - NAME - VALUE
    parts = [
        f'<text x="{left}" y="{top + 16}" font-size="14" font-weight="600" fill="{INK}">{escape(panel.title)}</text>',
        f'<line x1="{left + NAME}" x2="{left + NAME}" y1="{top + 28}" '
        f'y2="{top + 32 + len(bars) * (BAR + 7)}" stroke="{LINE}"/>',
    ]
    for place, (name, middle, lowest, highest) in enumerate(bars):
        y = top + 32 + place * (BAR + 7)
        length, low, high = (value / longest * room for value in (middle, lowest, highest))
        weight = ' font-weight="600"' if name == OURS else ""
        text = f"{terminal.digits(middle)} {panel.unit}{_times(table, panel, name)}"
        parts.append(
            f'<text x="{left + NAME - 8}" y="{y + 13}" font-size="12" text-anchor="end" fill="{INK}"{weight}>'
            f"{escape(_short(name))}</text>"
            f'<rect x="{left + NAME}" y="{y}" width="{max(length, 1):.1f}" height="{BAR}" rx="2" '
            f'fill="{_colour(name)}"/>'
            f'<text x="{left + NAME + max(length, high) + 8:.1f}" y="{y + 13}" font-size="12" fill="{SOFT}"{weight}>'
            f"{escape(text)}</text>"
        )
        if high - low > 1:  # from the lowest to the highest round
            parts.append(
                f'<path d="M{left + NAME + low:.1f} {y + BAR / 2}H{left + NAME + high:.1f}" stroke="{INK}" '
                'stroke-width="1.2" opacity="0.55"/>'
            )
    return "".join(parts)


def _times(table: Table, panel: Panel, name: str) -> str:
    """How many times MLServer's a throughput is."""
    ratio = table.times_anchor(panel.scenario, panel.cell, name) if panel.metric == RATE else None
    return f" · {terminal.digits(ratio.median)}×" if ratio else ""


def _short(name: str) -> str:
    return {FLOOR: "floor (nginx, fixed)", "ours-asgi": "this, under uvicorn"}.get(name, EVERYBODY[name].title)


def _colour(name: str) -> str:
    return COLOURS.get(name, VARIANT if name.startswith(OURS) else OTHER)
