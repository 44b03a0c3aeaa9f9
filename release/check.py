"""May something new go out now: freezes and quiet hours of the budgets, and what is left of the error budget.

A rollback always may: it is labelled so, or its branch is named so. What Prometheus does not say is unknown, which is
said, and refuses only when asked to be strict.
"""

import datetime as dt
import http.client
import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from msgspec import Struct

from contracts import budgets
from contracts.errors import InputError
from release import render
from release.derived import identity

GATE = "release"
ROLLBACK = "rollback"
ADDRESS, TOKEN = "PROMETHEUS_URL", "PROMETHEUS_TOKEN"
SECONDS = 20.0
LARGEST_ANSWER = 1024 * 1024


class Verdict(Struct, frozen=True, kw_only=True):
    """What speaks for and against a release now, one line each."""

    environment: str
    against: tuple[str, ...]
    unknown: tuple[str, ...]
    good: tuple[str, ...]

    def refuses(self, strict: bool) -> bool:
        return bool(self.against) or (strict and bool(self.unknown))


def check(root: Path, environment: str, moment: dt.datetime) -> Verdict:
    """Ask the budgets and Prometheus; raises InputError for budgets or an environment that cannot be read."""
    if environment not in render.environments(root):
        raise InputError(f"{environment!r}: is no environment; known: {', '.join(render.environments(root))}")
    known = budgets.load(Path(root) / render.BUDGETS, environment)
    closed = known.release.closed(moment)
    good = [] if closed else [f"no freeze and no quiet hours at {moment.astimezone(known.release.zone):%a %F %H:%M %Z}"]
    left, unknown = _left(identity.read(root, environment).namespace)
    least = known.release.least_error_budget
    spent = [_share(name, share, least) for name, share in left.items() if share < least]
    good += [_share(name, share, least) for name, share in left.items() if share >= least]
    return Verdict(
        environment=environment, against=(*closed, *spent), unknown=(unknown,) if unknown else (), good=tuple(good)
    )


def is_rollback(labels: str, branch: str) -> bool:
    """Is the pull request a rollback, by its labels (separated by commas) or its branch?"""
    return ROLLBACK in {label.strip() for label in labels.split(",")} or branch.startswith(f"{ROLLBACK}/")


def _share(name: str, share: float, least: float) -> str:
    return f"error budget, {name}: {share * 100:.3g} % is left, at least {least * 100:.3g} % is wanted"


def _left(namespace: str) -> tuple[dict[str, float], str]:
    """What is left of each objective's error budget, and why it is not known (empty: it is)."""
    address = os.environ.get(ADDRESS, "").rstrip("/")
    if not address:
        return {}, f"error budget: unknown, since {ADDRESS} names no Prometheus"
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise InputError(f"{ADDRESS}: {address!r} is no address, as https://prometheus.example.com is")
    try:
        series = _ask(address, f'slo:error_budget_remaining:ratio{{namespace="{namespace}"}}')
        found = {each["metric"].get("slo", "?"): float(each["value"][1]) for each in series}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, IndexError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return {}, f"error budget: unknown, {ADDRESS} gave no answer ({said})"
    known = {name: share for name, share in found.items() if not math.isnan(share)}
    if not known:
        return {}, f"error budget: unknown, Prometheus has no series of {namespace} (or nobody asked the model yet)"
    return known, ""


def _ask(address: str, expression: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")  # noqa: S310
    if token := os.environ.get(TOKEN, ""):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - http or https, see above
        found: list[dict[str, Any]] = json.loads(answer.read(LARGEST_ANSWER))["data"]["result"]
    return found
