"""A small table of made-up shops for every task, and a run of training and packaging over it in a folder of its own."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from contracts import budgets
from pipelines.packaging.parameters import Parameters as Packaging
from pipelines.packaging.pipeline import create_pipeline as packaging
from pipelines.schema import Schema
from pipelines.training.parameters import Parameters as Training
from pipelines.training.pipeline import create_pipeline as training

DAYS, A_DAY = 100, 40
START = np.datetime64("2024-01-01", "us")
FEATURES = {
    "town": {"dtype": "string", "source": "request", "nullable": True},
    "shop": {"dtype": "string", "source": "request"},
    "shelves": {"dtype": "int64", "source": "request"},
    "floors": {"dtype": "int64", "source": "lookup", "nullable": True},
    "temperature": {"dtype": "float32", "source": "lookup", "nullable": True},
    "price": {"dtype": "float32", "source": "request"},
    "holiday": {"dtype": "bool", "source": "request"},
    "heated": {"dtype": "bool", "source": "lookup", "nullable": True},
}
TRAINING = {
    "train_until": "2024-03-15",
    "test_until": "2024-04-09",
    "validation_every_days": 5,
    "seed": 7,
    "device": "cpu",
    "sample_rows": 10_000,
    "segment_rows": 100,
    "encoding": {"bins": 8, "most_categories": 50, "least_rows": 5, "integer_levels": 16},
    "network": {"hidden": [16], "dropout": 0.1, "embedding": 4},
    "optimisation": {
        "maximum_epochs": 12,
        "patience": 3,
        "batch_rows": 128,
        "buffer_rows": 1024,
        "learning_rate": 0.01,
        "warmup_steps": 5,
        "weight_decay": 0.001,
        "averaging": 0.9,
        "unknown_share": 0.02,
    },
    "baselines": {"rows": 10_000, "regularisation": [1.0], "boosting_iterations": 30, "boosting_rate": 0.1},
}
PACKAGING = {
    "name": "small-shops",
    "title": "Small Shops",
    "owner": "shop-team",
    "intended_use": "Tests.",
    "limits": ["Made up."],
    "decision_threshold": 0.5,
    "golden_rows": 12,
    "golden_tolerance": 1e-5,
    "profile_rows": 10_000,
    "profile_bins": 5,
    "profile_categories": 3,
}
METRIC = {"binary": "auc", "multiclass": "macro_f1", "regression": "r2"}
TASKS = tuple(METRIC)
CODE = {"pipelines/x.py": b"x = 1\n"}


def feature_table(task: str = "binary", seed: int = 1) -> pa.Table:
    """Rows as the features pipeline leaves them: key `id`, times, label, block, a segment, and the columns of FEATURES."""
    random = np.random.default_rng(seed)
    rows = DAYS * A_DAY
    time = START + (np.sort(random.integers(0, DAYS * 24, rows)) * 3600_000_000).astype("timedelta64[us]")
    town = random.choice(["Ahl", "Brig", "Chur", "Dorf"], rows, p=[0.5, 0.3, 0.15, 0.05])
    shop = np.array([f"shop {number:02}" for number in random.zipf(1.6, rows).clip(1, 60)])
    shelves, floors = random.integers(1, 12, rows), random.integers(1, 5, rows)
    temperature, price = random.normal(12, 8, rows), random.gamma(2, 20, rows)
    holiday, heated = random.random(rows) < 0.1, random.random(rows) < 0.5
    score = (town == "Brig") - 0.2 * (shelves - 6) + 0.1 * np.abs(temperature - 12) - 0.01 * price + holiday - 0.3
    noisy = score + random.logistic(0, 0.5, rows)
    label: Any = {
        "binary": (noisy > 0).astype(np.int64),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(noisy, [-0.5, 0.7])],
        "regression": 100 + 30 * noisy,
    }[task]

    def gaps(values: Any, share: float, kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind, mask=random.random(rows) < share)

    return pa.table(
        {
            "id": pa.array(np.arange(rows)),
            "prediction_time": pa.array(time),
            "label_known_at": pa.array(time + np.timedelta64(6, "h")),
            "label": pa.array(label, mask=random.random(rows) < 0.02),
            "block": pa.array(time.astype("datetime64[D]")),
            "segment_town": pa.array(town),
            "town": gaps(town, 0.1, pa.string()),
            "shop": pa.array(shop),
            "shelves": pa.array(shelves),
            "floors": gaps(floors, 0.1, pa.int64()),
            "temperature": gaps(temperature, 0.1, pa.float64()),
            "price": pa.array(price),
            "holiday": pa.array(holiday),
            "heated": gaps(heated, 0.2, pa.bool_()),
        }
    )


def schema(task: str = "binary") -> Schema:
    """Only what training and packaging read of it is worth reading."""
    features = {name: {"description": "", "expression": name, **feature} for name, feature in FEATURES.items()}
    label = {"expression": "label", "known_at": "label_known_at", "policy": "Every row has one."}
    document = {
        "format": 1,
        "task": task,
        "target": "busy",
        "tables": {"sales": {"columns": {"id": {"type": "int64"}}, "key": ["id"]}},
        "prediction": {"table": "sales", "time": "prediction_time", "lead": "2h", "label": label},
        "features": features,
    }
    return msgspec.convert(document, Schema)


def parameters(**changes: Any) -> Training:
    """Parameters of training, for small tables; a dictionary among the changes is merged into its section."""
    merged = {
        name: {**value, **changes.get(name, {})} if isinstance(value, dict) else changes.get(name, value)
        for name, value in TRAINING.items()
    }
    return msgspec.convert(merged, Training)


def catalog(folder: Path, task: str = "binary", table: pa.Table | None = None, **changes: Any) -> DataCatalog:
    """Everything a run needs, and the stores it writes to, below `folder`."""
    file = folder / "feature_table.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(feature_table(task) if table is None else table, file)
    connection = {"backend": "duckdb", "database": ":memory:", "temp_directory": str(folder / "spill")}
    kept = "pipelines.training.datasets"
    evaluation = {"struct": "pipelines.training.evaluation.Evaluation", "store": str(folder / "evaluations")}
    parity = {"struct": "pipelines.packaging.parity.Parity", "store": str(folder / "parities")}
    made = DataCatalog.from_config(
        {
            "feature_table": {
                "type": "pipelines.datasets.ParquetTable",
                "filepath": str(file),
                "connection": connection,
            },
            "training_identity": {
                "type": "pipelines.datasets.StructFile",
                "filepath": str(folder / "training_identity.json"),
                "struct": "pipelines.training.identity.Identity",
            },
            "splits": {"type": f"{kept}.SplitFiles", "path": str(folder / "splits"), "connection": connection},
            "model": {"type": f"{kept}.ModelFolder", "path": str(folder / "models")},
            "known_models": {"type": f"{kept}.KnownModels", "path": str(folder / "models")},
            "evaluation": {"type": f"{kept}.Kept", "filepath": str(folder / "evaluation.json"), **evaluation},
            "known_evaluations": {"type": f"{kept}.Known", **evaluation},
            "bundle": {"type": "pipelines.datasets.Bundles", "path": str(folder / "bundles")},
            "known_bundles": {"type": "pipelines.packaging.datasets.KnownBundles", "path": str(folder / "bundles")},
            "parity": {"type": f"{kept}.Kept", "filepath": str(folder / "parity.json"), **parity},
            "known_parity": {"type": f"{kept}.Known", **parity},
            "repository": {"type": "pipelines.packaging.datasets.Repository", "path": str(folder)},
        }
    )
    found = budgets.load(Path("conf/base/budgets.yml"))
    quality = msgspec.structs.replace(found.quality, metric=METRIC[task], resamples=50)
    for name, value in {
        "schema": schema(task),
        "budgets": msgspec.structs.replace(found, quality=quality),
        "source_code": CODE,
        "requirements": {"train.txt": b"torch\n"},
        "params:training": parameters(**changes),
        "params:packaging": msgspec.convert(PACKAGING, Packaging),
    }.items():
        made[name] = MemoryDataset(value, copy_mode="assign")
    return made


def run(made: DataCatalog) -> DataCatalog:
    """Run training and packaging; gives the catalog to load results from."""
    SequentialRunner().run(training() + packaging(), made)
    return made


class Finished(msgspec.Struct):
    """A run that went through: where everything lies, and the catalog to load it with."""

    folder: Path
    catalog: DataCatalog


@functools.cache
def finished(task: str) -> Finished:
    """One run per task for all tests that only look at what it made."""
    folder = Path(tempfile.mkdtemp(prefix="small-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Finished(folder, run(catalog(folder, task)))
