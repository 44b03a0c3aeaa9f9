"""The Open Inference Protocol v2 over REST: bodies into columns, predictions into bodies, as JSON or binary tensors.

Source: the protocol's specification and its binary tensor data extension. A body with binary tensors is JSON, as long
as the header Inference-Header-Content-Length says, then the data of each tensor with a `binary_data_size`, in order.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from contracts.bundle import Input, Manifest
from serving import tensors
from serving.application import Answer
from serving.columns import ColumnError, Values
from serving.exchange import Problem

PLATFORM = "onnx_onnxv1"
EXTENSIONS = ("binary_tensor_data",)
DATATYPE = {"string": "BYTES", "bool": "BOOL", "int64": "INT64", "float32": "FP32"}
WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FRACTIONAL = frozenset({"FP16", "FP32", "FP64"})
# What a client may declare for a column; whether each value fits is then looked at value by value.
TAKEN = {
    "string": frozenset({"BYTES"}),
    "bool": frozenset({"BOOL"}) | WHOLE,
    "int64": WHOLE | FRACTIONAL,
    "float32": WHOLE | FRACTIONAL,
}
SPEAKABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # what may be a column's name, and no number of a card
HEADER_LENGTH = b"inference-header-content-length"
BINARY = b"application/octet-stream"


class TensorParameters(Struct, frozen=True, gc=False):
    """Of these, the server reads one; all others are taken and change nothing."""

    binary_data_size: int | None = None


class InputTensor(Struct, frozen=True, gc=False):
    """One column of a request. `data` is flat, or nested as the shape says."""

    name: str
    datatype: str
    shape: list[int]
    data: list | None = None
    parameters: TensorParameters | None = None


class OutputParameters(Struct, frozen=True, gc=False):
    """How the client wants an output."""

    binary_data: bool | None = None


class OutputChoice(Struct, frozen=True, gc=False):
    """An output that the client wants."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(Struct, frozen=True, gc=False):
    """How the client wants outputs about which it says nothing else."""

    binary_data_output: bool = False


class InferenceRequest(Struct, frozen=True, gc=False):
    """The JSON of a request."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[OutputChoice] | None = None
    parameters: RequestParameters | None = None


_decoder = msgspec.json.Decoder(InferenceRequest)


def decode(body: bytes) -> InferenceRequest:
    """The request in a body; raises Problem naming the place in the JSON where it is not one."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        raise Problem(
            400,
            "invalid_request",
            f"{reason}; send an inference request of the Open Inference Protocol v2",
            field=place.strip(".`"),
        ) from None
    except UnicodeDecodeError:
        raise Problem(400, "malformed_json", "the body is not UTF-8; send JSON") from None
    except msgspec.DecodeError as error:
        hint = "NaN and Infinity are not JSON: send null for a missing number" if _names_nan(body) else "send JSON"
        raise Problem(400, "malformed_json", f"{error}; {hint}") from None
    except RecursionError:
        raise Problem(400, "malformed_json", "the body is nested too deeply; a tensor has two levels at most") from None


def split(body: bytes, length: bytes) -> tuple[bytes, bytes]:
    """JSON and binary data of a body, of which `length` bytes are JSON; raises Problem."""
    if not length.isdigit() or len(length) > 9 or int(length) > len(body):
        detail = "is not the length of the JSON in the body"
        raise Problem(400, "invalid_request", detail, field="Inference-Header-Content-Length")
    return body[: int(length)], body[int(length) :]


