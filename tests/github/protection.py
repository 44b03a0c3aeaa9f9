"""Classic protection of a branch, read and written."""

from typing import Any

from tests.github.description import Call
from tests.github.hub import Answer, Hub, RefusedError, Token, answers

SWITCHES = (
    "required_linear_history",
    "allow_force_pushes",
    "allow_deletions",
    "block_creations",
    "required_conversation_resolution",
    "lock_branch",
    "allow_fork_syncing",
)


def _shape(hub: Hub, branch: str) -> dict[str, Any]:
    url, put = f"{hub.address}/branches/{branch}/protection", hub.protection[branch]
    said: dict[str, Any] = {"url": url}
    said |= {name: {"enabled": bool(put.get(name))} for name in SWITCHES}
    said["enforce_admins"] = {"url": f"{url}/enforce_admins", "enabled": bool(put.get("enforce_admins"))}
    if checks := put.get("required_status_checks"):
        contexts = checks.get("contexts") or [each["context"] for each in checks.get("checks", [])]
        listed = [{"context": each, "app_id": None} for each in contexts]
        place = f"{url}/required_status_checks"
        said["required_status_checks"] = {
            "url": place,
            "strict": bool(checks.get("strict")),
            "contexts": contexts,
            "contexts_url": f"{place}/contexts",
            "checks": listed,
        }
    if reviews := put.get("required_pull_request_reviews"):
        said["required_pull_request_reviews"] = {
            "url": f"{url}/required_pull_request_reviews",
            "dismiss_stale_reviews": bool(reviews.get("dismiss_stale_reviews")),
            "require_code_owner_reviews": bool(reviews.get("require_code_owner_reviews")),
            "required_approving_review_count": reviews.get("required_approving_review_count", 1),
            "require_last_push_approval": bool(reviews.get("require_last_push_approval")),
        }
    return said


@answers("GET /branches/{branch}/protection")
def read(hub: Hub, call: Call, token: Token) -> Answer:
    if call["branch"] not in hub.protection:
        raise RefusedError(404, "Branch not protected")
    return 200, _shape(hub, call["branch"])


@answers("PUT /branches/{branch}/protection")
def write(hub: Hub, call: Call, token: Token) -> Answer:
    if not hub.git.has(f"refs/heads/{call['branch']}"):
        raise RefusedError(404, "Branch not found")
    hub.protection[call["branch"]] = call.body
    return 200, _shape(hub, call["branch"])


@answers("DELETE /branches/{branch}/protection")
def remove(hub: Hub, call: Call, token: Token) -> Answer:
    if hub.protection.pop(call["branch"], None) is None:
        raise RefusedError(404, "Branch not protected")
    return 204, None
