"""What the guard costs: `python -m tests.serving.security.cost` prints the table of docs/security.md.

Best of several runs; a credential's bytes are new each time, as a request's are, so that their hash is not known yet.
"""

import hashlib
import json
import tempfile
import timeit
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import jwt

from serving.exchange import Problem
from serving.security.guard import Guard
from serving.security.keys import Keys
from serving.security.tokens import Tokens
from tests.serving.security.issuer import AUDIENCE, ISSUER, claims, jwk, jwks, private, token

KEY, LIMITED = b"slipway_" + b"k" * 43, b"slipway_" + b"l" * 43
SIGNED_BY = {"RS256": "one", "ES256": "curve", "EdDSA": "edwards"}


def microseconds(call: Callable[[], object], number: int = 50_000) -> float:
    """The cost of one call."""
    return min(timeit.repeat(call, number=number, repeat=9)) / number * 1e6


def check(guard: Guard, name: bytes, value: bytes) -> float:
    """The cost of a check that passes, without that of making the header's bytes."""
    headers, copy = {b"host": b"a", b"content-type": b"application/json"}, bytearray(value)

    def make() -> None:
        headers[name] = bytes(copy)

    def made_and_checked() -> None:
        headers[name] = bytes(copy)
        guard.check(headers, "predict")

    return microseconds(made_and_checked) - microseconds(make)


def refusal(guard: Guard, credential: bytes) -> float:
    """The cost of a check that does not pass."""
    headers = {b"authorization": b"Bearer " + credential}

    def refused() -> None:
        with suppress(Problem):
            guard.check(headers, "predict")

    return microseconds(refused, 500)


def rows(folder: Path) -> dict[str, float]:
    """What is measured."""
    lines = [
        {"id": f"key-{n}", "sha256": hashlib.sha256(b"%d" % n).hexdigest(), "scopes": ["predict"]} for n in range(20)
    ]
    lines.append({"id": "key", "sha256": hashlib.sha256(KEY).hexdigest(), "scopes": ["predict"]})
    lines.append(
        {**lines[-1], "id": "limited", "sha256": hashlib.sha256(LIMITED).hexdigest(), "requests_per_second": 1e6}
    )
    (folder / "keys.json").write_text(json.dumps({"format": 1, "keys": lines}))
    (folder / "jwks.json").write_bytes(jwks(*(jwk(kid, algorithm) for algorithm, kid in SIGNED_BY.items())))
    keys = Keys(folder / "keys.json")
    tokens = Tokens(ISSUER, AUDIENCE, str(folder / "jwks.json"), frozenset(SIGNED_BY))
    by_key, by_token, by_both = Guard(keys), Guard(tokens=tokens), Guard(keys, tokens)
    good = {algorithm: token(kid, algorithm) for algorithm, kid in SIGNED_BY.items()}
    forged = jwt.encode(claims(), private("stranger"), "RS256", headers={"kid": "one"}).encode()
    for each in good.values():
        by_token.check({b"authorization": b"Bearer " + each}, "predict")
    return {
        "open endpoint": microseconds(lambda: by_both.check({}, "")) - microseconds(lambda: None),
        "SHA-256 of a key, alone": microseconds(lambda: hashlib.sha256(KEY).digest()) - microseconds(lambda: None),
        "API key in X-Api-Key": check(by_key, b"x-api-key", KEY),
        "API key in Authorization": check(by_key, b"authorization", b"Bearer " + KEY),
        "API key where tokens are taken too": check(by_both, b"authorization", b"Bearer " + KEY),
        "API key with a rate": check(by_key, b"x-api-key", LIMITED),
        "token seen before, RS256": check(by_token, b"authorization", b"Bearer " + good["RS256"]),
        "token seen before, EdDSA": check(by_token, b"authorization", b"Bearer " + good["EdDSA"]),
        **{f"token verified, {name}": microseconds(lambda t=t: tokens.verify(t, b""), 500) for name, t in good.items()},
        "refused: wrong key": refusal(by_key, b"slipway_guess"),
        "refused: unknown kid": refusal(by_token, token("stranger")),
        "refused: wrong signature": refusal(by_token, forged),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("| | µs |\n|---|---|")
        for name, cost in rows(Path(folder)).items():
            print(f"| {name} | {cost:.2f} |" if cost < 10 else f"| {name} | {cost:.0f} |")
