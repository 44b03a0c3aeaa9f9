"""The dialect of MLflow's scoring server and of SageMaker: a data frame in, a list of predictions out.

`/invocations` takes JSON with one of `dataframe_split`, `dataframe_records`, `inputs` and `instances`, or CSV with a
header; `/ping`, `/health` and `/version` are what such clients ask first. A prediction is what the model's output
holds, a number or a list; of a model with several outputs it is an object. Here NaN, which pandas writes for a missing
number though JSON has none, is taken as missing.
"""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from itertools import chain

import msgspec
from msgspec import UNSET, Struct, UnsetType

import serving
from contracts.bundle import Input
from serving import problems
from serving.application import PREDICT, Asked, Route
from serving.batching import Batcher
from serving.columns import ColumnError
from serving.exchange import Problem, Request
from serving.limits import Limits
from serving.parts import Part
from serving.protocol import SPEAKABLE
from serving.runtime import Model

FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")
TEXT = b"text/plain"
TRUTHS = {"true": True, "1": True, "false": False, "0": False}

Scalar = str | int | float | bool | None
Cell = Scalar | list[Scalar]  # a list for an input that is a tensor
Columns = dict[str, list]
Ready = Callable[[Request], object]


class Split(Struct, frozen=True):
    """A data frame as pandas writes it with orient="split"; its index is passed over."""

    columns: list[str]
    data: list[list[Cell]]


class Invocation(Struct, frozen=True):
    """The body of a request, with exactly one of its formats; `params` and what else there is change nothing."""

    dataframe_split: Split | UnsetType = UNSET
    dataframe_records: list[dict[str, Cell]] | UnsetType = UNSET
    inputs: dict[str, list[Cell]] | list[Cell] | UnsetType = UNSET
    instances: list[dict[str, Cell] | Cell] | UnsetType = UNSET


def routes(model: Model, batcher: Batcher, limits: Limits, ready: Ready) -> dict[str, Route]:
    """The endpoints of this dialect; `ready` raises Problem where the server wants no requests."""

    def ping(request: Request) -> bytes:
        ready(request)
        return b"\n"

    version = serving.__version__.encode()
    predict = Invocations(model, batcher, limits)
    return {
        "/invocations": Route("invocations", "POST", accept=predict, scope=PREDICT),
        "/ping": Route("ping", "GET", ping, content_type=TEXT),
        "/health": Route("ping", "GET", ping, content_type=TEXT),
        "/version": Route("version", "GET", lambda request: version, content_type=TEXT),
    }


class Invocations:
    """The endpoint that predicts."""

    def __init__(self, model: Model, batcher: Batcher, limits: Limits) -> None:
        self._batcher, self._rows = batcher, limits.rows
        self._inputs = {column.name: column for column in model.manifest.inputs}
        self._outputs = list(model.output_names)

    def __call__(self, request: Request, asked: Asked) -> None:
        """Decode, predict, and finish with the body or with the reason why there is none."""
        self._batcher.require_room()
        columns, rows = decode(request, self._inputs, self._rows)

        def done(answers: Part | Exception) -> None:
            asked.finish(answers if isinstance(answers, Exception) else encode(answers, self._outputs))

        self._batcher.submit(columns, rows, done)


def decode(request: Request, inputs: Mapping[str, Input], maximum_rows: int) -> tuple[Columns, int]:
    """The data of a request by column, and how many rows it has; raises Problem or ColumnError.

    All the model's columns and no others are there; whether their values fit is the model's to say.
    """
    problems.refuse_encoding(request.headers)
    kind, _, parameters = request.headers.get(b"content-type", b"").partition(b";")
    kind, parameters = kind.strip().lower(), parameters.replace(b" ", b"").replace(b'"', b"").lower()
    # What curl says where nobody tells it better is taken for JSON, as everywhere on this server.
    known = kind in (b"", b"application/json", b"application/x-www-form-urlencoded", b"text/csv")
    if not known or parameters not in (b"", b"charset=utf-8"):
        detail = "send application/json or text/csv, in UTF-8"
        raise Problem(415, "unsupported_media_type", detail, headers=((b"accept", b"application/json, text/csv"),))
    read = _from_csv if kind == b"text/csv" else _from_json
    columns = read(request.body, inputs, maximum_rows)
    for name in inputs:
        if name not in columns:
            raise ColumnError(name, "is missing", "send every column; a value that is not known is null")
    rows = len(columns[next(iter(inputs))])
    _refuse_more(rows, maximum_rows)
    return {name: _flat(inputs[name], values) for name, values in columns.items()}, rows


def encode(answers: Part, names: Sequence[str]) -> bytes:
    """The body of an answer."""
    if len(names) == 1:
        return msgspec.json.encode({"predictions": answers[names[0]].tolist()})
    values = zip(*(answers[name].tolist() for name in names), strict=True)
    return msgspec.json.encode({"predictions": [dict(zip(names, row, strict=True)) for row in values]})


def _from_json(body: bytes, inputs: Mapping[str, Input], maximum_rows: int) -> Columns:
    asked = _parse(body)
    given = [name for name in FORMATS if getattr(asked, name) is not UNSET]
    if len(given) != 1:
        raise Problem(400, "invalid_request", f"send exactly one of {', '.join(FORMATS)}")
    [name] = given
    match getattr(asked, name):
        case Split(columns, data):
            _refuse_more(len(data), maximum_rows)
            return _of_rows(columns, data, inputs, "dataframe_split.data")
        case dict() as columns:
            for column in columns:
                _known(column, inputs)
            return columns
        case [dict(), *_] as records:
            _refuse_more(len(records), maximum_rows)
            return _of_records(records, inputs, name)
        case [] if name == "dataframe_records":
            return {column: [] for column in inputs}
        case values:
            return _of_one_input(values, inputs, name)


