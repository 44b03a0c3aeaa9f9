"""Kubernetes quantities as numbers: a share of a limit cannot be asked for otherwise."""

import re
from typing import Final

from contracts.errors import InputError

FACTORS: Final = {
    "": 1,
    "m": 1e-3,
    **{letter: 1000**power for power, letter in enumerate("kMGT", start=1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGT", start=1)},
}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


def number(quantity: str, place: str) -> float:
    """Cores of "500m", bytes of "512Mi"; raises InputError, which names `place`, for what is none."""
    found = QUANTITY.fullmatch(quantity)
    if not found or not float(found[1]):
        raise InputError(f'{place}: {quantity!r} is no quantity; write it as Kubernetes does: "2", 500m, 512Mi')
    return float(found[1]) * FACTORS[found[2] or ""]
