"""The binary tensor extension, and inputs that are several numbers wide."""

import json
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from contracts import bundle
from serving import endpoints, protocol, tensors
from serving.batching import Batcher
from serving.columns import ColumnError
from serving.endpoints import Readiness
from serving.exchange import Problem, Request, Response
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from tests import bundles
from tests.servers import Turns, body
from tests.serving.sites import ROWS, Site, problem

DTYPES = {name: np.dtype(kind) for name, kind in tensors.DTYPES.items() if name != "BOOL"}


def binary(columns: dict[str, tuple[str, bytes]], rows: int = 2, **more: object) -> tuple[bytes, dict[bytes, bytes]]:
    """A body whose tensors are binary, and the header that says where its JSON ends."""
    inputs = [
        {"name": name, "datatype": kind, "shape": [rows], "parameters": {"binary_data_size": len(data)}}
        for name, (kind, data) in columns.items()
    ]
    text = json.dumps({"inputs": inputs, **more}).encode()
    return text + b"".join(data for _, data in columns.values()), {protocol.HEADER_LENGTH: b"%d" % len(text)}


def strings(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("store"))


BINARY = {
    "station": ("BYTES", strings("north", "")),
    "temperature": ("FP32", np.array([1.5, np.nan], "<f4").tobytes()),
    "hour": ("INT64", np.array([3, 4], "<i8").tobytes()),
    "holiday": ("BOOL", b"\x01\x00"),
}


def test_binary_tensors_say_what_json_says(site: Site) -> None:
    data, headers = binary(BINARY)
    assert (
        json.loads(site.infer(data, headers=headers).body)["outputs"]
        == json.loads(site.infer(body(ROWS)).body)["outputs"]
    )


@pytest.mark.parametrize(
    "wish",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]},
    ],
)
def test_an_answer_is_binary_where_that_is_wanted(site: Site, wish: dict) -> None:
    response = site.infer(body(ROWS, **wish))
    headers = dict(response.headers)
    assert headers[b"content-type"] == b"application/octet-stream"
    length = int(headers[protocol.HEADER_LENGTH])
    (output,) = json.loads(response.body[:length])["outputs"]
    assert (output["shape"], output["parameters"], "data" in output) == ([2], {"binary_data_size": 8}, False)
    expected = json.loads(site.infer(body(ROWS)).body)["outputs"][0]["data"]
    assert np.frombuffer(response.body[length:], "<f4").tolist() == expected


@pytest.mark.parametrize(
    ("name", "kind", "data", "reason"),
    [
        ("temperature", "FP32", b"\0" * 7, "bytes where"),
        ("station", "BYTES", strings("north"), "fewer strings"),
        ("station", "BYTES", strings("north", "x") + b"\0", "more data"),
        ("station", "BYTES", b"\xff\xff\xff\xff" + strings("north"), "ends beyond"),
        ("station", "BYTES", b"\x01\0\0\0\xff" + strings("x"), "not UTF-8"),
        ("holiday", "BOOL", b"\x02\x00", "not a truth value"),
        ("temperature", "FP32", np.array([np.inf, 1], "<f4").tobytes(), "infinite"),
    ],
)
def test_binary_data_that_do_not_fit_are_refused_by_name(
    site: Site, name: str, kind: str, data: bytes, reason: str
) -> None:
    sent, headers = binary({**BINARY, name: (kind, data)})
    refused = problem(site.infer(sent, headers=headers))
    assert (refused["status"], refused["field"]) == (400, name)
    assert reason in refused["detail"]


@pytest.mark.parametrize("length", [b"-1", b"x", b"99999999", b"9999999999999", b""])
def test_a_length_of_json_that_is_none_is_refused(site: Site, length: bytes) -> None:
    assert problem(site.infer(body(ROWS), headers={protocol.HEADER_LENGTH: length}))["status"] == 400


def test_binary_data_that_belong_to_nobody_are_refused(site: Site) -> None:
    data, headers = binary(BINARY)
    assert problem(site.infer(data + b"x", headers=headers))["field"] == "inputs"
    size = {"parameters": {"binary_data_size": 9}}
    both = json.loads(body(ROWS))
    both["inputs"][2] |= size
    assert "JSON and as binary" in problem(site.infer(json.dumps(both).encode()))["detail"]
    del both["inputs"][2]["data"]
    assert "does not hold" in problem(site.infer(json.dumps(both).encode()))["detail"]


@given(data=st.data(), kind=st.sampled_from(sorted(DTYPES)), values=st.integers(0, 9))
def test_numbers_come_back_as_they_were_written(data: st.DataObject, kind: str, values: int) -> None:
    raw = data.draw(st.binary(min_size=values * DTYPES[kind].itemsize, max_size=values * DTYPES[kind].itemsize))
    assert tensors.read("x", kind, raw, values).tobytes() == raw


@given(values=st.lists(st.text(max_size=5), max_size=5))
def test_strings_come_back_as_they_were_written(values: list[str]) -> None:
    assert tensors.read("x", "BYTES", strings(*values), len(values)).tolist() == values


