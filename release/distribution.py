"""The HTTP of a registry (OCI distribution specification 1.1): one repository of it, with tokens, retries and limits.

Whoever asks is told by the registry where a token comes from; REGISTRY_USER and REGISTRY_TOKEN are shown there, and
nowhere else. A redirect to a storage host, and an upload that goes to another host, take no credentials along.
"""

import base64
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus

from contracts.errors import InputError

USER, TOKEN = "REGISTRY_USER", "REGISTRY_TOKEN"
SECONDS = 60.0  # without a byte
ATTEMPTS = 4
FIRST_PAUSE = 0.5  # seconds; doubled each time, unless the registry names its own
LONGEST_PAUSE = 30.0
LARGEST_ANSWER = 4 * 1024 * 1024  # of anything that is no blob
PLAIN = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")  # hosts that are asked without TLS, as docker does
HOST = re.compile(r"(?:\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(?::\d+)?")
NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Answered(InputError):  # noqa: N818 - an answer, which happens to be a no
    """The registry's no, with its status."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes


@dataclass
class Repository:
    """A repository of a registry. `authorization` is what the last challenge led to."""

    address: str  # https://host
    name: str
    authorization: str = field(default="", repr=False)

    @classmethod
    def at(cls, place: str) -> "Repository":
        """`registry/name`, or with http:// or https:// before it; raises InputError for anything else."""
        scheme, found, rest = place.rpartition("://")
        host, _, name = rest.partition("/")
        if (found and scheme not in ("http", "https")) or not HOST.fullmatch(host) or not NAME.fullmatch(name):
            raise InputError(
                f"{place!r}: is no registry/name, as ghcr.io/owner/model; no tag and no digest belong to it"
            )
        return cls(f"{scheme or ('http' if PLAIN.fullmatch(host) else 'https')}://{host}", name)

    def __str__(self) -> str:
        return f"{self.address.partition('://')[2]}/{self.name}"

    def ask(
        self,
        method: str,
        place: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = LARGEST_ANSWER,
        fine: tuple[int, ...] = (HTTPStatus.OK,),
        again: bool = True,
    ) -> Answer:
        """One request below the repository, or at the full address that the registry gave; again, while that may help.

        Raises Answered for a status that is not `fine`, InputError when the registry cannot be reached.
        """
        url = urllib.parse.urljoin(f"{self.address}/v2/{self.name}/", place)
        challenged = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._once(method, url, data, headers or {}, limit)
            except (OSError, http.client.HTTPException) as error:
                if attempt == ATTEMPTS or not again:
                    raise InputError(
                        f"{self}: registry: {_reason(error)}; is it there, and the address right?"
                    ) from error
                _pause(attempt, "")
                continue
            if answer.status == HTTPStatus.UNAUTHORIZED and not challenged:
                challenged = True
                self.authorization = self._authorize(answer.headers.get("WWW-Authenticate", ""))
                answer = self._once(method, url, data, headers or {}, limit)
            if again and answer.status not in fine and attempt < ATTEMPTS and _temporary(answer.status):
                _pause(attempt, answer.headers.get("Retry-After", ""))
                continue
            break
        if answer.status in fine:
            return answer
        raise Answered(answer.status, f"{self}: {method} {_short(place)}: {answer.status} {_said(answer)}")

    def _once(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str], limit: int) -> Answer:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise InputError(f"{self}: registry: names {url[:200]!r} as an address")
        request = urllib.request.Request(url, data=data, headers=dict(headers), method=method)  # noqa: S310
        own = urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(self.address).netloc
        if self.authorization and own:
            request.add_unredirected_header("Authorization", self.authorization)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - http or https, see `at`
                return Answer(answer.status, answer.headers, self._body(answer, url, limit))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read(LARGEST_ANSWER))

    def _body(self, answer: http.client.HTTPResponse, url: str, limit: int) -> bytes:
        body = answer.read(limit + 1)
        if len(body) > limit:
            raise InputError(f"{self}: {_short(url)}: is longer than {limit} bytes, which its manifest does not say")
        return body

    def _authorize(self, challenge: str) -> str:
        """What the registry's challenge asks for: a bearer token, or user and password. Nothing without a challenge."""
        kind, _, rest = challenge.partition(" ")
        said = dict(CHALLENGE.findall(rest))
        known = _credentials()
        if kind.lower() == "basic":
            return f"Basic {known}" if known else ""
        realm = said.get("realm", "")
        if kind.lower() != "bearer" or not realm:
            return ""
        if not realm.startswith("https://") and not self.address.startswith("http://"):
            raise InputError(f"{self}: sends to {realm!r} for a token, without TLS; nothing was shown there")
        asked = {key: said[key] for key in ("service", "scope") if said.get(key)}
        separator = "&" if "?" in realm else "?"
        request = urllib.request.Request(f"{realm}{separator}{urllib.parse.urlencode(asked)}")  # noqa: S310
        if known:
            request.add_unredirected_header("Authorization", f"Basic {known}")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - checked above
                document = json.loads(answer.read(LARGEST_ANSWER))
            return f"Bearer {document.get('token') or document['access_token']}"
        except urllib.error.HTTPError as error:
            with error:
                raise Answered(error.code, f"{self}: token: {error.code} {error.reason}; {_way_in(known)}") from error
        except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{self}: token: {_reason(error)}; the registry named {realm}") from error


def _credentials() -> str:
    user, token = os.environ.get(USER, ""), os.environ.get(TOKEN, "")
    return base64.b64encode(f"{user or 'token'}:{token}".encode()).decode() if token else ""


def _temporary(status: int) -> bool:
    """Is it worth another try?"""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _pause(attempt: int, named: str) -> None:
    wanted = float(named) if named.isdecimal() else FIRST_PAUSE * 2.0 ** (attempt - 1)
    time.sleep(min(wanted, LONGEST_PAUSE))


def _said(answer: Answer) -> str:
    """The registry's own reason in one line, and what to do about it."""
    try:
        errors = json.loads(answer.body)["errors"]
        reason = "; ".join(f"{each.get('code', '')} {each.get('message', '')}".strip() for each in errors)[:300]
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = http.client.responses.get(answer.status, "")
    reason = " ".join(reason.split())
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"{reason}; {_way_in(_credentials())}"
    return reason


def _way_in(known: str) -> str:
    return f"may {USER} do this, and is {TOKEN} still good?" if known else f"{USER} and {TOKEN} say who asks"


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(f"{type(reason).__name__}: {reason}".split())[:300]


def _short(place: str) -> str:
    return urllib.parse.urlsplit(place).path[-120:]
