"""What the cluster tells the forge: a version was sent back there, and git is to follow.

The body is that of GitHub's repository_dispatch, as gitops/platform/controllers/notifications sends it. It may come
twice, late, or for somebody else's Rollout: whoever reads it rolls back only what still stands in git.
"""

import sys
from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

from contracts.errors import InputError
from release import pin, render

ABORTED = "rollout-aborted"
PLACE = "event"
LONGEST = 300  # characters of a reason in history
WAY_OUT = "the body that the notification sends is wanted (docs/rollback.md)"


class Measured(Struct, frozen=True):
    """A metric that did not succeed."""

    name: str = ""
    phase: str = ""
    message: str = ""
    value: str = ""


class Payload(Struct, frozen=True):
    """What happened, and to which version. More keys are passed over."""

    namespace: str
    image: str
    reason: str = ""
    metrics: tuple[Measured, ...] = ()


class Event(Struct, frozen=True):
    """A dispatch. GitHub hands its `event_type` to a workflow as the event's `action`."""

    client_payload: Payload
    event_type: str = ""
    action: str = ""

    @property
    def kind(self) -> str:
        """What happened."""
        return self.event_type or self.action

    @property
    def digest(self) -> str:
        """Of the image that was sent back."""
        digest = self.client_payload.image.rpartition("@")[2]
        if not pin.DIGEST.fullmatch(digest):
            raise InputError(
                f"{PLACE}: client_payload.image: {self.client_payload.image!r} ends in no @sha256:<64 hex>"
            )
        return digest

    @property
    def why(self) -> str:
        """One line for history."""
        said = self.client_payload
        metrics = [" ".join(filter(None, (each.name, each.phase.lower(), each.value))) for each in said.metrics]
        reason = ", ".join(metrics) or said.reason or "no reason given"
        words = " ".join(f"{self.kind}: {reason}".split())
        return "".join(letter for letter in words if letter.isprintable())[:LONGEST]


def read(file: Path) -> Event:
    """An event from a file of JSON, or from standard input ("-"); raises InputError in one line when it is none."""
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        event = msgspec.json.decode(text, type=Event)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise InputError(f"{PLACE}: {error}; {WAY_OUT}") from error
    if not event.kind:
        raise InputError(f"{PLACE}: event_type: is missing; {WAY_OUT}")
    return event


def environment(root: Path, event: Event) -> str:
    """The environment that lives in the event's namespace; raises InputError when none does."""
    wanted = event.client_payload.namespace
    for name in render.environments(root):
        document = yaml.safe_load((Path(root) / pin.ENVIRONMENTS / name / "kustomization.yaml").read_text("utf-8"))
        if document.get("namespace") == wanted:
            return name
    raise InputError(f"{PLACE}: client_payload.namespace: no environment in {pin.ENVIRONMENTS} lives in {wanted!r}")
