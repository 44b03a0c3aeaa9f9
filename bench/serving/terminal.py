"""What is seen while it runs: a bar that moves between the measurements only, and a table after each round."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from bench.serving.contestants import EVERYBODY, OURS
from bench.serving.medians import Table
from bench.serving.plan import Scenario
from bench.serving.rounds import MEMORY, P99, RATE, SERVER, START, Left
from bench.serving.targets import Verdict


def console() -> Console:
    """As wide as the terminal; wide enough for the tables where there is none."""
    return Console() if Console().is_terminal else Console(width=150)


def progress(console: Console) -> Progress:
    """A bar that is drawn when told to: a thread that draws it would run on the core of who asks."""
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, auto_refresh=False, transient=True)


def grid(scenario: Scenario, table: Table, title: str) -> Grid:
    """Every server with its cells: answers a second and how many times MLServer's, or the p99 at a fixed rate."""
    shown = Grid(title=f"{scenario.title}: {title}", title_justify="left")
    shown.add_column("server", no_wrap=True)
    for heading in ("start s", "MB", *(cell.title for cell in scenario.cells)):
        shown.add_column(heading, justify="right")
    for name in scenario.contestants:
        cells = [_number(table, scenario.name, SERVER, name, metric) for metric in (START, MEMORY)]
        for cell in scenario.cells:
            metric = P99 if cell.loop == "open" else RATE
            cells.append(_number(table, scenario.name, cell.name, name, metric))
        shown.add_row(EVERYBODY[name].title, *cells, style="bold" if name == OURS else "")
    return shown


def outcome(verdicts: list[Verdict], left: list[Left]) -> Grid:
    """The targets, and under them what was not measured."""
    shown = Grid(title="Targets", title_justify="left")
    for heading, side in (("target", "left"), ("wanted", "right"), ("found", "right"), ("", "left")):
        shown.add_column(heading, justify="right" if side == "right" else "left")
    for verdict in verdicts:
        word = {True: "[green]met[/]", False: "[red]missed[/]", None: "[yellow]not measured[/]"}[verdict.met]
        shown.add_row(verdict.target.title, wanted(verdict), found(verdict), word)
    for each in left:
        shown.add_row(f"[yellow]{each.server}[/]", each.scenario, "", each.reason)
    return shown


def wanted(verdict: Verdict) -> str:
    """`≥ 20 ×`."""
    target = verdict.target
    sign, limit = ("≥", target.at_least) if target.at_most is None else ("≤", target.at_most)
    return f"{sign} {limit:g} {target.unit}"


def found(verdict: Verdict) -> str:
    """`26.3 × (25.1 – 27.0)`."""
    if (seen := verdict.found) is None:
        return "–"
    value = f"{digits(seen.median)} {verdict.target.unit}"
    return value if seen.rounds == 1 else f"{value} ({digits(seen.lowest)} – {digits(seen.highest)})"


def digits(value: float) -> str:
    """Three digits that count, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _number(table: Table, scenario: str, cell: str, server: str, metric: str) -> str:
    seen = table.of(scenario, cell, server, metric)
    if seen is None:
        return "–"
    if metric == P99:
        return f"{seen.median:,.0f} µs"
    ratio = table.times_anchor(scenario, cell, server) if metric == RATE else None
    times = f"  {digits(ratio.median)}×" if ratio else ""
    return f"{digits(seen.median)}{times}"
