"""What answers look like: GitHub's own examples with the values of this repository put in."""

import json
import zlib
from typing import Any

from tests.github.cut import REPOSITORY
from tests.github.description import description
from tests.github.hub import Hub, Pull
from tests.github.merging import can_be_merged, state_of
from tests.github.repository import Commit

SAMPLES = ("octocat/Hello-World", "octocat/hello-world", "octocat/example", "github/hello-world", "octocat/HelloWorld")
UNSIGNED = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}


def example(hub: Hub, name: str, code: int) -> Any:
    """The example of an answer, about this repository; `name` as in `answers`."""
    method, _, path = name.partition(" ")
    paths = description().whole["paths"]
    whole = f"{method} {REPOSITORY}{path}" if f"{REPOSITORY}{path}" in paths else name
    text = json.dumps(description().example(whole, code))
    for sample in SAMPLES:
        text = text.replace(sample, hub.full_name)
    return json.loads(text)


def user(hub: Hub, login: str) -> dict[str, Any]:
    found = example(hub, "POST /statuses/{sha}", 201)["creator"]
    text = json.dumps(found).replace("octocat", login)
    kind = "Bot" if login.endswith("[bot]") else "User"
    return json.loads(text) | {"login": login, "id": number(login), "type": kind}


def number(text: str) -> int:
    return zlib.crc32(text.encode()) % 1_000_000


def repository(hub: Hub, name: str = "GET ", code: int = 200) -> dict[str, Any]:
    found = example(hub, name, code)
    for key in ("source", "parent", "template_repository", "organization"):
        found.pop(key, None)
    return found | {
        "license": None,
        "name": hub.name,
        "full_name": hub.full_name,
        "owner": user(hub, hub.owner),
        "fork": False,
        "private": False,
        "language": "Python",
        "has_discussions": False,
        "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True},
        "clone_url": f"{hub.url}/{hub.full_name}.git",
        **hub.options,
    }


def ref(hub: Hub, name: str, sha: str) -> dict[str, Any]:
    return example(hub, "POST /git/refs", 201) | {
        "ref": name,
        "url": f"{hub.address}/git/{name}",
        "object": {"type": "commit", "sha": sha, "url": f"{hub.address}/git/commits/{sha}"},
    }


def git_commit(hub: Hub, commit: Commit) -> dict[str, Any]:
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha[:12]}",
        "url": f"{hub.address}/git/commits/{commit.sha}",
        "html_url": f"https://github.com/{hub.full_name}/commit/{commit.sha}",
        "author": commit.author.said,
        "committer": commit.committer.said,
        "message": commit.message,
        "tree": {"url": f"{hub.address}/git/trees/{commit.tree}", "sha": commit.tree},
        "parents": [
            {
                "url": f"{hub.address}/git/commits/{parent}",
                "sha": parent,
                "html_url": f"https://github.com/{hub.full_name}/commit/{parent}",
            }
            for parent in commit.parents
        ],
        "verification": UNSIGNED,
    }


def commit(hub: Hub, found: Commit) -> dict[str, Any]:
    said = git_commit(hub, found)
    inner = {key: said[key] for key in ("author", "committer", "message", "tree", "verification")}
    url = f"{hub.address}/commits/{found.sha}"
    return {
        "url": url,
        "sha": found.sha,
        "node_id": said["node_id"],
        "html_url": said["html_url"],
        "comments_url": f"{url}/comments",
        "commit": inner | {"url": said["url"], "comment_count": 0},
        "author": user(hub, found.author.name.replace(" ", "-")),
        "committer": user(hub, found.committer.name.replace(" ", "-")),
        "parents": [{"url": f"{hub.address}/commits/{p}", "sha": p} for p in found.parents],
    }


def files(hub: Hub, base: str, head: str) -> list[dict[str, Any]]:
    (model,) = example(hub, "GET /pulls/{pull_number}/files", 200)
    return [
        model
        | {
            "sha": hub.git.find(f"{head if state != 'removed' else base}:{path}", "blob"),
            "filename": path,
            "status": state,
            "additions": added,
            "deletions": removed,
            "changes": added + removed,
            "contents_url": f"{hub.address}/contents/{path}?ref={head}",
            "patch": hub.git.git("diff", base, head, "--", path).partition("@@")[2],
        }
        for state, added, removed, path in hub.git.changed(base, head)
    ]


