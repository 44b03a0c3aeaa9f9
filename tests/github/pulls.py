"""Pull requests: opened, found, changed, reviewed, merged."""

from typing import Any

from tests.github import merging, shapes
from tests.github.description import Call
from tests.github.hub import Answer, Hub, Pull, RefusedError, Token, answers, invalid, not_found
from tests.github.repository import now

LONGEST = 65536  # characters of a body


def found(hub: Hub, number: str) -> Pull:
    pull = hub.pulls.get(int(number)) if number.isdigit() else None
    if pull is None:
        raise not_found()
    return pull


@answers("POST /pulls")
def make(hub: Hub, call: Call, token: Token) -> Answer:
    owner, _, head = call.get("head", "").rpartition(":")
    base = call.get("base")
    for field, name in (("head", head), ("base", base)):
        if (owner and owner != hub.owner) or not hub.git.has(f"refs/heads/{name}"):
            raise RefusedError(422, "Validation Failed", errors=[_error(field)])
    if not call.get("title"):
        raise RefusedError(422, "Validation Failed", errors=[_error("title", "missing_field")])
    if len(call.get("body") or "") > LONGEST:
        raise invalid("PullRequest", "body is too long (maximum is 65536 characters)")
    if any(pull.head == head and pull.base == base for pull in hub.pulls.values() if pull.state == "open"):
        raise invalid("PullRequest", f"A pull request already exists for {hub.owner}:{head}.")
    sha = hub.git.branch(head)
    if not hub.git.between(hub.git.branch(base), sha):
        raise invalid("PullRequest", f"No commits between {base} and {head}")
    pull = Pull(next(hub.numbers), call.get("title"), call.get("body"), head, base, sha, token.login)
    pull.draft = bool(call.get("draft"))
    hub.pulls[pull.number] = pull
    return 201, shapes.pull(hub, pull)


def _error(field: str, code: str = "invalid") -> dict[str, Any]:
    return {"resource": "PullRequest", "field": field, "code": code}


@answers("GET /pulls")
def listed(hub: Hub, call: Call, token: Token) -> Answer:
    state, head, base = (call.query.get(key, "") for key in ("state", "head", "base"))
    chosen = [
        pull
        for pull in hub.pulls.values()
        if (state or "open") in ("all", pull.state)
        and head in ("", f"{hub.owner}:{pull.head}")  # a head without its owner is passed over by GitHub
        and base in ("", pull.base)
    ]
    newest = call.query.get("direction", "desc" if call.query.get("sort", "created") == "created" else "asc") == "desc"
    return 200, [shapes.pull(hub, pull, whole=False) for pull in (reversed(chosen) if newest else chosen)]


@answers("GET /pulls/{pull_number}")
def read(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, shapes.pull(hub, found(hub, call["pull_number"]))


@answers("PATCH /pulls/{pull_number}")
def change(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["pull_number"])
    for key in ("title", "body", "base"):
        if key in call.body:
            setattr(pull, key, call.body[key])
    state = call.get("state", pull.state)
    if state == "open" and pull.state == "closed":
        if pull.merged or not hub.git.has(f"refs/heads/{pull.head}"):
            raise invalid("PullRequest", "state cannot be changed. The branch is gone or was merged.")
        pull.closed = None
    elif state == "closed" and pull.state == "open":
        pull.sha, pull.closed = hub.head(pull), now()
    pull.state = state
    return 200, shapes.pull(hub, pull)


@answers("GET /pulls/{pull_number}/merge")
def is_merged(hub: Hub, call: Call, token: Token) -> Answer:
    if not found(hub, call["pull_number"]).merged:
        raise not_found()
    return 204, None


@answers("PUT /pulls/{pull_number}/merge")
def merge(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["pull_number"])
    if pull.state != "open":
        raise RefusedError(405, "Pull Request is not mergeable")
    if call.get("sha") not in (None, hub.head(pull)):
        raise RefusedError(409, "Head branch was modified. Review and try the merge again.")
    words = (call.get("commit_title"), call.get("commit_message"))
    sha = merging.merge(hub, pull, token, call.get("merge_method", "merge"), *words)
    return 200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@answers("GET /pulls/{pull_number}/commits")
def commits(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["pull_number"])
    base = hub.git.git("merge-base", hub.git.branch(pull.base), hub.head(pull))
    return 200, [shapes.commit(hub, hub.git.commit(sha)) for sha in hub.git.between(base, hub.head(pull))]


@answers("GET /pulls/{pull_number}/files")
def files(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["pull_number"])
    base = hub.git.git("merge-base", hub.git.branch(pull.base), hub.head(pull))
    return 200, shapes.files(hub, base, hub.head(pull))


@answers("GET /pulls/{pull_number}/reviews")
def reviews(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, found(hub, call["pull_number"]).reviews


@answers("POST /pulls/{pull_number}/reviews")
def review(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["pull_number"])
    state = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    if call.get("event") == "APPROVE" and token.login == pull.by:
        raise RefusedError(422, "Unprocessable Entity", errors=["Can not approve your own pull request"])
    number, page = next(hub.ids), f"https://github.com/{hub.full_name}/pull/{pull.number}"
    made = shapes.example(hub, "POST /pulls/{pull_number}/reviews", 200) | {
        "id": number,
        "user": shapes.user(hub, token.login),
        "body": call.get("body", ""),
        "state": state.get(call.get("event", ""), "PENDING"),
        "html_url": f"{page}#pullrequestreview-{number}",
        "pull_request_url": f"{hub.address}/pulls/{pull.number}",
        "commit_id": hub.head(pull),
        "submitted_at": now(),
    }
    pull.reviews.append(made)
    return 200, made


@answers("GET /commits/{commit_sha}/pulls")
def of_commit(hub: Hub, call: Call, token: Token) -> Answer:
    """Those that brought the commit, or have it."""
    sha = call["commit_sha"]
    if not hub.git.has(sha):
        raise RefusedError(422, f"No commit found for SHA: {sha}")
    chosen = [pull for pull in hub.pulls.values() if sha in (pull.merged, hub.head(pull))]
    return 200, [shapes.pull(hub, pull, whole=False) for pull in chosen]
