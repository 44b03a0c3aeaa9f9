"""What an environment runs, since when, by which commit, and on what evidence: read from git."""

import datetime as dt
import re
from pathlib import Path

from msgspec import Struct

from contracts.errors import InputError
from release import history, image, pin, render
from release.git import Git
from release.oci import Layout
from release.pin import Pin
from release.promotion import release_file

NAME = re.compile(rb"^[ \t]*(?:-[ \t]+)?newName:[ \t]+([^\s#]+)", re.M)
UNKNOWN = "unknown"


class Running(Struct, frozen=True, kw_only=True):
    """Empty strings where the environment runs nothing; `unknown` where neither git nor the layout says."""

    environment: str
    image: str
    tag: str
    image_digest: str
    bundle_digest: str
    version: str
    gates: str
    since: str
    commit: str
    title: str


def running(git: Git, commit: str, environment: str, target: str, layout: Layout | None) -> Running:
    """What the environment runs as of a commit of the target branch."""
    path = pin.path(environment)
    content = release_file(git, commit, path, target)
    now = pin.read(content, path)
    steps = history.steps(git, commit, environment)
    latest = history.current(steps, now)
    released = next((s for s in reversed(steps) if s.after == now and "Bundle-Digest" in s.trailers), None)
    trailers = released.trailers if released else _labels(layout, now)
    name = NAME.search(content)
    return Running(
        environment=environment,
        image=f"{name[1].decode() if name else ''}:{now}",
        tag=now.tag,
        image_digest=now.digest,
        bundle_digest=trailers.get("Bundle-Digest", UNKNOWN) if now.digest else "",
        version=trailers.get("Model-Version", UNKNOWN) if now.digest else "",
        gates=_gates(trailers) if now.digest else "",
        since=dt.datetime.fromtimestamp(latest.time, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if latest else UNKNOWN,
        commit=latest.commit if latest else UNKNOWN,
        title=latest.title if latest else UNKNOWN,
    )


def image_name(root: Path) -> str:
    """The registry and name that the environments' images have; raises InputError when gitops/ does not say it."""
    for environment in render.environments(root):
        if found := NAME.search((Path(root) / pin.path(environment)).read_bytes()):
            return found[1].decode()
    raise InputError(f"{root}: no release file has a newName; say where: registry/name")


def _gates(trailers: dict[str, str]) -> str:
    gates = trailers.get("Gates", UNKNOWN)
    return f"{gates} ({trailers['Forced']})" if "Forced" in trailers else gates


def _labels(layout: Layout | None, now: Pin) -> dict[str, str]:
    """What the image's own labels say, for a line that was written by hand."""
    if layout is None or not now.digest:
        return {}
    try:
        found = image.read(layout, now.digest)
    except InputError:
        return {}  # another layout's image: unknown here, which is what is said
    return {"Bundle-Digest": found.bundle_digest, "Model-Version": found.version}
