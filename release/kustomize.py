"""The kustomize to render with: an installed one, kubectl's, or one built with Go into the tools folder.

python -m release.kustomize      finds it, or builds it; prints nothing when there is one, one line when there cannot be
"""

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from contracts.errors import InputError
from release import go_program

OLDEST = (5, 0)  # components and JSON patches as we use them
PINNED = "v5.8.1"  # what is built where nothing is installed
MODULE = "sigs.k8s.io/kustomize/kustomize/v5"
ADDRESS = "https://kubectl.docs.kubernetes.io/installation/kustomize/"


class Kustomize(Struct, frozen=True):
    """A command that renders a folder, and the version of kustomize in it."""

    command: tuple[str, ...]
    version: str

    def build(self, folder: Path) -> str:
        """The manifests of a folder; raises InputError with kustomize's own reason."""
        done = subprocess.run([*self.command, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"{folder}: kustomize {self.version}: {' '.join(done.stderr.split())[:600]}")
        return done.stdout


@functools.cache
def find() -> Kustomize:
    """The first that is new enough; raises InputError that says how to get one."""
    old = []
    for command, ask in candidates():
        version = _version(ask)
        if version and _numbers(version) >= OLDEST:
            return Kustomize(command, version)
        if version:
            old.append(f"{command[0]} has {version}")
    reason = f"none from {OLDEST[0]}.{OLDEST[1]} on is here" + (f" ({', '.join(old)})" if old else "")
    raise InputError(
        f"kustomize: {reason}; install kustomize or kubectl 1.27 or later ({ADDRESS}), or Go and run this again"
    )


def obtain() -> Kustomize:
    """The one that `find` gives, or else one built with Go into the tools folder."""
    try:
        return find()
    except InputError:
        if not go_program.obtainable():
            raise
    try:
        go_program.build("kustomize", MODULE, PINNED)
    except InputError as error:
        raise InputError(f"{error}; or see {ADDRESS}") from error
    find.cache_clear()
    return find()


def candidates() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Commands that render a folder, each with the one that says its version; whether or not they are here."""
    built = str(go_program.path("kustomize"))
    return [
        (("kustomize", "build"), ("kustomize", "version")),
        (("kubectl", "kustomize"), ("kubectl", "version", "--client", "--output=json")),
        ((built, "build"), (built, "version")),
    ]


def _version(ask: tuple[str, ...]) -> str:
    if shutil.which(ask[0]) is None:
        return ""
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    try:
        said = str(json.loads(done.stdout).get("kustomizeVersion", ""))
    except (ValueError, AttributeError):
        said = done.stdout
    found = re.search(r"v?(\d+\.\d+\.\d+)", said)
    return found[1] if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main() -> int:
    """Find or build it; 2 and one line when neither works."""
    try:
        obtain()
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
