"""GitHub's REST API, asked by PyGithub's own requester: who asks, what may be tried again, and one line for each no.

Reading is tried again after whatever passes (a limit, an error of the server's, a cut connection). Writing is tried
again where the answer says that nothing was done (a limit), and after the rest where the caller says that a second
time does no harm.
"""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from contracts.errors import InputError
from release.git import Git

API = "https://api.github.com"
WEB = "https://github.com"
LOCAL = ("127.0.0.1", "localhost", "::1")
TRIES = 5
FIRST_WAIT = 0.5  # seconds, doubled each time
LONGEST_PAUSE = 8.0
LONGEST_WAIT = 60.0  # seconds; a limit that takes longer is told, and not waited for
SECONDS = 20  # until an answer has to begin
PAGE = 100
ADDRESS = re.compile(r"(?:[/@])github[^/:]*[/:](?P<name>[^/\s:]+/[^/\s]+?)(?:\.git)?/?$")
WAYS_OUT = {
    401: "the token is wrong or has ended; give another one as GITHUB_TOKEN",
    403: "the token may not; docs/github-setup.md says which rights it needs",
    404: "not there, or the token may not see it; docs/github-setup.md says which rights it needs",
}


class RefusedError(InputError):
    """GitHub said no, or nothing; `code` is the status of its answer, 429 for any limit, 0 for none."""

    def __init__(self, text: str, code: int, said: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.said = said  # GitHub's own words

    @property
    def hopeless(self) -> bool:
        """No other request would fare better now: the token, the connection, GitHub itself."""
        return self.code in (0, 401, 429) or self.code >= 500


class Requester(Protocol):
    """The part of PyGithub's requester that is used."""

    def requestJson(  # noqa: N802 - its name there
        self,
        verb: str,
        url: str,
        *,
        parameters: dict[str, Any] | None = None,
        input: Any | None = None,  # noqa: A002
    ) -> tuple[int, dict[str, Any], str]:
        """Status, headers in small letters, and the body's text."""
        ...


class Rest:
    """One repository on GitHub, and whoever's token asks. A path without a slash before it is the repository's own."""

    def __init__(
        self,
        requester: Requester,
        repository: str,
        wait: Callable[[float], object] = time.sleep,
        token: str = "",
        web: str = WEB,
    ) -> None:
        self.repository = repository
        self.token, self.web = token, web  # for git, which asks another door
        self.owner, _, self.name = repository.partition("/")
        self._requester, self._wait = requester, wait

    def get(self, path: str = "", **parameters: object) -> Any:
        """The answer; None where there is none (404)."""
        try:
            return self._ask("GET", path, parameters)
        except RefusedError as error:
            if error.code == 404:
                return None
            raise

    def there(self, path: str) -> bool:
        """Whether GitHub has it: a 2xx, or a 404."""
        try:
            self._ask("GET", path)
        except RefusedError as error:
            if error.code == 404:
                return False
            raise
        return True

    def pages(self, path: str, key: str = "", **parameters: object) -> list[Any]:
        """All of a list, page by page; `key` says where in each answer it lies, when that is not the answer itself."""
        found: list[Any] = []
        for page in range(1, 1000):
            headers, answer = self._answer("GET", path, {**parameters, "per_page": PAGE, "page": page})
            found += answer[key] if key else answer
            if 'rel="next"' not in headers.get("link", ""):  # a page that is not full may not be the last
                break
        return found

    def write(self, method: str, path: str, body: object = None, again: bool = False) -> Any:
        """POST, PUT, PATCH or DELETE; `again`: doing it twice does no harm. Raises RefusedError in one line."""
        return self._ask(method, path, body=body, again=again)

    def sleep(self, seconds: float) -> None:
        """Wait as this connection waits."""
        self._wait(seconds)

    def pause(self, tried: int) -> None:
        """Wait before asking once more for what is not there yet."""
        self._wait(min(FIRST_WAIT * 2.0 ** (tried - 1), LONGEST_PAUSE))

    def _ask(self, method: str, path: str, parameters: Mapping[str, object] | None = None, **more: Any) -> Any:
        return self._answer(method, path, parameters, **more)[1]

    def _answer(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        body: object = None,
        again: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        """Headers and body."""
        again = again or method == "GET"
        url = path if path.startswith("/") else f"/repos/{self.repository}{'/' if path else ''}{path}"
        said = f"GitHub: {method} {url}"
        for tried in range(1, TRIES + 1):
            last = tried == TRIES
            try:
                code, headers, text = self._requester.requestJson(
                    method, url, parameters=dict(parameters or {}), input=body
                )
            except OSError as error:  # so are all of the library's own
                if again and not last:
                    self.pause(tried)
                    continue
                raise RefusedError(f"{said}: no answer ({_reason(error)}); run it again", 0) from error
            if code < 300:
                return headers, json.loads(text) if text else None
            wait = _limit(code, headers, text)
            if wait is None and again and code >= 500 and not last:
                self.pause(tried)
                continue
            if wait is None or last or wait > LONGEST_WAIT:
                raise refused(said, code, text, wait, headers.get("x-accepted-github-permissions", ""))
            self._wait(wait)
        raise AssertionError("the last try ends above")


def connect(repository: str = "", environ: Mapping[str, str] | None = None, git: Git | None = None) -> Rest:
    """Connect to a repository: the one named, else GITHUB_REPOSITORY, else where `origin` points.

    The token is GITHUB_TOKEN (or GH_TOKEN), the address GITHUB_API_URL. Raises InputError when one is missing.
    """
    environ = os.environ if environ is None else environ
    token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN")
    if not token:
        raise InputError("GITHUB_TOKEN: is not set; for a person: export GITHUB_TOKEN=$(gh auth token)")
    repository = repository or environ.get("GITHUB_REPOSITORY", "") or (origin(git) if git else "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError("GITHUB_REPOSITORY: names no repository; set it to owner/name")
    address = (environ.get("GITHUB_API_URL") or API).rstrip("/")
    place = urlsplit(address)
    if place.scheme != "https" and place.hostname not in LOCAL:
        raise InputError(f"GITHUB_API_URL: {address}: a token goes over https only")
    web = environ.get("GITHUB_SERVER_URL") or (WEB if address == API else address.removesuffix("/api/v3"))
    from github import Auth, Github  # imported only by those who ask GitHub

    made = Github(
        base_url=address,
        auth=Auth.Token(token),
        timeout=SECONDS,
        retry=None,
        seconds_between_requests=0,
        seconds_between_writes=0,
    )
    return Rest(made.requester, repository, token=token, web=web.rstrip("/"))


def origin(git: Git) -> str:
    """owner/name of the remote `origin`, where that is on a GitHub; empty otherwise."""
    answer = git.run("remote", "get-url", "origin")
    found = ADDRESS.search(answer.output.decode(errors="replace").strip()) if answer.code == 0 else None
    return found["name"] if found else ""


def refused(said: str, code: int, text: str, wait: float | None = None, wanted: str = "") -> RefusedError:
    """The one line for an answer that is no: what was asked, GitHub's words, the way out."""
    words = " ".join(_words(text).split())[:300]
    limited = wait is not None and code in (403, 429)
    if limited:
        way_out = f"a limit; try again in {wait:.0f} s"
    else:
        way_out = WAYS_OUT.get(code, "GitHub has a problem; try again later" if code >= 500 else "")
    if code == 403 and wanted and not limited:
        way_out = f"the token lacks {wanted}; docs/github-setup.md says how it gets it"
    line = "; ".join(filter(None, (f"{said}: {code} {words}".strip(), way_out)))
    return RefusedError(line, 429 if limited else code, words)


def _words(text: str) -> str:
    """GitHub's message with what it says is wrong in detail."""
    try:
        answer = json.loads(text)
    except ValueError:
        return text
    if not isinstance(answer, dict):
        return text
    details = answer.get("errors")
    listed = details if isinstance(details, list) else [details] if details else []
    said = [
        each if isinstance(each, str) else str(each.get("message") or f"{each.get('field', '')} {each.get('code', '')}")
        for each in listed
        if isinstance(each, str | dict)
    ]
    return f"{answer.get('message', '')}{': ' if said else ''}{', '.join(said)}"


def _limit(code: int, headers: Mapping[str, Any], text: str) -> float | None:
    """Seconds that a limit asks to wait; None where the answer is something else."""
    if code not in (403, 429):
        return None
    if "retry-after" in headers:
        seconds = str(headers["retry-after"]).strip()
        return float(seconds) if seconds.isdecimal() else LONGEST_WAIT  # it may be a date
    if headers.get("x-ratelimit-remaining") == "0" and "x-ratelimit-reset" in headers:
        return max(0.0, float(headers["x-ratelimit-reset"]) - time.time())
    if code == 429 or "secondary rate limit" in text:
        return LONGEST_WAIT
    return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
