"""The messages of the protocol, made when they are needed: no generated code, no compiler.

Field numbers and types are those of the Open Inference Protocol's `GRPCInferenceService` and of gRPC's health service.
A test holds them against what a public client carries. Names of nested messages are not on the wire; here all are flat.
"""

import functools
from collections.abc import Mapping
from types import SimpleNamespace

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INFERENCE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
SERVING, NOT_SERVING = 1, 2  # of the health service

# Message -> its fields: number, type, name. `*` marks a repeated one; `map` is one from text to InferParameter.
MESSAGES = {
    "InferParameter": "1 bool bool_param, 2 int64 int64_param, 3 string string_param, 4 double double_param, "
    "5 uint64 uint64_param",
    "TensorMetadata": "1 string name, 2 string datatype, 3 int64* shape",
    "InferTensorContents": "1 bool* bool_contents, 2 int32* int_contents, 3 int64* int64_contents, "
    "4 uint32* uint_contents, 5 uint64* uint64_contents, 6 float* fp32_contents, 7 double* fp64_contents, "
    "8 bytes* bytes_contents",
    "InferInputTensor": "1 string name, 2 string datatype, 3 int64* shape, 4 map parameters, "
    "5 InferTensorContents contents",
    "InferRequestedOutputTensor": "1 string name, 2 map parameters",
    "InferOutputTensor": "1 string name, 2 string datatype, 3 int64* shape, 4 map parameters, "
    "5 InferTensorContents contents",
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 bool ready",
    "ModelReadyRequest": "1 string name, 2 string version",
    "ModelReadyResponse": "1 bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 string name, 2 string version, 3 string* extensions",
    "ModelMetadataRequest": "1 string name, 2 string version",
    "ModelMetadataResponse": "1 string name, 2 string* versions, 3 string platform, 4 TensorMetadata* inputs, "
    "5 TensorMetadata* outputs",
    "ModelInferRequest": "1 string model_name, 2 string model_version, 3 string id, 4 map parameters, "
    "5 InferInputTensor* inputs, 6 InferRequestedOutputTensor* outputs, 7 bytes* raw_input_contents",
    "ModelInferResponse": "1 string model_name, 2 string model_version, 3 string id, 4 map parameters, "
    "5 InferOutputTensor* outputs, 6 bytes* raw_output_contents",
    "HealthCheckRequest": "1 string service",
    "HealthCheckResponse": "1 int32 status",
}
ONE_OF = {"InferParameter": "parameter_choice"}

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES: Mapping[str, int] = {
    name.removeprefix("TYPE_").lower(): number for name, number in _Field.Type.items() if name != "TYPE_MESSAGE"
}


@functools.cache
def classes() -> SimpleNamespace:
    """The class of every message, by its name; in a pool of its own, beside whatever else the process has."""
    file = descriptor_pb2.FileDescriptorProto(name="slipway/inference.proto", package="inference", syntax="proto3")
    for name, fields in MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = {name: pool.FindMessageTypeByName(f"inference.{name}") for name in MESSAGES}
    return SimpleNamespace(**{name: message_factory.GetMessageClass(kind) for name, kind in described.items()})


def _describe(message: descriptor_pb2.DescriptorProto, fields: str) -> None:
    one_of = ONE_OF.get(message.name)
    if one_of:
        message.oneof_decl.add(name=one_of)
    for field in fields.split(", ") if fields else ():
        number, kind, name = field.split()
        repeated = kind.endswith("*")
        added = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
        if kind == "map":
            repeated, kind = True, f"{message.name}.ParametersEntry"
            entry = message.nested_type.add(name="ParametersEntry")
            entry.options.map_entry = True
            _describe(entry, "1 string key, 2 InferParameter value")
        if repeated:
            added.label = _Field.LABEL_REPEATED
        kind = kind.removesuffix("*")
        if kind in _TYPES:
            added.type = _TYPES[kind]
        else:
            added.type, added.type_name = _Field.TYPE_MESSAGE, f".inference.{kind}"
        if one_of:
            added.oneof_index = 0
