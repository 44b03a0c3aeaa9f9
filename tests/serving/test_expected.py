"""What is decoded by types is read as the protocol reads it, or not at all."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from bench import handmade
from contracts import bundle
from serving import protocol
from serving.columns import ColumnError
from serving.exchange import Problem
from serving.expected import Expected
from serving.runtime import Model
from tests import bundles

MAXIMUM_ROWS = 4
USUAL = {
    "station": ("BYTES", st.sampled_from(["north", "", "unseen", None])),
    "temperature": ("FP32", st.floats(-50, 50) | st.none() | st.integers(-5, 5)),
    "hour": ("INT64", st.integers(0, 23)),
    "holiday": ("BOOL", st.booleans()),
}
STRANGE = st.sampled_from(
    [None, True, 1, 0, 2**24 + 1, 2**31, 2**63, 2**64, 2**70, 1.5, -0.0, 1e39, 1e308, "", "1", [1], [[1]], {}]
)
KINDS = st.sampled_from(["FP16", "FP32", "FP64", "INT8", "INT64", "UINT64", "BOOL", "BYTES", "fp32", ""])


@st.composite
def tensors(draw: st.DrawFn, name: str, rows: int) -> dict:
    """A tensor as most clients send it, or with something about it that is otherwise."""
    kind, values = USUAL[name]
    tensor: dict = {"name": name, "datatype": kind, "shape": [rows]}
    tensor["data"] = draw(st.lists(values, min_size=rows, max_size=rows))
    match draw(st.integers(0, 30)):
        case 0:
            tensor["data"][0:1] = [draw(STRANGE)]
        case 1:
            tensor["shape"] = draw(st.lists(st.integers(-1, 5), max_size=3))
        case 2:
            tensor["datatype"] = draw(KINDS)
        case 3:
            tensor["name"] = draw(st.sampled_from([*USUAL, "", "other"]))
        case 4:
            del tensor[draw(st.sampled_from(sorted(tensor)))]
        case 5:
            sizes = st.sampled_from([{}, {"binary_data_size": 8}, {"binary_data_size": None}, {"other": 1}])
            tensor["parameters"] = draw(sizes)
        case 6:
            tensor["data"] = [tensor["data"]]
        case 7:
            tensor["data"] = tensor["data"] * 2
        case _:
            pass
    return tensor


@st.composite
def documents(draw: st.DrawFn) -> dict:
    """The JSON of a request, mostly right."""
    rows = draw(st.sampled_from([1, 1, 2, 3, MAXIMUM_ROWS + 1, 0]))
    document = {"inputs": [draw(tensors(name, rows)) for name in USUAL]}
    match draw(st.integers(0, 20)):
        case 0:
            document["inputs"] = draw(st.permutations(document["inputs"]))
        case 1:
            document["inputs"].pop()
        case 2:
            document["inputs"].append(document["inputs"][0])
        case 3:
            document["id"] = draw(st.sampled_from(["a", "", None, 1]))
        case 4:
            document["parameters"] = {"binary_data_output": draw(st.booleans())}
        case 5:
            document["outputs"] = [{"name": "probability"}]
        case _:
            pass
    return document


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(bundles.write(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def expected(model: Model) -> Expected:
    return Expected(model.bundle, MAXIMUM_ROWS)


def as_the_protocol_says(
    model: Model, text: bytes, binary: bytes = b"", maximum_rows: int = MAXIMUM_ROWS
) -> tuple[dict[str, np.ndarray], int]:
    inputs = {column.name: column for column in model.manifest.inputs}
    columns, rows = protocol.columns(protocol.decode(text), inputs, maximum_rows, binary)
    return model.feeds(columns), rows


@given(document=documents())
def test_a_request_is_read_as_the_protocol_reads_it_or_left_to_it(
    model: Model, expected: Expected, document: dict
) -> None:
    text = json.dumps(document).encode()
    found = expected.decode(text)
    feeds = None if found is None else model.feeds_typed([found[1]], found[2])
    if found is None or feeds is None:
        return
    careful, rows = as_the_protocol_says(model, text)
    assert (found[2], feeds.keys()) == (rows, careful.keys())
    for name, array in careful.items():
        assert feeds[name].dtype == array.dtype
        np.testing.assert_array_equal(feeds[name], array, strict=True)
    request = protocol.decode(text)
    assert (found[0].id, found[0].outputs, found[0].parameters) == (request.id, request.outputs, request.parameters)


@given(document=documents())
def test_what_the_protocol_refuses_is_not_expected(model: Model, expected: Expected, document: dict) -> None:
    text = json.dumps(document).encode()
    try:
        as_the_protocol_says(model, text)
    except (Problem, ColumnError):
        found = expected.decode(text)
        assert found is None or model.feeds_typed([found[1]], found[2]) is None


NUMBERS = (
    bundle.Input(name="known", dtype="float32"),
    bundle.Input(name="maybe", dtype="float32", nullable=True),
    bundle.Input(name="pair", dtype="float32", width=2),
)
ODD = st.sampled_from([float("nan"), float("inf"), -0.0, 2.0**24, 1e38])


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of numbers only: known + maybe."""
    total = (bundle.Output(name="total"),)
    graph = handmade.graph("numbers", NUMBERS, total, [helper.make_node("Add", ["known", "maybe"], ["total"])], [])
    manifest = bundle.Manifest(name="numbers", task="regression", target="total", inputs=NUMBERS, outputs=total)
    rows = {"known": [1.0], "maybe": [2.0], "pair": [[3.0, 4.0]]}
    contents = handmade.contents(graph.SerializeToString(), manifest, rows)
    return Model(bundle.write(tmp_path_factory.mktemp("store"), contents))


