"""The report: every gate, whatever it checks, answers in this one form.

A blocking check that did not run is a failure.
"""

import datetime as dt
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from contracts import atomic, report_html, report_text
from contracts.errors import InputError

FORMAT = 1
Status = Literal["pass", "warn", "fail", "not_run"]


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question and its answer.

    `gate` groups checks (schema, leakage, quality ...); `value` is what was measured, `threshold` what it was held
    against, `detail` one sentence for the person who has to act.
    """

    gate: str
    name: str
    status: Status
    value: float | str | None = None
    threshold: float | str | None = None
    detail: str = ""
    blocking: bool = True

    @property
    def refused(self) -> bool:
        return self.blocking and self.status in ("fail", "not_run")


class Figure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture for the HTML page, as inline SVG."""

    title: str
    svg: str
    caption: str = ""


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checks about one subject (a bundle digest, or empty where there is none)."""

    format: int = FORMAT
    title: str
    subject: str = ""
    created_at: str = ""
    checks: tuple[Check, ...]
    facts: dict[str, str] = {}
    figures: tuple[Figure, ...] = ()

    @property
    def passed(self) -> bool:
        """True when there is a check and no blocking one failed or did not run."""
        return bool(self.checks) and not any(check.refused for check in self.checks)

    @property
    def refusals(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.refused)


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
