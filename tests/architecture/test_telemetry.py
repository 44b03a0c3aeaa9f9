"""Nothing here tells anybody that it runs: with the network cut off, our entry points ask for no place on it.

Each test is shown able to fail by its twin, in which our switches are off and the library asks for its home.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
MLFLOW_RUN = """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    mlflow.log_metric("auc", 0.7)
"""
SWITCHES = "os.environ.setdefault("


class Places:
    """Runs commands offline, without any switch in the environment, and collects what they asked for."""

    def __init__(self, folder: Path):
        self.asked_for = folder / "asked-for"
        self.home = folder / "home"
        self.home.mkdir()

    def of(self, *command: str | Path, cwd: Path, path: Path = OFFLINE, fails: bool = False) -> set[str]:
        bare = {"PATH": os.environ["PATH"], "HOME": str(self.home), "ASKED_FOR": str(self.asked_for)}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**bare, "PYTHONPATH": f"{OFFLINE}{os.pathsep}{path}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert fails or done.returncode == 0, done.stderr
        return set(self.asked_for.read_text().split()) if self.asked_for.exists() else set()


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


def test_mlflow_asks_for_nothing_once_the_pipelines_are_imported(places, clone, environments, tmp_path):
    shipped = "import pipelines\n" + MLFLOW_RUN
    assert places.of(environments["train"], "-c", shipped, cwd=tmp_path, path=clone) == set()
    # The same run on the same database, which the first one made, without us.
    assert places.of(environments["train"], "-c", MLFLOW_RUN, cwd=tmp_path) == {"config.mlflow-telemetry.io"}


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
