"""What a reviewer sees: the pull request's body. What changes and how good it is comes first, then all checks."""

import re
from collections.abc import Iterator

from msgspec import Struct

from contracts import report_text
from contracts.checks import Check, Report
from contracts.errors import InputError
from contracts.report_text import MARK, number
from release import image
from release.evidence import REQUIRED, Evidence, gather
from release.history import Step
from release.oci import Layout
from release.pin import Pin

LONGEST = 60_000  # characters; GitHub takes 65,536
# Gates whose figures are set beside those of what runs now, but for checks that are about the making of a model.
COMPARED = ("quality", "loadtest", "drift")
LEFT_OUT = re.compile(r"evaluation agrees|input .*|wrong answers")
CHAMPION = "champion"
HEALTH = {
    "healthy": "✅ healthy in {before}, as its cluster says",
    "unknown": "⚠️ no cluster has said how {before} is: **a second person has to approve**",
    "pending": "⏸️ still being brought out in {before}",
    "failed": "❌ not healthy in {before}, as its cluster says",
}


class Change(Struct, frozen=True, kw_only=True):
    """What a promotion is about, for people."""

    title: str
    environment: str
    before: Pin
    after: Pin
    came_from: str
    trained_from: str
    earlier: str  # the environment it comes from; empty: the registry
    health: str  # there
    forced: tuple[str, ...]
    reason: str
    undo: str


def body(change: Change, evidence: Evidence, running: dict[str, Report] | None) -> str:
    """Markdown. `running` are the reports of what runs now; None where its image is not at hand."""
    parts = [_head(change, evidence)]
    if change.forced:
        overruled = "\n".join(f"> - {_line(each)}" for each in change.forced)
        parts.append(f"> [!WARNING]\n> Released by force: {_line(change.reason)}\n{overruled}")
    parts.append(f"### Against what runs now\n\n{_deltas(change, evidence, running)}")
    parts.append(f"### Gates\n\n{_gates(evidence)}")
    parts.append(
        f"### To undo it\n\nWhichever way this is merged:\n\n```sh\n{change.undo}\n```\n\n"
        f"or `make rollback ENV={change.environment} ARGS=--merge`."
    )
    whole = "\n\n".join([*parts, *_details(evidence)]) + "\n"
    return whole if len(whole) <= LONGEST else "\n\n".join([*parts, "_All checks: in the commit's message._"]) + "\n"


def rollback(environment: str, now: Pin, back: Pin, step: Step | None, why: str) -> str:
    """Markdown for the pull request of a rollback: there is little time to read it."""
    rows = [
        ("Sent back", f"`{now}`"),
        ("After this", f"`{back}`" if back.digest else "nothing runs any more"),
        ("Why", _quoted(why) if why else "no reason was given"),  # a cluster's notification may have brought it
    ]
    if step:
        rows.insert(1, ("Released by", f"{step.commit[:12]}, {step.title}"))
    lines = "\n".join(f"| {name} | {_line(value)} |" for name, value in rows)
    what = "One line goes back to what it was. What ran before needs no steps and no analysis."
    if not back.digest:
        what = (
            "This was the first release. Argo CD lets go of the environment and removes nothing (`docs/rollback.md`)."
        )
    return (
        f"{what}\n\n| | `{environment}` |\n|---|---|\n{lines}\n\n"
        f"No freeze holds it back. `{now.tag}` is refused from now on, in every environment, until somebody "
        "promotes it with `--force --reason`.\n"
    )


def reports_of(layout: Layout, running: Pin) -> dict[str, Report] | None:
    """The reports of what runs now, if its image lies in the layout."""
    if not running.digest:
        return None
    try:
        return gather(layout, image.read(layout, running.digest)).found
    except InputError:
        return None


def _head(change: Change, evidence: Evidence) -> str:
    rows = [
        ("Runs now", f"`{change.before}`" if change.before.digest else "nothing, this is the first release"),
        ("After this", f"`{change.after}`"),
        # Bare, so that GitHub makes links of the commits; `staging@0123…` it would take for somebody's fork.
        ("Comes from", change.came_from.partition(",")[0].replace("@", ", ")),
        ("Trained from", change.trained_from[:12]),
        ("Gates", f"{'✅' if evidence.passed else '❌'} {_count(evidence)}"),
    ]
    if change.earlier:
        rows.append(("Health", HEALTH[change.health].format(before=change.earlier)))
    lines = "\n".join(f"| {name} | {_line(value)} |" for name, value in rows)
    return f"One line changes, and nothing is built again.\n\n| | `{change.environment}` |\n|---|---|\n{lines}"


