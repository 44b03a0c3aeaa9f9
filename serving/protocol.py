"""The Open Inference Protocol v2 over REST: JSON bodies into columns, predictions into JSON bodies."""

import re
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from contracts.bundle import Input, Manifest
from serving.columns import ColumnError
from serving.exchange import Problem

PLATFORM = "onnx_onnxv1"
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
SPEAKABLE = re.compile(r"[\w .\-]{1,64}", re.ASCII)

Scalar = str | int | float | bool | None


class InputTensor(Struct, frozen=True):
    """One column of a request. `data` is flat, or one list per row where the shape is [rows, 1]."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Scalar | list[Scalar]] | None = None


class OutputChoice(Struct, frozen=True):
    """An output that the client wants."""

    name: str


class InferenceRequest(Struct, frozen=True):
    """The body of a request; `parameters` are taken and change nothing."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[OutputChoice] | None = None


class OutputTensor(Struct, frozen=True):
    """One output of an answer; `data` is flat, in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferenceResponse(Struct, frozen=True):
    """The body of an answer."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, str]
    outputs: list[OutputTensor]


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


def columns(request: InferenceRequest, inputs: dict[str, Input], maximum_rows: int) -> dict[str, list]:
    """The data of each input by column name; raises ColumnError or Problem naming the input.

    `inputs` are the model's by name. Whether a value fits its column is the model's to say.
    """
    found: dict[str, list] = {}
    for tensor in request.inputs:
        column = inputs.get(tensor.name)
        if column is None:
            name = tensor.name if SPEAKABLE.fullmatch(tensor.name) else "an input"
            raise ColumnError(name, "is not an input of this model", f"send {', '.join(inputs)}")
        if tensor.name in found:
            raise ColumnError(tensor.name, "is there twice", "send every input once")
        if tensor.datatype not in TAKEN[column.dtype]:
            expected = DATATYPE[column.dtype]
            raise ColumnError(tensor.name, "has a datatype that does not fit", f"send it as {expected}")
        data = found[tensor.name] = _flat(tensor)
        if tensor.datatype in WHOLE and float in set(map(type, data)):
            raise ColumnError(tensor.name, "holds a fractional number, declared as whole", "declare it as FP64")
        if len(data) > maximum_rows:
            raise Problem(413, "too_many_rows", f"send at most {maximum_rows} rows in a request", field=tensor.name)
    return found


def chosen(request: InferenceRequest, known: list[str]) -> list[str]:
    """The names of the outputs to answer with, all where the client has no wish; raises Problem for an unknown one."""
    if not request.outputs:
        return known
    names = [output.name for output in request.outputs]
    for position, name in enumerate(names):
        if name not in known:
            place = f"outputs[{position}].name"
            raise Problem(400, "invalid_request", f"is no output of this model; it has {', '.join(known)}", field=place)
    if len(set(names)) < len(names):
        raise Problem(400, "invalid_request", "names an output twice; ask for each once", field="outputs")
    return names


def encode(answers: dict[str, np.ndarray], names: list[str], model: str, version: str, digest: str, id: str) -> bytes:  # noqa: A002
    """The body of an answer; raises Problem where the model had no finite answer, which JSON cannot hold."""
    outputs = []
    for name in names:
        answer = answers[name]
        if not np.isfinite(answer).all():
            row = int(np.argwhere(~np.isfinite(answer))[0][0])
            detail = f"the model has no finite answer for row {row}; its inputs are far from what it was trained on"
            raise Problem(422, "no_finite_answer", detail, field=name)
        outputs.append(OutputTensor(name, "FP32", list(answer.shape), answer.ravel().tolist()))
    return msgspec.json.encode(InferenceResponse(model, version, id, {"bundle_digest": digest}, outputs))


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
            "shape": [-1],
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


def _flat(tensor: InputTensor) -> list:
    data, shape = tensor.data, tensor.shape
    if data is None:
        raise ColumnError(tensor.name, "has no data", "send data as JSON in the body")
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise ColumnError(tensor.name, "has a shape that is not [rows] or [rows, 1]", "send one value per row")
    if list in set(map(type, data)):
        if len(shape) == 1 or not all(type(row) is list and len(row) == 1 for row in data):
            raise ColumnError(tensor.name, "is not nested as its shape says", "send one value per row")
        data = [row[0] for row in data]  # type: ignore[index]
    if len(data) != shape[0]:
        raise ColumnError(tensor.name, f"holds {len(data)} values where its shape says {shape[0]}", "make them equal")
    return data


def _names_nan(body: bytes) -> bool:
    return b"NaN" in body or b"Infinity" in body
