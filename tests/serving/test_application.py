"""What all answers have in common: where they are found, what they say of who gave them, and what they never say."""

import json
import logging
import re
from pathlib import Path

import pytest

from serving.application import Application, Route
from serving.exchange import Request
from serving.metrics import Metrics
from tests.servers import Turns, answer, body
from tests.serving.sites import MODEL, ROWS, Site, problem, tensor

CANARY = "canary-4711"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("store"))


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
    def broken(request: Request) -> bytes:
        raise ZeroDivisionError(CANARY)

    counters = Metrics(site.bundle, "1")
    application = Application(site.bundle, counters, {"/": Route("server", "GET", broken)})
    with caplog.at_level(logging.ERROR):
        refused = problem(answer(application, Turns(), Request("GET", "/", {b"x-request-id": b"the-id"})))
    assert (refused["status"], refused["code"]) == (500, "internal")
    assert CANARY not in json.dumps(refused) + caplog.text
    assert "request_id=the-id error=ZeroDivisionError at=" in caplog.text
    assert counters.requests["server", 500] == 1
