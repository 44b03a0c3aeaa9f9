"""The report as one HTML file that needs nothing else: no script, no network, light and dark."""

from html import escape

from contracts.checks import Check, Report
from contracts.report_text import name, number

STYLE = """
:root { color-scheme: light dark; --line: #8884;
  --pass: #1a7f37; --warn: #9a6700; --fail: #cf222e; --not_run: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --pass: #3fb950; --warn: #d29922; --fail: #f85149; --not_run: #8b949e; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.text { overflow-wrap: anywhere; max-width: 18rem; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; } code { overflow-wrap: anywhere; }
.status { font-weight: 600; white-space: nowrap; }
.pass { color: var(--pass); } .warn { color: var(--warn); } .fail { color: var(--fail); }
.not_run { color: var(--not_run); }
figure { margin: 1rem 0; } summary { cursor: pointer; } figcaption { opacity: .75; }
figure svg { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { opacity: .75; } dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(report: Report) -> str:
    """The whole page; figures are inline SVG that our own code drew, everything else is escaped."""
    verdict = "pass" if report.passed else "fail"
    head = f"<h1>{escape(report.title)}: <span class='{verdict}'>{'passed' if report.passed else 'refused'}</span></h1>"
    subject = f"<p>Subject <code>{escape(report.subject)}</code></p>" if report.subject else ""
    return document(report.title, head + subject + facts(report.facts) + table(report.checks) + figures(report))


def document(title: str, body: str) -> str:
    """A page around `body` (trusted HTML)."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def table(checks: tuple[Check, ...]) -> str:
    """A row per check, in the order given."""
    rows = "".join(
        f"<tr><td class='status {check.status}'>{check.status.replace('_', ' ')}</td><td>{escape(check.gate)}</td>"
        f"<td>{escape(name(check))}</td>{_cell(check.value)}{_cell(check.threshold)}<td>{escape(check.detail)}</td></tr>"
        for check in checks
    )
    titles = "".join(f"<th>{title}</th>" for title in ("", "gate", "check", "value", "threshold", "detail"))
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: float | str | None) -> str:
    return f"<td class='{'text' if isinstance(value, str) else 'number'}'>{escape(number(value))}</td>"


def facts(items: dict[str, str]) -> str:
    """A definition list, or nothing."""
    entries = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in items.items())
    return f"<dl>{entries}</dl>" if entries else ""


def figures(report: Report) -> str:
    """Every figure under its title, with its caption."""
    return "".join(
        f"<h2>{escape(figure.title)}</h2><figure>{figure.svg}<figcaption>{escape(figure.caption)}</figcaption></figure>"
        for figure in report.figures
    )
