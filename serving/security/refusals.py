"""Why a credential is not taken, in the words of RFC 6750. None of them holds a part of the credential."""

import math

from serving.exchange import Problem

CHALLENGE = b"www-authenticate"


def missing() -> Problem:
    """No credential came. As RFC 6750 asks, the challenge then names no error."""
    detail = "send `Authorization: Bearer <key or token>` or `X-Api-Key: <key>`"
    return Problem(401, "unauthorized", detail, headers=((CHALLENGE, b'Bearer realm="models"'),))


def invalid(reason: str) -> Problem:
    """A credential came and counts for nothing; `reason` is one of ours, never the client's text."""
    challenge = f'Bearer realm="models", error="invalid_token", error_description="{reason}"'
    detail = f"{reason}; send `Authorization: Bearer <key or token>` with a valid one"
    return Problem(401, "invalid_credential", detail, headers=((CHALLENGE, challenge.encode()),))


def forbidden(scope: str) -> Problem:
    """The credential is good for something else."""
    challenge = f'Bearer realm="models", error="insufficient_scope", scope="{scope}"'
    detail = f"this credential lacks the scope {scope}; ask for one that has it"
    return Problem(403, "forbidden", detail, headers=((CHALLENGE, challenge.encode()),))


def too_often(seconds: float) -> Problem:
    """The key has used up its rate."""
    detail = "this key asks more often than it may; wait as long as Retry-After says"
    return Problem(429, "too_many_requests", detail, headers=(_retry_after(seconds),))


def undecided(seconds: float) -> Problem:
    """The token may be good, but the key that would tell is not here yet."""
    detail = "the keys that verify this token are not to be had just now; ask again after Retry-After"
    return Problem(503, "keys_unavailable", detail, headers=(_retry_after(seconds),))


def _retry_after(seconds: float) -> tuple[bytes, bytes]:
    return b"retry-after", str(max(1, math.ceil(seconds))).encode()
