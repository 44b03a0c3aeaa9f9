"""What is said about a commit: statuses, check runs, deployments, attestations; and dispatches, which ask for more."""

from typing import Any

from tests.github import shapes
from tests.github.description import Call
from tests.github.hub import Answer, Hub, RefusedError, Token, answers, not_found
from tests.github.repository import MissingError, now

SAID = ("state", "context", "description", "target_url")


def status(hub: Hub, sha: str, said: dict[str, Any], login: str) -> dict[str, Any]:
    when = now()
    return shapes.example(hub, "POST /statuses/{sha}", 201) | {
        "id": next(hub.ids),
        "url": f"{hub.address}/statuses/{sha}",
        "state": said["state"],
        "context": said.get("context", "default"),
        "description": said.get("description"),
        "target_url": said.get("target_url"),
        "created_at": when,
        "updated_at": when,
        "creator": shapes.user(hub, login),
    }


def _commit(hub: Hub, name: str) -> str:
    try:
        return hub.git.find(name)
    except MissingError as error:
        raise RefusedError(422, f"No commit found for SHA: {name}") from error


@answers("POST /statuses/{sha}")
def make_status(hub: Hub, call: Call, token: Token) -> Answer:
    sha = _commit(hub, call["sha"])
    made = status(hub, sha, call.body, token.login)
    hub.statuses.append((sha, made))
    return 201, made


@answers("GET /commits/{ref}/statuses")
def statuses(hub: Hub, call: Call, token: Token) -> Answer:
    if not hub.git.has(call["ref"]):
        raise not_found()
    sha = hub.git.find(call["ref"])
    return 200, [each for at, each in reversed(hub.statuses) if at == sha]


@answers("GET /commits/{ref}/status")
def combined(hub: Hub, call: Call, token: Token) -> Answer:
    if not hub.git.has(call["ref"]):
        raise not_found()
    sha = hub.git.find(call["ref"])
    latest = list({each["context"]: each for at, each in hub.statuses if at == sha}.values())
    states = {each["state"] for each in latest}
    state = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    model = shapes.example(hub, "GET /commits/{ref}/status", 200)
    return 200, model | {
        "state": state,
        "sha": sha,
        "total_count": len(latest),
        "statuses": [{key: value for key, value in each.items() if key != "creator"} for each in latest],
        "commit_url": f"{hub.address}/commits/{sha}",
        "url": f"{hub.address}/commits/{sha}/status",
    }


@answers("POST /check-runs")
def make_check(hub: Hub, call: Call, token: Token) -> Answer:
    _commit(hub, call.get("head_sha"))
    number = next(hub.ids)
    state = "completed" if call.get("conclusion") else call.get("status", "queued")
    made = shapes.example(hub, "POST /check-runs", 201) | {
        "id": number,
        "name": call.get("name"),
        "head_sha": call.get("head_sha"),
        "url": f"{hub.address}/check-runs/{number}",
        "html_url": f"https://github.com/{hub.full_name}/runs/{number}",
        "details_url": call.get("details_url", "https://example.com"),
        "external_id": call.get("external_id", ""),
        "status": state,
        "conclusion": call.get("conclusion"),
        "started_at": now(),
        "completed_at": now() if state == "completed" else None,
        "output": _output(hub, number, call.get("output") or {}),
        "pull_requests": [],
    }
    hub.checks[number] = made
    hub.more.setdefault("annotations", {})[number] = (call.get("output") or {}).get("annotations", [])
    return 201, made


def _output(hub: Hub, number: int, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": said.get("title"),
        "summary": said.get("summary"),
        "text": said.get("text"),
        "annotations_count": len(said.get("annotations", [])),
        "annotations_url": f"{hub.address}/check-runs/{number}/annotations",
    }


def _check(hub: Hub, call: Call) -> dict[str, Any]:
    found = hub.checks.get(int(call["check_run_id"]))
    if found is None:
        raise not_found()
    return found


