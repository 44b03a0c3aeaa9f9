"""What an environment ran, step by step, read from git: no ledger file, so that a revert made by hand counts too."""

import re

from msgspec import Struct

from contracts.errors import InputError
from release import pin
from release.git import Git, refused
from release.pin import Pin

COMMIT, FIELD, PATCH = "\x01", "\x02", "\x03"
FORMAT = COMMIT + FIELD.join(("%H", "%ct", "%an", "%B")) + PATCH
CHANGED = re.compile(r"^(?P<sign>[-+])[ \t]*(?:-[ \t]+)?newTag:[ \t]+(?P<value>[^\s#]+)", re.M)
REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,40})")
KEYS = (
    "Model-Version",
    "Bundle-Digest",
    "Image-Digest",
    "Promoted-From",
    "Trained-From",
    "Gates",
    "Staging-Health",
    "Forced",
    "Rolled-Back-From",
    "Rolled-Back-To",
)
TRAILER = re.compile(rf"^(?P<key>{'|'.join(KEYS)}): (?P<value>.*\S)[ \t\r]*$", re.M)


class Step(Struct, frozen=True, kw_only=True):
    """A commit that changed the line: what it said before (None where the file began) and after."""

    commit: str
    time: int  # seconds since 1970, when it was committed
    author: str
    message: str
    before: Pin | None
    after: Pin

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]

    @property
    def trailers(self) -> dict[str, str]:
        """Our own keys, wherever they begin a line, the last of each: a squash puts other people's lines after them."""
        return {found["key"]: found["value"] for found in TRAILER.finditer(self.message)}


class Return(Struct, frozen=True, kw_only=True):
    """A step that took a release back: which image, and the step that had released it (None: only a merge did)."""

    digest: str
    released: Step | None
    step: Step


def steps(git: Git, commit: str, environment: str) -> list[Step]:
    """Every change of the line that led to `commit`, the oldest first.

    Merges are passed over: the commit that made a change is in their history, whichever way it got there. Raises
    InputError for a shallow clone, whose history would answer wrongly.
    """
    if git.text("rev-parse", "--is-shallow-repository") == "true":
        raise InputError(
            "git: history: this clone is shallow, and what was reverted cannot be seen; fetch with depth 0"
        )
    answer = git.run(
        "log",
        "--full-history",  # the short history leaves out a change that was taken back on another branch
        "--no-merges",
        "--topo-order",
        "--reverse",
        "--unified=0",
        "--no-color",
        "--no-show-signature",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        f"--format={FORMAT}",
        commit,
        "--",
        pin.path(environment),
    )
    if answer.code:
        raise refused("log", answer)
    found = (_step(entry) for entry in answer.output.decode(errors="replace").split(COMMIT)[1:])
    return [step for step in found if step]


def current(history: list[Step], running: Pin) -> Step | None:
    """The step that made the line what it is; None when a merge did, resolving a conflict by hand."""
    return next((step for step in reversed(history) if step.after == running), None)


def taken_back(history: list[Step]) -> dict[str, Step]:
    """Image digests that were replaced by what ran before them, with the step that did it.

    By whatever means: `git revert`, a rollback of ours, or an edit by hand. A digest that was released again since is
    not among them: somebody approved it anew.
    """
    back = {each.step.commit: each.digest for each in returns(history)}
    found: dict[str, Step] = {}
    for step in history:
        if step.commit in back:
            found[back[step.commit]] = step
        elif step.after.digest != (step.before or Pin()).digest:
            found.pop(step.after.digest, None)
    return found


def returns(history: list[Step]) -> list[Return]:
    """Every time that something was taken back, the first one first."""
    ran_before: dict[str, Pin | None] = {}
    introduced: dict[str, str] = {}  # commit -> digest
    latest: dict[str, Step] = {}  # digest -> the step that released it last
    found = []
    for step in history:
        gone, came = (step.before or Pin()).digest, step.after.digest
        if gone and gone != came and _returns(step, gone, ran_before, introduced):
            found.append(Return(digest=gone, released=latest.get(gone), step=step))
        elif came and came != gone:
            ran_before[came] = step.before
            introduced[step.commit] = came
            latest[came] = step
    return found


def _returns(step: Step, gone: str, ran_before: dict[str, Pin | None], introduced: dict[str, str]) -> bool:
    back = ran_before.get(gone)
    if back is not None and back.digest == step.after.digest:
        return True
    if step.trailers.get("Rolled-Back-From") == gone:
        return True
    return any(
        digest == gone and commit.startswith(named)
        for named in REVERTS.findall(step.message)
        for commit, digest in introduced.items()
    )


def _step(entry: str) -> Step | None:
    head, _, patch = entry.partition(PATCH)
    commit, time, author, message = head.split(FIELD)
    values = {found["sign"]: found["value"] for found in CHANGED.finditer(patch)}
    if "+" not in values or values.get("-") == values["+"]:
        return None
    if (after := _pin(values["+"])) is None:
        return None  # not a line of ours: a conflict that somebody committed
    before = _pin(values["-"]) if "-" in values else None
    return Step(commit=commit, time=int(time), author=author, message=message.strip(), before=before, after=after)


def _pin(value: str) -> Pin | None:
    try:
        return pin.parse(value, "history")
    except InputError:
        return None
