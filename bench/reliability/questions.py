"""Questions whose answers are known: rows drawn at random, right by onnxruntime for every bundle that may answer."""

import json
import random
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from bench.load import Question
from bench.reliability import models
from bench.reliability.models import DATATYPES, NAME, OUTPUT, VECTOR, Oracle
from contracts.bundle import Bundle

PATH = f"/v2/models/{NAME}/infer"
DIGEST = b"\r\nx-bundle-digest:"
TOLERANCE = 1e-4
FLOATS = tuple(float(np.float32(value)) for value in (0.0, -1.5, 20.25, 1e-3, 31.0, -20.0, 1e6))


def rows(random: random.Random, count: int) -> dict[str, list]:
    """Raw columns, missing values and new categories among them."""
    cities = [*models.CITIES, "elsewhere", None, "", "\U0001f600", "a" * 40]
    return {
        "city": [random.choice(cities) for _ in range(count)],
        "load": [random.choice((None, *FLOATS)) for _ in range(count)],
        "age": [random.randrange(100) for _ in range(count)],
        "member": [random.random() < 0.5 for _ in range(count)],
        "signal": [[random.choice(FLOATS) for _ in range(VECTOR)] for _ in range(count)],
    }


def document(columns: Mapping[str, list], request_id: str = "") -> bytes:
    """The body of an inference request in JSON."""
    inputs = [
        {"name": name, "datatype": DATATYPES[name], "shape": shape(name, data), "data": flat(data)}
        for name, data in columns.items()
    ]
    return json.dumps({**({"id": request_id} if request_id else {}), "inputs": inputs}, ensure_ascii=False).encode()


def shape(name: str, data: Sequence) -> list[int]:
    """The shape of a column's tensor."""
    return [len(data), VECTOR] if name == "signal" else [len(data)]


def flat(data: Sequence) -> list:
    """A column's values in row-major order."""
    return [value for row in data for value in row] if data and isinstance(data[0], list) else list(data)


def request(body: bytes, headers: str = "", path: str = PATH) -> bytes:
    """A whole HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def pool(bundles: Sequence[Bundle], count: int = 400, size: int = 1, seed: int = 1) -> list[Question]:
    """So many questions of `size` rows, each with an id of its own, that any of these bundles may answer."""
    draw = random.Random(seed)
    oracles = {bundle.digest: Oracle(bundle.model) for bundle in bundles}
    questions = []
    for number in range(count):
        columns = rows(draw, size)
        name = f"question-{number}"
        expected = {digest: oracle(columns) for digest, oracle in oracles.items()}
        body = document(columns, name)
        questions.append(Question(request(body), judge(name, expected)))
    return questions


def judge(name: str, expected: Mapping[str, np.ndarray]) -> Callable[[bytes, bytes], str]:
    """Says why an answer is wrong: to another question, of no digest or two, or another prediction than its digest's.

    What was found right once is right again, byte for byte, so that looking into answers does not slow the load down.
    """
    right: dict[bytes, bytes] = {}

    def look(head: bytes, body: bytes) -> str:
        start = head.find(DIGEST) + len(DIGEST)
        digest = head[start : head.find(b"\r\n", start)].strip()
        if head.count(DIGEST) != 1:
            return f"{head.count(DIGEST)} digests"
        if right.get(body) == digest:
            return ""
        reason = difference(body, name, digest.decode(), expected)
        if not reason:
            right[body] = digest
        return reason

    return look


def difference(body: bytes, name: str, digest: str, expected: Mapping[str, np.ndarray]) -> str:
    """Why this body is not the answer, or ""."""
    if digest not in expected:
        return "an unknown digest"
    try:
        answer = msgspec.json.decode(body)
        (output,) = answer["outputs"]
        found = np.asarray(output["data"], np.float64)
        if answer["id"] != name:
            return "the answer to another question"
        if answer["parameters"]["bundle_digest"] != digest:
            return "two digests: one in the head, one in the body"
        if output["name"] != OUTPUT or output["shape"] != list(expected[digest].shape):
            return "another shape"
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        return f"no answer of the protocol: {type(error).__name__}"
    if not np.allclose(found, expected[digest], atol=TOLERANCE, rtol=TOLERANCE):
        return "another prediction"
    return ""
