"""The forge: where a change is proposed, looked at and merged. Plain git here; GitHub or GitLab are one file away."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from msgspec import Struct

from contracts.errors import InputError

ATTEMPTS = 50  # each lost one is another person's merge that went through


class Proposal(Struct, frozen=True, kw_only=True):
    """One file with new bytes, on top of a commit of the target branch."""

    branch: str
    base: str
    path: str
    content: bytes
    message: str
    body: str = ""  # Markdown for those who look at it; empty: the message says it all
    labels: tuple[str, ...] = ()  # where pull requests have some


class PullRequest(Struct, frozen=True, kw_only=True):
    """A proposal that others can see: a branch with one commit."""

    branch: str
    commit: str
    base: str
    path: str
    message: str
    number: int = 0  # where pull requests are counted
    url: str = ""  # where one is looked at


class Merged(Struct, frozen=True):
    """The commit that brought a change into the target branch, and what a person should know about their checkout."""

    commit: str
    note: str = ""


class Delivery(Struct, frozen=True, kw_only=True):
    """What became of a change: nothing to do (no pull request), open, or merged."""

    pull_request: PullRequest | None = None
    merged: Merged | None = None


class MovedError(Exception):
    """The target moved on meanwhile, and the proposal has to be made again on top of it."""


class Forge(Protocol):
    """What a forge must be able to do. Every step may be repeated, and may be the last one before a crash."""

    @property
    def target(self) -> str:
        """The branch that decides what runs."""
        ...

    @property
    def remote(self) -> str | None:
        """git's name for where that branch lives; None: in this repository alone."""
        ...

    def tip(self) -> str:
        """The commit that the target branch is at now."""
        ...

    def mergeable(self) -> None:
        """Raises InputError, before anything is written, when a merge could not be carried out."""
        ...

    def open(self, proposal: Proposal) -> PullRequest:
        """Make the proposal visible; the same proposal again gives the same pull request. Raises MovedError."""
        ...

    def merge(self, pull_request: PullRequest) -> Merged:
        """Bring it into the target branch, and take the branch away. Raises MovedError when the file changed there."""
        ...

    def close(self, branch: str) -> None:
        """Take away what an interrupted or slower run left of a branch whose change the target has already."""
        ...


@runtime_checkable
class Comments(Protocol):
    """A forge on which people talk. Plain git has no place for it."""

    def comment(self, pull_request: int, marker: str, text: str) -> None:
        """The one comment that begins with the hidden `marker`: made, or put right in place."""
        ...


@runtime_checkable
class Healths(Protocol):
    """A forge to which clusters report."""

    def health(self, commit: str, context: str) -> str:
        """The newest commit status of that context: success, pending, failure, error; empty where there is none."""
        ...


@runtime_checkable
class Approvals(Protocol):
    """A forge on which people approve."""

    def approvals(self, commit: str) -> tuple[str, ...]:
        """Who approved the pull request that brought the commit; none where no pull request did."""
        ...


@runtime_checkable
class Refusals(Protocol):
    """A forge on which people turn down what was proposed."""

    def declined(self, branch: str) -> int:
        """The number of the branch's newest pull request, where that was closed and not merged; 0 otherwise."""
        ...


def deliver(forge: Forge, branch: str, propose: Callable[[str], Proposal | None], merge: bool) -> Delivery:
    """Propose a change on top of what the target is now, and merge it if asked; again, when the target moved meanwhile.

    `propose` is given the target's commit, and gives None when there is nothing to change.
    """
    for _ in range(ATTEMPTS):
        proposal = propose(forge.tip())
        if proposal is None:
            forge.close(branch)
            return Delivery()
        if merge:
            forge.mergeable()
        try:
            pull_request = forge.open(proposal)
            return Delivery(pull_request=pull_request, merged=forge.merge(pull_request) if merge else None)
        except MovedError:
            continue
    raise InputError(
        f"{forge.target}: moved {ATTEMPTS} times while {branch} was to be merged; try again in a quiet minute"
    )