@st.composite
def binaries(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """JSON and data of a request with binary tensors, mostly right."""
    rows, strange = draw(st.sampled_from([1, 2, 2, 0, MAXIMUM_ROWS + 1])), draw(st.integers(0, 12))
    inputs, data = [], b""
    for column in NUMBERS:
        usual = st.floats(-50, 50, width=32) | (ODD if strange == 0 else st.nothing())
        values = draw(st.lists(usual, min_size=rows * column.width, max_size=rows * column.width))
        part = np.array(values, "<f8" if strange == 1 else "<f4").tobytes()
        tensor = {
            "name": column.name,
            "datatype": "FP64" if strange == 1 else "FP32",
            "shape": [rows] if column.width == 1 else [rows, column.width],
            "parameters": {"binary_data_size": len(part) + draw(st.sampled_from([0] * 20 + [4, -4]))},
        }
        if strange == 2:
            tensor["data"] = values
        inputs.append(tensor)
        data += part
    if strange == 3:
        inputs = draw(st.permutations(inputs))
    return json.dumps({"inputs": inputs}).encode(), data + (b"rest" if strange == 4 else b"")


@given(sent=binaries())
def test_binary_numbers_are_read_as_the_protocol_reads_them_or_left_to_it(
    numbers: Model, sent: tuple[bytes, bytes]
) -> None:
    text, binary = sent
    found = Expected(numbers.bundle, MAXIMUM_ROWS).decode_binary(text, binary)
    feeds = None if found is None else numbers.feeds_typed([found[1]], found[2])
    if found is None or feeds is None:
        return
    careful, rows = as_the_protocol_says(numbers, text, binary)
    assert found[2] == rows
    for name, array in careful.items():
        np.testing.assert_array_equal(feeds[name], array, strict=True)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["the model's order", "another"])
def test_inputs_are_expected_in_any_order(numbers: Model, model: Model, expected: Expected, order: slice) -> None:
    found = expected.decode(json.dumps({"inputs": usual(1)["inputs"][order]}).encode())
    assert found is not None
    assert [list(data) for data in found[1]] == [["north"], [1.5], [0], [True]]
    sizes, data = {"known": 4, "maybe": 4, "pair": 8}, {"known": b"know", "maybe": b"mayb", "pair": b"onepairs"}
    names = list(sizes)[order]
    tensors = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": [1, 2] if name == "pair" else [1],
            "parameters": {"binary_data_size": sizes[name]},
        }
        for name in names
    ]
    text, binary = json.dumps({"inputs": tensors}).encode(), b"".join(data[name] for name in names)
    in_binary = Expected(numbers.bundle, MAXIMUM_ROWS).decode_binary(text, binary)
    assert in_binary is not None
    assert in_binary[1] == [b"know", b"mayb", b"onepairs"]


