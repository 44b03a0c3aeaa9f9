"""What the server answers. Knows nothing of sockets: a request in, a response out, so that any front can carry it."""

import itertools
import logging
import os
import re
import traceback
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Protocol
from urllib.parse import unquote

from msgspec import Struct

from contracts.bundle import Bundle
from serving import problems
from serving.columns import ColumnError
from serving.exchange import Header, Problem, Reply, Request, Response, ResponseHead
from serving.metrics import Metrics

log = logging.getLogger(__name__)

JSON = b"application/json"
UNREGISTERED = "unregistered"  # the version of a bundle that no registry knows yet
HEADS = 100  # of answers with headers of their own, kept
SANE_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")
# What a caller may be allowed; health is for everybody.
PREDICT, METADATA = "predict", "metadata"


class Answer(Struct, frozen=True):
    """A body with headers of its own, where the route's content type does not say it all."""

    body: bytes
    content_type: bytes
    headers: tuple[Header, ...] = ()


class Route(Struct, frozen=True):
    """One endpoint: `answer` gives a body or raises Problem, `accept` may finish later."""

    name: str  # as metrics call it
    method: str
    answer: Callable[[Request], bytes | Answer] | None = None
    accept: Callable[[Request, "Asked"], None] | None = None
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()  # more of them, of every 200
    scope: str = ""  # that a caller needs where there is a guard; "" is open to everybody


class Guard(Protocol):
    """Who may ask; `schemes` are those of its credentials, as the OpenAPI document names them.

    `epoch` changes whenever a verdict may have become another one.
    """

    schemes: tuple[str, ...]

    @property
    def epoch(self) -> int:
        """Of the verdicts that are given now; not negative."""

    def check(self, headers: dict[bytes, bytes], scope: str) -> int:
        """Raises Problem for a caller who may not; else gives the epoch in which this holds, -1 for this once only."""


class Everybody:
    """The guard where there is none."""

    schemes = ()
    epoch = 0

    def check(self, headers: dict[bytes, bytes], scope: str) -> int:
        """Whoever it is."""
        return 0


class Found(Struct, frozen=True):
    """What a head leads to: a route, for a caller who may, under the id that the client sent."""

    route: Route
    request_id: bytes | None
    epoch: int


