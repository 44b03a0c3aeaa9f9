"""The report as text: Markdown for people and pull requests, JUnit XML for CI."""

import re
from xml.etree import ElementTree

from contracts.checks import Check, Report

# What XML 1.0 cannot hold, however it is escaped; a value of the data may carry it into a check's detail.
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MARK = {"pass": "✅", "warn": "⚠️", "fail": "❌", "not_run": "⏸️"}


def markdown(report: Report) -> str:
    """A heading with the verdict, a table with a row per check; figures are left to the HTML page."""
    lines = [f"## {report.title}: {'passed' if report.passed else 'refused'}", ""]
    if report.subject:
        lines += [f"Subject: `{report.subject}`", ""]
    lines += ["| | gate | check | value | threshold | detail |", "|---|---|---|---|---|---|"]
    for check in report.checks:
        cells = (check.gate, name(check), number(check.value), number(check.threshold), check.detail)
        lines.append(f"| {MARK[check.status]} | " + " | ".join(_cell(cell) for cell in cells) + " |")
    if report.facts:
        lines += ["", *(f"- {key}: {value}" for key, value in report.facts.items())]
    return "\n".join(lines) + "\n"


def junit(report: Report) -> str:
    """One test case per check; a blocking check that did not run is a failure, another one is skipped."""
    suite = ElementTree.Element(
        "testsuite",
        name=report.title,
        tests=str(len(report.checks)),
        failures=str(len(report.refusals)),
        skipped=str(sum(check.status == "not_run" and not check.blocking for check in report.checks)),
        timestamp=report.created_at,
    )
    for check in report.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=check.gate, name=check.name)
        text = f"value {number(check.value)}, threshold {number(check.threshold)}. {check.detail}"
        if check.refused:
            ElementTree.SubElement(case, "failure", message=check.detail or check.status, type=check.status).text = text
        elif check.status == "not_run":
            ElementTree.SubElement(case, "skipped", message=check.detail)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(suite)
    return NOT_XML.sub("\ufffd", ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)) + "\n"


def name(check: Check) -> str:
    """The check's name, marked when it cannot block."""
    return check.name if check.blocking else f"{check.name} (advice)"


def number(value: float | str | None) -> str:
    """A value as people write it: four significant digits, nothing for None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
