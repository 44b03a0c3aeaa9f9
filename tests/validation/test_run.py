"""The validation and registration pipelines as a person runs them: `kedro run`, on the small station table."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ibis
import msgspec
import pyarrow.parquet as pq
import pytest
import yaml

from contracts import report
from contracts.bundle import Bundle
from pipelines.datasets import Bundles
from pipelines.packaging.parity import Parity
from pipelines.training import evaluation
from pipelines.training.datasets import SplitFiles
from pipelines.training.splits import Plan
from pipelines.validation import metric, window
from tests import bundles
from tests.validation import station

LINKED = ("pipelines", "contracts", "serving", "pyproject.toml", ".telemetry")


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project on another table, as if training and packaging had just run."""
    place = tmp_path_factory.mktemp("project")
    for name in LINKED:
        (place / name).symlink_to(root / name)
    shutil.copytree(root / "conf", place / "conf")
    write(place / "conf/base/schema.yml", msgspec.to_builtins(station.SCHEMA))
    write(place / "conf/base/budgets.yml", msgspec.to_builtins(station.BUDGETS))
    data = place / "data"
    model = bundles.write(data / "bundles", version="")
    Bundles(path=str(data / "bundles")).save(model)
    tables = {name: station.rows(model, days) for name, days in station.DAYS.items()}
    connection = {"backend": "duckdb", "database": ":memory:"}
    SplitFiles(path=str(data / "splits"), connection=connection).save(
        Plan({name: ibis.memtable(rows) for name, rows in tables.items()}, "1" * 64)
    )
    (data / "features").mkdir()
    pq.write_table(tables["test"], data / "features/feature_table.parquet")
    (data / "evaluation.json").write_bytes(msgspec.json.encode(evaluated(model, place)))
    parity = Parity(
        inputs_hash="1" * 64, digest=model.digest, rows=5000, maximum_absolute_error=0.0, scale=1.0, maximum_error=0.0
    )
    (data / "parity.json").write_bytes(msgspec.json.encode(parity))
    return place


def evaluated(model: Bundle, place: Path) -> evaluation.Evaluation:
    split = station.dataset(station.rows(model, station.DAYS["test"]), place / "asked", "test")
    seen = window.predict(split, {"candidate": model}, 4096)
    value = metric.value(metric.statistic(seen, "candidate", station.asked()), seen)
    return evaluation.Evaluation(
        inputs_hash="1" * 64, task="binary", metric="auc", rows={"test": 5000}, days=50, test_from="", test_until="",
        models={"mlp": {"auc": evaluation.Measured(value=value)}, "logistic": {"auc": evaluation.Measured(value=value - 0.02)}},
        differences={}, segments=(), calibration=(), calibration_error=0.0, epochs=(), best_epoch=1, device="cpu",
    )  # fmt: skip


def write(path: Path, document: object) -> None:
    path.write_text(yaml.safe_dump(document))


def kedro(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    validate = Path(os.environ.get("VENV_VALIDATE", ".venv-validate"))
    environment = os.environ | {"VENV_VALIDATE": str(station.ROOT / validate), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def gates(project: Path) -> report.Report:
    (path,) = (project / "data/reports").glob("*/gates.json")
    return report.load(path)


def test_a_good_bundle_is_judged_registered_and_a_bad_one_stops_the_run(project: Path) -> None:
    quick = (
        "--pipelines",
        "validation,registration",
        "--params",
        "validation.deepchecks.enabled=false",
    )  # it has its own tests
    good = kedro(project, *quick)
    assert good.returncode == 0, good.stdout + good.stderr
    assert gates(project).passed
    asked = {check.gate for check in gates(project).checks}
    assert asked == {
        "model guard",
        "schema",
        "leakage",
        "quality",
        "champion",
        "parity",
        "golden rows",
        "drift",
        "deepchecks",
    }
    assert (project / "data/registered_version.json").exists()

    budgets = msgspec.to_builtins(station.BUDGETS)
    budgets["quality"]["floor"] = 0.9
    write(project / "conf/base/budgets.yml", budgets)
    (project / "data/registered_version.json").unlink()
    refused = kedro(
        project, "--pipelines", "validation,registration", "--params", "validation.deepchecks.enabled=false"
    )
    assert refused.returncode == 2
    last = refused.stderr.strip().splitlines()[-1]
    assert "auc reaches the floor" in last
    assert "gates.html" in last
    assert "Traceback" not in refused.stdout + refused.stderr
    assert not gates(project).passed  # the report lies there all the same
    assert not (project / "data/registered_version.json").exists()
