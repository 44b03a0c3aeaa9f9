"""The guard: looks at the credential of a request, before anything else is done for it.

Where there are no keys and no issuer there is no guard, and everybody may ask.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import InputError
from serving.security.refusals import forbidden, invalid, missing

if TYPE_CHECKING:  # read when they are asked for: a server without a guard starts without them
    from serving.security.keys import Keys
    from serving.security.tokens import Tokens

Grant = tuple[frozenset[str], bool]  # scopes, and whether they last as long as the epoch does
DEFAULT_ALGORITHMS = "RS256,ES256,EdDSA"
JWT_FLAGS = ("--jwt-issuer", "--jwt-audience", "--jwt-jwks")


class Guard:
    """API keys, tokens, or both: `schemes` says which."""

    def __init__(self, keys: "Keys | None" = None, tokens: "Tokens | None" = None) -> None:
        self._keys, self._tokens = keys, tokens
        self.schemes = (*("api_key",) * (keys is not None), *("jwt",) * (tokens is not None))
        # Bound once, for the hot path.
        self._grant_of_key = keys.grant if keys is not None else _none
        self._recall = tokens.recall if tokens is not None else None

    @property
    def epoch(self) -> int:
        """Changes whenever other API keys are in force."""
        return self._keys.epoch if self._keys is not None else 0

    def check(self, headers: dict[bytes, bytes], scope: str) -> int:
        """Whether a request with these headers may do what `scope` names; "" is open to everybody.

        Gives the epoch in which the same credential may do the same again, unseen; -1 where it has to be looked at each
        time: a token expires, a rate is used up. Raises Problem: 401 no or no valid credential, 403 not for this, 429
        too often, 503 cannot be told just now. Takes microseconds and never waits. Where `X-Api-Key` is there,
        `Authorization` is not looked at.
        """
        epoch = self.epoch  # before the keys are looked at, which may change meanwhile
        if not scope:
            return epoch
        grant: Grant | None
        if (key := headers.get(b"x-api-key")) is not None:
            grant = self._grant_of_key(key)
            if grant is None:
                raise invalid("the key is not valid")
        elif (credential := headers.get(b"authorization")) is None:
            raise missing()
        elif self._recall is not None and (known := self._recall(credential)) is not None:
            grant = known, False
        else:
            key = credential.removeprefix(b"Bearer ")
            if len(key) == len(credential):
                key = _bearer(credential)
            grant = self._grant_of_key(key)
            if grant is None:
                grant = self._scopes_of_new_token(key, credential), False
        scopes, lasting = grant
        if scope not in scopes:
            raise forbidden(scope)
        return epoch if lasting else -1

    def _scopes_of_new_token(self, token: bytes, credential: bytes) -> frozenset[str]:
        if self._tokens is None or (self._keys is not None and token.count(b".") != 2):
            raise invalid("the key is not valid")
        return self._tokens.verify(token, credential)

    def close(self) -> None:
        """Read keys no more."""
        for source in (self._keys, self._tokens):
            if source is not None:
                source.close()


def _none(_: bytes) -> None:
    """Where there are no API keys, nothing is one."""


def _bearer(credential: bytes) -> bytes:
    """What follows the scheme, which may be written in any case; raises Problem 401 for any other scheme."""
    scheme, _, rest = credential.partition(b" ")
    if scheme.lower() != b"bearer":
        raise invalid("the scheme is not Bearer")
    return rest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that `from_options` reads."""
    group = parser.add_argument_group("who may ask (without any of these: everybody who reaches the port)")
    add = group.add_argument
    add("--api-keys", type=Path, metavar="FILE", help="hashes of API keys; read again when it changes")
    add("--jwt-issuer", metavar="URL", help="`iss` of the tokens that are taken")
    add("--jwt-audience", metavar="A", help="`aud` that they are for")
    add("--jwt-jwks", metavar="URL|FILE", help="the issuer's public keys (JSON Web Key Set)")
    add(
        "--jwt-algorithms",
        metavar="A,B",
        default=DEFAULT_ALGORITHMS,
        help="by which they may be signed (default %(default)s)",
    )


def from_options(options: argparse.Namespace) -> Guard | None:
    """The guard that the flags ask for, or None where they ask for none; raises InputError in one line."""
    issuer, audience, jwks = options.jwt_issuer, options.jwt_audience, options.jwt_jwks
    given = [value for value in (issuer, audience, jwks) if value is not None]
    if given and not all((issuer, audience, jwks)):
        raise InputError(f"{', '.join(JWT_FLAGS)}: belong together; give all of them, or none")
    if options.api_keys is None and not given:
        return None
    algorithms = frozenset(name.strip() for name in options.jwt_algorithms.split(",") if name.strip())
    if not algorithms:
        raise InputError(f"--jwt-algorithms: names none; give some of {DEFAULT_ALGORITHMS}")
    keys, tokens = None, None
    if options.api_keys is not None:
        from serving.security.keys import Keys

        keys = Keys(options.api_keys)
    if given:
        from serving.security.tokens import Tokens

        tokens = Tokens(issuer, audience, jwks, algorithms)
    return Guard(keys, tokens)
