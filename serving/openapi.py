"""`/openapi.json`: the server's interface for this very bundle, with its columns, limits and refusals.

The same bundle, limits and security give the same bytes.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from contracts.bundle import Bundle
from serving import schemas
from serving.application import METADATA, PREDICT, Route, served_version
from serving.limits import Limits

EXAMPLE_ROWS = 3
Document = dict[str, Any]

# Every problem: its status and what it means. A test holds the codes against the source, as it does docs/serving.md's.
PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed_json": (400, "the body is not JSON"),
    "invalid_request": (400, "the body is no request of this protocol"),
    "invalid_input": (400, "a column is missing, unknown, or holds what the model cannot take"),
    "malformed_http": (400, "this is not HTTP/1.1 as it is taken here"),
    "not_found": (404, "there is nothing at this path"),
    "unknown_model": (404, "another model than the one that is served"),
    "unknown_version": (404, "another version than the one that is served"),
    "unauthorized": (401, "no credential came"),
    "invalid_credential": (401, "the credential is unknown, expired or not for this server"),
    "forbidden": (403, "the credential is good for something else"),
    "method_not_allowed": (405, "the header Allow names the methods that are taken"),
    "slow_client": (408, "the request did not come in time"),
    "body_too_large": (413, "more bytes than are taken"),
    "too_many_rows": (413, "more rows than are taken in one request"),
    "unsupported_encoding": (415, "the body is compressed"),
    "unsupported_media_type": (415, "the body is neither JSON nor CSV"),
    "expectation_failed": (417, "another expectation than 100-continue"),
    "no_finite_answer": (422, "the model gave NaN or infinity, which JSON cannot hold"),
    "too_many_requests": (429, "this key asks more often than it may; the header Retry-After says how long to wait"),
    "head_too_large": (431, "more bytes of target and headers than are taken"),
    "internal": (500, "the server failed; its log has it under the request id"),
    "unsupported_transfer_encoding": (501, "another transfer encoding than chunked"),
    "unsupported_method": (501, "this is not a proxy"),
    "not_ready": (503, "the server is starting or going away; try again, or another one"),
    "too_many_connections": (503, "the server has as many connections as it takes"),
    "overloaded": (503, "as many requests wait as may; try again, or another server"),
    "keys_unavailable": (503, "the keys that verify this token are not to be had just now"),
    "deadline_exceeded": (504, "the answer would have come too late"),
    "unsupported_version": (505, "neither HTTP/1.1 nor HTTP/1.0"),
}
EVERYWHERE = (400, 405, 408, 413, 417, 431, 500, 501, 503, 505)
OF_A_PATH, GUARDED, PREDICTING = (404,), (401, 403, 429), (415, 422, 504)

SCHEMES: dict[str, Document] = {
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
DESCRIPTION = """\
The Open Inference Protocol v2, and MLflow's scoring protocol for those who come from there.

A request holds every column of the model, with at most {rows} rows and {size} bytes. A value that is not known is null,
where the column may be null; NaN and infinity are not JSON. A category that training never saw is answered. Tensors may
be sent and asked for as binary (`Inference-Header-Content-Length`).

