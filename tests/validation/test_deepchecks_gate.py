"""The Deepchecks gate, with the real suite in its own environment: every known fault turns it red, clean resamples do not.

The import alone takes eight seconds, so one process judges all cases.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from contracts.report import Check
from pipelines.validation import deepchecks_gate
from pipelines.validation.parameters import Deepchecks
from tests import bundles
from tests.validation import station

Tables = dict[str, pa.Table]
Fault = Callable[[Tables, np.random.Generator], Tables]


def test_column(change: Callable[[pa.Table, np.random.Generator], tuple[str, object]]) -> Fault:
    """A fault in one column of the test rows."""
    return lambda tables, random: tables | {"test": station.replace(tables["test"], *change(tables["test"], random))}


test_column.__test__ = False  # type: ignore[attr-defined]


def text(rows: pa.Table) -> np.ndarray:
    return np.array(rows.column("station").to_pylist(), object)


def leak(tables: Tables, random: np.random.Generator) -> Tables:
    return {
        name: station.replace(rows, "temperature", rows.column("label").cast(pa.float64()))
        for name, rows in tables.items()
    }


def shared_rows(tables: Tables, random: np.random.Generator) -> Tables:
    return tables | {"test": pa.concat_tables([tables["test"], tables["train"].slice(0, 40)])}


def repeated_rows(tables: Tables, random: np.random.Generator) -> Tables:
    return tables | {"test": pa.concat_tables([tables["test"], tables["test"].slice(0, 1000)])}


FAULTS: dict[str, tuple[Fault, str]] = {
    "a constant column": (
        test_column(lambda rows, random: ("temperature", np.full(rows.num_rows, 5.0))),
        "Single Value",
    ),
    "texts that mean missing": (
        test_column(
            lambda rows, random: ("station", np.where(random.random(rows.num_rows) < 0.05, "null", text(rows)))
        ),
        "Mixed Nulls",
    ),
    "lower and upper case": (
        test_column(
            lambda rows, random: (
                "station",
                [name and (name.upper() if random.random() < 0.3 else name) for name in text(rows)],
            )
        ),
        "String Mismatch",
    ),
    "rows that repeat": (repeated_rows, "Data Duplicates"),
    "an unknown category": (
        test_column(
            lambda rows, random: ("station", np.where(random.random(rows.num_rows) < 0.03, "offshore", text(rows)))
        ),
        "New Category",
    ),
    "an unknown label": (test_column(lambda rows, random: ("label", np.arange(rows.num_rows) % 3)), "New Label"),
    "training rows in the test": (shared_rows, "Index Train-Test Leakage"),
    "the label in a column": (leak, "Feature Label Correlation"),
}
ADVICE: dict[str, tuple[Fault, str]] = {
    "a wetter season": (
        test_column(
            lambda rows, random: (
                "label",
                np.maximum(rows.column("label").to_numpy(), random.random(rows.num_rows) < 0.5),
            )
        ),
        "Label Drift",
    ),
    "another unit": (
        test_column(
            lambda rows, random: (
                "temperature",
                pa.array(rows.column("temperature").to_numpy() * 1.8 + 32, from_pandas=True),
            )
        ),
        "Feature Drift",
    ),
}
CLEAN = 5


@pytest.fixture(scope="module")
def deepchecks(environments: dict[str, Path]) -> Deepchecks:
    given = station.parameters().deepchecks
    return msgspec.structs.replace(given, python=str(environments["validate"]), rows=4000)


@pytest.fixture(scope="module")
def answers(
    model: Bundle, deepchecks: Deepchecks, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[Check]]]:
    """What the gate says about every fault and every clean resample."""
    cases: dict[str, Tables] = {}
    for seed in range(CLEAN):
        cases[f"clean {seed}"] = {
            name: station.rows(model, station.DAYS[name], seed=seed) for name in ("train", "test")
        }
    for name, (fault, _) in {**FAULTS, **ADVICE}.items():
        cases[name] = fault(dict(cases["clean 0"]), np.random.default_rng(1))
    folders = {name: tmp_path_factory.mktemp("case") for name in cases}
    for name, tables in cases.items():
        opened = {split: station.dataset(rows, folders[name] / "splits", split) for split, rows in tables.items()}
        deepchecks_gate.prepare(folders[name], model, opened, ("id",), deepchecks)
    assert deepchecks_gate.start(list(folders.values()), deepchecks) is None
    return {name: deepchecks_gate.read(folder, deepchecks, "binary") for name, folder in folders.items()}


@pytest.mark.parametrize("name", FAULTS)
def test_a_known_fault_refuses(name: str, answers: dict[str, list[Check]]) -> None:
    assert any(FAULTS[name][1] in check.name and check.status == "fail" and check.refused for check in answers[name])


@pytest.mark.parametrize("name", ADVICE)
def test_what_seasons_do_too_is_a_warning(name: str, answers: dict[str, list[Check]]) -> None:
    warned = [check for check in answers[name] if check.status == "warn"]
    assert any(ADVICE[name][1] in check.name for check in warned)
    assert not any(check.refused for check in warned)


@pytest.mark.parametrize("seed", range(CLEAN))
def test_clean_resamples_pass(seed: int, answers: dict[str, list[Check]]) -> None:
    assert [check for check in answers[f"clean {seed}"] if check.status != "pass"] == []


def test_every_configured_check_answers(answers: dict[str, list[Check]], deepchecks: Deepchecks) -> None:
    blocking = [check for check in deepchecks.checks if check.severity == "block"]
    assert len({check.name.split(" - ")[0] for check in answers["clean 0"]}) == len(deepchecks.checks)
    assert len({check.name.split(" - ")[0] for check in answers["clean 0"] if check.blocking}) == len(blocking)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_are_prepared_with_their_predictions(
    task: str, deepchecks: Deepchecks, splits: dict[str, ds.Dataset], tmp_path: Path
) -> None:
    deepchecks_gate.prepare(tmp_path, bundles.write(tmp_path / "store", task), splits, ("id",), deepchecks)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["task"] == task
    assert len(config["predictions"]) == (3 if task == "multiclass" else 1)
    assert ("NewLabelTrainTest" in {check["check"] for check in config["checks"]}) == (task == "multiclass")


def one(checks: list[Check]) -> Check:
    assert len(checks) == 1
    return checks[0]


def test_a_missing_environment_refuses_and_says_what_makes_it(model: Bundle, deepchecks: Deepchecks, splits) -> None:
    nowhere = msgspec.structs.replace(deepchecks, python="/nowhere/bin/python")
    check = one(deepchecks_gate.check_deepchecks(model, splits, ("id",), nowhere, None))
    assert check.refused
    assert check.status == "not_run"
    assert "make setup" in check.detail


def fake(tmp_path: Path, script: str) -> str:
    """An interpreter that does something else than asked."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("sleep 5", "longer than 1 s"),
        ("echo no module named deepchecks >&2; exit 1", "no module named deepchecks"),
        ("exit 0", "ended with 0"),
        ('for last; do :; done; echo "{" > "$last/result.json"', "cannot be read"),
    ],
)
def test_a_suite_that_does_not_answer_refuses(
    script: str, word: str, model: Bundle, deepchecks: Deepchecks, splits, tmp_path: Path
) -> None:
    broken = msgspec.structs.replace(deepchecks, python=fake(tmp_path, script), seconds=1)
    check = one(deepchecks_gate.check_deepchecks(model, splits, ("id",), broken, None))
    assert check.refused
    assert word in check.detail


def test_a_check_without_an_answer_refuses(deepchecks: Deepchecks, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"checks": []}')
    checks = deepchecks_gate.read(tmp_path, deepchecks, "binary")
    assert len(checks) == len(deepchecks.checks)
    assert all(check.refused for check in checks)


def test_switched_off_it_says_so_and_does_not_refuse(model: Bundle, deepchecks: Deepchecks, splits) -> None:
    off = msgspec.structs.replace(deepchecks, enabled=False)
    check = one(deepchecks_gate.check_deepchecks(model, splits, ("id",), off, None))
    assert check.status == "not_run"
    assert not check.refused


def test_the_suite_imports_nothing_of_ours(root: Path) -> None:
    imported = subprocess.run(
        ["grep", "-nE", r"^\s*(from|import) (contracts|pipelines|serving|msgspec|kedro)", deepchecks_gate.SCRIPT],
        capture_output=True,
        text=True,
    )
    assert imported.stdout == ""
