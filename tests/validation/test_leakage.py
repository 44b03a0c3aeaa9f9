"""The leakage gate refuses what the model could not have seen: by its time, its key, or what it knows."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from pipelines.validation import leakage
from pipelines.validation.parameters import Parameters
from tests.validation import station


def refused(splits: dict[str, ds.Dataset], parameters: Parameters) -> set[str]:
    return {check.name for check in leakage.check_leakage(station.SCHEMA, splits, parameters.leakage) if check.refused}


def changed(splits: dict[str, ds.Dataset], tmp_path, **tables: pa.Table) -> dict[str, ds.Dataset]:
    return splits | {name: station.dataset(table, tmp_path, name) for name, table in tables.items()}


@pytest.mark.parametrize("seed", range(4))
def test_clean_splits_pass(model: Bundle, parameters: Parameters, seed: int, tmp_path) -> None:
    assert refused(station.splits(model, tmp_path, seed=seed), parameters) == set()


def test_a_row_in_train_and_test_is_found_by_its_key(splits, train_rows, test_rows, parameters, tmp_path) -> None:
    leaked = pa.concat_tables([train_rows, test_rows.slice(0, 3)])
    assert "no row in two splits" in refused(changed(splits, tmp_path, train=leaked), parameters)


def test_a_repeated_key_is_found(splits, test_rows, parameters, tmp_path) -> None:
    twice = pa.concat_tables([test_rows, test_rows.slice(7, 1)])
    assert refused(changed(splits, tmp_path, test=twice), parameters) == {"no row twice"}


def test_training_on_labels_from_the_test_window_is_found(splits, train_rows, parameters, tmp_path) -> None:
    moved = pc.add(train_rows.column("label_known_at"), pa.scalar(dt.timedelta(days=60)))
    late = station.replace(train_rows, "label_known_at", moved)
    assert refused(changed(splits, tmp_path, train=late), parameters) == {"training ends before the test"}


def test_a_label_that_was_known_before_the_prediction_is_found(splits, test_rows, parameters, tmp_path) -> None:
    early = pc.subtract(test_rows.column("prediction_time"), pa.scalar(dt.timedelta(minutes=1)))
    known = station.replace(test_rows, "label_known_at", early)
    assert refused(changed(splits, tmp_path, test=known), parameters) == {"labels come after predictions"}


LEAKS = {
    "a number": lambda rows, random: ("temperature", rows.column("label").cast(pa.float64())),
    "a number whose order says nothing": lambda rows, random: (
        "temperature",
        np.where(rows.column("label").to_numpy() == 1, random.choice([-5.0, 5.0], rows.num_rows), 0.0),
    ),
    "a category": lambda rows, random: ("station", np.where(rows.column("label").to_numpy() == 1, "north", "south")),
    "a value that is missing when it rains": lambda rows, random: (
        "temperature",
        pa.array(random.random(rows.num_rows), mask=rows.column("label").to_numpy() == 1),
    ),
    "a flag": lambda rows, random: ("holiday", pc.equal(rows.column("label"), 1)),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_column_that_tells_the_label_is_found(leak, splits, train_rows, test_rows, parameters, tmp_path) -> None:
    random = np.random.default_rng(0)
    tables = {
        name: station.replace(rows, *LEAKS[leak](rows, random))
        for name, rows in {"train": train_rows, "test": test_rows}.items()
    }
    assert refused(changed(splits, tmp_path, **tables), parameters) == {"no column tells the label"}


def test_a_column_of_keys_tells_nothing(splits, train_rows, test_rows, parameters, tmp_path) -> None:
    tables = {
        name: station.replace(rows, "station", rows.column("id"))
        for name, rows in {"train": train_rows, "test": test_rows}.items()
    }
    assert refused(changed(splits, tmp_path, **tables), parameters) == set()
