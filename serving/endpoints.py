"""The endpoints of the two ports: the Open Inference Protocol v2 for clients, metrics and health for the platform."""

from collections.abc import Callable
from time import perf_counter

import msgspec

import serving
from contracts.bundle import Bundle
from serving import invocations, metrics, openapi, page, problems, protocol, replies
from serving.application import METADATA, PREDICT, Application, Finish, Guard, Route, served_version
from serving.batching import Batcher, Columns, Floats, Part
from serving.columns import Values, packed
from serving.exchange import Problem, Request
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model

MANY_BYTES = 2048  # of JSON, from which on it pays to know that they are numbers only


class Readiness:
    """Whether the server wants requests: only after everything is verified, and no longer once it is told to stop."""

    def __init__(self) -> None:
        self.ready = False


def inference(
    model: Model,
    counters: Metrics,
    readiness: Readiness,
    limits: Limits,
    batcher: Batcher,
    guard: Guard | None = None,
) -> Application:
    """The application of the main port: the Open Inference Protocol v2, MLflow's dialect, and what describes both."""
    bundle, name = model.bundle, model.manifest.name
    routes = {**_health(readiness)}
    about = {"name": "slipway", "version": serving.__version__, "extensions": protocol.EXTENSIONS}
    routes["/v2"] = _fixed("server", msgspec.json.encode(about), METADATA)
    metadata = replies.metadata(model.manifest, served_version(bundle), bundle.digest)
    wanted = _when_ready(readiness, {"name": name, "ready": True})
    ready = Route("model_ready", "GET", wanted)
    infer = Route("infer", "POST", accept=Inference(model, batcher, limits), scope=PREDICT)
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{served_version(bundle)}"):
        routes[path] = _fixed("model", metadata, METADATA)
        routes[f"{path}/ready"] = ready
        routes[f"{path}/infer"] = infer
    routes |= invocations.routes(model, batcher, limits, wanted)
    routes |= openapi.routes(bundle, limits, guard.schemes if guard else ())
    routes |= page.routes()
    return Application(bundle, counters, routes, guard)


def management(bundle: Bundle, counters: Metrics, readiness: Readiness) -> Application:
    """The application of the management port, which clients never see: metrics and health."""
    page = Route("metrics", "GET", lambda request, request_id: counters.render(), content_type=metrics.CONTENT_TYPE)
    return Application(bundle, counters, {"/metrics": page, **_health(readiness)})


class Inference:
    """The endpoint that predicts: decode, wait for the batch, encode."""

    def __init__(self, model: Model, batcher: Batcher, limits: Limits) -> None:
        self._batcher, self._rows = batcher, limits.rows
        self._floats_only = model.floats_only
        self._inputs = {column.name: column for column in model.manifest.inputs}
        self._replies = replies.Replies(model.manifest, served_version(model.bundle), model.bundle.digest)

    def __call__(self, request: Request, request_id: str, finish: Finish) -> None:
        """Answer under the body's `id`, else under the request's."""
        arrived = perf_counter()
        self._batcher.require_room()
        headers = request.headers
        if b"content-encoding" in headers:
            problems.refuse_encoding(headers)
        length = headers.get(protocol.HEADER_LENGTH)
        body, binary = (request.body, b"") if length is None else protocol.split(request.body, length)
        many = self._floats_only and len(body) > MANY_BYTES and not binary
        numbers = protocol.decode_floats(body) if many else None
        asked = numbers or protocol.decode(body)
        columns, rows = protocol.columns(asked, self._inputs, self._rows, binary)
        floats = None
        if numbers is not None and (floats := self._floats(columns, body)) is None:
            columns, rows = self._read(body)
        chosen = self._replies.chosen(asked)
        answer_id = request_id if asked.id is None else asked.id

        def done(part: Part | Exception) -> None:
            finish(part if isinstance(part, Exception) else self._replies.encode(part, chosen, answer_id))

        self._batcher.submit(columns, rows, done, True, floats, arrived)

    def _floats(self, columns: Columns, body: bytes) -> Floats | None:
        """The columns packed, where every value is a float that float32 can hold."""
        found = {}
        for name, values in columns.items():
            data = packed(values)
            if data is None:
                return None
            found[name] = data
        return Floats(found, lambda: self._read(body)[0])

    def _read(self, body: bytes) -> tuple[dict[str, Values], int]:
        return protocol.columns(protocol.decode(body), self._inputs, self._rows)


def _fixed(name: str, body: bytes, scope: str) -> Route:
    return Route(name, "GET", lambda request, request_id: body, scope=scope)


def _health(readiness: Readiness) -> dict[str, Route]:
    return {
        "/v2/health/live": _fixed("live", msgspec.json.encode({"live": True}), ""),
        "/v2/health/ready": Route("ready", "GET", _when_ready(readiness, {"live": True, "ready": True})),
    }


def _when_ready(readiness: Readiness, document: dict[str, object]) -> Callable[[Request, str], bytes]:
    body = msgspec.json.encode(document)

    def answer(request: Request, request_id: str) -> bytes:
        if not readiness.ready:
            detail = "the server is starting or going away; ask another one"
            raise Problem(503, "not_ready", detail, headers=((b"retry-after", b"1"),))
        return body

    return answer
