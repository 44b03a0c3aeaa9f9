"""The HTTP layer without sockets: what is a request, what is refused, and that the cut of the bytes decides nothing."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.exchange import Problem, Request
from serving.http.parser import IDLE, RequestParser
from serving.limits import Limits

LIMITS = Limits(head_bytes=512, body_bytes=1000)
HOST = b"Host: a\r\n"


class Reader:
    """A parser that keeps what it delivers."""

    def __init__(self, keep_going: bool = True) -> None:
        self.requests: list[Request] = []
        self.kept_alive: list[bool] = []
        self.proceeded = 0
        self.keep_going = keep_going
        self.parser = RequestParser(LIMITS, self.deliver, self.proceed)

    def deliver(self, request: Request, version: str, keep_alive: bool) -> bool:
        self.requests.append(request)
        self.kept_alive.append(keep_alive)
        return self.keep_going

    def proceed(self) -> None:
        self.proceeded += 1

    def feed(self, *parts: bytes) -> "Reader":
        for part in parts:
            self.parser.feed(part)
        return self


def post(body: bytes, headers: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\n" + HOST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(chunks: bytes, headers: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\n" + HOST + headers + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


STREAM = (
    b"GET /v2?a=b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2 \r\n\r\n"
    + post(b"hello")
    + b"\r\n"
    + chunked(b"5;ext=1\r\nhel\nl\r\n1\r\no\r\n0\r\nTrailer: x\r\n\r\n")
    + b"POST http://a/abs?q HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 3\r\n\r\nabc"
    + b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    + b"GET /last HTTP/1.0\r\n\r\n"
)


def summary(reader: Reader) -> list[tuple]:
    return [(request.method, request.path, request.body) for request in reader.requests]


def test_pipelined_requests_come_out_whole_and_in_order() -> None:
    reader = Reader().feed(STREAM)
    assert summary(reader) == [
        ("GET", "/v2", b""),
        ("POST", "/x", b"hello"),
        ("POST", "/x", b"hel\nlo"),
        ("POST", "/abs", b"abc"),
        ("HEAD", "/", b""),
        ("GET", "/last", b""),
    ]
    assert reader.kept_alive == [True, True, True, True, True, False]
    assert reader.requests[0].headers == {b"host": b"a", b"x-one": b"1, 2"}
    assert b"trailer" not in reader.requests[2].headers
    assert reader.parser.phase == IDLE


@given(st.lists(st.integers(1, len(STREAM) - 1)))
def test_where_the_bytes_are_cut_decides_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(set(cuts)), len(STREAM)]
    parts = [STREAM[start:end] for start, end in pairwise(places)]
    assert Reader().feed(*parts).requests == Reader().feed(STREAM).requests


def test_a_stream_cut_at_every_byte_is_the_same_stream() -> None:
    reader = Reader().feed(*(bytes([byte]) for byte in STREAM))
    assert reader.requests == Reader().feed(STREAM).requests


def test_after_the_last_answer_nothing_is_read() -> None:
    assert len(Reader(keep_going=False).feed(STREAM).requests) == 1


def test_a_client_that_waits_is_told_to_go_on_and_one_with_too_much_is_not() -> None:
    expecting = Reader().feed(post(b"hello", b"Expect: 100-Continue\r\n")[:-5])
    assert (expecting.proceeded, expecting.requests) == (1, [])
    assert expecting.feed(b"hello").requests[0].body == b"hello"
    refused = Reader()
    with pytest.raises(Problem) as problem:
        refused.feed(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
    assert (problem.value.status, refused.proceeded) == (413, 0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),  # HTTP/0.9
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),  # HTTP/2 with prior knowledge
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://[/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (post(b"a", b"Expect: coffee\r\n"), 417),
        # Two ways to say where a body ends are how requests are smuggled past a proxy.
        (chunked(b"0\r\n\r\n", b"Content-Length: 5\r\n"), 400),
        (post(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"), 400),
        (post(b"a", b"Content-Length: 1\r\n"), 400),
        (post(b"a", b"Content-Length: 1, 1\r\n"), 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (chunked(b"-1\r\n"), 400),
        (chunked(b"1\na\r\n0\r\n\r\n"), 400),
        (chunked(b"1\r\nab\r\n0\r\n\r\n"), 400),
        (chunked(b"FFFFFFFFFFFFFFFFF\r\n"), 400),
    ],
)
def test_what_is_not_plainly_one_request_is_refused(data: bytes, status: int) -> None:
    for parts in ([data], [bytes([byte]) for byte in data]):
        reader = Reader()
        with pytest.raises(Problem) as problem:
            reader.feed(*parts)
        assert (problem.value.status, reader.requests) == (status, [])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(b"a" * 1001), 413),
        (chunked(b"3E9\r\n" + b"a" * 1001), 413),
        (chunked(b"1;" + b"e" * 9000), 413),  # what is not body counts too
        (b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 10_000, 431),
        (b"GET /" + b"a" * 10_000, 431),
        (chunked(b"0\r\n" + b"A: b\r\n" * 200), 431),  # trailers
        (b"\r\n" * 1000, 431),
    ],
)
def test_too_much_is_refused_before_it_is_read_whole(data: bytes, status: int) -> None:
    for parts in ([data], [bytes([byte]) for byte in data]):
        reader = Reader()
        with pytest.raises(Problem) as problem:
            reader.feed(*parts)
        assert (problem.value.status, reader.requests) == (status, [])


def test_limits_hold_for_each_request_not_for_a_pipeline() -> None:
    assert len(Reader().feed(post(b"a" * 900) * 20).requests) == 20
    many = b"".join(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 400) for _ in range(20))
    assert len(Reader().feed(many).requests) == 20


def test_offers_of_another_protocol_may_come_in_any_number() -> None:
    offer = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    reader = Reader().feed(offer * 2000, post(b"last", b"Upgrade: a\r\nUpgrade: b\r\nConnection: upgrade\r\n"))
    assert len(reader.requests) == 2001
    assert reader.requests[-1].body == b"last"


def test_a_refusal_within_another_failure_is_the_refusal() -> None:
    try:
        raise ValueError
    except ValueError:
        with pytest.raises(Problem):
            Reader().feed(b"GET / HTTP/1.1\r\n\r\n")


@given(st.binary(max_size=300), st.integers(0, len(STREAM)))
def test_no_bytes_whatever_raise_anything_but_a_problem(noise: bytes, place: int) -> None:
    for data in (noise, STREAM[:place] + noise + STREAM[place:]):
        with suppress(Problem):
            Reader().feed(data)
