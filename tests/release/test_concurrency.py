"""Many promotions at the same time: each line has one winner, every release is in history, none is there twice."""

import shutil
import subprocess

from release import history, pin
from release.git import Git
from tests.release.workshop import Repository

ENVIRONMENTS = ("staging", "east", "west")
NAMES = ("one", "two", "three")


def more_environments(repository: Repository) -> None:
    for name in ENVIRONMENTS[1:]:
        shutil.copytree(repository.path / "gitops/envs/staging", repository.path / "gitops/envs" / name)
    repository.commit("More environments")
    repository.share()


def race(repositories: list[Repository]) -> None:
    """Every image into every environment, all at once, spread over the clones."""
    images = repositories[0].images
    jobs = [(environment, images[name]) for name in NAMES for environment in ENVIRONMENTS]
    where = ["--layout", str(images.layout), "--merge"]
    running = [
        repositories[i % len(repositories)].process("promote", environment, "--image", image, *where)
        for i, (environment, image) in enumerate(jobs)
    ]
    for process in running:
        output, error = process.communicate(timeout=120)
        assert process.returncode == 0, output + error


def nothing_is_lost(repository: Repository) -> None:
    images = {repository.images[name] for name in NAMES}
    git = Git(repository.origin or repository.path)
    for environment in ENVIRONMENTS:
        steps = [step for step in history.steps(git, "main", environment) if step.before is not None]
        assert sorted(str(step.after) for step in steps) == sorted(images)  # each once
        assert [step.before for step in steps[1:]] == [step.after for step in steps[:-1]]  # each on top of the last
        assert repository.line(environment) == str(steps[-1].after)
    assert repository.branches() == {"main"}
    changed = repository.truth("log", "--no-merges", "--format=", "--name-only", "main~9..main").split()
    assert set(changed) <= {pin.path(environment) for environment in ENVIRONMENTS}


def test_in_one_repository(alone):
    more_environments(alone)
    race([alone])
    nothing_is_lost(alone)
    assert alone.git("status", "--porcelain") == ""


def test_from_several_clones_of_one_origin(shared, tmp_path):
    more_environments(shared)
    other = Repository(tmp_path / "other", shared.images, shared.origin)
    subprocess.run(["git", "clone", "-q", str(shared.origin), str(other.path)], check=True)
    race([shared, other])
    nothing_is_lost(shared)
