import re

import msgspec
import numpy as np
import onnx
import pyarrow as pa
import pytest
from kedro.io import DataCatalog

from contracts.bundle import Bundle, Input, Manifest, Output
from contracts.errors import InputError
from pipelines.packaging import graph, inference, manifest
from pipelines.training import encoder, encoding
from pipelines.training.calibration import Calibration
from pipelines.training.encoding import Target
from pipelines.training.model import Description, Model
from pipelines.training.network import Network
from serving.runtime import Model as Runtime
from tests.training import small

ODD = {  # what the graph has to answer without ever having seen it
    "town": ["Brig", None, "", "Zermatt", "brig", "Ahl"],
    "shop": ["shop 01", "no such shop", "Shop 01", "shop 59", "shop 02", "x" * 1000],
    "shelves": [3, -1, 10**12, 0, 11, 12],
    "floors": [1.0, None, 99.0, 0.0, -3.0, 4.0],
    "temperature": [12.5, None, 1e30, -1e30, 0.0, 3e-45],
    "price": [20.0, 1e9, -5.0, 0.0, 40.5, 3.4e38],
    "holiday": [True, False, True, False, True, False],
    "heated": [1.0, None, 0.0, 1.0, 0.0, None],
}


@pytest.fixture(scope="module", params=small.TASKS)
def made(request) -> DataCatalog:
    return small.finished(request.param).catalog


def untrained(columns: dict[str, pa.Array], task: str = "binary", classes: tuple[str, ...] = ()) -> Model:
    table = pa.table(columns)
    target = Target(task=task, classes=classes)
    learned = encoder.learn(table, list(columns), target, small.parameters().encoding)
    network = Network(learned, (4,), 0.0, 4)
    about = Description(
        inputs_hash="0" * 64,
        encoding=learned,
        hidden=(4,),
        dropout=0.0,
        embedding=4,
        calibration=Calibration(shift=(0.0,) * target.width),
        epochs=(),
        best_epoch=0,
        device="cpu",
    )
    return Model(description=about, weights={name: weight.numpy() for name, weight in network.state_dict().items()})


def test_the_graph_gives_what_the_network_gives_over_the_whole_test_split(made):
    parity = made.load("parity")

    assert parity.rows == made.load("splits")["test"].count_rows()
    assert 0 < parity.maximum_error < 1e-5
    assert parity.digest == made.load("bundle").digest


def test_unseen_missing_and_absurd_values_are_answered_as_the_network_does(made):
    bundle, model = made.load("bundle"), made.load("model")
    kinds = {"floors": pa.float64(), "heated": pa.float64()}
    table = pa.table({name: pa.array(values, kinds.get(name)) for name, values in ODD.items()})
    rows = table.append_column("label", pa.array(["low"] * 6 if bundle.manifest.task == "multiclass" else [0.0] * 6))
    learned = model.description.encoding
    floors, heated = (table[name].cast(kind) for name, kind in (("floors", pa.int64()), ("heated", pa.int8())))
    rows = rows.set_column(3, "floors", floors).set_column(7, "heated", heated)
    expected = model.module().of(encoding.encode(rows, learned))
    answer = Runtime(bundle).predict(ODD)[bundle.manifest.outputs[0].name]

    assert np.isfinite(answer).all()
    np.testing.assert_allclose(answer, expected, atol=1e-5, rtol=1e-5)


def test_one_row_is_answered_as_many_are(made):
    bundle = made.load("bundle")
    runtime, output = Runtime(bundle), bundle.manifest.outputs[0].name
    many = runtime.predict(ODD)[output]
    single = [
        runtime.predict({name: values[row : row + 1] for name, values in ODD.items()})[output] for row in range(6)
    ]

    np.testing.assert_allclose(np.concatenate(single), many, atol=1e-6, rtol=1e-6)


def test_probabilities_are_probabilities(made):
    bundle = made.load("bundle")
    answer = Runtime(bundle).predict(ODD)[bundle.manifest.outputs[0].name]

    if bundle.manifest.task == "binary":
        assert ((answer > 0) & (answer < 1)).all()
    if bundle.manifest.task == "multiclass":
        assert answer.shape == (6, 3)
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)


def test_only_operators_of_the_budgets_are_in_it(made):
    allowed = made.load("budgets").model.operators
    found = {node.op_type for node in onnx.load_from_string(made.load("bundle").model).graph.node}

    assert found <= set(allowed)


def test_nothing_in_it_tells_who_exported_it_or_where(made):
    model = made.load("bundle").model

    assert not re.search(rb"pytorch|torch\.|\.py\b|/tmp|/home|/usr|line \d", model)
    parsed = onnx.load_from_string(model)
    assert (parsed.producer_name, parsed.producer_version, parsed.doc_string) == ("", "", "")
    assert not parsed.metadata_props
    assert not any(node.name or node.doc_string or node.metadata_props for node in parsed.graph.node)


def test_the_same_model_gives_the_same_bytes(made):
    model, described = made.load("model"), made.load("bundle").manifest

    assert graph.build(model, described) == graph.build(model, described) == made.load("bundle").model


@pytest.mark.parametrize(
    "columns",
    [
        {"only": pa.array(["a"] * 5 + ["b"] * 5)},
        {"only": pa.array([1.0, 2.0, 3.0])},
        {"only": pa.array([True, False])},
        {"numbers": pa.array([1.0, 2.0] * 9), "code_0": pa.array(["a", "b"] * 9), "answer": pa.array([1, 2] * 9)},
        {"useless": pa.array(["a", "b", "c"]), "number": pa.array([1.0, 2.0, 3.0])},
    ],
)
def test_models_of_strings_only_of_numbers_only_and_of_odd_names_are_graphs_too(columns):
    model = untrained(columns)
    kinds = {"double": "float32", "string": "string", "bool": "bool", "int64": "int64"}
    described = Manifest(
        name="m",
        task="binary",
        target="t",
        inputs=tuple(Input(name=name, dtype=kinds[str(column.type)]) for name, column in columns.items()),
        outputs=(Output(name="probability"),),
    )
    table = pa.table(columns)
    feeds = inference.columns(table, described.inputs)
    found = inference.session(graph.build(model, described)).run(["probability"], feeds)[0]
    labelled = table.append_column("label", pa.array([0.0] * table.num_rows))

    np.testing.assert_allclose(
        found, model.module().of(encoding.encode(labelled, model.description.encoding)), atol=1e-6
    )


def test_a_feature_with_the_name_of_the_output_is_one_line():
    schema = small.schema()
    features = {"probability": schema.features["price"]}
    renamed = msgspec.structs.replace(schema, features=features)

    with pytest.raises(InputError, match=r"features.probability: is the name of the model's output; rename"):
        manifest.describe(renamed, untrained({"probability": pa.array([1.0, 2.0])}).description.encoding, PARAMETERS)


PARAMETERS = msgspec.convert(small.PACKAGING, small.Packaging)


def test_what_may_be_missing_and_has_no_missing_value_travels_as_a_float(made):
    bundle: Bundle = made.load("bundle")
    found = {column.name: (column.dtype, column.nullable) for column in bundle.manifest.inputs}

    assert found == {
        "town": ("string", True),
        "shop": ("string", False),
        "shelves": ("int64", False),
        "floors": ("float32", True),
        "temperature": ("float32", True),
        "price": ("float32", False),
        "holiday": ("bool", False),
        "heated": ("float32", True),
    }
