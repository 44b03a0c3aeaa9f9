"""What a repository on GitHub lacks for a release: the App, its key, rules, the required check, the cluster's word.

One line for each, with the way out. Only what this token is shown can be judged; the rest says `not_run`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from contracts.checks import Check, Status
from contracts.errors import InputError
from release import dispatch, pin, render
from release.git import Git
from release.github import settings as files
from release.github import setup
from release.github.names import OF_ACTIONS, Names
from release.github.rest import RefusedError, Rest, connect
from release.github.settings import DOCUMENT, Settings

GATE = "github"
MEND = "`make github-setup` shows it, APPLY=1 mends it"
LOOK_BACK = 10  # commits of the main branch, and pull requests
RANK = {"read": 1, "write": 2, "admin": 3}
# Rules that an App's merge by the REST call meets, whoever made them, and that it cannot satisfy.
IN_THE_WAY = {
    "merge_queue": "a rollback would queue: a merge queue knows no bypass",
    "required_deployments": "a rollback would wait for a deployment",
    "required_signatures": "the commit of a promotion or a rollback is not signed",
    "update": "nobody may update the branch, the App included",
}
LABEL = "label "
WEIGHTY = ("ruleset", "environment", "variable")


def checks(root: Path, rest: Rest | None = None) -> tuple[Check, ...]:
    """Everything; raises InputError where GitHub cannot be asked at all."""
    rest = rest or connect(git=Git.at(root))
    settings = files.load(root)
    names = Names(rest, settings.app)
    parts: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("repository", lambda: _repository(rest)),
        ("App", lambda: _app(names, settings)),
        ("secrets", lambda: _secrets(rest, settings)),
        ("settings", lambda: _settings(rest, settings)),
        ("rules", lambda: _rules(rest)),
        ("required check", lambda: _required(rest, settings)),
        ("environments", lambda: _environments(rest, settings)),
        ("owners", lambda: _owners(rest)),
        ("notifications", lambda: _notifications(rest, root)),
    )
    return tuple(check for name, part in parts for check in _guarded(name, part))


def _guarded(name: str, part: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A part that GitHub refuses to this token is told as such; the others go on."""
    try:
        yield from part()
    except RefusedError as error:
        if error.hopeless:
            raise
        yield _said(name, "not_run", f"not shown to this token: {error}")
    except InputError as error:
        yield _said(name, "fail", str(error))


def _repository(rest: Rest) -> Iterator[Check]:
    there = rest.get()
    if there is None:
        raise InputError(f"{rest.repository}: is not there, or the token may not see it; {DOCUMENT} has the rights")
    admin = (there.get("permissions") or {}).get("admin")
    detail = (
        rest.repository if admin else "this token is not an administrator's: GitHub does not show all of what follows"
    )
    yield _said("token", "pass" if admin else "warn", detail)
    branch = there["default_branch"]
    said = (
        "main"
        if branch == "main"
        else f"is {branch}; workflows, environments and Argo CD say main: rename it on GitHub"
    )
    yield _said("default branch", "pass" if branch == "main" else "fail", said)


def _app(names: Names, settings: Settings) -> Iterator[Check]:
    slug = settings.app.slug.lower()
    known = names.app(slug)
    page = f"https://github.com/apps/{slug}"
    if known.permissions is None:
        yield _said(
            "App", "warn", f"{slug}: GitHub shows its rights to owners of the organisation only; look at {page}"
        )
        return
    lacks = [
        f"{name}: {level}"
        for name, level in settings.app.permissions.items()
        if RANK.get(known.permissions.get(name, ""), 0) < RANK[level]
    ]
    if known.suspended:
        yield _said("App", "fail", f"{slug}: its installation is suspended; the organisation's settings, GitHub Apps")
    elif lacks:
        detail = f"{slug} lacks {', '.join(lacks)}; add it on the App's page, then accept it at the installation"
        yield _said("App", "fail", detail)
    elif known.installed is None:
        yield _said(
            "App", "warn", f"{slug} has the rights; whether it is installed here is shown to owners only: {page}"
        )
    else:
        wide = (
            "; it reaches all repositories of the owner, where those with a model would do" if known.everywhere else ""
        )
        yield _said("App", "warn" if wide else "pass", f"{slug} is installed and has the rights{wide}")


def _secrets(rest: Rest, settings: Settings) -> Iterator[Check]:
    key = settings.app.secret
    if key in _names(rest, "actions/secrets"):
        detail = f"{key} is one of the repository: every branch's workflow can read it; gh secret delete {key}"
        yield _said("secrets", "fail", detail)
    for name, environment in settings.environments.items():
        path = f"environments/{quote(name, safe='')}"
        there = _names(rest, f"{path}/secrets") if environment.secrets and rest.get(path) else set()
        for secret in environment.secrets:
            way_out = f"not there: gh secret set {secret} --env {name} < app.pem ({DOCUMENT}, step 4)"
            held = secret in there
            yield _said(f"{name}: {secret}", "pass" if held else "fail", "is there" if held else way_out)


def _names(rest: Rest, path: str) -> set[str]:
    return {each["name"] for each in rest.pages(path, "secrets")}