def pull(hub: Hub, found: Pull, whole: bool = True) -> dict[str, Any]:
    """A pull request; the lists have a smaller form of it."""
    model = example(hub, "GET /pulls/{pull_number}", 200) if whole else example(hub, "GET /pulls", 200)[0]
    url, page = f"{hub.address}/pulls/{found.number}", f"https://github.com/{hub.full_name}/pull/{found.number}"
    head = hub.head(found)
    base = hub.git.branch(found.base) if hub.git.has(f"refs/heads/{found.base}") else head
    over: dict[str, Any] = {
        "number": found.number,
        "id": 10_000 + found.number,
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": f"{hub.address}/issues/{found.number}",
        "commits_url": f"{url}/commits",
        "review_comments_url": f"{url}/comments",
        "comments_url": f"{hub.address}/issues/{found.number}/comments",
        "statuses_url": f"{hub.address}/statuses/{head}",
        "_links": {key: {"href": link} for key, link in _links(hub, found, url, page, head).items()},
        "state": found.state,
        "draft": found.draft,
        "locked": False,
        "active_lock_reason": None,
        "title": found.title,
        "body": found.body,
        "user": user(hub, found.by),
        "labels": [label(hub, name, whole) for name in found.labels],
        "milestone": None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "auto_merge": None,
        "created_at": found.created,
        "updated_at": found.closed or found.created,
        "closed_at": found.closed,
        "merged_at": found.closed if found.merged else None,
        "merge_commit_sha": found.merged,
        "head": model["head"] | _end(hub, found.head, head),
        "base": model["base"] | _end(hub, found.base, base),
    }
    if whole:
        over |= _merging(hub, found, base, head)
    return model | over


def _merging(hub: Hub, found: Pull, base: str, head: str) -> dict[str, Any]:
    known = found.state != "open" or hub.undecided <= 0
    hub.undecided = max(0, hub.undecided - (found.state == "open"))
    mergeable = can_be_merged(hub, base, head) if found.state == "open" and known else None
    changed = hub.git.changed(base, head) if not hub.git.contains(base, head) else []
    return {
        "merged": found.merged is not None,
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": state_of(hub, found, mergeable),
        "merged_by": user(hub, found.merged_by) if found.merged_by else None,
        "comments": sum(number == found.number for number, _ in hub.comments.values()),
        "review_comments": 0,
        "commits": len(hub.git.between(base, head)),
        "additions": sum(each[1] for each in changed),
        "deletions": sum(each[2] for each in changed),
        "changed_files": len(changed),
    }


def _links(hub: Hub, found: Pull, url: str, page: str, head: str) -> dict[str, str]:
    return {
        "self": url,
        "html": page,
        "issue": f"{hub.address}/issues/{found.number}",
        "comments": f"{hub.address}/issues/{found.number}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{hub.address}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{hub.address}/statuses/{head}",
    }


def _end(hub: Hub, name: str, sha: str) -> dict[str, Any]:
    repo = example(hub, "GET /pulls/{pull_number}", 200)["head"]["repo"]
    kept = {"name": hub.name, "full_name": hub.full_name, "owner": user(hub, hub.owner), "default_branch": "main"}
    return {
        "label": f"{hub.owner}:{name}",
        "ref": name,
        "sha": sha,
        "user": user(hub, hub.owner),
        "repo": repo | kept,
    }


def label(hub: Hub, name: str, whole: bool = True) -> dict[str, Any]:
    """A label; one that nobody described is grey, as on GitHub."""
    found = hub.labels.get(name, {})
    return {
        "id": number(name),
        "node_id": f"LA_{number(name)}",
        "url": f"{hub.address}/labels/{name}",
        "name": name,
        "description": found.get("description") if whole else found.get("description") or "",
        "color": found.get("color", "ededed"),
        "default": False,
    }
