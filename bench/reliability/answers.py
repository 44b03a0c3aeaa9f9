"""Whether an answer is the model's, in either dialect."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.reliability import frames, questions, tensors
from bench.reliability.models import Oracle
from bench.reliability.tensors import Probe

NUMBERS = ("load", "signal")
LARGEST = 3.4028235677973366e38  # what rounds to infinity in float32
NOT_A_MEANING = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error)


def difference(probe: Probe, document: Mapping[str, Any], oracle: Oracle) -> str:
    """Why an answer to this probe is wrong, or ""."""
    try:
        rows = probe.rows
        if rows is None:
            rows = frames.meaning(probe.body) if probe.path == frames.PATH else tensors.meaning(probe)
        if rows is None:
            return "an answer to what is no request"
        if not all(
            abs(value) < LARGEST for name in NUMBERS for value in questions.flat(rows[name]) if value is not None
        ):
            return "an answer to a number that float32 cannot hold"
        expected = oracle(rows)
    except NOT_A_MEANING:
        return "an answer to values that are none"
    if "predictions" in document:
        found = document["predictions"]
    else:
        (output,) = document["outputs"]
        found = output["data"]
        if output["shape"] != [len(expected)]:
            return "another shape"
    if len(found) != len(expected):
        return "another number of rows"
    if not np.allclose(np.asarray(found, float), expected, atol=questions.TOLERANCE, rtol=questions.TOLERANCE):
        return "another prediction"
    return ""
