"""What runs where, since when, who let it in and on which gates; and what ran before: all of it read from git."""

import datetime as dt
import re
import time

from msgspec import Struct

from contracts.report_text import MARK
from release import history, landing, pin, render, running, table
from release.forge import Forge
from release.git import Git
from release.history import Step
from release.landing import Line
from release.oci import Layout
from release.promotion import release_file
from release.running import Running

ROW = re.compile(r"^\| (?P<mark>[^ |]+) \| (?P<gate>[^|]+?) \|", re.M)
RESULTS = {mark: result for result, mark in MARK.items()}
WORST = ("fail", "not_run", "warn", "pass")


class Status(Running, frozen=True, kw_only=True):
    """An environment now. `since` is when the change came into the target branch."""

    proposed_by: str = ""
    merged_by: str = ""
    approved_by: tuple[str, ...] = ()
    staging_health: str = ""  # when it was promoted; production only
    checks: dict[str, str] = {}  # gate -> pass, warn, fail or not_run: the worst of its checks


class Change(Struct, frozen=True, kw_only=True):
    """A change of what an environment runs."""

    time: str
    kind: str  # promotion, forced promotion, rollback, revert by hand, change by hand
    before: str
    after: str
    proposed_by: str
    merged_by: str
    commit: str
    title: str
    why: str


def status(git: Git, forge: Forge, environment: str, layout: Layout | None) -> Status:
    """The environment as the target branch has it."""
    tip = forge.tip()
    found = running.running(git, tip, environment, forge.target, layout)
    path = pin.path(environment)
    steps = history.steps(git, tip, environment)
    now = pin.read(release_file(git, tip, path, forge.target), path)
    step = history.current(steps, now)
    known = {name: getattr(found, name) for name in found.__struct_fields__}
    if step is None or not now.digest:
        return Status(**known)
    landed = Line.of(git, tip).landing(step.commit)
    released = next((each for each in reversed(steps) if each.after == now and "Gates" in each.trailers), step)
    known["since"] = table.moment(landed.time)
    return Status(
        **known,
        proposed_by=step.author,
        merged_by=landed.by,
        approved_by=landing.approved_by(forge, landed, step.message),
        staging_health=released.trailers.get("Staging-Health", ""),
        checks=_checks(released.message),
    )


def everywhere(git: Git, forge: Forge, layout: Layout | None) -> list[Status]:
    """Every environment of the repository, the ones before production first."""
    return [status(git, forge, name, layout) for name in in_order(git)]


def in_order(git: Git) -> list[str]:
    """The repository's environments, production last."""
    return sorted(render.environments(git.directory), key=lambda name: (name == "production", name))


def text(found: list[Status]) -> str:
    """All environments as a table."""
    head = ("environment", "runs", "since", "proposed by", "merged by", "approved by", "gates")
    rows = [
        (
            each.environment,
            each.tag or pin.NOTHING,
            f"{each.since} ({_ago(each.since)})" if each.tag else "",
            each.proposed_by,
            each.merged_by,
            ", ".join(each.approved_by),
            _gates(each),
        )
        for each in found
    ]
    return table.columns(head, rows)


def details(found: Status) -> str:
    """One environment, a fact on each line."""
    return table.pairs(
        {
            "environment": found.environment,
            "image": found.image,
            "version": found.version,
            "bundle digest": found.bundle_digest,
            "since": found.since,
            "proposed by": found.proposed_by,
            "merged by": found.merged_by,
            "approved by": ", ".join(found.approved_by),
            "commit": found.commit,
            "title": found.title,
            "gates": _gates(found),
            "checks": ", ".join(f"{gate} {result.replace('_', ' ')}" for gate, result in found.checks.items()),
            "staging health": found.staging_health,
        }
    )


def changes(git: Git, forge: Forge, environment: str) -> list[Change]:
    """All that an environment ran, the newest change first."""
    tip = forge.tip()
    release_file(git, tip, pin.path(environment), forge.target)
    steps = history.steps(git, tip, environment)
    line = Line.of(git, tip)
    back = {each.step.commit for each in history.returns(steps)}
    found = []
    for step in reversed(steps):
        if step.before is None:
            continue  # where the file began
        landed = line.landing(step.commit)
        found.append(
            Change(
                time=table.moment(landed.time),
                kind=kind(step, step.commit in back),
                before=str(step.before),
                after=str(step.after),
                proposed_by=step.author,
                merged_by=landed.by,
                commit=step.commit,
                title=step.title,
                why=_why(step),
            )
        )
    return found


def kind(step: Step, back: bool) -> str:
    """What a change was, by its trailers and by what it led to."""
    if "Rolled-Back-From" in step.trailers:
        return "rollback"
    if back:
        return "revert by hand"
    if "Image-Digest" in step.trailers:
        return "forced promotion" if "Forced" in step.trailers else "promotion"
    return "change by hand"


def changes_text(found: list[Change]) -> str:
    """The changes as a table, the newest first."""
    head = ("when", "what", "before", "after", "merged by", "commit", "why")
    rows = [
        (
            each.time,
            each.kind,
            each.before.partition("@")[0],
            each.after.partition("@")[0],
            each.merged_by,
            each.commit[:12],
            each.why,
        )
        for each in found
    ]
    return table.columns(head, rows)


def _checks(message: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in ROW.finditer(message):
        if result := RESULTS.get(row["mark"]):
            found[row["gate"]] = min(result, found.get(row["gate"], "pass"), key=WORST.index)
    return found


def _gates(found: Status) -> str:
    return f"{found.gates}, {len(found.checks)} gates" if found.checks else found.gates


def _why(step: Step) -> str:
    said = re.search(r"^Why: (.+)$", step.message, re.M)
    return said[1] if said else step.trailers.get("Forced", "")


def _ago(moment: str) -> str:
    since = dt.datetime.fromisoformat(moment).timestamp() if moment != running.UNKNOWN else time.time()
    return f"{table.duration(max(0.0, time.time() - since))} ago"
