"""The request that a model expects, as types: one pass over the JSON decodes it and finds it right.

Expected is what most clients send: every input in the model's order, flat data of its type, nothing binary. Whatever
else the protocol allows, and whatever it does not, `serving.protocol` reads, and says what is wrong with it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, defstruct

from contracts.bundle import Bundle, Input, NumericProfile
from serving.columns import EXACT, Values, packed
from serving.protocol import FRACTIONAL, WHOLE, InferenceRequest

# In a row. Beyond it a request is large, whoever reads it, and types for it would take long to make.
VALUES = 512
FLOAT_BYTES = 4
Decode = Callable[[bytes], Any]
Field = Any  # (name, type) or (name, type, default)
UNEXPECTED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
DATATYPES = {
    "string": Literal["BYTES"],
    "bool": Literal["BOOL"],
    "int64": Literal[tuple(sorted(WHOLE))],
    "float32": Literal[tuple(sorted(FRACTIONAL))],
}
TYPES: dict[str, Any] = {"string": str, "bool": bool, "int64": int, "float32": float}


class Typed(Struct, frozen=True, gc=False):
    """The data of an expected request: of each input, in the model's order, rows × width values of its type.

    Many floats may be float32 already, as bytes. A whole number may have become a float on its way: where that could
    have lost something, `again` reads the request anew.
    """

    values: Sequence[Sequence]
    rows: int
    again: Callable[[], Mapping[str, Values]]


class NoBinary(Struct, frozen=True, gc=False):
    """Parameters of an input; none of those that the server takes changes what is expected."""

    binary_data_size: None = None


class Binary(Struct, frozen=True, gc=False):
    """Parameters of an input whose data are binary."""

    binary_data_size: int


NOTHING_BINARY: Field = ("parameters", NoBinary | None, None)


class Expected:
    """Decodes the requests of one model."""

    def __init__(self, bundle: Bundle, maximum_rows: int) -> None:
        inputs = bundle.manifest.inputs
        self._rows = maximum_rows
        self._widths = [column.width for column in inputs]
        self._floats = [place for place, column in enumerate(inputs) if column.dtype == "float32"]
        self._row: Decode = _never
        self._several: Decode = _never
        self._binary: Decode = _never
        if sum(self._widths) <= VALUES and not any(_holds_large_numbers(bundle, column) for column in inputs):
            self._row, self._several = _decoder(inputs, _one_row), _decoder(inputs, _rows)
            if len(self._floats) == len(inputs):
                self._binary = _decoder(inputs, _binary_rows)

    def decode(self, body: bytes) -> tuple[InferenceRequest, Sequence[Sequence], int] | None:
        """The request, its data by input and its number of rows; None where it is not as expected."""
        try:
            request = self._row(body)
        except UNEXPECTED:
            return self._decode_rows(body)
        return request, [tensor.data for tensor in request.inputs], 1

    def decode_binary(self, text: bytes, binary: bytes) -> tuple[InferenceRequest, Sequence[bytes], int] | None:
        """As `decode`, where the data are float32 behind the JSON and nowhere else."""
        try:
            request = self._binary(text)
        except UNEXPECTED:
            return None
        rows = request.inputs[0].shape[0]
        values, at = [], 0
        for tensor, width in zip(request.inputs, self._widths, strict=True):
            size = tensor.parameters.binary_data_size
            if tensor.shape[0] != rows or size != rows * width * FLOAT_BYTES:
                return None
            values.append(binary[at : at + size])
            at += size
        return (request, values, rows) if 0 < rows <= self._rows and at == len(binary) else None

    def _decode_rows(self, body: bytes) -> tuple[InferenceRequest, Sequence[Sequence], int] | None:
        try:
            request = self._several(body)
        except UNEXPECTED:
            return None
        rows = request.inputs[0].shape[0]
        if not 0 < rows <= self._rows or any(tensor.shape[0] != rows for tensor in request.inputs):
            return None
        values = [tensor.data for tensor in request.inputs]
        if any(len(data) != rows * width for data, width in zip(values, self._widths, strict=True)):
            return None
        for place in self._floats:
            values[place] = packed(values[place])
        return None if None in values else (request, values, rows)


def _decoder(inputs: Sequence[Input], fields: Callable[[Input], list[Field]]) -> Decode:
    """For requests whose inputs are these, in this order, each with these fields."""
    tensors: Any = tuple(
        defstruct(f"Input{place}", fields(column), frozen=True, gc=False) for place, column in enumerate(inputs)
    )
    return msgspec.json.Decoder(
        defstruct("ExpectedRequest", [("inputs", tuple[tensors])], bases=(InferenceRequest,), frozen=True, gc=False)
    ).decode


def _one_row(column: Input) -> list[Field]:
    row: Any = (_value(column),) * column.width
    return [*_tensor(column, Literal[1], DATATYPES[column.dtype]), ("data", tuple[row]), NOTHING_BINARY]


def _rows(column: Input) -> list[Field]:
    value: Any = _value(column)
    return [*_tensor(column, int, DATATYPES[column.dtype]), ("data", list[value]), NOTHING_BINARY]


def _binary_rows(column: Input) -> list[Field]:
    return [*_tensor(column, int, Literal["FP32"]), ("parameters", Binary), ("data", None, None)]


def _tensor(column: Input, rows: Any, datatype: Any) -> list[Field]:
    width: Any = Literal[column.width]
    shape = tuple[rows] if column.width == 1 else tuple[rows, width]
    return [("name", Literal[column.name]), ("datatype", datatype), ("shape", shape)]


def _value(column: Input) -> Any:
    return TYPES[column.dtype] | None if column.nullable else TYPES[column.dtype]


def _never(body: bytes) -> Any:
    raise msgspec.ValidationError


def _holds_large_numbers(bundle: Bundle, column: Input) -> bool:
    """Whether numbers are usual for which float32 has no place of their own: each of its requests were read twice."""
    profile = bundle.profile.inputs.get(column.name)
    if not isinstance(profile, NumericProfile) or column.dtype != "float32":
        return False
    return any(abs(edge) >= EXACT["float32"] for edge in profile.edges)
