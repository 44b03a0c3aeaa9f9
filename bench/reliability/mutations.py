"""Bundles that must not be served: a sound one, changed in one way each.

Two kinds of protection are asked apart. `told`: the server is told the digest, as a deployment tells it, and any change
of the four files that decide answers must be seen. `untold`: whoever made the change also knows how a digest is made,
and the server must see by itself that the parts do not fit together or ask for what no bundle may have. With a key
(`signed`) it must be told nothing: only what the key's owner signed is served.

Not among them, since they decide no answer: a changed MODEL_CARD.md, and a provenance.json that is still one.
"""

import json
import os
import pickle
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct
from onnx import ModelProto, TensorProto, helper

from bench.reliability import models
from contracts.bundle import DIGESTED, MAXIMUM_BYTES, Bundle

FLIPS, CUTS = 12, 8
Change = Callable[[Path], object]


class Mutant(Struct, frozen=True):
    """A folder, what was done to it, and how the server is started on it."""

    family: str
    name: str
    change: Change
    arguments: tuple[str, ...] = ()


def all_of(sound: Bundle, other: Bundle) -> list[Mutant]:
    """Every mutant of `sound`; `other` is a sound bundle with other answers."""
    told = ("--digest", sound.digest)
    families: list[tuple[str, Iterator[tuple[str, Change]], tuple[str, ...]]] = [
        ("truncated, digest told", truncated(sound), told),
        ("bit flipped, digest told", flipped(sound), told),
        ("files of another bundle", swapped(other), told),
        ("files of another bundle, untold", swapped(other, ("model.onnx", "golden.json")), ()),
        ("files missing, foreign or oversized", misplaced(), ()),
        ("documents that do not fit", documents(sound), ()),
        ("graphs that do not fit", graphs(), ()),
        ("graphs that ask for too much", bombs(), ()),
        ("model.onnx is something else", impostors(), ()),
    ]
    return [Mutant(family, name, change, arguments) for family, made, arguments in families for name, change in made]


def make(sound: Bundle, mutant: Mutant, folder: Path) -> Path:
    """The mutant as a folder."""
    shutil.copytree(sound.path, folder)
    mutant.change(folder)
    return folder


def truncated(sound: Bundle) -> Iterator[tuple[str, Change]]:
    """Every file that decides answers, cut off; provenance.json, too, which is then no document any more."""
    for name in (*DIGESTED, "provenance.json"):
        size = (sound.path / name).stat().st_size
        for part in range(CUTS):
            length = 0 if part == 0 else size - 2 if part == 1 else size * part // CUTS
            yield f"{name} cut to {length}", lambda folder, name=name, length=length: os.truncate(folder / name, length)


def flipped(sound: Bundle) -> Iterator[tuple[str, Change]]:
    """One bit of a file that decides answers."""
    draw = random.Random(4)
    for name in DIGESTED:
        data = (sound.path / name).read_bytes()
        for _ in range(FLIPS):
            place, bit = draw.randrange(len(data)), draw.randrange(8)
            changed = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            yield f"{name} bit {bit} of byte {place}", _write(name, changed)


def swapped(other: Bundle, names: tuple[str, ...] = ("model.onnx", "golden.json")) -> Iterator[tuple[str, Change]]:
    """Files of another version in place of this one's, and files in each other's places."""
    for name in names:
        yield f"another version's {name}", _write(name, (other.path / name).read_bytes())
    for first, second in (("bundle.json", "golden.json"), ("golden.json", "reference_profile.json")):

        def exchange(folder: Path, first: str = first, second: str = second) -> None:
            data = (folder / first).read_bytes()
            (folder / first).write_bytes((folder / second).read_bytes())
            (folder / second).write_bytes(data)

        yield f"{first} and {second} exchanged", exchange


def misplaced() -> Iterator[tuple[str, Change]]:
    """Files that are not there, are no files, are too large, or do not belong there."""
    for name in (*DIGESTED, "provenance.json", "MODEL_CARD.md"):
        yield f"{name} missing", lambda folder, name=name: (folder / name).unlink()
        yield f"{name} is a folder", lambda folder, name=name: ((folder / name).unlink(), (folder / name).mkdir())
        yield (
            f"{name} is a link",
            lambda folder, name=name: _link(folder / name, folder.parent / f"{folder.name}-{name}"),
        )
        yield (
            f"{name} is larger than any may be",
            lambda folder, name=name: os.truncate(folder / name, MAXIMUM_BYTES + 1),
        )
    yield "model.onnx is a pipe", lambda folder: ((folder / "model.onnx").unlink(), os.mkfifo(folder / "model.onnx"))
    yield "model.onnx is a device", lambda folder: _link(folder / "model.onnx", Path("/dev/zero"))
    yield "the folder is a file", lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"x"))
    for name in (
        "model.pkl",
        "hook.py",
        "libevil.so",
        ".hidden",
        "model.onnx.data",
        "weights.bin",
        "bundle.json~",
        "\n",
    ):
        yield f"foreign file {name!r}", _write(name, b"x")
    yield "foreign folder", lambda folder: (folder / "extra").mkdir()


