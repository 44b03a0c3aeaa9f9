"""What the server answers, endpoint by endpoint, without a socket."""

import json
import logging
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import endpoints
from serving.application import Application, Route, served_version
from serving.batching import Batcher
from serving.endpoints import Readiness
from serving.exchange import Request, Response
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from tests import bundles
from tests.servers import Turns, answer, body

MODEL = "/v2/models/rainy-days"
ROWS = {"station": ["north", None], "temperature": [1.5, None], "hour": [3, 4], "holiday": [True, False]}
CANARY = "canary-4711"


class Site:
    """The applications of both ports over the tiny bundle."""

    def __init__(self, store: Path, **options: object) -> None:
        self.bundle = bundles.write(store, **options)
        self.model = Model(self.bundle)
        self.counters = Metrics(self.bundle, served_version(self.bundle))
        self.readiness = Readiness()
        self.readiness.ready = True
        self.turns, limits = Turns(), Limits(rows=100)
        batcher = Batcher(self.model, self.counters, limits, self.turns)
        self.clients = endpoints.inference(self.model, self.counters, self.readiness, limits, batcher)
        self.platform = endpoints.management(self.bundle, self.counters, self.readiness)

    def get(self, path: str, method: str = "GET", headers: dict[bytes, bytes] | None = None) -> Response:
        return answer(self.clients, self.turns, Request(method, path, headers or {}))

    def infer(self, data: bytes, path: str = f"{MODEL}/infer", headers: dict[bytes, bytes] | None = None) -> Response:
        return answer(self.clients, self.turns, Request("POST", path, headers or {}, data))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("store"))


def problem(response: Response) -> dict:
    """The body of a refusal, after a look at what every refusal has."""
    headers = dict(response.headers)
    document = json.loads(response.body)
    assert headers[b"content-type"] == b"application/problem+json"
    assert document["status"] == response.status
    assert document["error"].endswith(document["detail"])
    assert document["request_id"] == headers[b"x-request-id"].decode()
    return document


# --- the protocol's endpoints


def test_the_server_says_what_it_is(site: Site) -> None:
    document = json.loads(site.get("/v2").body)
    assert set(document) == {"name", "version", "extensions"}
    assert site.get("/v2/").body == site.get("/v2").body


def test_the_model_says_what_it_takes_and_gives(site: Site) -> None:
    document = json.loads(site.get(MODEL).body)
    assert document == json.loads(site.get(f"{MODEL}/versions/1").body)
    assert (document["name"], document["versions"], document["platform"]) == ("rainy-days", ["1"], "onnx_onnxv1")
    assert [(column["name"], column["datatype"], column["shape"]) for column in document["inputs"]] == [
        ("station", "BYTES", [-1]),
        ("temperature", "FP32", [-1]),
        ("hour", "INT64", [-1]),
        ("holiday", "BOOL", [-1]),
    ]
    assert document["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [-1]}]


def test_a_model_of_several_classes_names_them_in_the_order_of_its_output(tmp_path: Path) -> None:
    document = json.loads(Site(tmp_path, task="multiclass").get(MODEL).body)
    assert document["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    assert document["parameters"]["classes"] == ["none", "some", "much"]


def test_it_is_live_always_and_ready_only_while_it_wants_requests(tmp_path: Path) -> None:
    site = Site(tmp_path)
    ready = ("/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/1/ready")
    assert [site.get(path).status for path in ready] == [200, 200, 200]
    assert json.loads(site.get(f"{MODEL}/ready").body) == {"name": "rainy-days", "ready": True}
    site.readiness.ready = False
    assert [site.get(path).status for path in ready] == [503, 503, 503]
    assert problem(site.get("/v2/health/ready"))["code"] == "not_ready"
    assert site.get("/v2/health/live").status == 200
    assert site.infer(body(ROWS)).status == 200  # what still arrives is still answered


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/models/other", "unknown_model"),
        ("/v2/models/other/versions/1/infer", "unknown_model"),
        (f"{MODEL}/versions/2", "unknown_version"),
        (f"{MODEL}/versions/2/infer", "unknown_version"),
        (f"{MODEL}/explain", "not_found"),
        ("/", "not_found"),
        ("/metrics", "not_found"),  # on the management port only
        ("*", "not_found"),
    ],
)
def test_what_is_not_here_is_said_to_be_not_here(site: Site, path: str, code: str) -> None:
    response = site.get(path)
    assert (response.status, problem(response)["code"]) == (404, code)