def columns(
    request: InferenceRequest, inputs: Mapping[str, Input], maximum_rows: int, binary: bytes = b""
) -> tuple[dict[str, Values], int]:
    """The data of each input by column name, and their number of rows; raises ColumnError or Problem naming the input.

    Data is a flat list, or an array [rows] or [rows, width] where it came as binary. `inputs` are the model's by name.
    Whether a value fits its column is the model's to say.
    """
    found: dict[str, Values] = {}
    rows, at = -1, 0
    for tensor in request.inputs:
        name, data = tensor.name, tensor.data
        column = inputs.get(name)
        if column is None:
            name = name if SPEAKABLE.fullmatch(name) else "an input"
            raise ColumnError(name, "is not an input of this model", f"send {', '.join(inputs)}")
        if name in found:
            raise ColumnError(name, "is there twice", "send every input once")
        shape = tensor.shape
        plain = len(shape) == 1 and column.width == 1 and tensor.datatype in TAKEN[column.dtype]
        told = shape[0] if plain else _rows(tensor, column)
        if rows < 0:
            rows = told
            if not 0 <= rows <= maximum_rows:
                raise Problem(413, "too_many_rows", f"send 0 to {maximum_rows} rows in a request", field=name)
        elif told != rows:
            reason = f"has {told} rows where {request.inputs[0].name} has {rows}"
            raise ColumnError(name, reason, "send as many rows in every column")
        size = tensor.parameters.binary_data_size if tensor.parameters is not None else None
        if size is not None:
            found[name] = _binary(tensor, binary[at : at + max(size, 0)], rows, column.width)
            at += size
        elif data and type(data[0]) is not list and len(data) == rows * column.width and tensor.datatype not in WHOLE:
            found[name] = data
        else:
            found[name] = _listed(tensor, rows, column.width)
    if at != len(binary):
        raise Problem(400, "invalid_request", "the body holds binary data that belongs to no input", field="inputs")
    return found, max(rows, 0)


def _rows(tensor: InputTensor, column: Input) -> int:
    """The number of rows that a tensor's shape says; raises ColumnError where it does not fit."""
    shape, width = tensor.shape, column.width
    if tensor.datatype not in TAKEN[column.dtype]:
        raise ColumnError(tensor.name, "has a datatype that does not fit", f"send it as {DATATYPE[column.dtype]}")
    if width > 1:
        if len(shape) != 2 or shape[1] != width:
            raise ColumnError(tensor.name, f"has a shape that is not [rows, {width}]", f"send {width} numbers per row")
    elif len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise ColumnError(tensor.name, "has a shape that is not [rows] or [rows, 1]", "send one value per row")
    return shape[0]


def _binary(tensor: InputTensor, data: bytes, rows: int, width: int) -> np.ndarray:
    """The data of a tensor that came as binary."""
    if tensor.data is not None:
        raise ColumnError(tensor.name, "has data as JSON and as binary", "send either")
    assert tensor.parameters is not None
    if len(data) != tensor.parameters.binary_data_size:
        raise ColumnError(tensor.name, "has a binary_data_size that the body does not hold", "send all its data")
    array = tensors.read(tensor.name, tensor.datatype, data, rows * width)
    return array if width == 1 else array.reshape(rows, width)


def _listed(tensor: InputTensor, rows: int, width: int) -> list:
    """The flat data of a tensor that came as JSON."""
    name, data = tensor.name, tensor.data
    if data is None:
        raise ColumnError(name, "has no data", "send data as JSON, or as binary with a binary_data_size")
    if data and type(data[0]) is list:
        wide = len(tensor.shape) == 2
        if not wide or any(type(row) is not list or len(row) != width for row in data):
            raise ColumnError(name, "is not nested as its shape says", f"send {width} value(s) per row")
        data = [value for row in data for value in row]
    if len(data) != rows * width:
        reason = f"holds {len(data)} values where its shape says {rows * width}"
        raise ColumnError(name, reason, "make them equal")
    if tensor.datatype in WHOLE and float in set(map(type, data)):
        raise ColumnError(name, "holds a fractional number, declared as whole", "declare it as FP64")
    return data


