"""Rollback: the revert of the commit that changed the line, whichever way it was merged.

What is reverted is the environment's release file and nothing else, also where that commit touched more. Its later
edits stay, unless they meet the same lines: then only the pin goes back.
"""

import tempfile
from pathlib import Path

from msgspec import Struct

from contracts.errors import InputError
from release import history, pin, review
from release.forge import Delivery, Forge, Proposal, deliver
from release.git import Git
from release.history import Step
from release.pin import Pin
from release.promotion import release_file


class Back(Struct, frozen=True, kw_only=True):
    """What a rollback led to; `reason` says why there was nothing to do."""

    before: Pin
    after: Pin
    reason: str = ""
    delivery: Delivery


class Revert(Struct, frozen=True, kw_only=True):
    """The step to take back (None where only a merge shows it), the pin that was there before, the file without it."""

    step: Step | None
    back: Pin
    content: bytes
    clean: bool


def roll_back(git: Git, forge: Forge, environment: str, merge: bool, why: str = "", only: str = "") -> Back:
    """Propose, and merge if asked, the revert of the environment's last promotion.

    A rollback is not reverted: what it left stays taken back, so that a second run does nothing. With `only`, nothing
    is done unless that image digest runs. Raises InputError when history does not say what ran before.
    """
    path = pin.path(environment)
    start = forge.tip()
    running = pin.read(release_file(git, start, path, forge.target), path)
    if only and running.digest != only:
        forge.close(_named(environment, only))  # an earlier run that was stopped after its merge may have left it
        return Back(
            before=running, after=running, reason=f"{environment} runs {running}, not {only}", delivery=Delivery()
        )
    branch = _branch(environment, running, history.steps(git, start, environment))
    said: list[tuple[Pin, str]] = []

    def propose(tip: str) -> Proposal | None:
        content = release_file(git, tip, path, forge.target)
        now = pin.read(content, path)
        if now != running:
            said.append((now, f"{environment} runs {now} meanwhile, not {running}"))
            return None
        steps = history.steps(git, tip, environment)
        if reason := _nothing_to_do(environment, now, steps):
            said.append((now, reason))
            return None
        revert = _revert(git, path, content, now, steps)
        said.append((revert.back, ""))
        return Proposal(
            branch=branch,
            base=tip,
            path=path,
            content=revert.content,
            message=_message(environment, revert, now, why),
            body=review.rollback(environment, now, revert.back, revert.step, why),
            labels=("rollback", environment),
        )

    delivery = deliver(forge, branch, propose, merge)
    after, reason = said[-1]
    return Back(before=running, after=after, reason=reason, delivery=delivery)


def _branch(environment: str, now: Pin, steps: list[Step]) -> str:
    """Named after what is taken back: by this run, or by an earlier one that may have left its branch."""
    gone = now
    if _nothing_to_do(environment, now, steps) and (step := history.current(steps, now)):
        gone = step.before or now
    return _named(environment, gone.digest)


def _named(environment: str, digest: str) -> str:
    return f"rollback/{environment}/{digest.removeprefix('sha256:')[:12] or pin.NOTHING}"


def _nothing_to_do(environment: str, now: Pin, steps: list[Step]) -> str:
    if not now.digest:
        return f"{environment} runs nothing"
    step = history.current(steps, now)
    gone = history.taken_back(steps)
    if step and step.before and step.before.digest in gone:
        earlier = gone[step.before.digest]
        return (
            f"{environment} is back at {now} already ({earlier.commit[:12]}: {earlier.title}), and a rollback is not "
            "reverted; to go elsewhere, promote what is to run"
        )
    return ""


def _revert(git: Git, path: str, content: bytes, now: Pin, steps: list[Step]) -> Revert:
    step = history.current(steps, now)
    back = step.before if step else (steps[-1].after if steps else None)
    if back is None:
        raise InputError(f"{path}: history does not say what ran before {now}; promote what is to run")
    if step:
        merged = _without(git, path, content, step.commit)
        if merged is not None and pin.read(merged, path) == back:
            return Revert(step=step, back=back, content=merged, clean=True)
    return Revert(step=step, back=back, content=pin.write(content, back, path), clean=False)


def _without(git: Git, path: str, content: bytes, commit: str) -> bytes | None:
    """The file without what a commit did to it, as `git revert` merges it; None where a later edit conflicts."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        versions = {"now": content, "after": git.file(commit, path), "before": git.file(f"{commit}^", path)}
        for name, version in versions.items():
            (Path(folder) / name).write_bytes(version or b"")
        answer = git.run("merge-file", "-p", "--quiet", *(str(Path(folder) / name) for name in versions))
    return answer.output if answer.code == 0 else None


def _message(environment: str, revert: Revert, now: Pin, why: str) -> str:
    step = revert.step
    parts = [f'Revert "{step.title}"' if step else f"Roll back {environment} to {revert.back}"]
    if step:
        parts.append(f"This reverts commit {step.commit}.")
    if not revert.clean:
        parts.append("A later edit of the file meets the same lines, so only the pin was written back.")
    if why:
        parts.append(f"Why: {why}")
    parts.append(f"Before: {now}\nAfter:  {revert.back}")
    parts.append(f"To release {now.tag} again after all, promote it with --force --reason.")
    parts.append(f"Rolled-Back-From: {now.digest}\nRolled-Back-To: {revert.back.digest or pin.NOTHING}")
    return "\n\n".join(parts) + "\n"
