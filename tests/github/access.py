"""Who asks: tokens, what they may, and the App whose installation gives them."""

import datetime as dt
import secrets

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github import shapes
from tests.github.cut import REPOSITORY
from tests.github.description import Call, Operation
from tests.github.hub import APP, Answer, Hub, RefusedError, Token, answers

INSTALLATION, CLIENT, SLUG = 77, "Iv23stand1n", "release-app"
# What an operation needs, by the beginning of its path below the repository; the first that fits.
NEEDS = (
    ("/actions/permissions", "administration"),
    ("/actions/secrets", "secrets"),
    ("/actions/variables", "actions_variables"),
    ("/actions/", "actions"),
    ("/attestations", "attestations"),
    ("/automated-security-fixes", "administration"),
    ("/branches/{branch}/protection", "administration"),
    ("/check-runs", "checks"),
    ("/commits/{commit_sha}/pulls", "pull_requests"),
    ("/commits/{ref}/check-runs", "checks"),
    ("/commits/{ref}/status", "statuses"),
    ("/deployments", "deployments"),
    ("/environments/{environment_name}/secrets", "environments"),
    ("/environments/{environment_name}/variables", "environments"),
    ("/environments", "administration"),
    ("/issues", "pull_requests"),
    ("/labels", "issues"),
    ("/pulls/{pull_number}/merge", "contents"),
    ("/pulls", "pull_requests"),
    ("/rulesets", "administration"),
    ("/rules", "metadata"),
    ("/statuses", "statuses"),
    ("/vulnerability-alerts", "administration"),
    ("/installation", "metadata"),
    ("", "contents"),
)
ROOT = {"GET": "metadata", "PATCH": "administration"}


def who(hub: Hub, header: str, operation: Operation) -> Token:
    """The token behind an Authorization header; raises RefusedError (401, 403)."""
    kind, _, value = header.partition(" ")
    if kind.lower() not in ("bearer", "token") or not value:
        raise RefusedError(401, "Requires authentication")
    if operation.path in ("/app/installations/{installation_id}/access_tokens", f"{REPOSITORY}/installation"):
        return app(hub, value)
    token = hub.tokens.get(value)
    if token is None:
        raise RefusedError(401, "Bad credentials")
    if operation.path.startswith(REPOSITORY):
        path = operation.path.removeprefix(REPOSITORY)
        write = operation.method != "GET"
        needed = next(name for start, name in NEEDS if path.startswith(start)) if path else ROOT[operation.method]
        if operation.name == f"GET {REPOSITORY}/environments" or needed == "metadata":
            return token  # every token may read these
        if not token.allows(needed, write):
            raise RefusedError(403, "Resource not accessible by integration")
    return token


def private_key(hub: Hub) -> str:
    """The App's private key, as PEM: what a workflow's secret holds."""
    if "key" not in hub.more:
        hub.more["key"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = hub.more["key"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return str(pem.decode())


def app(hub: Hub, value: str) -> Token:
    private_key(hub)
    try:
        said = jwt.decode(value, hub.more["key"].public_key(), algorithms=["RS256"], options={"verify_aud": False})
    except jwt.PyJWTError as error:
        raise RefusedError(401, "A JSON web token could not be decoded") from error
    if str(said.get("iss")) not in (CLIENT, str(APP)):
        raise RefusedError(401, "Integration not found")
    return Token(f"{SLUG}[bot]", hub.more.get("app_may", {"*": "write"}), APP)


@answers("POST /app/installations/{installation_id}/access_tokens")
def installation_token(hub: Hub, call: Call, token: Token) -> Answer:
    if call["installation_id"] != str(INSTALLATION):
        raise RefusedError(404, "Not Found")
    asked = call.get("permissions") or dict(token.may)
    missing = [name for name, level in asked.items() if not token.allows(name, level != "read")]
    if missing:
        raise RefusedError(422, "The permissions requested are not granted to this installation.")
    value = f"ghs_{secrets.token_hex(18)}"
    hub.tokens[value] = Token(token.login, asked, APP)
    made = shapes.example(hub, "POST /app/installations/{installation_id}/access_tokens", 201)
    made.pop("repositories", None)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    said = {name: level for name, level in asked.items() if name != "*"} or {"contents": "write"}
    return 201, made | {"token": value, "expires_at": f"{until:%Y-%m-%dT%H:%M:%SZ}", "permissions": said}


@answers("GET /installation")
def installation(hub: Hub, call: Call, token: Token) -> Answer:
    model = shapes.example(hub, "GET /installation", 200)
    return 200, model | {"id": INSTALLATION, "app_id": APP, "app_slug": SLUG}


@answers("GET /user")
def user(hub: Hub, call: Call, token: Token) -> Answer:
    if token.app is not None:
        raise RefusedError(403, "Resource not accessible by integration")
    return 200, shapes.example(hub, "GET /user", 200) | {"login": token.login}


@answers("GET /rate_limit")
def rate_limit(hub: Hub, call: Call, token: Token) -> Answer:
    return 200, shapes.example(hub, "GET /rate_limit", 200)