@answers("GET /check-runs/{check_run_id}")
def read_check(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, _check(hub, call)


@answers("PATCH /check-runs/{check_run_id}")
def change_check(hub: Hub, call: Call, token: Token) -> Answer:
    found = _check(hub, call)
    found.update(
        {key: value for key, value in call.body.items() if key in ("name", "status", "conclusion", "details_url")}
    )
    if call.get("conclusion"):
        found.update(status="completed", completed_at=now())
    if "output" in call.body:
        found["output"] = _output(hub, found["id"], call.body["output"])
        hub.more["annotations"][found["id"]] += call.body["output"].get("annotations", [])
    return 200, found


@answers("GET /check-runs/{check_run_id}/annotations")
def annotations(hub: Hub, call: Call, token: Token) -> Answer:
    _check(hub, call)
    (model,) = shapes.example(hub, "GET /check-runs/{check_run_id}/annotations", 200)
    return 200, [model | each for each in hub.more["annotations"][int(call["check_run_id"])]]


@answers("GET /commits/{ref}/check-runs")
def checks_of(hub: Hub, call: Call, token: Token) -> Answer:
    sha = _commit(hub, call["ref"])
    name = call.query.get("check_name")
    chosen = [each for each in hub.checks.values() if each["head_sha"] == sha and name in (None, each["name"])]
    return 200, {"total_count": len(chosen), "check_runs": chosen[::-1]}


@answers("POST /dispatches")
def dispatch(hub: Hub, call: Call, token: Token) -> Answer:
    hub.dispatches.append(call.body)
    return 204, None


@answers("POST /actions/workflows/{workflow_id}/dispatches")
def workflow(hub: Hub, call: Call, token: Token) -> Answer:
    name = call["workflow_id"]
    ref = call.get("ref").removeprefix("refs/heads/")
    if not hub.git.has(f"{ref}:.github/workflows/{name}", "blob"):
        raise not_found()
    hub.workflow_dispatches.append({"workflow": name} | call.body)
    return 204, None


@answers("POST /deployments")
def deploy(hub: Hub, call: Call, token: Token) -> Answer:
    number, sha = next(hub.ids), _commit(hub, call.get("ref"))
    url = f"{hub.address}/deployments/{number}"
    made = shapes.example(hub, "POST /deployments", 201) | {
        "id": number,
        "sha": sha,
        "ref": call.get("ref"),
        "url": url,
        "statuses_url": f"{url}/statuses",
        "task": call.get("task", "deploy"),
        "payload": call.get("payload", {}),
        "environment": call.get("environment", "production"),
        "original_environment": call.get("environment", "production"),
        "description": call.get("description"),
        "creator": shapes.user(hub, token.login),
        "created_at": now(),
        "updated_at": now(),
    }
    hub.deployments[number] = {"deployment": made, "statuses": []}
    return 201, made


@answers("GET /deployments")
def deployments(hub: Hub, call: Call, token: Token) -> Answer:
    wanted = {key: call.query[key] for key in ("sha", "ref", "task", "environment") if key in call.query}
    chosen = [each["deployment"] for each in hub.deployments.values()]
    return 200, [each for each in reversed(chosen) if all(each[key] == value for key, value in wanted.items())]


def _deployment(hub: Hub, call: Call) -> dict[str, Any]:
    found = hub.deployments.get(int(call["deployment_id"]))
    if found is None:
        raise not_found()
    return found


@answers("POST /deployments/{deployment_id}/statuses")
def deployment_status(hub: Hub, call: Call, token: Token) -> Answer:
    found, number = _deployment(hub, call), next(hub.ids)
    deployment = found["deployment"]
    made = shapes.example(hub, "POST /deployments/{deployment_id}/statuses", 201) | {
        "id": number,
        "url": f"{deployment['url']}/statuses/{number}",
        "deployment_url": deployment["url"],
        "state": call.get("state"),
        "description": call.get("description", ""),
        "environment": call.get("environment", deployment["environment"]),
        "creator": shapes.user(hub, token.login),
        "created_at": now(),
        "updated_at": now(),
    }
    found["statuses"].append(made)
    return 201, made


@answers("GET /deployments/{deployment_id}/statuses")
def deployment_statuses(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, _deployment(hub, call)["statuses"][::-1]


@answers("GET /attestations/{subject_digest}")
def attestations(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, {"attestations": hub.more.get("attestations", {}).get(call["subject_digest"], [])}
