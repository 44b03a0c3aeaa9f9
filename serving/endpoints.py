"""The endpoints of the two ports: the Open Inference Protocol v2 for clients, metrics and health for the platform."""

from collections.abc import Callable
from time import perf_counter

import msgspec

import serving
from contracts.bundle import Bundle
from serving import metrics, protocol
from serving.application import Application, Route, served_version
from serving.exchange import Problem, Request
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model


class Readiness:
    """Whether the server wants requests: only after everything is verified, and no longer once it is told to stop."""

    def __init__(self) -> None:
        self.ready = False


def inference(model: Model, counters: Metrics, readiness: Readiness, limits: Limits) -> Application:
    """The application of the main port: the Open Inference Protocol v2."""
    bundle, name = model.bundle, model.manifest.name
    model_metadata = protocol.metadata(model.manifest, served_version(bundle), bundle.digest)
    server_metadata = msgspec.json.encode({"name": "slipway", "version": serving.__version__, "extensions": []})
    model_ready = _when_ready(readiness, {"name": name, "ready": True})
    infer = Inference(model, counters, limits)
    routes = {"/v2": Route("server", "GET", lambda request, request_id: server_metadata), **_health(readiness)}
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{served_version(bundle)}"):
        routes[path] = Route("model", "GET", lambda request, request_id: model_metadata)
        routes[f"{path}/ready"] = Route("model_ready", "GET", model_ready)
        routes[f"{path}/infer"] = Route("infer", "POST", infer)
    return Application(bundle, counters, routes)


def management(bundle: Bundle, counters: Metrics, readiness: Readiness) -> Application:
    """The application of the management port, which clients never see: metrics and health."""
    page = Route("metrics", "GET", lambda request, request_id: counters.render(), metrics.CONTENT_TYPE)
    return Application(bundle, counters, {"/metrics": page, **_health(readiness)})


class Inference:
    """The endpoint that predicts: decode, check, run, encode."""

    def __init__(self, model: Model, counters: Metrics, limits: Limits) -> None:
        self._model, self._counters, self._limits = model, counters, limits
        self._inputs = {column.name: column for column in model.manifest.inputs}
        self._identity = (model.manifest.name, served_version(model.bundle), model.bundle.digest)

    def __call__(self, request: Request, request_id: str) -> bytes:
        """The body of an answer; its `id` is the body's, else the request's."""
        _refuse_encoding(request.headers)
        started = perf_counter()
        asked = protocol.decode(request.body)
        names = protocol.chosen(asked, self._model.output_names)
        feeds = self._model.feeds(protocol.columns(asked, self._inputs, self._limits.rows))
        decoded = perf_counter()
        answers = self._model.run(feeds)
        inferred = perf_counter()
        bundle = self._model.bundle
        identity = (
            bundle.manifest.name,
            served_version(bundle),
            bundle.digest,
            request_id if asked.id is None else asked.id,
        )
        body = protocol.encode(answers, names, *identity)
        rows = len(feeds[self._model.input_names[0]])
        self._counters.batch(1, rows, decoded - started, inferred - decoded, perf_counter() - inferred)
        self._counters.drift.observe(feeds, answers, rows)
        return body


def _health(readiness: Readiness) -> dict[str, Route]:
    live = msgspec.json.encode({"live": True})
    return {
        "/v2/health/live": Route("live", "GET", lambda request, request_id: live),
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


def _refuse_encoding(headers: dict[bytes, bytes]) -> None:
    if headers.get(b"content-encoding", b"identity") != b"identity":
        detail = "the body is compressed; send it as it is"
        raise Problem(415, "unsupported_encoding", detail, headers=((b"accept-encoding", b"identity"),))
    if b"inference-header-content-length" in headers:
        raise Problem(415, "unsupported_encoding", "the body holds binary tensors; send data as JSON")
