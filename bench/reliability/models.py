"""Bundles to do harm to: four raw columns of every kind, a vector, a binary answer; `shift` tells two versions apart.

score = city + 0.1 load (0 where missing) + 0.05 age + member + 0.01 the sum of signal - 2 + shift; the answer is its
sigmoid. `width` adds a hidden layer of so many neurons twice, so that an answer
costs something; a `brittle` one fails on an age of 24 and more, which its golden rows do not have.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from bench import handmade
from contracts import bundle

NAME = "reliable"
OUTPUT = "probability"
VECTOR = 4
CITIES = {"Oslo": 0.5, "Łódź": -0.5, "東京": 1.0}
INPUTS = (
    bundle.Input(name="city", dtype="string", nullable=True, categories=tuple(CITIES)),
    bundle.Input(name="load", dtype="float32", nullable=True, minimum=-20.0, maximum=40.0),
    bundle.Input(name="age", dtype="int64", minimum=0, maximum=99),
    bundle.Input(name="member", dtype="bool"),
    bundle.Input(name="signal", dtype="float32", width=VECTOR),
)
DATATYPES = {"city": "BYTES", "load": "FP32", "age": "INT64", "member": "BOOL", "signal": "FP32"}
GOLDEN: dict[str, list] = {
    "city": ["Oslo", "Łódź", "東京", "elsewhere", None, "Oslo"],
    "load": [20.5, -3.25, None, 0.0, 31.0, None],
    "age": [0, 6, 12, 18, 23, 9],
    "member": [False, True, False, True, False, True],
    "signal": [[float(row - column) for column in range(VECTOR)] for row in range(6)],
}


MANIFEST = bundle.Manifest(
    name=NAME,
    task="binary",
    target="claim",
    inputs=INPUTS,
    outputs=(bundle.Output(name=OUTPUT),),
    decision_threshold=0.5,
)
_NUMERIC = bundle.NumericProfile(edges=[0.0, 10.0, 20.0], counts=[100, 300, 400, 100], missing=100)
PROFILE = bundle.ReferenceProfile(
    rows=1000,
    inputs={
        "city": bundle.CategoricalProfile(counts=dict.fromkeys(CITIES, 300), other=80, missing=20),
        "load": _NUMERIC,
        "age": _NUMERIC,
        "member": bundle.CategoricalProfile(counts={"false": 950, "true": 50}, other=0, missing=0),
    },
    predictions={OUTPUT: bundle.NumericProfile(edges=[0.25, 0.5, 0.75], counts=[250] * 4, missing=0)},
)


def write(store: Path, shift: float = 0.0, width: int = 0, version: str = "1", brittle: bool = False) -> bundle.Bundle:
    """A bundle in the store."""
    model = graph(shift, width, brittle).SerializeToString(deterministic=True)
    return bundle.write(store, handmade.contents(model, MANIFEST, GOLDEN, version=version, profile=PROFILE))


def graph(shift: float = 0.0, width: int = 0, brittle: bool = False) -> ModelProto:
    """The ONNX graph."""
    node = helper.make_node
    constants = {"zero": 0.0, "slope": 0.1, "growth": 0.05, "share": 0.01, "offset": -2.0 + shift}
    initializers = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in constants.items()]
    initializers.append(helper.make_tensor("columns", TensorProto.INT64, [1], [1]))
    encoder = {"keys_strings": list(CITIES), "values_floats": list(CITIES.values()), "default_float": 0.0}
    nodes = [
        node("LabelEncoder", ["city"], ["city_score"], domain="ai.onnx.ml", **encoder),
        node("IsNaN", ["load"], ["missing"]),
        node("Where", ["missing", "zero", "load"], ["known"]),
        node("Mul", ["known", "slope"], ["load_score"]),
        node("Cast", ["age"], ["age_number"], to=TensorProto.FLOAT),
        node("Mul", ["age_number", "growth"], ["age_score"]),
        node("Cast", ["member"], ["member_score"], to=TensorProto.FLOAT),
        node("ReduceSum", ["signal", "columns"], ["signal_sum"], keepdims=0),
        node("Mul", ["signal_sum", "share"], ["signal_score"]),
        node(
            "Sum",
            ["city_score", "load_score", "age_score", "member_score", "signal_score", "offset"],
            ["score"],
        ),
    ]
    score = "score"
    if brittle:
        initializers.append(helper.make_tensor("table", TensorProto.FLOAT, [24], [0.0] * 24))
        nodes += [node("Gather", ["table", "age"], ["found"]), node("Add", ["score", "found"], ["looked_up"])]
        score = "looked_up"
    if width:
        random = np.random.default_rng(1)
        for name, shape in {"w1": (1, width), "w2": (width, width), "w3": (width, 1)}.items():
            weights = (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
            initializers.append(numpy_helper.from_array(weights, name))
        nodes += [
            node("Unsqueeze", [score, "columns"], ["x0"]),
            node("MatMul", ["x0", "w1"], ["x1"]),
            node("Relu", ["x1"], ["x2"]),
            node("MatMul", ["x2", "w2"], ["x3"]),
            node("Relu", ["x3"], ["x4"]),
            node("MatMul", ["x4", "w3"], ["x5"]),
            node("Squeeze", ["x5", "columns"], ["deep"]),
        ]
        score = "deep"
    nodes.append(node("Sigmoid", [score], [OUTPUT]))
    return handmade.graph("reliable", INPUTS, MANIFEST.outputs, nodes, initializers)


class Oracle:
    """The right answers of a graph, from onnxruntime itself; the server's own code has no part in it."""

    def __init__(self, model: bytes) -> None:
        self._session = handmade.session(model)

    def __call__(self, rows: Mapping[str, list]) -> np.ndarray:
        """float32 [rows]; None is a missing value."""
        if not len(rows["age"]):
            return np.empty(0, np.float32)
        return handmade.answers(self._session, MANIFEST, rows)[OUTPUT]
