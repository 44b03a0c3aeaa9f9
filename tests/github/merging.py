"""Merges, and what forbids them: classic protection, rulesets, checks, reviews."""

import fnmatch
from collections.abc import Iterator
from typing import Any

from tests.github.hub import Hub, Pull, RefusedError, Token
from tests.github.repository import ConflictError, Person, now

METHODS = ("merge", "squash", "rebase")
WORDS = {"merge": "Merge commits are", "squash": "Squash merges are", "rebase": "Rebase merges are"}


def can_be_merged(hub: Hub, base: str, head: str) -> bool:
    try:
        hub.git.merged(base, head)
    except ConflictError:
        return False
    return True


def state_of(hub: Hub, pull: Pull, mergeable: bool | None) -> str:
    if mergeable is None:
        return "unknown"
    if not mergeable:
        return "dirty"
    return "blocked" if list(against(hub, pull, Token("anybody"), "merge")) else "clean"


def merge(hub: Hub, pull: Pull, token: Token, method: str, title: str | None, message: str | None) -> str:
    """Bring a pull request into its base branch; gives the commit there. Raises RefusedError (405)."""
    if pull.draft:
        raise RefusedError(405, "Pull Request is still a draft")
    if not hub.options[f"allow_{'merge_commit' if method == 'merge' else f'{method}_merge'}"]:
        raise RefusedError(405, f"{WORDS[method]} not allowed on this repository.")
    base, head = hub.git.branch(pull.base), hub.head(pull)
    if not can_be_merged(hub, base, head):
        raise RefusedError(405, "Pull Request is not mergeable")
    if reasons := list(against(hub, pull, token, method)):
        raise RefusedError(405, reasons[0])
    made = _METHODS[method](hub, pull, token, base, head, title, message)
    hub.git.point(f"refs/heads/{pull.base}", made, base)
    pull.sha, pull.state, pull.closed = head, "closed", now()
    pull.merged, pull.merged_by = made, token.login
    if hub.options["delete_branch_on_merge"]:
        hub.git.remove(f"refs/heads/{pull.head}")
    return made


def _by(token: Token) -> Person:
    return Person(token.login, f"{token.login}@users.noreply.github.com", now())


def _merge(hub: Hub, pull: Pull, token: Token, base: str, head: str, title: str | None, message: str | None) -> str:
    first = title or f"Merge pull request #{pull.number} from {hub.owner}/{pull.head}"
    text = f"{first}\n\n{pull.title if message is None else message}"
    return hub.git.write(hub.git.merged(base, head), [base, head], text, _by(token))


def _squash(hub: Hub, pull: Pull, token: Token, base: str, head: str, title: str | None, message: str | None) -> str:
    commits = [hub.git.commit(sha) for sha in hub.git.between(base, head)]
    first = commits[0].title if len(commits) == 1 else pull.title
    body = commits[0].body if len(commits) == 1 else "\n\n".join(f"* {each.message}" for each in commits)
    body = {"BLANK": "", "PR_BODY": pull.body or ""}.get(str(hub.options.get("squash_merge_commit_message")), body)
    text = f"{title or f'{first} (#{pull.number})'}\n\n{body if message is None else message}"
    return hub.git.write(hub.git.merged(base, head), [base], text.strip(), commits[0].author)


def _rebase(hub: Hub, pull: Pull, token: Token, base: str, head: str, title: str | None, message: str | None) -> str:
    onto = base
    for sha in hub.git.between(base, head):
        commit = hub.git.commit(sha)
        if len(commit.parents) > 1:
            continue
        try:
            onto = hub.git.write(hub.git.picked(commit, onto), [onto], commit.message, commit.author, _by(token))
        except ConflictError as error:
            raise RefusedError(405, "This branch can't be rebased") from error
    return onto


_METHODS = {"merge": _merge, "squash": _squash, "rebase": _rebase}


def against(hub: Hub, pull: Pull, token: Token, method: str) -> Iterator[str]:
    """What stands between a pull request and its merge."""
    head = hub.head(pull)
    passed = passed_checks(hub, head)
    if rules := hub.protection.get(pull.base):
        checks = (rules.get("required_status_checks") or {}).get("contexts", [])
        yield from (f'Required status check "{name}" is expected.' for name in checks if name not in passed)
        wanted = (rules.get("required_pull_request_reviews") or {}).get("required_approving_review_count", 0)
        if approvals(pull) < wanted:
            yield f"At least {wanted} approving review is required by reviewers with write access."
        if rules.get("required_linear_history") and method == "merge":
            yield "Merge commits are not allowed on this repository."
    found = [
        line for rule in rules_of(hub, pull.base, token, True) for line in _broken(hub, pull, rule, passed, method)
    ]
    if found:
        yield "Repository rule violations found\n\n" + "\n\n".join(found) + "\n\n"


