"""Raw columns, as callers have them, into the arrays that a graph takes; what loses nothing is cast, the rest refused.

string   `str`, None (missing)
float32  fractional numbers (rounded, as in training), whole ones that float32 holds exactly, None and NaN (missing)
int64    whole numbers, also in a fractional type
bool     true and false, 1 and 0

A column of width k holds k numbers per row: an array [rows, k], one list per row, or a flat list, row after row.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import isfinite
from struct import pack

import numpy as np

from contracts.bundle import Input
from contracts.errors import InputError

Values = np.ndarray | Sequence
NONE = type(None)
FEW = 64
MANY = 128
PACKED = 20_000  # values that are handed over as arguments of one call
TEXT, NUMBER, TRUTH = (str,), (int, float, np.integer, np.floating), (bool, int, np.bool_, np.integer)


class ColumnError(InputError):
    """A column that the model cannot take. Names the column and the row, never a value: values may be personal."""

    def __init__(self, column: str, reason: str, way_out: str) -> None:
        super().__init__(f"inputs: {column}: {reason}; {way_out}")
        self.column, self.reason, self.way_out = column, reason, way_out


def read(column: Input, values: Values) -> np.ndarray:
    """The array of one caller's column: [rows], or [rows, width]."""
    if column.width == 1:
        return READERS[column.dtype](column, values)
    if isinstance(values, np.ndarray):
        if values.ndim != 2 or values.shape[1] != column.width:
            raise ColumnError(column.name, "has another shape", f"send {column.width} numbers per row")
        return READERS[column.dtype](column, values.ravel()).reshape(values.shape)
    if list in set(map(type, values)):
        if any(type(row) is not list or len(row) != column.width for row in values):
            raise ColumnError(column.name, "is not nested as its shape says", f"send {column.width} numbers per row")
        values = list(chain.from_iterable(values))
    if len(values) % column.width:
        raise ColumnError(column.name, "ends within a row", f"send {column.width} numbers per row")
    return READERS[column.dtype](column, values).reshape(-1, column.width)


def read_together(column: Input, parts: Sequence[Values]) -> np.ndarray:
    """The arrays of several callers' columns, one after the other: what `read` gives for each, at the price of one.

    Raises ColumnError where `read` would for one of them, without saying which.
    """
    forms = set(map(type, parts))
    if forms == {np.ndarray} and len({(part.dtype, part.shape[1:]) for part in parts}) == 1:  # type: ignore[union-attr]
        return read(column, np.concatenate(parts))
    if forms != {list}:
        return np.concatenate([read(column, part) for part in parts])
    values = list(chain.from_iterable(parts))
    if column.dtype not in EXACT:
        return read(column, values)
    kinds = set(map(type, values))
    if column.dtype == "float32" and kinds == {float} and (array := _finite(values)) is not None:
        return array.reshape(-1, column.width) if column.width > 1 else array
    # numpy would make floats of everybody's whole numbers: nothing may get lost that a caller alone had not lost.
    if not (int in kinds and float in kinds) or _within(values, EXACT[column.dtype]):
        return read(column, values)
    return np.concatenate([read(column, part) for part in parts])


def read_numbers(columns: Sequence[Input], values: Sequence[list]) -> np.ndarray | None:
    """float32 [columns, rows] of float32 columns at once; None where one of them needs a closer look."""
    together = list(chain.from_iterable(values))
    kinds = set(map(type, together))
    if kinds == {float} and (array := _finite(together)) is not None:
        return array.reshape(len(values), -1)
    if not kinds <= {float, int, NONE}:
        return None
    try:
        array = np.array(values, np.float64)
    except (OverflowError, ValueError):
        return None
    if int in kinds and (np.abs(array) > EXACT["float32"]).any():
        return None
    with np.errstate(over="ignore"):
        result = array.astype(np.float32)
    finite = np.isfinite(result)
    if not finite.all():
        missing = np.isnan(result)
        if not (finite | missing).all():
            return None
        if any(not columns[place].nullable for place in np.flatnonzero(missing.any(axis=1)).tolist()):
            return None
    return result


