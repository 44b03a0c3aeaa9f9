"""The endpoints of the two ports: the Open Inference Protocol v2 for clients, metrics and health for the platform."""

from collections.abc import Callable

import msgspec

import serving
from contracts.bundle import Bundle
from serving import invocations, metrics, openapi, page, problems, protocol, replies
from serving.application import METADATA, PREDICT, Application, Asked, Guard, Route, served_version
from serving.batching import Batcher, Columns, Done
from serving.exchange import Problem, Request
from serving.expected import Expected, Typed
from serving.limits import Limits
from serving.metrics import Metrics
from serving.parts import Part
from serving.runtime import Model


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
    page = Route("metrics", "GET", lambda request: counters.render(), content_type=metrics.CONTENT_TYPE)
    return Application(bundle, counters, {"/metrics": page, **_health(readiness)})


class Inference:
    """The endpoint that predicts: decode, wait for the batch, encode."""

    def __init__(self, model: Model, batcher: Batcher, limits: Limits) -> None:
        self._batcher, self._rows = batcher, limits.rows
        self._expected = Expected(model.bundle, limits.rows)
        self._inputs = {column.name: column for column in model.manifest.inputs}
        self._replies = replies.Replies(model.manifest, served_version(model.bundle), model.bundle.digest)

    def __call__(self, request: Request, asked: Asked) -> None:
        """Answer under the body's `id`, else under the request's."""
        self._batcher.require_room()
        headers, body, binary = request.headers, request.body, b""
        if b"content-encoding" in headers:
            problems.refuse_encoding(headers)
        if (length := headers.get(protocol.HEADER_LENGTH)) is None:
            expected = self._expected.decode(body)
        else:
            body, binary = protocol.split(body, length)
            expected = self._expected.decode_binary(body, binary)
        if expected is not None:
            wanted, values, rows = expected
            done = self._done(wanted, asked)
            self._batcher.submit_typed(Typed(values, rows, self._columns, body, binary), done, asked.arrived)
            return
        wanted = protocol.decode(body)
        columns, rows = protocol.columns(wanted, self._inputs, self._rows, binary)
        self._batcher.submit(columns, rows, self._done(wanted, asked), True, asked.arrived)

    def _done(self, wanted: protocol.InferenceRequest, asked: Asked) -> Done:
        """How to go on when there is an answer."""
        replies = self._replies
        encode = replies.encode
        chosen = replies.every if wanted.outputs is wanted.parameters is None else replies.chosen(wanted)
        answer_id = b'"%s"' % asked.request_id if wanted.id is None else msgspec.json.encode(wanted.id)

        def done(part: Part | Exception) -> None:
            asked.finish(part if isinstance(part, Exception) else encode(part, chosen, answer_id))

        return done

    def _columns(self, body: bytes, binary: bytes) -> Columns:
        return protocol.columns(protocol.decode(body), self._inputs, self._rows, binary)[0]


def _fixed(name: str, body: bytes, scope: str) -> Route:
    return Route(name, "GET", lambda request: body, scope=scope)


def _health(readiness: Readiness) -> dict[str, Route]:
    return {
        "/v2/health/live": _fixed("live", msgspec.json.encode({"live": True}), ""),
        "/v2/health/ready": Route("ready", "GET", _when_ready(readiness, {"live": True, "ready": True})),
    }


def _when_ready(readiness: Readiness, document: dict[str, object]) -> Callable[[Request], bytes]:
    body = msgspec.json.encode(document)

    def answer(request: Request) -> bytes:
        if not readiness.ready:
            detail = "the server is starting or going away; ask another one"
            raise Problem(503, "not_ready", detail, headers=((b"retry-after", b"1"),))
        return body

    return answer
