"""The stand-in as fixtures. In a conftest.py or a test: `from tests.github.fixtures import github, origin`."""

import subprocess

import pytest

from tests.github.server import running


@pytest.fixture
def origin(tmp_path):
    """A bare repository with one commit on main; tests that have a better one override this fixture."""
    path, seed = tmp_path / "origin.git", tmp_path / "seed"
    seed.mkdir()
    (seed / "README.md").write_text("Hello.\n")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *command], cwd=seed, check=True, capture_output=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(seed), str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def github(origin, monkeypatch):
    """The stand-in before `origin`, and an environment that leads there. In the end all was as GitHub describes it."""
    with running(origin) as hub:
        monkeypatch.setenv("GITHUB_API_URL", hub.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", hub.full_name)
        monkeypatch.setenv("GITHUB_TOKEN", next(iter(hub.tokens)))
        yield hub
        assert not hub.violations, "\n".join(hub.violations)
