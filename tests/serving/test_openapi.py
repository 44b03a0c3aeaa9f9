"""The OpenAPI document says what the server does, for whoever reads it: people, generators of clients, fuzzers."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from contracts import bundle as bundles_of
from serving import openapi, page, schemas
from serving.exchange import Request, Response
from serving.limits import Limits
from serving.metrics import vocabulary
from tests import bundles
from tests.servers import answer, body
from tests.serving.sites import Site
from tests.serving.test_invocations import NAMES, RECORDS, ROWS

INFER = "/v2/models/rainy-days/infer"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def document(site: Site) -> dict:
    return json.loads(ask(site, "GET", "/openapi.json").body)


def ask(site: Site, method: str, path: str, data: bytes = b"") -> Response:
    return answer(site.clients, site.turns, Request(method, path, {}, data))


def validator(document: dict, schema: dict) -> Draft202012Validator:
    """Of a schema that refers to others of the document."""
    return Draft202012Validator({**schema, "components": document["components"]})


def operations(document: dict) -> list[tuple[str, str, dict]]:
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    ]


def test_the_same_bundle_gives_the_same_bytes(site: Site) -> None:
    again = openapi.document(bundles_of.load(site.model.bundle.path), Limits(rows=100))
    assert again == ask(site, "GET", "/openapi.json").body


def test_it_is_an_openapi_document_of_this_bundle(document: dict) -> None:
    assert document["openapi"] == "3.1.0"
    assert (document["info"]["title"], document["info"]["version"]) == ("rainy-days", "1")
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert re.fullmatch(r"[\w.-]+", name)
    references = re.findall(r'"\$ref":"#/([^"]+)"', json.dumps(document, separators=(",", ":")))
    assert references
    for reference in references:
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_it_names_every_path_of_clients_and_no_other(site: Site, document: dict) -> None:
    named = {path.replace("{version}", "1"): method.upper() for path, method, _ in operations(document)}
    served = {path: route.method for path, route in site.clients.routes.items()}
    assert served.pop("/docs") == "GET"  # a page for people
    assert named == served


def test_it_names_every_problem_with_its_status(root: Path) -> None:
    raised: set[tuple[str, int]] = set()
    for source in (root / "serving").rglob("*.py"):
        found = re.findall(r'Problem\(\s*(\d{3}),\s*"([a-z_]+)"', source.read_text(encoding="utf-8"))
        raised |= {(code, int(status)) for status, code in found}
    assert {(code, status) for code, (status, _) in openapi.PROBLEMS.items()} == raised
    assert set(openapi.PROBLEMS) < set(vocabulary.CODES)


def test_its_examples_are_answered_with_the_golden_predictions(site: Site, document: dict) -> None:
    golden = site.model.bundle.golden.outputs["probability"]
    rows = openapi.example_rows(site.model.bundle.golden.inputs)
    for path in (INFER, "/v2/models/rainy-days/versions/{version}/infer", "/invocations"):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        for title, example in examples.items():
            response = ask(site, "POST", path.replace("{version}", "1"), json.dumps(example["value"]).encode())
            assert response.status == 200
            told = json.loads(response.body)
            got = told["predictions"] if "predictions" in told else told["outputs"][0]["data"]
            wanted = [golden[row] for row in rows[: 1 if title == "one row" else 3]]
            assert got == pytest.approx(wanted, abs=1e-5)


def test_every_answer_is_as_described(site: Site, document: dict) -> None:
    for path, method, operation in operations(document):
        for data in (b"{}", body(ROWS), json.dumps({"inputs": ROWS}).encode()):
            response = ask(site, method.upper(), path.replace("{version}", "1"), data)
            described = operation["responses"][str(response.status)]
            while "$ref" in described:
                described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
            kind = dict(response.headers)[b"content-type"].decode()
            schema = described["content"][kind]["schema"]
            told = response.body.decode() if kind == "text/plain" else json.loads(response.body)
            validator(document, schema).validate(told)
            assert {name.lower() for name in described.get("headers", {})} <= {k.decode() for k, _ in response.headers}


def tensors(**changes: list) -> dict:
    """An inference request; a change is the name of a column with its data, None leaves it out."""
    columns = {name: changes.get(name, data) for name, data in ROWS.items()}
    return json.loads(body({name: data for name, data in columns.items() if data is not None}))


def but(place: int, **changes: object) -> dict:
    """An inference request with one tensor described otherwise."""
    request = tensors()
    request["inputs"][place] |= changes
    return request


GOOD = [
    tensors(),
    {**tensors(), "inputs": tensors()["inputs"][::-1]},
    tensors(station=[""] * 3),
    tensors(hour=[1.0, 2, 3]) | {"inputs": [*tensors()["inputs"][:2], *but(2, datatype="FP64")["inputs"][2:]]},
    but(1, datatype="INT32", data=[1, None, 3]),
    but(3, datatype="UINT8", data=[1, 0, 1]),
    but(1, shape=[3, 1], data=[[1.0], [None], [3.5]]),
    but(1, parameters={"anything": [1]}),
    tensors(temperature=[3.4028234663852886e38, 3.402823567797336e38, -3.402823567797336e38]),
    tensors(**{name: [] for name in NAMES}),
    {**tensors(), "id": "a", "parameters": {"more": {}}, "outputs": [{"name": "probability"}]},
    {**tensors(), "id": None, "parameters": None, "outputs": None},
]
BAD = [
    [],
    {},
    {"inputs": []},
    {"inputs": {}},
    tensors(hour=None),
    tensors(hour=["1", "2", "3"]),
    tensors(hour=[1, None, 2]),
    tensors(hour=[1, 2, 2**63]),
    tensors(hour=[1.5, 2, 3]),
    tensors(station=[1, 2, 3]),
    tensors(temperature=[1e308, 1, 2]),
    tensors(temperature=[3.4028235677973366e38, 1, 2]),
    tensors(temperature=[1, -3.4028235677973366e38, 2]),
    tensors(temperature=[True, 1.0, 2.0]),
    tensors(holiday=["true", True, True]),
    tensors(holiday=[2, True, True]),
    but(0, name="other"),
    but(0, datatype="FP32"),
    but(0, datatype="STRING"),
    but(0, shape=[3, 2]),
    but(0, shape=[]),
    but(0, shape="3"),
    but(0, data=None),
    but(0, parameters=1),
    but(1, datatype="INT32", data=[1.5, 2.5, 3.5]),
    {**tensors(), "id": 1},
    {**tensors(), "parameters": {"binary_data_output": 1}},
    {**tensors(), "outputs": [{"name": "other"}]},
    {**tensors(), "outputs": [{"name": "probability"}, {"name": "probability"}]},
    tensors(
        **{
            name: [value] * 101
            for name, value in (("station", "a"), ("temperature", 1), ("hour", 1), ("holiday", True))
        }
    ),
]
FRAMES = [
    {"inputs": ROWS},
    {"inputs": {name: data[:1] for name, data in ROWS.items()}},
    {"dataframe_records": RECORDS},
    {"dataframe_records": []},
    {"instances": RECORDS, "params": None},
    {"dataframe_split": {"columns": NAMES, "data": [["a", 1, 2, True]], "index": [1]}},
]
NO_FRAMES = [
    [],
    {},
    {"inputs": ROWS, "instances": RECORDS},
    {"inputs": {name: ROWS[name] for name in NAMES[1:]}},
    {"inputs": {**ROWS, "more": [1, 2, 3]}},
    {"inputs": {**ROWS, "hour": "abc"}},
    {"inputs": [1]},
    {"dataframe_records": [{**RECORDS[0], "more": 1}]},
    {"dataframe_records": [{"hour": 1}]},
    {"dataframe_records": RECORDS[:1] * 101},
    {"dataframe_records": [1]},
    {"instances": {}},
    {"dataframe_split": {"columns": NAMES, "data": [["a", 1, 2]]}},
    {"dataframe_split": {"columns": NAMES, "data": [["a", 1, None, True]]}},
    {"dataframe_split": {"data": []}},
]
VERDICTS = [
    *((INFER, request, True) for request in GOOD),
    *((INFER, request, False) for request in BAD),
    *(("/invocations", request, True) for request in FRAMES),
    *(("/invocations", request, False) for request in NO_FRAMES),
]


@pytest.mark.parametrize(("path", "request_body", "fits"), VERDICTS)
def test_what_the_schema_takes_the_server_takes_and_no_more(
    site: Site, document: dict, path: str, request_body: object, fits: bool
) -> None:
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    response = ask(site, "POST", path, json.dumps(request_body).encode())
    assert (validator(document, schema).is_valid(request_body), response.status == 200) == (fits, fits), response.body


def test_a_tensor_is_described_by_its_width(tmp_path: Path) -> None:
    contents = bundles.tiny()
    wide = bundles_of.Manifest(
        name="wide",
        task="regression",
        target="y",
        inputs=(bundles_of.Input(name="x", dtype="float32", width=2),),
        outputs=(bundles_of.Output(name="value", width=2), bundles_of.Output(name="spread")),
    )
    golden = bundles_of.Golden(
        inputs={"x": [[1.0, None], [3.0, 4.0]]},
        outputs={"value": [[1.0, 2.0]] * 2, "spread": [1.0, 2.0]},
        absolute_tolerance=0.0,
        relative_tolerance=0.0,
    )
    assert contents.manifest.inputs[0].width == 1
    takes = Draft202012Validator(schemas.inference_request(wide, 100))
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
    for data in ([1.0, 2.0], [[1.0, 2.0]]):
        assert takes.is_valid({"inputs": [{**tensor, "data": data}]})
    for wrong in ({"shape": [1]}, {"shape": [2]}, {"shape": [1, 3]}, {"data": [[1.0]]}, {"data": [["a", 1.0]]}):
        assert not takes.is_valid({"inputs": [{**tensor, "data": [1.0, 2.0], **wrong}]})
    frames = Draft202012Validator(schemas.invocation(wide, 100))
    for good in (
        {"inputs": [[1, 2]]},
        {"inputs": {"x": [[1, 2]]}},
        {"instances": [[1, 2]]},
        {"instances": [{"x": [1, 2]}]},
    ):
        assert frames.is_valid(good)
    assert not frames.is_valid({"inputs": [1, 2]})
    assert openapi.example_rows(golden.inputs) == [1, 0]
    assert schemas.example_request(wide, golden, [1]) == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[3.0, 4.0]]}]
    }
    answers = Draft202012Validator(schemas.predictions(wide))
    assert answers.is_valid({"predictions": [{"value": [1.0, 2.0], "spread": 1.0}]})
    assert not answers.is_valid({"predictions": [1.0]})


def test_credentials_are_described_where_they_are_asked_for(site: Site) -> None:
    open_to_all = json.loads(openapi.document(site.model.bundle, Limits()))
    assert "security" not in open_to_all
    guarded = json.loads(openapi.document(site.model.bundle, Limits(), ("api_key", "jwt")))
    assert guarded["security"] == [{"api_key": []}, {"jwt": []}]
    assert set(guarded["components"]["securitySchemes"]) == {"api_key", "jwt"}
    for path, method, operation in operations(guarded):
        everybody = "health" in path or "ready" in path or path in ("/ping", "/version")
        assert (operation.get("security") == []) == everybody, path
        assert ("401" in operation["responses"]) != everybody
        assert "401" not in {p: o for p, m, o in operations(open_to_all) if m == method}[path]["responses"]


def test_the_page_needs_nothing_from_elsewhere_and_may_run_nothing_else(site: Site) -> None:
    response = ask(site, "GET", "/docs")
    headers = {name.decode(): value.decode() for name, value in response.headers}
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == page.policy(response.body).decode()
    assert "unsafe" not in headers["content-security-policy"]
    text = response.body.decode()
    assert re.findall(r'(?:src|href|action)="([^"]*)"', text) == ["data:,", "openapi.json", "openapi.json"]
    assert re.findall(r"""://|["'`(=]//""", text) == []
    assert re.findall(r'\s(?:style|on\w+)="', text) == []
    assert b"rainy-days" not in response.body  # it is open to everybody, also where the model is not
