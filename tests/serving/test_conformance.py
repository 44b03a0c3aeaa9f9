"""The Open Inference Protocol v2 over HTTP, endpoint by endpoint as its document goes, through both fronts."""

import http.client
import itertools
import json
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from contracts.bundle import Bundle
from serving.runtime import Model
from tests import bundles
from tests.serving.fronts import FRONTS

MODEL = "/v2/models/rainy-days"
ROWS = {
    "station": ["north", None, "ö"],
    "temperature": [1.5, None, -3.0],
    "hour": [3, 4, 5],
    "holiday": [True, False, True],
}
DATATYPES = {"station": "BYTES", "temperature": "FP32", "hour": "INT64", "holiday": "BOOL"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator["Front"]:
    with FRONTS[request.param](bundle.path) as url:
        yield Front(url, Model(bundle))


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Front:
    """A client that knows nothing but HTTP."""

    def __init__(self, url: str, model: Model) -> None:
        self.host, self.model = url.removeprefix("http://"), model

    def ask(self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent, encode_chunked=not isinstance(body, bytes | None))
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def infer(self, document: object, path: str = f"{MODEL}/infer", **headers: str) -> Answer:
        return self.ask("POST", path, json.dumps(document).encode(), **headers)

    def expected(self) -> list[float]:
        return self.model.predict(ROWS)["probability"].tolist()


def inputs(**changes: dict) -> list[dict]:
    """The inputs of a request; a change is more, or other, of what one of them says."""
    return [
        {"name": name, "shape": [3], "datatype": DATATYPES[name], "data": data, **changes.get(name, {})}
        for name, data in ROWS.items()
    ]


# --- health


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/1/ready"])
def test_health_is_a_status_code(front: Front, path: str) -> None:
    assert front.get(path).status == 200
    assert front.ask("HEAD", path).body == b""


# --- server metadata, model metadata


def test_the_server_s_metadata(front: Front) -> None:
    answer = front.get("/v2")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json
    assert isinstance(document["name"], str)
    assert isinstance(document["version"], str)
    assert "binary_tensor_data" in document["extensions"]


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
def test_the_model_s_metadata(front: Front, path: str) -> None:
    document = front.get(path).json
    assert (document["name"], document["versions"]) == ("rainy-days", ["1"])
    assert document["platform"] == "onnx_onnxv1"
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in document["inputs"]] == [
        (name, datatype, [-1]) for name, datatype in DATATYPES.items()
    ]
    assert document["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [-1]}]


# --- inference


@pytest.mark.parametrize("path", [f"{MODEL}/infer", f"{MODEL}/versions/1/infer"])
def test_an_inference(front: Front, path: str) -> None:
    answer = front.infer({"id": "42", "inputs": inputs()}, path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json
    assert (document["model_name"], document["model_version"], document["id"]) == ("rainy-days", "1", "42")
    [output] = document["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP32", [3])
    assert output["data"] == front.expected()


def test_without_an_id_the_answer_has_the_request_s(front: Front) -> None:
    answer = front.infer({"inputs": inputs()}, X_Request_Id="abc-1")
    assert (answer.json["id"], answer.headers["x-request-id"]) == ("abc-1", "abc-1")


def test_parameters_are_taken_everywhere(front: Front) -> None:
    more = {"parameters": {"priority": 1, "text": "a", "truth": True}}
    tensors = [{**tensor, **more} for tensor in inputs()]
    answer = front.infer({"inputs": tensors, "outputs": [{"name": "probability", **more}], **more})
    assert answer.json["outputs"][0]["data"] == front.expected()


def test_inputs_come_in_any_order_and_outputs_are_chosen_by_name(front: Front) -> None:
    answer = front.infer({"inputs": inputs()[::-1], "outputs": [{"name": "probability"}]})
    assert [output["name"] for output in answer.json["outputs"]] == ["probability"]
    assert answer.json["outputs"][0]["data"] == front.expected()


def test_data_may_be_nested_as_the_shape_says(front: Front) -> None:
    nested = {name: {"shape": [3, 1], "data": [[value] for value in data]} for name, data in ROWS.items()}
    assert front.infer({"inputs": inputs(**nested)}).json["outputs"][0]["data"] == front.expected()
    flat = {name: {"shape": [3, 1]} for name in ROWS}
    assert front.infer({"inputs": inputs(**flat)}).json["outputs"][0]["data"] == front.expected()


NUMBERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64")
NUMPY = {"INT": "<i", "UINT": "<u", "FP": "<f"}


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_datatype_of_numbers_is_taken_as_json_and_as_binary(front: Front, datatype: str) -> None:
    expected = front.model.predict({**ROWS, "temperature": [1.0, 2.0, 3.0]})["probability"].tolist()
    whole = {"datatype": datatype, "data": [1, 2, 3]}
    assert front.infer({"inputs": inputs(temperature=whole)}).json["outputs"][0]["data"] == expected
    letters = datatype.rstrip("0123456789")
    dtype = f"{NUMPY[letters]}{int(datatype.removeprefix(letters)) // 8}"
    raw = np.array([1, 2, 3], dtype).tobytes()
    answer = binary(front, inputs(temperature={"datatype": datatype}), {"temperature": raw})
    assert answer.json["outputs"][0]["data"] == expected


def test_no_rows_are_answered_with_no_rows(front: Front) -> None:
    empty = {name: {"shape": [0], "data": []} for name in ROWS}
    output = front.infer({"inputs": inputs(**empty)}).json["outputs"][0]
    assert (output["shape"], output["data"]) == ([0], [])


def test_a_chunked_body_is_a_body(front: Front) -> None:
    data = json.dumps({"inputs": inputs()}).encode()
    parts = (data[start : start + 50] for start in range(0, len(data), 50))
    assert front.ask("POST", f"{MODEL}/infer", parts).json["outputs"][0]["data"] == front.expected()


# --- the binary tensor extension


def binary(front: Front, tensors: list[dict], raw: dict[str, bytes], **more: object) -> Answer:
    """A request with some of its tensors as binary."""
    for tensor in tensors:
        if tensor["name"] in raw:
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(raw[tensor["name"]])}
    text = json.dumps({"inputs": tensors, **more}).encode()
    data = b"".join(raw[tensor["name"]] for tensor in tensors if tensor["name"] in raw)
    length = {"Inference_Header_Content_Length": str(len(text)), "Content_Type": "application/octet-stream"}
    return front.ask("POST", f"{MODEL}/infer", text + data, **length)


def all_raw() -> dict[str, bytes]:
    texts = [(value or "").encode() for value in ROWS["station"]]
    temperature = [float("nan") if value is None else value for value in ROWS["temperature"]]
    return {
        "station": b"".join(struct.pack("<I", len(text)) + text for text in texts),
        "temperature": np.array(temperature, "<f4").tobytes(),
        "hour": np.array(ROWS["hour"], "<i8").tobytes(),
        "holiday": np.array(ROWS["holiday"], "u1").tobytes(),
    }


@pytest.mark.parametrize("count", range(5))
def test_any_of_the_inputs_may_be_binary(front: Front, count: int) -> None:
    for names in itertools.combinations(ROWS, count):
        raw = {name: data for name, data in all_raw().items() if name in names}
        assert binary(front, inputs(), raw).json["outputs"][0]["data"] == front.expected(), names


@pytest.mark.parametrize(
    "wish",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]},
        {
            "parameters": {"binary_data_output": False},
            "outputs": [{"name": "probability", "parameters": {"binary_data": True}}],
        },
    ],
)
def test_outputs_are_binary_where_they_are_wished_so(front: Front, wish: dict) -> None:
    for answer in (binary(front, inputs(), all_raw(), **wish), front.infer({"inputs": inputs(), **wish})):
        at = int(answer.headers["inference-header-content-length"])
        [output] = json.loads(answer.body[:at])["outputs"]
        assert "data" not in output
        assert output["parameters"]["binary_data_size"] == len(answer.body) - at == 12
        assert np.frombuffer(answer.body[at:], "<f4").tolist() == front.expected()
        assert answer.headers["content-type"] == "application/octet-stream"


