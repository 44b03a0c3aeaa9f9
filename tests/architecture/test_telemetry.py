"""Nothing here tells anybody that it runs: with the network cut off, our entry points ask for no place on it.

Each test is shown able to fail by its twin, in which our switches are off and the library asks for its home.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
# Whatever a client calls, and whether or not it succeeds, is an event to MLflow; a thread then asks where to send it.
MLFLOW_CALL = """
import contextlib, threading
import mlflow
with contextlib.suppress(mlflow.MlflowException):
    mlflow.MlflowClient("http://127.0.0.1:9").log_metric("run", "auc", 0.7)
for thread in threading.enumerate():
    if thread.name == "GetTelemetryConfig":
        thread.join(60)
"""
SWITCHES = "os.environ.setdefault("


class Places:
    """Runs commands offline, without any switch in the environment, and collects what they asked for."""

    def __init__(self, folder: Path):
        self.asked_for = folder / "asked-for"
        self.home = folder / "home"
        self.home.mkdir()

    def of(self, *command: str | Path, cwd: Path, path: Path = OFFLINE) -> set[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": f"{OFFLINE}{os.pathsep}{path}",
            "ASKED_FOR": str(self.asked_for),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return set(self.asked_for.read_text().split()) if self.asked_for.exists() else set()

    def ids(self) -> set[str]:
        """The files in which a library remembers who is at the keyboard."""
        return {path.name for path in self.home.rglob("*") if path.is_file() and "id" in path.name}


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path)


@pytest.fixture
def clone(root, tracked, tmp_path):
    """The Kedro project, committed in a repository of its own."""
    folder = tmp_path / "clone"
    for path in tracked:
        if path.parts[0] in {"pipelines", "contracts", "serving", "conf"} or len(path.parts) == 1:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, folder / path)
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "as it is"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def status(folder: Path) -> str:
    return subprocess.run(["git", "status", "--short"], cwd=folder, check=True, capture_output=True, text=True).stdout


def without_switches(clone: Path) -> None:
    (clone / ".telemetry").unlink()
    package = clone / "pipelines" / "__init__.py"
    text = package.read_text()
    assert SWITCHES in text
    package.write_text(text.replace(SWITCHES, "os.environ.get("))


def test_kedro_asks_for_nothing_and_leaves_the_worktree_clean(places, clone, environments):
    kedro = environments["train"].parent / "kedro"
    assert places.of(kedro, "registry", "list", cwd=clone) == set()
    assert status(clone) == ""


def test_without_our_switches_kedro_asks_and_writes_into_pyproject(places, clone, environments):
    without_switches(clone)
    kedro = environments["train"].parent / "kedro"
    assert "heapanalytics.com" in places.of(kedro, "registry", "list", cwd=clone)
    assert " M pyproject.toml" in status(clone).splitlines()


def test_mlflow_asks_for_nothing_once_the_pipelines_are_imported(places, clone, environments):
    shipped = "import pipelines\n" + MLFLOW_CALL
    assert places.of(environments["train"], "-c", shipped, cwd=clone) == set()


def test_without_our_switches_mlflow_asks(places, clone, environments):
    assert places.of(environments["train"], "-c", MLFLOW_CALL, cwd=clone) == {"config.mlflow-telemetry.io"}


def test_the_deepchecks_gate_asks_for_nothing(places, root, environments, tmp_path):
    script = root / "pipelines" / "validation" / "deepchecks_suite.py"
    assert places.of(environments["validate"], script, cwd=tmp_path) == set()


def test_without_our_switches_deepchecks_asks(places, environments, tmp_path):
    # A copy, since it writes an id of this installation beside its code.
    find = "import importlib.util; print(importlib.util.find_spec('deepchecks').submodule_search_locations[0])"
    package = subprocess.run([environments["validate"], "-c", find], check=True, capture_output=True, text=True).stdout
    shutil.copytree(package.strip(), tmp_path / "copy" / "deepchecks")
    import_it = "import sys; sys.modules['rfc3987_syntax'] = None; import deepchecks"
    asked = places.of(environments["validate"], "-c", import_it, cwd=tmp_path, path=tmp_path / "copy")
    assert "api.deepchecks.com" in asked


@pytest.mark.parametrize("room", ["serving", "pipelines"])
def test_onnxruntime_is_told_before_it_is_imported(places, clone, environments, room):
    # What it sends is sent by native code, which no audit hook sees; but first it makes an id of this device.
    assert places.of(environments["train"], "-c", f"import {room}, onnxruntime", cwd=clone) == set()
    assert places.ids() == set()
    places.of(environments["train"], "-c", "import onnxruntime", cwd=clone)
    assert places.ids() == {"deviceid"}
