"""Events as GitHub sends them: the least that its own description (webhooks/events.json) allows, and what a test says.

The description is cut from npm's @octokit/openapi-webhooks (MIT, webhooks/LICENSE) by cut.py.
"""

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

from release import dispatch

HERE = Path(__file__).resolve().parent
BY_FORMAT = {"uri": "https://example.com/", "date-time": "2026-01-02T03:04:05Z", "uri-template": "https://example.com/"}


@functools.cache
def description() -> dict[str, Any]:
    return json.loads((HERE / "webhooks/events.json").read_text())


def payload(event: str, **said: Any) -> dict[str, Any]:
    """An event that is valid by GitHub's description; `said` is merged into it."""
    schema = description()["events"][event]
    document = _least(schema, said)
    whole = {**schema, "components": description()["components"]}
    jsonschema.validate(document, whole, jsonschema.Draft202012Validator)
    return document


def repository(slug: str) -> dict[str, Any]:
    owner, _, name = slug.partition("/")
    return {"full_name": slug, "name": name, "owner": {"login": owner}, "default_branch": "main"}


def push(slug: str, before: str, after: str) -> dict[str, Any]:
    return payload("push", ref="refs/heads/main", before=before, after=after, repository=repository(slug))


def pull_request(slug: str, base: str, head: str, branch: str, **said: Any) -> dict[str, Any]:
    """`labels`, `fork` (owner/name) and `event` may be said."""
    event = said.get("event", "pull_request")
    there = repository(said.get("fork", slug))
    labels = [_least(_schema("webhooks_label"), {"name": name}) for name in said.get("labels", ())]
    body = {
        "number": 5,
        "labels": labels,
        "head": {"ref": branch, "sha": head, "repo": there},
        "base": {"ref": "main", "sha": base, "repo": repository(slug)},
    }
    more = {"label": {"name": said["label"]}} if "label" in said else {}
    return payload(event, number=5, pull_request=body, repository=repository(slug), **more)


def merge_group(slug: str, base: str, head: str) -> dict[str, Any]:
    group = {"head_sha": head, "head_ref": f"refs/heads/gh-readonly-queue/main/pr-5-{base}", "base_sha": base}
    group["base_ref"] = "refs/heads/main"
    return payload("merge_group", merge_group=group, repository=repository(slug))


def status(slug: str, commit: str, context: str = "argocd/model-staging", state: str = "success") -> dict[str, Any]:
    person = {"name": "x", "email": "x@example.com", "date": BY_FORMAT["date-time"]}
    about = {"commit": {"author": person, "committer": person}}
    return payload("status", sha=commit, context=context, state=state, commit=about, repository=repository(slug))


def aborted(slug: str, namespace: str, image: str, kind: str = dispatch.ABORTED) -> dict[str, Any]:
    """What GitHub makes of the notification's body: its `event_type` is the event's `action`."""
    said = {
        "format": 1,
        "event": kind,
        "environment": "staging",
        "namespace": namespace,
        "rollout": "model",
        "revision": "3",
        "pod_hash": "6d5f",
        "image": image,
        "reason": "success-rate Failed",
        "metrics": [{"name": "success-rate", "phase": "Failed", "message": "", "value": "[0.5]"}],
    }
    whole = payload("repository_dispatch", branch="main", client_payload=said, repository=repository(slug))
    return {**whole, "action": kind}  # the description knows its sample's alone


def workflow_dispatch(slug: str, workflow: str, **inputs: str) -> dict[str, Any]:
    place = f".github/workflows/{workflow}.yml"
    return payload(
        "workflow_dispatch", ref="refs/heads/main", workflow=place, inputs=inputs, repository=repository(slug)
    )


def schedule(slug: str, cron: str) -> dict[str, Any]:
    """No webhook sends it: the runner's event file has these two."""
    return {"schedule": cron, "repository": repository(slug)}


def _schema(name: str) -> dict[str, Any]:
    return description()["components"]["schemas"][name]


def _least(schema: dict[str, Any], said: Any = None) -> Any:
    """The smallest document of a schema that says what is said: else what is required, null where that is allowed."""
    if "$ref" in schema:
        return _least(_schema(schema["$ref"].rpartition("/")[2]), said)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _least(next((each for each in schema[key] if each.get("type") != "null"), schema[key][0]), said)
    if "allOf" in schema:
        return functools.reduce(_merge, (_least(each, said) for each in schema["allOf"]))
    kinds = schema.get("type", "object" if "properties" in schema else "null")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if said is not None and not isinstance(said, dict):
        return said
    if said is None and ("enum" in schema or "const" in schema):
        return schema.get("const", schema.get("enum", [None])[0])
    if said is None and "null" in kinds:
        return None
    if "object" in kinds:
        properties, given = schema.get("properties", {}), said or {}
        names = dict.fromkeys((*schema.get("required", ()), *given))
        return {name: _least(properties.get(name, {}), given.get(name)) for name in names}
    if "string" in kinds:
        return BY_FORMAT.get(schema.get("format", ""), "x")
    return said if said is not None else {"integer": 1, "number": 1, "boolean": False, "array": []}.get(kinds[0])


def _merge(one: Any, other: Any) -> Any:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one if other is None else other
    return {name: _merge(one.get(name), other.get(name)) for name in dict.fromkeys((*one, *other))}