def _settings(rest: Rest, settings: Settings) -> Iterator[Check]:
    found = setup.plan(rest, settings)
    labels = [change.what.removeprefix(LABEL) for change in found.changes if change.what.startswith(LABEL)]
    for change in found.changes:
        if not change.what.startswith(LABEL):
            more = f" and {len(change.lines) - 1} more" if len(change.lines) > 1 else ""
            status: Status = "fail" if change.what.startswith(WEIGHTY) else "warn"
            yield _said(change.what, status, f"{change.lines[0]}{more}; {MEND}")
    if labels:
        yield _said("labels", "warn", f"{', '.join(labels)}: not there, or not so; {MEND}")
    for line in found.refused:
        what, _, reason = line.partition(": ")
        yield _said(what, "not_run", "waits for the App" if str(files.FOLDER / "app.yml") in reason else reason)
    for line in found.kept:
        if "passes by" in line:
            yield _said("bypass", "warn", f"{line}, which no file names; PRUNE=1 takes it away")
    if not found.changes and not found.refused:
        yield _said("settings", "pass", "as .github/settings says")


def _rules(rest: Rest) -> Iterator[Check]:
    found = [each for each in rest.pages("rules/branches/main") if each["type"] in IN_THE_WAY]
    for rule in found:
        whose = f"of {rule.get('ruleset_source', 'this repository')}"
        detail = (
            f"{rule['type']} {whose} holds for main: {IN_THE_WAY[rule['type']]}; exempt the App there, or take it out"
        )
        yield _said("rules", "warn", detail)
    if not found:
        yield _said("rules", "pass", "nothing on main stops what the App merges by the REST call")


def _required(rest: Rest, settings: Settings) -> Iterator[Check]:
    wanted = {
        check["context"]
        for ruleset in settings.rulesets
        for rule in ruleset.rules
        for check in rule.parameters.get("required_status_checks", ())
    }
    seen: set[str] = set()
    for pull in rest.get("pulls", state="all", sort="updated", direction="desc", per_page=LOOK_BACK):
        runs = rest.pages(f"commits/{pull['head']['sha']}/check-runs", "check_runs")
        seen |= {each["name"] for each in runs if (each.get("app") or {}).get("slug") == OF_ACTIONS}
        if wanted <= seen:
            break
    for name in sorted(wanted):
        way_out = (
            f"none of the last pull requests has a check {name!r} by GitHub Actions: nothing can be merged until "
            "one has; open a pull request and look at its checks"
        )
        yield _said(
            f"required check {name}", "pass" if name in seen else "warn", "has run" if name in seen else way_out
        )


def _environments(rest: Rest, settings: Settings) -> Iterator[Check]:
    for name, environment in settings.environments.items():
        there = rest.get(f"environments/{quote(name, safe='')}") or {}
        kinds = {each["type"] for each in there.get("protection_rules") or ()} - {"branch_policy"}
        if kinds and environment.secrets:
            detail = f"{', '.join(sorted(kinds))}: jobs wait there, an automatic rollback among them; take it out"
            yield _said(f"environment {name}", "warn", detail)


def _owners(rest: Rest) -> Iterator[Check]:
    answer = rest.get("codeowners/errors")
    if answer is None:
        yield _said("owners", "fail", ".github/CODEOWNERS: is not on the default branch yet; push it")
        return
    for error in answer["errors"]:
        detail = f"{error['path']}: line {error['line']}: {error['kind']}: {error.get('suggestion') or error['source']}"
        yield _said("owners", "fail", f"{detail}; a team needs write access to the repository")
    if not answer["errors"]:
        yield _said("owners", "pass", "GitHub knows all whom CODEOWNERS names")


def _notifications(rest: Rest, root: Path) -> Iterator[Check]:
    """Does the cluster tell GitHub? Only asked for environments that run something."""
    running = [name for name in render.environments(root) if _runs(root, name)]
    if not running:
        yield _said("notifications", "pass", "nothing runs yet, so no cluster has anything to tell")
        return
    contexts: set[str] = set()
    for commit in rest.get("commits", sha="main", per_page=LOOK_BACK) or ():
        contexts |= {each["context"] for each in rest.pages(f"commits/{commit['sha']}/statuses")}
    for name in running:
        told = any(each.startswith("argocd/") and each.endswith(f"-{name}") for each in contexts)
        way_out = (
            f"no commit status argocd/…-{name} on the last {LOOK_BACK} commits of main: Argo CD does not report, and a "
            "promotion to production says Staging-Health: unknown (docs/deploy.md, step 3)"
        )
        yield _said(f"Argo CD on {name}", "pass" if told else "warn", "reports" if told else way_out)
    events = (rest.get("actions/runs", event="repository_dispatch", per_page=1) or {}).get("total_count", 0)
    way_out = (
        f"no {dispatch.ABORTED} ever came: fine if nothing was ever aborted; docs/deploy.md, step 3, has the token"
    )
    yield _said("Argo Rollouts", "pass" if events else "warn", "has told of an abort" if events else way_out)


def _runs(root: Path, environment: str) -> bool:
    path = pin.path(environment)
    try:
        return bool(pin.read((Path(root) / path).read_bytes(), path).digest)
    except OSError:
        return False


def _said(name: str, status: Status, detail: str) -> Check:
    return Check(gate=GATE, name=name, status=status, detail=" ".join(detail.split()), blocking=status == "fail")
