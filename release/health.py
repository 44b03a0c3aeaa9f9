"""Is an environment healthy, as its cluster says on the target's commits (gitops/argocd/notifications.yaml)."""

import re

import yaml

from contracts.errors import InputError
from release import history, pin
from release.forge import Forge, Healths
from release.git import Git
from release.landing import Line
from release.pin import Pin

APPLICATION = "gitops/argocd/applicationset.yaml"
HEALTHY, UNKNOWN = "healthy", "unknown"
SAID = {"success": HEALTHY, "pending": "pending", "failure": "failed", "error": "failed"}
LOOKED_AT = 30  # commits; a cluster reports on those that it syncs, which is every few minutes


def of(git: Git, forge: Forge, environment: str, tip: str) -> str:
    """healthy, pending, failed, or unknown: what was said of the newest commit that was said anything of.

    Only commits count that have what runs now: what a cluster said of the version before says nothing.
    """
    if not isinstance(forge, Healths):
        return UNKNOWN
    steps = history.steps(git, tip, environment)
    now = pin.read(git.file(tip, pin.path(environment)) or b"", pin.path(environment))
    step = history.current(steps, now)
    if step is None or now == Pin():
        return UNKNOWN
    context = f"argocd/{application(git, tip, environment)}"
    for commit in Line.of(git, tip).since(step.commit)[:LOOKED_AT]:
        if state := forge.health(commit, context):
            return SAID.get(state, UNKNOWN)
    return UNKNOWN


def application(git: Git, tip: str, environment: str) -> str:
    """The name of Argo CD's application for an environment; raises InputError when the set does not say it."""
    try:
        document = yaml.safe_load(git.file(tip, APPLICATION) or b"")
        name = str(document["spec"]["template"]["metadata"]["name"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{APPLICATION}: spec.template.metadata.name: must name the applications") from error
    return re.sub(r"\{\{.*?\}\}", environment, name)
