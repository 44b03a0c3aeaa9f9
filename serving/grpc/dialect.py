"""Each method as a request of the REST interface, and the answer to that as a message.

So there is one application behind both: who may ask, what a tensor may be, what is refused and how is decided there.
Tensors go through as the bytes that they are (the binary tensor extension), never as JSON.
"""

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
from msgspec import Struct

from serving.exchange import Problem, Request, Response
from serving.grpc import messages
from serving.protocol import HEADER_LENGTH
from serving.tensors import DTYPES

# Where the values of a datatype lie in a message; FP16 travels as raw bytes only.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
Message = Any  # the classes are made when the program runs
Headers = dict[bytes, bytes]


class Method(Struct, frozen=True):
    """One method: `ask` makes a request of a message, `tell` a message of that message and the answer."""

    takes: str
    ask: Callable[[Message, Headers], Request]
    tell: Callable[[Message, Response], Message]
    not_ready: bool = False  # 503 is an answer, too


def methods() -> dict[str, dict[str, Method]]:
    """Service -> name -> method."""
    kinds = messages.classes()

    def is_ready(kind: str) -> Callable[[Message, Response], Message]:
        return lambda message, response: getattr(kinds, kind)(ready=response.status == 200)

    def health(message: Message, response: Response) -> Message:
        return kinds.HealthCheckResponse(status=messages.SERVING if response.status == 200 else messages.NOT_SERVING)

    return {
        messages.INFERENCE: {
            "ServerLive": Method(
                "ServerLiveRequest", _get("/v2/health/live"), lambda *_: kinds.ServerLiveResponse(live=True)
            ),
            "ServerReady": Method(
                "ServerReadyRequest", _get("/v2/health/ready"), is_ready("ServerReadyResponse"), not_ready=True
            ),
            "ModelReady": Method(
                "ModelReadyRequest",
                lambda message, headers: Request("GET", _path(message.name, message.version, "/ready"), headers),
                is_ready("ModelReadyResponse"),
                not_ready=True,
            ),
            "ServerMetadata": Method(
                "ServerMetadataRequest",
                _get("/v2"),
                lambda _, response: kinds.ServerMetadataResponse(**msgspec.json.decode(response.body)),
            ),
            "ModelMetadata": Method(
                "ModelMetadataRequest",
                lambda message, headers: Request("GET", _path(message.name, message.version), headers),
                lambda _, response: _metadata(kinds, response),
            ),
            "ModelInfer": Method(
                "ModelInferRequest", infer, lambda message, response: _inferred(kinds, message, response)
            ),
        },
        messages.HEALTH: {"Check": Method("HealthCheckRequest", _check, health, not_ready=True)},
    }


def infer(message: Message, headers: Headers) -> Request:
    """ModelInfer as a request with binary tensors; raises Problem."""
    data = list(message.raw_input_contents)
    if not data:
        data = [_bytes(tensor) for tensor in message.inputs]
    elif len(data) != len(message.inputs) or any(tensor.HasField("contents") for tensor in message.inputs):
        detail = "send the data of every input there, and no contents, or none there"
        raise Problem(400, "invalid_request", detail, field="raw_input_contents")
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": len(part)},
        }
        for tensor, part in zip(message.inputs, data, strict=True)
    ]
    asked = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    if message.id:
        asked["id"] = message.id
    if message.outputs:
        asked["outputs"] = [{"name": output.name} for output in message.outputs]
    text = msgspec.json.encode(asked)
    path = _path(message.model_name, message.model_version, "/infer")
    return Request("POST", path, {**headers, HEADER_LENGTH: b"%d" % len(text)}, b"".join((text, *data)))


def _inferred(kinds: SimpleNamespace, message: Message, response: Response) -> Message:
    """The answer: raw bytes for who sent raw bytes, else values."""
    at = int(dict(response.headers)[HEADER_LENGTH])
    document = msgspec.json.decode(response.body[:at])
    reply = kinds.ModelInferResponse(**{name: document[name] for name in ("model_name", "model_version", "id")})
    for name, text in document["parameters"].items():
        reply.parameters[name].string_param = text
    for output in document["outputs"]:
        told = reply.outputs.add(**{name: output[name] for name in ("name", "datatype", "shape")})
        part = response.body[at : (at := at + output["parameters"]["binary_data_size"])]
        if message.raw_input_contents:
            reply.raw_output_contents.append(part)
        else:
            told.contents.fp32_contents.extend(np.frombuffer(part, "<f4").tolist())
    return reply


def _metadata(kinds: SimpleNamespace, response: Response) -> Message:
    document = msgspec.json.decode(response.body)
    reply = kinds.ModelMetadataResponse(**{name: document[name] for name in ("name", "versions", "platform")})
    for side in ("inputs", "outputs"):
        for tensor in document[side]:
            getattr(reply, side).add(**{name: tensor[name] for name in ("name", "datatype", "shape")})
    return reply


def _bytes(tensor: Message) -> bytes:
    """The values of a tensor as the bytes that they would be in raw_input_contents."""
    if tensor.datatype not in CONTENTS:
        return b""  # the application says what is wrong with it
    values = list(getattr(tensor.contents, CONTENTS[tensor.datatype]))  # of a list, numpy refuses what does not fit
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    try:
        return np.array(values, DTYPES[tensor.datatype]).tobytes()
    except OverflowError:
        detail = f"holds a number that {tensor.datatype} cannot hold"
        raise Problem(400, "invalid_request", f"{detail}; declare what it is", field="inputs") from None


def _check(message: Message, headers: Headers) -> Request:
    if message.service not in ("", messages.INFERENCE):
        raise Problem(404, "not_found", f"there is no such service here; there is {messages.INFERENCE}")
    return Request("GET", "/v2/health/ready", headers)


def _get(path: str) -> Callable[[Message, Headers], Request]:
    return lambda message, headers: Request("GET", path, headers)


def _path(name: str, version: str, end: str = "") -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}{end}" if version else f"{path}{end}"
