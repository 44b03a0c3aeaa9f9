"""Settings of the repository as GitHub keeps them: rulesets, environments, Actions, variables, Apps, teams, options.

What `Hub` has no field for lies in `hub.more`, under the names below, and tests put it there or look at it.
"""

from typing import Any

from tests.github import shapes
from tests.github.access import CLIENT, SLUG
from tests.github.description import Call
from tests.github.hub import APP, Answer, Hub, RefusedError, Token, answers, invalid, not_found

OF_ACTIONS = 15368
PERMISSIONS, SELECTED, RIGHTS = "actions/permissions", "selected-actions", "workflow-rights"
VARIABLES, SECRETS, APPS, TEAMS, USERS = "variables", "secrets", "apps", "teams", "users"
INSTALLATIONS, SWITCHES, ERRORS, RUNS = "installations", "switches", "codeowners-errors", "runs"
APP_MAY = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "checks": "read",
    "statuses": "read",
    "workflows": "write",
}


def more(hub: Hub, key: str) -> Any:
    """A part of the state, as a new repository has it."""
    first = {
        PERMISSIONS: {"enabled": True, "allowed_actions": "all", "sha_pinning_required": False},
        SELECTED: {"github_owned_allowed": False, "verified_allowed": False, "patterns_allowed": []},
        RIGHTS: {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": True},
        APPS: {SLUG: (APP, CLIENT), "github-actions": (OF_ACTIONS, "Iv1.actions")},
        INSTALLATIONS: {SLUG: dict(APP_MAY)},  # slug -> permissions; None: not an organisation
        RUNS: [],
        ERRORS: [],
    }
    return hub.more.setdefault(key, first.get(key, {}))


# --- rulesets


def _ruleset(hub: Hub, number: int, whole: bool, token: Token) -> dict[str, Any]:
    found = {
        "id": number,
        "node_id": f"RRS_{number}",
        "source_type": "Repository",
        "source": hub.full_name,
        "created_at": "2026-11-24T12:00:00Z",
        "updated_at": "2026-11-24T12:00:00Z",
        **hub.rulesets[number],
    }
    hidden = set() if whole else {"rules", "conditions", "bypass_actors"}
    if not token.allows("administration", True):
        hidden.add("bypass_actors")
    return {key: value for key, value in found.items() if key not in hidden}


@answers("GET /rulesets")
def rulesets(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, [_ruleset(hub, number, False, token) for number in hub.rulesets]


@answers("POST /rulesets", "PUT /rulesets/{ruleset_id}")
def put_ruleset(hub: Hub, call: Call, token: Token) -> Answer:
    """GitHub fills in what is left out, adds parameters of its own to rules, and takes no name twice."""
    new = call.operation.method == "POST"
    number = next(hub.ids) if new else _number(hub, call)
    if any(each["name"] == call.get("name") for n, each in hub.rulesets.items() if n != number):
        raise RefusedError(422, "Validation Failed", errors=["Name must be unique"])
    for actor in call.get("bypass_actors") or []:
        if actor["actor_type"] == "Integration" and actor["actor_id"] not in _app_numbers(hub):
            raise RefusedError(
                422, "Validation Failed", errors=["Actor GitHub App must be installed on the repository"]
            )
    body = {"target": "branch", "bypass_actors": [], "conditions": {}, "rules": []} | call.body
    body["rules"] = [_filled(rule) for rule in body["rules"]]
    hub.rulesets[number] = body
    return (201 if new else 200), _ruleset(hub, number, True, token)


def _filled(rule: dict[str, Any]) -> dict[str, Any]:
    own = {
        "pull_request": {"allowed_merge_methods": ["merge", "squash", "rebase"], "required_reviewers": []},
        "required_status_checks": {"do_not_enforce_on_create": False},
    }.get(rule["type"], {})
    return rule | {"parameters": own | rule.get("parameters", {})} if own else rule


def _app_numbers(hub: Hub) -> set[int]:
    return {number for number, _ in more(hub, APPS).values()}


def _number(hub: Hub, call: Call) -> int:
    if int(call["ruleset_id"]) not in hub.rulesets:
        raise not_found()
    return int(call["ruleset_id"])


@answers("GET /rulesets/{ruleset_id}")
def ruleset(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, _ruleset(hub, _number(hub, call), True, token)


@answers("DELETE /rulesets/{ruleset_id}")
def delete_ruleset(hub: Hub, call: Call, token: Token) -> Answer:
    del hub.rulesets[_number(hub, call)]
    return 204, None


@answers("GET /rules/branches/{branch}")
def rules(hub: Hub, call: Call, token: Token) -> Answer:
    """Of all active rulesets, the organisation's as well; the tests' rulesets hold for main."""
    return 200, [
        {**rule, "ruleset_id": number, "ruleset_source": hub.full_name, "ruleset_source_type": "Repository"}
        | each.get("of", {})
        for number, each in hub.rulesets.items()
        if each["enforcement"] == "active" and call["branch"] == "main"
        for rule in each["rules"]
    ]


# --- environments


def _environment(hub: Hub, name: str) -> dict[str, Any]:
    said = hub.environments[name]
    rows: list[dict[str, Any]] = []
    if said.get("wait_timer"):
        rows.append({"id": 1, "node_id": "W", "type": "wait_timer", "wait_timer": said["wait_timer"]})
    if said.get("reviewers"):
        model = shapes.example(hub, "GET /orgs/{org}/teams/{team_slug}", 200)
        team = {key: model[key] for key in model if key not in ("organization", "created_at", "updated_at")}
        team |= {"parent": None, "type": "organization"}
        rows.append(
            {
                "id": 2,
                "node_id": "R",
                "type": "required_reviewers",
                "prevent_self_review": said.get("prevent_self_review", False),
                "reviewers": [
                    {"type": each["type"], "reviewer": team | {"id": each["id"]}} for each in said["reviewers"]
                ],
            }
        )
    if said.get("deployment_branch_policy"):
        rows.append({"id": 3, "node_id": "B", "type": "branch_policy"})
    return {
        "id": shapes.number(name),
        "node_id": f"EN_{name}",
        "name": name,
        "url": f"{hub.address}/environments/{name}",
        "html_url": f"https://github.com/{hub.full_name}/deployments/activity_log?environments_filter={name}",
        "created_at": "2026-11-24T12:00:00Z",
        "updated_at": "2026-11-24T12:00:00Z",
        "protection_rules": rows,
        "deployment_branch_policy": said.get("deployment_branch_policy"),
    }


def _there(hub: Hub, call: Call) -> dict[str, Any]:
    if call["environment_name"] not in hub.environments:
        raise not_found()
    return hub.environments[call["environment_name"]]


@answers("GET /environments")
def environments(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, {"total_count": len(hub.environments), "environments": [_environment(hub, n) for n in hub.environments]}


@answers("GET /environments/{environment_name}")
def environment(hub: Hub, call: Call, token: Token) -> Answer:
    _there(hub, call)
    return 200, _environment(hub, call["environment_name"])


@answers("PUT /environments/{environment_name}")
def put_environment(hub: Hub, call: Call, token: Token) -> Answer:
    """What the body leaves out is gone afterwards; the branches named apart stay."""
    before = hub.environments.get(call["environment_name"], {})
    hub.environments[call["environment_name"]] = {"policies": before.get("policies", {}), **(call.body or {})}
    return 200, _environment(hub, call["environment_name"])


@answers("GET /environments/{environment_name}/deployment-branch-policies")
def policies(hub: Hub, call: Call, token: Token) -> Answer:
    rows = [_policy(number, each) for number, each in _there(hub, call)["policies"].items()]
    return 200, {"total_count": len(rows), "branch_policies": rows}


def _policy(number: int, said: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "node_id": f"P_{number}", "type": "branch", **said}


@answers("POST /environments/{environment_name}/deployment-branch-policies")
def add_policy(hub: Hub, call: Call, token: Token) -> Answer:
    there = _there(hub, call)
    if not (there.get("deployment_branch_policy") or {}).get("custom_branch_policies"):
        raise not_found()
    number = next(hub.ids)
    there["policies"][number] = call.body
    return 200, _policy(number, call.body)


@answers("DELETE /environments/{environment_name}/deployment-branch-policies/{branch_policy_id}")
def delete_policy(hub: Hub, call: Call, token: Token) -> Answer:
    del _there(hub, call)["policies"][int(call["branch_policy_id"])]
    return 204, None


# --- secrets and variables: names of secrets, never their values


def _secrets(names: list[str]) -> dict[str, Any]:
    times = {"created_at": "2026-11-24T12:00:00Z", "updated_at": "2026-11-24T12:00:00Z"}
    return {"total_count": len(names), "secrets": [{"name": name, **times} for name in names]}


@answers("GET /actions/secrets")
def secrets(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, _secrets(more(hub, SECRETS).get("", []))


@answers("GET /environments/{environment_name}/secrets")
def environment_secrets(hub: Hub, call: Call, token: Token) -> Answer:
    _there(hub, call)
    return 200, _secrets(more(hub, SECRETS).get(call["environment_name"], []))


def _variable(name: str, value: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "created_at": "2026-11-24T12:00:00Z",
        "updated_at": "2026-11-24T12:00:00Z",
    }


@answers("GET /actions/variables")
def variables(hub: Hub, call: Call, token: Token) -> Answer:
    rows = [_variable(*each) for each in more(hub, VARIABLES).items()]
    return 200, {"total_count": len(rows), "variables": rows}


@answers("POST /actions/variables")
def make_variable(hub: Hub, call: Call, token: Token) -> Answer:
    if call.get("name") in more(hub, VARIABLES):
        raise RefusedError(409, "Already exists - Variable already exists")
    more(hub, VARIABLES)[call.get("name")] = call.get("value")
    return 201, {}


@answers("GET /actions/variables/{name}", "PATCH /actions/variables/{name}")
def variable(hub: Hub, call: Call, token: Token) -> Answer:
    if call["name"] not in more(hub, VARIABLES):
        raise not_found()
    if call.operation.method == "PATCH":
        more(hub, VARIABLES)[call["name"]] = call.get("value")
        return 204, None
    return 200, _variable(call["name"], more(hub, VARIABLES)[call["name"]])


# --- what may run


@answers("GET /actions/permissions", "PUT /actions/permissions")
def permissions(hub: Hub, call: Call, token: Token) -> Answer:
    there = more(hub, PERMISSIONS)
    if call.operation.method == "PUT":
        there.update(call.body)
        return 204, None
    return 200, dict(there)


@answers("GET /actions/permissions/selected-actions", "PUT /actions/permissions/selected-actions")
def selected(hub: Hub, call: Call, token: Token) -> Answer:
    if more(hub, PERMISSIONS)["allowed_actions"] != "selected":
        raise RefusedError(409, "Conflict")
    if call.operation.method == "PUT":
        more(hub, SELECTED).update(call.body)
        return 204, None
    return 200, dict(more(hub, SELECTED))


@answers("GET /actions/permissions/workflow", "PUT /actions/permissions/workflow")
def rights(hub: Hub, call: Call, token: Token) -> Answer:
    if call.operation.method == "PUT":
        more(hub, RIGHTS).update(call.body)
        return 204, None
    return 200, dict(more(hub, RIGHTS))


@answers("GET /actions/runs")
def runs(hub: Hub, call: Call, token: Token) -> Answer:
    """So many runs as their events say; only their number is looked at."""
    model = shapes.example(hub, "GET /actions/runs", 200)["workflow_runs"][0]
    rows = [model | {"event": event} for event in more(hub, RUNS) if call.query.get("event", event) == event]
    return 200, {"total_count": len(rows), "workflow_runs": rows}


# --- the repository itself


@answers("PATCH ")
def change(hub: Hub, call: Call, token: Token) -> Answer:
    """Titles and messages of merges go together; scanners are there for public repositories."""
    for kind in ("merge_commit", "squash_merge_commit"):
        if (f"{kind}_title" in call.body) != (f"{kind}_message" in call.body):
            raise invalid("Repository", f"Sorry, {kind}_title and {kind}_message must be set together")
    body = dict(call.body)
    if scanners := body.pop("security_and_analysis", None):
        if hub.options.get("private"):
            raise RefusedError(422, "Secret scanning is not available for this repository.")
        hub.options["security_and_analysis"] = {**hub.options.get("security_and_analysis", {}), **scanners}
    hub.options.update(body)
    return 200, shapes.repository(hub, "PATCH ", 200)


@answers("GET /vulnerability-alerts", "PUT /vulnerability-alerts", "DELETE /vulnerability-alerts")
def alerts(hub: Hub, call: Call, token: Token) -> Answer:
    switches = more(hub, SWITCHES)
    if call.operation.method == "GET" and not switches.get("alerts"):
        raise RefusedError(404, "Vulnerability alerts are disabled.")
    if call.operation.method != "GET":
        switches["alerts"] = call.operation.method == "PUT"
    return 204, None


@answers("GET /automated-security-fixes", "PUT /automated-security-fixes", "DELETE /automated-security-fixes")
def fixes(hub: Hub, call: Call, token: Token) -> Answer:
    switches = more(hub, SWITCHES)
    if call.operation.method == "GET":
        return 200, {"enabled": switches.get("fixes", False), "paused": False}
    if not switches.get("alerts"):
        raise RefusedError(422, "Vulnerability alerts must be enabled to configure automated security fixes.")
    switches["fixes"] = call.operation.method == "PUT"
    return 204, None


@answers("GET /codeowners/errors")
def owners(hub: Hub, call: Call, token: Token) -> Answer:
    model = shapes.example(hub, "GET /codeowners/errors", 200)["errors"][0]
    return 200, {"errors": [model | each for each in more(hub, ERRORS)]}


# --- Apps, teams, people


@answers("GET /apps/{app_slug}")
def app(hub: Hub, call: Call, token: Token) -> Answer:
    found = more(hub, APPS).get(call["app_slug"])
    if found is None:
        raise not_found()
    model = shapes.example(hub, "GET /apps/{app_slug}", 200)
    wanted = (more(hub, INSTALLATIONS) or {}).get(call["app_slug"], {"metadata": "read"})
    return 200, model | {"id": found[0], "client_id": found[1], "slug": call["app_slug"], "permissions": wanted}


@answers("GET /orgs/{org}/installations")
def installations(hub: Hub, call: Call, token: Token) -> Answer:
    there = more(hub, INSTALLATIONS)
    if there is None:
        raise not_found()
    model = shapes.example(hub, "GET /orgs/{org}/installations", 200)["installations"][0]
    rows = []
    for slug, may in there.items():
        number, client = more(hub, APPS).get(slug) or (APP, CLIENT)
        rows.append(model | {"app_id": number, "client_id": client, "app_slug": slug, "permissions": may})
    return 200, {"total_count": len(rows), "installations": rows}


@answers("GET /orgs/{org}/teams/{team_slug}")
def team(hub: Hub, call: Call, token: Token) -> Answer:
    if call["team_slug"] not in more(hub, TEAMS):
        raise not_found()
    model = shapes.example(hub, "GET /orgs/{org}/teams/{team_slug}", 200)
    model["organization"]["archived_at"] = None  # GitHub's own example lacks what its schema requires
    return 200, model | {"id": more(hub, TEAMS)[call["team_slug"]], "slug": call["team_slug"], "type": "organization"}


@answers("GET /users/{username}")
def person(hub: Hub, call: Call, token: Token) -> Answer:
    if call["username"] not in more(hub, USERS):
        raise not_found()
    model = shapes.example(hub, "GET /users/{username}", 200)
    return 200, model | {"id": more(hub, USERS)[call["username"]], "login": call["username"]}