def _broken(hub: Hub, pull: Pull, rule: dict[str, Any], passed: set[str], method: str) -> Iterator[str]:
    wanted = rule.get("parameters") or {}
    if rule["type"] == "required_status_checks":
        for each in wanted.get("required_status_checks", []):
            if each["context"] not in passed:
                yield f'Required status check "{each["context"]}" is expected.'
    elif rule["type"] == "pull_request":
        count = wanted.get("required_approving_review_count", 0)
        if approvals(pull) < count:
            yield f"At least {count} approving review is required by reviewers with write access."
        if method not in wanted.get("allowed_merge_methods", METHODS):
            yield f"{WORDS[method]} not allowed on this branch."
    elif rule["type"] == "required_linear_history" and method == "merge":
        yield "This branch must not contain merge commits."
    elif rule["type"] == "update":
        yield "Cannot update this protected ref."


def approvals(pull: Pull) -> int:
    last = {each["user"]["login"]: each["state"] for each in pull.reviews if each["state"] != "COMMENTED"}
    return sum(state == "APPROVED" for login, state in last.items() if login != pull.by)


def passed_checks(hub: Hub, sha: str) -> set[str]:
    """The contexts and check runs of a commit whose last word is good."""
    said = {status["context"]: status["state"] == "success" for at, status in hub.statuses if at == sha}
    for check in hub.checks.values():
        if check["head_sha"] == sha:
            said[check["name"]] = check["conclusion"] in ("success", "neutral", "skipped")
    return {name for name, good in said.items() if good}


def rules_of(hub: Hub, branch: str, token: Token, by_pull_request: bool) -> Iterator[dict[str, Any]]:
    """The rules of the active rulesets that hold for a branch, and that whoever asks does not bypass."""
    for ruleset in hub.rulesets.values():
        if ruleset.get("enforcement") != "active" or ruleset.get("target", "branch") != "branch":
            continue
        names = (ruleset.get("conditions") or {}).get("ref_name") or {}
        if not _named(names.get("include", []), branch) or _named(names.get("exclude", []), branch):
            continue
        modes = {each.get("bypass_mode", "always") for each in ruleset.get("bypass_actors") or [] if _is(each, token)}
        if "always" in modes or (by_pull_request and "pull_request" in modes):
            continue
        yield from ruleset.get("rules") or []


def _is(actor: dict[str, Any], token: Token) -> bool:
    return actor.get("actor_type") == "Integration" and token.app is not None and actor.get("actor_id") == token.app


def _named(patterns: list[str], branch: str) -> bool:
    return any(
        pattern == "~ALL"
        or (pattern == "~DEFAULT_BRANCH" and branch == "main")
        or fnmatch.fnmatchcase(f"refs/heads/{branch}", pattern)
        for pattern in patterns
    )


def guard_ref(hub: Hub, token: Token, ref: str, before: str | None, after: str | None) -> None:
    """Raises RefusedError when a ref may not be made, moved or deleted past the pull requests."""
    if not ref.startswith("refs/heads/"):
        return
    branch = ref.removeprefix("refs/heads/")
    forced = bool(before and after and not hub.git.contains(after, before))
    if rules := hub.protection.get(branch):
        if after is None:
            raise RefusedError(422, "Cannot delete a protected branch")
        if forced and not rules.get("allow_force_pushes"):
            raise RefusedError(422, "Cannot force-push to this branch")
        if rules.get("required_pull_request_reviews") or rules.get("required_status_checks"):
            raise RefusedError(422, "Changes must be made through a pull request.")
    for rule in rules_of(hub, branch, token, False):
        kind = rule["type"]
        word = {
            "deletion": "Cannot delete this branch" if after is None else "",
            "non_fast_forward": "Cannot force-push to this branch" if forced else "",
            "creation": "Cannot create ref due to creations being restricted." if before is None else "",
            "pull_request": "Changes must be made through a pull request." if after and before else "",
            "required_status_checks": "Required status checks are expected." if after and before else "",
        }.get(kind)
        if word:
            raise RefusedError(422, f"Repository rule violations found\n\n{word}\n\n")
