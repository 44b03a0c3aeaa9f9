"""kill -9 at every request, before it is done or after, then the same command again: one branch, one pull request."""

import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.forge.test_way import aborted, promotion, released
from tests.github.faults import AFTER, BEFORE
from tests.github.server import CutError, running
from tests.release.test_interruptions import interrupted
from tests.release.workshop import STAGING, Repository


@contextmanager
def copied(repository, folder, monkeypatch):
    """The same clone and origin in another place, and a GitHub of its own before it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(repository.path, folder / "repository", symlinks=True)
    origin = Path(shutil.copytree(repository.origin, folder / "origin.git"))
    copy = Repository(folder / "repository", repository.images, origin)
    with running(origin) as hub:
        monkeypatch.setenv("GITHUB_API_URL", hub.url)
        copy.git("remote", "set-url", "origin", f"{hub.url}/{hub.full_name}.git")
        yield hub, copy
        assert hub.violations == []


class Killer:
    """Counts the moments of requests, and kills whoever asks at the chosen one."""

    def __init__(self, victim, only):
        self.victim, self.only, self.seen, self.at, self.process = victim, only, 0, "", None

    def __call__(self, line, moment):
        if self.process is None or not line.startswith(self.only):
            return
        self.seen += 1
        if self.seen == self.victim:
            self.at = f"{moment} {line}"
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            if moment == BEFORE:
                raise CutError  # it never came


def killed(hub, repository, arguments, victim, only=""):
    """Run the command, and kill it at its n-th moment; gives the exit code and which moment it was."""
    killer = Killer(victim, only)
    hub.faults.watch = killer
    killer.process = process = repository.process(*arguments)
    output, error = process.communicate(timeout=120)
    hub.faults.watch = None
    assert process.returncode in (0, -signal.SIGKILL), output + error
    return process.returncode, killer.at


def converges(hub, repository, arguments, start, wanted, at):
    """The command again does what is left to do, and once more nothing."""
    assert repository.git("status", "--porcelain") == "", at
    again = repository.run(*arguments)
    assert again.code == 0, f"{at}: {again.error}"
    assert repository.line("staging") == wanted, at
    assert repository.branches() == {"main"}, at
    assert repository.truth("rev-list", "--count", f"{start}..main") == "2", at
    assert repository.truth("diff", "--numstat", start, "main") == f"1\t1\t{STAGING}", at
    assert repository.git("rev-parse", "main") == repository.truth("rev-parse", "main"), at
    assert repository.git("status", "--porcelain") == "", at
    (pull,) = hub.pulls.values()
    assert pull.merged, at
    assert len(pull.labels) == 2 or not again.output.startswith("staging: "), at
    written = len(hub.writes())
    assert repository.run(*arguments).code == 0
    assert len(hub.writes()) == written, at


def start_of(github, hosted, tmp_path, name):
    released(github, hosted, "staging", "one")
    if name == "promote":
        return promotion(hosted, "staging", "two", "--merge"), hosted.images["two"]
    released(github, hosted, "staging", "two")
    return aborted(hosted, tmp_path / "event.json", "staging", hosted.images["two"]), hosted.images["one"]


CASES = [
    pytest.param("rollback", ("PUT", "DELETE"), 4, id="rollback-merge"),
    pytest.param("promote", ("",), 30, id="promote-everything", marks=pytest.mark.slow),
    pytest.param("rollback", ("",), 30, id="rollback-everything", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "only", "least"), CASES)
def test_killed_at_any_request_and_run_again_it_converges(github, hosted, tmp_path, monkeypatch, name, only, least):
    arguments, wanted = start_of(github, hosted, tmp_path, name)
    start, moments = hosted.truth("rev-parse", "main"), []
    for victim in range(1, 199):
        with copied(hosted, tmp_path / "copy", monkeypatch) as (hub, copy):
            code, at = killed(hub, copy, arguments, victim, only)
            converges(hub, copy, arguments, start, wanted, at)
        if code == 0:
            break
        moments.append(at)
    assert len(moments) >= least, moments
    assert {at.split()[0] for at in moments} == {BEFORE, AFTER}


@pytest.mark.slow
def test_killed_before_any_step_of_git_and_run_again_it_converges(github, hosted, tmp_path, monkeypatch):
    arguments, wanted = start_of(github, hosted, tmp_path, "rollback")
    start, tools = hosted.truth("rev-parse", "main"), tmp_path / "tools"
    tools.mkdir()
    for victim in range(1, 99):
        with copied(hosted, tmp_path / "copy", monkeypatch) as (hub, copy):
            code = interrupted(copy, tools, victim, *arguments)
            converges(hub, copy, arguments, start, wanted, f"before write {victim} of git")
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert victim > 5, "the shim did not get in between"
