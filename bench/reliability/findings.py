"""What a scenario found, as a table in the terminal, as JSON, and as a section of docs/reliability.md."""

import datetime as dt
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs
from rich.table import Table

from contracts import atomic

ROOT = Path(__file__).resolve().parents[2]
JSON = ROOT / "data/bench/reliability.json"
PAGE = ROOT / "docs/reliability.md"
SECTION = re.compile(r"(<!-- reliability: begin -->\n).*(<!-- reliability: end -->)", re.DOTALL)


class Finding(Struct, frozen=True):
    """One thing that must hold. `holds` is None for a figure that decides nothing."""

    name: str
    found: str
    bound: str = ""
    holds: bool | None = None


class Result(Struct, frozen=True):
    """One scenario: what was done to the server, what was found; `not_run` says why it was not done."""

    scenario: str
    load: str
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    not_run: str = ""
    details: dict[str, object] = {}
    charts: dict[str, str] = {}  # name -> SVG

    @property
    def failed(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.holds is False]


def at_most(name: str, found: float, bound: float, unit: str = "", digits: int = 1) -> Finding:
    """A figure with an upper bound."""
    return Finding(name, f"{found:,.{digits}f}{unit}", f"≤ {bound:,.{digits}f}{unit}", bool(found <= bound))


def at_least(name: str, found: float, bound: float, unit: str = "", digits: int = 1) -> Finding:
    """A figure with a lower bound."""
    return Finding(name, f"{found:,.{digits}f}{unit}", f"≥ {bound:,.{digits}f}{unit}", bool(found >= bound))


def none_of(name: str, found: int, of: int | None = None) -> Finding:
    """What may not happen at all."""
    return Finding(name, f"{found:,}" + (f" of {of:,}" if of is not None else ""), "0", found == 0)


def note(name: str, found: str) -> Finding:
    """A figure that decides nothing."""
    return Finding(name, found)


def table(result: Result) -> Table:
    """A scenario for the terminal."""
    shown = Table(title=f"{result.scenario}: {result.load} ({result.seconds:.0f} s)", title_justify="left")
    for name in ("what", "found", "must hold", ""):
        shown.add_column(name, overflow="fold")
    if result.not_run:
        shown.add_row("not run", result.not_run, "", "[yellow]-")
    for finding in result.findings:
        mark = "" if finding.holds is None else "[green]holds" if finding.holds else "[red]does not hold"
        shown.add_row(finding.name, finding.found, finding.bound, mark)
    return shown


def write(results: Sequence[Result], document: bool) -> None:
    """Keep the figures: JSON, charts beside it, a section of the page. Scenarios not run keep theirs."""
    kept = {item["scenario"]: item for item in _kept()}
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
    for result in results:
        item = structs.asdict(result) | {"findings": [structs.asdict(finding) for finding in result.findings]}
        for name, svg in item.pop("charts").items():
            atomic.write_text(JSON.parent / f"reliability-{name}.svg", svg)
        kept[result.scenario] = item | {"when": when}
    figures = {"cores": os.cpu_count(), "python": platform.python_version(), "scenarios": list(kept.values())}
    atomic.write_text(JSON, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    if document and PAGE.exists():
        text = PAGE.read_text(encoding="utf-8")
        atomic.write_text(PAGE, SECTION.sub(lambda match: f"{match[1]}\n{section(figures)}\n{match[2]}", text))


def _kept() -> list[dict]:
    return json.loads(JSON.read_text(encoding="utf-8"))["scenarios"] if JSON.exists() else []


def section(figures: dict) -> str:
    """The figures in Markdown."""
    lines = ["| scenario | what | found | must hold | |", "| --- | --- | --- | --- | --- |"]
    for item in figures["scenarios"]:
        first = f"**{item['scenario']}**: {item['load']}"
        if item["not_run"]:
            lines.append(f"| {first} | not run: {item['not_run']} | | | – |")
        for finding in item["findings"]:
            mark = {None: "", True: "holds", False: "**does not hold**"}[finding["holds"]]
            cells = [first, finding["name"], finding["found"], finding["bound"], mark]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            first = ""
    when = sorted({item["when"] for item in figures["scenarios"]})
    last = f"Measured {when[0]} to {when[-1]} UTC with Python {figures['python']} on {figures['cores']} cores."
    return "\n".join([*lines, "", last, ""])
