import shutil
import subprocess

import pytest

from release.git_forge import GitForge
from tests.release import workshop
from tests.release.workshop import Images, Repository


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Images:
    return workshop.build(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def seed(tmp_path_factory):
    return workshop.seed(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def alone(tmp_path, seed, images) -> Repository:
    """A repository that no remote knows."""
    return Repository(shutil.copytree(seed, tmp_path / "repository"), images)


@pytest.fixture
def shared(tmp_path, seed, images) -> Repository:
    """A clone of a bare origin."""
    origin, clone = tmp_path / "origin.git", tmp_path / "repository"
    for command in (["clone", "-q", "--bare", str(seed), str(origin)], ["clone", "-q", str(origin), str(clone)]):
        subprocess.run(["git", *command], check=True, capture_output=True)
    return Repository(clone, images, origin)


@pytest.fixture(params=["alone", "shared"])
def repository(request) -> Repository:
    """Both: what is promised holds with an origin and without one."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of its own, into which programs can be put."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cp", "cat", "touch", "sh", "env", "git"):
        (folder / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("TOOLS", str(tmp_path / "tools"))

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def bodies(monkeypatch):
    """What reviewers get to read, of every pull request that is opened."""
    seen = []
    known = GitForge.open

    def look(forge, proposal):
        seen.append(proposal.body)
        return known(forge, proposal)

    monkeypatch.setattr(GitForge, "open", look)
    return seen
