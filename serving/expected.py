"""The request that a model expects, as types: one pass over the JSON decodes it and finds it right.

Expected is what most clients send: every input in the model's order, flat data of its type, nothing binary. Whatever
else the protocol allows, and whatever it does not, `serving.protocol` reads, and says what is wrong with it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, defstruct

from contracts.bundle import Bundle, Input, NumericProfile
from serving.columns import EXACT
from serving.protocol import FRACTIONAL, WHOLE, InferenceRequest

# In a row. Beyond it a request is large, whoever reads it, and types for it would take long to make.
VALUES = 512
UNEXPECTED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
DATATYPES = {
    "string": Literal["BYTES"],
    "bool": Literal["BOOL"],
    "int64": Literal[tuple(sorted(WHOLE))],
    "float32": Literal[tuple(sorted(FRACTIONAL))],
}
TYPES: dict[str, type] = {"string": str, "bool": bool, "int64": int, "float32": float}


class Typed(Struct, frozen=True, gc=False):
    """The data of an expected request: of each input, in the model's order, rows × width values of its type.

    A whole number may have become a float on its way. Where that could have lost something, `again` reads it anew.
    """

    values: Sequence[Sequence]
    rows: int
    again: Callable[[], dict]


class NoBinary(Struct, frozen=True, gc=False):
    """Parameters of an input; none of those that the server takes changes what is expected."""

    binary_data_size: None = None


class Expected:
    """Decodes the requests of one model."""

    def __init__(self, bundle: Bundle, maximum_rows: int) -> None:
        inputs = bundle.manifest.inputs
        self._rows = maximum_rows
        self._widths = [column.width for column in inputs]
        self._decode_row, self._decode_rows = _never, _never
        if sum(self._widths) <= VALUES and not any(_holds_large_numbers(bundle, column) for column in inputs):
            self._decode_row, self._decode_rows = _decoder(inputs, True), _decoder(inputs, False)

    def decode(self, body: bytes) -> tuple[InferenceRequest, Sequence[Sequence], int] | None:
        """The request, its data by input and its number of rows; None where it is not as expected."""
        try:
            request = self._decode_row(body)
        except UNEXPECTED:
            return self._several(body)
        return request, [tensor.data for tensor in request.inputs], 1

    def _several(self, body: bytes) -> tuple[InferenceRequest, Sequence[Sequence], int] | None:
        try:
            request = self._decode_rows(body)
        except UNEXPECTED:
            return None
        rows = request.inputs[0].shape[0]
        if not 0 < rows <= self._rows or any(tensor.shape[0] != rows for tensor in request.inputs):
            return None
        values = [tensor.data for tensor in request.inputs]
        if any(len(data) != rows * width for data, width in zip(values, self._widths, strict=True)):
            return None
        return request, values, rows


def _decoder(inputs: Sequence[Input], one_row: bool) -> Callable[[bytes], Any]:
    rows = Literal[1] if one_row else int
    tensors = []
    for place, column in enumerate(inputs):
        value = TYPES[column.dtype] | None if column.nullable else TYPES[column.dtype]
        plain = column.width == 1
        row = tuple[(value,) * column.width]  # type: ignore[valid-type]
        fields = [
            ("name", Literal[column.name]),
            ("datatype", DATATYPES[column.dtype]),
            ("shape", tuple[rows] if plain else tuple[rows, Literal[column.width]]),  # type: ignore[valid-type]
            ("data", row if one_row else list[value]),  # type: ignore[valid-type]
            ("parameters", NoBinary | None, None),
        ]
        tensors.append(defstruct(f"Input{place}", fields, frozen=True, gc=False))
    request = defstruct(
        "ExpectedRequest", [("inputs", tuple[tuple(tensors)])], bases=(InferenceRequest,), frozen=True, gc=False
    )
    return msgspec.json.Decoder(request).decode


def _never(body: bytes) -> Any:
    raise msgspec.ValidationError


def _holds_large_numbers(bundle: Bundle, column: Input) -> bool:
    """Whether numbers are usual for which float32 has no place of their own: each of its requests were read twice."""
    profile = bundle.profile.inputs.get(column.name)
    if not isinstance(profile, NumericProfile) or column.dtype != "float32":
        return False
    return any(abs(edge) >= EXACT["float32"] for edge in profile.edges)
