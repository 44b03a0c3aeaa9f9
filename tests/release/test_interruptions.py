"""kill -9 before every step that writes, then the same command again: one branch, one commit, one merge, no half edit."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.release.workshop import STAGING, Repository

WRITES = ("hash-object", "read-tree", "update-index", "write-tree", "commit-tree", "update-ref", "push", "merge")
# Stands before git on PATH. Counts the calls that write, and kills its caller instead of making the n-th one.
SHIM = """#!/bin/sh
git={git}
for word in "$@"; do
  case $word in
    {writes})
      read n < {count}; n=$((n + 1)); echo $n > {count}
      if [ $n = {victim} ]; then kill -9 $PPID; exit 1; fi
      break;;
  esac
done
exec $git "$@"
"""


def shim(folder: Path, victim: int) -> str:
    count = folder / "count"
    count.write_text("0\n")
    text = SHIM.format(git=shutil.which("git"), writes="|".join(WRITES), count=count, victim=victim)
    (folder / "git").write_text(text)
    (folder / "git").chmod(0o755)
    return str(folder)


def interrupted(repository: Repository, folder: Path, victim: int, *arguments: str) -> int:
    """Run the command, and kill it before its n-th write; gives the exit code."""
    process = repository.process(*arguments, PATH=f"{shim(folder, victim)}:{os.environ['PATH']}")
    process.communicate(timeout=60)
    return process.returncode


def copied(repository: Repository, folder: Path) -> Repository:
    """The same state in another place, with the same origin beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(repository.path, folder / "repository", symlinks=True)
    copy = Repository(folder / "repository", repository.images)
    if repository.origin:
        copy.origin = Path(shutil.copytree(repository.origin, folder / "origin.git"))
        copy.git("remote", "set-url", "origin", str(copy.origin))
    return copy


def commands(repository: Repository, image: str) -> dict[str, list[str]]:
    return {
        "promote": ["promote", "staging", "--image", image, "--layout", str(repository.images.layout), "--merge"],
        "rollback": ["rollback", "staging", "--merge"],
    }


CASES = [
    ("alone", "promote"),
    pytest.param("shared", "rollback", marks=pytest.mark.slow),
    pytest.param("alone", "rollback", marks=pytest.mark.slow),
    pytest.param("shared", "promote", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("where", "name"), CASES)
def test_killed_before_any_step_and_run_again_it_converges(request, tmp_path, where, name):
    repository = request.getfixturevalue(where)
    repository.released("staging", "one")
    if name == "rollback":
        repository.released("staging", "two")
    start = repository.truth("rev-parse", "main")
    arguments = commands(repository, repository.images["two"])[name]
    wanted = repository.images["two" if name == "promote" else "one"]
    tools, killed = tmp_path / "tools", 0
    tools.mkdir()
    for victim in range(1, 99):
        copy = copied(repository, tmp_path / "copy")
        code = interrupted(copy, tools, victim, *arguments)
        half = copy.git("status", "--porcelain")
        assert half == "", f"killed before write {victim}: {half}"
        again = copy.run(*arguments)
        assert again.code == 0, f"killed before write {victim}: {again.error}"
        assert copy.line("staging") == wanted
        assert copy.branches() == {"main"}
        assert copy.truth("rev-list", "--count", f"{start}..main") == "2"
        assert copy.truth("diff", "--numstat", start, "main") == f"1\t1\t{STAGING}"
        assert copy.git("rev-parse", "main") == copy.truth("rev-parse", "main")
        assert copy.git("status", "--porcelain") == ""
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= 8, "the shim did not get in between"
