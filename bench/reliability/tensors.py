"""Inference requests at random, in JSON and with binary tensors; sound ones, and ones with something wrong.

What a sound one must be answered is known. Of one with something wrong it is known that it is either refused, or, where
the change left a request that means something, answered right for what it means: `meaning` reads it once more, in as
few lines as possible and without the server's code.
"""

import json
import random
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from bench.reliability import questions
from bench.reliability.models import DATATYPES, OUTPUT, VECTOR

DTYPES = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
# How each column may be declared, for the values that `questions.rows` draws.
SPELLINGS = {
    "city": ("BYTES",),
    "load": ("FP32", "FP64"),
    "age": (*WHOLE, "FP16", "FP32", "FP64"),
    "member": ("BOOL", *WHOLE),
    "signal": ("FP32", "FP64"),
}
HEADER = "inference-header-content-length"
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e308,
    3.5e38, 1e-320, "", "x", "1", "NaN", "\u0000", "\ud83d\ude00", "\ud83d", [], [1], [[]], {}, {"a": 1},
)  # fmt: skip


class Probe(Struct, frozen=True):
    """A body with its extra headers; `sound` ones must be answered with the answer for `rows`."""

    body: bytes
    headers: str
    sound: bool
    rows: Mapping[str, list] | None
    path: str = questions.PATH

    @property
    def request(self) -> bytes:
        """The whole HTTP request."""
        return questions.request(self.body, self.headers, self.path)


def sound_json(draw: random.Random, size: int | None = None) -> Probe:
    """Rows as JSON, spelled in one of the ways that JSON and the protocol leave open."""
    rows = questions.rows(draw, draw.choice((0, 1, 1, 1, 2, 3, 7)) if size is None else size)
    document: dict[str, Any] = {
        "inputs": [tensor(draw, name, data) for name, data in draw.sample(list(rows.items()), len(rows))]
    }
    if draw.random() < 0.3:
        document["id"] = draw.choice(("a", "7", "é", "x" * 100))
    if draw.random() < 0.2:
        document["parameters"] = {"anything": [1, {"a": None}]}
    if draw.random() < 0.2:
        document["outputs"] = [{"name": OUTPUT}]
    return Probe(spelled(draw, document), "", True, rows)


def tensor(draw: random.Random, name: str, data: list) -> dict[str, Any]:
    """One tensor in JSON."""
    datatype, shape = draw.choice(SPELLINGS[name]), questions.shape(name, data)
    values: list = questions.flat(data)
    if datatype in WHOLE and name == "member":
        values = [int(value) for value in values]
    if len(shape) == 2 and draw.random() < 0.5:
        values = [values[start : start + VECTOR] for start in range(0, len(values), VECTOR)]
    elif len(shape) == 1 and draw.random() < 0.3:
        shape = [*shape, 1]
        values = [[value] for value in values] if draw.random() < 0.5 else values
    return {"name": name, "datatype": datatype, "shape": shape, "data": values}


def spelled(draw: random.Random, document: object) -> bytes:
    """JSON in one of its spellings."""
    separators = draw.choice(((",", ":"), (", ", ": "), ("\n,\t", " :\r\n ")))
    text = json.dumps(document, ensure_ascii=draw.random() < 0.5, separators=separators)
    return f" \n{text}\r\n\t ".encode() if draw.random() < 0.1 else text.encode()


def sound_binary(draw: random.Random, size: int | None = None) -> Probe:
    """Rows with some or all tensors binary."""
    rows = questions.rows(draw, draw.choice((0, 1, 1, 2, 5)) if size is None else size)
    inputs, blobs = [], []
    for name, data in draw.sample(list(rows.items()), len(rows)):
        if draw.random() < 0.2:
            inputs.append(tensor(draw, name, data))
            continue
        datatype = draw.choice(SPELLINGS[name])
        blob = binary(datatype, questions.flat(data))
        blobs.append(blob)
        part = {"name": name, "datatype": datatype, "shape": questions.shape(name, data)}
        inputs.append({**part, "parameters": {"binary_data_size": len(blob)}})
    document: dict[str, Any] = {"inputs": inputs}
    if draw.random() < 0.5:
        document["outputs"] = [{"name": OUTPUT, "parameters": {"binary_data": False}}]
    head = spelled(draw, document)
    return Probe(head + b"".join(blobs), f"{HEADER}: {len(head)}\r\n", True, rows)