def _count(evidence: Evidence) -> str:
    checks = [check for report in evidence.found.values() for check in report.checks]
    refused = sum(check.refused for check in checks)
    advice = sum(check.status == "warn" for check in checks)
    missing = len(REQUIRED) - len(evidence.found)
    said = [f"{len(checks) - refused} of {len(checks)} checks let it through"]
    said += [f"{advice} with advice"] if advice else []
    said += [f"{missing} of {len(REQUIRED)} reports missing"] if missing else []
    return ", ".join(said)


def _deltas(change: Change, evidence: Evidence, running: dict[str, Report] | None) -> str:
    if not change.before.digest:
        return "Nothing runs yet: there is nothing to compare with."
    if not running:
        return "The reports of what runs now are not at hand here; `python -m release fetch` brings them."
    rows = list(_compared(running, evidence.found))
    if not rows:
        return "The reports have no figure in common."
    said = [f"- {MARK[each.status]} {each.name}: {_line(each.detail)}" for each in _champion(evidence) if each.detail]
    table = "| figure | now | this | change | budget |\n|---|--:|--:|--:|--:|\n" + "\n".join(rows)
    return "\n\n".join(["\n".join(said), table]) if said else table


def _champion(evidence: Evidence) -> list[Check]:
    """What the gate says that asked both models the same rows."""
    checks = (check for report in evidence.found.values() for check in report.checks)
    return [check for check in checks if check.gate == CHAMPION and check.status != "not_run"]


def _compared(now: dict[str, Report], this: dict[str, Report]) -> Iterator[str]:
    for name, report in this.items():
        old = {(each.gate, each.name): each for each in now[name].checks} if name in now else {}
        for check in report.checks:
            before = old.get((check.gate, check.name))
            if before is None or check.gate not in COMPARED or LEFT_OUT.fullmatch(check.name):
                continue
            if isinstance(check.value, (int, float)) and isinstance(before.value, (int, float)):
                cells = (number(before.value), number(check.value), _signed(check.value - before.value))
                yield f"| {check.gate}: {_line(check.name)} | {' | '.join(cells)} | {number(check.threshold)} |"


def _signed(value: float) -> str:
    return f"{float(f'{value:.3g}'):+g}" if value else "±0"


def _gates(evidence: Evidence) -> str:
    """A row for each gate: its verdict, and of what was refused or is advice each line."""
    lines = ["| | gate | checks | what to look at |", "|---|---|--:|---|"]
    for report in evidence.found.values():
        gates: dict[str, list[Check]] = {}
        for check in report.checks:
            gates.setdefault(check.gate, []).append(check)
        for gate, checks in gates.items():
            loud = [check for check in checks if check.refused or check.status == "warn"]
            mark = MARK[_worst(checks)]
            said = "; ".join(f"{MARK[each.status]} {each.name}: {_figure(each)}" for each in loud)
            lines.append(f"| {mark} | {gate} | {len(checks)} | {_line(said)} |")
    lines += [f"| ❌ | {_line(each)} | | |" for each in evidence.refusals if ": no " in each or " is about " in each]
    return "\n".join(lines)


def _worst(checks: list[Check]) -> str:
    if refused := [check for check in checks if check.refused]:
        return refused[0].status
    if all(check.status == "not_run" for check in checks):
        return "not_run"
    return "warn" if any(check.status == "warn" for check in checks) else "pass"


def _figure(check: Check) -> str:
    said = number(check.value) or check.status.replace("_", " ")
    return f"{said}, wanted {number(check.threshold)}" if check.threshold is not None else said


def _details(evidence: Evidence) -> Iterator[str]:
    for report in evidence.found.values():
        table = report_text.markdown(report).partition("\n\n")[2].strip()
        title = f"{report.title}: all {len(report.checks)} checks"
        yield f"<details>\n<summary>{title}</summary>\n\n{table}\n\n</details>"


def _quoted(text: str) -> str:
    """As code, in which nothing is a link, a mention or HTML, whoever wrote it."""
    return f"`{text.replace('`', chr(39))}`"


def _line(text: str) -> str:
    """One line for a cell."""
    return " ".join(text.replace("|", "\\|").split())
