"""The request that a model expects, as types: one pass over the JSON decodes it and finds it right.

Expected is what most clients send: every input once, flat data of its type, or float32 behind the JSON. Whatever else
the protocol allows, and whatever it does not, `serving.protocol` reads, and says what is wrong with it.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, Literal

import msgspec
from msgspec import Struct, defstruct

from contracts.bundle import Bundle, Input, NumericProfile
from serving.columns import EXACT, Values, packed
from serving.protocol import FRACTIONAL, WHOLE, InferenceRequest

# In a row. Beyond it a request is large, whoever reads it, and types for it would take long to make.
VALUES = 512
WIDE = 8  # floats of one row that are best made one object while they are still in the processor's cache
FLOAT_BYTES = 4
Field = Any  # (name, type) or (name, type, default)
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
    read: Callable[[bytes, bytes], Mapping[str, Values]]
    body: bytes
    binary: bytes

    def again(self) -> Mapping[str, Values]:
        """The columns, as the general way reads them."""
        return self.read(self.body, self.binary)


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
        self._wide = [(place, struct.Struct(f"<{inputs[place].width}f").pack) for place in self._floats]
        self._wide = [(place, pack) for place, pack in self._wide if self._widths[place] >= WIDE]
        self._row: Form | None = None
        self._several: Form | None = None
        self._binary: Form | None = None
        if sum(self._widths) <= VALUES and not any(_holds_large_numbers(bundle, column) for column in inputs):
            self._row, self._several = Form(inputs, _one_row), Form(inputs, _any_rows)
            if len(self._floats) == len(inputs):
                self._binary = Form(inputs, _binary_rows)

    def decode(self, body: bytes) -> tuple[InferenceRequest, Sequence[Sequence], int] | None:
        """The request, its data by input and its number of rows; None where it is not as expected."""
        if self._row is None or (found := self._row.decode(body)) is None:
            return self._decode_rows(body)
        request, tensors = found
        values = [tensor.data for tensor in tensors]
        for place, pack in self._wide:
            try:
                values[place] = pack(*values[place])
            except OverflowError:  # beyond float32
                return None
            except struct.error:  # there is None among them
                pass
        return request, values, 1

    def decode_binary(self, text: bytes, binary: bytes) -> tuple[InferenceRequest, Sequence[bytes], int] | None:
        """As `decode`, where the data are float32 behind the JSON and nowhere else."""
        if self._binary is None or (found := self._binary.decode(text)) is None:
            return None
        request, tensors = found
        rows = tensors[0].shape[0]
        data, at = {}, 0
        for tensor in request.inputs:  # the data lie in the request's order
            size = tensor.parameters.binary_data_size
            data[type(tensor)] = binary[at : at + max(size, 0)]
            at += size
        values = [data[type(tensor)] for tensor in tensors]
        sizes = [rows * width * FLOAT_BYTES for width in self._widths]
        if any(tensor.shape[0] != rows for tensor in tensors) or [*map(len, values)] != sizes or at != len(binary):
            return None
        return (request, values, rows) if 0 < rows <= self._rows else None

    def _decode_rows(self, body: bytes) -> tuple[InferenceRequest, Sequence[Sequence], int] | None:
        if self._several is None or (found := self._several.decode(body)) is None:
            return None
        request, tensors = found
        rows = tensors[0].shape[0]
        if not 0 < rows <= self._rows or any(tensor.shape[0] != rows for tensor in tensors):
            return None
        values = [tensor.data for tensor in tensors]
        if any(len(data) != rows * width for data, width in zip(values, self._widths, strict=True)):
            return None
        for place in self._floats:
            values[place] = packed(values[place])
        return None if None in values else (request, values, rows)


class Form:
    """One form of a request: a type for each input, which msgspec knows by its name."""

    def __init__(self, inputs: Sequence[Input], fields: Callable[[Input], list[Field]]) -> None:
        self._kinds: list[Any] = [
            defstruct(f"Input{place}", fields(column), frozen=True, gc=False, tag_field="name", tag=column.name)
            for place, column in enumerate(inputs)
        ]
        tensor: Any = reduce(or_, self._kinds)
        self._decode = msgspec.json.Decoder(
            defstruct("ExpectedRequest", [("inputs", list[tensor])], bases=(InferenceRequest,), frozen=True, gc=False)
        ).decode

    def decode(self, body: bytes) -> tuple[Any, Sequence[Any]] | None:
        """The request, and its inputs in the model's order; None where it has another form."""
        try:
            request: Any = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        tensors = request.inputs
        if [*map(type, tensors)] == self._kinds:
            return request, tensors
        found = {type(tensor): tensor for tensor in tensors}
        if len(found) != len(self._kinds) or len(tensors) != len(self._kinds):
            return None
        return request, [found[kind] for kind in self._kinds]


def _one_row(column: Input) -> list[Field]:
    row: Any = (_value(column),) * column.width
    return [*_tensor(column, Literal[1], DATATYPES[column.dtype]), ("data", tuple[row]), NOTHING_BINARY]


def _any_rows(column: Input) -> list[Field]:
    value: Any = _value(column)
    return [*_tensor(column, int, DATATYPES[column.dtype]), ("data", list[value]), NOTHING_BINARY]


def _binary_rows(column: Input) -> list[Field]:
    return [*_tensor(column, int, Literal["FP32"]), ("parameters", Binary), ("data", None, None)]


def _tensor(column: Input, rows: Any, datatype: Any) -> list[Field]:
    width: Any = Literal[column.width]
    shape = tuple[rows] if column.width == 1 else tuple[rows, width]
    return [("datatype", datatype), ("shape", shape)]


def _value(column: Input) -> Any:
    return TYPES[column.dtype] | None if column.nullable else TYPES[column.dtype]


def _holds_large_numbers(bundle: Bundle, column: Input) -> bool:
    """Whether numbers are usual for which float32 has no place of their own: each of its requests were read twice."""
    profile = bundle.profile.inputs.get(column.name)
    if not isinstance(profile, NumericProfile) or column.dtype != "float32":
        return False
    return any(abs(edge) >= EXACT["float32"] for edge in profile.edges)
