"""The report: every gate, whatever it checks, answers in this one form.

A blocking check that did not run is a failure.
"""

import datetime as dt
from pathlib import Path

import msgspec

from contracts import atomic, report_html, report_text
from contracts.checks import FORMAT, Check, Figure, Report, Status
from contracts.errors import InputError

__all__ = ["FORMAT", "Check", "Figure", "Report", "Status", "load", "now", "write"]


def now() -> str:
    """The time for `created_at`: UTC, ISO 8601, seconds."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(report: Report, folder: Path, stem: str) -> dict[str, Path]:
    """Write `stem`.json, .xml (JUnit), .md and .html into `folder`; gives the paths by suffix."""
    documents = {
        "json": (msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n").decode(),
        "xml": report_text.junit(report),
        "md": report_text.markdown(report),
        "html": report_html.page(report),
    }
    paths = {suffix: Path(folder) / f"{stem}.{suffix}" for suffix in documents}
    for suffix, text in documents.items():
        atomic.write_text(paths[suffix], text)
    return paths


def load(path: Path) -> Report:
    """Read a report's JSON; raises InputError when it is missing or not a report of this format."""
    try:
        report = msgspec.json.decode(Path(path).read_bytes(), type=Report)
    except OSError as error:
        raise InputError(f"{path}: report: {error.strerror}; run the gate that writes it") from error
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: report: {error}; run the gate that writes it again") from error
    if report.format != FORMAT:
        raise InputError(f"{path}: format: is {report.format}, this version reads {FORMAT}; run the gate again")
    return report