def test_a_percent_encoded_path_is_the_same_path(site: Site) -> None:
    assert site.get("/v2/models/rainy%2Ddays/ready").status == 200


def test_a_wrong_method_is_told_the_right_one(site: Site) -> None:
    for path, method, allowed in (("/v2", "POST", b"GET, HEAD"), (f"{MODEL}/infer", "GET", b"POST")):
        response = site.get(path, method)
        assert (response.status, dict(response.headers)[b"allow"]) == (405, allowed)
        assert problem(response)["code"] == "method_not_allowed"
    assert site.get("/v2", "HEAD").status == 200


def test_every_answer_says_which_version_and_bundle_gave_it(site: Site) -> None:
    answers = [site.get("/v2"), site.get("/nowhere"), site.infer(b"{"), site.infer(body(ROWS))]
    for response in [*answers, answer(site.platform, site.turns, Request("GET", "/metrics"))]:
        headers = dict(response.headers)
        assert headers[b"x-model-version"] == b"1"
        assert headers[b"x-bundle-digest"].decode() == site.bundle.digest


def test_a_bundle_that_nobody_registered_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, version="")
    assert dict(site.get("/v2").headers)[b"x-model-version"] == b"unregistered"
    assert site.get(f"{MODEL}/versions/unregistered").status == 200


def test_a_sane_request_id_is_kept_and_any_other_replaced(site: Site) -> None:
    def kept(sent: bytes) -> bytes:
        return dict(site.get("/v2", headers={b"x-request-id": sent}).headers)[b"x-request-id"]

    assert kept(b"trace-1/2:3") == b"trace-1/2:3"
    for sent in (b"", b"a b", b"a\xff", b"a" * 200, b"<script>"):
        assert re.fullmatch(rb"[0-9a-f]{24}-[0-9]+", kept(sent))
        assert kept(sent) != kept(sent)


# --- inference


def test_the_answer_is_the_models_with_its_identity(site: Site) -> None:
    document = json.loads(site.infer(body(ROWS, id="42", parameters={"any": 1})).body)
    expected = site.model.predict(ROWS)["probability"]
    assert document == {
        "model_name": "rainy-days",
        "model_version": "1",
        "id": "42",
        "parameters": {"bundle_digest": site.bundle.digest},
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [2], "data": expected.tolist()}],
    }


def test_an_answer_without_an_id_of_the_client_has_the_requests(site: Site) -> None:
    response = site.infer(body(ROWS), headers={b"x-request-id": b"mine"})
    assert json.loads(response.body)["id"] == "mine"


def test_a_named_version_answers_too(site: Site) -> None:
    assert site.infer(body(ROWS), f"{MODEL}/versions/1/infer").status == 200


def test_wide_outputs_are_flat_with_their_shape(tmp_path: Path) -> None:
    site = Site(tmp_path, task="multiclass")
    (output,) = json.loads(site.infer(body(ROWS)).body)["outputs"]
    assert (output["shape"], len(output["data"])) == ([2, 3], 6)
    assert sum(output["data"][:3]) == pytest.approx(1)


def test_outputs_are_chosen_by_name(site: Site) -> None:
    assert len(json.loads(site.infer(body(ROWS, outputs=[{"name": "probability"}])).body)["outputs"]) == 1
    assert len(json.loads(site.infer(body(ROWS, outputs=[])).body)["outputs"]) == 1
    refused = problem(site.infer(body(ROWS, outputs=[{"name": "probability"}, {"name": "odds"}])))
    assert (refused["status"], refused["field"]) == (400, "outputs[1].name")
    assert site.infer(body(ROWS, outputs=[{"name": "probability"}] * 2)).status == 400


def test_no_rows_are_answered_with_no_rows(site: Site) -> None:
    (output,) = json.loads(site.infer(body({name: [] for name in ROWS})).body)["outputs"]
    assert (output["shape"], output["data"]) == ([0], [])


