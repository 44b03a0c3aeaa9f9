"""A small bundle whose model fails, gives no number, or answers, as the rows want it: all that a monitor has to see."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
from onnx import TensorProto, helper

from bench import handmade
from contracts import bundle

NAME = "moody"
PLACES = ("north", "south", "east")
HOURS = 24
COLUMNS = (
    bundle.Input(name="place", dtype="string", nullable=True, categories=PLACES),
    bundle.Input(name="warmth", dtype="float32", nullable=True),
    bundle.Input(name="hour", dtype="int64", minimum=0, maximum=HOURS - 1),
)
OUTPUT = bundle.Output(name="probability", width=1)
GOLDEN = {"place": ["north", "south", None], "warmth": [1.5, None, -0.5], "hour": [0, 12, 23]}
FAILING_HOUR = 99  # no such place in the table of hours: onnxruntime gives up, and the server answers 500
NUMBERLESS_WARMTH = -1000.0  # the logarithm of a negative number: 422, no_finite_answer
PROFILE = bundle.ReferenceProfile(
    rows=1000,
    inputs={
        "place": bundle.CategoricalProfile(counts={"north": 500, "south": 300, "east": 150}, other=0, missing=50),
        "warmth": bundle.NumericProfile(edges=[-1.0, 0.0, 1.0], counts=[160, 340, 340, 160], missing=0),
        "hour": bundle.NumericProfile(edges=[5.0, 11.0, 17.0], counts=[250, 250, 250, 250], missing=0),
    },
    predictions={OUTPUT.name: bundle.NumericProfile(edges=[0.25, 0.5, 0.75], counts=[90, 410, 410, 90], missing=0)},
)


def write(store: Path, version: str = "1", shift: float = 0.0) -> bundle.Bundle:
    """A bundle in `store`; `shift` moves its answers."""
    manifest = bundle.Manifest(
        name=NAME,
        task="binary",
        target="rain",
        inputs=COLUMNS,
        outputs=(OUTPUT,),
        classes=(),
        decision_threshold=0.5,
    )
    graph = _graph(shift)
    return bundle.write(store, handmade.contents(graph, manifest, GOLDEN, version=version, profile=PROFILE))


def _graph(shift: float) -> bytes:
    """Sigmoid of warmth (0 where missing) + place + shift, if the hour is one and warmth above -100."""
    numbers = {"zero": 0.0, "shift": shift, "deep": 100.0}
    initializers = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in numbers.items()]
    initializers.append(helper.make_tensor("hours", TensorProto.FLOAT, [HOURS], [0.0] * HOURS))
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["place"],
            ["placed"],
            domain="ai.onnx.ml",
            keys_strings=list(PLACES),
            values_floats=[0.1, -0.1, 0.2],
            default_float=0.0,
        ),
        helper.make_node("IsNaN", ["warmth"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "warmth"], ["known"]),
        helper.make_node("Add", ["known", "deep"], ["above"]),
        helper.make_node("Log", ["above"], ["logarithm"]),
        helper.make_node("Mul", ["logarithm", "zero"], ["numberless"]),
        helper.make_node("Gather", ["hours", "hour"], ["hourly"]),
        helper.make_node("Sum", ["known", "placed", "numberless", "hourly", "shift"], ["score"]),
        helper.make_node("Sigmoid", ["score"], [OUTPUT.name]),
    ]
    return handmade.graph(NAME, COLUMNS, (OUTPUT,), nodes, initializers).SerializeToString(deterministic=True)


def requests(seed: int, failing: float = 0.0, numberless: float = 0.0, warmer: float = 0.0) -> Iterator[bytes]:
    """Bodies of requests of one row, without end; shares of them fail or get no number, all are `warmer` by so much."""
    draw = random.Random(seed)
    while True:
        kind = draw.random()
        hour = FAILING_HOUR if kind < failing else draw.randrange(HOURS)
        warmth = NUMBERLESS_WARMTH if failing <= kind < failing + numberless else draw.gauss(warmer, 1.0)
        place = draw.choices([*PLACES, None, "moon"], [50, 30, 15, 4, 1])[0]
        columns = (("place", "BYTES", place), ("warmth", "FP32", round(warmth, 3)), ("hour", "INT64", hour))
        inputs = [{"name": name, "datatype": kind, "shape": [1], "data": [value]} for name, kind, value in columns]
        yield msgspec.json.encode({"inputs": inputs})
