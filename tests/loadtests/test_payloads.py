import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from contracts.bundle import Bundle, CategoricalProfile, Input, NumericProfile
from loadtests.payloads import Payload, payloads, wrong
from serving.runtime import Model
from tests import bundles


def columns(payload: Payload) -> dict[str, list]:
    return {tensor["name"]: tensor["data"] for tensor in json.loads(payload.body)["inputs"]}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_drawn_row_is_one_that_the_model_takes(tmp_path: Path, task: str) -> None:
    bundle = bundles.write(tmp_path, task)
    model = Model(bundle)
    for payload in payloads(bundle, rows=3, seed=1).drawn:
        (answer,) = model.predict(columns(payload)).values()
        assert len(answer) == 3


def test_rows_are_drawn_as_the_training_data_were_distributed(tmp_path: Path) -> None:
    drawn = [columns(payload) for payload in payloads(bundles.write(tmp_path), rows=50, seed=1).drawn]
    stations = [value for rows in drawn for value in rows["station"]]
    assert stations.count("north") / len(stations) == pytest.approx(0.5, abs=0.02)
    assert stations.count(None) / len(stations) == pytest.approx(0.02, abs=0.01)
    assert set(stations) - {*bundles.STATIONS, None}  # and some that training never saw
    temperatures = [value for rows in drawn for value in rows["temperature"] if value is not None]
    assert -20 <= min(temperatures) < 0 < 20 < max(temperatures) <= 40
    assert sum(value <= 10 for value in temperatures) / len(temperatures) == pytest.approx(4 / 9, abs=0.02)
    assert {type(value) for rows in drawn for value in rows["hour"]} == {int}
    assert {type(value) for rows in drawn for value in rows["holiday"]} == {bool}


def test_the_same_seed_asks_the_same(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    assert payloads(bundle, 2, seed=1) == payloads(bundle, 2, seed=1)
    assert payloads(bundle, 2, seed=1) != payloads(bundle, 2, seed=2)


def test_golden_rows_are_asked_now_and_then(tmp_path: Path) -> None:
    all_of_them = payloads(bundles.write(tmp_path), 1, seed=1)
    random = Random(1)
    chosen = [all_of_them.choose(random) for _ in range(1000)]
    assert 50 < chosen.count(all_of_them.golden) < 200
    assert columns(all_of_them.golden) == bundles.GOLDEN


def test_columns_without_a_profile_or_of_odd_kinds_are_drawn_too(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    inputs = (
        Input(name="unprofiled_text", dtype="string", categories=("a",)),
        Input(name="unprofiled_number", dtype="float32", minimum=2.0, maximum=3.0),
        Input(name="constant", dtype="float32"),
        Input(name="counted", dtype="int64"),
        Input(name="flag", dtype="bool"),
    )
    profiles = {
        "constant": NumericProfile(edges=[], counts=[5], missing=0, minimum=7.0, maximum=7.0),
        "counted": CategoricalProfile(counts={"1": 5, "2": 5}, other=3, missing=0),
        "flag": NumericProfile(edges=[0.5], counts=[5, 5], missing=0, minimum=0.0, maximum=1.0),
    }
    odd = replace(
        bundle,
        manifest=replace(bundle.manifest, inputs=inputs),
        profile=replace(bundle.profile, inputs=profiles),
        golden=replace(bundle.golden, inputs={column.name: [0] * 6 for column in inputs}),
    )
    rows = columns(payloads(odd, rows=20, seed=1).drawn[0])
    assert rows["unprofiled_text"] == ["a"] * 20
    assert all(2 <= value <= 3 for value in rows["unprofiled_number"])
    assert rows["constant"] == [7.0] * 20
    assert set(rows["counted"]) == {1, 2}
    assert set(rows["flag"]) == {True, False}


def answer(bundle: Bundle, change: float = 0.0, drop: int = 0) -> bytes:
    values = bundle.golden.outputs["probability"]
    data = [value + change for value in values][: len(values) - drop]
    return msgspec.json.encode({"outputs": [{"name": "probability", "data": data}]})


def test_golden_rows_are_compared_within_the_bundles_tolerance(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    expected = payloads(bundle, 1, seed=1).golden.expected
    assert wrong(bundle, expected, answer(bundle)) == ""
    assert wrong(bundle, expected, answer(bundle, change=5e-6)) == ""
    assert "more than the tolerance" in wrong(bundle, expected, answer(bundle, change=1e-3))
    assert "not as many values" in wrong(bundle, expected, answer(bundle, drop=1))
    for broken in (b"", b"{}", b"[]", b'{"outputs": [{"name": "other", "data": [1]}]}', b'{"outputs": 1}'):
        assert wrong(bundle, expected, broken)


def test_wide_outputs_are_compared_value_by_value(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path, "multiclass")
    rows = bundle.golden.outputs["probabilities"]
    flat = [value for row in rows for value in row]
    body = msgspec.json.encode({"outputs": [{"name": "probabilities", "data": flat}]})
    assert wrong(bundle, {"probabilities": rows}, body) == ""
    swapped = msgspec.json.encode({"outputs": [{"name": "probabilities", "data": flat[::-1]}]})
    assert wrong(bundle, {"probabilities": rows}, swapped)
