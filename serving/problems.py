"""Problem documents (RFC 9457), which are error objects of the Open Inference Protocol at the same time."""

from http import HTTPStatus

import msgspec
from msgspec import Struct

from serving.columns import ColumnError
from serving.exchange import Problem

CONTENT_TYPE = b"application/problem+json"


class Document(Struct, frozen=True, omit_defaults=True):
    """The body of an answer that is an error. `error` is the member that clients of the inference protocol read."""

    title: str
    status: int
    detail: str
    code: str
    error: str
    request_id: str
    field: str = ""


def document(problem: Problem, request_id: str) -> bytes:
    """The JSON of a problem. It has no `type`, which RFC 9457 defines as "about:blank": the status says it all."""
    error = f"{problem.field}: {problem.detail}" if problem.field else problem.detail
    return msgspec.json.encode(
        Document(
            title=HTTPStatus(problem.status).phrase,
            status=problem.status,
            detail=problem.detail,
            code=problem.code,
            error=error,
            request_id=request_id,
            field=problem.field,
        )
    )


def of_column(error: ColumnError) -> Problem:
    """The problem that a column refused by the model is to the client."""
    return Problem(400, "invalid_input", f"{error.reason}; {error.way_out}", field=error.column)


def refuse_encoding(headers: dict[bytes, bytes]) -> None:
    """Raises Problem for a compressed body: what it would become is not known before it is there."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        detail = "the body is compressed; send it as it is"
        raise Problem(415, "unsupported_encoding", detail, headers=((b"accept-encoding", b"identity"),))