What is refused is refused with a problem document (RFC 9457): its `code` is one of a fixed few, its `field` names the
input at fault, and it never repeats a value."""
TAGS = {
    "inference": "Predictions, by the Open Inference Protocol v2",
    "mlflow": "Predictions, as MLflow's scoring server and SageMaker speak",
    "metadata": "What the server and the model are",
    "health": "Whether the server lives and wants requests",
}
JSON = "application/json"
TEXT: Document = {"type": "string"}


def routes(bundle: Bundle, limits: Limits, security: Sequence[str] = ()) -> dict[str, Route]:
    """The endpoint. It says what the model is, so it is open to those only who may know that."""
    described = document(bundle, limits, security)
    return {"/openapi.json": Route("openapi", "GET", lambda request: described, scope=METADATA)}


def document(bundle: Bundle, limits: Limits, security: Sequence[str] = ()) -> bytes:
    """The OpenAPI 3.1 document; `security` names those of `SCHEMES` that are configured."""
    manifest = bundle.manifest
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": manifest.name,
                "version": served_version(bundle),
                "summary": f"Predicts {manifest.target}",
                "description": DESCRIPTION.format(rows=limits.rows, size=limits.body_bytes),
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
            "paths": _paths(bundle, bool(security)),
            "components": {
                "schemas": _schemas(bundle, limits),
                "headers": _headers(bundle),
                "responses": {str(status): _refusal(status) for status in sorted(_statuses())},
                **({"securitySchemes": {name: SCHEMES[name] for name in security}} if security else {}),
            },
            **({"security": [{name: []} for name in security]} if security else {}),
            "x-model": card(bundle, limits),
        }
    )


def card(bundle: Bundle, limits: Limits) -> Document:
    """What a person wants to know of a model before asking it anything."""
    manifest, made = bundle.manifest, bundle.provenance
    return {
        "name": manifest.name,
        "version": served_version(bundle),
        "digest": bundle.digest,
        "task": manifest.task,
        "target": manifest.target,
        "classes": manifest.classes,
        "decision_threshold": manifest.decision_threshold,
        "created_at": made.created_at,
        "data_from": made.data_from,
        "data_until": made.data_until,
        "inputs": manifest.inputs,
        "outputs": manifest.outputs,
        "limits": {"rows": limits.rows, "bytes": limits.body_bytes},
    }


def example_rows(inputs: dict[str, list]) -> list[int]:
    """The golden rows to show, the first one without a missing value in front."""
    count = len(next(iter(inputs.values())))
    whole = (row for row in range(count) if all(_is_known(values[row]) for values in inputs.values()))
    first = next(whole, 0)
    return [first, *(row for row in range(count) if row != first)][:EXAMPLE_ROWS]


def _is_known(value: object) -> bool:
    return value is not None and not (isinstance(value, list) and None in value)


def _paths(bundle: Bundle, guarded: bool) -> Document:
    """Every path; those of a version are the model's with the version in them."""

    def get(tag: str, name: str, summary: str, schema: str, scope: str = "", kind: str = JSON) -> Document:
        content = {kind: {"schema": _ref("schemas", schema)}}
        return {"get": _operation(tag, name, summary, content, scope, guarded)}

    def post(tag: str, name: str, body: Document, answer: Document) -> Document:
        operation = _operation(tag, name, "Predict", answer, PREDICT, guarded, PREDICTING)
        return {"post": {**operation, "requestBody": {"required": True, "content": body}}}

    binary = {"schema": {"description": "JSON, and behind it the tensors that were asked for as binary"}}
    answer = {JSON: {"schema": _ref("schemas", "InferenceResponse")}, "application/octet-stream": binary}
    manifest, golden = bundle.manifest, bundle.golden
    rows = example_rows(golden.inputs)
    infer = {
        "one row": schemas.example_request(manifest, golden, rows[:1]),
        "golden rows": schemas.example_request(manifest, golden, rows),
    }
    records = {"golden rows": schemas.example_records(manifest, golden, rows)}
    of_model: Document = {
        "": lambda name: get("metadata", name, "What the model takes and gives", "ModelMetadata", METADATA),
        "/ready": lambda name: get("health", f"{name}_ready", "Whether the model wants requests", "ModelReady"),
        "/infer": lambda name: post("inference", f"{name}_infer", _json_body("InferenceRequest", infer), answer),
    }
    base = f"/v2/models/{quote(manifest.name, safe='')}"
    version = {"name": "version", "in": "path", "required": True, "schema": {"const": served_version(bundle)}}
    predictions = {JSON: {"schema": _ref("schemas", "Predictions")}}
    return {
        "/v2": get("metadata", "server", "What the server is", "ServerMetadata", METADATA),
        "/v2/health/live": get("health", "live", "Whether the server lives", "Live"),
        "/v2/health/ready": get("health", "ready", "Whether the server wants requests", "Ready"),
        **{f"{base}{end}": item("model") for end, item in of_model.items()},
        **{
            f"{base}/versions/{{version}}{end}": {"parameters": [version], **_with(404, item("version"))}
            for end, item in of_model.items()
        },
        "/invocations": post("mlflow", "invocations", _json_body("Invocation", records), predictions),
        "/ping": get("mlflow", "ping", "Whether the server wants requests", "Nothing", kind="text/plain"),
        "/health": get("mlflow", "mlflow_health", "Whether the server wants requests", "Nothing", kind="text/plain"),
        "/version": get("mlflow", "mlflow_version", "The server's version", "Version", kind="text/plain"),
        "/openapi.json": get("metadata", "openapi", "This document", "OpenAPI", METADATA),
    }


