"""The versions that are delivered: the reference model again, and what may be wrong with a version, in its bundle alone.

Each is the bundle that `make train` made with something appended to its graph: a text that changes the digest and nothing
else, or a fault. Golden rows are what the changed graph answers, so that every version is whole by its own measure: it
passes its build, and only traffic (or the start in a pod) shows what is wrong.
"""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench import handmade
from contracts import bundle as bundles
from contracts.bundle import Bundle, Contents, Golden
from contracts.errors import InputError

ERRORS, SLOW, SHIFTED, CRASHING, UNPULLABLE = "errors", "slow", "shifted", "crashing", "unpullable"
HANGING = "hanging"  # so slow that most clients have given up before it answers
NEVER_THERE = "unpullable-first"  # another one that is never pushed: an environment's first
BAD = (ERRORS, SLOW, SHIFTED, CRASHING, UNPULLABLE, HANGING, NEVER_THERE)
ERROR_SHARE = 20  # one request in so many carries the mark that a bad version cannot answer, or not soon
SIDE = 1200  # of the matrix that a slow version multiplies: some 40 ms of a core, of which a pod has a fifth
CRASH_FLOATS = 400_000_000  # 1.6 GB, more than a pod may have
PLAIN = "plain answer"


def base(store: Path, wanted: str = "") -> Bundle:
    """The bundle that the versions are made of: the one named, or the last that was trained."""
    if wanted:
        return bundles.load(Path(wanted))
    latest = store / "latest.json"
    if not latest.is_file():
        raise InputError(f"{latest}: no bundle here yet; run `make train`, or name one: BUNDLE=folder")
    return bundles.load(store / json.loads(latest.read_text())["path"])


def mark(model: Bundle) -> tuple[str, float]:
    """The column and the value by which a request is told that a version with errors cannot answer."""
    for column in model.manifest.inputs:
        if column.dtype == "float32" and column.width == 1 and column.minimum is not None:
            value = float(np.float32(column.minimum + 0.4375 * ((column.maximum or 0.0) - column.minimum) + 0.03125))
            if value not in model.golden.inputs[column.name]:
                return column.name, value
    raise InputError(f"{model.path}: has no number column with a range, by which to mark a request")


def questions(model: Bundle) -> dict:
    """What a client needs to ask: the golden rows as tensors of one row each, and the mark."""
    types = {"string": "BYTES", "float32": "FP32", "int64": "INT64", "bool": "BOOL"}
    name, value = mark(model)
    return {
        "path": f"/v2/models/{model.manifest.name}/infer",
        "columns": [[column.name, types[column.dtype]] for column in model.manifest.inputs],
        "rows": list(zip(*(model.golden.inputs[column.name] for column in model.manifest.inputs), strict=True)),
        "mark": {"column": name, "value": value, "every": ERROR_SHARE},
    }


def write(store: Path, model: Bundle, name: str) -> Bundle:
    """The version of this name in a store of bundles: one of BAD, or any other name for a good one."""
    graph = onnx.load_model_from_string(model.model)
    graph.doc_string = f"version {name}"
    if change := FAULTS.get(name):
        change(graph, model)
    data = graph.SerializeToString(deterministic=True)
    provenance = msgspec.structs.replace(model.provenance, version=name, git_dirty=False)
    card = f"# {model.manifest.name}, {name}\n\nThe reference model, changed for tests of its delivery.\n"
    golden = model.golden if name == CRASHING else answered(data, model)
    return bundles.write(
        store,
        Contents(
            model=data,
            manifest=model.manifest,
            golden=golden,
            profile=model.profile,
            provenance=provenance,
            model_card=card,
        ),
    )


def answered(data: bytes, model: Bundle) -> Golden:
    """The golden rows as this graph answers them."""
    outputs = handmade.answers(handmade.session(data), model.manifest, model.golden.inputs)
    return msgspec.structs.replace(model.golden, outputs={name: values.tolist() for name, values in outputs.items()})


def _errors(graph: onnx.ModelProto, model: Bundle) -> None:
    """No number for marked requests."""
    column, value = mark(model)
    wide = model.manifest.outputs[0].width > 1
    _number(graph, "no number", np.float32("nan"))
    _number(graph, "mark", np.float32(value))
    _append(graph, "Equal", [column, "mark"], "is marked")
    if wide:
        _number(graph, "last axis", np.array([1], np.int64))
        _append(graph, "Unsqueeze", ["is marked", "last axis"], "row is marked")
    _answer(graph, "Where", ["row is marked" if wide else "is marked", "no number", PLAIN])


