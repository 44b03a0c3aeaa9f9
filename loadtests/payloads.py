"""What a server is asked: rows drawn as the bundle's profile says they come, and the golden rows with their answers.

`python -m loadtests.payloads DIR` prints a request for the bundle in DIR.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from contracts.bundle import Bundle, CategoricalProfile, Input, NumericProfile, load
from contracts.errors import InputError

DATATYPE = {"string": "BYTES", "bool": "BOOL", "int64": "INT64", "float32": "FP32"}
DRAWN = 200  # different requests; more would only take memory
UNSEEN = "a category that training never saw"


class Payload(Struct, frozen=True):
    """The body of one request, and for golden rows the outputs that must come back."""

    body: bytes
    expected: dict[str, list] | None = None


class Payloads(Struct, frozen=True):
    """Requests to choose from."""

    drawn: tuple[Payload, ...]
    golden: Payload

    def choose(self, random: Random) -> Payload:
        """One of them: every tenth is the golden one."""
        return self.golden if random.random() < 0.1 else random.choice(self.drawn)


def payloads(bundle: Bundle, rows: int, seed: int) -> Payloads:
    """Requests of `rows` rows each, the same for the same bundle and seed."""
    random = Random(seed)
    drawn = tuple(Payload(_body(bundle, _columns(bundle, rows, random))) for _ in range(DRAWN))
    return Payloads(drawn, Payload(_body(bundle, bundle.golden.inputs), bundle.golden.outputs))


def wrong(bundle: Bundle, expected: dict[str, list], answer: bytes) -> str:
    """Why an answer is not the expected one within the bundle's tolerance; empty when it is."""
    try:
        outputs = {output["name"]: output["data"] for output in msgspec.json.decode(answer)["outputs"]}
    except (msgspec.DecodeError, KeyError, TypeError):
        return "the answer is not an inference response"
    for name, values in expected.items():
        flat = _flat(values)
        got = outputs.get(name)
        if not isinstance(got, list) or len(got) != len(flat):
            return f"{name} has not as many values as the golden rows"
        for value, reference in zip(got, flat, strict=True):
            tolerance = bundle.golden.absolute_tolerance + bundle.golden.relative_tolerance * abs(reference)
            if not isinstance(value, int | float) or not abs(value - reference) <= tolerance:
                return f"{name} differs from the golden rows by more than the tolerance"
    return ""


def _body(bundle: Bundle, columns: dict[str, Any]) -> bytes:
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPE[column.dtype],
            "shape": [len(columns[column.name])],
            "data": columns[column.name],
        }
        for column in bundle.manifest.inputs
    ]
    return msgspec.json.encode({"inputs": inputs})


def _columns(bundle: Bundle, rows: int, random: Random) -> dict[str, list]:
    profiles = bundle.profile.inputs
    return {
        column.name: [_value(column, profiles.get(column.name), random) for _ in range(rows)]
        for column in bundle.manifest.inputs
    }


def _value(column: Input, profile: NumericProfile | CategoricalProfile | None, random: Random) -> object:
    if isinstance(profile, CategoricalProfile):
        return _category(column, profile, random)
    if isinstance(profile, NumericProfile):
        return _number(column, profile, random)
    if column.dtype == "string":
        return random.choice(column.categories or (UNSEEN,))
    low, high = column.minimum or 0.0, column.maximum or 1.0
    return _cast(column, low + (high - low) * random.random())


def _category(column: Input, profile: CategoricalProfile, random: Random) -> object:
    weights: dict[str | None, int] = dict(profile.counts.items())
    if column.dtype == "string":
        weights[UNSEEN] = profile.other
    if column.nullable:
        weights[None] = profile.missing
    name = random.choices(list(weights), list(weights.values()) if any(weights.values()) else None)[0]
    if column.dtype == "string" or name is None:
        return name
    return name.lower() == "true" if column.dtype == "bool" else _cast(column, float(name))


def _number(column: Input, profile: NumericProfile, random: Random) -> object:
    """A value from one of the bins, evenly between its edges."""
    weights = [*profile.counts, profile.missing if column.nullable else 0]
    place = random.choices(range(len(weights)), weights if any(weights) else None)[0]
    if place == len(profile.counts):
        return None
    edges = profile.edges or [0.0]
    lowest = column.minimum if profile.minimum is None else profile.minimum
    highest = column.maximum if profile.maximum is None else profile.maximum
    bounds = [edges[0] if lowest is None else lowest, *profile.edges, edges[-1] if highest is None else highest]
    low, high = bounds[place], bounds[place + 1]
    return _cast(column, low + (high - low) * random.random())


def _cast(column: Input, number: float) -> object:
    if column.dtype == "bool":
        return number >= 0.5
    return math.floor(number) if column.dtype == "int64" else number


def _flat(values: Sequence) -> list[float]:
    return [value for row in values for value in (row if isinstance(row, list) else [row])]


def main(line: Sequence[str]) -> int:
    """Print a request with the golden rows of the bundle whose folder is the only argument."""
    try:
        if len(line) != 1:
            raise InputError("arguments: name the folder of a bundle, and nothing else")
        print(payloads(load(Path(line[0])), rows=1, seed=1).golden.body.decode())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
