"""The section of docs/benchmarks.md: what was measured where, tables, targets, and what limits the figures."""

import re

from bench.serving import terminal
from bench.serving.contestants import ANCHOR, EVERYBODY, FLOOR, OURS
from bench.serving.machine import Machine
from bench.serving.medians import Statistic, Table
from bench.serving.plan import Scenario
from bench.serving.rounds import CPU, HELD_UP, MEMORY, P50, P99, P99_ALL, RATE, SERVER, START, Left
from bench.serving.targets import Verdict

SECTION = re.compile(r"(<!-- serving: begin -->\n).*(<!-- serving: end -->)", re.DOTALL)


def section(text: str, body: str) -> str:
    """The page with this section anew; a page without the marks stays as it is."""
    return SECTION.sub(lambda match: f"{match[1]}\n{body}\n{match[2]}", text)


def body(
    table: Table,
    scenarios: list[Scenario],
    verdicts: list[Verdict],
    left: list[Left],
    machine: Machine,
    settings: dict[str, int],
) -> str:
    """All of the section, between the marks."""
    picture = "![throughput, latency, start and memory of each server](serving-benchmark.svg)"
    parts = [_where(machine, settings), picture, _targets(verdicts)]
    for scenario in scenarios:
        parts += [f"### {scenario.title}", *_tables(table, scenario)]
        if not scenario.pinned:
            parts.append(_about_workers())
    parts += [_sizes(machine), _left(left)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(machine: Machine, settings: dict[str, int]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"Measured {machine.when} on {machine.processor}, {machine.cores} cores ({machine.system}): "
        f"{settings['rounds']} interleaved rounds, {settings['seconds']} s a measurement, "
        f"load {machine.load:.1f} before. {versions}."
    )


def _targets(verdicts: list[Verdict]) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = [
        [verdict.target.title, terminal.wanted(verdict), terminal.found(verdict), words[verdict.met]]
        for verdict in verdicts
    ]
    return _grid(["target", "wanted", "found: median (lowest – highest round)", ""], rows)


def _tables(table: Table, scenario: Scenario) -> list[str]:
    closed = [cell for cell in scenario.cells if cell.loop == "closed"]
    throughput = [
        [EVERYBODY[name].title, *(_rate(table, scenario.name, cell.name, name) for cell in closed)]
        for name in scenario.contestants
    ]
    detail = []
    for name in scenario.contestants:
        figures = [
            _value(table.of(scenario.name, SERVER, name, START), "s"),
            _value(table.of(scenario.name, SERVER, name, MEMORY), "MB"),
            _value(table.of(scenario.name, "c64", name, CPU), "µs"),
            _latency(table, scenario.name, "c64", name),
        ]
        if any(cell.loop == "open" for cell in scenario.cells):
            figures.append(_latency(table, scenario.name, "rate1000", name))
            figures.append(_value(table.of(scenario.name, "rate1000", name, P99_ALL), "µs"))
        detail.append([EVERYBODY[name].title, *figures])
    heads = ["server", "start to first answer", "memory", "CPU per answer, c=64", "p50 / p99, c=64"]
    if any(cell.loop == "open" for cell in scenario.cells):
        heads += ["p50 / p99 at 1,000/s", "the same p99 with what the machine held up"]
    found = [_grid(["answers a second (× MLServer; spread)", *(cell.title for cell in closed)], throughput)]
    return [*found, _grid(heads, detail), _spent(table, scenario), _held_up(table, scenario)]


def _rate(table: Table, scenario: str, cell: str, server: str) -> str:
    seen = table.of(scenario, cell, server, RATE)
    if seen is None:
        return "–"
    ratio = table.times_anchor(scenario, cell, server)
    times = f"{terminal.digits(ratio.median)} ×; " if ratio else ""
    return f"{terminal.digits(seen.median)} ({times}{seen.spread:.0%})"


def _latency(table: Table, scenario: str, cell: str, server: str) -> str:
    middle, tail = (table.of(scenario, cell, server, metric) for metric in (P50, P99))
    return f"{middle.median:,.0f} / {tail.median:,.0f} µs" if middle and tail else "–"


def _value(seen: Statistic | None, unit: str) -> str:
    return "–" if seen is None else f"{terminal.digits(seen.median)} {unit}"


def _spent(table: Table, scenario: Scenario) -> str:
    """What an answer costs, since that is what limits how many there are."""
    ours, floor, anchor = (table.of(scenario.name, "c64", name, CPU) for name in (OURS, FLOOR, ANCHOR))
    if not (ours and floor and anchor):
        return ""
    digits = terminal.digits
    return (
        f"An answer at c=64 takes {digits(ours.median)} µs of this server's core. HTTP costs {digits(floor.median)} µs "
        f"in nginx, which computes nothing; MLServer takes {digits(anchor.median)} µs."
    )


def _held_up(table: Table, scenario: Scenario) -> str:
    counts = {name: table.of(scenario.name, "rate1000", name, HELD_UP) for name in (OURS, FLOOR, ANCHOR)}
    said = ", ".join(f"{EVERYBODY[name].title} {seen.median:.0f}" for name, seen in counts.items() if seen)
    return f"Requests of a round at 1,000/s that the machine held up, left out of the p99: {said}." if said else ""


def _about_workers() -> str:
    return (
        "Two workers and the generator share the two cores here, so this shows that work is spread and what the second "
        "process costs, not how throughput grows with cores: for that, who asks needs a core of its own."
    )


def _sizes(machine: Machine) -> str:
    rows = [[EVERYBODY[name].title, f"{size:,.0f} MB"] for name, size in machine.site_packages.items()]
    return "\n\n".join(("### Size of the environments", _grid(["server", "site-packages, without bytecode"], rows)))


def _left(left: list[Left]) -> str:
    if not left:
        return ""
    lines = [f"- {EVERYBODY[each.server].title} ({each.scenario}): {_safe(each.reason)}" for each in left]
    return "\n".join(["Not timed:", "", *lines])


def _safe(reason: str) -> str:
    return re.sub(r"\s+", " ", reason).replace("|", "/").replace("<", "‹").replace(">", "›")[:160]


def _grid(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *rows])
