"""Promotion: one line of one environment changes, and the commit carries the evidence for it.

What can be forced, with a reason that stays in history: a gate that failed or is missing, a bundle that was never
registered, a digest that was taken back before. What cannot: an image that is not what its labels say, and a way to
production that leaves out staging.
"""

import re

from msgspec import Struct

from contracts.errors import InputError
from release import health, history, pin, review, unpack
from release.evidence import Evidence, gather
from release.forge import Delivery, Forge, Proposal, deliver
from release.git import Git, GitError
from release.history import Step
from release.image import UNREGISTERED, Image, read
from release.oci import Layout
from release.pin import Pin

BEFORE = {"production": "staging"}  # an environment that takes only what runs in another one
COMMIT = re.compile(r"[0-9a-f]{40}")
TRAINED_FROM = "Trained-From"  # the trailer that names the commit of the model's code


class Promotion(Struct, frozen=True, kw_only=True):
    """What is to go where, and why although something speaks against it (empty: nothing may)."""

    environment: str
    image: Image
    reason: str = ""

    @property
    def branch(self) -> str:
        return branch(self.environment, self.image.digest)


class Released(Struct, frozen=True, kw_only=True):
    """What a promotion led to."""

    before: Pin
    after: Pin
    forced: tuple[str, ...]
    delivery: Delivery


def branch(environment: str, digest: str) -> str:
    """Where the promotion of an image is proposed, whoever proposes it."""
    return f"promote/{environment}/{digest.removeprefix('sha256:')[:12]}"


def promote(git: Git, forge: Forge, layout: Layout, promotion: Promotion, merge: bool) -> Released:
    """Propose, and merge if asked, the change that makes the environment run the image; nothing, when it does already.

    Raises InputError, in one line, when something refuses the release and no reason to force it is given.
    """
    image, environment = promotion.image, promotion.environment
    source = unpack.provenance(layout, image)
    evidence = gather(layout, image)
    said: list[tuple[Pin, Pin, tuple[str, ...]]] = []

    def propose(tip: str) -> Proposal | None:
        path = pin.path(environment)
        content = release_file(git, tip, path, forge.target)
        running = pin.read(content, path)
        if running.digest == image.digest:
            said.append((running, running, ()))
            return None
        came_from = _origin(git, tip, promotion, source.git_sha)
        earlier = BEFORE.get(environment, "")
        state = health.of(git, forge, earlier, tip) if earlier else ""
        against = (
            *evidence.refusals,
            *_unregistered(image),
            *_taken_back(git, tip, image.digest),
            *_unhealthy(earlier, state),
        )
        if against and not promotion.reason:
            raise InputError(
                f'{environment}: {image.pin.tag}: refused: {"; ".join(against)}; mend it, or --force --reason "…"'
            )
        after = _anew(image.pin, history.steps(git, tip, environment))
        said.append((running, after, against))
        change = review.Change(
            title=f"Promote {image.title} {image.pin.tag} to {environment}",
            environment=environment,
            before=running,
            after=after,
            came_from=came_from,
            trained_from=source.git_sha,
            earlier=earlier,
            health=state,
            forced=against,
            reason=promotion.reason,
            undo=undo_command(path, image.digest, _last_change(git, tip, path)),
        )
        return Proposal(
            branch=promotion.branch,
            base=tip,
            path=path,
            content=pin.write(content, after, path),
            message=_message(image, evidence, change),
            body=review.body(change, evidence, review.reports_of(layout, running)),
            labels=("promotion", environment),
        )

    delivery = deliver(forge, promotion.branch, propose, merge)
    before, after, forced = said[-1]
    return Released(before=before, after=after, forced=forced, delivery=delivery)


def wanted(layout: Layout, environment: str, image: str, reason: str) -> Promotion:
    """The promotion of an image that a person named; raises InputError when the layout does not have it."""
    return Promotion(environment=environment, image=read(layout, pin.digest(image)), reason=reason)


def release_file(git: Git, commit: str, path: str, target: str) -> bytes:
    """The bytes of an environment's release file as the target branch has it."""
    content = git.file(commit, path)
    if content is None:
        raise GitError(f"{path}: is not in {target}; an environment is a folder in {pin.ENVIRONMENTS}, committed")
    return content


