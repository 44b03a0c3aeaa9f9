"""Bundles that must not be served: a sound one, changed in one way each.

Two kinds of protection are asked apart. `told`: the server is told the digest, as a deployment tells it, and any change
of the four files that decide answers must be seen. `untold`: whoever made the change also knows how a digest is made,
and the server must see by itself that the parts do not fit together or ask for what no bundle may have. With a key
(`signed`) it must be told nothing: only what the key's owner signed is served.

Not among them, since they decide no answer: a changed MODEL_CARD.md, and a provenance.json that is still one.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from bench.reliability import graphs, models
from contracts.bundle import DIGESTED, MAXIMUM_BYTES, Bundle

FLIPS, CUTS = 12, 8
Change = Callable[[Path], object]


class Mutant(Struct, frozen=True):
    """A folder, what was done to it, and how the server is started on it."""

    family: str
    name: str
    change: Change
    arguments: tuple[str, ...] = ()


def all_of(sound: Bundle, other: Bundle) -> list[Mutant]:
    """Every mutant of `sound`; `other` is a sound bundle with other answers."""
    told = ("--digest", sound.digest)
    families: list[tuple[str, Iterator[tuple[str, Change]], tuple[str, ...]]] = [
        ("truncated, digest told", truncated(sound), told),
        ("bit flipped, digest told", flipped(sound), told),
        ("files of another bundle", swapped(other), told),
        ("files of another bundle, untold", swapped(other), ()),
        ("files missing, foreign or oversized", misplaced(), ()),
        ("documents that do not fit", documents(sound), ()),
        ("graphs that do not fit", graphs.misfits(), ()),
        ("graphs that ask for too much", graphs.bombs(), ()),
        ("model.onnx is something else", graphs.impostors(), ()),
    ]
    return [Mutant(family, name, change, arguments) for family, made, arguments in families for name, change in made]


def make(sound: Bundle, mutant: Mutant, folder: Path) -> Path:
    """The mutant as a folder."""
    shutil.copytree(sound.path, folder)
    mutant.change(folder)
    return folder


def truncated(sound: Bundle) -> Iterator[tuple[str, Change]]:
    """Every file that decides answers, cut off; provenance.json, too, which is then no document any more."""
    for name in (*DIGESTED, "provenance.json"):
        size = (sound.path / name).stat().st_size
        for length in (0, size - 2, *(size * part // CUTS for part in range(2, CUTS))):
            yield f"{name} cut to {length}", _sized(name, length)


def flipped(sound: Bundle) -> Iterator[tuple[str, Change]]:
    """One bit of a file that decides answers."""
    draw = random.Random(4)
    for name in DIGESTED:
        data = (sound.path / name).read_bytes()
        for _ in range(FLIPS):
            place, bit = draw.randrange(len(data)), draw.randrange(8)
            changed = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            yield f"{name} bit {bit} of byte {place}", written(name, changed)


def swapped(other: Bundle) -> Iterator[tuple[str, Change]]:
    """Files of another version in place of this one's, and files in each other's places."""
    for name in ("model.onnx", "golden.json"):
        yield f"another version's {name}", written(name, (other.path / name).read_bytes())
    for first, second in (("bundle.json", "golden.json"), ("golden.json", "reference_profile.json")):
        yield f"{first} and {second} exchanged", _exchanged(first, second)


def misplaced() -> Iterator[tuple[str, Change]]:
    """Files that are not there, are no files, are too large, or do not belong there."""
    for name in (*DIGESTED, "provenance.json", "MODEL_CARD.md"):
        yield f"{name} missing", _replaced(name, lambda file: None)
        yield f"{name} is a folder", _replaced(name, Path.mkdir)
        yield f"{name} is a link", _linked(name)
        yield f"{name} is larger than any may be", _sized(name, MAXIMUM_BYTES + 1)
    yield "model.onnx is a pipe", _replaced("model.onnx", os.mkfifo)
    yield "model.onnx is a device", _replaced("model.onnx", lambda file: file.symlink_to("/dev/zero"))
    yield "the folder is a file", _no_folder
    foreign = ("model.pkl", "hook.py", "libevil.so", ".hidden", "model.onnx.data", "weights.bin", "bundle.json~", "\n")
    for name in foreign:
        yield f"foreign file {name!r}", written(name, b"x")
    yield "foreign folder", lambda folder: (folder / "extra").mkdir()


def documents(sound: Bundle) -> Iterator[tuple[str, Change]]:
    """JSON that is none, has keys too many or too few, other types, or says what the graph does not do."""
    for name in ("bundle.json", "golden.json", "reference_profile.json", "provenance.json"):
        document = json.loads((sound.path / name).read_bytes())
        for key, value in document.items():
            if name == "provenance.json" and key in ("version", "parent", "mlflow_run_id", "device", "format"):
                continue  # these may be left out
            if key not in ("format", "classes", "decision_threshold"):
                yield f"{name} without {key}", _written_json(name, {k: v for k, v in document.items() if k != key})
            wrong = [1] if isinstance(value, str | int) else "x"
            yield f"{name} with {key} of another type", _written_json(name, document | {key: wrong})
        yield f"{name} of another format", _written_json(name, document | {"format": 2})
        yield f"{name} with a key too many", _written_json(name, document | {"hook": "import os"})
        yield f"{name} is not UTF-8", written(name, b'{"name": "\xff\xfe"}')
        yield f"{name} is nested deeply", written(name, b"[" * 100_000)
    manifest = json.loads((sound.path / "bundle.json").read_bytes())
    golden = json.loads((sound.path / "golden.json").read_bytes())
    inputs = manifest["inputs"]
    for change, columns in {
        "a column less": inputs[1:],
        "a column twice": [*inputs, inputs[0]],
        "another name": [{**inputs[0], "name": "town"}, *inputs[1:]],
        "another type": [{**inputs[0], "dtype": "float32"}, *inputs[1:]],
        "a type that there is not": [{**inputs[0], "dtype": "object"}, *inputs[1:]],
        "a width that the graph has not": [
            {**column, "width": 7} if column["name"] == "load" else column for column in inputs
        ],
        "a whole number that may be missing": [
            {**column, "nullable": column["dtype"] != "string"} for column in inputs
        ],
    }.items():
        yield f"bundle.json: {change}", _written_json("bundle.json", manifest | {"inputs": columns})
    yield (
        "bundle.json: an output of another width",
        _written_json("bundle.json", manifest | {"outputs": [{**manifest["outputs"][0], "width": 3}]}),
    )
    rows = golden["inputs"]
    answers = golden["outputs"][models.OUTPUT]
    for change, changed in {
        "no rows": {"inputs": {name: [] for name in rows}, "outputs": {models.OUTPUT: []}},
        "a row less in one column": {"inputs": rows | {"age": rows["age"][1:]}},
        "a column less": {"inputs": {name: values for name, values in rows.items() if name != "age"}},
        "text in a number": {"inputs": rows | {"age": ["six"] * len(answers)}},
        "a number of another answer": {"outputs": {models.OUTPUT: [*answers[:-1], answers[-1] + 0.01]}},
        "answers out of order": {"outputs": {models.OUTPUT: answers[::-1]}},
        "answers of NaN": {"outputs": {models.OUTPUT: [None] * len(answers)}},
        "tolerance below zero": {"absolute_tolerance": -1.0},
    }.items():
        yield f"golden.json: {change}", _written_json("golden.json", golden | changed)


def written(name: str, data: bytes) -> Change:
    """This file with these bytes."""
    return lambda folder: (folder / name).write_bytes(data)


def _written_json(name: str, document: object) -> Change:
    return written(name, json.dumps(document).encode())


def _sized(name: str, length: int) -> Change:
    return lambda folder: os.truncate(folder / name, length)


def _replaced(name: str, make: Callable[[Path], object]) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def _linked(name: str) -> Change:
    """The same bytes, elsewhere."""

    def change(folder: Path) -> None:
        target = folder.parent / f"{folder.name}-{name}"
        (folder / name).rename(target)
        (folder / name).symlink_to(target)

    return change


def _exchanged(first: str, second: str) -> Change:
    def change(folder: Path) -> None:
        data = (folder / first).read_bytes()
        (folder / first).write_bytes((folder / second).read_bytes())
        (folder / second).write_bytes(data)

    return change


def _no_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"x")
