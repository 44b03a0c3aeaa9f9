"""A repository on the stand-in as GitHub has it on its first day, and the files of this one."""

import copy
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from release.github.rest import connect
from release.github.setup import run
from tests.github.access import SLUG
from tests.github.server import running

ROOT = Path(__file__).resolve().parents[2]


STATE = ("options", "labels", "rulesets", "environments", "more")


@contextmanager
def standing_in(folder):
    bare = folder / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True)
    with running(bare) as found:
        yield found
    assert found.violations == []


@pytest.fixture
def hub(tmp_path):
    with standing_in(tmp_path) as found:
        yield found


@pytest.fixture
def rest(hub):
    """Asks the stand-in as a person with all rights would; waits for nothing."""
    return asks(hub)


def asks(hub, token="token-of-tests"):
    environ = {"GITHUB_API_URL": hub.url, "GITHUB_REPOSITORY": hub.full_name, "GITHUB_TOKEN": token}
    made = connect(environ=environ)
    made._wait = lambda seconds: None
    return made


@pytest.fixture
def root(tmp_path):
    return checkout(tmp_path)


def checkout(place):
    """A checkout with this repository's settings, whose App is the stand-in's."""
    folder = place / "checkout"
    shutil.copytree(ROOT / ".github", folder / ".github")
    for file in (folder / ".github/settings").iterdir():
        file.write_text(file.read_text().replace(our_app(), SLUG))
    return folder


def our_app():
    (line,) = [x for x in (ROOT / ".github/settings/app.yml").read_text().splitlines() if x.startswith("slug: ")]
    return line.split()[1]


class Setup:
    """`release github-setup` on the stand-in; what it said, what it wrote."""

    def __init__(self, hub, rest, root):
        self.hub, self.rest, self.root = hub, rest, root

    def __call__(self, apply=False, prune=False):
        self.said, before = [], len(self.hub.asked)
        code = run(self.root, self.rest, apply, prune, self.said.append)
        self.wrote = [
            f"{x.method} {x.path.partition(self.hub.name)[2]}" for x in self.hub.asked[before:] if x.method != "GET"
        ]
        return code

    def edit(self, name, before, after):
        path = self.root / ".github/settings" / f"{name}.yml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))


@pytest.fixture
def setup(hub, rest, root):
    return Setup(hub, rest, root)


@pytest.fixture(scope="session")
def applied(tmp_path_factory):
    """What the stand-in keeps once everything was applied to a new repository."""
    place = tmp_path_factory.mktemp("applied")
    with standing_in(place) as hub:
        setup = Setup(hub, asks(hub), checkout(place))
        assert setup(apply=True) == 0, setup.said
        return {name: copy.deepcopy(getattr(hub, name)) for name in STATE}


@pytest.fixture
def done(setup, hub, applied):
    """`setup`, after it was applied."""
    for name in STATE:
        setattr(hub, name, copy.deepcopy(applied[name]))
    return setup
