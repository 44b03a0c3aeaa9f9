import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from contracts.errors import InputError
from pipelines import cli
from pipelines.configuration import installed, venv
from pipelines.pipeline_registry import Registry

KEDRO = [sys.executable, "-m", "kedro"]


def kedro(root: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", **more}
    return subprocess.run([*KEDRO, *arguments], cwd=root, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--pipelines", "data", "--params", "features.prat=7d"],
            "conf/base/parameters_features.yml: features: .*`prat`; known here: part",
        ),
        (
            ["--pipelines", "data", "--params", "fetaures.part=7d"],
            "parameters: fetaures: no pipeline has such parameters",
        ),
        (["--pipelines", "nonsense"], "kedro run: Failed to find the pipeline named 'nonsense'"),
        (["--pipelines", "data", "--nodes", "features.bild"], "kedro run: .*features.bild"),
    ],
)
def test_a_mistake_in_the_command_is_one_line_and_exit_code_2(root: Path, arguments: list[str], line: str) -> None:
    done = kedro(root, "run", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    (said,) = done.stderr.strip().splitlines()
    assert re.search(line, said)


def test_a_bug_of_ours_keeps_its_trace() -> None:
    assert cli.one_line(RuntimeError("ours")) is None
    assert cli.one_line(AttributeError("ours")) is None


def test_the_line_of_an_input_error_is_found_however_deep_it_lies() -> None:
    wrapped = DatasetError("Failed while loading data from dataset …")
    wrapped.__cause__ = InputError("file: key: reason; way out")
    assert cli.one_line(wrapped) == "file: key: reason; way out"


def test_pipelines_are_registered_by_folder_and_in_their_order() -> None:
    registry = Registry()
    assert {"ingestion", "features", "data", "train", "__default__"} <= set(registry)
    assert [node.name for node in registry["data"].nodes] == ["ingestion.check", "ingestion.keep", "features.build"]
    for name in ("ingestion", "features"):
        assert all(name in node.tags for node in registry[name].nodes)


def test_importing_the_package_imports_nothing_heavy_and_switches_telemetry_off(root: Path) -> None:
    code = (
        "import sys, pipelines, os; "
        "print(sorted({'kedro', 'mlflow', 'torch', 'ibis', 'pandas'} & set(sys.modules)), os.environ['DO_NOT_TRACK'])"
    )
    bare = {name: value for name, value in os.environ.items() if not name.endswith("TRACK")}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env=bare, check=True)
    assert done.stdout.strip() == "[] true"


def test_a_package_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(InputError, match="the package no_such_data is not installed; run `make setup`"):
        installed("no_such_data", "a.csv")
    with pytest.raises(InputError, match=r"the package msgspec has no a\.csv"):
        installed("msgspec", "a.csv")


def test_an_installed_file_is_found_without_importing_its_package(root: Path) -> None:
    code = "import sys; from pipelines.configuration import installed; print(installed('sklearn', '__init__.py'), 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    path, imported = done.stdout.split()
    assert path.endswith("sklearn/__init__.py")
    assert imported == "False"


def test_the_environment_of_another_clone_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VENV_VALIDATE", raising=False)
    assert venv("VENV_VALIDATE", ".venv-validate") == ".venv-validate/bin/python"
    monkeypatch.setenv("VENV_VALIDATE", "other")
    assert venv("VENV_VALIDATE", ".venv-validate") == "other/bin/python"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallowed", [False, True], ids=["", "the first one is swallowed"])
def test_an_interruption_is_one_line_and_leaves_no_half_written_file(
    root: Path, tmp_path: Path, number: signal.Signals, swallowed: bool
) -> None:
    (tmp_path / "table.parquet").write_bytes(b"before")
    told = (
        "os.kill(os.getpid(), {0}); time.sleep(5)"
        if swallowed
        else "threading.Timer(1, os.kill, (os.getpid(), {0})).start()"
    )
    code = f"""
import click, contextlib, ibis, os, pandas, pathlib, signal, threading, time
from pipelines import cli
from pipelines.datasets import ParquetTable
def work():
    table = ParquetTable(filepath={str(tmp_path / "table.parquet")!r}, connection={{"backend": "duckdb"}})
    query = table.connection.sql("SELECT max(hash(a.range + b.range)) AS x FROM range(1000000) a, range(1000000) b")
    with contextlib.suppress(KeyboardInterrupt):
        {told.format(number.value)}
    table.save(query)
cli.Run(name="run", callback=work).main([])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; what was finished is kept, run the same command to go on\n"
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]
    assert (tmp_path / "table.parquet").read_bytes() == b"before"
