"""Branches, refs, objects, commits, contents: what git itself answers."""

import base64
import binascii
from typing import Any

from tests.github import shapes
from tests.github.description import Call
from tests.github.hub import Answer, Hub, RefusedError, Token, answers, invalid, not_found
from tests.github.merging import guard_ref
from tests.github.repository import MissingError, Person, now


@answers("GET ")
def repository(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, shapes.repository(hub)


@answers("GET /git/ref/{ref}")
def read_ref(hub: Hub, call: Call, token: Token) -> Answer:
    name = f"refs/{call['ref']}"
    try:
        return 200, shapes.ref(hub, name, hub.git.find(name))
    except MissingError as error:
        raise not_found() from error


@answers("GET /git/matching-refs/{ref}")
def matching_refs(hub: Hub, call: Call, token: Token) -> Answer:
    prefix = f"refs/{call['ref']}"
    return 200, [shapes.ref(hub, ref, sha) for ref, sha in hub.git.refs("refs").items() if ref.startswith(prefix)]


@answers("POST /git/refs")
def make_ref(hub: Hub, call: Call, token: Token) -> Answer:
    name, sha = call.get("ref"), call.get("sha")
    if not name.startswith("refs/") or name.count("/") < 2:
        raise RefusedError(422, "Reference name must start with 'refs/' and have at least two slashes.")
    if not hub.git.has(sha):
        raise RefusedError(422, "Object does not exist")
    if hub.git.has(name):
        raise RefusedError(422, "Reference already exists")
    guard_ref(hub, token, name, None, sha)
    try:
        hub.git.point(name, sha, "")
    except MissingError as error:
        raise RefusedError(422, f"Reference cannot be made: {error}") from error
    return 201, shapes.ref(hub, name, sha)


@answers("PATCH /git/refs/{ref}")
def move_ref(hub: Hub, call: Call, token: Token) -> Answer:
    name, sha = f"refs/{call['ref']}", call.get("sha")
    if not hub.git.has(name):
        raise RefusedError(422, "Reference does not exist")
    if not hub.git.has(sha):
        raise RefusedError(422, "Object does not exist")
    before = hub.git.find(name)
    if not call.get("force") and not hub.git.contains(sha, before):
        raise RefusedError(422, "Update is not a fast forward")
    guard_ref(hub, token, name, before, sha)
    hub.git.point(name, sha, before)
    return 200, shapes.ref(hub, name, sha)


@answers("DELETE /git/refs/{ref}")
def delete_ref(hub: Hub, call: Call, token: Token) -> Answer:
    name = f"refs/{call['ref']}"
    if not hub.git.has(name):
        raise RefusedError(422, "Reference does not exist")
    guard_ref(hub, token, name, hub.git.find(name), None)
    hub.git.remove(name)
    hub.settle()
    return 204, None


@answers("GET /branches/{branch}")
def branch(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        sha = hub.git.branch(call["branch"])
    except MissingError as error:
        raise RefusedError(404, "Branch not found") from error
    return 200, _branch(hub, call["branch"], sha) | {
        "commit": shapes.commit(hub, hub.git.commit(sha)),
        "_links": {
            "html": f"https://github.com/{hub.full_name}/tree/{call['branch']}",
            "self": f"{hub.address}/branches/{call['branch']}",
        },
    }


@answers("GET /branches")
def branches(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, [_branch(hub, ref.removeprefix("refs/heads/"), sha) for ref, sha in hub.git.refs().items()]


def _branch(hub: Hub, name: str, sha: str) -> dict[str, Any]:
    found = hub.protection.get(name)
    contexts = (found or {}).get("required_status_checks") or {}
    return {
        "name": name,
        "commit": {"sha": sha, "url": f"{hub.address}/commits/{sha}"},
        "protected": found is not None,
        "protection": {
            "enabled": found is not None,
            "required_status_checks": {
                "enforcement_level": "everyone" if contexts else "off",
                "contexts": contexts.get("contexts", []),
                "checks": [{"context": each, "app_id": None} for each in contexts.get("contexts", [])],
            },
        },
        "protection_url": f"{hub.address}/branches/{name}/protection",
    }


@answers("POST /git/blobs")
def make_blob(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        data = (
            base64.b64decode(call.get("content")) if call.get("encoding") == "base64" else call.get("content").encode()
        )
    except binascii.Error as error:
        raise invalid("Blob", "content is not valid Base64") from error
    sha = hub.git.blob(data)
    return 201, {"url": f"{hub.address}/git/blobs/{sha}", "sha": sha}


@answers("GET /git/blobs/{file_sha}")
def read_blob(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        data = hub.git.content(call["file_sha"])
    except MissingError as error:
        raise not_found() from error
    return 200, {
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
        "url": f"{hub.address}/git/blobs/{call['file_sha']}",
        "sha": call["file_sha"],
        "size": len(data),
        "node_id": f"B_{call['file_sha'][:12]}",
    }


@answers("POST /git/trees")
def make_tree(hub: Hub, call: Call, token: Token) -> Answer:
    changes = []
    for each in call.get("tree"):
        sha = hub.git.blob(each["content"].encode()) if "content" in each else each.get("sha")
        if sha is not None and not hub.git.has(sha, each.get("type", "blob")):
            raise invalid("Tree", f"tree.sha {sha} is not a valid blob")
        changes.append((each["mode"], each["path"], sha))
    base = call.get("base_tree")
    if base and not hub.git.has(base, "tree"):
        raise invalid("Tree", "base_tree is not a valid tree")
    return 201, _tree(hub, hub.git.tree(base, changes), False)


@answers("GET /git/trees/{tree_sha}")
def read_tree(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        sha = hub.git.find(call["tree_sha"], "tree")
    except MissingError as error:
        raise not_found() from error
    return 200, _tree(hub, sha, "recursive" in call.query)


def _tree(hub: Hub, sha: str, recursive: bool) -> dict[str, Any]:
    entries = []
    for mode, kind, item, path in hub.git.entries(sha, recursive):
        entry = {"path": path, "mode": mode, "type": kind, "sha": item, "url": f"{hub.address}/git/{kind}s/{item}"}
        if kind == "blob":
            entry["size"] = int(hub.git.git("cat-file", "-s", item))
        entries.append(entry)
    return {"sha": sha, "url": f"{hub.address}/git/trees/{sha}", "tree": entries, "truncated": False}


@answers("POST /git/commits")
def make_commit(hub: Hub, call: Call, token: Token) -> Answer:
    if not hub.git.has(call.get("tree"), "tree"):
        raise RefusedError(422, "Tree SHA does not exist")
    if missing := [sha for sha in call.get("parents", []) if not hub.git.has(sha)]:
        raise RefusedError(422, f"Parent SHA does not exist: {missing[0]}")
    sha = hub.git.write(
        call.get("tree"),
        call.get("parents", []),
        call.get("message"),
        _person(call.get("author"), token),
        _person(call.get("committer") or call.get("author"), token),
    )
    return 201, shapes.git_commit(hub, hub.git.commit(sha))


def _person(said: dict[str, Any] | None, token: Token) -> Person:
    mail = f"{shapes.number(token.login)}+{token.login}@users.noreply.github.com"
    said = said or {"name": token.login, "email": mail}
    return Person(said["name"], said["email"], said.get("date") or now())


@answers("GET /git/commits/{commit_sha}")
def read_commit(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        return 200, shapes.git_commit(hub, hub.git.commit(hub.git.find(call["commit_sha"])))
    except MissingError as error:
        raise not_found() from error


@answers("GET /commits/{ref}")
def commit(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        found = hub.git.commit(hub.git.find(call["ref"]))
    except MissingError as error:
        raise RefusedError(422, f"No commit found for SHA: {call['ref']}") from error
    changed = shapes.files(hub, found.parents[0], found.sha) if found.parents else []
    added, removed = sum(each["additions"] for each in changed), sum(each["deletions"] for each in changed)
    stats = {"additions": added, "deletions": removed, "total": added + removed}
    return 200, shapes.commit(hub, found) | {"stats": stats, "files": changed}


@answers("GET /commits")
def commits(hub: Hub, call: Call, token: Token) -> Answer:
    try:
        start = hub.git.find(call.query.get("sha", "main"))
    except MissingError as error:
        raise not_found() from error
    place = ["--", call.query["path"]] if "path" in call.query else []
    listed = hub.git.git("rev-list", start, *place).split()
    return 200, [shapes.commit(hub, hub.git.commit(sha)) for sha in listed]


@answers("GET /compare/{basehead}")
def compare(hub: Hub, call: Call, token: Token) -> Answer:
    base, _, head = call["basehead"].partition("...")
    try:
        base, head = hub.git.find(base), hub.git.find(head)
    except MissingError as error:
        raise not_found() from error
    ahead, behind = hub.git.between(base, head), hub.git.between(head, base)
    state = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    common = hub.git.git("merge-base", base, head)
    return 200, shapes.example(hub, "GET /compare/{basehead}", 200) | {
        "url": f"{hub.address}/compare/{call['basehead']}",
        "base_commit": shapes.commit(hub, hub.git.commit(base)),
        "merge_base_commit": shapes.commit(hub, hub.git.commit(common)),
        "status": state,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [shapes.commit(hub, hub.git.commit(sha)) for sha in ahead],
        "files": shapes.files(hub, common, head),
    }


@answers("GET /contents/{path}")
def read_content(hub: Hub, call: Call, token: Token) -> Answer:
    name = f"{call.query.get('ref', 'main')}:{call['path']}"
    if not hub.git.has(name, "blob"):
        if not hub.git.has(name, "tree"):
            raise not_found()
        listed = hub.git.entries(hub.git.find(name, "tree"))
        return 200, [_entry(hub, f"{call['path']}/{path}", sha, kind) for _, kind, sha, path in listed]
    sha = hub.git.find(name, "blob")
    data = hub.git.content(sha)
    content = {"encoding": "base64", "content": base64.encodebytes(data).decode()}
    return 200, _entry(hub, call["path"], sha, "blob") | content


def _entry(hub: Hub, path: str, sha: str, kind: str) -> dict[str, Any]:
    links = {
        "self": f"{hub.address}/contents/{path}",
        "git": f"{hub.address}/git/{kind}s/{sha}",
        "html": f"https://github.com/{hub.full_name}/{kind}/main/{path}",
    }
    return {
        "type": "file" if kind == "blob" else "dir",
        "size": int(hub.git.git("cat-file", "-s", sha)) if kind == "blob" else 0,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": sha,
        "url": links["self"],
        "git_url": links["git"],
        "html_url": links["html"],
        "download_url": f"https://raw.githubusercontent.com/{hub.full_name}/main/{path}" if kind == "blob" else None,
        "_links": links,
    }


@answers("PUT /contents/{path}", "DELETE /contents/{path}")
def write_content(hub: Hub, call: Call, token: Token) -> Answer:
    name, path = call.get("branch", "main"), call["path"]
    if not hub.git.has(f"refs/heads/{name}"):
        raise RefusedError(404, f"Branch {name} not found")
    tip = hub.git.branch(name)
    there = hub.git.find(f"{tip}:{path}", "blob") if hub.git.has(f"{tip}:{path}", "blob") else None
    if call.get("sha") != there:
        if there and not call.get("sha"):
            raise RefusedError(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        raise RefusedError(409, f"{path} does not match {call.get('sha')}")
    removed = call.operation.method == "DELETE"
    blob = None if removed else hub.git.blob(base64.b64decode(call.get("content")))
    tree = hub.git.tree(tip, [("100644", path, blob)])
    sha = hub.git.write(tree, [tip], call.get("message"), _person(call.get("author"), token))
    guard_ref(hub, token, f"refs/heads/{name}", tip, sha)
    hub.git.point(f"refs/heads/{name}", sha, tip)
    said = {"content": None if blob is None else _entry(hub, path, blob, "blob")}
    return 200 if there else 201, said | {"commit": shapes.git_commit(hub, hub.git.commit(sha))}