def tensor(site: Site, which: str, **change: object) -> Response:
    """An inference with one input tensor changed."""
    request = json.loads(body(ROWS))
    for entry in request["inputs"]:
        if entry["name"] == which:
            entry.update(change)
    return site.infer(json.dumps(request).encode())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hour", {"datatype": "INT32"}),
        ("hour", {"datatype": "UINT8"}),
        ("hour", {"datatype": "FP64", "data": [3.0, 4.0]}),
        ("hour", {"shape": [2, 1], "data": [[3], [4]]}),
        ("hour", {"shape": [2, 1]}),
        ("holiday", {"datatype": "INT32", "data": [1, 0]}),
        ("temperature", {"datatype": "FP64"}),
        ("station", {"parameters": {"binary_data": False}}),
    ],
)
def test_what_loses_nothing_is_cast(site: Site, name: str, change: dict) -> None:
    assert (
        json.loads(tensor(site, name, **change).body)["outputs"] == json.loads(site.infer(body(ROWS)).body)["outputs"]
    )


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("temperature", {"datatype": "BYTES"}, "datatype"),
        ("temperature", {"datatype": "fp32"}, "datatype"),
        ("station", {"datatype": "FP32"}, "datatype"),
        ("holiday", {"datatype": "FP32"}, "datatype"),
        ("temperature", {"datatype": "INT64"}, "fractional number, declared as whole"),
        ("temperature", {"data": [1.5, "2"]}, "row 1 is not a number"),
        ("temperature", {"data": [True, 2]}, "row 0 is not a number"),
        ("temperature", {"data": [1e308, 2]}, "row 0 is infinite or too large"),
        ("temperature", {"datatype": "INT64", "data": [1, 2**24 + 1]}, "row 1 does not fit"),
        ("hour", {"data": [1.5, 2]}, "fractional"),
        ("hour", {"data": [None, 2]}, "row 0 is missing"),
        ("hour", {"data": [2**70, 2]}, "too large"),
        ("holiday", {"data": ["true", False]}, "row 0 is not a truth value"),
        ("hour", {"shape": [3]}, "has 3 rows where station has 2"),
        ("hour", {"shape": [-2]}, "has -2 rows where station has 2"),
        ("hour", {"shape": [1, 2]}, "shape"),
        ("hour", {"shape": []}, "shape"),
        ("hour", {"data": [[3], [4]]}, "nested"),
        ("hour", {"shape": [2, 1], "data": [[3, 4], []]}, "nested"),
        ("hour", {"shape": [2, 1], "data": [[3], 4]}, "nested"),
        ("hour", {"data": None}, "has no data"),
        ("hour", {"data": [3]}, "holds 1 values where its shape says 2"),
        ("hour", {"shape": [1], "data": [1]}, "has 1 rows where station has 2"),
        ("hour", {"name": "our"}, "is not an input"),
        ("hour", {"name": "holiday", "datatype": "BOOL"}, "is there twice"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_its_name(site: Site, name: str, change: dict, reason: str) -> None:
    refused = problem(tensor(site, name, **change))
    assert (refused["status"], refused["code"], refused["field"]) == (400, "invalid_input", change.get("name", name))
    assert reason in refused["detail"]


def test_a_column_that_is_not_sent_is_asked_for(site: Site) -> None:
    refused = problem(site.infer(body({name: values for name, values in ROWS.items() if name != "hour"})))
    assert (refused["status"], refused["field"]) == (400, "hour")


def test_more_rows_than_the_limit_are_too_many(site: Site) -> None:
    columns = {name: values * 51 for name, values in ROWS.items()}
    refused = problem(site.infer(body(columns)))
    assert (refused["status"], refused["code"]) == (413, "too_many_rows")


@pytest.mark.parametrize(
    ("data", "code", "detail"),
    [
        (b"", "malformed_json", "truncated"),
        (b"\xff\xfe{\x00}\x00", "malformed_json", "malformed"),
        (b'{"inputs": [{"name": "\xff"}]}', "malformed_json", "UTF-8"),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[NaN]}]}', "malformed_json", "send null"),
        (b'{"x":' + b"[" * 300_000 + b"]" * 300_000 + b"}", "malformed_json", "nested too deeply"),
        (b"[]", "invalid_request", "Expected `object`"),
        (b"{}", "invalid_request", "missing required field `inputs`"),
        (b'{"inputs": [{"name": 1}]}', "invalid_request", "Expected `str`"),
        (b'{"inputs": [], "id": 5}', "invalid_request", "Expected `str | null`"),
    ],
)
def test_a_body_that_is_no_request_is_told_why(site: Site, data: bytes, code: str, detail: str) -> None:
    refused = problem(site.infer(data))
    assert (refused["status"], refused["code"]) == (400, code)
    assert detail in refused["detail"]


