"""The environments on disk: made from the pins in this folder, once, and again only when a pin changed.

usage: python3 requirements/environments.py [train] [serve] [validate] [clients] make them, or bring them up to date
       python3 requirements/environments.py compile [uv's options]     write the pins, *.txt, from *.in

None named: all but clients, which are for tests. VENV, VENV_SERVE, VENV_VALIDATE, VENV_CLIENTS say where they lie. One
that lies outside of the repository and is there already belongs to someone else: it is used as it is. TORCH=cpu takes
torch without CUDA; what was chosen holds until another is named. Runs on the system's Python, before anything is
installed: standard library only.
"""

from __future__ import annotations  # an older Python must get as far as the message that says so

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OLDEST_UV = (0, 9)
SUPPORTED = ("3.13", "3.12", "3.11")
# What torch brings along differs by machine and is large; its names are kept out of the pins (see train.in).
BROUGHT_BY_TORCH = re.compile(r"^(?:nvidia|cuda|triton)[a-z0-9-]*", re.MULTILINE)


DEFAULT = ("train", "serve", "validate")  # the clients are for tests


class Environment(NamedTuple):
    """Where an environment lies, what it is made from and which Pythons it runs on (the first one found is taken)."""

    path: Path
    pins: tuple[Path, ...]
    pythons: tuple[str, ...] = SUPPORTED

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.path / ".slipway.json"


def environments() -> dict[str, Environment]:
    """All of them, by name; the example's data package is there only as long as its pins are."""

    def place(variable: str, default: str) -> Path:
        return ROOT / os.environ.get(variable, default)

    example = HERE / "example.txt"
    train = (HERE / "train.txt", HERE / "dev.txt", *([example] if example.exists() else []))
    return {
        "train": Environment(place("VENV", ".venv"), train),
        "serve": Environment(place("VENV_SERVE", ".venv-serve"), (HERE / "serve.txt",)),
        "validate": Environment(place("VENV_VALIDATE", ".venv-validate"), (HERE / "validate.txt",), ("3.12", "3.11")),
        "clients": Environment(place("VENV_CLIENTS", ".venv-clients"), (HERE / "clients.txt",)),
    }


def main(arguments: list[str]) -> None:
    """What the first word says."""
    if arguments[:1] == ["compile"]:
        compile_pins(arguments[1:])
    else:
        bring_up_to_date(arguments)


def bring_up_to_date(names: list[str]) -> None:
    """Make the named environments (none named: all), or sync those whose pins changed; nothing when they did not."""
    known = environments()
    if unknown := [name for name in names if name not in known]:
        raise Stop(f"{unknown[0]}: no such environment; known: {', '.join(known)}")
    for name in names or DEFAULT:
        _sync(name, known[name])


def _sync(name: str, environment: Environment) -> None:
    stamp = _read(environment.stamp)
    wanted = {
        "pins": hashlib.sha256(b"".join(pins.read_bytes() for pins in environment.pins)).hexdigest(),
        "torch": os.environ.get("TORCH") or stamp.get("torch", ""),
    }
    there = environment.python.exists()
    if there and stamp == wanted:
        return
    if there and ROOT not in environment.path.resolve().parents:
        if stamp and stamp != wanted:
            print(f"{environment.path}: made from other pins, and left alone: it lies outside of this repository")
        return
    print(f"{environment.path}: installing {', '.join(pins.name for pins in environment.pins)}")
    uv = find_uv()
    if not there:
        python = find_python(name, environment.pythons, uv)
        run([uv, "venv", "-q", "--clear", "--python", python, str(environment.path)])
    backend = ["--torch-backend", wanted["torch"]] if wanted["torch"] and name == "train" else []
    resolved = environment.path / "resolved.txt"  # the pins, and what torch brings on this machine
    target = ["--python", str(environment.python), *backend]
    options = ["-q", "--no-header", "--no-annotate", "-o", str(resolved)]
    run([uv, "pip", "compile", *options, *target, *map(str, environment.pins)])
    run([uv, "pip", "sync", "-q", *target, str(resolved)])
    environment.stamp.write_text(json.dumps(wanted), encoding="utf-8")


def find_uv() -> str:
    """uv from PATH when it is recent enough, else the pinned one in .uv/, installed there when it is not."""
    if (found := shutil.which("uv")) and _version(found) >= OLDEST_UV:
        return found
    pin = (HERE / "uv.txt").read_text(encoding="utf-8").strip()
    ours = ROOT / ".uv" / "bin" / "uv"
    if not ours.exists() or _version(str(ours)) != _numbers(pin):
        print(f".uv: {pin} is installed")
        run([sys.executable, "-m", "venv", "--clear", str(ROOT / ".uv")])
        run([str(ROOT / ".uv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", pin])
    return str(ours)


def find_python(name: str, wanted: tuple[str, ...], uv: str) -> str:
    """The Python that runs us when it fits, else the first of `wanted` that uv finds or can fetch."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" in wanted:
        return sys.executable
    for version in wanted:
        found = subprocess.run([uv, "python", "find", version], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    if subprocess.run([uv, "python", "install", "-q", wanted[0]], capture_output=True).returncode == 0:
        return wanted[0]
    versions = " or ".join(reversed(wanted))
    raise Stop(f"{name}: needs Python {versions}, and none is here; install one and put it on PATH")


def compile_pins(options: list[str]) -> None:
    """Write every *.txt from its *.in; pins that still fit are kept unless `--upgrade` is among the options."""
    uv = find_uv()
    base = [uv, "pip", "compile", "-q", "--universal", "--python-version", "3.11", "--no-header", "--no-annotate"]
    probe = subprocess.run([*base, "train.in"], cwd=HERE, check=True, capture_output=True, text=True).stdout
    unpinned = [word for name in sorted(set(BROUGHT_BY_TORCH.findall(probe))) for word in ("--no-emit-package", name)]
    for name, extra in {
        "core": [],
        "train": unpinned,
        "serve": ["-c", "core.txt"],
        "serve-grpc": ["-c", "core.txt"],
        "validate": [],
        "clients": [],
        "dev": [],
        "example": ["-c", "core.txt"],
    }.items():
        if (HERE / f"{name}.in").exists():
            run([*base, *extra, *options, f"{name}.in", "-o", f"{name}.txt"], cwd=HERE)


def run(command: list[str], cwd: Path = ROOT) -> None:
    """Run a command, or stop with one line after what it said itself."""
    environment = {**os.environ, "VIRTUAL_ENV": ""}  # an activated environment is not the one that is meant
    code = subprocess.run(command, cwd=cwd, env=environment).returncode
    if code:
        raise Stop(f"`{' '.join(command[:3])} …` failed ({code}); what it said stands above")


class Stop(Exception):  # noqa: N818 - as StopIteration
    """Something that only the person at the keyboard can mend, in one line."""


def _read(stamp: Path) -> dict[str, str]:
    try:
        return json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _version(uv: str) -> tuple[int, ...]:
    return _numbers(subprocess.run([uv, "--version"], capture_output=True, text=True).stdout)


def _numbers(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Stop as line:
        print(f"requirements: {line}", file=sys.stderr)
        sys.exit(2)
