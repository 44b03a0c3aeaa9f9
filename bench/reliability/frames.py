"""Data frames at random for `/invocations`, the dialect of MLflow: sound ones, and ones with something wrong."""

import json
import random
from collections.abc import Mapping
from typing import Any

from bench.reliability import questions, tensors
from bench.reliability.models import DATATYPES
from bench.reliability.tensors import Probe

PATH = "/invocations"
JSON = "content-type: application/json\r\n"
NAN = float("nan")  # as pandas writes a missing number


def sound(draw: random.Random) -> Probe:
    """Rows in one of the forms of a data frame."""
    rows = questions.rows(draw, draw.choice((0, 1, 1, 2, 5)))
    told = rows if draw.random() < 0.7 else rows | {"load": [NAN if value is None else value for value in rows["load"]]}
    return Probe(tensors.spelled(draw, framed(draw, told)), JSON, True, rows, PATH)


def framed(draw: random.Random, rows: Mapping[str, list]) -> dict[str, Any]:
    """The document of a data frame."""
    names = draw.sample(list(rows), len(rows))
    count = len(rows["age"])
    match draw.randrange(3):
        case 0:
            data = [[rows[name][row] for name in names] for row in range(count)]
            return {"dataframe_split": {"columns": names, "index": list(range(count)), "data": data}}
        case 1:
            return {"dataframe_records": [{name: rows[name][row] for name in names} for row in range(count)]}
    return {"inputs": {name: rows[name] for name in names}, "params": {"anything": 1}}


def broken(draw: random.Random) -> Probe:
    """A data frame with changes in it, or called something that it is not."""
    document = json.loads(sound(draw).body)
    for _ in range(draw.randint(1, 3)):
        document = tensors.changed(draw, document)
    body = json.dumps(document, allow_nan=True).encode()
    if draw.random() < 0.3:
        body = tensors.scratched(draw, body)
    kinds = ("application/json", "application/json", "text/csv", "application/json; charset=latin-1", "image/png", "")
    return Probe(body, f"content-type: {draw.choice(kinds)}\r\n", False, None, PATH)


def meaning(body: bytes) -> Mapping[str, list] | None:
    """The rows that a body means, None when it means none; raises ValueError and its like for most that mean none."""
    text = body.decode(errors="replace")
    document = json.loads(text, parse_constant=lambda name: None if name == "NaN" else float(name))
    given = [name for name in ("dataframe_split", "dataframe_records", "inputs", "instances") if name in document]
    if len(given) != 1:
        return None
    frame = document[given[0]]
    if given == ["dataframe_split"]:
        rows = {name: [row[at] for row in frame["data"]] for at, name in enumerate(frame["columns"])}
    elif isinstance(frame, dict):
        rows = frame
    else:
        rows = {name: [record[name] for record in frame] for name in DATATYPES}
        if any(record.keys() != DATATYPES.keys() for record in frame):
            return None
    same = len({len(values) for values in rows.values()}) == 1
    return rows if rows.keys() == DATATYPES.keys() and same else None
