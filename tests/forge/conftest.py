import subprocess
from dataclasses import dataclass

import pytest

from release.forge import Forge, Proposal
from release.git import Git
from release.git_forge import GitForge
from release.github.forge import GitHubForge
from release.github.rest import connect
from tests.github import fixtures
from tests.release import conftest
from tests.release.workshop import STAGING, Repository

github = fixtures.github
alone, images, seed, shared = conftest.alone, conftest.images, conftest.seed, conftest.shared


@pytest.fixture
def origin(shared):
    """What the stand-in keeps the code in: the bare origin of the clone `shared`."""
    return shared.origin


@pytest.fixture
def hosted(shared, github) -> Repository:
    """A clone of a repository on GitHub, whose origin asks for a token that git has not been given."""
    shared.git("remote", "set-url", "origin", f"{github.url}/{github.full_name}.git")
    shared.share = lambda: subprocess.run(
        ["git", "push", "-q", str(shared.origin), "main"], cwd=shared.path, check=True, capture_output=True
    )
    return shared


@dataclass
class Place:
    """A forge, and the clone that it is asked from."""

    repository: Repository
    forge: Forge
    hub: object = None

    def proposal(self, text=b"# changed\n", path=STAGING, **more) -> Proposal:
        base = self.forge.tip()
        words = {"branch": "promote/x", "base": base, "path": path, "message": "Change it\n\nBecause.\n\nKey: value"}
        return Proposal(**(words | {"content": text} | more))

    def commit(self, path, text, message="Something else") -> str:
        """Somebody else's commit on the target branch."""
        self.repository.git("pull", "-q", "--ff-only", str(self.repository.origin or "."), "main")
        place = self.repository.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text)
        sha = self.repository.commit(message)
        self.repository.share()
        return sha

    def content(self, path=STAGING, name="main") -> bytes:
        found = Git(self.repository.origin or self.repository.path).file(name, path)
        return found if found is not None else b"(none)"

    def pull_requests(self) -> int:
        return len(self.hub.pulls) if self.hub else 0


def _made(request, name: str) -> Place:
    if name == "github":
        repository = request.getfixturevalue("hosted")
        return Place(repository, GitHubForge(Git(repository.path), connect()), request.getfixturevalue("github"))
    repository = request.getfixturevalue(name)
    return Place(repository, GitForge.at(Git(repository.path)))


@pytest.fixture(params=["alone", "shared", "github"])
def place(request) -> Place:
    """Every forge there is. Another one belongs here, and has to pass what stands in test_contract.py."""
    return _made(request, request.param)
