"""MLflow's dialect: every form of a data frame gives what the inference protocol gives, and refusals are ours."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from contracts.bundle import Input
from serving import invocations
from serving.columns import ColumnError
from serving.exchange import Problem, Request, Response
from tests.servers import answer
from tests.serving import sites

ROWS = {
    "station": ["north", None, "ö"],
    "temperature": [1.5, None, -3.0],
    "hour": [3, 4, 5],
    "holiday": [True, False, 1],
}
NAMES = list(ROWS)
SPLIT = {"columns": NAMES, "index": [7, 8, 9], "data": [list(row) for row in zip(*ROWS.values(), strict=True)]}
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in SPLIT["data"]]


class Site(sites.Site):
    """The clients' application, asked in this dialect."""

    def post(self, document: object, kind: bytes = b"application/json", **headers: bytes) -> Response:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        sent = {b"content-type": kind, **{name.replace("_", "-").encode(): value for name, value in headers.items()}}
        return answer(self.clients, self.turns, Request("POST", "/invocations", sent, data))

    def predictions(self, document: object, kind: bytes = b"application/json") -> list:
        response = self.post(document, kind)
        assert response.status == 200, response.body
        return json.loads(response.body)["predictions"]

    def refusal(self, document: object, kind: bytes = b"application/json", **headers: bytes) -> tuple[int, str, str]:
        response = self.post(document, kind, **headers)
        problem = json.loads(response.body)
        assert problem["status"] == response.status
        return response.status, problem["code"], problem["error"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def expected(site: Site) -> list[float]:
    return site.model.predict(ROWS)["probability"].tolist()


def test_every_form_of_a_data_frame_gives_the_same_predictions(site: Site, expected: list[float]) -> None:
    turned = {"columns": NAMES[::-1], "data": [row[::-1] for row in SPLIT["data"]]}
    forms = [
        {"dataframe_split": SPLIT},
        {"dataframe_split": turned},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"inputs": ROWS},
        {"inputs": ROWS, "params": {"temperature": 0.5}},
    ]
    for form in forms:
        assert site.predictions(form) == expected
        assert site.predictions(form, b"application/json; charset=utf-8") == expected
        assert site.predictions(form, b"") == expected
        assert site.predictions(form, b"application/x-www-form-urlencoded") == expected  # curl, told nothing


