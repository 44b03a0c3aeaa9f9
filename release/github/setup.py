"""`release github-setup`: brings a repository on GitHub to what .github/settings says; shows the difference first.

Nothing that no file names is taken away. A second run finds nothing to do.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.errors import InputError
from release.github import options, rules
from release.github import settings as files
from release.github.names import Names
from release.github.plan import Change, Plan, together
from release.github.rest import RefusedError, Rest
from release.github.settings import DOCUMENT, Settings

DONE, DIFFERS, REFUSED = 0, 1, 2


def run(root: Path, rest: Rest, apply: bool, prune: bool = False, say: Callable[[str], object] = print) -> int:
    """Exit code 0: nothing to do, or done; 1: something differs, and nothing was written; 2: something was refused."""
    found = plan(rest, files.load(root), prune)
    for line in found.kept:
        say(f"kept, although no file names it: {line}")
    refused = list(found.refused)
    for change in found.changes:
        for line in change.lines:
            say(f"{change.what}: {line}")
        if apply:
            refused += _applied(rest, change)
    for line in refused:
        say(f"refused: {line}")
    return _verdict(rest, found, refused, apply, say)


def plan(rest: Rest, settings: Settings, prune: bool = False) -> Plan:
    """What differs, of everything. A part that cannot be asked is told, and the others go on."""
    there = rest.get()
    if there is None:
        raise InputError(
            f"GitHub: {rest.repository}: is not there, or the token may not see it; {DOCUMENT} has the rights"
        )
    names = Names(rest, settings.app)
    plans = [
        _asked("options", lambda: options.repository(there, settings.repository)),
        _asked("Dependabot", lambda: options.dependabot(rest, settings.repository)),
        _asked("Actions", lambda: options.actions(rest, settings.repository.actions, prune)),
        _asked("labels", lambda: options.labels(rest, settings.labels)),
        *_environments(rest, names, settings, prune),
        _asked(f"variable {settings.app.variable}", lambda: options.variable(rest, names, settings.app)),
        *_rulesets(rest, names, settings, prune),  # last: from then on a push to main is refused
    ]
    return together(plans)


def _environments(rest: Rest, names: Names, settings: Settings, prune: bool) -> Iterator[Plan]:
    for name, wanted in settings.environments.items():
        yield _asked(f"environment {name}", lambda n=name, w=wanted: rules.environment(rest, names, n, w, prune))  # type: ignore[misc]


def _rulesets(rest: Rest, names: Names, settings: Settings, prune: bool) -> Iterator[Plan]:
    try:
        listed = rest.pages("rulesets", includes_parents="false")
    except RefusedError as error:
        yield _no("rulesets", error)
        return
    ours = {each.name for each in settings.rulesets}
    yield Plan(kept=tuple(f"ruleset {each['name']}" for each in listed if each["name"] not in ours))
    for wanted in settings.rulesets:
        yield _asked(f"ruleset {wanted.name}", lambda w=wanted: rules.ruleset(rest, names, w, listed, prune))  # type: ignore[misc]


def _asked(what: str, ask: Callable[[], Plan]) -> Plan:
    try:
        return ask()
    except InputError as error:
        return _no(what, error)


def _no(what: str, error: InputError) -> Plan:
    if isinstance(error, RefusedError) and error.hopeless:
        raise error
    return Plan(refused=(f"{what}: {error}",))


def _applied(rest: Rest, change: Change) -> list[str]:
    """Carry out a change; what GitHub refuses of it, in one line."""
    try:
        for request in change.requests:
            rest.write(request.method, request.path, request.body)
    except RefusedError as error:
        if error.hopeless:
            raise
        return [f"{change.what}: {error}"]
    return []


def _verdict(rest: Rest, found: Plan, refused: list[str], apply: bool, say: Callable[[str], object]) -> int:
    count = len(found.changes)
    if not count and not refused:
        say(f"{rest.repository}: is as .github/settings says; nothing to do")
        return DONE
    refusals = f", {len(refused)} refused" if refused else ""
    if apply:
        failed = {line.partition(":")[0] for line in refused} & {change.what for change in found.changes}
        say(f"{rest.repository}: {count - len(failed)} changed{refusals}")
    else:
        say(f"{rest.repository}: {count} to change{refusals}, nothing written; to do it: make github-setup APPLY=1")
    return REFUSED if refused else DONE if apply else DIFFERS
