"""An environment of its own for every peer, made from the pins in peers/ and kept until they change.

`python -m bench.serving.environments` writes the pins, peers/*.txt, from *.in anew (`--upgrade`: to what is out today).
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from contracts import atomic
from contracts.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).resolve().parent / "peers"
# MLServer and KServe know no newer Python. The finding of uv and Python is that of the repository's own environments,
# a program that runs before anything is installed.
FIND = """
from requirements.environments import find_python, find_uv
uv = find_uv()
print(uv, find_python("peers", ("3.12", "3.11"), uv), sep="\\n")
"""


class Environment(Struct, frozen=True):
    """Where a peer is installed, how large that is, and what is in it."""

    python: Path
    megabytes: float  # of site-packages, without bytecode
    versions: dict[str, str]

    @property
    def bin(self) -> Path:
        return self.python.parent


def make(name: str, folder: Path, also: Path | None = None) -> Environment:
    """The environment of the peer `name` under `folder`; made when it is not there or its pins have changed.

    `also` names pins beside its own. Raises InputError where it cannot be made.
    """
    place, pins = folder / name, [PINS / f"{name}.txt", *([also] if also else [])]
    stamp, wanted = place / "pins.sha256", hashlib.sha256(b"".join(map(Path.read_bytes, pins))).hexdigest()
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        uv, python = _found()
        _run([uv, "venv", "-q", "--clear", "--python", python, str(place)], name)
        sync = [uv, "pip", "sync", "-q", "--compile-bytecode", "--python", str(place / "bin/python")]
        _run([*sync, *map(str, pins)], name)
        atomic.write_text(stamp, wanted)
    return installed(place / "bin" / "python")


def installed(python: Path) -> Environment:
    """What an environment holds. Bytecode does not count: whether it is there yet is chance."""
    listing = (
        "import importlib.metadata as m, json, sysconfig; print(json.dumps([sysconfig.get_path('purelib'),"
        " {d.metadata['Name'].lower(): d.version for d in m.distributions()}]))"
    )
    said = subprocess.run([python, "-P", "-c", listing], check=True, capture_output=True, text=True).stdout
    packages, versions = json.loads(said)
    # The kernel's blocks, so that many small files weigh what they take; hard links to a cache are still files here.
    sizes = (
        file.stat().st_blocks * 512
        for file in Path(packages).rglob("*")
        if file.is_file() and not file.is_symlink() and file.suffix != ".pyc"
    )
    return Environment(python, round(sum(sizes) / 1e6, 1), versions)


def compile_pins(options: list[str]) -> None:
    """Write the pins of every peer; `options` are those of `uv pip compile`."""
    command = [_found()[0], "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate"]
    for wanted in sorted(PINS.glob("*.in")):
        limits = ["-c", str(ROOT / "requirements" / "serve.txt")] if wanted.stem == "asgi" else []
        _run([*command, *limits, *options, str(wanted), "-o", str(wanted.with_suffix(".txt"))], wanted.stem)


def _found() -> list[str]:
    done = subprocess.run([sys.executable, "-c", FIND], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"requirements/environments.py: {reason}")
    return done.stdout.strip().splitlines()[-2:]


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "VIRTUAL_ENV": ""})
    if done.returncode:
        reason = " ".join(done.stderr.split())[-300:]
        raise InputError(f"bench/serving/peers/{name}.txt: cannot be installed: {reason}; leave it out with --only")


if __name__ == "__main__":
    compile_pins(sys.argv[1:])
