"""What one server takes, so that no client can take it from the others."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bytes, rows, connections, requests, and seconds that a client may be slow or has to wait."""

    head_bytes: int = 16 * 1024  # request line, headers and trailers
    body_bytes: int = 1024 * 1024
    rows: int = 10_000
    connections: int = 1000
    pipelined: int = 64  # requests of one connection that are not answered yet; beyond it we read no more from it
    queue: int = 512  # requests that wait for the model; beyond it they are refused at once
    head_seconds: float = 10.0  # from a request's first byte to its last header
    body_seconds: float = 30.0  # from there to its last byte, and for reading the answer
    idle_seconds: float = 75.0  # between requests; longer than the 60 s after which common load balancers let go
    linger_seconds: float = 2.0  # for reading a refusal, after we stopped listening
    deadline_seconds: float = 10.0  # for an answer, from when the request is there