def test_a_wish_for_one_output_goes_before_that_for_all(front: Front) -> None:
    wish = {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "probability", "parameters": {"binary_data": False}}],
    }
    assert front.infer({"inputs": inputs(), **wish}).json["outputs"][0]["data"] == front.expected()


# --- errors


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("GET", "/v2/models/other", None, 404),
        ("GET", "/v2/models/other/ready", None, 404),
        ("POST", "/v2/models/other/infer", {"inputs": inputs()}, 404),
        ("GET", f"{MODEL}/versions/2", None, 404),
        ("POST", f"{MODEL}/versions/2/infer", {"inputs": inputs()}, 404),
        ("GET", "/v3", None, 404),
        ("GET", f"{MODEL}/infer", None, 405),
        ("POST", f"{MODEL}/infer", None, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs()[1:]}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": [*inputs(), inputs()[0]]}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(hour={"name": "other"})}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(hour={"shape": [2]})}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(hour={"shape": [3, 3]})}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(hour={"shape": [-3]})}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(hour={"datatype": "BYTES"})}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(hour={"data": ["1", "2", "3"]})}, 400),
        ("POST", f"{MODEL}/infer", {"inputs": inputs(), "outputs": [{"name": "other"}]}, 400),
    ],
)
def test_an_error_has_a_status_code_and_says_why(
    front: Front, method: str, path: str, document: object, status: int
) -> None:
    body = None if document is None else json.dumps(document).encode()
    answer = front.ask(method, path, body)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["error"]