def _operation(
    tag: str,
    name: str,
    summary: str,
    content: Document,
    scope: str,
    guarded: bool,
    statuses: tuple[int, ...] = (),
) -> Document:
    refused = {*EVERYWHERE, *statuses, *(GUARDED if guarded and scope else ())}
    answered = {
        "description": "OK",
        "headers": {
            header: _ref("headers", header) for header in ("X-Model-Version", "X-Bundle-Digest", "X-Request-Id")
        },
        "content": content,
    }
    return {
        "tags": [tag],
        "operationId": name,
        "summary": summary,
        "responses": {"200": answered, **{str(status): _ref("responses", str(status)) for status in sorted(refused)}},
        **({} if scope or not guarded else {"security": []}),
    }


def _with(status: int, item: Document) -> Document:
    """A path item whose operations may answer with one status more."""
    for operation in item.values():
        operation["responses"][str(status)] = _ref("responses", str(status))
    return item


def _json_body(schema: str, examples: Document) -> Document:
    shown = {title: {"value": value} for title, value in examples.items()}
    return {JSON: {"schema": _ref("schemas", schema), "examples": shown}}


def _schemas(bundle: Bundle, limits: Limits) -> Document:
    manifest, version = bundle.manifest, served_version(bundle)
    name = {"const": manifest.name}
    tensors = {"type": "array", "items": {"type": "object", "required": ["name", "datatype", "shape"]}}
    return {
        "InferenceRequest": schemas.inference_request(manifest, limits.rows),
        "InferenceResponse": schemas.inference_response(manifest),
        "Invocation": schemas.invocation(manifest, limits.rows),
        "Predictions": schemas.predictions(manifest),
        "ServerMetadata": _whole({"name": TEXT, "version": TEXT, "extensions": {"type": "array", "items": TEXT}}),
        "ModelMetadata": _whole(
            {
                "name": name,
                "versions": {"type": "array", "items": {"const": version}},
                "platform": TEXT,
                "inputs": tensors,
                "outputs": tensors,
                "parameters": {"type": "object"},
            }
        ),
        "Live": _whole({"live": {"const": True}}),
        "Ready": _whole({"live": {"const": True}, "ready": {"const": True}}),
        "ModelReady": _whole({"name": name, "ready": {"const": True}}),
        "Nothing": {**TEXT, "description": "an empty line"},
        "Version": TEXT,
        "OpenAPI": {"type": "object", "required": ["openapi", "info", "paths"]},
        "Problem": {
            "type": "object",
            "description": "a problem document of RFC 9457, which is an error of the inference protocol too",
            "required": ["title", "status", "detail", "code", "error", "request_id"],
            "properties": {
                "title": TEXT,
                "status": {"type": "integer"},
                "detail": {**TEXT, "description": "what is wrong, and the way out"},
                "code": {"oneOf": [{"const": code, "description": text} for code, (_, text) in PROBLEMS.items()]},
                "error": {**TEXT, "description": "field and detail, for clients of the inference protocol"},
                "request_id": TEXT,
                "field": {**TEXT, "description": "the input or the place in the JSON at fault"},
            },
        },
    }


def _headers(bundle: Bundle) -> Document:
    return {
        "X-Model-Version": {"description": "which version answered", "schema": {"const": served_version(bundle)}},
        "X-Bundle-Digest": {"description": "which bundle answered", "schema": {"const": bundle.digest}},
        "X-Request-Id": {"description": "the client's, where it sent a sane one, else a new one", "schema": TEXT},
    }


def _statuses() -> set[int]:
    return {*EVERYWHERE, *OF_A_PATH, *GUARDED, *PREDICTING}


def _refusal(status: int) -> Document:
    codes = [code for code, (of, _) in PROBLEMS.items() if of == status]
    schema = {"allOf": [_ref("schemas", "Problem"), {"properties": {"code": {"enum": codes}}}]}
    return {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {"schema": schema}}}


def _whole(properties: Document) -> Document:
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}
