"""Bad and odd requests by name, and what each must get: an answer, or a problem document that names the place."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from bench.reliability import questions
from bench.reliability.models import OUTPUT, VECTOR

ROWS: dict[str, list] = {
    "city": ["Oslo", None],
    "load": [1.5, None],
    "age": [3, 4],
    "member": [True, False],
    "signal": [[0.0] * VECTOR, [1.0] * VECTOR],
}
MOST = {name: data[:1] * 10_000 for name, data in ROWS.items()}
BODY_BYTES = 1 << 20  # the server's default limit


class Misuse(Struct, frozen=True):
    """A request and the status it must get; a problem's `code` and `field` are looked at where they are named."""

    name: str
    body: bytes
    status: int
    code: str = ""
    field: str = ""
    headers: str = ""
    rows: dict[str, list] = {}  # what must be answered, where it must be


def all_of() -> Iterator[Misuse]:
    """Every one of them."""
    yield from values()
    yield from columns()
    yield from shapes()
    yield from documents()
    yield from encodings()


def values() -> Iterator[Misuse]:
    """Numbers that are none, too large or too small, categories never seen."""
    for text in ("NaN", "Infinity", "-Infinity"):
        yield Misuse(f"{text} as a number", spelled("load", f"[{text}, 1]"), 400, "malformed_json")
    yield refused("1e308 in FP32", "load", [1e308, 1.0])
    yield refused("-1e308 in FP32", "load", [-1e308, 1.0])
    yield refused("1e308 in a vector", "signal", [[1e308] * VECTOR] * 2)
    yield Misuse("1e999", spelled("load", "[1e999, 1]"), 400)
    yield refused("2^64 as INT64", "age", [2**64, 1])
    yield refused("a fraction as INT64", "age", [1.5, 1])
    yield refused("null where there is no missing value", "age", [None, 1])
    yield refused("null in a vector that is not nullable", "signal", [[None] * VECTOR] * 2)
    yield refused("text as a number", "load", ["1.5", 1.0])
    yield refused("true as a number", "load", [True, 1.0])
    yield refused("a number as text", "city", [1, "Oslo"])
    yield refused("2 as a truth value", "member", [2, True])
    yield refused("an object as a value", "age", [{"a": 1}, 1])
    yield answered("1e-320", load=[1e-320, 1.0])
    yield answered("the largest FP32", load=[3.4028234663852886e38, 1.0])
    yield answered("a category never seen", city=["nowhere", "\U0001f600"])
    yield answered("a long category", city=["x" * 100_000, "Oslo"])
    yield answered("a NUL in a category", city=["a\0b", "Oslo"])
    yield answered("whole numbers for FP32", load=[1, 2])
    yield refused("3.0 declared as INT64", "age", [3.0, 4.0])
    yield Misuse("3.0 declared as FP64", changed("age", datatype="FP64", data=[3.0, 4.0]), 200, rows=ROWS)


def columns() -> Iterator[Misuse]:
    """Columns too few, too many, twice."""
    for name in ROWS:
        less = {key: rows for key, rows in ROWS.items() if key != name}
        yield Misuse(f"{name} is missing", questions.document(less), 400, "invalid_input", name)
    more = json.loads(questions.document(ROWS))
    extra = {"name": "salary", "datatype": "FP32", "shape": [2], "data": [1.0, 2.0]}
    yield Misuse("a column too many", dump({"inputs": [*more["inputs"], extra]}), 400, "invalid_input", "salary")
    yield Misuse("a column twice", dump({"inputs": [*more["inputs"], more["inputs"][0]]}), 400, "invalid_input", "city")
    yield Misuse("no columns", dump({"inputs": []}), 400, "invalid_input")
    strange = {**extra, "name": "<script>\n4111 1111 1111 1111"}
    yield Misuse("a name that nobody should repeat", dump({"inputs": [strange]}), 400, "invalid_input")


def shapes() -> Iterator[Misuse]:
    """Rows: none, too many, unequal; shapes that say otherwise."""
    yield Misuse("no rows", questions.document({name: [] for name in ROWS}), 200, rows={name: [] for name in ROWS})
    yield refused("a row less in one column", "age", [3])
    many = {name: data[:1] * 10_001 for name, data in ROWS.items()}
    yield Misuse("too many rows", questions.document(many), 413, "too_many_rows")
    yield Misuse("as many rows as may be", questions.document(MOST), 200, rows=MOST)
    for shape in ([3], [-2], [], [2, 2], [1, 2], [2**40], [10**30], [2, 1, 1], [0]):
        yield Misuse(f"shape {shape}", changed("age", shape=shape), 400)
    for shape in ([2**40, VECTOR], [2**62, 4], [2], [2 * VECTOR], [2, VECTOR + 1]):
        yield Misuse(f"shape {shape} of a vector", changed("signal", shape=shape), 400)
    yield Misuse("a shape of fractions", changed("age", shape=[2.5]), 400, "invalid_request")
    yield Misuse("a datatype that there is not", changed("age", datatype="INT128"), 400)
    yield Misuse("a datatype of another column", changed("age", datatype="BYTES"), 400, "invalid_input", "age")


