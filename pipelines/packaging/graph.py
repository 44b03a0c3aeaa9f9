"""The ONNX graph: named raw columns in, predictions out.

PyTorch exports the network; in front of it come the encoders that PyTorch has no words for: strings and integers to
codes (LabelEncoder of ai.onnx.ml), columns to one matrix. Whatever an exporter says about itself is taken out, so that
the same model gives the same bytes.
"""

import io
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, checker, compose, helper, numpy_helper
from torch import Tensor, nn

from contracts.bundle import Input, Manifest
from pipelines.training.encoding import FIRST, UNKNOWN, Category
from pipelines.training.model import Answer, Model

OPSET, ML_OPSET, IR = 20, 3, 9  # what onnxruntime 1.32 runs without a warning; fixed, so that an upgrade is a decision
ROWS = "rows"  # the name of the only dimension that is not fixed
NETWORK = "network/"  # in front of every name inside the exported part; no column has a slash
TYPES = {
    "string": TensorProto.STRING,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def build(model: Model, manifest: Manifest) -> bytes:
    """The graph of a model as bytes, the same ones for the same model."""
    inputs = {column.name: column for column in manifest.inputs}
    network = _exported(model)
    needed = {value.name for value in network.graph.input}
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    for index, category in enumerate(model.description.encoding.categories):
        made, more = _encoder(category, inputs[category.name], NETWORK + f"code_{index}")
        nodes += made
        constants += more
    if NETWORK + "numbers" in needed:
        columns = [inputs[number.name] for number in model.description.encoding.numbers]
        made, more = _matrix(columns, NETWORK + "numbers")
        nodes += made
        constants += more
    output = manifest.outputs[0]
    shape = [ROWS] if output.width == 1 else [ROWS, output.width]
    last = next(node for node in network.graph.node if network.graph.output[0].name in node.output)
    last.output[0] = output.name
    nodes += network.graph.node
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(column.name, TYPES[column.dtype], [ROWS]) for column in manifest.inputs],
        [helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape)],
        [*constants, *network.graph.initializer],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="", producer_version="")
    _strip(whole)
    checker.check_model(whole, full_check=True)
    return whole.SerializeToString(deterministic=True)


class _Network(nn.Module):
    """The network with one input per category and one for all numbers, as the encoders give them."""

    def __init__(self, answer: Answer, categories: int) -> None:
        super().__init__()
        self.answer, self.categories = answer, categories

    def forward(self, *columns: Tensor) -> Tensor:
        codes = list(columns[: self.categories])
        numbers = columns[self.categories] if len(columns) > self.categories else torch.empty(0)
        return self.answer.finish(self.answer.network.combine(codes, numbers))


def _exported(model: Model) -> ModelProto:
    """The network as PyTorch exports it, with `NETWORK` before every name."""
    encoding = model.description.encoding
    names = [f"code_{index}" for index in range(len(encoding.categories))]
    example: list[Tensor] = [torch.zeros(2, dtype=torch.int64) for _ in names]
    if encoding.numbers:
        names.append("numbers")
        example.append(torch.zeros(2, len(encoding.numbers)))
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Export by tracing: the new exporter takes seconds more, and a network without branches looks the same in both.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            _Network(model.module(), len(encoding.categories)).eval(),
            tuple(example),
            file,
            input_names=names,
            output_names=["answer"],
            dynamic_axes={name: {0: ROWS} for name in [*names, "answer"]},
            opset_version=OPSET,
            dynamo=False,
        )
    return compose.add_prefix(onnx.load_from_string(file.getvalue()), NETWORK)


def _encoder(category: Category, column: Input, output: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes that give the code of a column, int64 [rows], as pipelines/training/encoding.py does."""
    name = f"{output}/"
    codes = range(FIRST, category.size)
    if column.dtype == "string":
        values = [*category.values, ""]
        return [_lookup(column.name, output, "keys_strings", values, [*codes, category.missing_code])], []
    if column.dtype == "int64":
        return [_lookup(column.name, output, "keys_int64s", category.values, codes)], []
    # A whole number that may be missing travels as a float: NaN is looked up apart.
    nodes = [
        helper.make_node("IsNaN", [column.name], [name + "missing"]),
        helper.make_node("Where", [name + "missing", name + "zero", column.name], [name + "given"]),
        helper.make_node("Cast", [name + "given"], [name + "whole"], to=TensorProto.INT64),
        _lookup(name + "whole", name + "known", "keys_int64s", category.values, codes),
        helper.make_node("Where", [name + "missing", name + "code", name + "known"], [output]),
    ]
    return nodes, [
        numpy_helper.from_array(np.zeros(1, np.float32), name + "zero"),
        numpy_helper.from_array(np.array([category.missing_code], np.int64), name + "code"),
    ]


def _lookup(given: str, found: str, kind: str, keys: Sequence[object], codes: Sequence[int]) -> NodeProto:
    attributes = {kind: list(keys), "values_int64s": list(codes), "default_int64": UNKNOWN}
    return helper.make_node("LabelEncoder", [given], [found], domain="ai.onnx.ml", **attributes)


def _matrix(columns: Sequence[Input], output: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes that put numeric columns [rows] side by side: float32 [rows, columns]."""
    name = f"{output}/"
    nodes, parts = [], []
    for column in columns:
        if column.dtype == "float32":
            parts.append(column.name)
        else:
            parts.append(f"{name}{column.name}")
            nodes.append(helper.make_node("Cast", [column.name], [parts[-1]], to=TensorProto.FLOAT))
    # One after the other, then turned: three nodes instead of one for every column.
    nodes += [
        helper.make_node("Concat", parts, [name + "long"], axis=0),
        helper.make_node("Reshape", [name + "long", name + "shape"], [name + "wide"]),
        helper.make_node("Transpose", [name + "wide"], [output], perm=[1, 0]),
    ]
    return nodes, [numpy_helper.from_array(np.array([len(columns), -1], np.int64), name + "shape")]


def _strip(model: ModelProto) -> None:
    """Take out what tells about the exporter and the machine: names of nodes, documentation, metadata, paths."""
    for field in ("producer_name", "producer_version", "doc_string", "metadata_props", "functions"):
        model.ClearField(field)
    for field in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
        model.graph.ClearField(field)
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("name")
