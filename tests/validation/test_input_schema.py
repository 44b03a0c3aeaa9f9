"""The schema gate refuses a bundle or a split that is not what the schema says."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle, Input
from contracts.report import Check
from pipelines.schema import Schema
from pipelines.validation import input_schema
from tests.validation import station


def ask(
    model: Bundle, splits: dict[str, ds.Dataset], schema: Schema = station.SCHEMA, rows: int = 18_000
) -> list[Check]:
    return input_schema.check_input_schema(model, schema, rows, splits, 1000, 0.2)


def refused(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if check.status == "fail"}


def with_inputs(model: Bundle, *inputs: Input) -> Bundle:
    return msgspec.structs.replace(model, manifest=msgspec.structs.replace(model.manifest, inputs=inputs))


@pytest.mark.parametrize("seed", range(4))
def test_clean_splits_pass(model: Bundle, seed: int, tmp_path) -> None:
    assert all(check.status == "pass" for check in ask(model, station.splits(model, tmp_path, seed=seed)))


def test_a_bundle_with_other_inputs_is_refused(model: Bundle, splits) -> None:
    inputs = model.manifest.inputs
    changed = msgspec.structs.replace(inputs[1], dtype="int64", nullable=False)
    assert refused(ask(with_inputs(model, *inputs[:-1]), splits)) == {"inputs"}
    assert refused(ask(with_inputs(model, *inputs, Input(name="wind", dtype="float32")), splits)) == {"inputs"}
    assert refused(ask(with_inputs(model, inputs[0], changed, *inputs[2:]), splits)) == {"inputs"}


def test_a_nullable_whole_number_travels_as_float32(model: Bundle, splits) -> None:
    hour = msgspec.structs.replace(station.SCHEMA.features["hour"], nullable=True)
    schema = msgspec.structs.replace(station.SCHEMA, features=station.SCHEMA.features | {"hour": hour})
    packed = [
        Input(name="hour", dtype="float32", nullable=True) if column.name == "hour" else column
        for column in model.manifest.inputs
    ]
    assert refused(ask(with_inputs(model, *packed), splits, schema)) == set()


def test_another_target_is_refused(model: Bundle, splits) -> None:
    assert refused(ask(model, splits, msgspec.structs.replace(station.SCHEMA, target="snow"))) == {"task and target"}


def test_a_split_without_a_column_or_with_another_type_is_refused(model: Bundle, splits, test_rows, tmp_path) -> None:
    without = splits | {"test": station.dataset(test_rows.drop_columns(["hour"]), tmp_path, "without")}
    checks = ask(model, without)
    assert refused(checks) == {"split columns"}
    assert {check.name for check in checks if check.status == "not_run"} == {"labels", "missing values"}
    text = station.replace(test_rows, "hour", test_rows.column("hour").cast(pa.string()))
    assert refused(ask(model, splits | {"test": station.dataset(text, tmp_path, "text")})) == {"split columns"}


def test_an_empty_table_and_a_short_test_window_are_refused(model: Bundle, splits, test_rows, tmp_path) -> None:
    assert refused(ask(model, splits, rows=0)) == {"feature table"}
    short = splits | {"test": station.dataset(test_rows.slice(0, 50), tmp_path, "short")}
    assert "test rows" in refused(ask(model, short))
    empty = ask(model, splits | {"test": station.dataset(test_rows.slice(0, 0), tmp_path, "empty")})
    assert refused(empty) == {"test rows"}
    assert {check.name for check in empty if check.status == "not_run"} == {"labels", "missing values"}


def test_one_label_only_and_a_third_one_are_refused(model: Bundle, splits, test_rows, tmp_path) -> None:
    dry = station.replace(test_rows, "label", np.zeros(test_rows.num_rows, np.int64))
    assert refused(ask(model, splits | {"test": station.dataset(dry, tmp_path, "dry")})) == {"labels"}
    third = station.replace(test_rows, "label", np.arange(test_rows.num_rows) % 3)
    assert refused(ask(model, splits | {"test": station.dataset(third, tmp_path, "third")})) == {"labels"}
    unlabelled = station.replace(
        test_rows, "label", pa.array([None, *test_rows.column("label").to_pylist()[1:]], pa.int64())
    )
    assert refused(ask(model, splits | {"test": station.dataset(unlabelled, tmp_path, "unlabelled")})) == {"labels"}


def test_a_value_that_stops_coming_is_refused(model: Bundle, splits, test_rows, tmp_path) -> None:
    gone = np.arange(test_rows.num_rows) % 3 == 0
    broken = station.replace(test_rows, "temperature", pa.array(test_rows.column("temperature").to_numpy(), mask=gone))
    checks = ask(model, splits | {"test": station.dataset(broken, tmp_path, "broken")})
    assert refused(checks) == {"missing values"}
    assert "temperature" in checks[-1].detail


def test_a_missing_value_where_there_may_be_none_is_refused(model: Bundle, splits, test_rows, tmp_path) -> None:
    one = station.replace(test_rows, "hour", pa.array([None, *test_rows.column("hour").to_pylist()[1:]], pa.int64()))
    checks = ask(model, splits | {"test": station.dataset(one, tmp_path, "one")})
    assert refused(checks) == {"missing values"}
    assert "hour is not nullable" in checks[-1].detail