def documents() -> Iterator[Misuse]:
    """JSON that is none, deep, doubled, of another form."""
    whole = questions.document(ROWS)
    yield Misuse("an empty body", b"", 400, "malformed_json")
    yield Misuse("half a document", whole[: len(whole) // 2], 400, "malformed_json")
    yield Misuse("two documents", whole + whole, 400, "malformed_json")
    yield Misuse("not UTF-8", whole.replace(b"Oslo", b"\xff\xfe"), 400, "malformed_json")
    yield Misuse("half a surrogate", whole.replace(b"Oslo", b"\\ud83d"), 400, "malformed_json")
    yield Misuse("a byte order mark", b"\xef\xbb\xbf" + whole, 400, "malformed_json")
    yield Misuse("UTF-16", whole.decode().encode("utf-16"), 400, "malformed_json")
    for kind, text in {"lists": "[", "objects": '{"a":'}.items():
        yield Misuse(f"deep {kind}", (text * 200_000).encode(), 400)
        deep = spelled("age", text * 100_000 + "1" + ("]" if text == "[" else "}") * 100_000)
        yield Misuse(f"deep {kind} as data", deep, 400)
        deep = whole[:-1] + b', "parameters": ' + (text * 100_000 + "1").encode() + (b"]", b"}")[text != "["] * 100_000
        yield Misuse(f"deep {kind} in parameters", deep + b"}", 400)
    for other in ("null", "1", '"text"', "[]", "{}", '{"inputs": null}', '{"inputs": {}}', '{"inputs": [1]}'):
        yield Misuse(other, other.encode(), 400)
    yield Misuse("a list where data is", spelled("age", "{}"), 400, "invalid_request")
    yield Misuse("a number of a million digits", spelled("age", f"[{'9' * 500_000}, 1]"), 400)
    yield Misuse("a million zeros", spelled("load", f"[0.{'0' * 500_000}1, 1]"), 200, rows=ROWS | {"load": [0.0, 1.0]})
    yield Misuse("an output that there is not", dump({**json.loads(whole), "outputs": [{"name": "x"}]}), 400)
    yield Misuse("an output twice", dump({**json.loads(whole), "outputs": [{"name": OUTPUT}] * 2}), 400)
    yield Misuse("an id that is none", dump({**json.loads(whole), "id": [1]}), 400, "invalid_request")


def encodings() -> Iterator[Misuse]:
    """Bodies that are compressed, too large, binary or something else."""
    whole = questions.document(ROWS)
    packed = gzip.compress(whole)
    bomb = gzip.compress(b"[" * 50_000_000)
    yield Misuse("gzip", packed, 415, "unsupported_encoding", headers="Content-Encoding: gzip\r\n")
    yield Misuse("a gzip bomb", bomb, 415, "unsupported_encoding", headers="Content-Encoding: gzip\r\n")
    yield Misuse("deflate, gzip", packed, 415, "unsupported_encoding", headers="Content-Encoding: deflate, gzip\r\n")
    yield Misuse("gzip that does not say so", packed, 400, "malformed_json")
    yield Misuse("10 MB", b" " * 10_000_000, 413, "body_too_large")
    yield Misuse("a byte too many", b" " * (BODY_BYTES + 1), 413, "body_too_large")
    yield Misuse("as much as may be", whole + b" " * (BODY_BYTES - len(whole)), 200, rows=ROWS)
    for value in ("-1", "0", "1000000", "x", "", "1, 2", str(2**70)):
        yield Misuse(f"binary header {value!r}", whole, 400, headers=f"Inference-Header-Content-Length: {value}\r\n")


def refused(name: str, column: str, data: list) -> Misuse:
    """A request whose column holds these values, which the server must refuse by the column's name."""
    return Misuse(name, questions.document(ROWS | {column: data}), 400, "invalid_input", column)


def answered(name: str, **changes: list) -> Misuse:
    """A request with these columns, which the server must answer."""
    rows = ROWS | changes
    return Misuse(name, questions.document(rows), 200, rows=rows)


def changed(column: str, **members: Any) -> bytes:
    """The body with other members in one tensor."""
    document = json.loads(questions.document(ROWS))
    return dump({"inputs": [one | members if one["name"] == column else one for one in document["inputs"]]})


def spelled(column: str, data: str) -> bytes:
    """The body with this text as the data of one tensor."""
    return changed(column, data="@").replace(b'"@"', data.encode())


def dump(document: object) -> bytes:
    """JSON."""
    return json.dumps(document).encode()