def _origin(git: Git, tip: str, promotion: Promotion, trained_from: str) -> str:
    """Where the image comes from; raises InputError when production is to take what does not run in staging."""
    earlier = BEFORE.get(promotion.environment)
    if earlier is None:
        return f"registry, trained from {trained_from[:12]}"
    path = pin.path(earlier)
    running = pin.read(git.file(tip, path) or b"", path)
    if running.digest != promotion.image.digest:
        raise InputError(
            f"{promotion.environment}: takes only what runs in {earlier}, and that is {running}; "
            f"promote {promotion.image.pin.tag} to {earlier} first"
        )
    step = history.current(history.steps(git, tip, earlier), running)
    return f"{earlier}@{step.commit[:12] if step else tip[:12]}"


def _unregistered(image: Image) -> tuple[str, ...]:
    if image.version != UNREGISTERED:
        return ()
    return ("registry: the bundle was never registered; `kedro run --pipelines registration`, then `make image`",)


def _taken_back(git: Git, tip: str, digest: str) -> tuple[str, ...]:
    """A digest that any environment's history shows reverted is not released again as if nothing had been."""
    listed = git.text("ls-tree", "--name-only", tip, "--", f"{pin.ENVIRONMENTS}/").splitlines()
    found = []
    for environment in (name.rpartition("/")[2] for name in listed):
        if step := history.taken_back(history.steps(git, tip, environment)).get(digest):
            found.append(f"history: {environment} took this digest back in {step.commit[:12]} ({step.title})")
    return tuple(found)


def _anew(image: Pin, steps: list[Step]) -> Pin:
    """The pin of an image that the environment has had before: with a tag that it never had there.

    The digest says which bytes run. But Argo Rollouts knows pods by their template: an earlier version's own it
    takes for a way back, without steps and analysis, whether that version ever was the stable one or not.
    """
    times = sum(1 for step in steps if step.after.digest == image.digest != (step.before or Pin()).digest)
    return Pin(f"{image.tag}.{times + 1}", image.digest) if times else image


def _last_change(git: Git, tip: str, path: str) -> str:
    """The commit that brought the file to what it is: other changes of the target leave a proposal as it was."""
    return git.text("log", "-1", "--first-parent", "--format=%H", tip, "--", path) or tip


def undo_command(path: str, digest: str, base: str) -> str:
    """The command that takes the change back after a merge, a squash and a rebase alike.

    The change is the first one since `base` that touched the digest, so that running it twice changes nothing more.
    """
    return f"git revert --no-edit $(git log --format=%H -S'{digest}' {base[:12]}.. -- {path} | tail -n 1)"


def _unhealthy(earlier: str, state: str) -> tuple[str, ...]:
    if state == "failed":
        return (f"health: {earlier} is not healthy with it, as its cluster says; roll it back there",)
    if state == "pending":
        return (f"health: {earlier} is still bringing it out; wait until its cluster says how that went",)
    return ()


def _message(image: Image, evidence: Evidence, change: review.Change) -> str:
    environment, running = change.environment, change.before
    parts = [change.title if not change.forced else f"{change.title}, forced"]
    before = running if running.digest else "nothing, this is the first release"
    parts.append(f"Before: {before}\nAfter:  {change.after}")
    if change.forced:
        parts.append("Released by force.\n" + "\n".join(f"- overruled: {line}" for line in change.forced))
    parts.append(evidence.markdown().strip() or "No report is attached to the image.")
    parts.append(
        f"To undo, whichever way this was merged:\n\n    {change.undo}\n\nor `make rollback ENV={environment}`."
    )
    trailers = {
        "Model-Version": image.version,
        "Bundle-Digest": image.bundle_digest,
        "Image-Digest": image.digest,
        "Promoted-From": change.came_from,
    }
    if COMMIT.fullmatch(change.trained_from):
        trailers[TRAINED_FROM] = change.trained_from
    trailers["Gates"] = "passed" if evidence.passed else "forced"
    if change.earlier:
        trailers[f"{change.earlier.capitalize()}-Health"] = change.health
    if change.forced:
        trailers["Forced"] = change.reason
    parts.append("\n".join(f"{key}: {value}" for key, value in trailers.items()))
    return "\n\n".join(parts) + "\n"
