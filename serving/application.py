"""What the server answers. Knows nothing of sockets: a request in, a response out, so that any front can carry it."""

import logging
import os
import re
import traceback
from collections.abc import Callable, Mapping
from time import perf_counter
from urllib.parse import unquote

from msgspec import Struct

from contracts.bundle import Bundle
from serving import problems
from serving.columns import ColumnError
from serving.exchange import Problem, Request, Response
from serving.metrics import Metrics

log = logging.getLogger(__name__)

JSON = b"application/json"
UNREGISTERED = "unregistered"  # the version of a bundle that no registry knows yet
SANE_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")


class Route(Struct, frozen=True):
    """One endpoint. `answer` gives a body for a request and its id, or raises Problem or ColumnError."""

    name: str  # as metrics call it
    method: str
    answer: Callable[[Request, str], bytes]
    content_type: bytes = JSON


class Application:
    """Routes by path, and what every answer has in common: request id, model version, bundle digest, counting."""

    def __init__(self, bundle: Bundle, counters: Metrics, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self._counters = counters
        self._name, self._version = bundle.manifest.name, served_version(bundle)
        self._identity = (
            (b"x-model-version", self._version.encode()),
            (b"x-bundle-digest", bundle.digest.encode()),
        )

    def handle(self, request: Request) -> Response:
        """The answer to a request; raises nothing."""
        started = perf_counter()
        request_id = _request_id(request.headers)
        route = self.routes.get(request.path)
        try:
            if route is None:
                route = self._other_spelling(request.path)
            if request.method != route.method and not (request.method == "HEAD" and route.method == "GET"):
                allowed = b"GET, HEAD" if route.method == "GET" else route.method.encode()
                detail = f"{request.path} takes {allowed.decode()}"
                raise Problem(405, "method_not_allowed", detail, headers=((b"allow", allowed),))
            response = self._response(200, route.content_type, request_id, route.answer(request, request_id))
        except Problem as problem:
            response = self._refusal(problem, request_id)
        except ColumnError as error:
            response = self._refusal(problems.of_column(error), request_id)
        except Exception as error:  # noqa: BLE001  one broken request is not the end of the others
            where = traceback.extract_tb(error.__traceback__)[-1]
            # The kind and the place only: an exception's text may hold what a client sent.
            kind = type(error).__name__
            log.error("failure request_id=%s error=%s at=%s:%s", request_id, kind, where.filename, where.lineno)
            failure = Problem(500, "internal", "the server failed on this request; it is logged under its id")
            response = self._refusal(failure, request_id)
        name = route.name if route else "none"
        self._counters.answered(name, response.status)
        if name == "infer":
            self._counters.duration.observe(perf_counter() - started)
        return response

    def refuse(self, problem: Problem, headers: dict[bytes, bytes]) -> Response:
        """The answer to what a front had to refuse before there was a request."""
        self._counters.answered("none", problem.status)
        return self._refusal(problem, _request_id(headers))

    def _refusal(self, problem: Problem, request_id: str) -> Response:
        self._counters.refused(problem.code)
        body = problems.document(problem, request_id)
        return self._response(problem.status, problems.CONTENT_TYPE, request_id, body, problem.headers)

    def _response(
        self, status: int, content_type: bytes, request_id: str, body: bytes, more: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Response:
        headers = ((b"content-type", content_type), *self._identity, (b"x-request-id", request_id.encode()), *more)
        return Response(status, headers, body)

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


def served_version(bundle: Bundle) -> str:
    """The registered version that a bundle is served as."""
    return bundle.provenance.version or UNREGISTERED


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The client's id where it is fit for logs and headers, else a new one."""
    sent = headers.get(b"x-request-id")
    return sent.decode() if sent and SANE_ID.fullmatch(sent) else os.urandom(16).hex()