def typed_numbers(values: Sequence[float | None]) -> np.ndarray | None:
    """float32 of floats, in which None is missing; None where a value needs a closer look.

    A whole number may have become a float on its way here. Below 2^24 nothing is lost by that.
    """
    array = None
    try:
        if len(values) <= PACKED:  # rounds as numpy does, at half the price
            array = np.frombuffer(pack(f"<{len(values)}f", *values), "<f4")
    except OverflowError:  # what "<" says for a number beyond float32; without it, it would be infinity
        return None
    except struct.error:  # there is None among them
        pass
    if array is None:
        with np.errstate(over="ignore"):
            array = np.array(values, np.float32)
    return array if _exact(array) else None


def _exact(array: np.ndarray, nan: bool = True) -> bool:
    """Whether every whole number in it is what was sent; `nan`: whether NaN, which is missing, may be among them."""
    limit = EXACT["float32"]
    if array.size <= FEW:  # numpy takes longer to start than this to end
        values = array.tolist()
        if values and isfinite(sum(values)):
            return max(values) < limit and min(values) > -limit
    largest = np.fmax if nan else np.maximum  # which is NaN where one of them is
    return bool(largest.reduce(np.abs(array), initial=0.0) < limit)


def packed(values: Sequence[float | None]) -> bytes | Sequence[float | None] | None:
    """Floats as float32, rounded as numpy rounds them; the values themselves where None is among them or they are few.

    None where one is too large. Many objects are best made one while they are still in the processor's cache.
    """
    if not MANY <= len(values) <= PACKED:
        return values
    try:
        return pack(f"<{len(values)}f", *values)
    except OverflowError:
        return None
    except struct.error:
        return values


def typed_numbers_of(parts: Sequence[Sequence[float | None] | bytes], nan: bool = True) -> np.ndarray | None:
    """As `typed_numbers` of all parts, one after the other; some may be float32 already, in which NaN is missing.

    None also for a NaN where `nan` says that there may be none.
    """
    kinds = {*map(type, parts)}
    if bytes not in kinds:
        return typed_numbers(parts[0] if len(parts) == 1 else list(chain.from_iterable(parts)))
    data: Sequence = parts
    if len(kinds) > 1:
        data = []
        for part in parts:
            if type(part) is not bytes:
                array = typed_numbers(part)
                if array is None:
                    return None
                part = array.tobytes()
            data.append(part)
    array = np.frombuffer(data[0] if len(data) == 1 else b"".join(data), "<f4")
    return array if _exact(array, nan) else None


def typed(column: Input, parts: Sequence[Sequence]) -> np.ndarray | None:
    """The array of a column whose values are known to be of its type; None where a value needs a closer look."""
    array: np.ndarray | None
    if column.dtype == "float32":
        array = typed_numbers_of(parts, column.nullable)
        return array.reshape(-1, column.width) if column.width > 1 and array is not None else array
    values = list(chain.from_iterable(parts))
    if column.dtype == "string":
        array = np.array(["" if value is None else value for value in values] if column.nullable else values, object)
        if not column.nullable and "" in values:
            return None
    else:
        try:
            array = np.array(values, np.int64 if column.dtype == "int64" else np.bool_)
        except OverflowError:
            return None
    return array.reshape(-1, column.width) if column.width > 1 and array is not None else array


def _finite(values: list[float]) -> np.ndarray | None:
    """float32 of floats; None where one of them is not finite."""
    if len(values) > PACKED:
        return None
    try:
        array = np.frombuffer(pack(f"<{len(values)}f", *values), "<f4")
    except OverflowError:
        return None
    # numpy takes long to start, Python long to end.
    finite = isfinite(sum(values)) if len(values) <= FEW else np.isfinite(array).all()
    return array if finite else None


def read_strings(column: Input, values: Values) -> np.ndarray:
    """Object array of `str`; "" is missing."""
    typed = _typed(column, values, "UT", "text")
    if typed is not None:
        array: np.ndarray = typed.astype(object)
    else:
        kinds = _kinds(column, values, TEXT, "is not text", "send a string")
        array = np.asarray(values, object)
        if NONE in kinds:
            array = np.where(np.equal(array, None), "", array)
    if not column.nullable:
        _refuse_missing(column, array == "")
    return array


def read_floats(column: Input, values: Values) -> np.ndarray:
    """float32; NaN is missing."""
    return _float32(column, _numbers(column, values))


