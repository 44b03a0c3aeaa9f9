"""What the workflows run on: a copy of this repository with a tiny model, a bare origin, and a clone at the commit in question."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from release import pin

LOAD = {"  users: 8": "  users: 2", "  seconds: 15": "  seconds: 1", "  warmup_seconds: 2": "  warmup_seconds: 0"}
MAIN = "refs/heads/main"


def git(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def seed(root: Path, tracked: Iterable[Path], folder: Path) -> Path:
    """A repository with what this one tracks; nothing runs in its environments, and a load test takes a second."""
    for path in tracked:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, folder / path)
    for file in (folder / pin.ENVIRONMENTS).glob("*/release/kustomization.yaml"):
        file.write_bytes(pin.write(file.read_bytes(), pin.Pin(), str(file)))
    budgets = folder / "conf/base/budgets.yml"
    text = budgets.read_text()
    for before, after in LOAD.items():
        assert before in text
        text = text.replace(before, after, 1)
    budgets.write_text(text)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Start"]):
        git(folder, *command)
    return folder


@dataclass(frozen=True)
class Site:
    """One repository on the forge: bare, and cloned for whoever wants to change it."""

    folder: Path
    slug: str

    @classmethod
    def of(cls, seed: Path, folder: Path, slug: str) -> "Site":
        site = cls(folder, slug)
        site.origin.parent.mkdir(parents=True)
        git(folder, "clone", "-q", "--bare", str(seed), str(site.origin))
        git(site.origin, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(folder, "clone", "-q", str(site.origin), str(site.work))
        return site

    @property
    def origin(self) -> Path:
        return self.folder / "forge" / self.slug

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def tip(self) -> str:
        return git(self.origin, "rev-parse", MAIN)

    def write(self, path: str, text: str) -> None:
        (self.work / path).parent.mkdir(parents=True, exist_ok=True)
        (self.work / path).write_text(text)

    def append(self, path: str, text: str) -> None:
        with (self.work / path).open("a") as file:
            file.write(text)

    def push(self, message: str, branch: str = "main") -> str:
        """Commit what was changed in the clone, and push it."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        git(self.work, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.work, "rev-parse", "HEAD")

    def pull_request(self, branch: str, number: int = 5) -> str:
        """What GitHub makes of a pull request: its merge into main, which is what a run checks out."""
        head = git(self.origin, "rev-parse", f"refs/heads/{branch}")
        tree = git(self.origin, "merge-tree", "--write-tree", MAIN, head)
        merge = git(self.origin, "commit-tree", tree, "-p", self.tip, "-p", head, "-m", f"Merge {head} into main")
        git(self.origin, "update-ref", f"refs/pull/{number}/merge", merge)
        return merge

    def checkout(self, commit: str, branch: str | None = "main") -> Path:
        """A fresh clone at a commit, for act to read workflows from."""
        place = self.folder / "checkout"
        shutil.rmtree(place, ignore_errors=True)
        git(self.folder, "clone", "-q", "--no-checkout", str(self.origin), str(place))
        git(place, "fetch", "-q", "origin", commit)
        git(place, "checkout", "-q", *(("-B", branch) if branch else ("--detach",)), commit)
        git(place, "remote", "set-url", "origin", f"https://github.com/{self.slug}")
        return place

    def pin(self, environment: str, commit: str = MAIN) -> pin.Pin:
        content = git(self.origin, "show", f"{commit}:{pin.path(environment)}")
        return pin.read(content.encode(), environment)