def test_csv_gives_the_same_predictions(site: Site, expected: list[float]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(NAMES)
    writer.writerows([["" if value is None else value for value in row] for row in SPLIT["data"]])
    assert site.predictions(text.getvalue().encode(), b"text/csv") == expected
    assert site.predictions(b"\xef\xbb\xbf" + text.getvalue().encode(), b"text/csv; charset=UTF-8") == expected


def test_a_number_that_pandas_calls_nan_is_missing(site: Site, expected: list[float]) -> None:
    data = json.dumps({"dataframe_split": SPLIT}).replace("null, 4", "NaN, 4").encode()
    assert b"NaN" in data
    assert site.predictions(data) == expected
    assert site.predictions(data.replace(b"\\u00f6", b"\\ud83d\\ude00")) == expected  # a category as unknown as before
    assert site.refusal(data.replace(b"NaN", b"Infinity"))[:2] == (400, "malformed_json")
    assert site.refusal(data.replace(b"-3.0", b"-Infinity"))[:2] == (400, "malformed_json")
    assert site.refusal(b'{"dataframe_split": NaN}')[:2] == (400, "invalid_request")


def test_no_rows_are_answered_with_no_rows(site: Site) -> None:
    for form in (
        {"dataframe_split": {"columns": NAMES, "data": []}},
        {"dataframe_records": []},
        {"inputs": {name: [] for name in NAMES}},
    ):
        assert site.predictions(form) == []
    assert site.predictions(",".join(NAMES).encode(), b"text/csv") == []


def test_predictions_have_the_shape_of_the_model_s_output(tmp_path: Path) -> None:
    site = Site(tmp_path, task="multiclass")
    assert site.predictions({"inputs": ROWS}) == site.model.predict(ROWS)["probabilities"].tolist()
    two = {"value": np.array([1.0, 2.0], np.float32), "spread": np.array([[1, 2], [3, 4]], np.float32)}
    assert json.loads(invocations.encode(two, ["value", "spread"])) == {
        "predictions": [{"value": 1.0, "spread": [1.0, 2.0]}, {"value": 2.0, "spread": [3.0, 4.0]}]
    }


CANARY = "canary-4711 <x>"
HALF_A_SURROGATE = b'{"inputs": {"station": ["\\ud83d"], "temperature": [NaN], "hour": [3], "holiday": [true]}}'


@pytest.mark.parametrize(
    ("document", "code", "says"),
    [
        (b"{", "malformed_json", "send JSON"),
        (b"\xff", "malformed_json", ""),
        (b'{"x": ' + b"[" * 100_000, "malformed_json", "deeply"),
        (b'{"x": NaN, "y": ' + b"[" * 100_000, "malformed_json", "deeply"),
        (b'{"x": NaN, "y": ' + b"9" * 5000 + b"}", "malformed_json", "send JSON"),
        (HALF_A_SURROGATE, "malformed_json", "send JSON"),
        ([1], "invalid_request", "dataframe_split"),
        ({}, "invalid_request", "exactly one of"),
        ({"inputs": ROWS, "dataframe_split": SPLIT}, "invalid_request", "exactly one of"),
        ({"inputs": None}, "invalid_request", "inputs"),
        ({"inputs": [[1, 2, 3, 4]]}, "invalid_request", "names no columns"),
        ({"instances": [1, 2]}, "invalid_request", "names no columns"),
        ({"instances": [RECORDS[0], 2]}, "invalid_request", "row 1 is no object"),
        ({"dataframe_split": {**SPLIT, "columns": [*NAMES[:3], "hour"]}}, "invalid_input", "hour: is there twice"),
        ({"dataframe_split": {**SPLIT, "data": [[1]]}}, "invalid_request", "row 0 has 1 values for 4 columns"),
        ({"dataframe_records": [{**RECORDS[0], "more": 1}]}, "invalid_input", "more: is not a column of this model"),
        ({"dataframe_records": [RECORDS[0], {"hour": 1}]}, "invalid_input", "station: is missing in row 1"),
        ({"inputs": {**ROWS, CANARY: [1]}}, "invalid_input", "a column: is not a column of this model"),
        ({"inputs": {name: ROWS[name] for name in NAMES[1:]}}, "invalid_input", "station: is missing"),
        ({"inputs": {**ROWS, "hour": [1]}}, "invalid_input", "hour: "),
        ({"inputs": {**ROWS, "hour": [CANARY, 1, 2]}}, "invalid_input", "hour: row 0 is not a number"),
        ({"inputs": {**ROWS, "hour": [[1], [2], [3]]}}, "invalid_input", "hour: row 0 is not a number"),
        ({"inputs": {**ROWS, "holiday": [None, True, True]}}, "invalid_input", "holiday: row 0 is missing"),
        ({"inputs": {**ROWS, "temperature": [1e308, 1, 2]}}, "invalid_input", "temperature: row 0 is infinite"),
    ],
)
def test_what_is_no_data_frame_of_this_model_is_refused(site: Site, document: object, code: str, says: str) -> None:
    status, found, error = site.refusal(document)
    assert (status, found) == (400, code)
    assert says in error
    assert "canary" not in error


@pytest.mark.parametrize(
    ("document", "code", "says"),
    [
        (b"", "invalid_request", "empty"),
        (b"\xff\xfe", "invalid_request", "UTF-8"),
        (b"station,temperature,hour\nnorth,1,2", "invalid_input", "holiday: is missing"),
        (b",station,temperature,hour,holiday\n0,north,1,2,true", "invalid_request", "index=False"),
        (b"station,temperature,hour,holiday\nnorth,1,2", "invalid_request", "row 0 has 3 values for 4 columns"),
        (b'station,temperature,hour,holiday\n"north,1,2,true', "invalid_request", "send CSV"),
        (b"station,temperature,hour,holiday\nnorth,warm,2,true", "invalid_input", "temperature: row 0 is not a number"),
        (b"station,temperature,hour,holiday\nnorth,1_0,2,true", "invalid_input", "temperature: row 0 is not a number"),
        (b"station,temperature,hour,holiday\nnorth,inf,2,true", "invalid_input", "temperature: row 0 is infinite"),
        (b"station,temperature,hour,holiday\nnorth,1,2.5,true", "invalid_input", "hour: row 0 is not a whole number"),
        (b"station,temperature,hour,holiday\nnorth,1,,true", "invalid_input", "hour: row 0 is missing"),
        (b"station,temperature,hour,holiday\nnorth,1,2,maybe", "invalid_input", "holiday: row 0 is not a truth value"),
    ],
)
def test_what_is_no_csv_of_this_model_is_refused(site: Site, document: bytes, code: str, says: str) -> None:
    status, found, error = site.refusal(document, b"text/csv")
    assert (status, found) == (400, code)
    assert says in error


def test_numbers_are_read_from_csv_as_from_json(site: Site) -> None:
    text = b"station,temperature,hour,holiday\nnorth,1e1,3.0,TRUE\nsouth,nan,-3,0\n\n"
    same = {"station": ["north", "south"], "temperature": [10.0, None], "hour": [3, -3], "holiday": [True, False]}
    assert site.predictions(text, b"text/csv") == site.predictions({"inputs": same})


def test_too_many_rows_and_other_kinds_of_body_are_refused(site: Site) -> None:
    forms = [
        {"dataframe_records": RECORDS[:1] * 101},
        {"dataframe_split": {"columns": NAMES, "data": SPLIT["data"][:1] * 101}},
        {"inputs": {name: values[:1] * 101 for name, values in ROWS.items()}},
    ]
    for form in forms:
        assert site.refusal(form)[:2] == (413, "too_many_rows")
    text = ",".join(NAMES).encode() + b"\nnorth,1,2,true" * 101
    assert site.refusal(text, b"text/csv")[:2] == (413, "too_many_rows")
    for kind in (b"application/vnd.apache.parquet", b"text/csv; charset=latin-1", b"application/json; x=y"):
        response = site.post({"inputs": ROWS}, kind)
        assert (response.status, json.loads(response.body)["code"]) == (415, "unsupported_media_type")
        assert dict(response.headers)[b"accept"] == b"application/json, text/csv"
    assert site.refusal({"inputs": ROWS}, content_encoding=b"gzip")[:2] == (415, "unsupported_encoding")


def test_a_model_with_one_column_needs_no_name_for_it() -> None:
    tensor = {"x": Input(name="x", dtype="float32", width=2)}
    for document in (
        {"inputs": [[1, 2], [3, 4]]},
        {"instances": [[1, 2], [3, 4]]},
        {"inputs": {"x": [[1, 2], [3, 4]]}},
    ):
        assert invocations.decode(Request("POST", "/", {}, json.dumps(document).encode()), tensor, 9) == (
            {"x": [1, 2, 3, 4]},
            2,
        )
    for wrong in ({"inputs": [1, 2, 3, 4]}, {"inputs": [[1, 2], [3]]}, {"inputs": [[1, 2], 3]}):
        with pytest.raises(ColumnError, match="is not nested as a tensor"):
            invocations.decode(Request("POST", "/", {}, json.dumps(wrong).encode()), tensor, 9)
    with pytest.raises(ColumnError, match="a cell of CSV cannot hold"):
        invocations.decode(Request("POST", "/", {b"content-type": b"text/csv"}, b"x\n1\n"), tensor, 9)
    two = {**tensor, "y": Input(name="y", dtype="int64")}
    with pytest.raises(Problem, match="names no columns"):
        invocations.decode(Request("POST", "/", {}, b'{"inputs": [1]}'), two, 9)


def test_the_probes_of_this_dialect(site: Site) -> None:
    def get(path: str) -> Response:
        return answer(site.clients, site.turns, Request("GET", path))

    site.readiness.ready = False
    assert [get(path).status for path in ("/ping", "/health", "/version")] == [503, 503, 200]
    site.readiness.ready = True
    assert [get(path).body for path in ("/ping", "/health")] == [b"\n", b"\n"]
    assert get("/version").body
