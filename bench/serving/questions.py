"""What the servers are asked, in each dialect, and whether an answer is right."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from msgspec import Struct

from contracts import bundle
from contracts.bundle import Bundle, Input

DATATYPE = {"string": "BYTES", "bool": "BOOL", "int64": "INT64", "float32": "FP32"}
NUMPY = {"string": object, "bool": np.bool_, "int64": np.int64, "float32": np.float32}
STAND_IN = {"string": "", "float32": 0.0}  # for a missing value: not every peer can be sent one
TOLERANCE = 1e-4
ROWS = (1, 32)


class Question(Struct, frozen=True):
    """One request, and the outputs that onnxruntime itself gives for its rows, flat."""

    path: str
    body: bytes
    headers: dict[str, str]
    expected: dict[str, list[float]]

    def bytes(self, port: int, headers: Mapping[str, str] | None = None) -> bytes:
        """The request as it goes over the wire."""
        lines = {"Host": f"127.0.0.1:{port}", **self.headers, **(headers or {}), "Content-Length": len(self.body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


class Model(Struct, frozen=True):
    """A bundle that is served, and the questions about it by dialect and rows."""

    bundle: Bundle
    questions: dict[tuple[str, int], Question]

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def onnx(self) -> Path:
        return self.bundle.path / "model.onnx"


def model(folder: Path, rows: Mapping[str, Sequence[Any]] | None = None) -> Model:
    """The bundle in `folder`, asked about `rows` (raw columns) or about its golden rows, again and again to 32."""
    served = bundle.load(folder)
    columns = {
        column.name: _filled(column, (rows or served.golden.inputs)[column.name]) for column in served.manifest.inputs
    }
    session = ort.InferenceSession(served.model, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in served.manifest.outputs]
    questions = {}
    for count in ROWS:
        part = {name: values[:count] for name, values in columns.items()}
        feeds = {column.name: np.array(part[column.name], NUMPY[column.dtype]) for column in served.manifest.inputs}
        answers = session.run(outputs, feeds)
        expected = {name: answer.ravel().tolist() for name, answer in zip(outputs, answers, strict=True)}
        questions["json", count] = _json(served, part, count, expected)
        questions["mlflow", count] = _mlflow(part, expected)
        if all(column.dtype != "string" for column in served.manifest.inputs):
            questions["binary", count] = _binary(served, feeds, count, expected)
    return Model(served, questions)


def wrong(question: Question, status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Why an answer is not the right one; empty when it is. Header names are lower case."""
    if status != 200:
        return f"status {status}: {' '.join(body.decode(errors='replace').split())[:120]}"
    try:
        got = _outputs(headers, body)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError) as error:
        return f"the answer is none: {type(error).__name__} {error}"
    for name, values in question.expected.items():
        if len(got.get(name, ())) != len(values):
            return f"{name} has {len(got.get(name, ()))} values, not {len(values)}"
        off = max(abs(value - known) for value, known in zip(got[name], values, strict=True))
        if not off <= TOLERANCE:
            return f"{name} is off by {off:.3g}"
    return ""


def _filled(column: Input, values: Sequence[Any]) -> list[Any]:
    known = [STAND_IN[column.dtype] if value is None else value for value in values]
    return (known * math.ceil(max(ROWS) / len(known)))[: max(ROWS)]


def _json(served: Bundle, columns: Mapping[str, list], rows: int, expected: dict[str, list[float]]) -> Question:
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPE[column.dtype],
            "shape": _shape(column, rows),
            "data": _flat(columns[column.name]),
        }
        for column in served.manifest.inputs
    ]
    body = msgspec.json.encode({"id": "1", "inputs": inputs})
    return Question(_path(served), body, {"Content-Type": "application/json"}, expected)


def _binary(served: Bundle, feeds: Mapping[str, np.ndarray], rows: int, expected: dict[str, list[float]]) -> Question:
    """The binary tensor extension: a JSON head, then the tensors' bytes; outputs are asked for in binary, too."""
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPE[column.dtype],
            "shape": _shape(column, rows),
            "parameters": {"binary_data_size": feeds[column.name].nbytes},
        }
        for column in served.manifest.inputs
    ]
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in expected]
    head = msgspec.json.encode({"id": "1", "inputs": inputs, "outputs": outputs})
    body = head + b"".join(feeds[column.name].tobytes() for column in served.manifest.inputs)
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Question(_path(served), body, headers, expected)


def _mlflow(columns: Mapping[str, list], expected: dict[str, list[float]]) -> Question:
    body = msgspec.json.encode({"inputs": columns})
    return Question("/invocations", body, {"Content-Type": "application/json"}, expected)


def _outputs(headers: Mapping[str, str], body: bytes) -> dict[str, list[float]]:
    length = headers.get("inference-header-content-length")
    head = msgspec.json.decode(body[: int(length)] if length else body)
    if "predictions" in head:  # MLflow's
        predictions = head["predictions"]
        return {name: _flat(values) for name, values in predictions.items()}
    found, place = {}, int(length or 0)
    for output in head["outputs"]:
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = _flat(output["data"])
        else:
            found[output["name"]] = np.frombuffer(body[place : place + size], np.float32).tolist()
            place += size
    return found


def _path(served: Bundle) -> str:
    return f"/v2/models/{served.manifest.name}/infer"


def _shape(column: Input, rows: int) -> list[int]:
    return [rows] if column.width == 1 else [rows, column.width]


def _flat(values: Sequence[Any]) -> list[Any]:
    return [value for row in values for value in (_flat(row) if isinstance(row, list) else [row])]
