"""API keys: a file of hashes, read again while the server runs, and a command that makes a key.

    python -m serving.security.keys new --id gateway-2027 --scope predict

Keys are random and long, so a plain SHA-256 is all it takes to keep them: nothing can be guessed from it. Several keys
are valid at once, so that one is replaced by adding the new one, moving clients over, and taking the old one out.
"""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from contracts.errors import InputError
from serving.security.background import Background
from serving.security.refusals import too_often

log = logging.getLogger(__name__)

SCOPES = ("predict", "metadata")
PREFIX = "slipway_"  # lets scanners for secrets find a key that went astray
POLL_SECONDS = 0.5
MAXIMUM_BYTES = 1024 * 1024
NAMED_BY = 8  # bytes of a hash under which its key is found; then the whole hash is compared
MAXIMUM_RATE = 1e6
EMPTY = sha256(b"").hexdigest()

Scope = Literal["predict", "metadata"]


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]  # for people, and for what it has used of its rate
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    not_after: date | None = None  # the last day, in UTC
    requests_per_second: Annotated[float, Meta(gt=0, le=MAXIMUM_RATE)] | None = None


class KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    format: Literal[1]
    keys: tuple[Key, ...]


class Bucket:
    """A rate: what was not asked for in the last second may be asked for at once."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._most = self._left = max(1.0, rate)
        self._at = monotonic()

    def take(self) -> None:
        """Use one request of the rate; raises Problem 429 when there is none left."""
        now = monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1.0:
            raise too_often((1.0 - self._left) / self.rate)
        self._left -= 1.0


# A key that is valid, as the server looks it up: its hash, what it is good for, its rate.
Holder = tuple[bytes, frozenset[str], Bucket | None]
NOBODY: Holder = (bytes(32), frozenset(), None)


class Keys:
    """The keys of a file. It is looked at twice a second, and read when it has changed and then stayed the same once.

    A file that has become unreadable changes nothing but for one line in the log.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; raises InputError when it is not as it should be."""
        self._path = path
        self.epoch = 0  # counts what was put in force
        self._buckets: dict[str, Bucket] = {}
        self._read = self._seen = _stamp(path)
        self._file = load(path)
        self._holders: dict[bytes, Holder] = {}
        self._admit(_today())
        self._background = Background("api-keys", self._step)

    def grant(self, credential: bytes) -> tuple[frozenset[str], bool] | None:
        """What a key is good for, None when it is none; raises Problem 429 when it has used up its rate.

        Also says whether this needs no further look until `epoch` is another one: a key with a rate is counted.

        Takes the same time whatever is wrong with a key: its hash is what is looked up, and compared in constant time.
        """
        digest = sha256(credential).digest()
        known, scopes, bucket = self._holders.get(digest[:NAMED_BY], NOBODY)
        if not compare_digest(known, digest):
            return None
        if bucket is not None:
            bucket.take()
        return scopes, bucket is None

    def close(self) -> None:
        """Look at the file no more."""
        self._background.close()

    def _step(self) -> float:
        stamp, before = _stamp(self._path), self._seen
        self._seen = stamp
        # Seen twice: a file that is just being written would be taken for one with fewer keys.
        if stamp == before and stamp != self._read:
            self._read = stamp
            try:
                self._file = load(self._path)
            except InputError as error:
                log.warning("the API keys read before stay in force: %s", error)
            else:
                self._admit(_today())
                log.warning("API keys were read again: %d", len(self._file.keys))
        elif (today := _today()) != self._day:
            self._admit(today)
        return POLL_SECONDS

    def _admit(self, today: date) -> None:
        """Put the keys that are valid today in force, all at once."""
        valid = [key for key in self._file.keys if key.not_after is None or today <= key.not_after]
        self._buckets = {key.id: self._bucket(key) for key in valid if key.requests_per_second}
        digests = {bytes.fromhex(key.sha256): key for key in valid}
        self._holders = {
            digest[:NAMED_BY]: (digest, frozenset(key.scopes), self._buckets.get(key.id))
            for digest, key in digests.items()
        }
        self._day = today
        self.epoch += 1

    def _bucket(self, key: Key) -> Bucket:
        """What the key had used of its rate stays used, unless the rate is another one now."""
        assert key.requests_per_second
        bucket = self._buckets.get(key.id)
        return bucket if bucket and bucket.rate == key.requests_per_second else Bucket(key.requests_per_second)


def load(path: Path) -> KeyFile:
    """Read a file of keys, YAML or JSON; raises InputError, which repeats no value of the file."""
    try:
        with path.open("rb") as opened:
            data = opened.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; name a file of API keys, see docs/security.md"
        ) from error
    if len(data) > MAXIMUM_BYTES:
        raise InputError(f"{path}: is larger than {MAXIMUM_BYTES} bytes; name a file of API keys, see docs/security.md")
    try:
        file = _decode(data, path.suffix == ".json")
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        if reason.startswith("Invalid enum value"):  # msgspec would repeat it
            reason = "is none of the values it may have"
        raise InputError(f"{path}: {place.rstrip('`') or 'document'}: {reason}; see docs/security.md") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is neither YAML nor JSON; see docs/security.md") from error
    _check(path, file)
    return file


def _decode(data: bytes, is_json: bool) -> KeyFile:
    if is_json:
        return msgspec.json.decode(data, type=KeyFile)
    import yaml  # not for those who have no file

    try:
        return msgspec.convert(yaml.safe_load(data), type=KeyFile)  # not by libyaml, which deep nesting crashes
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise
        raise msgspec.DecodeError from error


def _check(path: Path, file: KeyFile) -> None:
    ids, starts = [key.id for key in file.keys], [key.sha256[: 2 * NAMED_BY] for key in file.keys]
    for number, key in enumerate(file.keys):
        if ids.index(key.id) != number:
            raise InputError(f"{path}: keys[{number}].id: is there twice; every key has an id of its own")
        if starts.index(starts[number]) != number:
            raise InputError(f"{path}: keys[{number}].sha256: is there twice; make a key with `new` for each")
        if key.sha256 == EMPTY:
            raise InputError(f"{path}: keys[{number}].sha256: is that of an empty key; make one with `new`")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does. Links are followed: Kubernetes swaps one to change a mounted secret."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _today() -> date:
    return datetime.now(UTC).date()


def main(line: Sequence[str] | None = None) -> int:
    """Make a key: it is printed once, and with it the line for the file, which holds only its hash."""
    import secrets  # the server makes none

    parser = argparse.ArgumentParser(prog="python -m serving.security.keys", description="API keys of the server.")
    new = parser.add_subparsers(required=True).add_parser("new", help="make a key")
    new.add_argument("--id", type=_id, required=True, help="name of the key, for people: who has it, since when")
    new.add_argument("--scope", action="append", choices=SCOPES, help="what it is for (default: all of them)")
    new.add_argument("--not-after", type=date.fromisoformat, help="last day on which it is valid, YYYY-MM-DD in UTC")
    new.add_argument("--requests-per-second", type=_rate, help="rate of each worker that this key may use")
    options = parser.parse_args(line)
    key = PREFIX + secrets.token_urlsafe(32)
    fields = [
        f'id: "{options.id}"',
        f'sha256: "{sha256(key.encode()).hexdigest()}"',
        f"scopes: [{', '.join(dict.fromkeys(options.scope or SCOPES))}]",
    ]
    if options.not_after:
        fields.append(f"not_after: {options.not_after}")
    if options.requests_per_second is not None:
        # Without an exponent, of which YAML makes text.
        fields.append(f"requests_per_second: {Decimal(repr(options.requests_per_second)):f}")
    print(f"key, shown only now: {key}")
    print(f"line for the file:   - {{{', '.join(fields)}}}")
    return 0


def _id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise argparse.ArgumentTypeError("takes 1 to 64 characters of A-Z a-z 0-9 . _ -")
    return text


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= MAXIMUM_RATE:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {MAXIMUM_RATE:g}")
    return rate


if __name__ == "__main__":
    sys.exit(main())
