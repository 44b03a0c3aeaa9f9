"""Names of people, teams, Apps and roles, and the numbers that GitHub has for them."""

from typing import Any

from msgspec import Struct

from contracts.errors import InputError
from release.github.rest import RefusedError, Rest
from release.github.settings import DOCUMENT, FOLDER, App

ROLES = {"maintain": 2, "write": 4, "admin": 5}  # GitHub's numbers for the roles of a repository
OF_ACTIONS = "github-actions"


class Known(Struct, frozen=True, kw_only=True):
    """An App as GitHub knows it; without permissions where only the file told its number."""

    id: int
    client_id: str = ""
    permissions: dict[str, str] | None = None
    installed: bool | None = None  # None: this token may not know
    suspended: bool = False
    everywhere: bool = False  # installed on all repositories of its owner


class Names:
    """Looks a name up once."""

    def __init__(self, rest: Rest, app: App) -> None:
        self._rest, self._app = rest, app
        self._found: dict[tuple[str, str], Any] = {}

    def app(self, slug: str) -> Known:
        """By its slug; raises InputError when GitHub shows no such App."""
        slug = slug.lower()
        if ("app", slug) not in self._found:
            self._found["app", slug] = self._ask_app(slug)
        known = self._found["app", slug]
        if known is None:
            raise InputError(
                f"{FOLDER / 'app.yml'}: slug: GitHub shows no App {slug!r} to this token; make it "
                f"({DOCUMENT}, step 1), or give its `id` and `client_id` there"
            )
        return known

    def id(self, kind: str, name: str) -> int:
        """The number of an app, team, user or role; raises InputError when there is none."""
        if kind == "app":
            return self.app(name).id
        if kind == "role":
            if name not in ROLES:
                raise InputError(f"{FOLDER / 'rulesets.yml'}: role: {name!r} is none of {', '.join(ROLES)}")
            return ROLES[name]
        path = f"/orgs/{self._rest.owner}/teams/{name}" if kind == "team" else f"/users/{name}"
        if (kind, name) not in self._found:
            self._found[kind, name] = self._rest.get(path)
        found = self._found[kind, name]
        if found is None:
            raise InputError(f"{FOLDER}: {kind} {name!r}: GitHub shows none of that name to this token")
        return int(found["id"])

    def _ask_app(self, slug: str) -> Known | None:
        own = slug == self._app.slug.lower()
        installation = self._installation(slug) if own else None
        public = self._rest.get(f"/apps/{slug}")
        declared = self._app if own and self._app.id else None
        if not (installation or public or declared):
            return None
        about = installation or public or {}
        # Of the installation: what the owner has agreed to, which may be less than what the App asks for by now.
        permissions = dict(about["permissions"]) if about else None
        return Known(
            id=declared.id if declared else (installation["app_id"] if installation else public["id"]),
            client_id=(declared.client_id if declared else "")
            or about.get("client_id")
            or (public or {}).get("client_id", ""),
            permissions=permissions,
            installed=None if installation is None else True,
            suspended=bool(installation and installation.get("suspended_at")),
            everywhere=bool(installation and installation.get("repository_selection") == "all"),
        )

    def _installation(self, slug: str) -> dict[str, Any] | None:
        """Shown to owners of the organisation only, and to nobody where the owner is a person."""
        try:
            listed = self._rest.pages(f"/orgs/{self._rest.owner}/installations", "installations")
        except RefusedError as error:
            if error.code in (403, 404):
                return None
            raise
        return next((each for each in listed if each["app_slug"] == slug), None)
