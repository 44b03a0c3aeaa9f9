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
from serving.exchange import Header, Problem, Reply, Request, Response
from serving.metrics import Metrics

log = logging.getLogger(__name__)

JSON = b"application/json"
UNREGISTERED = "unregistered"  # the version of a bundle that no registry knows yet
SANE_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")
# What a caller may be allowed; health is for everybody.
PREDICT, METADATA = "predict", "metadata"


class Answer(Struct, frozen=True):
    """A body with headers of its own, where the route's content type does not say it all."""

    body: bytes
    content_type: bytes
    headers: tuple[Header, ...] = ()


Result = bytes | Answer | Exception
Finish = Callable[[Result], None]


class Route(Struct, frozen=True):
    """One endpoint, for a request and its id: `answer` gives a body or raises Problem, `accept` finishes later."""

    name: str  # as metrics call it
    method: str
    answer: Callable[[Request, str], bytes | Answer] | None = None
    accept: Callable[[Request, str, Finish], None] | None = None
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()  # more of them, of every 200
    scope: str = ""  # that a caller needs where there is a guard; "" is open to everybody


class Guard(Protocol):
    """Who may ask; `schemes` are those of its credentials, as the OpenAPI document names them."""

    schemes: tuple[str, ...]

    def check(self, headers: dict[bytes, bytes], scope: str) -> None:
        """Raises Problem for a caller who may not."""


class Application:
    """Routes by path, and what every answer has in common: request id, model version, bundle digest, counting."""

    def __init__(
        self, bundle: Bundle, counters: Metrics, routes: Mapping[str, Route], guard: Guard | None = None
    ) -> None:
        self.routes = routes
        self.counters = counters
        self._guard = guard
        self._name, self._version = bundle.manifest.name, served_version(bundle)
        self._identity = (
            (b"x-model-version", self._version.encode()),
            (b"x-bundle-digest", bundle.digest.encode()),
        )
        self.fixed: dict[str, tuple[Header, ...]] = {}  # by route, written once
        self._prefix, self._asked = os.urandom(12).hex() + "-", itertools.count()

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer a request: `reply` is called once, now or later in this thread. Raises nothing."""
        asked = Asked(self, request, reply)
        route = asked.route
        try:
            if route is None:
                route = asked.route = self._other_spelling(request.path)
            if request.method != route.method:
                _require_method(request, route)
            if route.scope and self._guard is not None:
                self._guard.check(request.headers, route.scope)
            if route.accept is not None:
                route.accept(request, asked.request_id, asked.finish)
            else:
                assert route.answer is not None
                asked.finish(route.answer(request, asked.request_id))
        except Exception as error:  # noqa: BLE001  one broken request is not the end of the others
            asked.finish(error)

    def refuse(self, problem: Problem, headers: dict[bytes, bytes]) -> Response:
        """The answer to what a front had to refuse before there was a request."""
        self.counters.answered("none", problem.status)
        return self.refusal(problem, self.request_id(headers))

    def request_id(self, headers: dict[bytes, bytes]) -> str:
        """The client's id where it is fit for logs and headers, else a new one."""
        sent = headers.get(b"x-request-id")
        if sent and SANE_ID.fullmatch(sent):
            return sent.decode()
        return f"{self._prefix}{next(self._asked)}"

    def response(self, route: Route, request_id: str, result: bytes | Answer) -> Response:
        """The answer of an endpoint."""
        if isinstance(result, Answer):
            written = ((b"content-type", result.content_type), *self._identity, *result.headers)
            return Response(200, written, request_id.encode(), result.body)
        fixed = self.fixed.get(route.name)
        if fixed is None:
            fixed = ((b"content-type", route.content_type), *self._identity, *route.headers)
            self.fixed[route.name] = fixed
        return Response(200, fixed, request_id.encode(), result)

    def refusal(self, error: Exception, request_id: str) -> Response:
        """The problem document of whatever went wrong."""
        if isinstance(error, ColumnError):
            problem = problems.of_column(error)
        elif isinstance(error, Problem):
            problem = error
        else:
            where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
            # The kind and the place only: an exception's text may hold what a client sent.
            place = f"{where.filename}:{where.lineno}" if where else "unknown"
            log.error("failure request_id=%s error=%s at=%s", request_id, type(error).__name__, place)
            problem = Problem(500, "internal", "the server failed on this request; it is logged under its id")
        self.counters.refused(problem.code)
        fixed = ((b"content-type", problems.CONTENT_TYPE), *self._identity, *problem.headers)
        return Response(problem.status, fixed, request_id.encode(), problems.document(problem, request_id))

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


class Asked:
    """A request on its way through the application; `finish` ends it, once."""

    __slots__ = ("_application", "_reply", "_started", "request_id", "route")

    def __init__(self, application: Application, request: Request, reply: Reply) -> None:
        self._started = perf_counter()
        self._application = application
        self._reply: Reply | None = reply
        self.request_id = application.request_id(request.headers)
        self.route: Route | None = application.routes.get(request.path)

    def finish(self, result: Result) -> None:
        """Answer with a body, or with why there is none."""
        reply, self._reply = self._reply, None
        application, route = self._application, self.route
        if reply is None:  # an endpoint failed after it had answered: that is ours to know
            if isinstance(result, Exception):
                application.refusal(result, self.request_id)
            return
        if isinstance(result, Exception) or route is None:
            assert isinstance(result, Exception)
            response = application.refusal(result, self.request_id)
        elif type(result) is bytes and (fixed := application.fixed.get(route.name)):
            response = Response(200, fixed, self.request_id.encode(), result)
        else:
            response = application.response(route, self.request_id, result)
        counters = application.counters
        counters.answered(route.name if route else "none", response.status)
        if route and route.scope == PREDICT:
            counters.duration.observe(perf_counter() - self._started)
        reply(response)


def served_version(bundle: Bundle) -> str:
    """The registered version that a bundle is served as."""
    return bundle.provenance.version or UNREGISTERED
