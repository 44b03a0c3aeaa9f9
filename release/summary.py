"""Reports for those who look at a run: a job summary, and one comment of a pull request that is kept up to date."""

from collections.abc import Iterable
from pathlib import Path

from contracts import report as reports
from contracts.checks import Report
from contracts.errors import InputError
from contracts.report_text import MARK, markdown, name, number
from release.forge import Comments, Forge

MARKER = "<!-- slipway:reports -->"
LONGEST_COMMENT = 60_000  # characters; GitHub takes 65,536
LONGEST_SUMMARY = 900_000  # bytes; a step's summary may have 1 MiB


def read(places: Iterable[Path]) -> list[Report]:
    """Every report in these folders and their folders, or in these files, by name; raises InputError for none."""
    found: dict[Path, Report] = {}
    for place in places:
        files = sorted(place.rglob("*.json")) if place.is_dir() else [place]
        found |= {file: report for file in files if (report := _report(file, place.is_dir()))}
    if not found:
        raise InputError(
            f"{', '.join(map(str, places))}: holds no report; `make validate` and `make loadtest` write them"
        )
    return list(found.values())


def short(found: list[Report]) -> str:
    """Markdown: a row for each report, then what was refused and what is advice. What passed is not repeated."""
    good = all(report.passed for report in found)
    lines = [f"## {MARK['pass' if good else 'fail']} {'Everything lets it through' if good else 'Refused'}", ""]
    lines += ["| | report | checks | refused | advice |", "|---|---|--:|--:|--:|"]
    for report in found:
        advice = sum(check.status == "warn" for check in report.checks)
        verdict = MARK["pass" if report.passed else "fail"]
        counts = (len(report.checks), len(report.refusals) or "", advice or "")
        lines.append(f"| {verdict} | {_cell(report.title)} | {' | '.join(map(str, counts))} |")
    subjects = sorted({report.subject for report in found if report.subject})
    lines += ["", *(f"Bundle `{subject}`" for subject in subjects)]
    loud = [check for report in found for check in report.checks if check.refused or check.status == "warn"]
    if loud:
        lines += ["", "| | gate | check | value | wanted | what to do |", "|---|---|---|--:|---|---|"]
        for check in sorted(loud, key=lambda each: not each.refused):
            cells = (check.gate, name(check), number(check.value), number(check.threshold), check.detail)
            lines.append(f"| {MARK[check.status]} | {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def whole(found: list[Report]) -> str:
    """Markdown: `short`, and behind it every report as it is, folded."""
    parts = [short(found)]
    for report in found:
        table = markdown(report).partition("\n\n")[2].strip()
        title = f"{_cell(report.title)}: all {len(report.checks)} checks"
        parts.append(f"<details>\n<summary>{title}</summary>\n\n{table}\n\n</details>\n")
    text = "\n".join(parts)
    return text if len(text.encode()) <= LONGEST_SUMMARY else parts[0]


def comment(forge: Forge, pull_request: int, found: list[Report], more: str = "") -> str:
    """Put the reports into the pull request's one comment; gives what was done, or why nothing was."""
    if not isinstance(forge, Comments):
        return "plain git has no comments: nothing is written to a pull request"
    text = whole(found)
    if len(text) > LONGEST_COMMENT:
        text = short(found)[:LONGEST_COMMENT]
    forge.comment(pull_request, MARKER, f"{MARKER}\n{text}{more}")
    return f"pull request {pull_request}: its comment says so"


def _report(file: Path, in_folder: bool) -> Report | None:
    """A report; in a folder of reports, other JSON files are passed over."""
    try:
        return reports.load(file)
    except InputError:
        if in_folder:
            return None
        raise


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
