"""What passes between a front, which knows sockets, and the application, which does not."""

from typing import Protocol

from msgspec import Struct


class Request(Struct, frozen=True):
    """One whole request. Header names are lower case; a header sent twice has its values joined by ", "."""

    method: str
    path: str  # without query, percent-encoding as sent
    headers: dict[bytes, bytes] = {}
    body: bytes = b""


class Response(Struct, frozen=True):
    """One whole answer; the front adds what belongs to the connection: length, date, keep-alive."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Problem(Exception):  # noqa: N818  the name that RFC 9457 gives it
    """Why a request is not answered as asked; becomes a problem document (RFC 9457).

    `code` is for machines and one of a fixed few, `detail` for people, `field` the input or JSON path at fault.
    None of them may hold a value that a client sent.
    """

    def __init__(
        self, status: int, code: str, detail: str, field: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.field, self.headers = status, code, detail, field, headers


class Handler(Protocol):
    """What a front needs of an application."""

    def handle(self, request: Request) -> Response:
        """The answer to a request; raises nothing."""

    def refuse(self, problem: Problem, headers: dict[bytes, bytes]) -> Response:
        """The answer to what the front itself had to refuse; `headers` as far as they were read."""
