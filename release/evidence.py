"""The evidence for a release: the gate reports attached to its image, and what in them refuses it."""

import msgspec
from msgspec import Struct

from contracts import report as reports
from contracts import report_text
from contracts.errors import InputError
from contracts.report import Report
from release.image import REPORTS, Image
from release.oci import Layout

REQUIRED = {"gates.json": "gates", "loadtest.json": "load test"}
MAKE = {"gates.json": "make validate", "loadtest.json": "make loadtest"}
TITLE = "org.opencontainers.image.title"


class Evidence(Struct, frozen=True, kw_only=True):
    """The reports about this bundle by file name, and one line for each reason against the release."""

    found: dict[str, Report]
    refusals: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.refusals

    def markdown(self) -> str:
        """The reports as tables, for a commit message: no line begins with `#`, which git takes for a comment."""
        return "\n".join(_unhashed(report_text.markdown(self.found[name])) for name in REQUIRED if name in self.found)


def gather(layout: Layout, image: Image) -> Evidence:
    """Read the reports that are attached to the image; of several with one name, the latest counts."""
    found: dict[str, Report] = {}
    refusals = []
    for name, kind in REQUIRED.items():
        attached = _attached(layout, image, name)
        if not attached:
            refusals.append(f"{kind}: no {name} is attached to the image; `{MAKE[name]}`, then `make image`")
            continue
        latest = max(enumerate(attached), key=lambda entry: (entry[1].created_at, entry[0]))[1]
        if latest.subject != image.bundle_digest:
            refusals.append(
                f"{kind}: {name} is about {latest.subject or 'nothing'}, the image holds {image.bundle_digest}"
            )
            continue
        found[name] = latest
        if not latest.passed:
            refusals.append(f"{kind}: {_why(latest)}")
    return Evidence(found=found, refusals=tuple(refusals))


def _attached(layout: Layout, image: Image, name: str) -> list[Report]:
    return [
        _decode(layout.read(layer), f"{layout.path}: {layer.digest}: {name}")
        for artifact in layout.referrers(image.digest, REPORTS)
        for layer in artifact.layers
        if layer.annotations.get(TITLE) == name
    ]


def _decode(data: bytes, place: str) -> Report:
    try:
        report = msgspec.json.decode(data, type=Report)
    except msgspec.MsgspecError as error:
        raise InputError(f"{place}: {error}; run the gate that writes it again, then `make image`") from error
    if report.format != reports.FORMAT:
        raise InputError(
            f"{place}: format: is {report.format}, this version reads {reports.FORMAT}; run the gate again"
        )
    return report


def _why(report: Report) -> str:
    if not report.checks:
        return "holds no check at all"
    said = []
    for check in report.refusals:
        measured = f" {report_text.number(check.value)}" if check.value is not None else ""
        wanted = f", wanted {report_text.number(check.threshold)}" if check.threshold is not None else ""
        said.append(f"{check.gate}/{check.name} {check.status.replace('_', ' ')}{measured}{wanted}")
    return ", ".join(said)


def _unhashed(markdown: str) -> str:
    lines = markdown.splitlines()
    return "\n".join(f"**{line.lstrip('# ')}**" if line.startswith("#") else line for line in lines) + "\n"