@given(raw=st.binary(max_size=40), values=st.integers(0, 6), kind=st.sampled_from(["BYTES", "FP16", "INT32"]))
def test_whatever_comes_is_read_or_refused(raw: bytes, values: int, kind: str) -> None:
    try:
        assert len(tensors.read("x", kind, raw, values)) == values
    except ColumnError:
        pass


# --- several numbers wide


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """total = the sum of three numbers."""
    nodes = [helper.make_node("ReduceSum", ["x", "axis"], ["total"], keepdims=0)]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    contents = msgspec.structs.replace(
        bundles.tiny("regression"),
        model=model.SerializeToString(),
        manifest=bundle.Manifest(
            name="wide",
            task="regression",
            target="total",
            inputs=(bundle.Input(name="x", dtype="float32", width=3),),
            outputs=(bundle.Output(name="total"),),
        ),
        golden=bundle.Golden(
            inputs={"x": [[1.0, 2.0, 3.0]]}, outputs={"total": [6.0]}, absolute_tolerance=1e-6, relative_tolerance=0
        ),
        profile=bundle.ReferenceProfile(rows=1, inputs={}, predictions={}),
    )
    return Model(bundle.write(tmp_path_factory.mktemp("store"), contents))


def test_a_wide_input_is_taken_flat_nested_or_as_an_array(wide: Model) -> None:
    assert wide.verify_golden() == 0.0
    for values in ([1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]], np.arange(1.0, 7.0).reshape(2, 3)):
        assert wide.predict({"x": values})["total"].tolist() == [6.0, 15.0]


@pytest.mark.parametrize(
    "values", [[1, 2], [[1, 2], [3, 4, 5]], [[1, 2, 3], 4], np.zeros((2, 2)), np.zeros(3), [[1, 2, None]]]
)
def test_a_wide_input_of_another_shape_is_refused(wide: Model, values: object) -> None:
    with pytest.raises(ColumnError):
        wide.predict({"x": values})


@pytest.mark.parametrize(
    ("shape", "data", "fits"),
    [
        ([2, 3], [1, 2, 3, 4, 5, 6], True),
        ([2, 3], [[1, 2, 3], [4, 5, 6]], True),
        ([6], [1] * 6, False),
        ([3, 2], [1] * 6, False),
        ([2, 3], [1] * 5, False),
    ],
)
def test_the_shape_of_a_wide_tensor_has_to_be_said(wide: Model, shape: list[int], data: list, fits: bool) -> None:
    text = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": data}]}).encode()
    inputs = {column.name: column for column in wide.manifest.inputs}
    if fits:
        columns, rows = protocol.columns(protocol.decode(text), inputs, 10)
        assert (wide.run(wide.feeds_together([columns] * 2))["total"].tolist(), rows) == ([6.0, 15.0] * 2, 2)
    else:
        with pytest.raises((ColumnError, Problem)):
            protocol.columns(protocol.decode(text), inputs, 10)


def ask(wide: Model, data: list, datatype: str = "FP32", rows: int = 1, company: list | None = None) -> Response:
    """What the application says to these numbers, with somebody else in the same turn."""
    turns, limits, counters = Turns(), Limits(), Metrics(wide.bundle, "1")
    batcher = Batcher(wide, counters, limits, turns)
    application = endpoints.inference(wide, counters, Readiness(), limits, batcher)

    def request(values: list, kind: str) -> Request:
        tensor = {"name": "x", "datatype": kind, "shape": [rows, 3], "data": values}
        return Request("POST", "/v2/models/wide/infer", {}, json.dumps({"inputs": [tensor]}).encode())

    answers: list[Response] = []
    application.handle(request(data, datatype), answers.append)
    if company is not None:
        application.handle(request(company, "FP32"), lambda response: None)
    turns.end()
    return answers[0]


@pytest.mark.parametrize("company", [None, [1.5, 2.5, 3.5], [1, None, 3], [2**24 + 1, 0, 0], [1e39, 0, 0]])
@pytest.mark.parametrize(
    ("data", "datatype", "total"),
    [
        ([1.5, 2.5, 3.5], "FP32", 7.5),
        ([1, 2, 3], "FP32", 6.0),
        ([1, 2, 3], "INT32", 6.0),
        ([1, 2.5, 3], "FP64", 6.5),
        ([[1, 2, 3]], "FP32", 6.0),
        ([2**24, 0, 0], "FP32", 2.0**24),
        ([16777218, 0, 0], "FP32", 16777218.0),
        ([16777217.5, 0, 0], "FP32", 16777218.0),
        ([2**24 + 1, 0, 0], "FP32", None),
        ([1, None, 3], "FP32", None),
        ([1e39, 0, 0], "FP32", None),
        ([True, 0, 0], "FP32", None),
        (["1", 0, 0], "FP32", None),
        ([1.5, 0, 0], "INT32", None),
    ],
)
def test_numbers_are_read_as_carefully_in_company_as_alone(
    wide: Model, data: list, datatype: str, total: float | None, company: list | None
) -> None:
    response = ask(wide, data, datatype, company=company)
    if total is None:
        assert response.status == 400
    else:
        assert json.loads(response.body)["outputs"][0]["data"] == [total]