def documents(sound: Bundle) -> Iterator[tuple[str, Change]]:
    """JSON that is none, has keys too many or too few, other types, or says what the graph does not do."""
    for name in ("bundle.json", "golden.json", "reference_profile.json", "provenance.json"):
        document = json.loads((sound.path / name).read_bytes())
        for key, value in document.items():
            if name == "provenance.json" and key in ("version", "parent", "mlflow_run_id", "device", "format"):
                continue  # these may be left out
            if key not in ("format", "classes", "decision_threshold"):
                yield f"{name} without {key}", _write_json(name, {k: v for k, v in document.items() if k != key})
            wrong = [1] if isinstance(value, str | int) else "x"
            yield f"{name} with {key} of another type", _write_json(name, document | {key: wrong})
        yield f"{name} of another format", _write_json(name, document | {"format": 2})
        yield f"{name} with a key too many", _write_json(name, document | {"hook": "import os"})
        yield f"{name} is not UTF-8", _write(name, b'{"name": "\xff\xfe"}')
        yield f"{name} is nested deeply", _write(name, b"[" * 100_000)
    manifest = json.loads((sound.path / "bundle.json").read_bytes())
    golden = json.loads((sound.path / "golden.json").read_bytes())
    inputs = manifest["inputs"]
    for change, columns in {
        "a column less": inputs[1:],
        "a column twice": [*inputs, inputs[0]],
        "another name": [{**inputs[0], "name": "town"}, *inputs[1:]],
        "another type": [{**inputs[0], "dtype": "float32"}, *inputs[1:]],
        "a type that there is not": [{**inputs[0], "dtype": "object"}, *inputs[1:]],
        "a width that the graph has not": [
            {**column, "width": 7} if column["name"] == "load" else column for column in inputs
        ],
        "a whole number that may be missing": [
            {**column, "nullable": column["dtype"] != "string"} for column in inputs
        ],
    }.items():
        yield f"bundle.json: {change}", _write_json("bundle.json", manifest | {"inputs": columns})
    yield (
        "bundle.json: an output of another width",
        _write_json("bundle.json", manifest | {"outputs": [{**manifest["outputs"][0], "width": 3}]}),
    )
    rows = golden["inputs"]
    answers = golden["outputs"][models.OUTPUT]
    for change, changed in {
        "no rows": {"inputs": {name: [] for name in rows}, "outputs": {models.OUTPUT: []}},
        "a row less in one column": {"inputs": rows | {"age": rows["age"][1:]}},
        "a column less": {"inputs": {name: values for name, values in rows.items() if name != "age"}},
        "text in a number": {"inputs": rows | {"age": ["six"] * len(answers)}},
        "a number of another answer": {"outputs": {models.OUTPUT: [*answers[:-1], answers[-1] + 0.01]}},
        "answers out of order": {"outputs": {models.OUTPUT: answers[::-1]}},
        "answers of NaN": {"outputs": {models.OUTPUT: [None] * len(answers)}},
        "tolerance below zero": {"absolute_tolerance": -1.0},
    }.items():
        yield f"golden.json: {change}", _write_json("golden.json", golden | changed)


