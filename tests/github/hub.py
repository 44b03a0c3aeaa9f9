"""The state of one repository on GitHub, and who answers what. The code is in real git; the rest is in this object."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.github.cut import REPOSITORY
from tests.github.description import Call, description
from tests.github.faults import Faults
from tests.github.repository import Repository, now

OWNER, NAME, APP = "slipway-tests", "model", 4242
DOCS = "https://docs.github.com/rest"
Answer = tuple[int, Any]
Handler = Callable[["Hub", Call, "Token"], Answer]
HANDLERS: dict[str, Handler] = {}


def answers(*names: str) -> Callable[[Handler], Handler]:
    """Registers who answers `GET /pulls` (below the repository) or `GET /user` (elsewhere)."""

    def register(handler: Handler) -> Handler:
        paths = {operation.name for operation in description().operations}
        for name in names:
            method, _, path = name.partition(" ")
            whole = f"{method} {REPOSITORY}{path}"
            HANDLERS[whole if whole in paths else name] = handler
        return handler

    return register


class RefusedError(Exception):
    """An answer that is no."""

    def __init__(self, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"message": message, "documentation_url": DOCS, "status": str(code)} | more


def not_found() -> RefusedError:
    return RefusedError(404, "Not Found")


def invalid(resource: str, message: str, key: str = "custom") -> RefusedError:
    error = {"resource": resource, "code": key, "message": message}
    return RefusedError(422, "Validation Failed", errors=[error])


@dataclass(frozen=True)
class Token:
    """Who asks, and what they may: permission -> read, write; `*` is all of them."""

    login: str
    may: dict[str, str] = field(default_factory=lambda: {"*": "write"})
    app: int | None = None

    def allows(self, permission: str, write: bool) -> bool:
        level = self.may.get(permission, self.may.get("*", ""))
        return level in ("write", "admin") or (level == "read" and not write)


@dataclass
class Pull:
    number: int
    title: str
    body: str | None
    head: str
    base: str
    sha: str
    by: str
    state: str = "open"
    draft: bool = False
    merged: str | None = None  # the commit on the base branch
    merged_by: str = ""
    labels: list[str] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    created: str = field(default_factory=now)
    closed: str | None = None


@dataclass(frozen=True)
class Asked:
    """A request that came, and what it was answered."""

    method: str
    path: str
    code: int
    body: Any = None


class Hub:
    """Tests look at its fields and change them: `pulls`, `protect`, `tokens`, `faults`, `asked`, `violations` ..."""

    def __init__(self, path: Path, owner: str = OWNER, name: str = NAME) -> None:
        self.git = Repository(path)
        self.owner, self.name = owner, name
        self.lock = threading.RLock()
        self.faults = Faults()
        self.tokens: dict[str, Token] = {"token-of-tests": Token("tester")}
        self.url = ""  # where it listens
        self.numbers = itertools.count(1)
        self.ids = itertools.count(1001)
        self.options = {
            "allow_merge_commit": True,
            "allow_squash_merge": True,
            "allow_rebase_merge": True,
            "delete_branch_on_merge": False,
            "default_branch": "main",
        }
        self.pulls: dict[int, Pull] = {}
        self.comments: dict[int, tuple[int, dict[str, Any]]] = {}
        self.labels: dict[str, dict[str, Any]] = {}
        self.statuses: list[tuple[str, dict[str, Any]]] = []
        self.checks: dict[int, dict[str, Any]] = {}
        self.dispatches: list[dict[str, Any]] = []
        self.workflow_dispatches: list[dict[str, Any]] = []
        self.deployments: dict[int, dict[str, Any]] = {}
        self.protection: dict[str, dict[str, Any]] = {}  # branch -> the body of the PUT
        self.rulesets: dict[int, dict[str, Any]] = {}
        self.environments: dict[str, dict[str, Any]] = {}
        self.more: dict[str, Any] = {}  # for handlers that others register
        self.undecided = 0  # so many reads of a pull request say that nobody knows yet whether it can be merged
        self.page_size = 100  # the largest page
        self.asked: list[Asked] = []
        self.violations: list[str] = []

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def address(self) -> str:
        return f"https://api.github.com/repos/{self.full_name}"

    # for tests

    def protect(
        self, branch: str = "main", checks: tuple[str, ...] = (), reviews: int = 0, linear: bool = False
    ) -> None:
        """Classic protection; rulesets are put by the API."""
        self.protection[branch] = {
            "required_status_checks": {"strict": False, "contexts": list(checks)} if checks else None,
            "enforce_admins": True,
            "required_pull_request_reviews": {"required_approving_review_count": reviews} if reviews else None,
            "restrictions": None,
            "required_linear_history": linear,
        }

    def succeed(self, sha: str, context: str = "gate", state: str = "success") -> None:
        """A commit status, as CI would write it."""
        from tests.github.checks import status

        self.statuses.append((sha, status(self, sha, {"state": state, "context": context}, "ci")))

    def open_pulls(self) -> list[Pull]:
        with self.lock:
            self.settle()
            return [pull for pull in self.pulls.values() if pull.state == "open"]

    def writes(self) -> list[Asked]:
        """What asked for a change and got it."""
        return [each for each in self.asked if each.method != "GET" and each.code < 300]

    # for handlers

    def head(self, pull: Pull) -> str:
        return self.git.branch(pull.head) if pull.state == "open" else pull.sha

    def settle(self) -> None:
        """What follows from git alone: heads that moved, branches that are gone, merges made by a push."""
        branches = self.git.refs()
        for pull in self.pulls.values():
            if pull.state != "open":
                continue
            sha = branches.get(f"refs/heads/{pull.head}")
            base = branches.get(f"refs/heads/{pull.base}")
            if sha is None or base is None:
                pull.state, pull.closed = "closed", now()
                continue
            pull.sha = sha
            if self.git.contains(base, sha):
                pull.state, pull.closed, pull.merged = "closed", now(), sha

    def handle(self, call: Call, token: Token) -> Answer:
        if call.values.get("owner", self.owner).lower() != self.owner.lower():
            raise not_found()
        if call.values.get("repo", self.name).lower() != self.name.lower():
            raise not_found()
        handler = HANDLERS.get(call.operation.name)
        if handler is None:
            raise RefusedError(501, f"the stand-in has no {call.operation.name}")
        self.settle()
        return handler(self, call, token)