class Application:
    """Routes by path, and what every answer has in common: request id, model version, bundle digest, counting."""

    def __init__(
        self, bundle: Bundle, counters: Metrics, routes: Mapping[str, Route], guard: Guard | None = None
    ) -> None:
        self.routes = routes
        self.counters = counters
        self._guard = guard or Everybody()
        self._name, self._version = bundle.manifest.name, served_version(bundle)
        self._identity = (
            (b"x-model-version", self._version.encode()),
            (b"x-bundle-digest", bundle.digest.encode()),
        )
        self.heads: dict[str, ResponseHead] = {}  # of answers, by route
        self._other_heads: dict[tuple[bytes, tuple[Header, ...]], ResponseHead] = {}
        self._prefix, self._count = os.urandom(12).hex().encode() + b"-", itertools.count()

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer a request: `reply` is called once, now or later in this thread. Raises nothing."""
        memo = request.memo
        found = memo.found if memo is not None else None
        if type(found) is Found and found.epoch == self._guard.epoch:
            route = found.route
            sent = found.request_id
            request_id = sent if sent is not None else b"%s%d" % (self._prefix, next(self._count))
            asked = Asked(self, route, request_id, reply, perf_counter())
        else:
            route = None
            asked = Asked(self, self.routes.get(request.path), self.request_id(request.headers), reply, perf_counter())
        try:
            if route is None:
                route = self._admitted(request, asked)
            if route.accept is not None:
                route.accept(request, asked)
            else:
                assert route.answer is not None
                asked.finish(route.answer(request))
        except Exception as error:  # noqa: BLE001  one broken request is not the end of the others
            asked.finish(error)

    def _admitted(self, request: Request, asked: "Asked") -> Route:
        """The route of a request that may take it; raises Problem."""
        route = asked.route
        if route is None:
            route = asked.route = self._other_spelling(request.path)
        if request.method != route.method:
            _require_method(request, route)
        guard = self._guard
        epoch = guard.check(request.headers, route.scope) if route.scope else guard.epoch
        if request.memo is not None and epoch >= 0:
            request.memo.found = Found(route, self._sent_id(request.headers), epoch)
        return route

    def refuse(self, problem: Problem, headers: dict[bytes, bytes]) -> Response:
        """The answer to what a front had to refuse before there was a request."""
        self.counters.answered("none", problem.status)
        return self.refusal(problem, self.request_id(headers))

    def request_id(self, headers: dict[bytes, bytes]) -> bytes:
        """The client's id where it is fit for logs and headers, else a new one."""
        sent = self._sent_id(headers)
        return sent if sent is not None else b"%s%d" % (self._prefix, next(self._count))

    def _sent_id(self, headers: dict[bytes, bytes]) -> bytes | None:
        sent = headers.get(b"x-request-id")
        return sent if sent and SANE_ID.fullmatch(sent) else None

    def response(self, route: Route, request_id: bytes, result: bytes | Answer) -> Response:
        """The answer of an endpoint."""
        if isinstance(result, Answer):
            key = result.content_type, result.headers
            head = self._other_heads.get(key)
            if head is None:
                head = ResponseHead(200, ((b"content-type", result.content_type), *self._identity, *result.headers))
                if len(self._other_heads) < HEADS:
                    self._other_heads[key] = head
            return Response(head, request_id, result.body)
        head = self.heads.get(route.name)
        if head is None:
            headers = ((b"content-type", route.content_type), *self._identity, *route.headers)
            head = self.heads[route.name] = ResponseHead(200, headers)
        return Response(head, request_id, result)

    def refusal(self, error: Exception, request_id: bytes) -> Response:
        """The problem document of whatever went wrong."""
        if isinstance(error, ColumnError):
            problem = problems.of_column(error)
        elif isinstance(error, Problem):
            problem = error
        else:
            where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
            # The kind and the place only: an exception's text may hold what a client sent.
            place = f"{where.filename}:{where.lineno}" if where else "unknown"
            log.error("failure request_id=%s error=%s at=%s", request_id.decode(), type(error).__name__, place)
            problem = Problem(500, "internal", "the server failed on this request; it is logged under its id")
        self.counters.refused(problem.code)
        headers = ((b"content-type", problems.CONTENT_TYPE), *self._identity, *problem.headers)
        body = problems.document(problem, request_id.decode())
        return Response(ResponseHead(problem.status, headers), request_id, body)

    def _other_spelling(self, path: str) -> Route:
        """The route of a path with percent-encoding or a last slash; else the reason why there is none."""
        path = unquote(path)
        if route := self.routes.get(path.rstrip("/")):
            return route
        match path.split("/")[1:]:
            case ["v2", "models", name, *_] if name != self._name:
                raise Problem(404, "unknown_model", f"there is no such model here; this server has {self._name}")
            case ["v2", "models", _, "versions", version, *_] if version != self._version:
                raise Problem(404, "unknown_version", f"there is no such version here; this server has {self._version}")
        known = ", ".join(sorted(self.routes))
        raise Problem(404, "not_found", f"there is nothing at this path; there is {known}")


def _require_method(request: Request, route: Route) -> None:
    if request.method == "HEAD" and route.method == "GET":
        return
    allowed = b"GET, HEAD" if route.method == "GET" else route.method.encode()
    detail = f"{request.path} takes {allowed.decode()}"
    raise Problem(405, "method_not_allowed", detail, headers=((b"allow", allowed),))


class Asked(Struct, eq=False):
    """A request on its way through the application; `finish` ends it, once."""

    application: Application
    route: Route | None
    request_id: bytes
    reply: Reply | None
    arrived: float  # by perf_counter

    def finish(self, result: bytes | Answer | Exception) -> None:
        """Answer with a body, or with why there is none."""
        reply, self.reply = self.reply, None
        application, route = self.application, self.route
        if reply is None:  # an endpoint failed after it had answered: that is ours to know
            if isinstance(result, Exception):
                application.refusal(result, self.request_id)
            return
        if type(result) is bytes and route is not None and (head := application.heads.get(route.name)) is not None:
            response = Response(head, self.request_id, result)  # what most are
        elif isinstance(result, Exception):
            response = application.refusal(result, self.request_id)
        else:
            assert route is not None
            response = application.response(route, self.request_id, result)
        counters = application.counters
        counters.answered(route.name if route is not None else "none", response.head.status)
        if route is not None and route.scope == PREDICT:
            counters.duration.observe(perf_counter() - self.arrived)
        reply(response)


def served_version(bundle: Bundle) -> str:
    """The registered version that a bundle is served as."""
    return bundle.provenance.version or UNREGISTERED
