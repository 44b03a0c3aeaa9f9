"""GitHub's own description of its REST API (cut by cut.py): which operation a request is, and what is wrong with it."""

import copy
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jsonschema_rs

from tests.github.cut import DESCRIPTION, METHODS

NAME = "urn:github"
# Parameters that hold slashes; OpenAPI has no word for it.
LONG = {"path", "ref", "branch", "basehead", "name", "environment_name"}
# What any operation may answer, whether its description says so or not.
ALWAYS = {401, 403, 404, 429, 500, 502, 503}


@dataclass(frozen=True)
class Operation:
    """One method of one path, and what its description says."""

    method: str
    path: str
    about: dict[str, Any]
    parameters: tuple[dict[str, Any], ...]
    pattern: re.Pattern[str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Call:
    """A request, taken apart."""

    operation: Operation
    values: dict[str, str]
    query: dict[str, str]
    body: Any

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A key of the body."""
        return self.body.get(name, default) if isinstance(self.body, dict) else default


class Description:
    def __init__(self) -> None:
        parts = {
            name: json.loads((DESCRIPTION / f"{name}.json").read_text("utf-8")) for name in ("paths", "components")
        }
        self.whole: dict[str, Any] = {"paths": parts["paths"]["paths"], "components": {}}
        for key, value in parts["components"]["components"].items():
            kind, name = key.split("/")
            self.whole["components"].setdefault(kind, {})[name] = value
        components = {"components": {"schemas": _plain(self.whole["components"].get("schemas", {}))}}
        self.registry = jsonschema_rs.Registry([(NAME, components)])
        self.operations = sorted(self._operations(), key=lambda each: (-each.path.count("/"), each.path.count("{")))
        self._validators: dict[str, Any] = {}

    def _operations(self) -> Iterator[Operation]:
        for path, found in self.whole["paths"].items():
            text = "".join(_piece(piece) for piece in re.split(r"(\{\w+\})", path))
            shared = found.get("parameters", [])
            for method in METHODS:
                if method in found:
                    listed = tuple(self.resolved(each) for each in [*shared, *found[method].get("parameters", [])])
                    yield Operation(method.upper(), path, found[method], listed, re.compile(text))

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            _, _, kind, name = node["$ref"].split("/")
            node = self.whole["components"][kind][name]
        return node

    def find(self, method: str, target: str, body: Any) -> Call | None:
        """The operation that a request line means; None where the description has none."""
        place = urlsplit(target)
        for operation in self.operations:
            if operation.method == method and (found := operation.pattern.fullmatch(place.path)):
                values = {name: unquote(value) for name, value in found.groupdict().items()}
                query = {name: each[-1] for name, each in parse_qs(place.query, keep_blank_values=True).items()}
                return Call(operation, values, query, body)
        return None

    def example(self, name: str, code: int) -> Any:
        """A copy of the description's own example of an answer."""
        method, _, path = name.partition(" ")
        answer = self.resolved(self.whole["paths"][path][method.lower()]["responses"][str(code)])
        (found,) = answer["content"]["application/json"]["examples"].values()
        return copy.deepcopy(self.resolved(found)["value"])

    def wrong_in_request(self, call: Call) -> list[str]:
        about, found = call.operation.about, []
        known = {(each["in"], each["name"]): each for each in call.operation.parameters}
        for place, values in (("path", call.values), ("query", call.query)):
            for name, value in values.items():
                if (place, name) not in known:
                    found.append(f"{place}: {name}: is not described")
                else:
                    schema = known[place, name]["schema"]
                    said = self._wrong(f"{call.operation.name} {place} {name}", schema, self._typed(schema, value))
                    found += [f"{place}: {name}: {each}" for each in said]
        found += [
            f"query: {name}: is missing"
            for (place, name), each in known.items()
            if place == "query" and each.get("required") and name not in call.query
        ]
        if "requestBody" not in about:
            return found if call.body in (None, {}) else [*found, "body: none is described"]
        described = self.resolved(about["requestBody"])
        if call.body is None and not described.get("required"):
            return found
        schema = described["content"]["application/json"]["schema"]
        found += [f"body: {each}" for each in self._wrong(f"{call.operation.name} body", schema, call.body)]
        return found + [f"body: {name}: is not described" for name in self._unknown(schema, call.body)]

    def wrong_in_answer(self, operation: Operation, code: int, body: Any) -> list[str]:
        answers = operation.about["responses"]
        if str(code) not in answers:
            return [] if code in ALWAYS else [f"{code}: is not described"]
        content = self.resolved(answers[str(code)]).get("content", {}).get("application/json")
        if content is None or code >= 500:
            return [] if body is None or code >= 400 else ["body: none is described"]
        schema = content["schema"]
        if code >= 400 and "oneOf" in schema:  # of 409 it says "one of" two that hold for the same answers
            schema = {"anyOf": schema["oneOf"]}
        return self._wrong(f"{operation.name} {code}", schema, body)

    def _typed(self, schema: dict[str, Any], value: str) -> Any:
        """A value of the address as what its schema says it is."""
        kinds = {each.get("type") for each in (schema, *schema.get("oneOf", ()), *schema.get("anyOf", ()))}
        if "integer" in kinds and re.fullmatch(r"-?\d+", value):
            return int(value)
        return {"true": True, "false": False}.get(value, value) if "boolean" in kinds else value

    def _wrong(self, key: str, schema: dict[str, Any], value: Any) -> list[str]:
        if key not in self._validators:
            self._validators[key] = jsonschema_rs.Draft202012Validator(_plain(schema), registry=self.registry)
        errors = self._validators[key].iter_errors(value)
        return [f"{'/'.join(map(str, each.instance_path))}: {each.message[:300]}" for each in errors][:5]

    def _unknown(self, schema: dict[str, Any], body: Any) -> list[str]:
        """Keys that GitHub would pass over without a word: a typing mistake of ours."""
        schema = self.resolved(schema)
        if not isinstance(body, dict) or "properties" not in schema or schema.get("additionalProperties"):
            return []
        return sorted(set(body) - set(schema["properties"]))


@functools.cache
def description() -> Description:
    return Description()


def _piece(text: str) -> str:
    if not text.startswith("{"):
        return re.escape(text)
    name = text[1:-1]
    return f"(?P<{name}>{'.+' if name in LONG else '[^/]+'})"


def _plain(node: Any) -> Any:
    """OpenAPI 3.0's dialect as JSON Schema: what may be null says so by its type, and references are absolute."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return {"$ref": NAME + node["$ref"]}
    made = {key: value if key in ("enum", "default") else _plain(value) for key, value in node.items()}
    if made.pop("nullable", False) is not True:
        return made
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [{"type": "null"}, made]}
