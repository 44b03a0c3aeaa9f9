"""What the stand-in keeps code in: a real bare repository, by git itself."""

import datetime as dt
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

COMMITTER = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"}
NULL = "0" * 40


class MissingError(Exception):
    """No such object or ref."""


class ConflictError(Exception):
    """Two changes that git cannot bring together."""


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    date: str

    @property
    def said(self) -> dict[str, str]:
        return {"name": self.name, "email": self.email, "date": self.date}


@dataclass(frozen=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]

    @property
    def body(self) -> str:
        return self.message.partition("\n")[2].strip()


@dataclass(frozen=True)
class Repository:
    path: Path

    def run(self, *arguments: str, data: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        return subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(self.path), *arguments],
            input=data,
            capture_output=True,
            check=False,
            env=os.environ | settings | environment,
        )

    def git(self, *arguments: str, data: bytes | None = None, **environment: str) -> str:
        done = self.run(*arguments, data=data, **environment)
        if done.returncode:
            raise MissingError(done.stderr.decode(errors="replace").strip()[:300])
        return done.stdout.decode(errors="replace").rstrip("\n")

    # names

    def find(self, name: str, kind: str = "commit") -> str:
        """The object that a name means; raises MissingError."""
        if ":" not in name:
            return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{{kind}}}")
        sha = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name)  # behind a path ^{} is a name
        if self.git("cat-file", "-t", sha) != kind:
            raise MissingError(name)
        return sha

    def has(self, name: str, kind: str = "commit") -> bool:
        try:
            return bool(self.find(name, kind))
        except MissingError:
            return False

    def branch(self, name: str) -> str:
        return self.find(f"refs/heads/{name}")

    def refs(self, prefix: str = "refs/heads") -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return dict(line.split() for line in lines)

    def point(self, ref: str, sha: str, before: str | None = None) -> None:
        self.git("update-ref", ref, sha, *([before] if before is not None else []))

    def remove(self, ref: str) -> None:
        self.git("update-ref", "-d", ref)

    # objects

    def commit(self, sha: str) -> Commit:
        found = self.git(
            "log",
            "-1",
            "--no-show-signature",
            "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B",
            sha,
        )
        sha, tree, parents, *people, message = found.split("\0")
        return Commit(sha, tree, tuple(parents.split()), Person(*people[:3]), Person(*people[3:]), message.strip("\n"))

    def blob(self, data: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", "--no-filters", data=data)

    def content(self, sha: str) -> bytes:
        done = self.run("cat-file", "blob", sha)
        if done.returncode:
            raise MissingError(sha)
        return done.stdout

    def entries(self, tree: str, recursive: bool = False) -> list[tuple[str, str, str, str]]:
        """Mode, kind, object and path of each entry."""
        listed = self.git("ls-tree", "-z", *(["-r", "-t"] if recursive else []), tree).split("\0")
        return [(*line.partition("\t")[0].split(), line.partition("\t")[2]) for line in listed if line]  # type: ignore[misc]

    def tree(self, base: str | None, changes: list[tuple[str, str, str | None]]) -> str:
        """A tree with (mode, path, object) put into it; None as object takes the path away."""
        index = self.path / f"index-{os.urandom(6).hex()}"
        try:
            if base:
                self.git("read-tree", base, GIT_INDEX_FILE=str(index))
            lines = [f"{mode if sha else '0'} {sha or NULL}\t{path}" for mode, path, sha in changes]
            self.git("update-index", "--index-info", data=("\n".join(lines) + "\n").encode(), GIT_INDEX_FILE=str(index))
            return self.git("write-tree", GIT_INDEX_FILE=str(index))
        finally:
            index.unlink(missing_ok=True)

    def write(
        self, tree: str, parents: list[str], message: str, author: Person, committer: Person | None = None
    ) -> str:
        by = committer or Person("GitHub", "noreply@github.com", now())
        environment = {
            f"GIT_{role}_{key.upper()}": value
            for role, person in (("AUTHOR", author), ("COMMITTER", by))
            for key, value in person.said.items()
        }
        named = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *named, data=message.encode(), **environment)

    # histories

    def contains(self, commit: str, ancestor: str) -> bool:
        return self.run("merge-base", "--is-ancestor", ancestor, commit).returncode == 0

    def between(self, base: str, head: str) -> list[str]:
        """What `head` has and `base` has not, the oldest first."""
        return self.git("rev-list", "--reverse", "--topo-order", f"{base}..{head}").split()

    def merged(self, ours: str, theirs: str) -> str:
        """The tree of both; raises ConflictError."""
        done = self.run("merge-tree", "--write-tree", ours, theirs)
        if done.returncode == 1:
            raise ConflictError
        if done.returncode:
            raise MissingError(done.stderr.decode())
        return done.stdout.decode().split("\n")[0]

    def picked(self, commit: Commit, onto: str) -> str:
        """The tree of `onto` with what a commit changed: merged from the commit's own parent."""
        (parent, *_) = commit.parents
        beside = self.write(self.find(onto, "tree"), [parent], "beside", commit.author)
        return self.merged(beside, commit.sha)

    def changed(self, base: str, head: str) -> list[tuple[str, int, int, str]]:
        """Status, lines added and removed, and path of each file."""
        states = self.git("diff", "--no-renames", "--name-status", base, head).splitlines()
        counts = self.git("diff", "--no-renames", "--numstat", base, head).splitlines()
        words = {"A": "added", "M": "modified", "D": "removed", "T": "changed"}
        found = []
        for state, count in zip(states, counts, strict=True):
            added, removed, path = count.split("\t")
            found.append((words[state[0]], int(added.replace("-", "0")), int(removed.replace("-", "0")), path))
        return found


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