def graphs() -> Iterator[tuple[str, Change]]:
    """Graphs of other inputs, outputs, operators or weights than the rest of the bundle says."""

    def node(kind: str, domain: str = "") -> Callable[[ModelProto], None]:
        def change(model: ModelProto) -> None:
            model.graph.node.append(helper.make_node(kind, ["score"], ["more"], domain=domain))
            if domain:
                model.opset_import.append(helper.make_opsetid(domain, 1))

        return change

    yield "operator of a foreign domain", _graph(node("Download", "com.example.evil"))
    yield "operator of a domain without a name for it", _graph(node("Shell", "ai.onnx.ml"))
    yield "operator that there is not", _graph(node("Exec"))
    yield "operators of a version to come", _graph(lambda model: setattr(model.opset_import[0], "version", 999))
    yield "format of a version to come", _graph(lambda model: setattr(model, "ir_version", 999))
    yield "no operators at all", _graph(lambda model: model.graph.ClearField("node"))
    yield "no graph at all", _graph(lambda model: model.ClearField("graph"))
    yield "no outputs", _graph(lambda model: model.graph.ClearField("output"))
    yield "no inputs", _graph(lambda model: model.graph.ClearField("input"))
    yield "an input of another name", _graph(lambda model: setattr(model.graph.input[0], "name", "town"))
    yield "an output of another name", _graph(lambda model: setattr(model.graph.output[0], "name", "chance"))
    yield (
        "an input too many",
        _graph(
            lambda model: model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["rows"]))
        ),
    )
    for column in range(len(models.INPUTS)):
        yield (
            f"input {column} of another type",
            _graph(
                lambda model, column=column: setattr(
                    model.graph.input[column].type.tensor_type, "elem_type", TensorProto.DOUBLE
                )
            ),
        )
        yield (
            f"input {column} of another rank",
            _graph(lambda model, column=column: model.graph.input[column].type.tensor_type.shape.dim.add()),
        )
    for number, weight in enumerate(models.graph().graph.initializer):
        if weight.data_type == TensorProto.FLOAT:
            for value in (float("nan"), 3.5):
                yield (
                    f"weight {weight.name} is {value}",
                    _graph(
                        lambda model, number=number, value=value: model.graph.initializer[number].CopyFrom(
                            helper.make_tensor(model.graph.initializer[number].name, TensorProto.FLOAT, [], [value])
                        )
                    ),
                )
    yield "a circle", _graph(lambda model: model.graph.node[0].input.__setitem__(0, "score"))
    places = (
        "weights.bin",
        "../weights.bin",
        "/etc/passwd",
        "model.onnx",
        "",
        "/proc/self/environ",
        "C:\\weights",
        "a/b",
    )
    for place in places:
        yield f"weights outside of the file: {place!r}", _graph(lambda model, place=place: _external(model, place))


def bombs() -> Iterator[tuple[str, Change]]:
    """Small files that ask for much memory, or for ever."""
    for name, shape in {"40 GB": [10_000, 1_000_000], "4 TB": [1_000_000, 1_000_000], "2^62": [1 << 62]}.items():
        yield f"a constant of {name}", _graph(lambda model, shape=shape: _fill(model, shape))
    yield "a range of 2^40", _graph(lambda model: _nodes(model, ("Range", ["start", "limit", "step"]), {
        "start": 0, "limit": 1 << 40, "step": 1}))  # fmt: skip
    yield (
        "weights that say more than they hold",
        _graph(lambda model: model.graph.initializer[0].dims.extend([1_000_000, 1_000_000])),
    )
    yield "weights of a size below zero", _graph(lambda model: model.graph.initializer[0].dims.append(-1))
    yield "a loop without end", _graph(_endless)
    yield "graphs within graphs", _write("model.onnx", _nested())


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
        yield name, _write("model.onnx", data)
    for number in range(6):
        yield f"noise {number}", _write("model.onnx", noise(10 ** (number + 1)))


def _write(name: str, data: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(data)


def _write_json(name: str, document: object) -> Change:
    return _write(name, json.dumps(document).encode())


def _link(place: Path, target: Path) -> None:
    if target.is_absolute() and target.parts[1] == "dev":
        place.unlink()
    else:
        place.rename(target)
    place.symlink_to(target)


def _graph(change: Callable[[ModelProto], object]) -> Change:
    def apply(folder: Path) -> None:
        model = ModelProto.FromString((folder / "model.onnx").read_bytes())
        change(model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    return apply


def _external(model: ModelProto, place: str) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "4")):
        weight.external_data.add(key=key, value=value)


def _nodes(model: ModelProto, node: tuple[str, list[str]], constants: dict[str, int]) -> None:
    """Put the size of a huge tensor into the answer, so that it has to be made."""
    for name, value in constants.items():
        model.graph.initializer.append(helper.make_tensor(f"{name}_", TensorProto.INT64, [], [value]))
    nodes = [
        helper.make_node(node[0], [f"{name}_" for name in node[1]], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["summed"], keepdims=0),
        helper.make_node("Cast", ["summed"], ["number"], to=TensorProto.FLOAT),
    ]
    _into_answer(model, nodes)


def _fill(model: ModelProto, shape: list[int]) -> None:
    model.graph.initializer.append(helper.make_tensor("shape_", TensorProto.INT64, [len(shape)], shape))
    _into_answer(
        model,
        [
            helper.make_node("ConstantOfShape", ["shape_"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["number"], keepdims=0),
        ],
    )


def _endless(model: ModelProto) -> None:
    """A loop of 2^62 turns that adds zero."""
    kind = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Mul", ["sum_in", "sum_in"], ["sum_out"])],
        "turn",
        [
            kind("turn", TensorProto.INT64, []),
            kind("going", TensorProto.BOOL, []),
            kind("sum_in", TensorProto.FLOAT, []),
        ],
        [kind("goes", TensorProto.BOOL, []), kind("sum_out", TensorProto.FLOAT, [])],
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
