"""Small networks as bundles, the same bytes on every run: no training, no torch, only the `onnx` package."""

import itertools
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, checker, helper

from contracts import bundle

WIDTH, CLASSES = 32, 2
GOLDEN_ROWS = 8


def write(store: Path, name: str, hidden: int) -> bundle.Bundle:
    """A network 32 - `hidden` - `hidden` - 2 with one tensor input `x`, as a bundle named `name`."""
    model = network(hidden)
    rows = drawn(GOLDEN_ROWS, seed=2)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    answers = session.run(["logits"], {"x": np.array(rows, np.float32)})[0]
    return bundle.write(
        store,
        bundle.Contents(
            model=model,
            manifest=bundle.Manifest(
                name=name,
                task="multiclass",
                target="class",
                inputs=(bundle.Input(name="x", dtype="float32", width=WIDTH),),
                outputs=(bundle.Output(name="logits", width=CLASSES),),
                classes=("no", "yes"),
            ),
            golden=bundle.Golden(
                inputs={"x": rows},
                outputs={"logits": answers.tolist()},
                absolute_tolerance=1e-4,
                relative_tolerance=1e-4,
            ),
            profile=bundle.ReferenceProfile(rows=0, inputs={}, predictions={}),
            provenance=bundle.Provenance(
                version="1",
                created_at="2026-01-01T00:00:00Z",
                git_sha="0" * 40,
                git_dirty=False,
                inputs_hash="0" * 64,
                data_hash="0" * 64,
                parameters_hash="0" * 64,
                code_hash="0" * 64,
                requirements_hash="0" * 64,
                seed=1,
                data_from="",
                data_until="",
            ),
            model_card=f"# {name}\n\nRandom weights, for benchmarks only.\n",
        ),
    )


def network(hidden: int) -> bytes:
    """The graph: three matrix products with ReLU between them."""
    random = Random(1)
    sizes = [WIDTH, hidden, hidden, CLASSES]
    nodes, constants, last = [], [], "x"
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        bound = 1 / math.sqrt(fan_in)
        weights = [random.uniform(-bound, bound) for _ in range(fan_in * fan_out)]
        constants += [
            helper.make_tensor(f"weight{layer}", TensorProto.FLOAT, [fan_in, fan_out], weights),
            helper.make_tensor(f"bias{layer}", TensorProto.FLOAT, [fan_out], [0.0] * fan_out),
        ]
        final = layer == len(sizes) - 2
        product = "logits" if final else f"sum{layer}"
        nodes.append(helper.make_node("Gemm", [last, f"weight{layer}", f"bias{layer}"], [product]))
        if not final:
            nodes.append(helper.make_node("Relu", [product], [f"hidden{layer}"]))
        last = f"hidden{layer}"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", CLASSES])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def drawn(rows: int, seed: int) -> list[Any]:
    """Rows of standard normal numbers with six digits, as a client would print them."""
    random = Random(seed)
    return [[round(random.gauss(0, 1), 6) for _ in range(WIDTH)] for _ in range(rows)]
