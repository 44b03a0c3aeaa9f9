"""Programs that are built here with Go, pinned, into the tools folder, where nobody has installed them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from contracts.errors import InputError


def tools() -> Path:
    """The folder for programs that were built here, as the Makefile names it."""
    return Path(os.environ.get("TOOLS", ".tools")).absolute()


def path(name: str) -> Path:
    """Where the program lies once it is built."""
    return tools() / "bin" / name


def obtainable() -> bool:
    """Whether there is a Go to build with."""
    return shutil.which("go") is not None


def build(name: str, package: str, version: str, toolchain: str = "") -> Path:
    """`go install package@version`; `toolchain` names the Go it needs, which an older Go fetches (go1.27.3).

    Raises InputError with Go's own last line.
    """
    target = path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name}: building {version} into {target.parent}", file=sys.stderr)
    environment = {**os.environ, "GOBIN": str(target.parent), "GOFLAGS": "", "CGO_ENABLED": "0", "GOWORK": "off"}
    if toolchain:
        environment["GOTOOLCHAIN"] = toolchain
    command = ["go", "install", f"{package}@{version}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise InputError(f"{name}: go install {package}@{version}: {said[-1] if said else 'failed'}")
    return target
