"""Small networks as bundles, the same bytes on every run: no training, no torch, only the `onnx` package."""

import itertools
import math
from pathlib import Path
from random import Random
from typing import Any

from onnx import TensorProto, helper

from bench import handmade
from contracts import bundle

WIDTH, CLASSES = 32, 2
GOLDEN_ROWS = 8
INPUTS = (bundle.Input(name="x", dtype="float32", width=WIDTH),)
OUTPUTS = (bundle.Output(name="logits", width=CLASSES),)


def write(store: Path, name: str, hidden: int) -> bundle.Bundle:
    """A network 32 - `hidden` - `hidden` - 2 with one tensor input `x`, as a bundle named `name`."""
    rows = {"x": drawn(GOLDEN_ROWS, seed=2)}
    manifest = bundle.Manifest(
        name=name, task="multiclass", target="class", inputs=INPUTS, outputs=OUTPUTS, classes=("no", "yes")
    )
    return bundle.write(store, handmade.contents(network(hidden), manifest, rows, tolerance=(1e-4, 1e-4)))


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
    model = handmade.graph("network", INPUTS, OUTPUTS, nodes, constants)
    return model.SerializeToString(deterministic=True)


def drawn(rows: int, seed: int) -> list[Any]:
    """Rows of standard normal numbers with six digits, as a client would print them."""
    random = Random(seed)
    return [[round(random.gauss(0, 1), 6) for _ in range(WIDTH)] for _ in range(rows)]
