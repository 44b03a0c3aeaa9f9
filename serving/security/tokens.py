"""Tokens (JWT, RFC 7519) of one issuer: verified once, remembered until they expire.

PyJWT verifies; what it leaves to its caller is decided here, by RFC 8725: the algorithm has to be an allowed one *and*
fit the key that the token names, issuer, audience and expiry have to be there, and a token of a type that is made for
something else is not taken.
"""

from time import time
from typing import Any

from contracts.errors import InputError
from serving.exchange import Problem
from serving.security.jwks import ALGORITHMS, KeySet
from serving.security.refusals import invalid

LEEWAY_SECONDS = 10  # by which clocks may differ
MAXIMUM_BYTES = 8192
REMEMBERED = 4096  # tokens in each half of the memory
FAR = 2**40  # an expiry that no clock will see
TYPES = {"jwt", "at+jwt", "application/at+jwt"}

Known = tuple[float, frozenset[str], object]  # until when, for what, by which keys


class Tokens:
    """Who has a token is told by `recall` where it was seen before, else by `verify`."""

    def __init__(self, issuer: str, audience: str, jwks: str, algorithms: frozenset[str]) -> None:
        """Raises InputError for algorithms that are not known and for keys that cannot be read."""
        if unknown := sorted(algorithms - ALGORITHMS.keys()):
            raise InputError(
                f"--jwt-algorithms: {unknown[0]}: is not taken; there is {', '.join(ALGORITHMS)} "
                "(with a symmetric one, whoever can read this server's files could make tokens)"
            )
        try:
            import jwt
        except ImportError as error:
            raise InputError("--jwt-issuer: needs pyjwt and cryptography; install requirements/serve.txt") from error
        self._issuer, self._audience, self._algorithms = issuer, audience, algorithms
        self._jwt = jwt
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._generation = object()  # of keys: what an earlier one verified counts no more
        self._key_set = KeySet(jwks, algorithms, self.forget)

    def recall(self, credential: bytes) -> frozenset[str] | None:
        """The scopes of a token that was verified before and has not expired, by its whole header value."""
        known = self._young.get(credential)
        if known is None:
            known = self._old.get(credential)
            if known is None:
                return None
            self._remember(credential, known)
        return known[1] if known[2] is self._generation and time() < known[0] else None

    def verify(self, token: bytes, credential: bytes) -> frozenset[str]:
        """The scopes of a token; raises Problem 401 when it is not valid, 503 when that cannot be told just now."""
        generation = self._generation  # first: should the key go meanwhile, what it verified counts no more
        header = self._header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise invalid("the token is signed by an algorithm that is not taken")
        key = self._key_set.find(header.get("kid", ""), algorithm)
        if key is None:
            raise invalid("the token is signed by a key that is not known")
        claims = self._claims(token, key, algorithm)
        until, scopes = min(int(claims["exp"]), FAR) + LEEWAY_SECONDS, _scopes(claims)
        self._remember(credential, (until, scopes, generation))
        return scopes

    def forget(self) -> None:
        """Verify every token anew: a key that stood behind some of them is gone."""
        self._generation = object()

    def close(self) -> None:
        """Read the issuer's keys no more."""
        self._key_set.close()

    def _header(self, token: bytes) -> dict[str, Any]:
        if len(token) > MAXIMUM_BYTES or b"=" in token:
            raise invalid("the token is not one")
        try:
            header = self._jwt.get_unverified_header(token)
        except self._jwt.PyJWTError:
            raise invalid("the token is not one") from None
        if "crit" in header or "b64" in header:
            raise invalid("the token asks for an extension that is not known")
        if "typ" in header and str(header["typ"]).lower() not in TYPES:
            raise invalid("the token is made for another purpose")
        return header

    def _claims(self, token: bytes, key: Any, algorithm: str) -> dict[str, Any]:
        jwt = self._jwt
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"], "verify_sub": False, "verify_jti": False},
            )
        except jwt.PyJWTError as error:
            raise _refusal(jwt, error) from None

    def _remember(self, credential: bytes, known: Known) -> None:
        """What was asked for lately is in one half or the other; when the young one is full, the old one is let go."""
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, {}
        self._young[credential] = known


def _refusal(jwt: Any, error: Exception) -> Problem:
    reasons = {
        jwt.ExpiredSignatureError: "the token has expired",
        jwt.ImmatureSignatureError: "the token is not valid yet",
        jwt.InvalidAudienceError: "the token is for another audience",
        jwt.InvalidIssuerError: "the token is from another issuer",
        jwt.InvalidSignatureError: "the token's signature is wrong",
        jwt.MissingRequiredClaimError: "the token lacks exp, iss or aud",
    }
    return invalid(reasons.get(type(error), "the token cannot be verified"))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """`scope` (RFC 8693: words in a string), or `scp` (a string or a list), as issuers write it."""
    found = claims.get("scope", claims.get("scp", ""))
    if isinstance(found, str):
        found = found.split()
    return frozenset(scope for scope in found if isinstance(scope, str)) if isinstance(found, list) else frozenset()