def test_binary_numbers_are_laid_out_as_they_came(numbers: Model) -> None:
    text = [
        {"name": "known", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "maybe", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "pair", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
    ]
    data = np.array([1.5, 2.5, 3.5, 4.5], "<f4").tobytes()
    found = Expected(numbers.bundle, MAXIMUM_ROWS).decode_binary(json.dumps({"inputs": text}).encode(), data)
    assert found is not None
    feeds = numbers.feeds_typed([found[1]] * 2, 2)
    assert feeds is not None
    assert {name: array.tolist() for name, array in feeds.items()} == {
        "known": [1.5, 1.5],
        "maybe": [2.5, 2.5],
        "pair": [[3.5, 4.5], [3.5, 4.5]],
    }


@pytest.mark.parametrize("size", [1, 200])
def test_many_numbers_are_read_as_few(numbers: Model, size: int) -> None:
    """From some size on they are packed, and meet others that are not."""
    expected = Expected(numbers.bundle, 1000)
    columns = {"known": [0.5] * size, "maybe": [1.5, None, 2.5][:size] + [3] * (size - 3), "pair": [1.25] * size * 2}
    kinds = [("FP32", [size]), ("FP64", [size]), ("FP32", [size, 2])]
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "data": data}
        for (name, data), (kind, shape) in zip(columns.items(), kinds, strict=True)
    ]
    text = json.dumps({"inputs": inputs}).encode()
    found = expected.decode(text)
    assert found is not None
    feeds = numbers.feeds_typed([found[1]], size)
    careful, _ = as_the_protocol_says(numbers, text, maximum_rows=1000)
    assert feeds is not None
    for name, array in careful.items():
        np.testing.assert_array_equal(feeds[name], array, strict=True)


def usual(rows: int) -> dict:
    values = {"station": ["north", None, "south"], "temperature": [1.5, None, 3], "hour": [0, 6, 12]}
    values["holiday"] = [True, False, True]
    kinds = {name: kind for name, (kind, _) in USUAL.items()}
    tensors = [
        {"name": name, "datatype": kinds[name], "shape": [rows], "data": data[:rows]} for name, data in values.items()
    ]
    return {"inputs": tensors}


@pytest.mark.parametrize("rows", [1, 3])
def test_what_most_clients_send_is_expected(model: Model, expected: Expected, rows: int) -> None:
    found = expected.decode(json.dumps(usual(rows)).encode())
    assert found is not None
    assert model.feeds_typed([found[1]], rows) is not None


@pytest.mark.parametrize("sizes", [(1, 1), (1, 3), (3, 2, 1)])
def test_several_requests_are_read_as_each_alone(model: Model, expected: Expected, sizes: tuple[int, ...]) -> None:
    found = [expected.decode(json.dumps(usual(rows)).encode()) for rows in sizes]
    values = [one[1] for one in found if one is not None]
    together = model.feeds_typed(values, sum(sizes))
    alone = [model.feeds_typed([one], rows) for one, rows in zip(values, sizes, strict=True)]
    assert together is not None
    for name, array in together.items():
        np.testing.assert_array_equal(array, np.concatenate([feeds[name] for feeds in alone if feeds]), strict=True)


def test_a_model_whose_numbers_are_large_is_left_to_the_protocol(tmp_path_factory: pytest.TempPathFactory) -> None:
    contents = bundles.tiny()
    large = bundle.NumericProfile(edges=[1e3, 1e9], counts=[1, 1, 1], missing=0)
    profile = bundle.ReferenceProfile(
        rows=3, inputs={**contents.profile.inputs, "temperature": large}, predictions=contents.profile.predictions
    )
    written = bundle.write(tmp_path_factory.mktemp("store"), msgspec.structs.replace(contents, profile=profile))
    assert Expected(written, MAXIMUM_ROWS).decode(json.dumps(usual(1)).encode()) is None
