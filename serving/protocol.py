"""Requests of the Open Inference Protocol v2: bodies into columns, from JSON and from binary tensors.

Source: the protocol's specification and its binary tensor data extension. A body with binary tensors is JSON, as long
as the header Inference-Header-Content-Length says, then the data of each tensor with a `binary_data_size`, in order.
"""

import re
from collections.abc import Mapping

import msgspec
import numpy as np
from msgspec import Struct

from contracts.bundle import Input
from serving import tensors
from serving.columns import ColumnError, Values
from serving.exchange import Problem

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
        shape, datatype = tensor.shape, tensor.datatype
        plain = len(shape) == 1 and column.width == 1 and datatype in TAKEN[column.dtype]
        if (  # what most are
            plain
            and data
            and shape[0] == rows == len(data)
            and type(data[0]) is not list
            and datatype not in WHOLE
            and tensor.parameters is None
        ):
            found[name] = data
            continue
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


def _names_nan(body: bytes) -> bool:
    return b"NaN" in body or b"Infinity" in body
