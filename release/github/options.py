"""Options of the repository, what may run in it, labels, variables: what the files say beside what GitHub has."""

from typing import Any
from urllib.parse import quote

import msgspec

from release.github.names import Names
from release.github.plan import Change, Plan, Request, differences
from release.github.rest import Rest
from release.github.settings import Actions, App, Label, Repository


def repository(there: dict[str, Any], wanted: Repository) -> Plan:
    """Options and scanners."""
    options = msgspec.to_builtins(wanted.options)
    scanners = {key: {"status": value} for key, value in msgspec.to_builtins(wanted.security).items()}
    changes: list[Change] = []
    if "allow_merge_commit" not in there:
        return Plan(refused=("options: GitHub shows them to administrators only, and this token is none's",))
    if lines := differences(options, there):
        body = {key: value for key, value in options.items() if there.get(key) != value}
        changes.append(Change(what="options", lines=lines, requests=(Request("PATCH", "", _paired(body, options)),)))
    if lines := differences(scanners, there.get("security_and_analysis") or {}):
        body = {"security_and_analysis": scanners}
        changes.append(Change(what="scanners", lines=lines, requests=(Request("PATCH", "", body),)))
    return Plan(changes=tuple(changes))


def _paired(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """GitHub takes the title and the message of a merge only together."""
    for kind in ("merge_commit", "squash_merge_commit"):
        pair = (f"{kind}_title", f"{kind}_message")
        if any(key in body for key in pair):
            body |= {key: options[key] for key in pair if key in options}
    return body


def dependabot(rest: Rest, wanted: Repository) -> Plan:
    """Alerts first: security updates want them."""
    fixes = rest.get("automated-security-fixes") or {}
    now = {"alerts": rest.there("vulnerability-alerts"), "security_updates": bool(fixes.get("enabled"))}
    lines = differences(msgspec.to_builtins(wanted.dependabot), now)
    switches = (
        ("vulnerability-alerts", wanted.dependabot.alerts, now["alerts"]),
        ("automated-security-fixes", wanted.dependabot.security_updates, now["security_updates"]),
    )
    requests = tuple(Request("PUT" if to else "DELETE", path) for path, to, before in switches if to != before)
    return Plan(changes=(Change(what="Dependabot", lines=lines, requests=requests),) if requests else ())


def actions(rest: Rest, wanted: Actions, prune: bool) -> Plan:
    """What may run, and what GITHUB_TOKEN may. Actions that were allowed by hand stay, unless `prune`."""
    said = msgspec.to_builtins(wanted)
    rights, selected = said.pop("workflow"), said.pop("selected")
    there = rest.get("actions/permissions") or {}
    changes, kept = [], []
    if lines := differences(said, there):
        changes.append(Change(what="Actions", lines=lines, requests=(Request("PUT", "actions/permissions", said),)))
    if wanted.allowed_actions == "selected":
        path = "actions/permissions/selected-actions"
        now = (rest.get(path) if there.get("allowed_actions") == "selected" else None) or {}
        patterns = set(now.get("patterns_allowed") or ())
        more = sorted(patterns - set(selected["patterns_allowed"]))
        if not prune:
            kept += [f"Actions: {pattern} is allowed" for pattern in more]
            selected["patterns_allowed"] = [*selected["patterns_allowed"], *more]
        if lines := differences(selected, {**now, "patterns_allowed": sorted(patterns)} if now else {}):
            changes.append(Change(what="actions that may run", lines=lines, requests=(Request("PUT", path, selected),)))
    path = "actions/permissions/workflow"
    if lines := differences(rights, rest.get(path) or {}):
        changes.append(Change(what="GITHUB_TOKEN", lines=lines, requests=(Request("PUT", path, rights),)))
    return Plan(changes=tuple(changes), kept=tuple(kept))


def labels(rest: Rest, wanted: tuple[Label, ...]) -> Plan:
    """Labels by name; others are nobody's business."""
    there = {each["name"].lower(): each for each in rest.pages("labels")}
    changes = []
    for label in wanted:
        body = msgspec.to_builtins(label)
        now = there.get(label.name.lower())
        if now is None:
            request = Request("POST", "labels", body)
            changes.append(Change(what=f"label {label.name}", lines=("+ label",), requests=(request,)))
        elif lines := differences(body, {**now, "description": now.get("description") or ""}):
            path = f"labels/{quote(now['name'], safe='')}"
            body = {"new_name": body.pop("name"), **body}
            changes.append(Change(what=f"label {label.name}", lines=lines, requests=(Request("PATCH", path, body),)))
    return Plan(changes=tuple(changes))


def variable(rest: Rest, names: Names, app: App) -> Plan:
    """The variable by which workflows find the App."""
    what = f"variable {app.variable}"
    value = names.app(app.slug).client_id
    if not value:
        return Plan(refused=(f"{what}: GitHub does not show the App's client ID; give it as `client_id` in app.yml",))
    path = f"actions/variables/{app.variable}"
    now = rest.get(path)
    lines = differences({"value": value}, now or {})
    request = Request(
        "PATCH" if now else "POST", path if now else "actions/variables", {"name": app.variable, "value": value}
    )
    return Plan(changes=(Change(what=what, lines=lines, requests=(request,)),) if lines else ())