def test_the_place_in_the_json_is_named(site: Site) -> None:
    assert problem(site.infer(b'{"inputs": [{"name": 1}]}'))["field"] == "inputs[0].name"


def test_a_compressed_body_is_refused_as_such(site: Site) -> None:
    assert problem(site.infer(b"\x1f\x8b", headers={b"content-encoding": b"gzip"}))["status"] == 415


def test_an_answer_that_json_cannot_hold_is_a_problem(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"probability": np.array([0.5, np.nan], np.float32)}
    monkeypatch.setattr(site.model, "run", lambda feeds: answer)
    refused = problem(site.infer(body(ROWS)))
    assert (refused["status"], refused["code"], refused["field"]) == (422, "no_finite_answer", "probability")
    assert "row 1" in refused["detail"]


# --- whatever comes

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(allow_nan=False), st.text(max_size=5)
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
)


@given(documents, st.data())
def test_a_request_with_anything_anywhere_is_answered_or_refused(
    site: Site, other: object, data: st.DataObject
) -> None:
    request = json.loads(body(ROWS, id="1", outputs=[{"name": "probability"}]))
    node: object = request
    while True:  # walk to some place and put the other value there
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
        else:
            node[key] = other
            break
    response = site.infer(json.dumps(request, allow_nan=True).encode("utf-8", "surrogatepass"))
    assert response.status in (200, 400, 413, 422)


@given(st.binary(max_size=200))
def test_a_body_of_any_bytes_is_refused(site: Site, data: bytes) -> None:
    assert problem(site.infer(data))["status"] == 400


columns = st.integers(0, 5).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            "station": st.lists(
                st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=rows, max_size=rows
            ),
            "temperature": st.lists(
                st.none() | st.floats(-(2.0**100), 2.0**100, width=32), min_size=rows, max_size=rows
            ),
            "hour": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows),
            "holiday": st.lists(st.booleans(), min_size=rows, max_size=rows),
        }
    )
)


@given(columns)
def test_what_is_sent_as_json_is_what_the_model_sees(site: Site, columns: dict[str, list]) -> None:
    response = site.infer(msgspec.json.encode(json.loads(body(columns))))
    expected = site.model.predict(columns)["probability"].tolist()
    assert response.status == 200
    assert json.loads(response.body)["outputs"][0]["data"] == expected
    assert all(math.isfinite(value) for value in expected)


# --- what never leaves


def test_no_value_of_a_client_is_in_an_error_a_metric_or_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    said = []
    for name in ROWS:
        for change in ({"data": [CANARY, CANARY]}, {"datatype": CANARY}, {"name": f"<{CANARY}>"}, {"shape": [CANARY]}):
            said.append(tensor(site, name, **change))
    said.append(site.infer(body(ROWS, outputs=[{"name": CANARY}])))
    said.append(site.infer(CANARY.encode()))
    said.append(site.get(f"/v2/models/{CANARY}"))
    said.append(site.get(f"/{CANARY}", method=CANARY))
    said.append(site.infer(body(ROWS), headers={b"x-request-id": f"<{CANARY}>".encode()}))
    said.append(answer(site.platform, site.turns, Request("GET", "/metrics")))
    assert all(CANARY not in response.body.decode() for response in said)
    assert CANARY not in caplog.text
    assert len(said) == 22


def test_a_failure_of_ours_is_logged_by_place_and_answered_without_details(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(request: Request, request_id: str) -> bytes:
        raise ZeroDivisionError(CANARY)

    counters = Metrics(site.bundle, "1")
    application = Application(site.bundle, counters, {"/": Route("server", "GET", broken)})
    with caplog.at_level(logging.ERROR):
        refused = problem(answer(application, Turns(), Request("GET", "/", {b"x-request-id": b"the-id"})))
    assert (refused["status"], refused["code"]) == (500, "internal")
    assert CANARY not in json.dumps(refused) + caplog.text
    assert "request_id=the-id error=ZeroDivisionError at=" in caplog.text
    assert counters.requests["server", 500] == 1
