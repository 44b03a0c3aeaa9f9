"""Mutants of a signed bundle, for a server that is given the key."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.reliability import processes
from bench.reliability.mutations import Mutant
from contracts.bundle import DIGESTED, Bundle
from contracts.errors import InputError

FILE = "signature.json"


def all_of(sound: Bundle, other: Bundle, folder: Path) -> list[Mutant]:
    """Mutants without a valid signature; none where the server takes no key."""
    if not processes.knows("--verify-key"):
        return []
    ours, theirs = (_keys(folder / name) for name in ("ours", "theirs"))
    by = {
        "ours": _signed(sound, ours[0], folder / "by-us"),
        "theirs": _signed(sound, theirs[0], folder / "by-them"),
        "of another bundle": _signed(other, ours[0], folder / "other"),
    }
    document = json.loads(by["ours"])
    changes: dict[str, Callable[[Path], object]] = {
        "unsigned": lambda place: None,
        "signed with another key": _write(by["theirs"]),
        "signature of another bundle": _write(by["of another bundle"]),
        "signature is empty": _write(b""),
        "signature is a folder": lambda place: (place / FILE).mkdir(),
        "signature is too large": _write(by["ours"] + b" " * 100_000),
        "signature of another algorithm": _write(json.dumps(document | {"algorithm": "none"}).encode()),
        "signature is nested deeply": _write(b"[" * 4000),
        "signature without a signature": _write(json.dumps(document | {"signature": ""}).encode()),
    }
    draw = random.Random(6)
    characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for number in range(8):
        text = document["signature"]
        place = draw.randrange(80)
        letter = characters[(characters.find(text[place]) + 1) % len(characters)]
        changed = document | {"signature": text[:place] + letter + text[place + 1 :]}
        changes[f"signature changed at {place} ({number})"] = _write(json.dumps(changed).encode())
    for name in DIGESTED:
        changes[f"{name} changed after signing"] = _tampered(by["ours"], name)
    arguments = ("--verify-key", str(ours[1]))
    return [Mutant("not signed by the key's owner", name, change, arguments) for name, change in changes.items()]


def _write(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / FILE).write_bytes(data)


def _tampered(signature: bytes, name: str) -> Callable[[Path], None]:
    """A change that leaves a file readable: a blank at the end of JSON, a producer in ONNX."""

    def change(folder: Path) -> None:
        (folder / FILE).write_bytes(signature)
        with (folder / name).open("ab") as file:
            file.write(b"\x12\x01x" if name == "model.onnx" else b"\n")

    return change


def _keys(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / "private.pem", folder / "public.pem"
    if not public.exists():
        _run("new-key", "--private", str(private), "--public", str(public))
    return private, public


def _signed(bundle: Bundle, private: Path, copy: Path) -> bytes:
    """The signature of a bundle, made in a copy of it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle.path, copy)
    _run("sign", str(copy), "--private", str(private))
    return (copy / FILE).read_bytes()


def _run(*words: str) -> None:
    line = [sys.executable, "-m", "contracts.signature", *words]
    done = subprocess.run(line, cwd=processes.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"contracts.signature {words[0]}: {done.stderr.strip()}; run it by hand")