def _parse(body: bytes) -> Invocation:
    try:
        try:
            return msgspec.json.decode(body, type=Invocation)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if b"NaN" not in body:
                raise
            # As MLflow's own client sends a data frame with missing numbers.
            document = json.loads(body, parse_constant=_constant)
            if b"\\u" in body:  # unlike msgspec, json takes half a surrogate for text, which no graph can be given
                json.dumps(document, ensure_ascii=False).encode()
            return msgspec.convert(document, Invocation)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        detail = f"{reason}; send a data frame as {', '.join(FORMATS)}"
        raise Problem(400, "invalid_request", detail, field=place.strip(".`")) from None
    except msgspec.DecodeError as error:
        raise Problem(400, "malformed_json", f"{error}; send JSON") from None
    except ValueError:  # also of bytes that are not UTF-8, and of numbers too long for Python
        raise Problem(400, "malformed_json", "the body is not JSON in UTF-8; send JSON") from None
    except RecursionError:
        raise Problem(400, "malformed_json", "the body is nested too deeply; a data frame has few levels") from None


def _constant(name: str) -> None:
    """NaN is a missing number; infinity is none."""
    if name != "NaN":
        raise Problem(400, "malformed_json", "Infinity is not JSON; send finite numbers, or null")


def _of_rows(names: Sequence[str], rows: Sequence[Sequence], inputs: Mapping[str, Input], place: str) -> Columns:
    """Columns from a header and rows of values."""
    for position, name in enumerate(names):
        _known(name, inputs)
        if name in names[:position]:
            raise ColumnError(name, "is there twice", "send every column once")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            detail = f"row {number} has {len(row)} values for {len(names)} columns; make them equal"
            raise Problem(400, "invalid_request", detail, field=place)
    if not rows:
        return {name: [] for name in names}
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _of_records(records: Sequence, inputs: Mapping[str, Input], place: str) -> Columns:
    """Columns from one object per row."""
    for number, record in enumerate(records):
        if type(record) is not dict:
            raise Problem(400, "invalid_request", f"row {number} is no object; send an object per row", field=place)
        if record.keys() != inputs.keys():
            for name in record:
                _known(name, inputs)
            missing = next(name for name in inputs if name not in record)
            way_out = "send every column in every row; a value that is not known is null"
            raise ColumnError(missing, f"is missing in row {number}", way_out)
    return {name: [record[name] for record in records] for name in inputs}


def _of_one_input(values: list, inputs: Mapping[str, Input], place: str) -> Columns:
    """The column of a model that has only one: then clients name none."""
    if len(inputs) > 1:
        detail = f"names no columns; this model has {len(inputs)}, send an object of columns, or dataframe_split"
        raise Problem(400, "invalid_request", detail, field=place)
    return dict.fromkeys(inputs, values)


def _flat(column: Input, values: list) -> list:
    """One value after the other, also of a tensor, whose rows are lists."""
    if column.width == 1:
        return values
    if any(type(row) is not list or len(row) != column.width for row in values):
        raise ColumnError(column.name, "is not nested as a tensor", f"send a list of {column.width} numbers per row")
    return list(chain.from_iterable(values))


def _from_csv(body: bytes, inputs: Mapping[str, Input], maximum_rows: int) -> Columns:
    try:
        names, *rows = [row for row in csv.reader(StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if row]
    except UnicodeDecodeError:
        raise Problem(400, "invalid_request", "the body is not UTF-8; send CSV in UTF-8") from None
    except csv.Error as error:
        raise Problem(400, "invalid_request", f"{error}; send CSV with a header") from None
    except ValueError:
        raise Problem(400, "invalid_request", "the body is empty; send CSV with a header") from None
    _refuse_more(len(rows), maximum_rows)
    if "" in names:
        raise Problem(400, "invalid_request", "a column has no name; write the CSV without an index (index=False)")
    columns = _of_rows(names, rows, inputs, "")
    return {name: _read(inputs[name], texts) for name, texts in columns.items()}


def _read(column: Input, texts: list[str]) -> list:
    """The values of a column of CSV; an empty cell is missing."""
    if column.width > 1:
        raise ColumnError(column.name, "is a tensor, which a cell of CSV cannot hold", "send JSON")
    if column.dtype == "string":
        return texts
    values: list[float | bool | None] = []
    for row, text in enumerate(texts):
        text = text.strip().lower()
        try:
            if text == "":
                values.append(None)
            elif column.dtype == "bool":
                values.append(TRUTHS[text])
            else:
                values.append(_number(text, column))
        except (KeyError, ValueError):
            kind, way_out = ("truth value", "true or false") if column.dtype == "bool" else ("number", "a number")
            raise ColumnError(column.name, f"row {row} is not a {kind}", f"send {way_out}") from None
    return values


def _number(text: str, column: Input) -> float | None:
    if "_" in text:  # Python would pass over it
        raise ValueError
    if column.dtype == "int64" and text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    return None if math.isnan(number) else number


def _refuse_more(rows: int, maximum: int) -> None:
    """Raises Problem for too many rows, before more is done for them."""
    if rows > maximum:
        raise Problem(413, "too_many_rows", f"send at most {maximum} rows in a request")


def _known(name: str, inputs: Mapping[str, Input]) -> None:
    if name not in inputs:
        spoken = name if SPEAKABLE.fullmatch(name) else "a column"
        raise ColumnError(spoken, "is not a column of this model", f"send {', '.join(inputs)}")
