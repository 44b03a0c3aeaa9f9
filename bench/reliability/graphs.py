"""Graphs that must not be served: other than the rest of the bundle says, greedy, or no graphs at all."""

import pickle
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from bench.reliability import models

Change = Callable[[Path], object]
Edit = Callable[[ModelProto], object]
FILE = "model.onnx"
_value = helper.make_tensor_value_info
PLACES = ("weights.bin", "../weights.bin", "/etc/passwd", FILE, "", "/proc/self/environ", "C:\\weights", "a/b")


def misfits() -> Iterator[tuple[str, Change]]:
    """Graphs of other inputs, outputs, operators or weights than the rest of the bundle says."""
    edits: dict[str, Edit] = {
        "operator of a foreign domain": _operator("Download", "com.example.evil"),
        "operator that a known domain has not": _operator("Shell", "ai.onnx.ml"),
        "operator that there is not": _operator("Exec"),
        "operators of a version to come": lambda model: setattr(model.opset_import[0], "version", 999),
        "format of a version to come": lambda model: setattr(model, "ir_version", 999),
        "no operators at all": lambda model: model.graph.ClearField("node"),
        "no graph at all": lambda model: model.ClearField("graph"),
        "no outputs": lambda model: model.graph.ClearField("output"),
        "no inputs": lambda model: model.graph.ClearField("input"),
        "an input of another name": lambda model: setattr(model.graph.input[0], "name", "town"),
        "an output of another name": lambda model: setattr(model.graph.output[0], "name", "chance"),
        "an input too many": lambda model: model.graph.input.append(_value("more", TensorProto.FLOAT, ["rows"])),
        "a circle": lambda model: model.graph.node[0].input.__setitem__(0, "score"),
    }
    for name, edit in edits.items():
        yield name, _graph(edit)
    for number, column in enumerate(models.INPUTS):
        yield f"input {column.name} of another type", _graph(_retyped(number))
        yield f"input {column.name} of another rank", _graph(_widened(number))
    for number, weight in enumerate(models.graph().graph.initializer):
        if weight.data_type == TensorProto.FLOAT:
            for value in (float("nan"), 3.5):
                yield f"weight {weight.name} is {value}", _graph(_weighted(number, value))
    for place in PLACES:
        yield f"weights outside of the file: {place!r}", _graph(_external(place))


def bombs() -> Iterator[tuple[str, Change]]:
    """Small files that ask for much memory, or for ever."""
    for name, shape in {"40 GB": [10_000, 1_000_000], "4 TB": [1_000_000, 1_000_000], "2^62": [1 << 62]}.items():
        yield f"a constant of {name}", _graph(_filled(shape))
    edits: dict[str, Edit] = {
        "a range of 2^40": _ranged,
        "weights that say more than they hold": lambda model: model.graph.initializer[0].dims.extend([1_000_000] * 2),
        "weights of a size below zero": lambda model: model.graph.initializer[0].dims.append(-1),
        "a loop without end": _endless,
    }
    for name, edit in edits.items():
        yield name, _graph(edit)
    yield "graphs within graphs", _bytes(_nested())


def impostors() -> Iterator[tuple[str, Change]]:
    """Bytes that are no ONNX."""
    noise = random.Random(5).randbytes
    contents: dict[str, bytes] = {
        "a pickle": pickle.dumps({"weights": [1.0] * 100}),
        "a zip bomb": b"PK\x03\x04" + zlib.compress(b"\0" * 50_000_000, 9),
        "gzip": zlib.compress(b"\0" * 1000, wbits=31),
        "a library": b"\x7fELF" + noise(5000),
        "HTML": b"<!doctype html><title>404</title>",
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n",
        "zeros": b"\0" * 10_000,
        "varints without end": b"\xff" * 10_000,
        "a field of 2 GB": b"\x3a\xff\xff\xff\xff\x07",
    }
    for name, data in contents.items():
        yield name, _bytes(data)
    for number in range(6):
        yield f"noise {number}", _bytes(noise(10 ** (number + 1)))


def _bytes(data: bytes) -> Change:
    return lambda folder: (folder / FILE).write_bytes(data)


def _graph(edit: Edit) -> Change:
    def change(folder: Path) -> None:
        model = ModelProto.FromString((folder / FILE).read_bytes())
        edit(model)
        (folder / FILE).write_bytes(model.SerializeToString())

    return change


def _operator(kind: str, domain: str = "") -> Edit:
    def edit(model: ModelProto) -> None:
        model.graph.node.append(helper.make_node(kind, ["score"], ["more"], domain=domain))
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))

    return edit


def _retyped(number: int) -> Edit:
    return lambda model: setattr(model.graph.input[number].type.tensor_type, "elem_type", TensorProto.DOUBLE)


def _widened(number: int) -> Edit:
    return lambda model: model.graph.input[number].type.tensor_type.shape.dim.add()


def _weighted(number: int, value: float) -> Edit:
    def edit(model: ModelProto) -> None:
        name = model.graph.initializer[number].name
        model.graph.initializer[number].CopyFrom(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))

    return edit


def _external(place: str) -> Edit:
    def edit(model: ModelProto) -> None:
        weight = model.graph.initializer[0]
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", "4")):
            weight.external_data.add(key=key, value=value)

    return edit


def _ranged(model: ModelProto) -> None:
    for name, value in {"start_": 0, "limit_": 1 << 40, "step_": 1}.items():
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [], [value]))
    nodes = [
        helper.make_node("Range", ["start_", "limit_", "step_"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["summed"], keepdims=0),
        helper.make_node("Cast", ["summed"], ["number"], to=TensorProto.FLOAT),
    ]
    _into_answer(model, nodes)


def _filled(shape: list[int]) -> Edit:
    def edit(model: ModelProto) -> None:
        model.graph.initializer.append(helper.make_tensor("shape_", TensorProto.INT64, [len(shape)], shape))
        nodes = [
            helper.make_node("ConstantOfShape", ["shape_"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["number"], keepdims=0),
        ]
        _into_answer(model, nodes)

    return edit


def _endless(model: ModelProto) -> None:
    """A loop of 2^62 turns that adds zero."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Mul", ["sum_in", "sum_in"], ["sum_out"])],
        "turn",
        [
            _value("turn", TensorProto.INT64, []),
            _value("going", TensorProto.BOOL, []),
            _value("sum_in", TensorProto.FLOAT, []),
        ],
        [_value("goes", TensorProto.BOOL, []), _value("sum_out", TensorProto.FLOAT, [])],
    )
    model.graph.initializer.append(helper.make_tensor("turns_", TensorProto.INT64, [], [1 << 62]))
    model.graph.initializer.append(helper.make_tensor("yes_", TensorProto.BOOL, [], [True]))
    _into_answer(model, [helper.make_node("Loop", ["turns_", "yes_", "zero"], ["number"], body=body)])


def _into_answer(model: ModelProto, nodes: list) -> None:
    last = model.graph.node.pop()
    first = last.input[0]
    last.input[0] = "with_number"
    model.graph.node.extend([*nodes, helper.make_node("Add", [first, "number"], ["with_number"]), last])


def _nested(depth: int = 300) -> bytes:
    """If within If within If, deeper than protocol buffers may be."""
    data = b""
    for _ in range(depth):
        graph = data + b"\x12\x01g"
        attribute = b"\x0a\x01a" + b"\x32" + _varint(len(graph)) + graph
        node = b"\x22\x02If" + b"\x2a" + _varint(len(attribute)) + attribute
        data = b"\x0a" + _varint(len(node)) + node
    return b"\x08\x0a\x3a" + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])
