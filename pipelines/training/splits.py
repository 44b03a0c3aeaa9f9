"""Which rows train, which validate, which test; and how they lie on disk.

A row trains if its label was known before `train_until`: a model of that day could have been trained on it. Every k-th
UTC day of that window validates (early stopping, calibration): whole days, because rows of a day resemble each other.
Rows predicted from `train_until` to `test_until` test. Predicted before and known after: in none of them.
"""

import datetime as dt
from collections.abc import Sequence

import ibis
from ibis import Table, Value
from msgspec import Struct
from pyarrow import dataset as ds

from contracts.errors import InputError
from pipelines.training.parameters import Parameters

NAMES = ("train", "validation", "test")
SECONDS_OF_A_DAY = 86_400
EMPTY = {
    "train": "choose a later train_until, or give it earlier data",
    "validation": "choose fewer validation_every_days, or a longer window before train_until",
    "test": "choose an earlier train_until, or a later test_until",
}


class Plan(dict[str, Table]):
    """The splits by name as expressions that nobody has computed yet, and the inputs they are made from."""

    def __init__(self, splits: dict[str, Table], inputs_hash: str) -> None:
        super().__init__(splits)
        self.inputs_hash = inputs_hash


class Splits(dict[str, ds.Dataset]):
    """The splits by name as they lie on disk, what they were made from, and what DuckDB may take to look at them."""

    def __init__(self, splits: dict[str, ds.Dataset], inputs_hash: str, duckdb: dict[str, str]) -> None:
        super().__init__(splits)
        self.inputs_hash = inputs_hash
        self.duckdb = duckdb


def assign(table: Table, parameters: Parameters) -> Table:
    """The labelled rows of the feature table that a split takes, with its name in column `split`."""
    start, until = midnight(parameters.train_until), midnight(parameters.test_until)
    time = table.prediction_time
    day = (time.epoch_seconds() / SECONDS_OF_A_DAY).floor().cast("int64")
    window = table.label_known_at < start
    split = ibis.cases(
        (window & (day % parameters.validation_every_days == 0), "validation"),
        (window, "train"),
        ((time >= start) & (time < until), "test"),
    )
    return table.mutate(split=split).filter(ibis._.label.notnull() & ibis._.split.notnull())


class Window(Struct, frozen=True):
    """The first and the last prediction time of the rows that train or validate."""

    first: dt.datetime
    last: dt.datetime


def survey(rows: Table, parameters: Parameters) -> Window:
    """Look at what `assign` gave. Raises InputError when a split would be empty."""
    time = rows.prediction_time
    counted = rows.group_by("split").aggregate(first=time.min(), last=time.max()).to_pyarrow().to_pylist()
    found = {entry["split"]: Window(entry["first"], entry["last"]) for entry in counted}
    for name, way_out in EMPTY.items():
        if name not in found:
            said = f"train_until {parameters.train_until}, test_until {parameters.test_until}"
            raise InputError(
                f"conf/base/parameters_training.yml: training: no row is left for {name} ({said}); {way_out}"
            )
    both = (found["train"], found["validation"])
    return Window(min(part.first for part in both), max(part.last for part in both))


def arrange(rows: Table, key: Sequence[str], seed: int) -> dict[str, Table]:
    """Each split in a total order: training rows by a hash of the key, the same shuffle everywhere; others by time."""
    text: Value = ibis.literal(str(seed))
    for name in key:
        text = text + "/" + rows[name].cast("string").fill_null("")
    orders = {"train": text.hexdigest("md5")}
    return {
        name: rows.filter(rows.split == name).order_by([orders.get(name, rows.prediction_time), *key]).drop("split")
        for name in NAMES
    }


def midnight(day: dt.date) -> dt.datetime:
    """The start of a UTC day, without a zone as all times of the feature table."""
    return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001
