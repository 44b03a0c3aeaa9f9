"""Public keys of an issuer of tokens (a JSON Web Key Set, RFC 7517), from a URL or a file.

They are read in a thread beside the event loop: a server of keys that is slow, down or talks nonsense never delays a
request. The keys that were read last stay in force until others have been read.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from contracts.errors import InputError
from serving.security.background import Background
from serving.security.refusals import undecided

log = logging.getLogger(__name__)

# Algorithm -> the type and curve of the keys it is for. Asymmetric ones only: who can verify must not be able to sign.
ALGORITHMS = {
    **{f"{kind}{bits}": ("RSA", "") for kind in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
RSA_BITS = range(2048, 8193)  # less can be broken, more takes long to verify
REFRESH_SECONDS = {"url": 300.0, "file": 10.0}
MINIMUM_SECONDS = 10.0  # between two readings, however many unknown keys are asked for
TIMEOUT_SECONDS = 5.0  # for the server of keys to say anything
PATIENCE_SECONDS = 15.0  # for it to say all
MAXIMUM_BYTES = 256 * 1024
MAXIMUM_KEYS = 100
LOOPBACK = {"127.0.0.1", "::1", "localhost"}

PublicKeys = Mapping[tuple[str, str], Any]  # by id and algorithm: keys of `cryptography`


class Document(Struct):
    """What is read of a key set; other members are passed over, as RFC 7517 asks."""

    keys: list[msgspec.Raw]


class Jwk(Struct):
    """What is read of a key: public members only."""

    kty: str
    kid: str = ""
    use: str = "sig"
    key_ops: tuple[str, ...] = ("verify",)
    alg: str = ""
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class KeySet:
    """The issuer's public keys. `changed` is called by the thread that reads, when a key has gone or become another."""

    def __init__(self, source: str, algorithms: frozenset[str], changed: Callable[[], None] = lambda: None) -> None:
        """Read the keys; InputError for a source that is no file of keys and no acceptable URL.

        A server that does not answer is no reason not to start: others may ask with API keys meanwhile.
        """
        self._read = _reader(source)
        self._period = REFRESH_SECONDS["url" if "://" in source else "file"]
        self._algorithms, self._changed = algorithms, changed
        self._keys: PublicKeys = {}
        self._known: frozenset[str] = frozenset()  # ids
        self._failed = self._reading = False
        self._due = monotonic()  # when it may be read again
        if "://" not in source:
            self._take(parse(self._read(), algorithms))
        first = threading.Event()
        self._tried = first.set
        self._background = Background("jwks", self._step)
        first.wait(TIMEOUT_SECONDS)

    def find(self, kid: str, algorithm: str) -> Any | None:
        """The key of that id for that algorithm; None when there is none. Problem 503 when it may be there by now."""
        key = self._keys.get((kid, algorithm))
        if key is not None or kid in self._known:
            return key
        if not kid:  # then the only key for the algorithm is meant
            fit = [key for (_, name), key in self._keys.items() if name == algorithm]
            if len(fit) == 1:
                return fit[0]
        now = monotonic()
        if self._reading or now >= self._due:
            self._background.wake()
            raise undecided(1.0)
        if self._failed:
            raise undecided(self._due - now)
        return None

    def close(self) -> None:
        """Read no more."""
        self._background.close()

    def _step(self) -> float:
        if (wait := self._due - monotonic()) > 0:
            return wait
        self._reading = True
        try:
            self._take(parse(self._read(), self._algorithms))
        except (InputError, OSError, ValueError, RecursionError) as error:
            if not self._failed:
                reason = error if isinstance(error, InputError) else type(error).__name__
                log.warning("the %d public keys read before stay in force: %s", len(self._keys), reason)
            self._failed = True
        else:
            if self._failed:
                log.warning("public keys can be read again: %d", len(self._keys))
            self._failed = False
        finally:
            self._due = monotonic() + MINIMUM_SECONDS
            self._reading = False
            self._tried()
        return MINIMUM_SECONDS if self._failed else self._period

    def _take(self, keys: PublicKeys) -> None:
        before, self._keys = self._keys, keys
        self._known = frozenset(kid for kid, _ in keys)
        if any(keys.get(name) != key for name, key in before.items()):
            self._changed()