class Replies:
    """Writes answers of one model."""

    def __init__(self, manifest: Manifest, version: str, digest: str) -> None:
        self._known = [output.name for output in manifest.outputs]
        self._every = tuple((name, False) for name in self._known)
        quoted = msgspec.json.encode
        self._head = b'{"model_name":%s,"model_version":%s,"id":' % (quoted(manifest.name), quoted(version))
        self._middle = b',"parameters":%s,"outputs":[' % quoted({"bundle_digest": digest})
        self._tensors = {
            output.name: (
                b'{"name":%s,"datatype":"FP32","shape":[' % quoted(output.name).replace(b"%", b"%%") + b"%d",
                b"]" if output.width == 1 else b",%d]" % output.width,
            )
            for output in manifest.outputs
        }

    def chosen(self, request: InferenceRequest) -> tuple[tuple[str, bool], ...]:
        """The outputs to answer with and whether as binary: all where the client has no wish.

        Raises Problem for an unknown one.
        """
        binary = request.parameters is not None and request.parameters.binary_data_output
        if not request.outputs:
            return tuple((name, True) for name in self._known) if binary else self._every
        names = [output.name for output in request.outputs]
        for position, name in enumerate(names):
            if name not in self._known:
                place, known = f"outputs[{position}].name", ", ".join(self._known)
                raise Problem(400, "invalid_request", f"is no output of this model; it has {known}", field=place)
        if len(set(names)) < len(names):
            raise Problem(400, "invalid_request", "names an output twice; ask for each once", field="outputs")
        wishes = (output.parameters.binary_data if output.parameters else None for output in request.outputs)
        return tuple((name, binary if wish is None else wish) for name, wish in zip(names, wishes, strict=True))

    def encode(
        self,
        answers: Mapping[str, np.ndarray],
        chosen: tuple[tuple[str, bool], ...],
        id: str,  # noqa: A002
    ) -> bytes | Answer:
        """The body of an answer; its JSON first and the binary tensors behind it, where any is wanted so."""
        if len(chosen) == 1 and not chosen[0][1]:
            return self._encode_one(answers[chosen[0][0]], chosen[0][0], id)
        parts: list[bytes] = []
        data: list[bytes] = []
        for name, binary in chosen:
            answer = answers[name]
            head, shape = self._tensors[name]
            if binary:
                raw = answer.astype("<f4", copy=False).tobytes()
                data.append(raw)
                parts.append(head % len(answer) + shape + b',"parameters":{"binary_data_size":%d}}' % len(raw))
            else:
                values = msgspec.json.encode(answer.ravel().tolist())
                parts.append(head % len(answer) + shape + b',"data":' + values + b"}")
        text = b"".join((self._head, msgspec.json.encode(id), self._middle, b",".join(parts), b"]}"))
        if not data:
            return text
        return Answer(b"".join((text, *data)), BINARY, ((HEADER_LENGTH, b"%d" % len(text)),))

    def _encode_one(self, answer: np.ndarray, name: str, id: str) -> bytes:  # noqa: A002
        """What most answers are: one output, as JSON."""
        encode = msgspec.json.encode
        head, shape = self._tensors[name]
        values = encode(answer.ravel().tolist())
        tensor = head % len(answer)
        return b'%s%s%s%s%s,"data":%s}]}' % (self._head, encode(id), self._middle, tensor, shape, values)


def metadata(manifest: Manifest, version: str, digest: str) -> bytes:
    """The model's metadata: its tensors, and as parameters what a client needs to read the outputs."""
    parameters: dict[str, Any] = {"bundle_digest": digest, "task": manifest.task, "target": manifest.target}
    if manifest.classes:
        parameters["classes"] = manifest.classes
    if manifest.decision_threshold is not None:
        parameters["decision_threshold"] = manifest.decision_threshold
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPE[column.dtype],
            "shape": [-1] if column.width == 1 else [-1, column.width],
            "parameters": {"nullable": column.nullable, "source": column.source, "description": column.description},
        }
        for column in manifest.inputs
    ]
    outputs = [
        {"name": output.name, "datatype": "FP32", "shape": [-1] if output.width == 1 else [-1, output.width]}
        for output in manifest.outputs
    ]
    return msgspec.json.encode(
        {
            "name": manifest.name,
            "versions": [version],
            "platform": PLATFORM,
            "inputs": inputs,
            "outputs": outputs,
            "parameters": parameters,
        }
    )


def _names_nan(body: bytes) -> bool:
    return b"NaN" in body or b"Infinity" in body
