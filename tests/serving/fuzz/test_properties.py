"""Whatever rows there are, and however their tensors are spelled: the server answers what the model does."""

import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reliability import answers, models, processes, questions, tensors, wire
from bench.reliability.models import DATATYPES, VECTOR, Oracle
from bench.reliability.tensors import Probe
from contracts.bundle import Bundle

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CELLS = {
    "city": st.one_of(st.sampled_from([*models.CITIES, None]), TEXT),
    "load": st.one_of(st.none(), FLOATS),
    "age": st.integers(-(2**63), 2**63 - 1),
    "member": st.booleans(),
    "signal": st.lists(FLOATS, min_size=VECTOR, max_size=VECTOR),
}
ROWS = st.integers(0, 5).flatmap(
    lambda count: st.fixed_dictionaries(
        {name: st.lists(cell, min_size=count, max_size=count) for name, cell in CELLS.items()}
    )
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def oracle(bundle: Bundle) -> Oracle:
    return Oracle(bundle.model)


@pytest.fixture(scope="module")
def port(bundle: Bundle) -> Iterator[int]:
    with processes.serving(bundle.path) as server:
        yield server.port


def asked(port: int, probe: Probe, oracle: Oracle) -> None:
    """Ask, and compare with the model: an answer is right, and there is a refusal only where the model has no answer."""
    heard = wire.say(port, [probe.request])
    (answer,) = heard.answers
    assert wire.flaw(answer) == ""
    if np.isfinite(oracle(probe.rows)).all():
        assert answer.status == 200, answer.body
        assert answers.difference(probe, json.loads(answer.body), oracle) == ""
    else:
        assert (answer.status, answer.json()["code"]) == (422, "no_finite_answer")


@settings(max_examples=60)
@given(rows=ROWS)
def test_json_of_any_values_gets_the_answer_of_the_model(port: int, oracle: Oracle, rows: dict[str, list]) -> None:
    asked(port, Probe(questions.document(rows), "", True, rows), oracle)


@settings(max_examples=60)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_binary_tensors_of_any_values_get_the_answer_of_the_model(
    port: int, oracle: Oracle, rows: dict[str, list], seed: int
) -> None:
    order = random.Random(seed).sample(list(rows), len(rows))
    blobs = {name: tensors.binary(DATATYPES[name], questions.flat(rows[name])) for name in order}
    inputs = [
        {
            "name": name,
            "datatype": DATATYPES[name],
            "shape": questions.shape(name, rows[name]),
            "parameters": {"binary_data_size": len(blob)},
        }
        for name, blob in blobs.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    probe = Probe(head + b"".join(blobs.values()), f"{tensors.HEADER}: {len(head)}\r\n", True, rows)
    asked(port, probe, oracle)


@settings(max_examples=100)
@given(body=st.one_of(st.binary(max_size=200), st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(
        ["inputs", "name", "datatype", "shape", "data", "outputs", "parameters", "id"]), inner, max_size=5)),
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_other_body_is_refused_with_a_problem_document(port: int, body: bytes) -> None:
    (answer,) = wire.say(port, [questions.request(body)]).answers
    assert wire.flaw(answer) == ""
    assert answer.status == 400