@pytest.mark.parametrize(
    ("raw", "length"),
    [
        ({"hour": b"\0" * 23}, None),
        ({"hour": b"\0" * 24}, "9999"),
        ({"hour": b"\0" * 24}, "x"),
        ({"station": b"\1\0\0\0a"}, None),
        ({"station": b"\1\0\0\0\xff" * 3}, None),
    ],
)
def test_binary_data_that_does_not_fit_is_refused(front: Front, raw: dict[str, bytes], length: str | None) -> None:
    tensors = inputs()
    if length is None:
        answer = binary(front, tensors, raw)
    else:
        text = json.dumps({"inputs": tensors}).encode()
        answer = front.ask("POST", f"{MODEL}/infer", text, Inference_Header_Content_Length=length)
    assert answer.status == 400
    assert answer.json["error"]


# --- what is not the protocol's, but the same through both fronts


def test_every_answer_says_which_bundle_gave_it(front: Front) -> None:
    for answer in (front.get("/v2"), front.get("/nowhere"), front.infer({"inputs": inputs()}), front.get("/docs")):
        assert answer.headers["x-bundle-digest"] == front.model.bundle.digest
        assert answer.headers["x-model-version"] == "1"
        assert answer.headers["x-request-id"]
        assert answer.headers["content-length"] == str(len(answer.body))


def test_a_body_that_is_too_large_is_refused(front: Front) -> None:
    chunk = b"c350\r\n%s\r\n" % (b"x" * 50_000)
    # No more is sent than it takes to be refused, so that the answer can be read by a client that writes first.
    for header, sent in (("Content-Length: 1100000", [b"x"]), ("Transfer-Encoding: chunked", [chunk] * 21)):
        host, _, port = front.host.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(f"POST {MODEL}/infer HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n".encode())
            for part in sent:
                connection.sendall(part)
            response = http.client.HTTPResponse(connection)
            response.begin()
            answer = Answer(response)
        assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_the_other_dialect_and_the_description(front: Front) -> None:
    answer = front.infer({"inputs": ROWS}, "/invocations", Content_Type="application/json")
    assert answer.json == {"predictions": front.expected()}
    assert front.get("/openapi.json").json["openapi"] == "3.1.0"
    assert front.get("/docs").headers["content-security-policy"]
    assert front.get("/ping").status == 200
