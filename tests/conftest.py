"""What every test stands on: no telemetry, nobody's git settings, the same examples on every run in CI."""

import os
import shutil
import subprocess
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.update(
    DO_NOT_TRACK="true",
    MLFLOW_DISABLE_TELEMETRY="true",
    KEDRO_DISABLE_TELEMETRY="true",
    DISABLE_LATEST_VERSION_CHECK="true",
    ORT_DISABLE_TELEMETRY="true",
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
    GIT_CONFIG_GLOBAL=str(ROOT / "tests" / "gitconfig"),
    GIT_CONFIG_NOSYSTEM="1",
)
# Set while a git hook runs us, and by a make that was given variables: they are not meant for what the tests start.
for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS"):
    os.environ.pop(variable, None)
# A test may never reach the repository that it runs in: whoever wants a forge on GitHub has the stand-in.
for variable in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL", "GITHUB_SERVER_URL"):
    os.environ.pop(variable, None)

hypothesis.settings.register_profile("people", deadline=None, database=None)
hypothesis.settings.register_profile("ci", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "people")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def tracked(root: Path) -> tuple[Path, ...]:
    """The files that belong to the repository, as paths from its root: what git tracks or would, else what lies there."""
    if shutil.which("git") and (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        return tuple(path for name in sorted(names) if name and (root / (path := Path(name))).is_file())
    own = (path for path in root.rglob("*") if path.is_file())
    skipped = {"data", "__pycache__", ".cache", ".uv", ".tools", ".mypy_cache", ".ruff_cache"}
    places = (path.relative_to(root) for path in sorted(own))
    return tuple(p for p in places if not any(part in skipped or part.startswith(".venv") for part in p.parts))


@pytest.fixture(scope="session")
def environments(root: Path) -> dict[str, Path]:
    """The Python of each environment that `make setup` makes, and of the public clients."""
    places = {
        "train": ("VENV", ".venv"),
        "serve": ("VENV_SERVE", ".venv-serve"),
        "validate": ("VENV_VALIDATE", ".venv-validate"),
        "clients": ("VENV_CLIENTS", ".venv-clients"),
    }
    pythons = {name: root / os.environ.get(*variable) / "bin" / "python" for name, variable in places.items()}
    for name, python in pythons.items():
        assert python.exists(), f"{python}: the environment {name} is missing; run `make setup environment-clients`"
    return pythons
