"""What an inference is answered: requests in JSON that fit, that do not, and whatever else may come."""

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import body
from tests.serving.sites import MODEL, ROWS, Site, problem, tensor


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("store"))


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
