"""Values that are nowhere else in the world, and the ways in which a server could give them away."""

import base64
import hashlib
import json
import random
import urllib.parse
from collections.abc import Iterator, Mapping

_random = random.Random()
_mark = "".join(_random.choices("bcdfghjkmnpqrstvwxz", k=10))  # no hexadecimal digits, so that no id holds it by chance

EMAIL = f"jane.{_mark}@leak.example"
CARD = "4" + "".join(_random.choices("123456789", k=15))
STRANGER = f"slipway_{_mark.upper()}{_random.getrandbits(160):040x}"  # an API key that nobody has
NUMBER = _random.randrange(10**8, 10**9) + 0.5  # a feature that is a number; FP32 rounds it
WHOLE = _random.randrange(10**14, 10**15)


def spellings(canary: str) -> set[str]:
    """How it may turn up: as it is, escaped for JSON, URLs and Python, in base64, cut short, hashed."""
    plain = {canary, canary[:12], canary[-12:], urllib.parse.quote(canary, safe=""), json.dumps(canary)[1:-1]}
    inner = {base64.b64encode(canary.encode()[shift:])[2:-4].decode() for shift in range(3)}
    return plain | {canary.encode().hex(), hashlib.sha256(canary.encode()).hexdigest()} | inner


def found(texts: Mapping[str, bytes], canaries: Mapping[str, str]) -> Iterator[str]:
    """Where one of the canaries is, and which."""
    for place, text in texts.items():
        lower = text.lower()
        for name, canary in canaries.items():
            if any(spelling.lower().encode() in lower for spelling in spellings(canary)):
                yield f"{place}: {name}"