def parse(data: bytes, algorithms: frozenset[str]) -> PublicKeys:
    """The keys of a set that verify signatures by one of the algorithms; raises InputError where there is none.

    Keys for anything else, symmetric ones, weak ones and such as cannot be read are passed over.
    """
    try:
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("--jwt-jwks: is not a JSON Web Key Set; give one with the member `keys`") from error
    keys: dict[tuple[str, str], Any] = {}
    for raw in document.keys[:MAXIMUM_KEYS]:
        for kid, algorithm, key in _usable(raw, algorithms):
            keys.setdefault((kid, algorithm), key)
    if not keys:
        raise InputError(f"--jwt-jwks: holds no public key for {', '.join(sorted(algorithms))}; see docs/security.md")
    return keys


def _usable(raw: msgspec.Raw, algorithms: frozenset[str]) -> Iterator[tuple[str, str, Any]]:
    from jwt import PyJWK, PyJWTError

    try:
        jwk = msgspec.json.decode(raw, type=Jwk)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    if jwk.use != "sig" or "verify" not in jwk.key_ops:
        return
    public = {name: value for name in ("kty", "n", "e", "crv", "x", "y") if (value := getattr(jwk, name))}
    for algorithm in sorted(algorithms):
        kind, curve = ALGORITHMS[algorithm]
        if jwk.kty != kind or (curve and jwk.crv != curve) or jwk.alg not in ("", algorithm):
            continue
        try:
            key = PyJWK(public, algorithm).key
        except (PyJWTError, KeyError, ValueError, TypeError):
            continue
        if kind == "RSA" and key.key_size not in RSA_BITS:
            continue
        yield jwk.kid, algorithm, key


def _reader(source: str) -> Callable[[], bytes]:
    """What reads the source, whatever it is."""
    if "://" not in source:
        return lambda: _file(Path(source))
    try:
        url = urlsplit(source)
        safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
    except ValueError:
        safe = False
    if not safe or not url.hostname or "@" in url.netloc:
        raise InputError(
            "--jwt-jwks: must be a file or an https URL without a password; who could change what comes "
            "over http could let anybody in"
        )
    return lambda: _url(source)


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            data = opened.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InputError(f"--jwt-jwks: {path}: cannot be read: {error.strerror}; name a JSON Web Key Set") from error
    return _bounded(data)


def _url(url: str) -> bytes:
    """One GET; redirects are not followed, since they could lead to where anybody answers."""
    from http.client import HTTPException  # it and urllib bring ssl along: only for those who have a URL
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    request = Request(url, headers={"Accept": "application/json", "User-Agent": "slipway"})  # noqa: S310  checked
    # What is on this machine is not asked for through a proxy.
    handlers = (Stay(), ProxyHandler({})) if url.startswith("http:") else (Stay(),)
    until = monotonic() + PATIENCE_SECONDS
    data = b""
    try:
        with build_opener(*handlers).open(request, timeout=TIMEOUT_SECONDS) as answer:
            while (part := answer.read1(64 * 1024)) and len(data) <= MAXIMUM_BYTES:
                data += part
                if monotonic() > until:
                    raise TimeoutError
    except HTTPException as error:
        raise InputError("--jwt-jwks: is answered by what is not HTTP; give the URL of a key set") from error
    return _bounded(data)


def _bounded(data: bytes) -> bytes:
    if len(data) > MAXIMUM_BYTES:
        raise InputError(f"--jwt-jwks: is larger than {MAXIMUM_BYTES} bytes; a set of public keys is small")
    return data
