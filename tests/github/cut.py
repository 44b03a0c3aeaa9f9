"""Cuts what the stand-in speaks out of GitHub's own OpenAPI description, and writes it beside this file.

    npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
    python -m tests.github.cut package

What is kept is GitHub's, word for word: paths, parameters, bodies, answers, and one example of each answer. What is for
people alone (descriptions, links) is left out. The notice of its licence goes along (MIT).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DESCRIPTION = Path(__file__).with_name("description")
METHODS = ("get", "post", "put", "patch", "delete")
FOR_PEOPLE = {"description", "summary", "externalDocs", "x-github", "x-multi-segment", "deprecated", "title"}
REPOSITORY = "/repos/{owner}/{repo}"
# Path below the repository -> the operations that are kept; "" is the repository itself.
KEPT = {
    "": "get patch",
    "/actions/permissions": "get put",
    "/actions/permissions/selected-actions": "get put",
    "/actions/permissions/workflow": "get put",
    "/actions/runs": "get",
    "/actions/secrets": "get",  # pragma: allowlist secret
    "/actions/variables": "get post",
    "/actions/variables/{name}": "get patch",
    "/actions/workflows/{workflow_id}/dispatches": "post",
    "/attestations/{subject_digest}": "get",
    "/automated-security-fixes": "get put delete",
    "/branches": "get",
    "/branches/{branch}": "get",
    "/branches/{branch}/protection": "get put delete",
    "/check-runs": "post",
    "/check-runs/{check_run_id}": "get patch",
    "/check-runs/{check_run_id}/annotations": "get",
    "/codeowners/errors": "get",
    "/commits": "get",
    "/commits/{commit_sha}/pulls": "get",
    "/commits/{ref}": "get",
    "/commits/{ref}/check-runs": "get",
    "/commits/{ref}/status": "get",
    "/commits/{ref}/statuses": "get",
    "/compare/{basehead}": "get",
    "/contents/{path}": "get put delete",
    "/deployments": "get post",
    "/deployments/{deployment_id}/statuses": "get post",
    "/dispatches": "post",
    "/environments": "get",
    "/environments/{environment_name}": "get put",
    "/environments/{environment_name}/deployment-branch-policies": "get post",
    "/environments/{environment_name}/deployment-branch-policies/{branch_policy_id}": "delete",
    "/environments/{environment_name}/secrets": "get",  # pragma: allowlist secret
    "/git/blobs": "post",
    "/git/blobs/{file_sha}": "get",
    "/git/commits": "post",
    "/git/commits/{commit_sha}": "get",
    "/git/matching-refs/{ref}": "get",
    "/git/ref/{ref}": "get",
    "/git/refs": "post",
    "/git/refs/{ref}": "patch delete",
    "/git/trees": "post",
    "/git/trees/{tree_sha}": "get",
    "/installation": "get",
    "/issues/comments/{comment_id}": "get patch delete",
    "/issues/{issue_number}": "get",
    "/issues/{issue_number}/comments": "get post",
    "/issues/{issue_number}/labels": "get post put delete",
    "/issues/{issue_number}/labels/{name}": "delete",
    "/labels": "get post",
    "/labels/{name}": "get patch delete",
    "/pulls": "get post",
    "/pulls/{pull_number}": "get patch",
    "/pulls/{pull_number}/commits": "get",
    "/pulls/{pull_number}/files": "get",
    "/pulls/{pull_number}/merge": "get put",
    "/pulls/{pull_number}/reviews": "get post",
    "/rules/branches/{branch}": "get",
    "/rulesets": "get post",
    "/rulesets/{ruleset_id}": "get put delete",
    "/statuses/{sha}": "post",
    "/vulnerability-alerts": "get put delete",
}
ELSEWHERE = {
    "/app/installations/{installation_id}/access_tokens": "post",
    "/apps/{app_slug}": "get",
    "/orgs/{org}/installations": "get",
    "/orgs/{org}/teams/{team_slug}": "get",
    "/rate_limit": "get",
    "/user": "get",
    "/users/{username}": "get",
}


def wanted() -> dict[str, list[str]]:
    return {path: kept.split() for path, kept in ({REPOSITORY + k: v for k, v in KEPT.items()} | ELSEWHERE).items()}


def cut(whole: dict[str, Any]) -> dict[str, Any]:
    """The description of what is wanted, with every component that it leads to."""
    paths: dict[str, Any] = {}
    for path, methods in wanted().items():
        there = whole["paths"][path]
        paths[path] = {method: _operation(there[method]) for method in methods}
        if "parameters" in there:
            paths[path]["parameters"] = there["parameters"]
    components: dict[str, dict[str, Any]] = {}
    waiting = list(_references(paths))
    while waiting:
        _, _, kind, name = waiting.pop().split("/")
        if name not in components.setdefault(kind, {}):
            found = whole["components"][kind][name]
            components[kind][name] = found if kind == "examples" else _bare(found)
            waiting += _references(components[kind][name])
    ordered = {kind: dict(sorted(components[kind].items())) for kind in sorted(components)}
    return {"openapi": whole["openapi"], "info": {"version": whole["info"]["version"]}, "paths": paths} | {
        "components": ordered
    }


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    kept = {key: _bare(operation[key]) for key in ("operationId", "parameters", "requestBody") if key in operation}
    kept["responses"] = {code: _answer(answer) for code, answer in operation["responses"].items()}
    return kept


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    content = answer.get("content", {}).get("application/json")
    if content is None:
        return {"$ref": answer["$ref"]} if "$ref" in answer else {}
    kept = {"schema": _bare(content["schema"])}
    if examples := list(content.get("examples", {}).values()):
        kept["examples"] = {"default": examples[0]}
    return {"content": {"application/json": kept}}


def _bare(node: Any, names: bool = False) -> Any:
    """Without what is for people; `names`: the keys are names of properties, and all of them stay."""
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    if not names and "$ref" in node:
        return {"$ref": node["$ref"]}
    dropped = set() if names else FOR_PEOPLE | {"example", "examples"}
    return {
        key: value
        if key in ("enum", "default", "required") and not names
        else _bare(value, key == "properties" and not names)
        for key, value in node.items()
        if key not in dropped
    }


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _references(each)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)


def main(package: Path) -> None:
    whole = json.loads((package / "generated/api.github.com.json").read_text("utf-8"))
    about = json.loads((package / "package.json").read_text("utf-8"))
    made = cut(whole)
    DESCRIPTION.mkdir(exist_ok=True)
    notice = (package / "LICENSE").read_text("utf-8").strip()
    (DESCRIPTION / "NOTICE").write_text(
        f"Cut by tests/github/cut.py from {about['name']} {about['version']} (npm), GitHub's description of its REST API.\n\n"
        f"{notice}\n"
    )
    for name, part in (("paths", made.pop("paths")), ("components", made.pop("components"))):
        write(DESCRIPTION / f"{name}.json", made | {name: part}, name)


def write(file: Path, document: dict[str, Any], name: str) -> None:
    """JSON with one path or component a line, so that the difference between two cuts can be read."""
    part = document.pop(name)
    lines = [json.dumps(document)[:-1] + f', "{name}": {{']
    rows = part.items() if name == "paths" else ((f"{k}/{n}", v) for k, named in part.items() for n, v in named.items())
    lines.append(",\n".join(f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in rows))
    file.write_text("\n".join([*lines, "}}"]) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
