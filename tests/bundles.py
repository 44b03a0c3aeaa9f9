"""Small, real bundles for tests: a graph from raw columns to predictions, with golden rows that it reproduces.

`tiny()` is binary, `tiny("multiclass")` has three classes, `tiny("regression")` gives a number. `shift` moves the
answers, so that two versions differ. Columns: `station` (string), `temperature` (float32, nullable),
`hour` (int64), `holiday` (bool).
"""

import functools
from pathlib import Path

from onnx import TensorProto, helper

from bench import handmade
from contracts import bundle

NAME = "rainy-days"
STATIONS = ("north", "south", "east")
OUTPUTS = {"binary": ("probability", 1), "multiclass": ("probabilities", 3), "regression": ("value", 1)}
INPUTS = (
    bundle.Input(name="station", dtype="string", nullable=True, categories=STATIONS),
    bundle.Input(name="temperature", dtype="float32", nullable=True, minimum=-20.0, maximum=40.0),
    bundle.Input(name="hour", dtype="int64", minimum=0, maximum=23),
    bundle.Input(name="holiday", dtype="bool"),
)
GOLDEN = {
    "station": ["north", "south", "east", "unseen", None, "north"],
    "temperature": [20.5, -3.25, None, 0.0, 31.0, None],
    "hour": [0, 6, 12, 18, 23, 9],
    "holiday": [False, True, False, True, False, True],
}


def write(store: Path, task: str = "binary", shift: float = 0.0, version: str = "1", name: str = NAME) -> bundle.Bundle:
    """A tiny bundle in the store `store`."""
    return bundle.write(store, tiny(task, shift, version, name))


@functools.cache
def tiny(task: str = "binary", shift: float = 0.0, version: str = "1", name: str = NAME) -> bundle.Contents:
    """What a tiny bundle is written from."""
    output, width = OUTPUTS[task]
    manifest = bundle.Manifest(
        name=name,
        task=task,
        target="rain",
        inputs=INPUTS,
        outputs=(bundle.Output(name=output, width=width),),
        classes=("none", "some", "much") if task == "multiclass" else (),
        decision_threshold=0.5 if task == "binary" else None,
    )
    return handmade.contents(
        graph(task, shift),
        manifest,
        GOLDEN,
        version=version,
        profile=bundle.ReferenceProfile(
            rows=1000,
            inputs={
                "station": bundle.CategoricalProfile(
                    counts={"north": 500, "south": 300, "east": 150}, other=30, missing=20
                ),
                "temperature": bundle.NumericProfile(edges=[0.0, 10.0, 20.0], counts=[100, 300, 400, 100], missing=100),
                "hour": bundle.NumericProfile(edges=[6.0, 12.0, 18.0], counts=[250, 250, 250, 250], missing=0),
                "holiday": bundle.CategoricalProfile(counts={"false": 950, "true": 50}, other=0, missing=0),
            },
            predictions={output: bundle.NumericProfile(edges=[0.25, 0.5, 0.75], counts=[250, 250, 250, 250], missing=0)}
            if width == 1
            else {},
        ),
    )


def graph(task: str = "binary", shift: float = 0.0) -> bytes:
    """score = station + 0.1 * temperature (0 where missing) + 0.05 * hour + holiday - 2 + shift, then what the task needs."""
    output, width = OUTPUTS[task]
    constants = {"zero": 0.0, "warmth": 0.1, "late": 0.05, "offset": -2.0 + shift}
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["station"],
            ["station_score"],
            domain="ai.onnx.ml",
            keys_strings=list(STATIONS),
            values_floats=[0.5, -0.5, 1.0],
            default_float=0.0,
        ),
        helper.make_node("IsNaN", ["temperature"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "temperature"], ["known"]),
        helper.make_node("Mul", ["known", "warmth"], ["temperature_score"]),
        helper.make_node("Cast", ["hour"], ["hour_number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["hour_number", "late"], ["hour_score"]),
        helper.make_node("Cast", ["holiday"], ["holiday_score"], to=TensorProto.FLOAT),
        helper.make_node(
            "Sum", ["station_score", "temperature_score", "hour_score", "holiday_score", "offset"], ["score"]
        ),
    ]
    initializers = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in constants.items()]
    if task == "binary":
        nodes.append(helper.make_node("Sigmoid", ["score"], [output]))
    elif task == "regression":
        nodes.append(helper.make_node("Identity", ["score"], [output]))
    else:
        initializers += [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("weights", TensorProto.FLOAT, [1, width], [-1.0, 0.0, 1.0]),
        ]
        nodes += [
            helper.make_node("Unsqueeze", ["score", "axis"], ["scores"]),
            helper.make_node("Mul", ["scores", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], [output], axis=1),
        ]
    outputs = (bundle.Output(name=output, width=width),)
    return handmade.graph("tiny", INPUTS, outputs, nodes, initializers).SerializeToString(deterministic=True)
