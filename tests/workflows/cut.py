"""Cuts from npm's @octokit/openapi-webhooks (MIT) what the events of our workflows look like.

python -m tests.workflows.cut PACKAGE     the unpacked package; writes tests/workflows/webhooks/{events.json,LICENSE}
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent / "webhooks"
EVENTS = {
    "push": "push",
    "pull_request": "pull-request-opened",
    "pull_request_labeled": "pull-request-labeled",
    "merge_group": "merge-group-checks-requested",
    "repository_dispatch": "repository-dispatch-sample.collected",
    "status": "status",
    "workflow_dispatch": "workflow-dispatch",
}
KEPT = ("$ref", "type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "allOf", "not", "pattern")
KEPT += ("additionalProperties", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "format")


def schema(node: Any) -> Any:
    """The parts of a schema that decide; no texts, no examples."""
    if not isinstance(node, dict):
        return node
    said = {key: node[key] for key in KEPT if key in node}
    if "properties" in said:
        said["properties"] = {name: schema(value) for name, value in said["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if key in said:
            said[key] = schema(said[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in said:
            said[key] = [schema(each) for each in said[key]]
    return said


def names(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"].rpartition("/")[2]} if "$ref" in node else set()
        return own.union(*(names(value) for value in node.values()))
    return set().union(*(names(each) for each in node)) if isinstance(node, list) else set()


def main(package: Path) -> None:
    document = json.loads((package / "generated/api.github.com.json").read_text())
    bodies = {
        event: schema(document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"])
        for event, name in EVENTS.items()
    }
    wanted, kept = names(bodies), {}
    while wanted:
        name = wanted.pop()
        kept[name] = schema(document["components"]["schemas"][name])
        wanted |= names(kept[name]) - set(kept)
    HERE.mkdir(exist_ok=True)
    text = json.dumps({"events": bodies, "components": {"schemas": dict(sorted(kept.items()))}}, separators=(",", ":"))
    (HERE / "events.json").write_text(text + "\n")
    shutil.copy(package / "LICENSE", HERE / "LICENSE")
    print(f"{len(kept)} schemas, {len(text) // 1024} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
