"""Comments and labels. A pull request is an issue, too."""

from typing import Any

from tests.github import shapes
from tests.github.description import Call
from tests.github.hub import Answer, Hub, RefusedError, Token, answers, not_found
from tests.github.pulls import found
from tests.github.repository import now


@answers("GET /issues/{issue_number}")
def read(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["issue_number"])
    said = shapes.pull(hub, pull, whole=False)
    same = ("number", "html_url", "state", "title", "body", "user", "labels", "created_at", "updated_at", "closed_at")
    links = {key: said[key] for key in ("url", "html_url", "diff_url", "patch_url", "merged_at")}
    over = {key: said[key] for key in same} | {"pull_request": links, "url": said["issue_url"], "milestone": None}
    none = {"assignee": None, "assignees": [], "closed_by": None, "comments_url": said["comments_url"]}
    over |= {"id": said["id"], "node_id": said["node_id"], "comments": len(_comments(hub, pull.number))}
    over |= {"locked": False, "repository_url": hub.address}
    over |= {f"{name}_url": f"{said['issue_url']}/{name}" for name in ("events", "labels")}
    return 200, shapes.example(hub, "GET /issues/{issue_number}", 200) | over | none


@answers("POST /issues/{issue_number}/comments")
def comment(hub: Hub, call: Call, token: Token) -> Answer:
    pull, number = found(hub, call["issue_number"]), next(hub.ids)
    made = shapes.example(hub, "POST /issues/{issue_number}/comments", 201) | {
        "id": number,
        "body": call.get("body"),
        "url": f"{hub.address}/issues/comments/{number}",
        "html_url": f"https://github.com/{hub.full_name}/pull/{pull.number}#issuecomment-{number}",
        "issue_url": f"{hub.address}/issues/{pull.number}",
        "user": shapes.user(hub, token.login),
        "created_at": now(),
        "updated_at": now(),
    }
    hub.comments[number] = (pull.number, made)
    return 201, made


@answers("GET /issues/{issue_number}/comments")
def comments(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, _comments(hub, found(hub, call["issue_number"]).number)


def _comments(hub: Hub, pull: int) -> list[dict[str, Any]]:
    return [each for number, each in hub.comments.values() if number == pull]


def _comment(hub: Hub, call: Call) -> dict[str, Any]:
    there = hub.comments.get(int(call["comment_id"]))
    if there is None:
        raise not_found()
    return there[1]


@answers("GET /issues/comments/{comment_id}")
def read_comment(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, _comment(hub, call)


@answers("PATCH /issues/comments/{comment_id}")
def change_comment(hub: Hub, call: Call, token: Token) -> Answer:
    there = _comment(hub, call)
    there.update(body=call.get("body"), updated_at=now())
    return 200, there


@answers("DELETE /issues/comments/{comment_id}")
def delete_comment(hub: Hub, call: Call, token: Token) -> Answer:
    del hub.comments[_comment(hub, call)["id"]]
    return 204, None


def _labels(hub: Hub, call: Call) -> list[str]:
    said = call.body if isinstance(call.body, list) else call.get("labels") or []
    return [each if isinstance(each, str) else each["name"] for each in said]


@answers(
    "GET /issues/{issue_number}/labels",
    "POST /issues/{issue_number}/labels",
    "PUT /issues/{issue_number}/labels",
    "DELETE /issues/{issue_number}/labels",
)
def labels_of(hub: Hub, call: Call, token: Token) -> Answer:
    pull, method = found(hub, call["issue_number"]), call.operation.method
    if method in ("PUT", "DELETE"):
        pull.labels.clear()
    if method in ("PUT", "POST"):
        pull.labels += [name for name in dict.fromkeys(_labels(hub, call)) if name not in pull.labels]
        for name in pull.labels:
            hub.labels.setdefault(name, {"color": "ededed", "description": None})  # GitHub makes what is not there
    return (204, None) if method == "DELETE" else (200, [shapes.label(hub, name) for name in pull.labels])


@answers("DELETE /issues/{issue_number}/labels/{name}")
def remove_label(hub: Hub, call: Call, token: Token) -> Answer:
    pull = found(hub, call["issue_number"])
    if call["name"] not in pull.labels:
        raise RefusedError(404, "Label does not exist")
    pull.labels.remove(call["name"])
    return 200, [shapes.label(hub, name) for name in pull.labels]


@answers("GET /labels")
def labels(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, [shapes.label(hub, name) for name in hub.labels]


@answers("POST /labels")
def make_label(hub: Hub, call: Call, token: Token) -> Answer:
    name = call.get("name")
    if name.lower() in {each.lower() for each in hub.labels}:
        error = {"resource": "Label", "code": "already_exists", "field": "name"}
        raise RefusedError(422, "Validation Failed", errors=[error])
    hub.labels[name] = {"color": call.get("color", "ededed"), "description": call.get("description")}
    return 201, shapes.label(hub, name)


def _label(hub: Hub, call: Call) -> str:
    for name in hub.labels:
        if name.lower() == call["name"].lower():
            return name
    raise not_found()


@answers("GET /labels/{name}")
def read_label(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, shapes.label(hub, _label(hub, call))


@answers("PATCH /labels/{name}")
def change_label(hub: Hub, call: Call, token: Token) -> Answer:
    name = _label(hub, call)
    there, new = hub.labels.pop(name), call.get("new_name", name)
    hub.labels[new] = there | {key: call.body[key] for key in ("color", "description") if key in call.body}
    for pull in hub.pulls.values():
        pull.labels = [new if each == name else each for each in pull.labels]
    return 200, shapes.label(hub, new)


@answers("DELETE /labels/{name}")
def delete_label(hub: Hub, call: Call, token: Token) -> Answer:
    name = _label(hub, call)
    del hub.labels[name]
    for pull in hub.pulls.values():
        pull.labels = [each for each in pull.labels if each != name]
    return 204, None
