"""Bytes on a connection: what HTTP leaves open, what requests are smuggled with, and both with bytes changed.

What carries a smuggled request must be refused once, and the connection ended: a second answer would mean that a body
was taken for a request, past a router that saw none.
"""

import random
from collections.abc import Iterator, Sequence

from msgspec import Struct

from bench.reliability.questions import PATH
from bench.reliability.tensors import scratched

HIDDEN = b"GET /v2/health/live HTTP/1.1\r\nHost: hidden\r\n\r\n"


class Case(Struct, frozen=True):
    """Bytes, in packets. They must get one refusal and the end of the connection, or so many answers (`sound`).

    An `endless` one says that more will come than it sends: it must get no answer but a refusal.
    """

    name: str
    parts: Sequence[bytes]
    sound: int = 0
    endless: bool = False
    mutated: bool = False


def smuggled(body: bytes) -> Iterator[Case]:
    """Requests that two servers could read differently; each carries a second one where a body might end."""
    size = b"%d" % len(body)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    heads = {
        "length and chunked": b"Content-Length: " + size + b"\r\nTransfer-Encoding: chunked",
        "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: " + size,
        "length of 0 and chunked": b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        "two lengths": b"Content-Length: " + size + b"\r\nContent-Length: 0",
        "two equal lengths": b"Content-Length: " + size + b"\r\nContent-Length: " + size,
        "a list of lengths": b"Content-Length: " + size + b", " + size,
        "a length with a sign": b"Content-Length: +" + size,
        "a length below zero": b"Content-Length: -" + size,
        "a length in hexadecimal": b"Content-Length: 0x10",
        "a length with a blank in it": b"Content-Length: 1 0",
        "a length that is none": b"Content-Length: ten",
        "a length with a fraction": b"Content-Length: 10.0",
        "an empty length": b"Content-Length:",
        "a huge length": b"Content-Length: " + b"9" * 40,
        "a length of 2^64": b"Content-Length: 18446744073709551616",
        "a blank before the colon": b"Content-Length : " + size,
        "a tab before the colon": b"Transfer-Encoding\t: chunked",
        "a folded header": b"X: a\r\n Content-Length: 0\r\nContent-Length: " + size,
        "a folded encoding": b"Transfer-Encoding:\r\n chunked",
        "another encoding": b"Transfer-Encoding: xchunked",
        "chunked and another": b"Transfer-Encoding: chunked, identity",
        "another and chunked": b"Transfer-Encoding: gzip, chunked",
        "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "encoding with a vertical tab": b"Transfer-Encoding: \x0bchunked",
        "encoding with a NUL": b"Transfer-Encoding: chunked\0",
        "encoding in quotes": b'Transfer-Encoding: "chunked"',
        "a bare line feed": b"X: a\nContent-Length: " + size,
        "a bare carriage return": b"X: a\rContent-Length: " + size,
        "a NUL in a header": b"X: a\0b\r\nContent-Length: " + size,
        "a NUL in a name": b"X\0: a\r\nContent-Length: " + size,
        "a header without a colon": b"X a\r\nContent-Length: " + size,
        "a header without a name": b": a\r\nContent-Length: " + size,
        "two hosts": b"Host: other\r\nContent-Length: " + size,
        "an expectation": b"Expect: 200-ok\r\nContent-Length: " + size,
    }
    for name, head in heads.items():
        data = chunk if b"hunked" in head and not head.startswith(b"Content-Length: " + size) else body
        yield Case(name, [b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n%s%s" % (PATH.encode(), head, data, HIDDEN)])
    chunks = {
        "a chunk size that is none": b"zz\r\n",
        "a chunk size with a sign": b"+5\r\nabcde\r\n0\r\n\r\n",
        "a chunk size below zero": b"-1\r\nabc\r\n0\r\n\r\n",
        "a chunk size with 0x": b"0x5\r\nabcde\r\n0\r\n\r\n",
        "a chunk size of 2^64": b"10000000000000000\r\nabc\r\n0\r\n\r\n",
        "a chunk that is longer": b"3\r\nabcdef\r\n0\r\n\r\n",
        "a chunk that ends with a line feed": b"3\nabc\n0\n\n",
        "a chunk without an end": b"3\r\nabc0\r\n\r\n",
        "an empty chunk size": b"\r\nabc\r\n0\r\n\r\n",
        "a chunk size after a blank": b" 3\r\nabc\r\n0\r\n\r\n",
    }
    for name, data in chunks.items():
        head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH.encode()
        yield Case(name, [head + data + HIDDEN])
    endless = head + b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n" + HIDDEN
    yield Case("a chunk of 2^64 bytes", [endless], endless=True)
    starts = {
        "HTTP/0.9": b"GET /v2\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/1.2": b"GET /v2 HTTP/1.2\r\nHost: a\r\n\r\n",
        "HTTP/3.7": b"GET /v2 HTTP/3.7\r\nHost: a\r\n\r\n",
        "another protocol": b"GET /v2 ICE/1.0\r\nHost: a\r\n\r\n",
        "TLS": bytes.fromhex("160301020001000001fc0303") + b"\0" * 40,
        "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "no host": b"GET /v2 HTTP/1.1\r\n\r\n",
        "a method that there is not": b"BREW /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "a method in lower case": b"get /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "a target with a blank": b"GET /v2 /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "a target with a NUL": b"GET /v2\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "a target above 127": b"GET /v2/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        "a long target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "a long header": b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        "many headers": b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
        "an encoding in HTTP/1.0": b"POST /v2 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    }
    for name, data in starts.items():
        yield Case(name, [data + HIDDEN])


def sound(body: bytes) -> Iterator[Case]:
    """Ways to send a request that must be answered."""
    path, size = PATH.encode(), len(body)
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path, size)
    whole = head + body
    for place in range(1, len(whole)):
        yield Case(f"cut at {place}", [whole[:place], whole[place:]], sound=1)
    yield Case("a byte at a time", [whole[place : place + 1] for place in range(len(whole))], sound=1)
    chunked = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    for length in (1, 2, 3, 7, 64, 1000):
        pieces = [body[start : start + length] for start in range(0, size, length)]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        yield Case(f"chunks of {length}", [chunked + framed + b"0\r\n\r\n"], sound=1)
    extended = b"%x;name=value\r\n%s\r\n0\r\nTrailer: a\r\n\r\n" % (size, body)
    yield Case("chunks with extensions and a trailer", [chunked + extended], sound=1)
    yield Case("blank lines before", [b"\r\n\r\n" + whole], sound=1)
    yield Case("absolute form", [whole.replace(path, b"http://a" + path, 1)], sound=1)
    yield Case("a query", [whole.replace(path, path + b"?a=b&c=%20", 1)], sound=1)
    yield Case("percent-encoded", [whole.replace(b"/v2/models", b"/%76%32/models", 1)], sound=1)
    yield Case("two blanks", [b"GET  /v2  HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN], sound=2)
    yield Case("pipelined", [whole * 20], sound=20)


def mutated(draw: random.Random, body: bytes) -> Case:
    """A sound or a smuggled request with bytes changed, cut into packets anywhere."""
    size = len(body)
    head = b"POST %s HTTP/1.1\r\nHost: a\r\n" % PATH.encode()
    kind = draw.randrange(4)
    if kind == 0:
        head, data = head + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
    elif kind == 1:
        (part,) = draw.choice(list(smuggled(body))).parts
        head, data = part, b""
    else:
        head, data = head + b"Content-Length: %d\r\nX-A: b\r\n\r\n" % size, body
    # The body stays as it is: what the answer must be is known then, whatever became of the head.
    stream = scratched(draw, head) + data
    places = sorted(draw.randrange(len(stream) + 1) for _ in range(draw.choice((0, 0, 1, 3))))
    parts = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    return Case("mutated", [part for part in parts if part], mutated=True)