def _float32(column: Input, array: np.ndarray) -> np.ndarray:
    if array.dtype == np.float32:
        result = array
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            result = array.astype(np.float32)
    if array.dtype.kind == "f":
        if not np.isfinite(result).all():
            _refuse(column, np.isinf(result), "is infinite or too large for float32", "send a finite number, or null")
            if not column.nullable:
                _refuse_missing(column, np.isnan(result))
    elif array.dtype.itemsize > 2:
        inexact = result.astype(np.float64) != array
        _refuse(column, inexact, "does not fit float32 exactly", "send it as a fractional number if rounding is meant")
    return result


def read_integers(column: Input, values: Values) -> np.ndarray:
    """int64; there is no missing value."""
    array = _numbers(column, values)
    if array.dtype.kind == "f":
        _refuse_missing(column, np.isnan(array))
        array = array.astype(np.float64, copy=False)
        whole = (array == np.floor(array)) & (
            np.abs(array) < EXACT["int64"]
        )  # from there on its last digits may be lost
        _refuse(column, ~whole, "is not a whole number that int64 holds", "send a whole number")
    elif array.dtype == np.uint64:
        _refuse(column, array > np.uint64(np.iinfo(np.int64).max), "is too large for int64", "send a smaller number")
    return array.astype(np.int64, copy=False)


def read_booleans(column: Input, values: Values) -> np.ndarray:
    """bool; there is no missing value."""
    array = _typed(column, values, "biu", "a truth value")
    if array is None:
        kinds = _kinds(column, values, TRUTH, "is not a truth value", "send true or false")
        array = np.array(values, object)
        if NONE in kinds:
            _refuse_missing(column, np.equal(array, None))
    _refuse(column, np.not_equal(array, 0) & np.not_equal(array, 1), "is not a truth value", "send true or false")
    return array.astype(bool, copy=False)


READERS: dict[str, Callable[[Input, Values], np.ndarray]] = {
    "string": read_strings,
    "float32": read_floats,
    "int64": read_integers,
    "bool": read_booleans,
}


EXACT = {"float32": 2.0**24, "int64": 2.0**53}  # up to here every whole number has a place


def _within(values: list, limit: float) -> bool:
    return all(-limit <= value <= limit for value in values if type(value) is int)


def _numbers(column: Input, values: Values) -> np.ndarray:
    """An array of kind f, i or u; None has become NaN."""
    typed = _typed(column, values, "fiu", "a number")
    if typed is not None:
        return typed
    kinds = _kinds(column, values, NUMBER, "is not a number", "send a number, or null", never=bool)
    whole = all(issubclass(kind, int | np.integer) for kind in kinds)
    try:
        return np.array(values, np.int64 if whole else np.float64)
    except OverflowError:
        raise ColumnError(column.name, "holds a whole number that is too large", "send a smaller number") from None


def _typed(column: Input, values: Values, kinds: str, expected: str) -> np.ndarray | None:
    """`values` if it is an array of one of these numpy kinds; None for lists and object arrays, of mixed types."""
    if not isinstance(values, np.ndarray):
        return None
    if values.ndim != 1:
        raise ColumnError(column.name, f"has rank {values.ndim}", "send one value per row")
    if values.dtype == object:
        return None
    if values.dtype.kind not in kinds:
        raise ColumnError(column.name, f"is {values.dtype} where {expected} is expected", f"send {column.dtype}")
    return values


def _kinds(
    column: Input, values: Iterable, allowed: tuple[type, ...], reason: str, way_out: str, never: type | None = None
) -> set[type]:
    """The types among values; one that is neither allowed nor None is refused, with its row.

    Types are looked at before numpy sees the values, since numpy would make a number of "1.5" and of True.
    """
    if isinstance(values, np.ndarray):
        values = values.tolist()
    kinds = set(map(type, values))
    wrong = {kind for kind in kinds if kind is not NONE and (kind is never or not issubclass(kind, allowed))}
    if wrong:
        place = next(place for place, value in enumerate(values) if type(value) in wrong)
        raise ColumnError(column.name, f"row {place // column.width} {reason}", way_out)
    return kinds


def _refuse_missing(column: Input, missing: np.ndarray) -> None:
    _refuse(column, missing, "is missing", "this column has to be known: it is not nullable")


def _refuse(column: Input, wrong: np.ndarray, reason: str, way_out: str) -> None:
    if wrong.any():
        raise ColumnError(column.name, f"row {int(np.argmax(wrong)) // column.width} {reason}", way_out)