def binary(datatype: str, values: list) -> bytes:
    """A tensor's bytes; a missing number is NaN, a missing string empty."""
    if datatype == "BYTES":
        texts = [(value or "").encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    numbers = [float("nan") if value is None else value for value in values]
    return np.array(numbers, DTYPES[datatype]).tobytes()


def broken_json(draw: random.Random) -> Probe:
    """A sound document with one to three changes somewhere in it."""
    document = json.loads(sound_json(draw).body)
    for _ in range(draw.randint(1, 3)):
        document = changed(draw, document)
    body = json.dumps(document, allow_nan=True).encode()
    if draw.random() < 0.2:
        body = scratched(draw, body)
    return Probe(body, "", False, None)


def changed(draw: random.Random, document: Any) -> Any:
    """The document with one place of it changed."""
    if isinstance(document, dict) and document and draw.random() < 0.85:
        key = draw.choice(list(document))
        match draw.randrange(8):
            case 0:
                return {name: value for name, value in document.items() if name != key}
            case 1:
                return {(f"{name} " if name == key else name): value for name, value in document.items()}
            case _:
                return document | {key: changed(draw, document[key])}
    if isinstance(document, list) and document and draw.random() < 0.85:
        place = draw.randrange(len(document))
        match draw.randrange(8):
            case 0:
                return document[:place] + document[place + 1 :]
            case 1:
                return document[:place] + document[place:][:1] * 2 + document[place + 1 :]
            case 2:
                return document[::-1]
            case _:
                return [*document[:place], changed(draw, document[place]), *document[place + 1 :]]
    if draw.random() < 0.05:
        return draw.choice((float("nan"), float("inf"), float("-inf")))
    if draw.random() < 0.2:
        return draw.choice((*DTYPES, *DATATYPES, "BYTES", "FP128", "datatype"))
    return draw.choice(ODD)


def broken_binary(draw: random.Random) -> Probe:
    """Binary tensors whose lengths, header or bytes are changed."""
    probe = sound_binary(draw)
    length = int(probe.headers.split(":")[1])
    head, tail = probe.body[:length], probe.body[length:]
    kind = draw.randrange(6)
    if kind == 0:
        length += draw.choice((-length - 1, -1, 1, -7, 1000, 2**31, 2**63, 10**20))
    elif kind == 1:
        tail = tail[: draw.randrange(len(tail) + 1)]
    elif kind == 2:
        tail += draw.randbytes(draw.randint(1, 9))
    elif kind == 3:
        tail = scratched(draw, tail)
    elif kind == 4:
        document = json.loads(head)
        for one in document["inputs"]:
            if "parameters" in one and draw.random() < 0.5:
                one["parameters"]["binary_data_size"] = draw.choice((-1, 0, 1, 3, 2**31, 2**63, "4", None, 4.0, True))
            elif draw.random() < 0.3:
                one["shape"] = draw.choice(([2**40], [-1], [0], [1, 2**62], [2**32, 2**32], [1.5], [], [[1]], [10**30]))
        head = json.dumps(document).encode()
        length = len(head)
    else:
        head = scratched(draw, head)
    value = draw.choice(
        (f"{length}", f"{length}", f"{length}", f" {length} ", f"+{length}", f"0x{length:x}", "", "a", "1, 1")
    )
    return Probe(head + tail, f"{HEADER}: {value}\r\n", False, None)


def scratched(draw: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, gone, doubled or new."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(5):
            case 0:
                changed[place:place] = draw.randbytes(draw.randint(1, 4))
            case 1:
                del changed[place : place + draw.randint(1, 6)]
            case 2 if place < len(changed):
                changed[place] ^= 1 << draw.randrange(8)
            case 3:
                changed[place:place] = changed[place : place + draw.randint(1, 20)]
            case _:
                changed[place : place + 1] = draw.choice((b"\0", b"\xff", b"\r\n", b"\n", b"{", b'"', b"9" * 20, b" "))
    return bytes(changed)


def meaning(probe: Probe) -> Mapping[str, list] | None:
    """The rows that a body means, None when it means none; taken generously, since this is asked of answered ones."""
    try:
        if probe.headers:
            length = int(probe.headers.split(":")[1])
            text, blobs = probe.body[:length], probe.body[length:]
        else:
            text, blobs = probe.body, b""
        # Of members that nobody reads, the server does not look whether they are UTF-8.
        document = json.loads(text.decode(errors="replace"))
        rows: dict[str, list] = {}
        for one in document["inputs"]:
            size = (one.get("parameters") or {}).get("binary_data_size") if probe.headers else None
            if size is None:
                values = (
                    questions.flat(one["data"]) if one["data"] and isinstance(one["data"][0], list) else one["data"]
                )
            else:
                values, blobs = unpacked(one["datatype"], blobs[:size]), blobs[size:]
            rows[one["name"]] = values
        if "signal" in rows:
            rows["signal"] = [rows["signal"][start : start + VECTOR] for start in range(0, len(rows["signal"]), VECTOR)]
        exact = rows.keys() == DATATYPES.keys() and len({len(values) for values in rows.values()}) == 1
        return rows if exact and not blobs else None
    except (ValueError, TypeError, KeyError, AttributeError, struct.error):
        return None


def unpacked(datatype: str, blob: bytes) -> list:
    """The values of a binary tensor."""
    if datatype != "BYTES":
        return [None if value != value else value for value in np.frombuffer(blob, DTYPES[datatype]).tolist()]
    values = []
    while blob:
        (length,) = struct.unpack_from("<I", blob)
        values.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    return values
