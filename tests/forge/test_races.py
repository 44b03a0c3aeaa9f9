"""Eight promotions at the same time on GitHub, round after round: nothing is lost, and nothing is bumped twice."""

import shutil
import subprocess

import pytest

from release import history
from release.git import Git
from tests.forge.test_way import promotion
from tests.github.faults import Fault
from tests.github.server import running
from tests.release.workshop import Repository

NAMES = ("one", "two", "three")
# Every image into two environments, and one image twice into a third: eight.
JOBS = [(environment, name) for environment in ("staging", "east") for name in NAMES] + [("west", "one")] * 2


def prepared(repository, folder):
    """A bare origin with three environments, and a clone for each who promotes."""
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    shutil.copytree(repository.path, work, symlinks=True)
    here = Repository(work, repository.images)
    for name in ("east", "west"):
        shutil.copytree(work / "gitops/envs/staging", work / "gitops/envs" / name)
    here.commit("More environments")
    origin = folder / "origin.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(origin)], check=True, capture_output=True)
    clones = [Repository(folder / f"clone-{i}", repository.images, origin) for i in range(len(JOBS))]
    for clone in clones:
        subprocess.run(["git", "clone", "-q", str(origin), str(clone.path)], check=True, capture_output=True)
    return clones


def race(clones, hub):
    images = clones[0].images
    where = ["--layout", str(images.layout), "--merge"]
    started = []
    for clone, (environment, name) in zip(clones, JOBS, strict=True):
        clone.git("remote", "set-url", "origin", f"{hub.url}/{hub.full_name}.git")
        started.append(clone.process("promote", environment, "--image", images[name], *where))
    for process in started:
        output, error = process.communicate(timeout=240)
        assert process.returncode == 0, output + error


def nothing_is_lost(hub, repository):
    git = Git(repository.origin)
    for environment in ("staging", "east", "west"):
        wanted = sorted({repository.images[name] for place, name in JOBS if place == environment})
        steps = [step for step in history.steps(git, "main", environment) if step.before is not None]
        assert sorted(str(step.after) for step in steps) == wanted  # each once
        assert [step.before for step in steps[1:]] == [step.after for step in steps[:-1]]  # each on top of the last
        assert repository.line(environment) == str(steps[-1].after)
    assert repository.branches() == {"main"}
    assert hub.open_pulls() == []
    merged = [pull.merged for pull in hub.pulls.values() if pull.merged]
    assert len(set(merged)) == len(merged) == 7
    for sha in merged:
        added, removed, path = repository.truth("diff", "--numstat", f"{sha}^1", sha).split()
        assert (added, removed) == ("1", "1")
        assert path.endswith("/release/kustomization.yaml")


@pytest.mark.parametrize(
    "rounds",
    [
        1,
        pytest.param(25, marks=[pytest.mark.slow, pytest.mark.timeout(3000)]),
    ],
)
def test_eight_at_once(github, hosted, tmp_path, monkeypatch, rounds):
    for _ in range(rounds):
        clones = prepared(hosted, tmp_path / "race")
        with running(clones[0].origin) as hub:
            monkeypatch.setenv("GITHUB_API_URL", hub.url)
            race(clones, hub)
            nothing_is_lost(hub, clones[0])
            assert hub.violations == []


@pytest.mark.parametrize("request_", ["POST .*/git/blobs", "POST .*/git/refs", "POST .*/pulls$", "PUT .*/merge"])
def test_of_two_equal_promotions_the_slower_one_leaves_nothing(github, hosted, tmp_path, request_):
    """The faster one is done, its branch gone, at any moment of the slower one's."""
    other = Repository(tmp_path / "other", hosted.images, hosted.origin)
    subprocess.run(["git", "clone", "-q", str(hosted.origin), str(other.path)], check=True, capture_output=True)
    other.git("remote", "set-url", "origin", f"{github.url}/{github.full_name}.git")
    command = promotion(hosted, "staging", "one", "--merge")

    def faster():
        process = other.process(*command)
        output, error = process.communicate(timeout=120)
        assert process.returncode == 0, output + error

    github.faults.add(Fault(request_, does=faster))
    outcome = hosted.run(*command)
    assert outcome.code == 0, outcome.error
    assert hosted.line("staging") == hosted.images["one"]
    assert hosted.truth("rev-list", "--count", "main", "--", "gitops/envs/staging/release") == "2"
    assert hosted.branches() == {"main"}
    assert github.open_pulls() == []
    assert hosted.run(*command).code == 0
    assert len([pull for pull in github.pulls.values() if pull.merged]) == 1
