"""What passes between a front, which knows sockets, and the application, which does not."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

Header = tuple[bytes, bytes]


class Memo:
    """What was found out about a request's head. Requests whose heads are the same bytes share one."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: object = None


class Request(Struct, frozen=True, gc=False):
    """One whole request. Header names are lower case; a header sent twice has its values joined by ", "."""

    method: str
    path: str  # without query, percent-encoding as sent
    headers: dict[bytes, bytes] = {}
    body: bytes = b""
    memo: Memo | None = None  # the handler's to use, where a front remembers heads


class ResponseHead(Struct, gc=False, eq=False):
    """Status and headers that many answers share; `written` is a front's, to keep them written out."""

    status: int
    headers: tuple[Header, ...]
    written: bytes = b""


class Response(Struct, frozen=True, gc=False):
    """One whole answer; the front adds what belongs to the connection: length, date, keep-alive."""

    head: ResponseHead
    request_id: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status

    @property
    def headers(self) -> tuple[Header, ...]:
        """All of them."""
        return (*self.head.headers, (b"x-request-id", self.request_id))


Reply = Callable[[Response], None]


class Problem(Exception):  # noqa: N818  the name that RFC 9457 gives it
    """Why a request is not answered as asked; becomes a problem document (RFC 9457).

    `code` is for machines and one of a fixed few, `detail` for people, `field` the input or JSON path at fault.
    None of them may hold a value that a client sent.
    """

    def __init__(self, status: int, code: str, detail: str, field: str = "", headers: tuple[Header, ...] = ()) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.field, self.headers = status, code, detail, field, headers


class Handler(Protocol):
    """What a front needs of an application."""

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer a request: `reply` is called once, now or later in this thread. Raises nothing."""

    def refuse(self, problem: Problem, headers: dict[bytes, bytes]) -> Response:
        """The answer to what the front itself had to refuse; `headers` as far as they were read."""