def _slow(graph: onnx.ModelProto, model: Bundle) -> None:
    """A matrix product before the answer to marked requests: few are slow, so it costs little and answers them all.

    A pod has a fifth of a core: 20 ms in each 100. What takes 40 ends in the third period, above what is promised.
    """
    column, value = mark(model)
    _number(graph, "mark", np.float32(value))
    _number(graph, "smallest", np.array([1, 1], np.int64))
    _number(graph, "more", np.array([SIDE - 1, SIDE - 1], np.int64))
    _append(graph, "Equal", [column, "mark"], "is marked")
    _append(graph, "Cast", ["is marked"], "one or zero", to=onnx.TensorProto.INT64)
    _append(graph, "ReduceMax", ["one or zero"], "any", keepdims=0)
    _append(graph, "Mul", ["any", "more"], "added")
    _append(graph, "Add", ["smallest", "added"], "side")
    _multiply(graph)


def _hanging(graph: onnx.ModelProto, model: Bundle) -> None:
    """The same before each answer: at a share of 50 requests a second a pod is asked for ten times what it has."""
    _number(graph, "side", np.array([SIDE, SIDE], np.int64))
    _multiply(graph)


def _multiply(graph: onnx.ModelProto) -> None:
    """The same answers after a product of matrices of that side; they depend on the request: nothing folds it away."""
    _number(graph, "zero", np.float32(0.0))
    _number(graph, "one", np.float32(1.0))
    _append(graph, "ReduceMean", [PLAIN], "mean", keepdims=0)
    _append(graph, "Clip", ["mean", "zero", "one"], "clipped")
    _append(graph, "Expand", ["clipped", "side"], "matrix")
    _append(graph, "MatMul", ["matrix", "matrix"], "product")
    _append(graph, "ReduceMin", ["product"], "least", keepdims=0)
    _append(graph, "Mul", ["least", "zero"], "nothing")
    _answer(graph, "Add", [PLAIN, "nothing"])


def _shifted(graph: onnx.ModelProto, model: Bundle) -> None:
    """Answers moved towards the upper end, as after a unit that changed in the data."""
    _number(graph, "half", np.float32(0.5))
    _append(graph, "Mul", [PLAIN, "half"], "halved")
    _answer(graph, "Add", ["halved", "half"])


def _crashing(graph: onnx.ModelProto, model: Bundle) -> None:
    """The first answer, which is the golden rows' before a server is ready, takes more memory than a pod may have."""
    _number(graph, "no rows", np.array([0], np.int64))
    _number(graph, "size", np.array([CRASH_FLOATS], np.int64))
    _number(graph, "zero", np.float32(0.0))
    _append(graph, "Shape", [PLAIN], "shape", end=1)
    _append(graph, "Mul", ["shape", "no rows"], "none")
    _append(graph, "Add", ["none", "size"], "much")
    _append(graph, "ConstantOfShape", ["much"], "memory")
    _append(graph, "ReduceMax", ["memory"], "most", keepdims=0)
    _append(graph, "Mul", ["most", "zero"], "nothing")
    _answer(graph, "Add", [PLAIN, "nothing"])


FAULTS: dict[str, Callable[[onnx.ModelProto, Bundle], None]] = {
    ERRORS: _errors,
    SLOW: _slow,
    SHIFTED: _shifted,
    HANGING: _hanging,
    CRASHING: _crashing,
}


def _number(graph: onnx.ModelProto, name: str, value: np.ndarray | np.generic) -> None:
    graph.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _append(graph: onnx.ModelProto, kind: str, takes: list[str], gives: str, **attributes: int) -> None:
    graph.graph.node.append(helper.make_node(kind, takes, [gives], **attributes))


def _answer(graph: onnx.ModelProto, kind: str, takes: list[str]) -> None:
    """The last node: what gave the answer so far gives PLAIN, and this one gives the answer of that name."""
    output = graph.graph.output[0].name
    for node in graph.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = PLAIN
    graph.graph.node.append(helper.make_node(kind, takes, [output]))
