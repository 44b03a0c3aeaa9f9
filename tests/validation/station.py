"""A small table that the tiny bundle of tests/bundles.py predicts well: rain at three stations, half a year of it.

Rows look like the feature table's. The label is drawn from the model's own probability, shifted by a trouble that all
rows of a day share, so that days are what varies.
"""

import datetime as dt
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyarrow import dataset as ds

from contracts import budgets
from contracts.bundle import Bundle
from pipelines.parameters import convert
from pipelines.schema import Schema
from pipelines.scoring.columns import columns
from pipelines.validation.metric import Asked
from pipelines.validation.parameters import Parameters
from serving.runtime import Model
from tests import bundles

ROOT = Path(__file__).resolve().parents[2]
START = dt.date(2025, 1, 1)
DAYS = {
    "train": (0, 119),
    "validation": (119, 129),
    "test": (130, 180),
}  # a day apart: predictions are made two hours ahead
OPERATORS = ("Cast", "Identity", "IsNaN", "LabelEncoder", "Mul", "Sigmoid", "Softmax", "Sum", "Unsqueeze", "Where")

BUDGETS = msgspec.structs.replace(
    budgets.load(ROOT / "conf/base/budgets.yml"),
    quality=budgets.Quality(
        metric="auc", floor=0.6, baseline_margin=0.005, champion_margin=0.005, segment_margin=0.02,
        calibration_error=0.1, confidence=0.95, resamples=300,
    ),
    model=budgets.Model(maximum_bytes=1_000_000, parity_tolerance=1e-4, operators=OPERATORS),
    drift=budgets.Drift(psi=0.25, minimum_rows=500),
)  # fmt: skip
SCHEMA = msgspec.convert(
    {
        "format": 1,
        "task": "binary",
        "target": "rain",
        "tables": {
            "hours": {
                "columns": {
                    "id": {"type": "string"},
                    "at": {"type": "timestamp"},
                    "station": {"type": "string", "nullable": True},
                    "temperature": {"type": "float64", "nullable": True},
                    "hour": {"type": "int64"},
                    "holiday": {"type": "bool"},
                    "rained": {"type": "int64", "known_at": "at"},
                },
                "key": ["id"],
                "known_at": "at - INTERVAL 1 DAY",
            }
        },
        "prediction": {
            "table": "hours", "time": "at", "lead": "2h",
            "label": {"expression": "rained", "known_at": "at", "policy": "every hour has one"},
        },
        "features": {
            "station": {"dtype": "string", "source": "request", "nullable": True, "expression": "station", "description": ""},
            "temperature": {"dtype": "float32", "source": "request", "nullable": True, "expression": "temperature", "description": ""},
            "hour": {"dtype": "int64", "source": "request", "expression": "hour", "description": ""},
            "holiday": {"dtype": "bool", "source": "request", "expression": "holiday", "description": ""},
        },
        "segments": {"station": "station"},
        "block": "at",
    },
    Schema,
)  # fmt: skip


def parameters(**changes: object) -> Parameters:
    """The parameters as committed, with changes."""
    document = yaml.safe_load((ROOT / "conf/base/parameters_validation.yml").read_text())
    return msgspec.structs.replace(convert(document["validation"], Parameters, "parameters"), **changes)


def asked(**changes: object) -> Asked:
    """How the figures of the gates are computed here."""
    return msgspec.structs.replace(
        Asked(budget=BUDGETS.quality, task="binary", threshold=0.5, segment_rows=300, seed=1), **changes
    )


def rows(model: Bundle, days: tuple[int, int], per_day: int = 100, seed: int = 0) -> pa.Table:
    """Rows of the days from the first to before the last, counted from START."""
    random = np.random.default_rng([seed, days[0]])
    count = (days[1] - days[0]) * per_day
    day = np.repeat(np.arange(*days), per_day)
    hour = random.integers(0, 24, count)
    at = np.datetime64(START, "us") + (day * 24 + hour) * np.timedelta64(3_600_000_000, "us")
    station = random.choice(["north", "south", "east", "west"], count, p=[0.4, 0.3, 0.2, 0.1])
    temperature = 10 + 8 * random.standard_normal(count)
    table = pa.table(
        {
            "id": pa.array([f"{START}+{place}" for place in range(days[0] * per_day, days[1] * per_day)]),
            "prediction_time": pa.array(at - np.timedelta64(2, "h"), pa.timestamp("us")),
            "label_known_at": pa.array(at, pa.timestamp("us")),
            "block": pa.array(at.astype("datetime64[D]"), pa.date32()),
            "segment_station": pa.array(station),
            "station": pa.array(station, mask=random.random(count) < 0.01),
            "temperature": pa.array(temperature, mask=random.random(count) < 0.05),
            "hour": pa.array(hour, pa.int64()),
            "holiday": pa.array(random.random(count) < 0.05),
        }
    )
    probability = Model(model).predict(columns(table, bundles.INPUTS))["probability"]
    score = np.log(probability / (1 - probability)) * 1.5 + 0.5 * random.standard_normal(180)[day]
    label = random.random(count) < 1 / (1 + np.exp(-score))
    return table.append_column("label", pa.array(label.astype(np.int64)))


def dataset(table: pa.Table, folder: Path, name: str) -> ds.Dataset:
    """The table as a Parquet file of many row groups, opened."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{name}.parquet", row_group_size=1000)
    return ds.dataset(folder / f"{name}.parquet", format="parquet")


def splits(model: Bundle, folder: Path, seed: int = 0, **changed: pa.Table) -> dict[str, ds.Dataset]:
    """The three splits, some of them replaced."""
    tables = {name: rows(model, days, seed=seed) for name, days in DAYS.items()} | changed
    return {name: dataset(table, folder, name) for name, table in tables.items()}


def replace(table: pa.Table, name: str, values: object) -> pa.Table:
    """The table with another column under that name."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    return table.set_column(table.schema.get_field_index(name), name, array)
