"""The verdict: one report of all gates, and what a refusal means for a run."""

from collections.abc import Sequence

from contracts import bundle as bundles
from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check, Figure, Report, now

TITLE = "Gates"
NAMED = 3  # refused checks that the one line names


def report(bundle: Bundle, checks: Sequence[Check], figures: Sequence[Figure], facts: dict[str, str]) -> Report:
    """All checks about one bundle; what refuses comes first."""
    ordered = sorted(checks, key=lambda check: not check.refused)
    return Report(
        title=f"{TITLE} of {bundle.manifest.name}",
        subject=bundle.digest,
        created_at=now(),
        checks=tuple(ordered),
        figures=tuple(figures),
        facts=facts,
    )


def require_passed(gates: Report) -> None:
    """Raise InputError, in one line, when a gate refuses."""
    if gates.passed:
        return
    refusals = [
        f"{check.gate}: {check.name}" + (" did not run" if check.status == "not_run" else "")
        for check in gates.refusals
    ]
    more = f" and {len(refusals) - NAMED} more" if len(refusals) > NAMED else ""
    first = gates.refusals[0].detail if gates.refusals else "there is no check in it"
    where = f"data/reports/{bundles.short(gates.subject)}/gates.html"
    raise InputError(
        f"{where}: gates refuse {gates.subject[:23]}: {'; '.join(refusals[:NAMED])}{more}; the first says: {first}"
    )


def require_about(gates: Report, bundle: Bundle) -> None:
    """Raise InputError when the report is about another bundle."""
    if gates.subject != bundle.digest:
        raise InputError(
            f"gate_report: subject: is {gates.subject[:23]}, the bundle is {bundle.digest[:23]}; "
            "run its gates: `kedro run --pipelines validation`"
        )
