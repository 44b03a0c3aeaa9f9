import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.serving import networks, questions
from bench.serving.questions import Model, wrong
from tests import bundles


@pytest.fixture(scope="module")
def tensor(tmp_path_factory: pytest.TempPathFactory) -> Model:
    written = networks.write(tmp_path_factory.mktemp("store"), "tensor", 8)
    return questions.model(written.path, {"x": networks.drawn(32, seed=3)})


def answer(model: Model, rows: int, shift: float = 0.0) -> bytes:
    values = [value + shift for value in model.questions["json", rows].expected["logits"]]
    return json.dumps(
        {"outputs": [{"name": "logits", "datatype": "FP32", "shape": [rows, 2], "data": values}]}
    ).encode()


def test_a_network_is_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    first, again = (networks.write(tmp_path / name, "n", 8).digest for name in "ab")
    assert first == again


@pytest.mark.parametrize("rows", [1, 32])
def test_a_right_answer_is_right_and_a_shifted_one_is_not(tensor: Model, rows: int) -> None:
    question = tensor.questions["json", rows]
    assert wrong(question, 200, {}, answer(tensor, rows)) == ""
    assert "off by 0.001" in wrong(question, 200, {}, answer(tensor, rows, shift=0.001))


def test_an_answer_for_other_rows_is_wrong(tensor: Model) -> None:
    assert "has 2 values, not 64" in wrong(tensor.questions["json", 32], 200, {}, answer(tensor, 1))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"outputs": [{}]}'])
def test_what_is_no_answer_is_wrong(tensor: Model, body: bytes) -> None:
    assert wrong(tensor.questions["json", 1], 200, {}, body)


def test_a_refusal_is_shown_with_its_status(tensor: Model) -> None:
    assert wrong(tensor.questions["json", 1], 500, {}, b"no\nway") == "status 500: no way"


def test_binary_tensors_are_sent_and_read_behind_their_json_head(tensor: Model) -> None:
    question = tensor.questions["binary", 32]
    head = int(question.headers["Inference-Header-Content-Length"])
    sent = msgspec.json.decode(question.body[:head])["inputs"][0]
    assert sent["parameters"]["binary_data_size"] == len(question.body) - head == 32 * 32 * 4
    values = np.array(question.expected["logits"], np.float32).tobytes()
    outputs = [{"name": "logits", "parameters": {"binary_data_size": len(values)}}]
    reply = json.dumps({"outputs": outputs}).encode()
    headers = {"inference-header-content-length": str(len(reply))}
    assert wrong(question, 200, headers, reply + values) == ""
    assert wrong(question, 200, headers, reply + bytes(len(values)))


def test_mlflow_is_asked_and_read_in_its_own_words(tensor: Model) -> None:
    question = tensor.questions["mlflow", 1]
    assert len(json.loads(question.body)["inputs"]["x"][0]) == networks.WIDTH
    reply = json.dumps({"predictions": {"logits": [question.expected["logits"]]}}).encode()
    assert wrong(question, 200, {}, reply) == ""


def test_columns_are_asked_about_golden_rows_and_nothing_missing_is_sent(tmp_path: Path) -> None:
    model = questions.model(bundles.write(tmp_path).path)
    inputs = {each["name"]: each for each in json.loads(model.questions["json", 32].body)["inputs"]}
    assert inputs["station"]["shape"] == [32]
    assert all(value is not None for each in inputs.values() for value in each["data"])
    assert ("binary", 1) not in model.questions  # strings have no place there
