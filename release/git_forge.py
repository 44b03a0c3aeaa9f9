"""The forge that is git alone: a branch with one commit as pull request, a `--no-ff` merge as its merge.

Commits are made from objects and an index of their own, so that nobody's checkout, index or uncommitted work is
touched; there is nothing to clean up after a crash. With a remote, the remote's branches are the truth and every
update is a push that only succeeds on top of what was read. Without one, the local branches are, and their update
compares first, too. A checkout of the target branch is moved forward only when nothing in it is changed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from contracts.errors import InputError
from release import checkout
from release.forge import Merged, MovedError, Proposal, PullRequest
from release.git import Answer, Git, GitError, refused

PUSH = ("--porcelain", "--no-follow-tags", "--recurse-submodules=no")
# What git says when somebody else was faster; anything else is a reason to stop.
FASTER = (
    "non-fast-forward",
    "fetch first",
    "stale info",
    "cannot lock ref",
    "failed to update ref",
    "failed to lock",
    "incorrect old value",
    "atomic",
    "transaction",
    "reference already exists",
)


class GitForge(Struct, frozen=True):
    """A repository, the branch that decides what runs, and the remote that holds it (None: this repository does)."""

    git: Git
    target: str = "main"
    remote: str | None = None

    @classmethod
    def at(cls, git: Git, target: str = "main", remote: str = "origin", local: bool = False) -> "GitForge":
        """The forge of a repository: its remote if it has one of that name, unless `local` asks for itself.

        Raises InputError when the remote is somebody's checkout: git would push beside its working tree.
        """
        if local or remote not in git.text("remote").split():
            return cls(git, target)
        url = git.text("remote", "get-url", remote)
        place = Path(urlsplit(url).path if url.startswith("file://") else url)
        folder = git.directory / place
        if folder.is_dir() and Git(folder).run("rev-parse", "--is-bare-repository").text == "false":
            raise InputError(
                f"git remote {remote}: {url}: is a checkout, not a bare repository; use --local, or remove the remote"
            )
        return cls(git, target, remote)

    def tip(self) -> str:
        found = self._branch(self.target)
        if found is None:
            raise GitError(
                f"{self.remote or self.git.directory}: branch {self.target}: is not there; name it with --target"
            )
        return found

    def mergeable(self) -> None:
        with self._alone():  # in the middle of somebody else's merge a checkout looks changed
            self._require_clean()

    def _require_clean(self) -> None:
        if self.remote is None and (here := self._checkout()) and not checkout.clean(here):
            raise InputError(
                f"{here.directory}: {self.target} is checked out here with uncommitted changes; "
                "commit or stash them first, or leave --merge out"
            )

    def open(self, proposal: Proposal) -> PullRequest:
        there = self._branch(proposal.branch)
        tree = self._tree(proposal.base, proposal.path, proposal.content)
        if there is None or self._said(there) != (tree, [proposal.base], proposal.message.strip()):
            commit = self._commit(tree, [proposal.base], proposal.message)
            self._put(proposal.branch, commit, there)
            there = commit
        return PullRequest(
            branch=proposal.branch,
            commit=there,
            base=proposal.base,
            path=proposal.path,
            message=proposal.message,
        )

    def merge(self, pull_request: PullRequest) -> Merged:
        with self._alone():
            tip = self.tip()
            if self.git.contains(tip, pull_request.commit):
                return Merged(tip, self._follow(tip))
            path = pull_request.path
            content = self.git.file(pull_request.commit, path)
            if content is None or self.git.file(tip, path) != self.git.file(pull_request.base, path):
                raise MovedError
            title = pull_request.message.partition("\n")[0]
            message = f"Merge branch '{pull_request.branch}'\n\n{title}\n"
            merged = self._commit(self._tree(tip, path, content), [tip, pull_request.commit], message)
            return Merged(merged, self._publish(tip, merged, pull_request))

    def close(self, branch: str) -> None:
        tip = self.tip()
        there = self._branch(branch)
        if there and (self.git.contains(tip, there) or self.git.has_all_of(tip, there)):
            self._remove(branch, there)
        self._follow(tip)

    # branches, here or on the remote

    def _branch(self, name: str) -> str | None:
        """The commit of a branch; from a remote it is fetched, without touching any ref of this repository."""
        if self.remote is None:
            return self.git.commit(f"refs/heads/{name}")
        listed = self.git.text("ls-remote", "--heads", self.remote, f"refs/heads/{name}").split()
        if not listed:
            return None
        if self.git.commit(listed[0]) is None:
            quiet = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--refmap=")
            answer = self.git.run("fetch", *quiet, self.remote, f"refs/heads/{name}")
            if answer.code:
                raise refused("fetch", answer)
        return listed[0]

    def _put(self, branch: str, commit: str, expected: str | None) -> None:
        if self.remote is not None:
            lease = f"--force-with-lease=refs/heads/{branch}:{expected or ''}"
            _pushed(self.git.run("push", *PUSH, lease, self.remote, f"{commit}:refs/heads/{branch}"))
        else:
            if here := self._checkout(branch):
                raise InputError(f"{here.directory}: {branch} is checked out here; switch to another branch first")
            _updated(self.git.run("update-ref", f"refs/heads/{branch}", commit, expected or ""))

    def _remove(self, branch: str, expected: str) -> None:
        if self.remote is not None:
            lease = f"--force-with-lease=refs/heads/{branch}:{expected}"
            _pushed(self.git.run("push", *PUSH, lease, self.remote, f":refs/heads/{branch}"))
        elif self._checkout(branch) is None:
            _updated(self.git.run("update-ref", "-d", f"refs/heads/{branch}", expected))

    def _publish(self, tip: str, merged: str, pull_request: PullRequest) -> str:
        """Move the target to the merge, and take the branch away: in one step wherever git can."""
        branch, commit = pull_request.branch, pull_request.commit
        if self.remote is not None:
            lease = f"--force-with-lease=refs/heads/{branch}:{commit}"
            both = (f"{merged}:refs/heads/{self.target}", f":refs/heads/{branch}")
            _pushed(self.git.run("push", *PUSH, "--atomic", lease, self.remote, *both))
            return self._follow(merged)
        if here := self._checkout():
            self._require_clean()
            _forward(here, merged, tip)
            self._remove(branch, commit)
            return ""
        steps = f"update refs/heads/{self.target} {merged} {tip}\ndelete refs/heads/{branch} {commit}\n"
        _updated(self.git.run("update-ref", "--stdin", data=steps.encode()))
        return ""

    def _follow(self, commit: str) -> str:
        return checkout.follow(self.git, self.target, commit) if self.remote is not None else ""

    def _checkout(self, branch: str = "") -> Git | None:
        return checkout.of(self.git, branch or self.target)

    # objects

    def _tree(self, commit: str, path: str, content: bytes) -> str:
        if self.git.mode(commit, path) is None:
            raise GitError(f"{path}: is not in {self.target}; commit it first")
        return self.git.tree_with(commit, path, content)

    def _commit(self, tree: str, parents: list[str], message: str) -> str:
        signed = ("-S",) if self.git.run("config", "--type=bool", "--get", "commit.gpgsign").text == "true" else ()
        named = [word for parent in parents for word in ("-p", parent)]
        return self.git.text("commit-tree", *signed, tree, *named, data=message.strip().encode() + b"\n")

    def _said(self, commit: str) -> tuple[str, list[str], str]:
        tree, parents, message = self.git.text(
            "log", "-1", "--no-show-signature", "--format=%T%x00%P%x00%B", commit
        ).split("\0")
        return tree, parents.split(), message.strip()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One merge at a time in this repository: `git merge` in a checkout cannot compare and swap by itself."""
        folder = self.git.directory / self.git.text("rev-parse", "--git-common-dir")
        with (folder / "release.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # gone with the process, however that ends
            yield


def _forward(here: Git, merged: str, tip: str) -> None:
    """Move a clean checkout on; git itself refuses when its branch is no longer at `tip`."""
    answer = here.run("merge", "--ff-only", "--quiet", merged)
    if answer.code == 0:
        return
    if here.commit("HEAD") != tip:
        raise MovedError
    raise refused("merge", answer)


def _updated(answer: Answer) -> None:
    if answer.code:
        raise MovedError if any(word in answer.error for word in FASTER) else refused("update-ref", answer)


def _pushed(answer: Answer) -> None:
    if answer.code == 0:
        return
    reasons = [line for line in answer.output.decode(errors="replace").splitlines() if line.startswith("!")]
    if reasons and all(any(word in line for word in FASTER) for line in reasons):
        raise MovedError
    raise (
        GitError(f"git push: {'; '.join(' '.join(line.split()) for line in reasons)}")
        if reasons
        else refused("push", answer)
    )
